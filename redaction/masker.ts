/**
 * A byte stream with its spans replaced: holds what may still become a match, passes on the rest.
 *
 * A span's placeholder is written as soon as no later match can begin where it begins or before; what follows inside
 * the span is then dropped, not held, so chains of overlapping matches need no memory.
 */

import { BLOCK_MAX, precedes, type Scanner, type Span } from "./scanner.ts";

export type OnMask = (secret: number, form: string) => Uint8Array;
const EQUALS = 0x3d;
const LAST = new Set(Array.from("+/-_", (c) => c.charCodeAt(0)));
const PADDING_MAX = 3;

export class Masker {
  readonly #scanner: Scanner;
  readonly #onMask: OnMask;
  #held: Uint8Array = new Uint8Array(0);
  /** Place of the first byte held. */
  #cursor = 0;
  #maskEnd = 0;
  #position = 0;
  /** Padding behind masked base64 would tell the value's length; so many bytes of it are still dropped. */
  #padding = 0;
  #out: Uint8Array[] = [];

  constructor(scanner: Scanner, onMask: OnMask) {
    this.#scanner = scanner;
    this.#onMask = onMask;
  }

  get heldBytes(): number {
    return this.#held.length;
  }

  /** The output for these bytes; the same object when they pass unchanged. */
  write(bytes: Uint8Array): Uint8Array {
    for (let from = 0; from < bytes.length; from += BLOCK_MAX) {
      this.#step(from === 0 && bytes.length <= BLOCK_MAX ? bytes : bytes.subarray(from, from + BLOCK_MAX), false);
    }
    return this.#take();
  }

  end(): Uint8Array {
    this.#step(new Uint8Array(0), true);
    return this.#take();
  }

  /** What is held and may be shown although it could begin a value: it is too short to tell anything. */
  release(): Uint8Array {
    if (this.#held.length > 0 && !this.#scanner.tells) {
      this.#out.push(this.#held);
      this.#cursor = this.#position;
      this.#held = NOTHING;
    }
    return this.#take();
  }

  #step(block: Uint8Array, last: boolean): void {
    this.#scanner.read(block, last);
    const before = this.#held;
    const base = this.#position - before.length;
    this.#position += block.length;
    const slice = (from: number, to: number): void => {
      const split = before.length;
      if (from - base < split) this.#out.push(before.subarray(from - base, Math.min(split, to - base)));
      if (to - base > split) this.#out.push(block.subarray(Math.max(0, from - base - split), to - base - split));
    };
    const byteAt = (at: number): number =>
      at - base < before.length ? before[at - base]! : block[at - base - before.length]!;
    const safe = last ? Infinity : this.#scanner.safe;
    if (this.#scanner.spans.length > 0) this.#mask(safe, slice, byteAt);
    this.#pass(Math.min(safe, this.#position), slice, byteAt);
    this.#held = keep(before, block, this.#cursor - base);
  }

  #mask(safe: number, slice: (from: number, to: number) => void, byteAt: (at: number) => number): void {
    const spans = this.#scanner.spans.sort((a, b) => a.start - b.start || (precedes(a, b) ? -1 : 1));
    const later: Span[] = [];
    for (const span of spans) {
      if (span.start >= safe) {
        later.push(span);
        continue;
      }
      if (span.start >= this.#maskEnd) {
        this.#pass(span.start, slice, byteAt);
        this.#out.push(this.#onMask(span.secret, span.form));
        this.#padding = span.form.startsWith("base64") ? PADDING_MAX : 0;
      }
      this.#maskEnd = Math.max(this.#maskEnd, span.end);
    }
    this.#scanner.spans = later;
  }

  /** Passes on what lies before `to` and is not masked. */
  #pass(to: number, slice: (from: number, to: number) => void, byteAt: (at: number) => number): void {
    this.#cursor = Math.max(this.#cursor, Math.min(this.#maskEnd, this.#position));
    while (this.#padding > 0 && this.#cursor === this.#maskEnd && this.#cursor < to) {
      const byte = byteAt(this.#cursor);
      if (byte === EQUALS) this.#padding--;
      // The last character of the value may be one that the loose view drops.
      else if (this.#padding === PADDING_MAX && LAST.has(byte)) this.#padding = PADDING_MAX - 1;
      else {
        this.#padding = 0;
        break;
      }
      this.#maskEnd = ++this.#cursor;
    }
    if (to > this.#cursor) {
      slice(this.#cursor, to);
      this.#cursor = to;
    }
  }

  #take(): Uint8Array {
    const out = this.#out;
    this.#out = [];
    return out.length === 1 ? out[0]! : Buffer.concat(out);
  }
}

/** A copy of what lies from `from` on, in `before` followed by `block`. */
function keep(before: Uint8Array, block: Uint8Array, from: number): Uint8Array {
  const size = before.length + block.length - from;
  if (size <= 0) return NOTHING;
  if (from === 0 && block.length === 0) return before;
  const kept = new Uint8Array(size);
  if (from < before.length) {
    kept.set(before.subarray(from));
    kept.set(block, before.length - from);
  } else {
    kept.set(block.subarray(from - before.length));
  }
  return kept;
}

const NOTHING = new Uint8Array(0);
