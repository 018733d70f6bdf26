/**
 * One exchange with a key management service over Node's own fetch, for all adapters: bounded in time and in bytes, no
 * redirect is followed, and what fails is said in words of our own, as the service's may repeat what was sent. The requests
 * of steps and their broker have nothing to do with these. Knows nothing of any one service.
 */
import { StepvaultError } from "../../protocol/error.ts";
import { SealBrokenError } from "./crypto.ts";

/** Of a call, with all that belongs to it: credentials, connection, repetitions. */
export const callMsMax = 5_000;
const answerBytesMax = 65_536;

export interface KmsAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer<ArrayBuffer>;
}

export interface KmsRequest {
  readonly method: "GET" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  readonly signal: AbortSignal;
}

/** Throws what fetch throws, and ERR_KMS_UNAVAILABLE when the answer is too long. */
export async function exchange(url: string, request: KmsRequest): Promise<KmsAnswer> {
  // A redirect would take credentials and key to another host.
  const response = await fetch(url, { ...request, redirect: "manual" });
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body ?? []) {
    bytes += part.length;
    // Leaving the loop ends the connection.
    if (bytes > answerBytesMax) throw unavailable(`read its answer: it has more than ${answerBytesMax} bytes`);
    parts.push(part);
  }
  return { status: response.status, headers: response.headers, body: Buffer.concat(parts) };
}

/** Ends after `timeoutMs` whatever the work waits for: libraries that fetch credentials take no signal. */
export async function inTime<T>(timeoutMs: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const failure = unavailable(`reach it: no answer in ${timeoutMs} ms`);
    reject(failure);
    controller.abort(failure);
  }, timeoutMs);
  try {
    return await Promise.race([work(controller.signal), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The object in a body; an empty one when it holds something else, such as a proxy's page. */
export function parseObject(body: Buffer): Record<string, unknown> {
  try {
    return asObject(JSON.parse(body.toString("utf8")));
  } catch {
    return {};
  }
}

export function asObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

/** What went wrong on the way, by the code that Node gives it. */
export function failureOnTheWay(error: unknown): Error {
  if (error instanceof StepvaultError || error instanceof SealBrokenError) return error;
  return unavailable(`reach it: ${codeOf(error) ?? "an error"}`);
}

/** Such as ECONNREFUSED: a word from Node's tables, or nothing. */
export function codeOf(error: unknown): string | undefined {
  const { code, cause } = asObject(error);
  return [asObject(cause)["code"], code]
    .filter((word) => typeof word === "string")
    .find((word) => /^[A-Z][A-Z0-9_]{2,60}$/.test(word));
}

export function unavailable(what: string): StepvaultError {
  return new StepvaultError("ERR_KMS_UNAVAILABLE", `Cannot use the key management service: to ${what}`);
}
