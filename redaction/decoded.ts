/**
 * Scans what a stretch of the text stands for after decoding, and says in places of the text what has to be masked
 * there. Decoded bytes are added with the place they came from; how they were decoded it does not know.
 */

import type { Scanner, Span } from "./scanner.ts";

/** Places in the text: where the span starts and ends, and where the match ends that it is named for. */
export type OnSpan = (start: number, end: number, nameEnd: number, inner: Span) => void;

const FLUSH = 4096;

export class DecodedText {
  readonly #scanner: Scanner;
  readonly #onSpan: OnSpan;
  readonly #bytes = new Uint8Array(FLUSH);
  #count = 0;
  #total = 0;
  /** Start and end in the text of every decoded byte that may still be asked for. */
  #starts = new Float64Array(FLUSH);
  #ends = new Float64Array(FLUSH);
  /** The number of the first byte in those lists. */
  #first = 0;

  constructor(scanner: Scanner, onSpan: OnSpan) {
    this.#scanner = scanner;
    this.#onSpan = onSpan;
  }

  /** Begins another stretch, perhaps right behind a mask. */
  begin(isBehindMask = false): void {
    this.#scanner.restart(isBehindMask);
    this.#count = 0;
    this.#total = 0;
    this.#first = 0;
  }

  /** What is added next comes from the next line; with `straddles` its first byte begins on this one. */
  nextLine(straddles: boolean): void {
    this.#scanner.nextLine(this.#total + this.#count, straddles);
  }

  /** One more decoded byte, and the stretch of the text that holds it. */
  add(byte: number, start: number, end: number): void {
    const at = this.#total + this.#count - this.#first;
    if (at === this.#starts.length) this.#grow();
    this.#starts[at] = start;
    this.#ends[at] = end;
    this.#bytes[this.#count++] = byte;
    if (this.#count === FLUSH) this.flush(false);
  }

  /** Three more decoded bytes, which stand in four places of the text. */
  addGroup(group: number, place: number): void {
    const count = this.#count;
    const at = this.#total + count - this.#first;
    if (count + 3 >= FLUSH || at + 3 > this.#starts.length) {
      this.add(group >> 16, place, place + 2);
      this.add((group >> 8) & 255, place + 1, place + 3);
      this.add(group & 255, place + 2, place + 4);
      return;
    }
    const [bytes, starts, ends] = [this.#bytes, this.#starts, this.#ends];
    bytes[count] = group >> 16;
    bytes[count + 1] = group >> 8;
    bytes[count + 2] = group;
    for (let i = 0; i < 3; i++) {
      starts[at + i] = place + i;
      ends[at + i] = place + i + 2;
    }
    this.#count = count + 3;
  }

  /** Scans what was added; with `last` nothing follows, or only a mask. */
  flush(last: boolean, isBeforeMask = false): void {
    if (this.#count === 0 && !last) return;
    this.#scanner.read(this.#bytes.slice(0, this.#count), last, isBeforeMask);
    this.#total += this.#count;
    this.#count = 0;
    for (const span of this.#scanner.spans) {
      const at = span.start - this.#first;
      const [end, nameEnd] = [this.#ends[span.end - 1 - this.#first]!, this.#ends[span.nameEnd - 1 - this.#first]!];
      if (at >= 0) this.#onSpan(this.#starts[at]!, end, nameEnd, span);
    }
    this.#scanner.spans = [];
    const drop = Math.min(this.#scanner.safe, this.#total) - this.#first;
    if (drop < FLUSH / 2) return;
    this.#starts.copyWithin(0, drop, this.#total - this.#first);
    this.#ends.copyWithin(0, drop, this.#total - this.#first);
    this.#first += drop;
  }

  /** From which place of the text on bytes could still become a match, or Infinity. Flush first. */
  get liveFrom(): number {
    return this.#scanner.safe < this.#total ? this.#starts[this.#scanner.safe - this.#first]! : Infinity;
  }

  #grow(): void {
    const [starts, ends] = [this.#starts, this.#ends];
    this.#starts = new Float64Array(starts.length * 2);
    this.#ends = new Float64Array(starts.length * 2);
    this.#starts.set(starts);
    this.#ends.set(ends);
  }
}
