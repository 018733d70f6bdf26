/**
 * Scans what a stretch of the text stands for after decoding, and says in places of the text what has to be masked
 * there. Decoded bytes are added with the place they came from; how they were decoded it does not know.
 */

import { Places } from "./places.ts";
import type { Scanner, Span } from "./scanner.ts";

/** Places in the text: where the span starts and ends, and where the match ends that it is named for. */
export type OnSpan = (start: number, end: number, nameEnd: number, inner: Span) => void;

const FLUSH = 4096;

export class DecodedText {
  readonly #scanner: Scanner;
  readonly #onSpan: OnSpan;
  readonly #bytes = new Uint8Array(FLUSH * 2);
  #count = 0;
  #total = 0;
  /** Where the decoded bytes that may still be asked for come from. */
  readonly #places = new Places();

  constructor(scanner: Scanner, onSpan: OnSpan) {
    this.#scanner = scanner;
    this.#onSpan = onSpan;
  }

  /** Begins another stretch, perhaps right behind a mask. */
  begin(isBehindMask = false): void {
    this.#scanner.restart(isBehindMask);
    this.#places.clear();
    this.#count = 0;
    this.#total = 0;
  }

  /** What is added next comes from the next line; with `straddles` its first byte begins on this one. */
  nextLine(straddles: boolean): void {
    this.#scanner.nextLine(this.#total + this.#count, straddles);
  }

  /** One more decoded byte, and the stretch of the text that holds it. */
  add(byte: number, start: number, end: number): void {
    this.#places.add(this.#total + this.#count, start, end, 0);
    this.#bytes[this.#count++] = byte;
    if (this.#count >= FLUSH) this.flush(false);
  }

  /** More decoded bytes, of digits of so many bits that stand one behind the other; at most FLUSH of them. */
  addDigits(bytes: Uint8Array, start: number, bits: 4 | 6): void {
    this.#places.add(this.#total + this.#count, start, start, bits);
    this.#bytes.set(bytes, this.#count);
    this.#count += bytes.length;
    if (this.#count >= FLUSH) this.flush(false);
  }

  /** Scans what was added; with `last` nothing follows, or only a mask. */
  flush(last: boolean, isBeforeMask = false): void {
    if (this.#count === 0 && !last) return;
    this.#scanner.read(this.#bytes.subarray(0, this.#count), last, isBeforeMask);
    this.#total += this.#count;
    this.#count = 0;
    const places = this.#places;
    for (const span of this.#scanner.spans) {
      this.#onSpan(places.startOf(span.start), places.endOf(span.end - 1), places.endOf(span.nameEnd - 1), span);
    }
    if (this.#scanner.spans.length > 0) this.#scanner.spans = [];
    places.dropBefore(Math.min(this.#scanner.safe, this.#total));
  }

  /** From which place of the text on bytes could still become a match, or Infinity. Flush first. */
  get liveFrom(): number {
    return this.#scanner.safe < this.#total ? this.#places.startOf(this.#scanner.safe) : Infinity;
  }
}
