/**
 * Reads answers: never more bytes than allowed, as JSON or not at all, and a refusal as what RFC 9457 says of it. What a
 * server writes ends in logs and terminals, so texts of it are cut, rid of control characters and of the key, should it
 * send that back. Imports errors only.
 */
import { type Problem, StepvaultApiError, StepvaultClientError } from "./errors.ts";

export interface Answer<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly requestId: string | undefined;
  /** Undefined when the answer has no body. */
  readonly body: Body;
}

/** What of a request its answer is read with. */
export interface Asked {
  /** Its method and path. */
  readonly action: string;
  readonly key: string;
  readonly hint: string;
}

const problemBytesMax = 65_536;
const textCharactersMax = 2_000;
const nameCharactersMax = 200;
const errorsMax = 100;

/** A good answer. Throws ERR_CLIENT_ANSWER, and what reading throws when the connection ends. */
export async function readAnswer<Body>(response: Response, asked: Asked, bytesMax: number): Promise<Answer<Body>> {
  const { status, headers } = response;
  const requestId = cleaned(headers.get("x-request-id"), asked, nameCharactersMax);
  const bytes = await readBytes(response, bytesMax);
  if (bytes === undefined) throw unusable(asked, `it has more than ${bytesMax} bytes`);
  if (bytes.length === 0) return { status, headers, requestId, body: undefined as Body };
  const body = parseJson(bytes);
  if (body === undefined) throw unusable(asked, `its ${bytes.length} bytes with status ${status} are not JSON`);
  return { status, headers, requestId, body: body.value as Body };
}

/** A refusal as an error. One that cannot be read still has its status. */
export async function readRefusal(response: Response, asked: Asked, now: number): Promise<StepvaultApiError> {
  const { status, headers } = response;
  const bytes = await readBytes(response, problemBytesMax).catch(() => undefined);
  const problem = fieldsOf(bytes === undefined ? undefined : parseJson(bytes)?.value);
  const name = (value: unknown): string | undefined => cleaned(value, asked, nameCharactersMax);
  const text = (value: unknown): string | undefined => cleaned(value, asked, textCharactersMax);
  const parts: unknown[] = Array.isArray(problem["errors"]) ? problem["errors"].slice(0, errorsMax) : [];
  const told: Problem = {
    status,
    code: name(problem["code"]),
    title: name(problem["title"]),
    detail: text(problem["detail"]),
    requestId: name(problem["requestId"]) ?? name(headers.get("x-request-id")),
    errors: parts.map((part) => ({ pointer: name(fieldsOf(part)["pointer"]), detail: text(fieldsOf(part)["detail"]) })),
    retryAfterMs: retryAfterMsOf(headers.get("retry-after"), now),
  };
  return new StepvaultApiError(asked.action, told);
}

/** Nobody waits for the rest of an answer that is not read. */
export function discard(response: Response): void {
  response.body?.cancel().catch(() => undefined);
}

/** Undefined when there are more than allowed. Counted as they come: no header is believed, and no archive unpacked whole. */
async function readBytes(response: Response, bytesMax: number): Promise<Uint8Array | undefined> {
  const reader = response.body?.getReader();
  const chunks: Uint8Array[] = [];
  let count = 0;
  for (;;) {
    const part = await reader?.read();
    if (part === undefined || part.done) break;
    count += part.value.length;
    if (count > bytesMax) {
      reader?.cancel().catch(() => undefined);
      return undefined;
    }
    chunks.push(part.value);
  }
  const bytes = new Uint8Array(count);
  let filled = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, filled);
    filled += chunk.length;
  }
  return bytes;
}

/** Undefined for what is no JSON. The parser's own error quotes what it read. */
function parseJson(bytes: Uint8Array): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) };
  } catch {
    return undefined;
  }
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function cleaned(value: unknown, { key, hint }: Asked, charactersMax: number): string | undefined {
  if (typeof value !== "string" || value === "") return undefined;
  // Control characters first: one in the midst of the key would hide it.
  const text = value.replaceAll(/\p{C}+/gu, "").replaceAll(key, hint);
  return text.length > charactersMax ? `${text.slice(0, charactersMax)}…` : text;
}

/** Seconds or a date, which begins with a day's name: of a number, `Date.parse` would make a year. */
function retryAfterMsOf(text: string | null, now: number): number | undefined {
  if (text === null) return undefined;
  const date = /^[A-Z]/i.test(text) ? Date.parse(text) : Number.NaN;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : date - now;
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

function unusable({ action }: Asked, why: string): StepvaultClientError {
  return new StepvaultClientError("ERR_CLIENT_ANSWER", `Cannot ${action}: the answer cannot be used, ${why}`);
}
