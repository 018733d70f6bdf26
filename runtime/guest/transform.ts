/**
 * TransformStream, as the Streams Standard has it: what is written comes out changed, and the writer waits while nobody
 * reads. Runs inside the isolate.
 */
import { exposeGlobal } from "./globals.ts";
import { contentsOf } from "./inspect.ts";
import { type Deferred, deferred, invoke, upon } from "./promises.ts";
import { methodOf, type Strategy, toMethods, toStrategy } from "./queuing.ts";
import { ReadableCore } from "./readable-core.ts";
import { GuestReadableStream } from "./streams.ts";
import { GuestWritableStream } from "./writable.ts";
import { WritableCore } from "./writable-core.ts";

type Call<Args extends unknown[]> = ((...args: Args) => unknown) | undefined;

interface Transformer {
  readonly start?: Call<[controller: GuestTransformController]>;
  readonly transform?: Call<[chunk: unknown, controller: GuestTransformController]>;
  readonly flush?: Call<[controller: GuestTransformController]>;
  readonly cancel?: Call<[reason: unknown]>;
}

export class TransformCore {
  readonly readable: ReadableCore;
  readonly writable: WritableCore;
  #controller: GuestTransformController;
  #transformer: Transformer;
  /** Whether writes must wait for somebody to read, and what settles when that changes. */
  #backpressure = true;
  #change: Deferred = deferred();
  /** The end, of whatever kind, once it has begun. */
  #ending: Deferred | undefined;

  constructor(
    { start, transform = (chunk) => this.enqueue(chunk), ...others }: Transformer,
    strategies: { readable: Strategy; writable: Strategy },
  ) {
    this.#transformer = { transform, ...others };
    const started = deferred();
    const waitForStart = (): Promise<unknown> => started.promise;
    this.writable = new WritableCore(
      {
        start: waitForStart,
        write: (chunk) => this.#write(chunk),
        close: () => this.#flush(),
        abort: (reason) => this.#abort(reason),
      },
      strategies.writable,
    );
    this.readable = new ReadableCore(
      { start: waitForStart, pull: () => this.#pull(), cancel: (reason) => this.#cancel(reason) },
      strategies.readable,
    );
    this.#controller = new GuestTransformController(this);
    started.resolve(start?.(this.#controller));
  }

  get backpressure(): boolean {
    return this.#backpressure;
  }

  enqueue(chunk: unknown): void {
    if (!this.readable.open) throw new TypeError("The readable side is closed and takes nothing more");
    try {
      this.readable.enqueue(chunk);
    } catch (error) {
      this.#failWritable(error);
      throw this.readable.reason;
    }
    if (!this.readable.wantsMore !== this.#backpressure) this.#setBackpressure(true);
  }

  error(reason: unknown): void {
    this.readable.error(reason);
    this.#failWritable(reason);
  }

  terminate(): void {
    this.readable.close();
    this.#failWritable(new TypeError("The transform has ended its stream"));
  }

  #failWritable(reason: unknown): void {
    this.#transformer = {};
    this.writable.fail(reason);
    if (this.#backpressure) this.#setBackpressure(false);
  }

  #setBackpressure(backpressure: boolean): void {
    this.#change.resolve();
    this.#change = deferred();
    this.#backpressure = backpressure;
  }

  async #write(chunk: unknown): Promise<void> {
    if (this.#backpressure) {
      await this.#change.promise;
      if (this.writable.state === "failing") throw this.writable.reason;
    }
    try {
      await this.#transformer.transform?.(chunk, this.#controller);
    } catch (error) {
      this.error(error);
      throw error;
    }
  }

  #pull(): Promise<unknown> {
    this.#setBackpressure(false);
    return this.#change.promise;
  }

  #flush(): Promise<unknown> {
    const { flush } = this.#transformer;
    const end = (): void => this.readable.close();
    return this.#end(() => flush?.(this.#controller), { other: this.readable, end });
  }

  #abort(reason: unknown): Promise<unknown> {
    const { cancel } = this.#transformer;
    const end = (): void => this.readable.error(reason);
    return this.#end(() => cancel?.(reason), { other: this.readable, end });
  }

  #cancel(reason: unknown): Promise<unknown> {
    const { cancel } = this.#transformer;
    const end = (): void => this.#failWritable(reason);
    return this.#end(() => cancel?.(reason), { other: this.writable, end });
  }

  /** Calls the transformer for the last time, then ends the other side. Whichever end comes first is the one. */
  #end(call: () => unknown, { other, end }: { other: ReadableCore | WritableCore; end: () => void }): Promise<unknown> {
    if (this.#ending !== undefined) return this.#ending.promise;
    const ending = deferred();
    this.#ending = ending;
    const called = invoke(call);
    this.#transformer = {};
    const done = (): void => {
      if (other.state === "errored") return ending.reject(other.reason);
      end();
      ending.resolve();
    };
    const failed = (reason: unknown): void => {
      if (other === this.readable) this.readable.error(reason);
      else this.#failWritable(reason);
      ending.reject(reason);
    };
    upon(called, done, failed);
    return ending.promise;
  }
}

/** What a transformer is handed to give chunks out. */
class GuestTransformController {
  readonly #core: TransformCore;

  constructor(core: unknown) {
    if (!(core instanceof TransformCore)) throw new TypeError("Illegal constructor");
    this.#core = core;
  }
  get desiredSize(): number | null {
    return this.#core.readable.desiredSize;
  }
  enqueue(chunk?: unknown): void {
    this.#core.enqueue(chunk);
  }
  error(reason?: unknown): void {
    this.#core.error(reason);
  }
  terminate(): void {
    this.#core.terminate();
  }
}

class GuestTransformStream {
  readonly #core: TransformCore;
  readonly #readable: GuestReadableStream;
  readonly #writable: GuestWritableStream;

  constructor(transformer: unknown = {}, writableStrategy?: unknown, readableStrategy?: unknown) {
    const methods = toTransformer(transformer);
    const readable = toStrategy(readableStrategy, 0);
    this.#core = new TransformCore(methods, { readable, writable: toStrategy(writableStrategy, 1) });
    this.#readable = new GuestReadableStream(this.#core.readable);
    this.#writable = new GuestWritableStream(this.#core.writable);
  }
  get readable(): GuestReadableStream {
    return this.#readable;
  }
  get writable(): GuestWritableStream {
    return this.#writable;
  }
  [contentsOf](): object {
    return { readable: this.#readable, writable: this.#writable, backpressure: this.#core.backpressure };
  }
}

/** A transformer as a step gives it; its functions are called on it. */
function toTransformer(given: unknown): Transformer {
  const options = toMethods(given, "A transformer");
  const [cancel, flush] = [methodOf(options, "cancel"), methodOf(options, "flush")];
  if (options["readableType"] !== undefined) throw new RangeError("A transformer has no readableType");
  const [start, transform] = [methodOf(options, "start"), methodOf(options, "transform")];
  if (options["writableType"] !== undefined) throw new RangeError("A transformer has no writableType");
  return { cancel, flush, start, transform };
}

export function installTransform(): void {
  exposeGlobal("TransformStream", GuestTransformStream);
  exposeGlobal("TransformStreamDefaultController", GuestTransformController);
}
