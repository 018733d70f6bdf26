/**
 * structuredClone for an isolate that has none: primitives, plain objects, arrays, Map, Set, Date, RegExp, Error, boxed
 * primitives, buffers and typed arrays, with cycles and shared parts kept, and buffers handed over with `transfer`. What
 * cannot be cloned is a DataCloneError, as the HTML standard has it. Runs inside the isolate.
 */
import { blobBytes, GuestBlob } from "./blob.ts";
import { GuestDOMException } from "./exception.ts";
import { exposeGlobal } from "./globals.ts";
import {
  isArrayBuffer,
  errorClasses,
  isErrorObject,
  mapEntries,
  regExpParts,
  setItems,
  timeOf,
  typedArrayName,
  unboxed,
} from "./kind.ts";

type Seen = Map<object, unknown>;

function dataCloneError(what: string): Error {
  return new GuestDOMException(`${what} could not be cloned.`, "DataCloneError");
}

function cloneValue(value: unknown, seen: Seen): unknown {
  if (typeof value === "symbol") throw dataCloneError(String(value));
  if (typeof value === "function") throw dataCloneError("A function");
  if (typeof value !== "object" || value === null) return value;
  if (seen.has(value)) return seen.get(value);
  const entries = mapEntries(value);
  const items = entries === undefined ? setItems(value) : undefined;
  if (entries !== undefined) {
    const clone = remember(seen, value, new Map());
    for (const [key, item] of entries) clone.set(cloneValue(key, seen), cloneValue(item, seen));
    return clone;
  }
  if (items !== undefined) {
    const clone = remember(seen, value, new Set());
    for (const item of items) clone.add(cloneValue(item, seen));
    return clone;
  }
  if (isErrorObject(value)) return cloneError(value, seen);
  const whole = cloneWhole(value, seen);
  if (whole !== undefined) return remember(seen, value, whole);
  const clone = remember(
    seen,
    value,
    (Array.isArray(value) ? Array.from({ length: 0 }) : {}) as Record<string, unknown>,
  );
  if (Array.isArray(value)) clone["length"] = value.length;
  for (const key of Object.keys(value)) {
    const item = cloneValue((value as Record<string, unknown>)[key], seen);
    Object.defineProperty(clone, key, { value: item, writable: true, enumerable: true, configurable: true });
  }
  return clone;
}

function remember<Clone extends object>(seen: Seen, value: object, clone: Clone): Clone {
  seen.set(value, clone);
  return clone;
}

/** Kinds that have no parts to clone one by one; undefined for plain objects and arrays. */
function cloneWhole(value: object, seen: Seen): object | undefined {
  if (Array.isArray(value)) return undefined;
  if (isArrayBuffer(value)) return value.slice(0);
  if (ArrayBuffer.isView(value)) return cloneView(value, seen);
  const time = timeOf(value);
  if (time !== undefined) return new Date(time);
  const expression = regExpParts(value);
  if (expression !== undefined) return new RegExp(expression.source, expression.flags);
  const boxed = unboxed(value);
  if (boxed?.type === "Symbol") throw dataCloneError("A symbol");
  if (boxed !== undefined) return new Object(boxed.value);
  if (value instanceof GuestBlob) return new GuestBlob([blobBytes(value)], { type: value.type });
  for (const kind of [Promise, WeakMap, WeakSet, WeakRef])
    if (value instanceof kind) throw dataCloneError(`#<${kind.name}>`);
  return undefined;
}

function cloneView(view: ArrayBufferView, seen: Seen): object {
  const buffer = cloneValue(view.buffer, seen) as ArrayBuffer;
  const name = typedArrayName(view);
  if (name === undefined) return new DataView(buffer, view.byteOffset, view.byteLength);
  const constructor = viewConstructors[name] as new (buffer: ArrayBuffer, at: number, length: number) => object;
  return new constructor(buffer, view.byteOffset, (view as unknown as { length: number }).length);
}

const viewConstructors = Object.fromEntries(
  Object.getOwnPropertyNames(globalThis)
    .filter((name) => /^(Big)?(Int|Uint|Float)\d+(Clamped)?Array$/.test(name))
    .map((name) => [name, (globalThis as Record<string, unknown>)[name]]),
);

/** By name; an AggregateError becomes an Error, as the HTML standard has it. */
const clonedErrorClasses: Readonly<Record<string, new (message: string) => Error>> = Object.fromEntries(
  errorClasses.filter((made) => made !== AggregateError).map((made) => [made.name, made as ErrorConstructor]),
);

function cloneError(from: Error, seen: Seen): Error {
  const name = String(from.name);
  const made = Object.hasOwn(clonedErrorClasses, name) ? clonedErrorClasses[name]! : Error;
  const clone = remember(seen, from, new made(""));
  const hidden = (key: string, value: unknown): void => {
    Object.defineProperty(clone, key, { value, writable: true, configurable: true, enumerable: false });
  };
  hidden("message", String(from.message));
  hidden("stack", String(from.stack));
  if (Object.hasOwn(from, "cause")) hidden("cause", cloneValue(from.cause, seen));
  return clone;
}

function transferInto(seen: Seen, transfer: Iterable<unknown>): void {
  for (const buffer of transfer) {
    if (typeof buffer !== "object" || buffer === null || !isArrayBuffer(buffer) || seen.has(buffer))
      throw dataCloneError("A value to transfer");
    seen.set(buffer, undefined);
  }
  // Only when all of them can go.
  for (const buffer of seen.keys()) seen.set(buffer, (buffer as ArrayBuffer).transfer());
}

export function installClone(): void {
  exposeGlobal(
    "structuredClone",
    (value: unknown, { transfer = [] }: { transfer?: Iterable<unknown> } = {}): unknown => {
      const seen: Seen = new Map();
      transferInto(seen, transfer);
      return cloneValue(value, seen);
    },
  );
}
