/**
 * One attempt at a request: its connection, how long it may be silent, and what its failure is called. The only place that
 * calls `fetch`, for whole answers and for streams alike, so that neither follows a redirect or keeps a platform's own error,
 * which may quote the request. Imports errors and answers only.
 */
import { type Asked, discard } from "./answer.ts";
import { StepvaultApiError, StepvaultClientError } from "./errors.ts";
import type { Fetch } from "./settings.ts";

/** What is sent, checked before any of it leaves. */
export interface Prepared {
  readonly url: string;
  readonly init: RequestInit;
  readonly asked: Asked;
  readonly repeatable: boolean;
  readonly signal: AbortSignal | undefined;
}

/** No whole answer came; the next attempt may go better. */
export class Passing extends StepvaultClientError {}

export class Attempt {
  readonly #prepared: Prepared;
  readonly #controller = new AbortController();
  readonly #stop = (): void => this.#controller.abort();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #expired: string | undefined;

  constructor(prepared: Prepared) {
    this.#prepared = prepared;
    prepared.signal?.addEventListener("abort", this.#stop);
  }

  /** From now on, so much time; `what` has not come when it is over. */
  allow(timeMs: number, what: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#expired = `${what} within ${Math.ceil(timeMs)} ms`;
      this.#stop();
    }, timeMs);
  }

  /** The reader takes its time; that is not the server's fault. */
  pause(): void {
    clearTimeout(this.#timer);
  }

  /** The answer's head. Throws ERR_CLIENT_REDIRECT and what `fetch` throws. */
  async open(fetch: Fetch = globalThis.fetch): Promise<Response> {
    const { url, init, asked, signal } = this.#prepared;
    signal?.throwIfAborted();
    const response = await fetch(url, { ...init, signal: this.#controller.signal });
    const { status, type, redirected } = response;
    if (type !== "opaqueredirect" && !redirected && (status < 300 || status >= 400 || status === 304)) return response;
    discard(response);
    throw new StepvaultClientError(
      "ERR_CLIENT_REDIRECT",
      `Cannot ${asked.action}: the server answers with a redirect, which is not followed; check the base URL`,
    );
  }

  /** What to throw instead of whatever was thrown. */
  failure(error: unknown): unknown {
    if (error instanceof StepvaultClientError || error instanceof StepvaultApiError) return error;
    const { url, asked, signal } = this.#prepared;
    if (signal?.aborted === true) return signal.reason;
    if (this.#expired !== undefined)
      return new Passing("ERR_CLIENT_TIMEOUT", `Cannot ${asked.action}: ${this.#expired}`);
    const why = `no whole answer from ${new URL(url).origin}${reasonOf(error)}`;
    return new Passing("ERR_CLIENT_NETWORK", `Cannot ${asked.action}: ${why}`);
  }

  /** Lets go of the connection, if anything still holds it. */
  end({ abort }: { abort: boolean }): void {
    clearTimeout(this.#timer);
    this.#prepared.signal?.removeEventListener("abort", this.#stop);
    if (abort) this.#stop();
  }
}

/** The system's code, such as ECONNREFUSED. Nothing else of a platform's error is kept: it may quote the request. */
function reasonOf(error: unknown): string {
  const code = (error as { cause?: { code?: unknown } } | undefined)?.cause?.code;
  return typeof code === "string" && /^[A-Z_]{2,40}$/.test(code) ? ` (${code})` : "";
}
