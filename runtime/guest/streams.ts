/**
 * ReadableStream: made from a source, an iterable or bytes; read by a reader or by `for await`; cancelled, split in two
 * and piped. As the Streams Standard has it, without byte sources (`type: "bytes"`) and their readers, which no client
 * library has asked for. Runs inside the isolate.
 */
import { exposeGlobal } from "./globals.ts";
import { contentsOf } from "./inspect.ts";
import { pipe, type PipeOptions, toPipeOptions } from "./pipe.ts";
import { expected, upon } from "./promises.ts";
import { installQueuing, methodOf, toMethods, toOptions, toStrategy } from "./queuing.ts";
import { GuestReadableController, ReadableCore, ReaderCore, type StreamSource } from "./readable-core.ts";
import { tee } from "./tee.ts";
import { installWritable, writableCore } from "./writable.ts";
import type { WritableCore } from "./writable-core.ts";

interface ReadResult {
  readonly done: boolean;
  readonly value: unknown;
}

/** Reads once; `onEnd` is called when there is nothing more to read. */
function readOnce(reader: ReaderCore, onEnd: () => void = () => {}): Promise<ReadResult> {
  return new Promise((resolve, reject) => {
    reader.read({
      chunk: (value) => resolve({ done: false, value }),
      close() {
        onEnd();
        resolve({ done: true, value: undefined });
      },
      error(reason) {
        onEnd();
        reject(reason);
      },
    });
  });
}

let coreOf: (stream: GuestReadableStream) => ReadableCore;

class GuestReader {
  readonly #reader: ReaderCore;

  constructor(stream: GuestReadableStream) {
    this.#reader = new ReaderCore(coreOf(stream));
  }
  get closed(): Promise<unknown> {
    return this.#reader.closed.promise;
  }
  read(): Promise<ReadResult> {
    return readOnce(this.#reader);
  }
  cancel(reason?: unknown): Promise<unknown> {
    const { stream } = this.#reader;
    return stream === undefined ? Promise.reject(new TypeError("The reader has been released")) : stream.cancel(reason);
  }
  releaseLock(): void {
    this.#reader.release();
  }
}

/** What `for await` works with: one step after the other, however they are asked for. */
class StreamIterator {
  readonly #reader: ReaderCore;
  readonly #preventCancel: boolean;
  /** The step under way. */
  #current: Promise<unknown> | undefined;
  #finished = false;

  constructor(reader: ReaderCore, preventCancel: boolean) {
    this.#reader = reader;
    this.#preventCancel = preventCancel;
  }
  next(): Promise<ReadResult> {
    return this.#inTurn(() => {
      if (this.#finished) return Promise.resolve({ done: true, value: undefined });
      return readOnce(this.#reader, () => this.#finish());
    });
  }
  return(value?: unknown): Promise<ReadResult> {
    return this.#inTurn(async () => {
      if (this.#finished) return { done: true, value };
      const cancelled = this.#preventCancel ? undefined : this.#reader.stream?.cancel(value);
      this.#finish();
      await cancelled;
      return { done: true, value };
    });
  }
  #finish(): void {
    this.#finished = true;
    this.#reader.release();
  }
  #inTurn(step: () => Promise<ReadResult>): Promise<ReadResult> {
    const result = this.#current === undefined ? step() : afterwards(this.#current, step);
    this.#current = result;
    const done = (): void => {
      if (this.#current === result) this.#current = undefined;
    };
    upon(result, done, done);
    return result;
  }
}

async function afterwards<Result>(before: Promise<unknown>, step: () => Promise<Result>): Promise<Result> {
  try {
    await before;
  } catch {
    // Whoever asked for it is told.
  }
  return await step();
}

export class GuestReadableStream {
  readonly #core: ReadableCore;

  constructor(source: StreamSource | ReadableCore = {}, strategy?: unknown) {
    this.#core = source instanceof ReadableCore ? source : new ReadableCore(toSource(source), toStrategy(strategy, 1));
  }
  get locked(): boolean {
    return this.#core.reader !== undefined;
  }
  getReader(options?: { mode?: unknown }): GuestReader {
    const { mode } = toOptions(options, "The options of a reader");
    if (mode !== undefined) throw new TypeError("Only streams of bytes have readers with a mode, and there are none");
    return new GuestReader(this);
  }
  cancel(reason?: unknown): Promise<unknown> {
    if (this.locked) return Promise.reject(new TypeError("The stream is locked to a reader"));
    return this.#core.cancel(reason);
  }
  values(options?: { preventCancel?: unknown }): AsyncIterableIterator<unknown> {
    const { preventCancel } = toOptions(options, "The options of an iterator");
    const iterator = new StreamIterator(new ReaderCore(this.#core), Boolean(preventCancel));
    return iterator as unknown as AsyncIterableIterator<unknown>;
  }
  declare [Symbol.asyncIterator]: GuestReadableStream["values"];
  tee(): [GuestReadableStream, GuestReadableStream] {
    const [first, second] = tee(new ReaderCore(this.#core));
    return [new GuestReadableStream(first), new GuestReadableStream(second)];
  }
  pipeTo(destination: unknown, options?: PipeOptions): Promise<unknown> {
    try {
      const sink = writableCore(destination);
      const settings = toPipeOptions(options);
      this.#refuseLocked(sink);
      return pipe(this.#core, sink, settings);
    } catch (error) {
      return Promise.reject(error);
    }
  }
  pipeThrough(pair: { readable?: unknown; writable?: unknown }, options?: PipeOptions): unknown {
    const { readable, writable } = toOptions(pair, "What a stream is piped through");
    // Both must be streams before anything is locked.
    coreOf(readable as GuestReadableStream);
    const sink = writableCore(writable);
    const settings = toPipeOptions(options);
    this.#refuseLocked(sink);
    expected(pipe(this.#core, sink, settings));
    return readable;
  }
  #refuseLocked(destination: WritableCore): void {
    if (this.locked) throw new TypeError("The stream is locked to a reader");
    if (destination.writer !== undefined) throw new TypeError("The destination of the pipe is locked to a writer");
  }
  static from(items: Iterable<unknown> | AsyncIterable<unknown>): GuestReadableStream {
    return new GuestReadableStream(iterableSource(items), { highWaterMark: 0 });
  }
  /** Whether somebody has read from it. */
  static isDisturbed(stream: GuestReadableStream): boolean {
    return stream.#core.disturbed;
  }
  [contentsOf](): object {
    return { locked: this.locked, state: this.#core.state, supportsBYOB: false };
  }
  static {
    coreOf = (stream) => stream.#core;
  }
}

export const { isDisturbed } = GuestReadableStream;

/** A source as a step gives it; its functions are called on it. */
function toSource(given: unknown): StreamSource {
  const options = toMethods(given, "The source of a stream");
  const [cancel, pull, start] = [methodOf(options, "cancel"), methodOf(options, "pull"), methodOf(options, "start")];
  if (options["type"] !== undefined) throw new TypeError("Streams of bytes (type) are not supported: leave it out");
  return { cancel, pull, start };
}

function iterableSource(items: Iterable<unknown> | AsyncIterable<unknown>): StreamSource {
  const { [Symbol.asyncIterator]: asynchronous, [Symbol.iterator]: synchronous } = Object(items) as Record<
    symbol,
    unknown
  >;
  const make = asynchronous ?? synchronous;
  if (typeof make !== "function") throw new TypeError("The value is not iterable");
  const iterator = Reflect.apply(make, items, []) as AsyncIterator<unknown, unknown>;
  return {
    async pull(controller) {
      const result = await iterator.next();
      if (typeof result !== "object" || result === null) throw new TypeError("The result of an iterator is no object");
      if (result.done === true) controller.close();
      // Items of what iterates synchronously may be promises.
      else controller.enqueue(asynchronous === undefined ? await result.value : result.value);
    },
    async cancel(reason) {
      await iterator.return?.(reason);
    },
  };
}

/** A stream of bytes that are there already, in pieces as a network would give them. */
export function streamOf(bytes: Uint8Array): GuestReadableStream {
  let at = 0;
  const source: StreamSource = {
    pull(controller) {
      if (at < bytes.length) controller.enqueue(bytes.slice(at, at + 65_536));
      at += 65_536;
      if (at >= bytes.length) controller.close();
    },
  };
  return new GuestReadableStream(source, { highWaterMark: 0 });
}

export function installStreams(): void {
  const iterators = Object.getPrototypeOf(async function* (): AsyncGenerator {}.prototype) as object;
  Object.setPrototypeOf(StreamIterator.prototype, Object.getPrototypeOf(iterators) as object);
  // The iterator's class is not to be found.
  Reflect.deleteProperty(StreamIterator.prototype, "constructor");
  const { values } = Object.getOwnPropertyDescriptors(GuestReadableStream.prototype);
  Object.defineProperty(GuestReadableStream.prototype, Symbol.asyncIterator, { ...values, enumerable: false });
  installQueuing();
  installWritable();
  exposeGlobal("ReadableStream", GuestReadableStream);
  exposeGlobal("ReadableStreamDefaultReader", GuestReader);
  exposeGlobal("ReadableStreamDefaultController", GuestReadableController);
}
