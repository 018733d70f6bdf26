/**
 * What is behind a ReadableStream: its state, its queue, the source that fills it and the one reader that empties it, as
 * the Streams Standard has them for sources of any chunks. A step is never handed these objects, only their controller,
 * so no patch of a prototype changes what they do. Runs inside the isolate.
 */
import { invoke, Notice, settled, upon } from "./promises.ts";
import { ChunkQueue, type Strategy } from "./queuing.ts";

export interface StreamController {
  readonly desiredSize: number | null;
  enqueue(chunk?: unknown): void;
  close(): void;
  error(reason?: unknown): void;
}

export interface StreamSource {
  readonly start?: ((controller: StreamController) => unknown) | undefined;
  readonly pull?: ((controller: StreamController) => unknown) | undefined;
  readonly cancel?: ((reason: unknown) => unknown) | undefined;
}

/** What becomes of one read. */
export interface ReadRequest {
  chunk(value: unknown): void;
  close(): void;
  error(reason: unknown): void;
}

export class ReadableCore {
  state: "readable" | "closed" | "errored" = "readable";
  /** Why it failed. */
  reason: unknown;
  /** Whether somebody has read from it, or cancelled it. */
  disturbed = false;
  reader: ReaderCore | undefined;
  readonly controller: StreamController;
  #source: StreamSource;
  readonly #strategy: Strategy;
  readonly #queue = new ChunkQueue();
  #started = false;
  #closing = false;
  #pulling = false;
  #pullAgain = false;

  constructor(source: StreamSource, strategy: Strategy) {
    this.#source = source;
    this.#strategy = strategy;
    this.controller = new GuestReadableController(this);
    const started = (): void => {
      this.#started = true;
      this.#pullIfWanted();
    };
    upon(source.start?.(this.controller), started, (error) => this.error(error));
  }

  /** Whether the source may still add to it, or end it. */
  get open(): boolean {
    return this.state === "readable" && !this.#closing;
  }
  get desiredSize(): number | null {
    if (this.state === "errored") return null;
    return this.state === "closed" ? 0 : this.#strategy.highWaterMark - this.#queue.totalSize;
  }
  get wantsMore(): boolean {
    if (!this.open || !this.#started) return false;
    return (this.reader?.requests.length ?? 0) > 0 || (this.desiredSize ?? 0) > 0;
  }

  enqueue(chunk: unknown): void {
    if (!this.open) return;
    const request = this.reader?.requests.shift();
    if (request !== undefined) request.chunk(chunk);
    else {
      try {
        this.#queue.add(chunk, this.#strategy.size(chunk));
      } catch (error) {
        this.error(error);
        throw error;
      }
    }
    this.#pullIfWanted();
  }

  close(): void {
    if (!this.open) return;
    this.#closing = true;
    if (this.#queue.length === 0) this.#end();
  }

  error(reason: unknown): void {
    if (this.state !== "readable") return;
    this.state = "errored";
    this.reason = reason;
    this.#queue.clear();
    this.#source = {};
    if (this.reader === undefined) return;
    this.reader.closed.reject(reason);
    for (const request of this.reader.requests.splice(0)) request.error(reason);
  }

  cancel(reason: unknown): Promise<unknown> {
    this.disturbed = true;
    if (this.state === "closed") return Promise.resolve();
    if (this.state === "errored") return Promise.reject(this.reason);
    const source = this.#source;
    this.#queue.clear();
    this.#end();
    return settled(invoke(() => source.cancel?.(reason)));
  }

  read(request: ReadRequest): void {
    this.disturbed = true;
    if (this.state === "closed") return request.close();
    if (this.state === "errored") return request.error(this.reason);
    if (this.#queue.length === 0) {
      this.reader?.requests.push(request);
      return this.#pullIfWanted();
    }
    const chunk = this.#queue.take();
    if (this.#closing && this.#queue.length === 0) this.#end();
    else this.#pullIfWanted();
    request.chunk(chunk);
  }

  #end(): void {
    this.state = "closed";
    this.#source = {};
    if (this.reader === undefined) return;
    this.reader.closed.resolve();
    for (const request of this.reader.requests.splice(0)) request.close();
  }

  #pullIfWanted(): void {
    if (!this.wantsMore) return;
    this.#pullAgain = this.#pulling;
    if (this.#pulling) return;
    this.#pulling = true;
    const source = this.#source;
    const pulled = (): void => {
      this.#pulling = false;
      if (this.#pullAgain) this.#pullIfWanted();
    };
    upon(
      invoke(() => source.pull?.(this.controller)),
      pulled,
      (error) => this.error(error),
    );
  }
}

/** The lock that a reader, a pipe or a tee holds on a stream. */
export class ReaderCore {
  /** None once it is released. */
  stream: ReadableCore | undefined;
  readonly requests: ReadRequest[] = [];
  readonly closed = new Notice();

  constructor(stream: ReadableCore) {
    if (stream.reader !== undefined) throw new TypeError("The stream is locked to a reader");
    this.stream = stream;
    stream.reader = this;
    if (stream.state === "closed") this.closed.resolve();
    if (stream.state === "errored") this.closed.reject(stream.reason);
  }

  read(request: ReadRequest): void {
    if (this.stream === undefined) request.error(new TypeError("The reader has been released"));
    else this.stream.read(request);
  }

  release(): void {
    if (this.stream === undefined) return;
    const reason = new TypeError("The reader has been released");
    this.closed.reject(reason);
    this.stream = this.stream.reader = undefined;
    for (const request of this.requests.splice(0)) request.error(reason);
  }
}

/** What a source is handed to fill its stream. */
export class GuestReadableController {
  readonly #core: ReadableCore;

  constructor(core: unknown) {
    if (!(core instanceof ReadableCore)) throw new TypeError("Illegal constructor");
    this.#core = core;
  }
  get desiredSize(): number | null {
    return this.#core.desiredSize;
  }
  enqueue(chunk?: unknown): void {
    if (!this.#core.open) throw new TypeError("The stream is closed and takes nothing more");
    this.#core.enqueue(chunk);
  }
  close(): void {
    if (!this.#core.open) throw new TypeError("The stream is closed already");
    this.#core.close();
  }
  error(reason?: unknown): void {
    this.#core.error(reason);
  }
}
