/**
 * HashiCorp Vault's or OpenBao's Transit engine as the service that holds the root key. The token is read from its file at
 * each call, so that an agent beside the process can renew it; it is in no URL, argument or error. The context goes along as
 * associated data. Uses Node's own fetch: the requests of steps and their broker have nothing to do with these.
 */
import { readFile } from "node:fs/promises";
import { StepvaultError } from "../protocol/error.ts";
import { encodeContext, SealBrokenError } from "./crypto.ts";
import type { KmsAdapter } from "./kms.ts";
import type { WrapContext } from "./root-key.ts";

const callMsMax = 5_000;
const answerBytesMax = 65_536;

/** `transit:https://host:8200/v1/<mount>/keys/<key>` */
const sourcePattern = /^transit:(https?:\/\/[^/?#@\s]+\/v1\/[^?#@\s]+)\/keys\/([A-Za-z0-9_.-]+)$/;

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
    const [, mount, key] = sourcePattern.exec(source) ?? [];
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

  async #call(method: string, path: string, body?: object): Promise<{ status: number; data: Record<string, unknown> }> {
    const token = await readFile(this.#tokenFile, "utf8").catch((error: NodeJS.ErrnoException) => {
      throw unavailable(`read its token: STEPVAULT_KMS_TOKEN_FILE gives ${error.code ?? "an error"}`);
    });
    try {
      const response = await fetch(`${this.#mount}/${path}`, {
        method,
        headers: { "x-vault-token": token.trim(), "x-vault-request": "true", "content-type": "application/json" },
        body: body === undefined ? null : JSON.stringify(body),
        // A redirect, as a standby gives, would take the token and the key to another host.
        redirect: "manual",
        signal: AbortSignal.timeout(this.#timeoutMs),
      });
      const text = await response.text();
      const answer = text.length > answerBytesMax ? {} : (parse(text) as { data?: unknown });
      const data = typeof answer.data === "object" && answer.data !== null ? answer.data : {};
      return { status: response.status, data: data as Record<string, unknown> };
    } catch (error) {
      const { name, cause } = error as Error & { cause?: { code?: string } };
      throw unavailable(
        name === "TimeoutError" ? `reach it: no answer in ${this.#timeoutMs} ms` : `reach it: ${cause?.code ?? name}`,
      );
    }
  }
}

function associatedData({ rootKeyId, organizationId, keyId }: WrapContext): string {
  return encodeContext(["organization key", organizationId, keyId, rootKeyId]).toString("base64");
}

function parse(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

/** Nothing of the service's own words: they may repeat what was sent. */
function unavailable(what: string): StepvaultError {
  return new StepvaultError("ERR_KMS_UNAVAILABLE", `Cannot use the key management service: to ${what}`);
}
