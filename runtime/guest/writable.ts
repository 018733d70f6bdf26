/**
 * WritableStream and its writer, as the Streams Standard has them: made from a sink that takes one chunk after the other,
 * with a queue before it that says when it is full. Runs inside the isolate.
 */
import { exposeGlobal } from "./globals.ts";
import { contentsOf } from "./inspect.ts";
import { methodOf, toMethods, toStrategy } from "./queuing.ts";
import { GuestWritableController, prepareSinks, type StreamSink, WritableCore, WriterCore } from "./writable-core.ts";

/** What is behind a stream. Throws a TypeError for what is none. */
export let writableCore: (stream: unknown) => WritableCore;

const lockedError = (): TypeError => new TypeError("The stream is locked to a writer");
const releasedError = (): TypeError => new TypeError("The writer has been released");

class GuestWriter {
  readonly #writer: WriterCore;

  constructor(stream: unknown) {
    this.#writer = new WriterCore(writableCore(stream));
  }
  get closed(): Promise<unknown> {
    return this.#writer.closed.promise;
  }
  get ready(): Promise<unknown> {
    return this.#writer.ready.promise;
  }
  get desiredSize(): number | null {
    const { stream } = this.#writer;
    if (stream === undefined) throw releasedError();
    return stream.desiredSize;
  }
  write(chunk?: unknown): Promise<unknown> {
    return this.#writer.write(chunk);
  }
  close(): Promise<unknown> {
    return this.#writer.stream?.close() ?? Promise.reject(releasedError());
  }
  abort(reason?: unknown): Promise<unknown> {
    return this.#writer.stream?.abort(reason) ?? Promise.reject(releasedError());
  }
  releaseLock(): void {
    this.#writer.release();
  }
}

export class GuestWritableStream {
  readonly #core: WritableCore;

  constructor(sink: unknown = {}, strategy?: unknown) {
    this.#core = sink instanceof WritableCore ? sink : new WritableCore(toSink(sink), toStrategy(strategy, 1));
  }
  get locked(): boolean {
    return this.#core.writer !== undefined;
  }
  getWriter(): GuestWriter {
    return new GuestWriter(this);
  }
  abort(reason?: unknown): Promise<unknown> {
    return this.locked ? Promise.reject(lockedError()) : this.#core.abort(reason);
  }
  close(): Promise<unknown> {
    return this.locked ? Promise.reject(lockedError()) : this.#core.close();
  }
  [contentsOf](): object {
    const { state } = this.#core;
    return { locked: this.locked, state: state === "failing" ? "erroring" : state };
  }
  static {
    writableCore = (stream) => (stream as GuestWritableStream).#core;
  }
}

/** A sink as a step gives it; its functions are called on it. */
function toSink(given: unknown): StreamSink {
  const options = toMethods(given, "The sink of a stream");
  const [abort, close, start] = [methodOf(options, "abort"), methodOf(options, "close"), methodOf(options, "start")];
  if (options["type"] !== undefined) throw new RangeError("A sink has no type");
  return { abort, close, start, write: methodOf(options, "write") };
}

export function installWritable(): void {
  prepareSinks();
  exposeGlobal("WritableStream", GuestWritableStream);
  exposeGlobal("WritableStreamDefaultWriter", GuestWriter);
  exposeGlobal("WritableStreamDefaultController", GuestWritableController);
}
