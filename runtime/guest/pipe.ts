/**
 * A pipe from a readable to a writable stream: chunks go one after the other, as fast as the writable takes them, and
 * errors, the end and an abort go on to the other side, as the options say. Runs inside the isolate.
 */
import { GuestAbortSignal, onAbort } from "./events.ts";
import { type Deferred, deferred, expected, invoke, upon } from "./promises.ts";
import { toOptions } from "./queuing.ts";
import { type ReadableCore, ReaderCore } from "./readable-core.ts";
import { type WritableCore, WriterCore } from "./writable-core.ts";

export interface PipeOptions {
  readonly preventAbort?: unknown;
  readonly preventCancel?: unknown;
  readonly preventClose?: unknown;
  readonly signal?: unknown;
}

interface PipeSettings extends PipeOptions {
  readonly signal: GuestAbortSignal | undefined;
}

export function toPipeOptions(given: unknown): PipeSettings {
  const { preventAbort, preventCancel, preventClose, signal } = toOptions(given, "The options of a pipe");
  if (signal !== undefined && !(signal instanceof GuestAbortSignal))
    throw new TypeError("The signal of a pipe must be an AbortSignal");
  return { preventAbort, preventCancel, preventClose, signal };
}

interface Failure {
  readonly reason: unknown;
}

const nothing = (): void => {};

/** Settles when both streams are free again. Neither may be locked. */
export function pipe(from: ReadableCore, to: WritableCore, settings: PipeSettings): Promise<unknown> {
  const running = new Pipe(from, to, settings);
  return running.result;
}

class Pipe {
  readonly #from: ReadableCore;
  readonly #to: WritableCore;
  readonly #reader: ReaderCore;
  readonly #writer: WriterCore;
  readonly #settings: PipeSettings;
  readonly #done: Deferred = deferred();
  #lastWrite: Promise<unknown> = Promise.resolve();
  #ending = false;
  #released = false;

  constructor(from: ReadableCore, to: WritableCore, settings: PipeSettings) {
    this.#from = from;
    this.#to = to;
    this.#settings = settings;
    this.#reader = new ReaderCore(from);
    this.#writer = new WriterCore(to);
    from.disturbed = true;
    const { signal } = settings;
    if (signal !== undefined) onAbort(signal, () => this.#abort(signal));
    if (this.#ending) return;
    this.#watch();
    this.#next();
  }

  get result(): Promise<unknown> {
    return this.#done.promise;
  }

  #abort(signal: GuestAbortSignal): void {
    if (this.#released) return;
    const { preventAbort, preventCancel } = this.#settings;
    const reason: unknown = signal.reason;
    this.#end({ reason }, () =>
      Promise.all([
        preventAbort || this.#to.state !== "writable" ? undefined : this.#to.abort(reason),
        preventCancel || this.#from.state !== "readable" ? undefined : this.#from.cancel(reason),
      ]),
    );
  }

  /** Ends when one of the two streams does. The order is the standard's: what comes first wins. */
  #watch(): void {
    const { preventAbort, preventCancel, preventClose } = this.#settings;
    const [from, to] = [this.#from, this.#to];
    const fromFailed = (reason: unknown): void =>
      this.#end({ reason }, preventAbort ? undefined : () => to.abort(reason));
    const toFailed = (reason: unknown): void =>
      this.#end({ reason }, preventCancel ? undefined : () => from.cancel(reason));
    const fromEnded = (): void => this.#end(undefined, preventClose ? undefined : () => this.#writer.closeOrFail());

    if (from.state === "errored") fromFailed(from.reason);
    else upon(this.#reader.closed.promise, nothing, fromFailed);
    if (to.state === "errored") toFailed(to.reason);
    else upon(this.#writer.closed.promise, nothing, toFailed);
    if (from.state === "closed") fromEnded();
    else upon(this.#reader.closed.promise, fromEnded, nothing);
    if (to.closing || to.state === "closed")
      toFailed(new TypeError("The destination of the pipe was closed before everything had been written"));
  }

  #next(): void {
    if (this.#ending) return;
    const read = (): void => {
      if (this.#ending) return;
      this.#reader.read({
        chunk: (value) => (this.#lastWrite = expected(this.#write(value))),
        close: nothing,
        error: nothing,
      });
    };
    if (!this.#to.backpressure) read();
    // When it fails instead of being ready, the watch ends the pipe.
    else upon(this.#writer.ready.promise, read, nothing);
  }

  /** A moment later, as the sink must not be called while the source is adding a chunk. */
  async #write(chunk: unknown): Promise<void> {
    await Promise.resolve();
    const written = this.#writer.write(chunk);
    this.#next();
    await written;
  }

  /** Ends once, when what has been read is written: does the action, then frees both streams. */
  #end(failure: Failure | undefined, action: () => unknown = nothing): void {
    if (this.#ending) return;
    this.#ending = true;
    const finish = (): void => {
      const finalize = (last: Failure | undefined): void => {
        this.#released = true;
        this.#writer.release();
        this.#reader.release();
        if (last === undefined) this.#done.resolve();
        else this.#done.reject(last.reason);
      };
      upon(
        invoke(action),
        () => finalize(failure),
        (reason) => finalize({ reason }),
      );
    };
    if (this.#to.state === "writable" && !this.#to.closing) this.#afterWrites(finish);
    else finish();
  }

  #afterWrites(then: () => void): void {
    const last = this.#lastWrite;
    const again = (): void => (last === this.#lastWrite ? then() : this.#afterWrites(then));
    upon(last, again, again);
  }
}
