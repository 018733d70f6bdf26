/**
 * AWS KMS as the service that holds the root key: a symmetric key, named by its ARN. An answer counts only when it names
 * that key. The context goes along as encryption context, ids only. The AWS SDK is loaded with the first call, so that it
 * costs nothing where it is not used; how it is tied down is kms-aws-sdk.ts.
 */
import type { KMSClient } from "@aws-sdk/client-kms";
import { awsAddress } from "../../protocol/kms-address.ts";
import { SealBrokenError } from "./crypto.ts";
import { awsFailure, createAwsClient, isBrokenSeal } from "./kms-aws-sdk.ts";
import { callMsMax, inTime, unavailable } from "./kms-http.ts";
import type { KmsAdapter } from "./kms.ts";
import type { WrapContext } from "./root-key.ts";

/** What Decrypt takes; a longer one would be refused as a request and not as a blob. */
const blobBytesMax = 6_144;
/** Said in each request: a key of RSA would encrypt as well, without binding the context. */
const algorithm = "SYMMETRIC_DEFAULT";

const keyStates: ReadonlySet<string | undefined> = new Set([
  "Creating",
  "Disabled",
  "PendingDeletion",
  "PendingImport",
  "PendingReplicaDeletion",
  "Unavailable",
  "Updating",
]);

export interface AwsOptions {
  readonly source: string;
  /** Instead of the region's public one. */
  readonly endpoint?: string | undefined;
  readonly timeoutMs?: number;
}

export class AwsKms implements KmsAdapter {
  readonly source: string;
  readonly #arn: string;
  readonly #region: string;
  readonly #endpoint: string;
  readonly #timeoutMs: number;
  #client: KMSClient | undefined;

  constructor({ source, endpoint, timeoutMs = callMsMax }: AwsOptions) {
    const [, arn, partition, region] = awsAddress.exec(source) ?? [];
    if (arn === undefined || region === undefined) throw unavailable("read its address: it names no key of AWS KMS");
    this.source = source;
    this.#arn = arn;
    this.#region = region;
    const domain = partition === "aws-cn" ? "amazonaws.com.cn" : "amazonaws.com";
    this.#endpoint = new URL(endpoint ?? `https://kms.${region}.${domain}`).origin;
    this.#timeoutMs = timeoutMs;
  }

  async wrap(key: Buffer, context: WrapContext): Promise<Buffer> {
    const { EncryptCommand } = await import("@aws-sdk/client-kms");
    const command = new EncryptCommand({ ...this.#keyAndContext(context), Plaintext: key });
    const answer = await this.#ask("wrap a key", async (client, options) => await client.send(command, options));
    if (answer.CiphertextBlob === undefined) throw unavailable("wrap a key: its answer holds none");
    this.#checkKey("wrap a key", answer);
    return Buffer.from(answer.CiphertextBlob);
  }

  async unwrap(blob: Buffer, context: WrapContext): Promise<Buffer> {
    if (blob.length === 0 || blob.length > blobBytesMax) throw new SealBrokenError();
    const { DecryptCommand } = await import("@aws-sdk/client-kms");
    const command = new DecryptCommand({ ...this.#keyAndContext(context), CiphertextBlob: blob });
    const answer = await this.#ask("unwrap a key", async (client, options) => {
      return await client.send(command, options).catch((error: unknown) => {
        throw isBrokenSeal(error) ? new SealBrokenError() : error;
      });
    });
    if (answer.Plaintext === undefined) throw unavailable("unwrap a key: its answer holds none");
    try {
      this.#checkKey("unwrap a key", answer);
      return Buffer.from(answer.Plaintext);
    } finally {
      answer.Plaintext.fill(0);
    }
  }

  async health(): Promise<void> {
    const { DescribeKeyCommand } = await import("@aws-sdk/client-kms");
    const command = new DescribeKeyCommand({ KeyId: this.#arn });
    const { KeyMetadata: key } = await this.#ask(
      "find its key",
      async (client, options) => await client.send(command, options),
    );
    if (key?.Arn !== this.#arn) throw unavailable("find its key: it answers for another one");
    if (key.KeyState !== "Enabled") {
      throw unavailable(`use its key: it is ${keyStates.has(key.KeyState) ? key.KeyState : "in no state to be used"}`);
    }
    if (key.KeyUsage !== "ENCRYPT_DECRYPT" || key.KeySpec !== algorithm) {
      throw unavailable("use its key: it is no symmetric one for encryption");
    }
  }

  /** CloudTrail shows the context in clear text. */
  #keyAndContext({ rootKeyId, organizationId, keyId }: WrapContext) {
    const context = { purpose: "stepvault organization key", organizationId, keyId, rootKeyId };
    return { KeyId: this.#arn, EncryptionAlgorithm: algorithm, EncryptionContext: context } as const;
  }

  #checkKey(action: string, answer: { KeyId?: string | undefined; EncryptionAlgorithm?: string | undefined }): void {
    if (answer.KeyId === this.#arn && answer.EncryptionAlgorithm === algorithm) return;
    throw unavailable(`${action}: it answers for another key`);
  }

  async #ask<T>(
    action: string,
    send: (client: KMSClient, options: { abortSignal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    this.#client ??= await createAwsClient(this.#region, this.#endpoint);
    const client = this.#client;
    try {
      return await inTime(this.#timeoutMs, async (abortSignal) => await send(client, { abortSignal }));
    } catch (error) {
      throw awsFailure(action, error);
    }
  }
}
