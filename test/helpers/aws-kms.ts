/**
 * A local server that speaks AWS KMS, as far as vault/encryption/kms-aws.ts uses it: Encrypt, Decrypt and DescribeKey of one symmetric
 * key in AWS's JSON 1.1, with encryption context, states of the key, its errors, and SigV4 verified with AWS's own signer, by
 * a clock that may differ. Written from the API's reference; it is not AWS.
 */
import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from "node:crypto";
import { Sha256 } from "@aws-crypto/sha256-js";
import { SignatureV4 } from "@smithy/signature-v4";
import { type KmsReply, type KmsRequestSeen, type KmsServer, listen } from "./kms-server.ts";

export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
}

export interface AwsKmsServer extends KmsServer {
  readonly arn: string;
  readonly credentials: AwsCredentials;
  readonly contexts: Record<string, string>[];
  keyState: "Enabled" | "Disabled" | "PendingDeletion";
  keySpec: "SYMMETRIC_DEFAULT" | "RSA_2048";
  expired: boolean;
  /** How far its clock is ahead of this machine's. */
  clockAheadMs: number;
  /** Changes an answer that is right. */
  amend: ((body: Record<string, unknown>) => Record<string, unknown>) | undefined;
}

const region = "eu-central-1";
const skewMsMax = 300_000;

/** All of these servers know the same ones. */
const credentials: AwsCredentials = {
  accessKeyId: `ASIA${randomBytes(8).toString("hex").toUpperCase()}`,
  secretAccessKey: randomBytes(30).toString("base64url"),
  sessionToken: randomBytes(60).toString("base64url"),
};

export async function startAwsKms(): Promise<AwsKmsServer> {
  const versions = [randomBytes(32)];
  const arn = `arn:aws:kms:${region}:111122223333:key/${randomUUID()}`;
  const listening = await listen(answer, failure("KMSInternalException", 500));
  const aws: AwsKmsServer = Object.assign(listening, {
    source: `aws-kms:${arn}`,
    arn,
    credentials,
    secrets: [credentials.secretAccessKey, credentials.sessionToken],
    calls: [],
    contexts: [],
    keyState: "Enabled" as const,
    keySpec: "SYMMETRIC_DEFAULT" as const,
    expired: false,
    clockAheadMs: 0,
    amend: undefined,
    rotate: () => void versions.push(randomBytes(32)),
  });
  return aws;

  async function answer(request: KmsRequestSeen): Promise<KmsReply> {
    const now = Date.now() + aws.clockAheadMs;
    const reply = (await refuseSignature(request, now)) ?? operate(request);
    return { ...reply, headers: { "content-type": "application/x-amz-json-1.1", date: new Date(now).toUTCString() } };
  }

  function operate({ headers, body }: KmsRequestSeen): KmsReply {
    const target = /^TrentService\.(Encrypt|Decrypt|DescribeKey)$/.exec(String(headers["x-amz-target"]))?.[1];
    const input = JSON.parse(body) as Record<string, string> & { EncryptionContext?: Record<string, string> };
    if (target === undefined) return failure("UnknownOperationException");
    aws.calls.push(target === "DescribeKey" ? "describe" : target.toLowerCase());
    if (input["KeyId"] !== arn) return failure("NotFoundException");
    if (target === "DescribeKey") return success({ KeyMetadata: describeKey() });
    if (aws.keyState === "Disabled") return failure("DisabledException");
    if (aws.keyState !== "Enabled") return failure("KMSInvalidStateException");
    if (input["EncryptionAlgorithm"] !== aws.keySpec) return failure("InvalidKeyUsageException");
    aws.contexts.push(input.EncryptionContext ?? {});
    const pairs = Object.entries(input.EncryptionContext ?? {}).map((pair) => JSON.stringify(pair));
    const associated = Buffer.from(pairs.sort().join());
    const operation = target === "Encrypt" ? encrypt : decrypt;
    return operation(
      Buffer.from(input[target === "Encrypt" ? "Plaintext" : "CiphertextBlob"] ?? "", "base64"),
      associated,
    );
  }

  function describeKey(): object {
    const { keySpec: KeySpec, keyState: KeyState } = aws;
    return { Arn: arn, Enabled: KeyState === "Enabled", KeySpec, KeyState, KeyUsage: "ENCRYPT_DECRYPT" };
  }

  /** A blob is the key's ARN, its version, and what was sealed. */
  function encrypt(plaintext: Buffer, associated: Buffer): KmsReply {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", versions.at(-1)!, nonce).setAAD(associated);
    const sealed = Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    const blob = Buffer.concat([Buffer.from(`${arn} ${versions.length} `), sealed]).toString("base64");
    return success({ CiphertextBlob: blob, KeyId: arn, EncryptionAlgorithm: aws.keySpec });
  }

  function decrypt(blob: Buffer, associated: Buffer): KmsReply {
    if (blob.length === 0 || blob.length > 6_144) return failure("ValidationException");
    const [head = "", owner, version] = /^(arn:\S+) (\d+) /.exec(blob.toString("latin1")) ?? [];
    const key = versions[Number(version) - 1];
    if (owner !== undefined && owner !== arn) return failure("IncorrectKeyException");
    if (key === undefined) return failure("InvalidCiphertextException");
    try {
      const sealed = blob.subarray(head.length);
      const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, 12), { authTagLength: 16 });
      decipher.setAAD(associated).setAuthTag(sealed.subarray(-16));
      const plaintext = Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
      return success({ Plaintext: plaintext.toString("base64"), KeyId: arn, EncryptionAlgorithm: aws.keySpec });
    } catch {
      return failure("InvalidCiphertextException");
    }
  }

  function success(body: Record<string, unknown>): KmsReply {
    return { status: 200, body: aws.amend?.(body) ?? body };
  }

  /** Signs the request again and compares; by date and credentials first, as AWS does. */
  async function refuseSignature(
    { method, url, headers, body }: KmsRequestSeen,
    now: number,
  ): Promise<KmsReply | undefined> {
    const { authorization = "", "x-amz-date": date } = headers;
    const signedNames = /SignedHeaders=([^,]+),/.exec(authorization)?.[1]?.split(";") ?? [];
    const [, year, month, day, hour, minute, second] =
      /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(String(date)) ?? [];
    const signingDate = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
    if (!authorization.includes(`Credential=${credentials.accessKeyId}/`))
      return failure("UnrecognizedClientException");
    if (headers["x-amz-security-token"] !== credentials.sessionToken) return failure("UnrecognizedClientException");
    if (aws.expired) return failure("ExpiredTokenException");
    if (!(Math.abs(now - signingDate.getTime()) <= skewMsMax)) return failure("InvalidSignatureException");
    const signer = new SignatureV4({ credentials, region, service: "kms", sha256: Sha256 });
    const signed = await signer.sign(
      {
        method,
        protocol: "http:",
        hostname: "127.0.0.1",
        path: url,
        headers: Object.fromEntries(signedNames.map((name) => [name, String(headers[name])])),
        body,
      },
      { signingDate },
    );
    const complete = ["host", "x-amz-date", "x-amz-target"].every((name) => signedNames.includes(name));
    return complete && signed.headers["authorization"] === authorization
      ? undefined
      : failure("InvalidSignatureException");
  }
}

function failure(name: string, status = 400): KmsReply {
  return { status, body: { __type: name, message: `${name} in the service's own words` } };
}
