/**
 * Structured values: a copy in which every string, key, number, byte array and error is masked.
 *
 * The input may be hostile: getters and proxies throw, references form cycles, depth has no end. What cannot be read
 * is replaced, never passed on, and the input is never changed. Strings are masked one by one first, then looked at
 * joined in reading order, because a value split over fields is put together again by whoever reads them.
 */

import { types } from "node:util";
import { type Leaf, maskJoined } from "./joined.ts";
import type { Span } from "./scanner.ts";

export type ValueOperations = {
  text(text: string): string;
  bytes(bytes: Uint8Array): Uint8Array;
  /** The placeholder for a number, or undefined when it is none of the secrets. */
  number(number: number | bigint): string | undefined;
  spans(text: string): Span[];
  mask(span: Span): string;
};

const DEPTH_MAX = 200;
const UNREADABLE = "[unreadable]";
const TOO_DEEP = "[too deep]";

export function redactValue(value: unknown, operations: ValueOperations): unknown {
  try {
    return new ValueCopier(operations).copyAll(value);
  } catch {
    return UNREADABLE;
  }
}

type Assign = (masked: unknown) => void;

class ValueCopier {
  readonly #operations: ValueOperations;
  readonly #copies = new Map<object, unknown>();
  readonly #leaves: Leaf[] = [];

  constructor(operations: ValueOperations) {
    this.#operations = operations;
  }

  copyAll(value: unknown): unknown {
    let copy: unknown;
    this.#copy(value, 0, (masked) => {
      copy = masked;
    });
    maskJoined(this.#leaves, this.#operations);
    return copy;
  }

  /** Hands the copy to `assign`; for a string perhaps once more, when it turns out to be a part of a value. */
  #copy(value: unknown, depth: number, assign: Assign): void {
    switch (typeof value) {
      case "string":
        assign(this.#operations.text(value));
        this.#leaves.push({ text: value, isText: true, assign });
        return;
      case "number":
      case "bigint":
        assign(this.#operations.number(value) ?? value);
        this.#leaves.push({ text: String(value), isText: false, assign });
        return;
      case "symbol":
        assign(this.#operations.text(String(value)));
        return;
      case "function":
        assign("[function]");
        return;
      case "object":
        if (value !== null) {
          this.#copyObject(value, depth, assign);
          return;
        }
    }
    assign(value);
  }

  #copyObject(value: object, depth: number, assign: Assign): void {
    if (this.#copies.has(value)) assign(this.#copies.get(value));
    else if (depth >= DEPTH_MAX) assign(TOO_DEEP);
    else {
      try {
        this.#copyKind(value, depth + 1, assign);
      } catch {
        this.#copies.set(value, UNREADABLE);
        assign(UNREADABLE);
      }
    }
  }

  #copyKind(value: object, depth: number, assign: Assign): void {
    const keep = <T>(copy: T): T => {
      this.#copies.set(value, copy);
      assign(copy);
      return copy;
    };
    if (types.isProxy(value)) this.#copyFields(value, Array.isArray(value) ? keep([]) : keep({}), depth);
    else if (types.isDate(value)) keep(new Date(Date.prototype.getTime.call(value)));
    else if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) keep(this.#copyBytes(value));
    else if (types.isMap(value)) this.#copyMap(value, keep(new Map()), depth);
    else if (types.isSet(value)) this.#copySet(value, keep(new Set()), depth);
    else if (types.isNativeError(value)) this.#copyError(value, keep, depth);
    else if (types.isBoxedPrimitive(value)) this.#copy((value as { valueOf(): unknown }).valueOf(), depth, keep);
    else if (types.isRegExp(value) || value instanceof URL || value instanceof URLSearchParams) {
      keep(this.#operations.text(String(value)));
    } else if (Array.isArray(value)) this.#copyArray(value, keep, depth);
    else this.#copyFields(value, keep({}), depth);
  }

  #copyArray(value: unknown[], keep: <T>(copy: T) => T, depth: number): void {
    // A list of character codes is a value written in numbers.
    if (
      value.length >= 4 &&
      value.every((item) => Number.isInteger(item) && (item as number) >= 0 && (item as number) < 256)
    ) {
      const bytes = Uint8Array.from(value as number[]);
      const masked = this.#operations.bytes(bytes);
      if (masked !== bytes) {
        keep(Buffer.from(masked).toString());
        return;
      }
    }
    const copy = keep<unknown[]>([]);
    copy.length = value.length;
    this.#copyFields(value, copy, depth);
  }

  #copyFields(value: object, copy: object, depth: number): void {
    const names = Reflect.ownKeys(value);
    const taken = new Set<PropertyKey>(names);
    for (const name of names) {
      const property = Reflect.getOwnPropertyDescriptor(value, name);
      if (property === undefined || !property.enumerable) continue;
      const shown = this.#keyFor(name, taken);
      const put = (masked: unknown): void => {
        // Not an assignment: the key may be `__proto__`.
        Object.defineProperty(copy, shown, { value: masked, enumerable: true, configurable: true, writable: true });
      };
      let field: unknown = UNREADABLE;
      try {
        field = Reflect.get(value, name);
      } catch {
        put(UNREADABLE);
        continue;
      }
      this.#copy(field, depth, put);
    }
  }

  /** The masked key; numbered when another key of the object already has that name. */
  #keyFor(name: PropertyKey, taken: Set<PropertyKey>): PropertyKey {
    const key = typeof name === "symbol" ? (name.description ?? "") : String(name);
    const masked = this.#operations.text(key);
    if (masked === key) return name;
    for (let count = 1; ; count++) {
      const candidate = count === 1 ? masked : `${masked}#${count}`;
      if (taken.has(candidate) || this.#operations.text(candidate) !== candidate) continue;
      taken.add(candidate);
      return candidate;
    }
  }

  #copyMap(value: Map<unknown, unknown>, copy: Map<unknown, unknown>, depth: number): void {
    const taken = new Set<PropertyKey>([...Map.prototype.keys.call(value)].filter((key) => typeof key === "string"));
    for (const [key, item] of Map.prototype.entries.call(value)) {
      let shown: unknown = key;
      if (typeof key === "string") shown = this.#keyFor(key, taken);
      else this.#copy(key, depth, (masked) => (shown = masked));
      copy.set(shown, undefined);
      this.#copy(item, depth, (masked) => copy.set(shown, masked));
    }
  }

  #copySet(value: Set<unknown>, copy: Set<unknown>, depth: number): void {
    const items: unknown[] = [];
    for (const item of Set.prototype.values.call(value)) {
      const at = items.push(undefined) - 1;
      this.#copy(item, depth, (masked) => {
        items[at] = masked;
        // Masked again as a part of a split value: the set is filled anew, in order.
        copy.clear();
        for (const each of items) copy.add(each);
      });
    }
  }

  #copyError(value: Error, keep: <T>(copy: T) => T, depth: number): void {
    const copy = keep(new Error());
    const hidden = (name: string): void => {
      let field: unknown = UNREADABLE;
      try {
        if (!(name in value)) return;
        field = Reflect.get(value, name);
      } catch {
        // Stays unreadable.
      }
      this.#copy(field, depth, (masked) => {
        Object.defineProperty(copy, name, { value: masked, enumerable: false, configurable: true, writable: true });
      });
    };
    for (const name of ["name", "message", "stack", "cause", "errors"]) hidden(name);
    this.#copyFields(value, copy, depth);
  }

  #copyBytes(value: ArrayBufferView | ArrayBufferLike): unknown {
    const bytes = ArrayBuffer.isView(value)
      ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
      : new Uint8Array(value);
    const masked = this.#operations.bytes(bytes);
    const copy = masked === bytes ? bytes.slice() : masked;
    if (Buffer.isBuffer(value)) return Buffer.from(copy);
    if (value instanceof Uint8Array) return Uint8Array.from(copy);
    if (masked !== bytes) return Buffer.from(masked).toString();
    return structuredClone(value);
  }
}
