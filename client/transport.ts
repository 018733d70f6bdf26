/**
 * Sends a request and reads its answer. The key leaves in the Authorization header, to the client's own base URL, and in
 * no other way: not in a URL, by a redirect, to another host, or into an error. Prints nothing. A request is sent again only
 * when that cannot do a thing twice. Imports what it is made of, and no Key: it is given the texts that it sends.
 */
import { type Answer, readAnswer, readRefusal } from "./answer.ts";
import { Attempt, Passing, type Prepared } from "./attempt.ts";
import { StepvaultClientError } from "./errors.ts";
import { ownFields } from "./own.ts";
import { type Query, requestUrl } from "./path.ts";
import { mayPass, wait, waitMsBefore } from "./pauses.ts";
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
  /** False for a PUT or DELETE that does something new each time: it is sent once. */
  readonly repeatable?: false | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a request is authenticated with. */
export interface Credential {
  readonly project: string;
  readonly key: string;
  readonly hint: string;
}

const repeatableMethods = new Set(["GET", "HEAD", "PUT", "DELETE"]);
const methods = new Set([...repeatableMethods, "POST", "PATCH"]);
const ownHeaders = new Set([
  "authorization",
  "proxy-authorization",
  "cookie",
  "host",
  "content-type",
  "idempotency-key",
]);
const jsonTypes = "application/json, application/problem+json";
const eventTypes = "text/event-stream, application/problem+json";

/**
 * Throws StepvaultApiError for what the server refuses; ERR_CLIENT_REQUEST before anything is sent; ERR_CLIENT_REDIRECT,
 * ERR_CLIENT_NETWORK, ERR_CLIENT_TIMEOUT, ERR_CLIENT_ANSWER; the signal's own reason when the caller stops it.
 */
export async function send<Body>(
  settings: Settings,
  credential: Credential,
  request: RequestOptions,
): Promise<Answer<Body>> {
  const prepared = prepare(settings, credential, { request, accept: jsonTypes });
  const { timeMsMax, attemptTimeMsMax, retriesMax } = settings.limits;
  const endMs = performance.now() + timeMsMax;
  for (let attempt = 1; ; attempt += 1) {
    const leftMs = Math.max(0, endMs - performance.now());
    try {
      return await attemptOnce<Body>(settings, prepared, Math.min(attemptTimeMsMax, leftMs));
    } catch (error) {
      const waitMs = waitMsBefore(attempt, error);
      const again = prepared.repeatable && attempt <= retriesMax && performance.now() + waitMs < endMs;
      if (!again || !mayPass(error)) throw final(error, attempt);
      await wait(waitMs, prepared.signal);
    }
  }
}

function final(error: unknown, attempts: number): unknown {
  if (!(error instanceof Passing)) return error;
  return new StepvaultClientError(error.code, `${error.message}; attempts: ${attempts}`);
}

/** Checks all of a request before any of it leaves. */
function prepare(
  { base }: Settings,
  { project, key, hint }: Credential,
  { request, accept }: { request: RequestOptions; accept: string },
): Prepared {
  const own = ownFields(request);
  const { method = "GET", path, query, body, idempotencyKey, signal } = own;
  const url = requestUrl(base, path, query);
  if (!methods.has(method)) throw refused("its method is not one that the API has");
  const headers = new Headers({ accept });
  for (const [name, value] of Object.entries(own.headers ?? {})) {
    if (!isHeader(name, value) || ownHeaders.has(name.toLowerCase()))
      throw refused("one of its headers is malformed, or one that the client sets itself");
    headers.set(name, value);
  }
  if (idempotencyKey !== undefined) {
    if (!/^[\x21-\x7e]{1,200}$/.test(idempotencyKey)) throw refused("its idempotency key is not 1 to 200 characters");
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
  const repeatable = own.repeatable !== false && (repeatableMethods.has(method) || idempotencyKey !== undefined);
  return { url: url.href, init, asked: { action: `${method} ${path}`, key, hint }, repeatable, signal };
}

async function attemptOnce<Body>(
  { fetch, limits }: Settings,
  prepared: Prepared,
  timeMsMax: number,
): Promise<Answer<Body>> {
  const attempt = new Attempt(prepared);
  try {
    attempt.allow(timeMsMax, "no whole answer");
    const response = await attempt.open(fetch);
    if (response.ok) return await readAnswer<Body>(response, prepared.asked, limits.answerBytesMax);
    throw await readRefusal(response, prepared.asked, Date.now());
  } catch (error) {
    throw attempt.failure(error);
  } finally {
    attempt.end({ abort: false });
  }
}

/**
 * The bytes of a stream of events as they come, of one attempt. Ends when the server ends it, at once when there is nothing to
 * come (204); nothing is read ahead of who takes them. Throws what `send` throws, and ERR_CLIENT_TIMEOUT when the server is
 * silent for too long. Who stops taking lets go of the connection.
 */
export async function* receive(
  settings: Settings,
  credential: Credential,
  { onAnswer, ...request }: RequestOptions & { readonly onAnswer: (status: number) => void },
): AsyncGenerator<Uint8Array, void> {
  const prepared = prepare(settings, credential, { request, accept: eventTypes });
  const { attemptTimeMsMax, silenceTimeMsMax } = settings.limits;
  const attempt = new Attempt(prepared);
  try {
    attempt.allow(attemptTimeMsMax, "no answer");
    const response = await attempt.open(settings.fetch);
    if (!response.ok) throw await readRefusal(response, prepared.asked, Date.now());
    const type = response.headers.get("content-type");
    if (response.status !== 204 && !/^text\/event-stream(?:;|$)/i.test(type ?? ""))
      throw new StepvaultClientError(
        "ERR_CLIENT_ANSWER",
        `Cannot ${prepared.asked.action}: the answer is no event stream`,
      );
    onAnswer(response.status);
    const reader = response.body?.getReader();
    for (;;) {
      attempt.allow(silenceTimeMsMax, "nothing came");
      const part = await reader?.read();
      attempt.pause();
      if (part === undefined || part.done) return;
      yield part.value;
    }
  } catch (error) {
    throw attempt.failure(error);
  } finally {
    attempt.end({ abort: true });
  }
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

function refused(why: string): StepvaultClientError {
  return new StepvaultClientError("ERR_CLIENT_REQUEST", `Cannot send the request: ${why}`);
}
