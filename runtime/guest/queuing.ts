/**
 * How much a stream may hold ready: the queue of chunks with their sizes that every stream has, the strategies that say
 * when it is full, and how the objects that a step gives to a stream are read. Runs inside the isolate.
 */
import { exposeGlobal } from "./globals.ts";

type Method = (...args: unknown[]) => unknown;

/** An object of options, which may be left out. */
export function toOptions(value: unknown, what: string): Record<string, unknown> {
  return value === undefined || value === null ? {} : toMethods(value, what);
}

/** A source, a sink or a transformer. */
export function toMethods(value: unknown, what: string): Record<string, unknown> {
  if ((typeof value === "object" && value !== null) || typeof value === "function")
    return value as Record<string, unknown>;
  throw new TypeError(`${what} must be an object`);
}

/** One of its functions, bound to it. */
export function methodOf(methods: Record<string, unknown>, name: string): Method | undefined {
  const method = methods[name];
  if (method === undefined) return undefined;
  if (typeof method !== "function") throw new TypeError(`"${name}" must be a function`);
  return (...args) => Reflect.apply(method, methods, args) as unknown;
}

export interface Strategy {
  readonly highWaterMark: number;
  size(chunk: unknown): number;
}

export function toStrategy(given: unknown, highWaterMarkDefault: number): Strategy {
  const options = toOptions(given, "A queuing strategy");
  const mark = options["highWaterMark"];
  const highWaterMark = mark === undefined ? highWaterMarkDefault : Number(mark);
  const size = options["size"];
  if (size !== undefined && typeof size !== "function") throw new TypeError('"size" must be a function');
  if (!(highWaterMark >= 0)) throw new RangeError("A highWaterMark must be a number that is not negative");
  // Called on nothing, as the standard has it: a strategy's `size` is a function and not a method.
  return { highWaterMark, size: (chunk) => (size === undefined ? 1 : Number(Reflect.apply(size, undefined, [chunk]))) };
}

export class ChunkQueue {
  #entries: { readonly value: unknown; readonly size: number }[] = [];
  /** Where the oldest entry is; what is before it goes in one piece, as taking single ones from a long list is slow. */
  #first = 0;
  totalSize = 0;

  get length(): number {
    return this.#entries.length - this.#first;
  }
  get oldest(): unknown {
    return this.#entries[this.#first]?.value;
  }
  add(value: unknown, size: number): void {
    if (!(size >= 0 && size < Infinity)) throw new RangeError("The size of a chunk must be finite and not negative");
    this.#entries.push({ value, size });
    this.totalSize += size;
  }
  take(): unknown {
    const { value, size } = this.#entries[this.#first]!;
    this.#first += 1;
    if (this.#first >= 1_000 || this.length === 0) {
      this.#entries = this.#entries.slice(this.#first);
      this.#first = 0;
    }
    // Sizes need not be whole, so that what is left of a sum may be a little less than nothing.
    this.totalSize = Math.max(0, this.totalSize - size);
    return value;
  }
  clear(): void {
    this.#entries = [];
    this.#first = this.totalSize = 0;
  }
}

/** One function for all strategies of a kind, which no step's patch of a prototype reaches. */
const countOf = (): number => 1;
const byteLengthOf = (chunk: { byteLength: unknown }): unknown => chunk.byteLength;

function requiredMark(init: unknown): number {
  const { highWaterMark } = toOptions(init, "The options of a queuing strategy");
  if (highWaterMark === undefined) throw new TypeError("A queuing strategy needs a highWaterMark");
  return Number(highWaterMark);
}

class CountStrategy {
  #mark: number;
  constructor(init: unknown) {
    this.#mark = requiredMark(init);
  }
  get highWaterMark(): number {
    return this.#mark;
  }
  get size(): () => number {
    return countOf;
  }
}

class ByteLengthStrategy {
  #mark: number;
  constructor(init: unknown) {
    this.#mark = requiredMark(init);
  }
  get highWaterMark(): number {
    return this.#mark;
  }
  get size(): typeof byteLengthOf {
    return byteLengthOf;
  }
}

export function installQueuing(): void {
  for (const size of [countOf, byteLengthOf]) Object.defineProperty(size, "name", { value: "size" });
  exposeGlobal("CountQueuingStrategy", CountStrategy);
  exposeGlobal("ByteLengthQueuingStrategy", ByteLengthStrategy);
}
