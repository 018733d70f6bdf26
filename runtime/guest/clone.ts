/**
 * structuredClone for an isolate that has none: primitives, plain objects, arrays, Map, Set, Date, RegExp, Error, boxed
 * primitives, buffers and typed arrays, with cycles and shared parts kept. What cannot be cloned is a DataCloneError, as
 * the HTML standard has it. Nothing can be transferred. Runs inside the isolate.
 */

function dataCloneError(what: string): Error {
  const error = new Error(`${what} could not be cloned`);
  error.name = "DataCloneError";
  return error;
}

function cloneValue(value: unknown, seen = new Map<object, unknown>()): unknown {
  if (typeof value === "function") throw dataCloneError("A function");
  if (typeof value === "symbol") throw dataCloneError("A symbol");
  if (typeof value !== "object" || value === null) return value;
  if (seen.has(value)) return seen.get(value);
  const clone = emptyClone(value, seen);
  seen.set(value, clone);
  if (value instanceof Map)
    for (const [key, item] of value)
      (clone as Map<unknown, unknown>).set(cloneValue(key, seen), cloneValue(item, seen));
  else if (value instanceof Set) for (const item of value) (clone as Set<unknown>).add(cloneValue(item, seen));
  else if (value instanceof Error) copyError(value, clone as Error, seen);
  else if (Array.isArray(value) || isPlain(value)) {
    for (const key of Object.keys(value))
      (clone as Record<string, unknown>)[key] = cloneValue((value as Record<string, unknown>)[key], seen);
  }
  return clone;
}

/** A new object of the same kind, whole where it has no parts that are cloned one by one. */
function emptyClone(value: object, seen: Map<object, unknown>): object {
  if (Array.isArray(value)) return Array.from({ length: value.length });
  if (value instanceof Date) return new Date(value.getTime());
  if (value instanceof RegExp) return new RegExp(value.source, value.flags);
  if (value instanceof Map) return new Map();
  if (value instanceof Set) return new Set();
  if (value instanceof Error) return new Error(value.message);
  if (value instanceof ArrayBuffer) return value.slice(0);
  if (ArrayBuffer.isView(value)) return cloneView(value, seen);
  if (value instanceof Number || value instanceof String || value instanceof Boolean)
    return new Object(value.valueOf());
  if (value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet || value instanceof WeakRef) {
    throw dataCloneError(`A ${value.constructor.name}`);
  }
  return {};
}

function cloneView(view: ArrayBufferView, seen: Map<object, unknown>): object {
  const buffer = cloneValue(view.buffer, seen) as ArrayBuffer;
  const Constructor = view.constructor as new (buffer: ArrayBuffer, at: number, length: number) => object;
  const length = view instanceof DataView ? view.byteLength : (view as unknown as { length: number }).length;
  return new Constructor(buffer, view.byteOffset, length);
}

function copyError(from: Error, to: Error, seen: Map<object, unknown>): void {
  const hidden = (key: string, value: unknown): void => {
    Object.defineProperty(to, key, { value, writable: true, configurable: true, enumerable: false });
  };
  hidden("name", String(from.name));
  hidden("stack", from.stack);
  if ("cause" in from) hidden("cause", cloneValue(from.cause, seen));
}

/** An object whose own properties are all there is to it; instances of classes lose their class, as the standard says. */
function isPlain(value: object): boolean {
  return (
    !(value instanceof Date) &&
    !(value instanceof RegExp) &&
    !(value instanceof ArrayBuffer) &&
    !ArrayBuffer.isView(value)
  );
}

export function installClone(): void {
  (globalThis as Record<string, unknown>)["structuredClone"] = function structuredClone(value: unknown): unknown {
    return cloneValue(value);
  };
}
