/**
 * A local server that speaks Google Cloud KMS's REST API, as far as vault/encryption/kms-gcp.ts uses it: encrypt, decrypt and get of one
 * symmetric key, with additional authenticated data, the CRC32C fields, versions and their state; and what gives access
 * tokens, as the Security Token Service and a machine's metadata server do. Written from the API's reference; not Google's.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { type KmsReply, type KmsRequestSeen, type KmsServer, listen } from "./kms-server.ts";

export interface GcpKmsServer extends KmsServer {
  readonly name: string;
  /** What the workload shows for an access token. */
  readonly subjectToken: string;
  /** How often an access token was asked for. */
  tokensGiven: number;
  versionState: "ENABLED" | "DISABLED" | "DESTROY_SCHEDULED";
  purpose: "ENCRYPT_DECRYPT" | "ASYMMETRIC_DECRYPT";
  /** Changes an answer that is right. */
  amend: ((body: Record<string, unknown>) => Record<string, unknown>) | undefined;
  /** Answers in the place of what gives tokens. */
  tokenInstead: KmsReply | undefined;
  /** Ends all access tokens before their time. */
  revoke(): void;
}

/** All of these servers know the same ones. */
const subjectToken = randomBytes(20).toString("base64url");
const tokens = new Set<string>();
const secrets = [subjectToken];

export async function startGcpKms(): Promise<GcpKmsServer> {
  const name = `projects/acme-prod/locations/europe-west3/keyRings/vault/cryptoKeys/key-${randomBytes(3).toString("hex")}`;
  const versions = [randomBytes(32)];
  const listening = await listen(answer, failure(503, "UNAVAILABLE"));
  const gcp: GcpKmsServer = Object.assign(listening, {
    source: `gcp-kms:${name}`,
    name,
    subjectToken,
    secrets,
    calls: [],
    tokensGiven: 0,
    versionState: "ENABLED" as const,
    purpose: "ENCRYPT_DECRYPT" as const,
    amend: undefined,
    tokenInstead: undefined,
    rotate: () => void versions.push(randomBytes(32)),
    revoke: () => tokens.clear(),
  });
  return gcp;

  async function answer({ method, url, headers, body }: KmsRequestSeen): Promise<KmsReply> {
    if (url === "/token" || url.startsWith("/computeMetadata/")) {
      // What is shown there is for it.
      gcp.seen.pop();
      return gcp.tokenInstead ?? giveToken(url, headers, body);
    }
    if (!tokens.has(/^Bearer (\S+)$/.exec(headers.authorization ?? "")?.[1] ?? ""))
      return failure(401, "UNAUTHENTICATED");
    const [, key, verb = "get"] = /^\/v1\/([^:?]+)(?::(encrypt|decrypt))?$/.exec(url) ?? [];
    gcp.calls.push(verb === "get" ? "describe" : verb);
    if (key !== name) return failure(404, "NOT_FOUND");
    if (verb === "get" && method === "GET") {
      return success({ name, purpose: gcp.purpose, primary: { name: versionName(), state: gcp.versionState } });
    }
    const input = JSON.parse(body) as Record<string, string>;
    const associated = checked(input, "additionalAuthenticatedData");
    const bytes = checked(input, verb === "encrypt" ? "plaintext" : "ciphertext");
    if (associated === undefined || bytes === undefined) return failure(400, "INVALID_ARGUMENT");
    if (gcp.versionState !== "ENABLED") return failure(400, "FAILED_PRECONDITION");
    return verb === "encrypt" ? encrypt(bytes, associated) : decrypt(bytes, associated);
  }

  function giveToken(url: string, headers: KmsRequestSeen["headers"], body: string): KmsReply {
    const fromMachine = headers["metadata-flavor"] === "Google" && url.includes("/service-accounts/default/token");
    const shown = new URLSearchParams(body).get("subject_token");
    if (!fromMachine && (url !== "/token" || shown !== gcp.subjectToken))
      return { status: 400, body: { error: "invalid_grant" } };
    const token = `ya29.${randomBytes(20).toString("base64url")}`;
    tokens.add(token);
    secrets.push(token);
    gcp.tokensGiven += 1;
    const issued = { issued_token_type: "urn:ietf:params:oauth:token-type:access_token", token_type: "Bearer" };
    return {
      status: 200,
      headers: { "metadata-flavor": "Google" },
      body: { ...issued, access_token: token, expires_in: 3_600 },
    };
  }

  function versionName(): string {
    return `${name}/cryptoKeyVersions/${versions.length}`;
  }

  function encrypt(plaintext: Buffer, associated: Buffer): KmsReply {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", versions.at(-1)!, nonce).setAAD(associated);
    const sealed = Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    return success({
      name: versionName(),
      ...summed("ciphertext", Buffer.concat([Buffer.of(versions.length), sealed])),
      verifiedPlaintextCrc32c: true,
      verifiedAdditionalAuthenticatedDataCrc32c: true,
      protectionLevel: "SOFTWARE",
    });
  }

  function decrypt(blob: Buffer, associated: Buffer): KmsReply {
    const key = versions[(blob[0] ?? 0) - 1];
    if (key === undefined || blob.length < 30) return failure(400, "INVALID_ARGUMENT");
    try {
      const decipher = createDecipheriv("aes-256-gcm", key, blob.subarray(1, 13), { authTagLength: 16 });
      decipher.setAAD(associated).setAuthTag(blob.subarray(-16));
      const plaintext = Buffer.concat([decipher.update(blob.subarray(13, -16)), decipher.final()]);
      return success({ ...summed("plaintext", plaintext), usedPrimary: true, protectionLevel: "SOFTWARE" });
    } catch {
      return failure(400, "INVALID_ARGUMENT");
    }
  }

  function success(body: Record<string, unknown>): KmsReply {
    return { status: 200, body: gcp.amend?.(body) ?? body };
  }
}

/** The bytes of a field, when their sum is right. */
function checked(input: Record<string, string>, field: string): Buffer | undefined {
  const bytes = Buffer.from(input[field] ?? "", "base64");
  return input[`${field}Crc32c`] === String(sumOf(bytes)) ? bytes : undefined;
}

function summed(field: string, bytes: Buffer): Record<string, string> {
  return { [field]: bytes.toString("base64"), [`${field}Crc32c`]: String(sumOf(bytes)) };
}

/** CRC-32C by a table, as another than the product's own. */
function sumOf(bytes: Buffer): number {
  return ~bytes.reduce((sum, byte) => sumTable[(sum ^ byte) & 0xff]! ^ (sum >>> 8), -1) >>> 0;
}

const sumTable = Array.from({ length: 256 }, (_, index) => {
  let sum = index;
  for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0x82_f6_3b_78 : sum >>> 1;
  return sum;
});

function failure(code: number, status: string): KmsReply {
  return { status: code, body: { error: { code, status, message: `${status} in the service's own words` } } };
}
