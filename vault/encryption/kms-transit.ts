/**
 * HashiCorp Vault's or OpenBao's Transit engine as the service that holds the root key. The token is read from its file at
 * each call, so that an agent beside the process can renew it; it is in no URL, argument or error. The context goes along as
 * associated data. One try a call: the agent or the balancer before the engine is who knows whether another makes sense.
 */
import { readFile } from "node:fs/promises";
import { transitAddress } from "../../protocol/kms-address.ts";
import { encodeContext, SealBrokenError } from "./crypto.ts";
import { asObject, callMsMax, exchange, failureOnTheWay, inTime, parseObject, unavailable } from "./kms-http.ts";
import type { KmsAdapter } from "./kms.ts";
import type { WrapContext } from "./root-key.ts";

export interface TransitOptions {
  readonly source: string;
  readonly tokenFile: string;
  readonly timeoutMs?: number;
}

export class TransitKms implements KmsAdapter {
  readonly source: string;
  readonly #mount: string;
  readonly #key: string;
  readonly #tokenFile: string;
  readonly #timeoutMs: number;

  constructor({ source, tokenFile, timeoutMs = callMsMax }: TransitOptions) {
    const [, mount, key] = transitAddress.exec(source) ?? [];
    if (mount === undefined || key === undefined) throw unavailable("read its address: it names no key of Transit");
    this.source = source;
    this.#mount = mount;
    this.#key = key;
    this.#tokenFile = tokenFile;
    this.#timeoutMs = timeoutMs;
  }

  async wrap(key: Buffer, context: WrapContext): Promise<Buffer> {
    const { status, data } = await this.#call("POST", `encrypt/${this.#key}`, {
      plaintext: key.toString("base64"),
      associated_data: associatedData(context),
    });
    const { ciphertext } = data;
    if (status !== 200 || typeof ciphertext !== "string") throw unavailable(`wrap a key: it answers ${status}`);
    return Buffer.from(ciphertext, "utf8");
  }

  async unwrap(blob: Buffer, context: WrapContext): Promise<Buffer> {
    const { status, data } = await this.#call("POST", `decrypt/${this.#key}`, {
      ciphertext: blob.toString("utf8"),
      associated_data: associatedData(context),
    });
    // A blob that is none, of another key, of a version that is no longer allowed, or with another context.
    if (status === 400) throw new SealBrokenError();
    const { plaintext } = data;
    if (status !== 200 || typeof plaintext !== "string") throw unavailable(`unwrap a key: it answers ${status}`);
    return Buffer.from(plaintext, "base64");
  }

  async health(): Promise<void> {
    const { status, data } = await this.#call("GET", `keys/${this.#key}`);
    if (status !== 200) throw unavailable(`find its key: it answers ${status}`);
    if (data["supports_encryption"] !== true) throw unavailable("use its key: it does not encrypt");
  }

  async #call(
    method: "GET" | "POST",
    path: string,
    body?: object,
  ): Promise<{ status: number; data: Record<string, unknown> }> {
    const token = await readFile(this.#tokenFile, "utf8").catch((error: NodeJS.ErrnoException) => {
      throw unavailable(`read its token: STEPVAULT_KMS_TOKEN_FILE gives ${error.code ?? "an error"}`);
    });
    const headers = { "x-vault-token": token.trim(), "x-vault-request": "true", "content-type": "application/json" };
    try {
      const answer = await inTime(
        this.#timeoutMs,
        async (signal) =>
          await exchange(`${this.#mount}/${path}`, {
            method,
            headers,
            body: body === undefined ? null : JSON.stringify(body),
            signal,
          }),
      );
      return { status: answer.status, data: asObject(parseObject(answer.body)["data"]) };
    } catch (error) {
      throw failureOnTheWay(error);
    }
  }
}

function associatedData({ rootKeyId, organizationId, keyId }: WrapContext): string {
  return encodeContext(["organization key", organizationId, keyId, rootKeyId]).toString("base64");
}
