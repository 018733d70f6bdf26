/**
 * How long to wait before something is tried again, and which failures may pass. Waits differ at random, so that many clients
 * whose server was away are not all back in the same moment. Imports errors only.
 */
import { StepvaultApiError, StepvaultClientError } from "./errors.ts";

const passingStatuses = new Set([429, 502, 503, 504]);
const passingCodes = new Set<string>(["ERR_CLIENT_NETWORK", "ERR_CLIENT_TIMEOUT"]);
const waitMsFirst = 250;
const waitMsMax = 8_000;

/** Whether the same request may go better later. */
export function mayPass(error: unknown): boolean {
  if (error instanceof StepvaultApiError) return passingStatuses.has(error.status);
  return error instanceof StepvaultClientError && passingCodes.has(error.code);
}

/** Longer each time, and at least as long as the server says. */
export function waitMsBefore(attempt: number, error?: unknown): number {
  const asked = error instanceof StepvaultApiError && mayPass(error) ? error.retryAfterMs : undefined;
  const usual = Math.random() * Math.min(waitMsMax, waitMsFirst * 2 ** attempt);
  return asked === undefined ? usual : Math.max(asked + Math.random() * waitMsFirst, usual);
}

/** Waits, unless the caller stops it: then it throws the signal's reason. */
export async function wait(timeMs: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
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

/** Bears a server that is away for a while: waits longer after each failure, and not at all once it took too long. */
export class Patience {
  readonly #timeMsMax: number;
  readonly #signal: AbortSignal | undefined;
  readonly #endMs: number;
  #failures = 0;
  /** When the first of these failures was. */
  #sinceMs = 0;

  /** `timeMsMax` is of failures alone, without an answer between them; nothing is waited for after `endMs`. */
  constructor(timeMsMax: number, { signal, endMs = Infinity }: { signal: AbortSignal | undefined; endMs?: number }) {
    this.#timeMsMax = timeMsMax;
    this.#signal = signal;
    this.#endMs = endMs;
  }

  /** The server answered. */
  renew(): void {
    this.#failures = 0;
  }

  /**
   * Throws the error when it does not pass by itself, or when the wait would be too long; else waits, and tells whether there
   * is time for another try.
   */
  async bear(error: unknown): Promise<boolean> {
    if (this.#failures === 0) this.#sinceMs = performance.now();
    this.#failures += 1;
    const waitMs = waitMsBefore(this.#failures, error);
    if (!mayPass(error) || performance.now() + waitMs > this.#sinceMs + this.#timeMsMax) throw error;
    const leftMs = this.#endMs - performance.now();
    await wait(Math.max(0, Math.min(waitMs, leftMs)), this.#signal);
    return waitMs < leftMs;
  }

  /** Does it until it succeeds. Throws what `bear` throws, and the last error when the time is over. */
  async until<T>(doing: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await doing();
      } catch (error) {
        if (!(await this.bear(error))) throw error;
      }
    }
  }
}
