/**
 * What is behind a WritableStream: its state, its queue, the sink that takes one chunk after the other and the one writer
 * that fills it, as the Streams Standard has them. A step is never handed these objects, only their controller, so no
 * patch of a prototype changes what they do. Runs inside the isolate.
 */
import { type Deferred, deferred, invoke, Notice, upon } from "./promises.ts";
import { ChunkQueue, type Strategy } from "./queuing.ts";

export interface WritableController {
  readonly signal: unknown;
  error(reason?: unknown): void;
}

export interface StreamSink {
  readonly start?: ((controller: WritableController) => unknown) | undefined;
  readonly write?: ((chunk: unknown, controller: WritableController) => unknown) | undefined;
  readonly close?: (() => unknown) | undefined;
  readonly abort?: ((reason: unknown) => unknown) | undefined;
}

interface Aborting extends Deferred {
  readonly reason: unknown;
  readonly wasFailing: boolean;
}

/** Stands in the queue for the end of the stream. */
const endMark = Symbol("end");

export class WritableCore {
  /** It is failing until what is under way in the sink has settled. */
  state: "writable" | "failing" | "errored" | "closed" = "writable";
  /** Why it is failing, or has failed. */
  reason: unknown;
  writer: WriterCore | undefined;
  backpressure: boolean;
  readonly controller: GuestWritableController;
  #sink: StreamSink;
  readonly #strategy: Strategy;
  readonly #queue = new ChunkQueue();
  #started = false;
  /** The writes in the queue, and the one that is under way in the sink. */
  #writes: Deferred[] = [];
  #writing: Deferred | undefined;
  /** The end, while it waits and while it is under way. */
  #close: Deferred | undefined;
  #closing: Deferred | undefined;
  #aborting: Aborting | undefined;

  constructor(sink: StreamSink, strategy: Strategy) {
    this.#sink = sink;
    this.#strategy = strategy;
    this.backpressure = this.#room <= 0;
    this.controller = new GuestWritableController(this);
    const started = (): void => {
      this.#started = true;
      this.#advance();
    };
    upon(sink.start?.(this.controller), started, (error) => {
      this.#started = true;
      this.#stopFor(error);
    });
  }

  /** Whether its end has been asked for and is not there yet. */
  get closing(): boolean {
    return this.#close !== undefined || this.#closing !== undefined;
  }
  get desiredSize(): number | null {
    if (this.state === "errored" || this.state === "failing") return null;
    return this.state === "closed" ? 0 : this.#room;
  }
  get #room(): number {
    return this.#strategy.highWaterMark - this.#queue.totalSize;
  }

  get #over(): boolean {
    return this.state === "closed" || this.state === "errored";
  }

  /** The size that the strategy gives a chunk. If it throws, the stream fails. */
  sizeOf(chunk: unknown): number {
    if (this.state !== "writable") return 1;
    try {
      return this.#strategy.size(chunk);
    } catch (error) {
      this.fail(error);
      return 1;
    }
  }

  write(chunk: unknown, size: number): Promise<unknown> {
    if (this.state === "errored") return Promise.reject(this.reason);
    if (this.closing || this.state === "closed") return Promise.reject(new TypeError("The stream is closed"));
    if (this.state === "failing") return Promise.reject(this.reason);
    const write = deferred();
    this.#writes.push(write);
    try {
      this.#queue.add(chunk, size);
    } catch (error) {
      this.fail(error);
      return write.promise;
    }
    this.#updateBackpressure();
    this.#advance();
    return write.promise;
  }

  close(): Promise<unknown> {
    if (this.closing) return Promise.reject(new TypeError("The stream is being closed already"));
    if (this.#over) return Promise.reject(new TypeError(`The stream is ${this.state} and cannot be closed`));
    const close = deferred();
    this.#close = close;
    if (this.backpressure && this.state === "writable") this.writer?.ready.resolve();
    this.#queue.add(endMark, 0);
    this.#advance();
    return close.promise;
  }

  abort(given: unknown): Promise<unknown> {
    if (this.#over) return Promise.resolve();
    abortSink(this.controller, given);
    // What listens to the signal may have ended the stream.
    if (this.#over) return Promise.resolve();
    if (this.#aborting !== undefined) return this.#aborting.promise;
    const wasFailing = this.state === "failing";
    const aborting = { ...deferred(), wasFailing, reason: wasFailing ? undefined : given };
    this.#aborting = aborting;
    if (!wasFailing) this.#startFailing(given);
    return aborting.promise;
  }

  /** As the controller says, or when the step's functions throw. */
  fail(reason: unknown): void {
    if (this.state !== "writable") return;
    this.#sink = {};
    this.#startFailing(reason);
  }

  #updateBackpressure(): void {
    if (this.closing || this.state !== "writable") return;
    const backpressure = this.#room <= 0;
    if (backpressure !== this.backpressure) {
      if (backpressure) this.writer?.ready.renew();
      else this.writer?.ready.resolve();
    }
    this.backpressure = backpressure;
  }

  /** Gives the sink what comes next, when it is free. */
  #advance(): void {
    if (!this.#started || this.#writing !== undefined) return;
    if (this.state === "failing") return this.#finishFailing();
    if (this.#queue.length === 0) return;
    if (this.#queue.oldest === endMark) this.#closeSink();
    else this.#writeToSink(this.#queue.oldest);
  }

  #writeToSink(chunk: unknown): void {
    this.#writing = this.#writes.shift();
    const sink = this.#sink;
    const written = (): void => {
      this.#writing?.resolve();
      this.#writing = undefined;
      this.#queue.take();
      this.#updateBackpressure();
      this.#advance();
    };
    const refused = (reason: unknown): void => {
      this.#writing?.reject(reason);
      this.#writing = undefined;
      this.#stopFor(reason);
    };
    upon(
      invoke(() => sink.write?.(chunk, this.controller)),
      written,
      refused,
    );
  }

  #closeSink(): void {
    this.#closing = this.#close;
    this.#close = undefined;
    this.#queue.take();
    const sink = this.#sink;
    const closed = invoke(() => sink.close?.());
    this.#sink = {};
    const ended = (): void => {
      this.#closing?.resolve();
      this.#closing = undefined;
      // An abort that came too late to stop anything.
      this.#aborting?.resolve();
      this.#aborting = undefined;
      if (this.state === "failing") this.reason = undefined;
      this.state = "closed";
      this.writer?.closed.resolve();
    };
    const refused = (reason: unknown): void => {
      this.#closing?.reject(reason);
      this.#closing = undefined;
      this.#aborting?.reject(reason);
      this.#aborting = undefined;
      this.#stopFor(reason);
    };
    upon(closed, ended, refused);
  }

  #stopFor(reason: unknown): void {
    if (this.state === "writable") this.fail(reason);
    else this.#finishFailing();
  }

  #startFailing(reason: unknown): void {
    this.state = "failing";
    this.reason = reason;
    this.writer?.ready.reject(reason);
    const busy = this.#writing !== undefined || this.#closing !== undefined;
    if (!busy && this.#started) this.#finishFailing();
  }

  #finishFailing(): void {
    this.state = "errored";
    this.#queue.clear();
    for (const { reject } of this.#writes.splice(0)) reject(this.reason);
    const aborting = this.#aborting;
    this.#aborting = undefined;
    const tell = (): void => {
      this.#close?.reject(this.reason);
      this.#close = undefined;
      this.writer?.closed.reject(this.reason);
    };
    if (aborting === undefined) return tell();
    if (aborting.wasFailing) {
      aborting.reject(this.reason);
      return tell();
    }
    const sink = this.#sink;
    this.#sink = {};
    const aborted = (): void => {
      aborting.resolve();
      tell();
    };
    const refused = (error: unknown): void => {
      aborting.reject(error);
      tell();
    };
    upon(
      invoke(() => sink.abort?.(aborting.reason)),
      aborted,
      refused,
    );
  }
}

/** The lock that a writer or a pipe holds on a stream. */
export class WriterCore {
  /** None once it is released. */
  stream: WritableCore | undefined;
  readonly ready = new Notice();
  readonly closed = new Notice();

  constructor(stream: WritableCore) {
    if (stream.writer !== undefined) throw new TypeError("The stream is locked to a writer");
    this.stream = stream;
    stream.writer = this;
    const { state, reason, closing, backpressure } = stream;
    if (state === "failing" || state === "errored") this.ready.reject(reason);
    else if (state === "closed" || closing || !backpressure) this.ready.resolve();
    if (state === "closed") this.closed.resolve();
    if (state === "errored") this.closed.reject(reason);
  }

  write(chunk: unknown): Promise<unknown> {
    const { stream } = this;
    const size = stream?.sizeOf(chunk) ?? 0;
    // The strategy may have released it.
    if (stream === undefined || this.stream !== stream) return Promise.reject(released());
    return stream.write(chunk, size);
  }

  /** For what has no use for a second error: what is closing already is fine. */
  closeOrFail(): Promise<unknown> {
    const { stream } = this;
    if (stream === undefined || stream.closing || stream.state === "closed") return Promise.resolve();
    return stream.state === "errored" ? Promise.reject(stream.reason) : stream.close();
  }

  release(): void {
    if (this.stream === undefined) return;
    this.ready.reject(released());
    this.closed.reject(released());
    this.stream = this.stream.writer = undefined;
  }
}

const released = (): TypeError => new TypeError("The writer has been released");

let makeAborter: () => AbortController;
let abortSink: (controller: GuestWritableController, reason: unknown) => void;

/** Has the controllers of sinks take their signals from what is on the global now. */
export function prepareSinks(): void {
  const { AbortController } = globalThis;
  const { abort } = AbortController.prototype;
  makeAborter = () => new AbortController();
  abortSink = (controller, reason) => Reflect.apply(abort, aborterOf(controller), [reason]);
}

let aborterOf: (controller: GuestWritableController) => AbortController;

/** What a sink is handed to see that its stream is aborted, and to break it. */
export class GuestWritableController {
  readonly #core: WritableCore;
  readonly #aborter = makeAborter();

  constructor(core: unknown) {
    if (!(core instanceof WritableCore)) throw new TypeError("Illegal constructor");
    this.#core = core;
  }
  get signal(): AbortSignal {
    return this.#aborter.signal;
  }
  error(reason?: unknown): void {
    this.#core.fail(reason);
  }
  static {
    aborterOf = (controller) => controller.#aborter;
  }
}
