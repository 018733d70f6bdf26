/**
 * Reads one field from HashiCorp Vault's or OpenBao's KV engine, version 2. The token is read from its file at each call, so
 * that an agent beside the process can renew it; it is in no URL, argument or error. A connection per question: nothing is
 * left open, for the price of a handshake that the cache makes rare. Uses node:https, which takes certificate authorities per
 * request; the requests of steps and their broker have nothing to do with these.
 */
import { readFile } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { urlToHttpOptions } from "node:url";
import type { ErrorCode, StepvaultError } from "../../protocol/error.ts";
import type { KvSource } from "../../protocol/secret-source.ts";
import { secretValueBytesMax } from "../../protocol/secret.ts";
import { SourceAwayError } from "./source-circuit.ts";

/** An entry of Vault's has a megabyte at most, and its JSON writes some characters as six. */
const answerBytesMax = 4_194_304;
const tokenPattern = /^[\x21-\x7e]{1,8192}$/;

export interface CallBounds {
  readonly connectMsMax: number;
  readonly callMsMax: number;
}

/** What to read: a path of checked segments in the mount, and the error that a refusal becomes. */
export interface KvPlace {
  readonly path: string;
  readonly field: string;
  readonly version: number | undefined;
  readonly refuse: (code: ErrorCode, why: string) => StepvaultError;
}

interface Answer {
  readonly status: number;
  /** Without properties when it is no object of JSON. */
  readonly body: Readonly<Record<string, unknown>>;
}

export class KvClient {
  readonly #source: KvSource;
  readonly #ca: string | undefined;
  readonly #bounds: CallBounds;

  constructor(source: KvSource, { ca, bounds }: { ca: string | undefined; bounds: CallBounds }) {
    this.#source = source;
    this.#ca = ca;
    this.#bounds = bounds;
  }

  /**
   * The field's text. Throws SourceAwayError when the source gives no answer, or one that says nothing about the value;
   * else what `refuse` makes.
   */
  async read(place: KvPlace, closing: AbortSignal): Promise<string> {
    const token = await this.#readToken(place);
    const deadline = AbortSignal.timeout(this.#bounds.callMsMax);
    let answer: Answer;
    try {
      answer = await this.#ask(place, { token, signal: AbortSignal.any([deadline, closing]) });
    } catch (error) {
      if (error instanceof SourceAwayError) throw error;
      if (error instanceof AnswerTooLargeError) {
        throw place.refuse("ERR_SECRET_SOURCE_UNAVAILABLE", `its answer has more than ${answerBytesMax} bytes`);
      }
      if (closing.aborted) throw new SourceAwayError("this process is stopping");
      if (deadline.aborted) throw new SourceAwayError(`no answer in ${this.#bounds.callMsMax} ms`);
      // The code and not the message, which may repeat what was sent.
      const { code, name } = error as NodeJS.ErrnoException;
      throw new SourceAwayError(`it cannot be reached: ${code ?? name}`);
    }
    return fieldOf(answer, place);
  }

  async #readToken({ refuse }: KvPlace): Promise<string> {
    const text = await readFile(this.#source.tokenFile, "utf8").catch((error: NodeJS.ErrnoException) => {
      throw refuse("ERR_SECRET_SOURCE_UNAVAILABLE", `its tokenFile gives ${error.code ?? "an error"}`);
    });
    const token = text.trim();
    if (tokenPattern.test(token)) return token;
    throw refuse("ERR_SECRET_SOURCE_UNAVAILABLE", "its tokenFile holds no token");
  }

  async #ask(place: KvPlace, { token, signal }: { token: string; signal: AbortSignal }): Promise<Answer> {
    const { address, mount, namespace } = this.#source;
    const encrypted = address.startsWith("https:");
    const query = place.version === undefined ? "" : `?version=${place.version}`;
    const request = (encrypted ? httpsRequest : httpRequest)({
      ...urlToHttpOptions(new URL(address)),
      // As it was checked: nothing decodes or shortens it on the way.
      path: `/v1/${mount}/data/${place.path}${query}`,
      headers: {
        accept: "application/json",
        "x-vault-request": "true",
        "x-vault-token": token,
        ...(namespace === undefined ? {} : { "x-vault-namespace": namespace }),
      },
      agent: false,
      signal,
      // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
      ...(encrypted ? { rejectUnauthorized: true } : {}),
      ...(encrypted && this.#ca !== undefined ? { ca: this.#ca } : {}),
    });
    const { connectMsMax } = this.#bounds;
    const timer = setTimeout(
      () => request.destroy(new SourceAwayError(`no connection in ${connectMsMax} ms`)),
      connectMsMax,
    );
    request.once("socket", (socket) => {
      socket.once(encrypted ? "secureConnect" : "connect", () => clearTimeout(timer));
    });
    try {
      const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
      request.once("response", resolve).on("error", reject).end();
      const response = await promise;
      return { status: response.statusCode ?? 0, body: await readBody(response) };
    } finally {
      clearTimeout(timer);
      request.destroy();
    }
  }
}

class AnswerTooLargeError extends Error {}

async function readBody(response: IncomingMessage): Promise<Record<string, unknown>> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const part of response as AsyncIterable<Buffer>) {
      parts.push(part);
      bytes += part.length;
      if (bytes > answerBytesMax) throw new AnswerTooLargeError();
    }
    const whole = Buffer.concat(parts);
    parts.push(whole);
    return parse(whole);
  } finally {
    for (const part of parts) part.fill(0);
  }
}

/** An object with the properties of the JSON in some bytes, or none. */
function parse(bytes: Buffer): Record<string, unknown> {
  try {
    return recordOf(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes))) ?? {};
  } catch {
    return {};
  }
}

/** What an answer says of the field; nothing of its own words, which may repeat what was sent. */
function fieldOf({ status, body }: Answer, { field, version, refuse }: KvPlace): string {
  checkStatus({ status, body }, refuse);
  const { data, metadata } = recordOf(body["data"]) ?? {};
  const { version: found, destroyed, deletion_time: deletedAt } = recordOf(metadata) ?? {};
  if (status === 404) {
    const missing = (why: string): StepvaultError => refuse("ERR_SECRET_SOURCE_MISSING", why);
    if (destroyed === true) throw missing("this version was destroyed there");
    if (typeof deletedAt === "string" && deletedAt !== "") throw missing("this version was deleted there");
    throw missing(version === undefined ? "nothing is there" : "nothing is there, or not this version");
  }
  const fields = recordOf(data);
  if (fields === undefined || typeof found !== "number") {
    throw refuse("ERR_SECRET_SOURCE_UNAVAILABLE", "its answer is none of KV version 2; check its mount");
  }
  if (version !== undefined && version !== found) {
    throw refuse("ERR_SECRET_SOURCE_UNAVAILABLE", `it answers with version ${found}`);
  }
  if (!Object.hasOwn(fields, field)) throw refuse("ERR_SECRET_SOURCE_MISSING", "it is there without this field");
  return valueOf(fields[field], refuse);
}

/** Throws unless the answer says something about the value: 200 or 404. */
function checkStatus({ status, body }: Answer, refuse: KvPlace["refuse"]): void {
  if (status === 200 || status === 404) return;
  if (status === 401 || status === 403) {
    throw refuse("ERR_SECRET_SOURCE_DENIED", `it answers ${status}: the token is not valid, or may not read this`);
  }
  if (status === 503 && isSealed(body)) throw new SourceAwayError("it is sealed");
  if ([429, 472, 473, 474].includes(status)) {
    throw new SourceAwayError(`it answers ${status}: a standby, or it is asked too much`);
  }
  if (status >= 300 && status < 400) throw new SourceAwayError(`it answers ${status}, and redirects are not followed`);
  // 412: a replica that has not caught up.
  if (status === 412 || status >= 500) throw new SourceAwayError(`it answers ${status}`);
  throw refuse("ERR_SECRET_SOURCE_UNAVAILABLE", `it answers ${status}`);
}

function isSealed({ errors }: Answer["body"]): boolean {
  return Array.isArray(errors) && errors.some((text) => typeof text === "string" && text.includes("is sealed"));
}

function valueOf(value: unknown, refuse: KvPlace["refuse"]): string {
  if (typeof value !== "string" || !value.isWellFormed()) {
    throw refuse("ERR_SECRET_VALUE_INVALID", "its value there is no Unicode text");
  }
  const bytes = Buffer.byteLength(value, "utf8");
  if (bytes >= 1 && bytes <= secretValueBytesMax) return value;
  throw refuse(
    "ERR_SECRET_VALUE_INVALID",
    `its value there has ${bytes} bytes, 1 to ${secretValueBytesMax} are allowed`,
  );
}

function recordOf(value: unknown): Record<string, unknown> | undefined {
  const isRecord = typeof value === "object" && value !== null && !Array.isArray(value);
  return isRecord ? (value as Record<string, unknown>) : undefined;
}
