/**
 * ReadableStream, as much of it as bodies need: made from a source, from an iterable or from bytes; read by a reader or
 * by `for await`; cancelled and split in two. There are no byte readers, no pipes and no writable end. Runs inside the
 * isolate.
 */
import { exposeGlobal } from "./globals.ts";

interface ReadResult {
  readonly value: unknown;
  readonly done: boolean;
}

interface StreamController {
  readonly desiredSize: number | null;
  enqueue(chunk?: unknown): void;
  close(): void;
  error(reason?: unknown): void;
}

interface StreamSource {
  start?(controller: StreamController): unknown;
  pull?(controller: StreamController): unknown;
  cancel?(reason: unknown): unknown;
}

interface Waiting {
  resolve(result: ReadResult): void;
  reject(reason: unknown): void;
}

const endOfStream: ReadResult = { value: undefined, done: true };

/** The queue between a source and its one reader. Pulls only for a read that waits, so nothing is made ahead. */
class StreamQueue {
  #chunks: unknown[] = [];
  #waiting: Waiting[] = [];
  #state: "open" | "closing" | "closed" | "failed" = "open";
  #reason: unknown;
  #source: StreamSource;
  #started: Promise<unknown>;
  #pulling = false;
  readonly closed: Promise<undefined>;
  #settleClosed!: Waiting;

  constructor(source: StreamSource) {
    this.#source = source;
    this.closed = new Promise<ReadResult>((resolve, reject) => {
      this.#settleClosed = { resolve, reject };
    }).then(() => undefined);
    this.closed.catch(() => {});
    this.#started = Promise.resolve(source.start?.(this.#controller));
    this.#started.catch((error: unknown) => this.#fail(error));
  }

  get #controller(): StreamController {
    const state = (): string => this.#state;
    return {
      get desiredSize() {
        return state() === "open" ? 1 : state() === "failed" ? null : 0;
      },
      enqueue: (chunk) => {
        if (this.#state !== "open") throw new TypeError("The stream is closed and takes nothing more");
        const waiting = this.#waiting.shift();
        if (waiting === undefined) this.#chunks.push(chunk);
        else waiting.resolve({ value: chunk, done: false });
      },
      close: () => {
        if (this.#state !== "open") throw new TypeError("The stream is closed already");
        this.#state = "closing";
        this.#closeWhenEmpty();
      },
      error: (reason) => this.#fail(reason),
    };
  }

  #closeWhenEmpty(): void {
    if (this.#state !== "closing" || this.#chunks.length > 0) return;
    this.#state = "closed";
    for (const { resolve } of this.#waiting.splice(0)) resolve(endOfStream);
    this.#settleClosed.resolve(endOfStream);
  }

  #fail(reason: unknown): void {
    if (this.#state === "closed" || this.#state === "failed") return;
    this.#state = "failed";
    this.#reason = reason;
    this.#chunks = [];
    for (const { reject } of this.#waiting.splice(0)) reject(reason);
    this.#settleClosed.reject(reason);
  }

  async read(): Promise<ReadResult> {
    if (this.#chunks.length > 0) {
      const value = this.#chunks.shift();
      this.#closeWhenEmpty();
      return { value, done: false };
    }
    if (this.#state === "failed") throw this.#reason;
    if (this.#state !== "open") return endOfStream;
    const result = new Promise<ReadResult>((resolve, reject) => this.#waiting.push({ resolve, reject }));
    void this.#pull();
    return await result;
  }

  async #pull(): Promise<void> {
    if (this.#pulling) return;
    this.#pulling = true;
    try {
      await this.#started;
      while (this.#waiting.length > 0 && this.#state === "open" && this.#source.pull !== undefined) {
        await this.#source.pull(this.#controller);
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#pulling = false;
  }

  async cancel(reason: unknown): Promise<void> {
    if (this.#state === "failed") throw this.#reason;
    if (this.#state === "closed") return;
    this.#chunks = [];
    this.#state = "closing";
    this.#closeWhenEmpty();
    await this.#source.cancel?.(reason);
  }
}

class GuestReader {
  #queue: StreamQueue | undefined;
  #release: () => void;
  readonly closed: Promise<undefined>;

  constructor(queue: StreamQueue, release: () => void) {
    this.#queue = queue;
    this.#release = release;
    this.closed = queue.closed;
  }
  #held(): StreamQueue {
    if (this.#queue === undefined) throw new TypeError("The reader has been released");
    return this.#queue;
  }
  async read(): Promise<ReadResult> {
    return await this.#held().read();
  }
  async cancel(reason?: unknown): Promise<void> {
    await this.#held().cancel(reason);
  }
  releaseLock(): void {
    this.#queue = undefined;
    this.#release();
  }
}

export class GuestReadableStream {
  #queue: StreamQueue;
  #locked = false;
  #disturbed = false;

  constructor(source: StreamSource = {}) {
    this.#queue = new StreamQueue(source);
  }
  get locked(): boolean {
    return this.#locked;
  }
  getReader(): GuestReader {
    if (this.#locked) throw new TypeError("The stream is locked to a reader");
    this.#locked = this.#disturbed = true;
    return new GuestReader(this.#queue, () => {
      this.#locked = false;
    });
  }
  async cancel(reason?: unknown): Promise<void> {
    if (this.#locked) throw new TypeError("The stream is locked to a reader");
    this.#disturbed = true;
    await this.#queue.cancel(reason);
  }
  async *values({ preventCancel = false }: { preventCancel?: boolean } = {}): AsyncGenerator {
    const reader = this.getReader();
    let whole = false;
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        yield value;
      }
      whole = true;
    } finally {
      if (!whole && !preventCancel) await reader.cancel();
      reader.releaseLock();
    }
  }
  [Symbol.asyncIterator](options?: { preventCancel?: boolean }): AsyncGenerator {
    return this.values(options);
  }
  tee(): [GuestReadableStream, GuestReadableStream] {
    const reader = this.getReader();
    const controllers: StreamController[] = [];
    const pull = async (): Promise<void> => {
      const { value, done } = await reader.read();
      for (const controller of controllers) {
        if (done) controller.close();
        else controller.enqueue(value);
      }
    };
    const branch = (): GuestReadableStream =>
      new GuestReadableStream({ start: (controller) => controllers.push(controller), pull });
    return [branch(), branch()];
  }
  static from(items: Iterable<unknown> | AsyncIterable<unknown>): GuestReadableStream {
    const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
    return new GuestReadableStream({
      async pull(controller) {
        const { value, done } = await iterator.next();
        if (done === true) controller.close();
        else controller.enqueue(await value);
      },
      async cancel() {
        await iterator.return?.();
      },
    });
  }
  /** Whether somebody has read from it. */
  static isDisturbed(stream: GuestReadableStream): boolean {
    return stream.#disturbed;
  }
}

export const { isDisturbed } = GuestReadableStream;

/** A stream of bytes that are there already, in pieces as a network would give them. */
export function streamOf(bytes: Uint8Array): GuestReadableStream {
  let at = 0;
  return new GuestReadableStream({
    pull(controller) {
      if (at < bytes.length) controller.enqueue(bytes.slice(at, at + 65_536));
      at += 65_536;
      if (at >= bytes.length) controller.close();
    },
  });
}

export function installStreams(): void {
  exposeGlobal("ReadableStream", GuestReadableStream);
  exposeGlobal("ReadableStreamDefaultReader", GuestReader);
}
