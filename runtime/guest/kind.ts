/**
 * Tells the kinds of built-in objects apart by what only their own methods can read, not by prototypes: a step can set
 * any prototype, and a Proxy can answer anything. Gives what the kind holds along with its name. Runs inside the isolate.
 */
import { late } from "./late.ts";

export const errorClasses = [
  Error,
  AggregateError,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
];

export type Kind =
  | { name: "Array"; items: unknown[] }
  | { name: "TypedArray"; items: ArrayLike<unknown> }
  | { name: "Map"; entries: [unknown, unknown][] }
  | { name: "Set"; items: unknown[] }
  | { name: "Error" }
  | { name: "Date" | "RegExp"; text: string }
  | { name: "Boxed"; type: string; value: unknown }
  | { name: "Function" }
  | { name: "ArrayBuffer"; hex: string; byteLength: number }
  | { name: "Weak"; type: string };

const getter = (prototype: object, key: string | symbol): ((this: unknown) => unknown) =>
  Object.getOwnPropertyDescriptor(prototype, key)!.get as (this: unknown) => unknown;
const typedArrayTag = getter(Object.getPrototypeOf(Uint8Array.prototype) as object, Symbol.toStringTag);
const bufferLength = getter(ArrayBuffer.prototype, "byteLength");
const { forEach: mapForEach } = Map.prototype;
const { forEach: setForEach } = Set.prototype;
const { getTime, toISOString } = Date.prototype;
const regExpSource = getter(RegExp.prototype, "source");
const regExpFlags = getter(RegExp.prototype, "flags");
const weakMapHas = WeakMap.prototype.has;
const weakSetHas = WeakSet.prototype.has;
const unboxers: [string, (this: never) => unknown][] = [
  ["Number", Number.prototype.valueOf],
  ["String", String.prototype.valueOf],
  ["Boolean", Boolean.prototype.valueOf],
  ["Symbol", Symbol.prototype.valueOf],
  ["BigInt", BigInt.prototype.valueOf],
];

/** What reading gave, or undefined when the value is of another kind. */
function attempt<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** The name of a typed array's class, such as "Uint8Array"; undefined for all else. */
export function typedArrayName(value: object): string | undefined {
  return Reflect.apply(typedArrayTag, value, []) as string | undefined;
}

export const isArrayBuffer = (value: object): value is ArrayBuffer =>
  attempt(() => Reflect.apply(bufferLength, value, [])) !== undefined;

export const timeOf = (value: object): number | undefined => attempt(() => Reflect.apply(getTime, value, []));

export function mapEntries(value: object): [unknown, unknown][] | undefined {
  return attempt(() => {
    const entries: [unknown, unknown][] = [];
    Reflect.apply(mapForEach, value, [(item: unknown, key: unknown) => void entries.push([key, item])]);
    return entries;
  });
}

export function setItems(value: object): unknown[] | undefined {
  return attempt(() => {
    const items: unknown[] = [];
    Reflect.apply(setForEach, value, [(item: unknown) => void items.push(item)]);
    return items;
  });
}

export function regExpParts(value: object): { source: string; flags: string } | undefined {
  // The prototype itself answers too, but is no expression.
  if (value === RegExp.prototype) return undefined;
  return attempt(() => ({
    source: Reflect.apply(regExpSource, value, []) as string,
    flags: Reflect.apply(regExpFlags, value, []) as string,
  }));
}

export function unboxed(value: object): { type: string; value: unknown } | undefined {
  for (const [type, unbox] of unboxers) {
    const inside = attempt(() => ({ type, value: Reflect.apply(unbox, value as never, []) }));
    if (inside !== undefined) return inside;
  }
  return undefined;
}

export const isErrorObject = (value: unknown): value is Error => late.isError(value);

/** The kind of a built-in object; undefined for every other object, and for a proxy. */
export function kindOf(value: object): Kind | undefined {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (typeof value === "function") return { name: "Function" };
  if (Array.isArray(value)) return { name: "Array", items: value };
  if (late.isError(value)) return { name: "Error" };
  // The usual case: telling by failed reads costs an error for each kind.
  if (prototype === Object.prototype || prototype === null) return undefined;
  if (typedArrayName(value) !== undefined) return { name: "TypedArray", items: value as unknown as ArrayLike<unknown> };
  const entries = mapEntries(value);
  if (entries !== undefined) return { name: "Map", entries };
  const items = setItems(value);
  if (items !== undefined) return { name: "Set", items };
  const time = timeOf(value);
  if (time !== undefined) {
    return { name: "Date", text: time === time ? Reflect.apply(toISOString, value, []) : "Invalid Date" };
  }
  const expression = regExpParts(value);
  if (expression !== undefined) return { name: "RegExp", text: `/${expression.source}/${expression.flags}` };
  const boxed = unboxed(value);
  if (boxed !== undefined) return { name: "Boxed", ...boxed };
  if (isArrayBuffer(value)) return { name: "ArrayBuffer", ...bytesOfBuffer(value) };
  if (attempt(() => Reflect.apply(weakMapHas, value, [value])) !== undefined) return { name: "Weak", type: "WeakMap" };
  if (attempt(() => Reflect.apply(weakSetHas, value, [value])) !== undefined) return { name: "Weak", type: "WeakSet" };
  return undefined;
}

const shownBytesMax = 50;

function bytesOfBuffer(buffer: ArrayBuffer): { hex: string; byteLength: number } {
  const byteLength = Reflect.apply(bufferLength, buffer, []) as number;
  const bytes = new Uint8Array(buffer, 0, Math.min(byteLength, shownBytesMax));
  const left = byteLength - bytes.length;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return { byteLength, hex: left > 0 ? `${hex} ... ${left} more byte${left > 1 ? "s" : ""}` : hex };
}
