/**
 * A byte stream with its spans replaced: holds what may still become a match, passes on the rest.
 *
 * A span's placeholder is written as soon as no later match can begin where it begins or before; what follows inside
 * the span is then dropped, not held, so chains of overlapping matches need no memory.
 */

import { BLOCK_MAX } from "./block.ts";
import { precedes, type Scanner, type Span } from "./scanner.ts";

export type OnMask = (secret: number, form: string) => Uint8Array;
const EQUALS = 0x3d;
const LAST = new Set(Array.from("+/-_", (c) => c.charCodeAt(0)));
const PADDING_MAX = 3;

const NOTHING = new Uint8Array(0);

export class Masker {
  readonly #scanner: Scanner;
  readonly #onMask: OnMask;
  /** Bytes of earlier writes that are not passed on yet; the bytes of this write follow. */
  #held: Uint8Array = NOTHING;
  #bytes: Uint8Array = NOTHING;
  /** Place of the first byte of this write. */
  #base = 0;
  /** Place behind the last byte read. */
  #position = 0;
  /** Place of the first byte that is neither passed on nor masked. */
  #cursor = 0;
  #maskEnd = 0;
  /** Padding behind masked base64 would tell the value's length; so many bytes of it are still dropped. */
  #padding = 0;
  #out: Uint8Array[] = [];
  /** A stretch of this write that goes to the output, not yet in the list. */
  #from = 0;
  #to = 0;

  constructor(scanner: Scanner, onMask: OnMask) {
    this.#scanner = scanner;
    this.#onMask = onMask;
  }

  get heldBytes(): number {
    return this.#held.length;
  }

  /** The output for these bytes, in pieces, some of which are parts of the bytes themselves. */
  write(bytes: Uint8Array): Uint8Array[] {
    this.#bytes = bytes;
    for (let from = 0; from < bytes.length; from += BLOCK_MAX) {
      this.#step(bytes.length <= BLOCK_MAX ? bytes : bytes.subarray(from, from + BLOCK_MAX), false);
    }
    return this.#take();
  }

  end(): Uint8Array[] {
    this.#step(NOTHING, true);
    return this.#take();
  }

  /** What is held and may be shown although it could begin a value: it is too short to tell anything. */
  release(): Uint8Array[] {
    if (!this.#scanner.tells) this.#pass(this.#position);
    return this.#take();
  }

  #step(block: Uint8Array, last: boolean): void {
    this.#scanner.read(block, last);
    this.#position += block.length;
    const safe = last ? Infinity : this.#scanner.safe;
    if (this.#scanner.spans.length > 0) this.#mask(safe);
    this.#pass(Math.min(safe, this.#position));
  }

  #mask(safe: number): void {
    const spans = this.#scanner.spans.sort((a, b) => a.start - b.start || (precedes(a, b) ? -1 : 1));
    const later: Span[] = [];
    for (const span of spans) {
      if (span.start >= safe) {
        later.push(span);
        continue;
      }
      if (span.start >= this.#maskEnd) {
        this.#pass(span.start);
        this.#flush();
        this.#out.push(this.#onMask(span.secret, span.form));
        this.#padding = span.form.startsWith("base64") ? PADDING_MAX : 0;
      }
      this.#maskEnd = Math.max(this.#maskEnd, span.end);
    }
    this.#scanner.spans = later;
  }

  /** Passes on what lies before `to` and is not masked. */
  #pass(to: number): void {
    this.#cursor = Math.max(this.#cursor, Math.min(this.#maskEnd, this.#position));
    while (this.#padding > 0 && this.#cursor === this.#maskEnd && this.#cursor < to) {
      const byte = this.#byteAt(this.#cursor);
      if (byte === EQUALS) this.#padding--;
      // The last character of the value may be one that the loose view drops.
      else if (this.#padding === PADDING_MAX && LAST.has(byte)) this.#padding = PADDING_MAX - 1;
      else {
        this.#padding = 0;
        break;
      }
      this.#maskEnd = ++this.#cursor;
    }
    if (to <= this.#cursor) return;
    this.#put(this.#cursor, to);
    this.#cursor = to;
  }

  #byteAt(place: number): number {
    const at = place - this.#base;
    return at < 0 ? this.#held[this.#held.length + at]! : this.#bytes[at]!;
  }

  /** Adds a stretch to the output. Stretches of one write that follow each other stay one. */
  #put(from: number, to: number): void {
    const start = from - this.#base;
    const end = to - this.#base;
    if (start < 0) this.#out.push(this.#held.subarray(this.#held.length + start, this.#held.length + Math.min(0, end)));
    if (end <= 0) return;
    if (Math.max(0, start) !== this.#to) {
      this.#flush();
      this.#from = Math.max(0, start);
    }
    this.#to = end;
  }

  #flush(): void {
    if (this.#to > this.#from) this.#out.push(this.#bytes.subarray(this.#from, this.#to));
    this.#from = this.#to;
  }

  /** Ends the write: gives its output and keeps a copy of what is held. */
  #take(): Uint8Array[] {
    this.#flush();
    const out = this.#out;
    const from = this.#cursor - this.#base;
    if (from >= this.#bytes.length) this.#held = NOTHING;
    else if (from >= 0) this.#held = this.#bytes.slice(from);
    else if (this.#bytes.length > 0)
      this.#held = Buffer.concat([this.#held.subarray(this.#held.length + from), this.#bytes]);
    else this.#held = this.#held.subarray(this.#held.length + from);
    this.#base = this.#position;
    this.#bytes = NOTHING;
    this.#from = 0;
    this.#to = 0;
    this.#out = [];
    return out;
  }
}
