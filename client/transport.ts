/**
 * Sends a request and reads its answer. The key leaves in the Authorization header, to the client's own base URL, and in
 * no other way: not in a URL, by a redirect, to another host, or into an error. Prints nothing. A request is sent again only
 * when that cannot do a thing twice. Imports what it is made of, and no Key: it is given the texts that it sends.
 */
import { type Answer, type Asked, discard, readAnswer, readRefusal } from "./answer.ts";
import { StepvaultApiError, StepvaultClientError } from "./errors.ts";
import { ownFields } from "./own.ts";
import { type Query, requestUrl } from "./path.ts";
import type { Settings } from "./settings.ts";

export interface RequestOptions {
  /** GET, if nothing else is said. */
  readonly method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | undefined;
  /** Below the base URL: `/v1/…`, with its parts encoded. */
  readonly path: string;
  readonly query?: Query | undefined;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** With one, a POST or PATCH may be sent again: the server does it once. */
  readonly idempotencyKey?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a request is authenticated with. */
export interface Credential {
  readonly project: string;
  readonly key: string;
  readonly hint: string;
}

interface Prepared {
  readonly url: string;
  readonly init: RequestInit;
  readonly asked: Asked;
  readonly repeatable: boolean;
  readonly signal: AbortSignal | undefined;
}

/** No whole answer came; the next attempt may go better. */
class Passing extends StepvaultClientError {}

const repeatableMethods = new Set(["GET", "HEAD", "PUT", "DELETE"]);
const methods = new Set([...repeatableMethods, "POST", "PATCH"]);
const passingStatuses = new Set([429, 502, 503, 504]);
const ownHeaders = new Set([
  "authorization",
  "proxy-authorization",
  "cookie",
  "host",
  "content-type",
  "idempotency-key",
]);
const waitMsFirst = 250;
const waitMsMax = 8_000;

/**
 * Throws StepvaultApiError for what the server refuses; ERR_CLIENT_REQUEST before anything is sent; ERR_CLIENT_REDIRECT,
 * ERR_CLIENT_NETWORK, ERR_CLIENT_TIMEOUT, ERR_CLIENT_ANSWER; the signal's own reason when the caller stops it.
 */
export async function send<Body>(
  settings: Settings,
  credential: Credential,
  request: RequestOptions,
): Promise<Answer<Body>> {
  const prepared = prepare(settings, credential, ownFields(request));
  const { timeMsMax, attemptTimeMsMax, retriesMax } = settings.limits;
  const endMs = performance.now() + timeMsMax;
  for (let attempt = 1; ; attempt += 1) {
    const leftMs = Math.max(0, endMs - performance.now());
    try {
      return await attemptOnce<Body>(settings, prepared, Math.min(attemptTimeMsMax, leftMs));
    } catch (error) {
      const waitMs = waitMsBefore(attempt, error);
      const again = prepared.repeatable && attempt <= retriesMax && performance.now() + waitMs < endMs;
      if (!again || !(error instanceof Passing || isPassingStatus(error))) throw final(error, attempt);
      await wait(waitMs, prepared.signal);
    }
  }
}

function final(error: unknown, attempts: number): unknown {
  if (!(error instanceof Passing)) return error;
  return new StepvaultClientError(error.code, `${error.message}; attempts: ${attempts}`);
}

function isPassingStatus(error: unknown): error is StepvaultApiError {
  return error instanceof StepvaultApiError && passingStatuses.has(error.status);
}

/** As long as the server says, else longer each time; never at the same moment as everybody else. */
function waitMsBefore(attempt: number, error: unknown): number {
  const asked = isPassingStatus(error) ? error.retryAfterMs : undefined;
  if (asked !== undefined) return asked + Math.random() * waitMsFirst;
  return Math.random() * Math.min(waitMsMax, waitMsFirst * 2 ** attempt);
}

/** Checks all of a request before any of it leaves. */
function prepare({ base }: Settings, { project, key, hint }: Credential, request: RequestOptions): Prepared {
  const { method = "GET", path, query, body, idempotencyKey, signal } = request;
  const url = requestUrl(base, path, query);
  if (!methods.has(method)) throw refused("its method is not one that the API has");
  const headers = new Headers({ accept: "application/json, application/problem+json" });
  for (const [name, value] of Object.entries(request.headers ?? {})) {
    if (!isHeader(name, value) || ownHeaders.has(name.toLowerCase()))
      throw refused("one of its headers is malformed, or one that the client sets itself");
    headers.set(name, value);
  }
  if (idempotencyKey !== undefined) {
    if (!/^[\x21-\x7e]{1,255}$/.test(idempotencyKey)) throw refused("its idempotency key is not 1 to 255 characters");
    headers.set("idempotency-key", idempotencyKey);
  }
  const places = [url.href, decoded(url.href), ...headers.values()];
  if (places.some((text) => text.includes(key))) throw refused("it has the key elsewhere than in Authorization");
  headers.set("authorization", `${project}:${key}`);
  const init: RequestInit = {
    method,
    headers,
    // A redirect would take the key along. "error" could not be told from a network that fails.
    redirect: "manual",
    credentials: "omit",
    cache: "no-store",
    referrerPolicy: "no-referrer",
  };
  if (body !== undefined) {
    if (method === "GET" || method === "HEAD") throw refused(`a ${method} has no body`);
    init.body = bodyOf(body);
    headers.set("content-type", "application/json");
  }
  const repeatable = repeatableMethods.has(method) || idempotencyKey !== undefined;
  return { url: url.href, init, asked: { action: `${method} ${path}`, key, hint }, repeatable, signal };
}

async function attemptOnce<Body>(
  { fetch = globalThis.fetch, limits }: Settings,
  { url, init, asked, signal }: Prepared,
  timeMsMax: number,
): Promise<Answer<Body>> {
  signal?.throwIfAborted();
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    stop();
  }, timeMsMax);
  signal?.addEventListener("abort", stop);
  try {
    const response = await fetch(url, { ...init, signal: controller.signal });
    const { status, type, redirected } = response;
    if (type === "opaqueredirect" || redirected || (status >= 300 && status < 400 && status !== 304)) {
      discard(response);
      throw new StepvaultClientError(
        "ERR_CLIENT_REDIRECT",
        `Cannot ${asked.action}: the server answers with a redirect, which is not followed; check the base URL`,
      );
    }
    if (response.ok) return await readAnswer<Body>(response, asked, limits.answerBytesMax);
    throw await readRefusal(response, asked, Date.now());
  } catch (error) {
    if (error instanceof StepvaultClientError || error instanceof StepvaultApiError) throw error;
    signal?.throwIfAborted();
    if (timedOut) throw passing("ERR_CLIENT_TIMEOUT", asked, `no whole answer within ${Math.ceil(timeMsMax)} ms`);
    throw passing("ERR_CLIENT_NETWORK", asked, `no whole answer from ${new URL(url).origin}${reasonOf(error)}`);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

/** Waits, unless the caller stops it. */
async function wait(timeMs: number, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, timeMs);
    signal?.addEventListener("abort", done);
  });
  signal?.throwIfAborted();
}

/** The system's code, such as ECONNREFUSED. Nothing else of a platform's error is kept: it may quote the request. */
function reasonOf(error: unknown): string {
  const code = (error as { cause?: { code?: unknown } } | undefined)?.cause?.code;
  return typeof code === "string" && /^[A-Z_]{2,40}$/.test(code) ? ` (${code})` : "";
}

function bodyOf(body: unknown): string {
  try {
    const text = JSON.stringify(body) as string | undefined;
    if (text !== undefined) return text;
  } catch {
    // Told below, in words that quote nothing of it.
  }
  throw refused("its body cannot be written as JSON");
}

function isHeader(name: string, value: unknown): boolean {
  return /^[0-9A-Za-z-]{1,100}$/.test(name) && typeof value === "string" && /^[\x20-\x7e]*$/.test(value);
}

/** Twice, as something in front of the server may do. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(decodeURIComponent(text));
  } catch {
    return text;
  }
}

function passing(code: Passing["code"], { action }: Asked, why: string): Passing {
  return new Passing(code, `Cannot ${action}: ${why}`);
}

function refused(why: string): StepvaultClientError {
  return new StepvaultClientError("ERR_CLIENT_REQUEST", `Cannot send the request: ${why}`);
}
