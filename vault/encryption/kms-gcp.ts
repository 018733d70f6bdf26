/**
 * Google Cloud KMS as the service that holds the root key: a symmetric key over the REST API. The context goes along as
 * additional authenticated data, and bytes are summed on both ways. Google's library only finds credentials and renews
 * access tokens; it is loaded with the first call. An answer to decrypt names no key: that it is the right one's shows by
 * the context alone.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { AuthClient } from "google-auth-library";
import { gcpAddress } from "../../protocol/kms-address.ts";
import { encodeContext, SealBrokenError } from "./crypto.ts";
import { crc32c } from "./kms-crc32c.ts";
import {
  asObject,
  callMsMax,
  codeOf,
  exchange,
  failureOnTheWay,
  inTime,
  type KmsRequest,
  parseObject,
  unavailable,
} from "./kms-http.ts";
import type { KmsAdapter } from "./kms.ts";
import type { WrapContext } from "./root-key.ts";

/** Tries of one call, the first among them. */
const attemptsMax = 3;
const pauseMs = 100;
const scope = "https://www.googleapis.com/auth/cloudkms";

export interface GcpOptions {
  readonly source: string;
  /** Instead of the public one. */
  readonly endpoint?: string | undefined;
  readonly timeoutMs?: number;
}

interface Answer {
  readonly status: number;
  /** Google's name of the error; undefined when it is none that is known. */
  readonly error: string | undefined;
  readonly data: Record<string, unknown>;
}

export class GcpKms implements KmsAdapter {
  readonly source: string;
  readonly #name: string;
  readonly #project: string;
  readonly #url: string;
  readonly #timeoutMs: number;
  #auth: Promise<AuthClient> | undefined;

  constructor({ source, endpoint, timeoutMs = callMsMax }: GcpOptions) {
    const [, name, project] = gcpAddress.exec(source) ?? [];
    if (name === undefined || project === undefined)
      throw unavailable("read its address: it names no key of Cloud KMS");
    this.source = source;
    this.#name = name;
    this.#project = project;
    this.#url = `${new URL(endpoint ?? "https://cloudkms.googleapis.com").origin}/v1/${name}`;
    this.#timeoutMs = timeoutMs;
  }

  async wrap(key: Buffer, context: WrapContext): Promise<Buffer> {
    const answer = await this.#call("POST", ":encrypt", { ...summed("plaintext", key), ...contextOf(context) });
    if (answer.status !== 200) throw refusal("wrap a key", answer);
    const { name, verifiedPlaintextCrc32c, verifiedAdditionalAuthenticatedDataCrc32c } = answer.data;
    if (!this.#isVersion(name)) throw unavailable("wrap a key: it answers for another key");
    // The service says so when it summed what it got; it leaves out what is false.
    if (verifiedPlaintextCrc32c !== true || verifiedAdditionalAuthenticatedDataCrc32c !== true) {
      throw unavailable("wrap a key: what it got is not what was sent");
    }
    return bytesOf("wrap a key", answer, "ciphertext");
  }

  async unwrap(blob: Buffer, context: WrapContext): Promise<Buffer> {
    const answer = await this.#call("POST", ":decrypt", { ...summed("ciphertext", blob), ...contextOf(context) });
    // A disabled version of the key gives 400 too, and another name.
    if (answer.status === 400 && answer.error === "INVALID_ARGUMENT") throw new SealBrokenError();
    if (answer.status !== 200) throw refusal("unwrap a key", answer);
    return bytesOf("unwrap a key", answer, "plaintext");
  }

  async health(): Promise<void> {
    const answer = await this.#call("GET", "");
    if (answer.status !== 200) throw refusal("find its key", answer);
    const { name, purpose, primary } = answer.data;
    if (name !== this.#name) throw unavailable("find its key: it answers for another one");
    if (purpose !== "ENCRYPT_DECRYPT") throw unavailable("use its key: it is no symmetric one for encryption");
    if (asObject(primary)["state"] !== "ENABLED") throw unavailable("use its key: its primary version is not enabled");
  }

  #isVersion(name: unknown): boolean {
    const versions = `${this.#name}/cryptoKeyVersions/`;
    return typeof name === "string" && name.startsWith(versions) && /^\d+$/.test(name.slice(versions.length));
  }

  async #call(method: "GET" | "POST", verb: string, body?: object): Promise<Answer> {
    const request = { method, body: body === undefined ? null : JSON.stringify(body) };
    try {
      return await inTime(this.#timeoutMs, async (signal) => await this.#try(verb, { ...request, signal }));
    } catch (error) {
      throw failureOnTheWay(error);
    }
  }

  async #try(verb: string, request: Omit<KmsRequest, "headers">): Promise<Answer> {
    for (let attempt = 1; ; attempt += 1) {
      const answer = await this.#once(verb, request).catch((error: unknown) => {
        if (attempt < attemptsMax && reconnects.has(codeOf(error))) return undefined;
        throw error;
      });
      if (answer !== undefined && (attempt === attemptsMax || !repeated.has(answer.status))) return answer;
      // A token may have been revoked before its time.
      if (answer?.status === 401) this.#auth = undefined;
      await delay(pauseMs * attempt * (1 + Math.random()), undefined, { signal: request.signal });
    }
  }

  async #once(verb: string, request: Omit<KmsRequest, "headers">): Promise<Answer> {
    const headers = { ...(await this.#credentials()), "content-type": "application/json" };
    const { status, body } = await exchange(`${this.#url}${verb}`, { ...request, headers });
    const data = parseObject(body);
    if (status === 200 && Object.keys(data).length === 0) throw unavailable("read its answer: it is not JSON");
    const { status: error } = asObject(data["error"]);
    return { status, data, error: typeof error === "string" && knownErrors.has(error) ? error : undefined };
  }

  /** The access token, and the project that is billed when the credentials name one. */
  async #credentials(): Promise<Record<string, string>> {
    try {
      this.#auth ??= this.#findCredentials();
      const given = await (await this.#auth).getRequestHeaders(this.#url);
      const kept = ["authorization", "x-goog-user-project"].map((name) => [name, given.get(name)] as const);
      return Object.fromEntries(kept.filter((entry): entry is [string, string] => entry[1] !== null));
    } catch (error) {
      // Else credentials that are mended are not looked for again.
      this.#auth = undefined;
      // The library's message may repeat what the token's server said.
      throw unavailable(`get an access token: ${codeOf(error) ?? "no credentials that work were found"}`);
    }
  }

  async #findCredentials(): Promise<AuthClient> {
    const { GoogleAuth } = await import("google-auth-library");
    // With the project given it does not ask `gcloud` or others for one.
    return await new GoogleAuth({ scopes: [scope], projectId: this.#project }).getClient();
  }
}

const repeated: ReadonlySet<number> = new Set([401, 429, 500, 502, 503, 504]);
const reconnects: ReadonlySet<string | undefined> = new Set(["ECONNRESET", "UND_ERR_SOCKET"]);

/** Any other word may be anything. */
const knownErrors: ReadonlySet<string> = new Set([
  "DEADLINE_EXCEEDED",
  "FAILED_PRECONDITION",
  "INTERNAL",
  "INVALID_ARGUMENT",
  "NOT_FOUND",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "UNAUTHENTICATED",
  "UNAVAILABLE",
]);

function refusal(action: string, { status, error }: Answer): Error {
  return unavailable(`${action}: it answers ${error === undefined ? status : `${status} ${error}`}`);
}

function contextOf({ rootKeyId, organizationId, keyId }: WrapContext): Record<string, string> {
  const context = encodeContext(["organization key", organizationId, keyId, rootKeyId]);
  return summed("additionalAuthenticatedData", context);
}

/** Bytes and their sum, as the API names them; it writes 64-bit numbers as text. */
function summed(field: string, bytes: Buffer): Record<string, string> {
  return { [field]: bytes.toString("base64"), [`${field}Crc32c`]: String(crc32c(bytes)) };
}

function bytesOf(action: string, { data }: Answer, field: string): Buffer {
  const { [field]: base64, [`${field}Crc32c`]: sum } = data;
  const bytes = Buffer.from(typeof base64 === "string" ? base64 : "", "base64");
  if (bytes.length > 0 && sum === String(crc32c(bytes))) return bytes;
  bytes.fill(0);
  throw unavailable(`${action}: its answer was changed on the way`);
}
