/**
 * Compressed data within a run of digits or as such: told by its first bytes, inflated byte by byte, and scanned as it
 * comes. What is masked is the part of it that the value was made from.
 */

import { HEAD_BYTES, wrapperOf } from "./compression.ts";
import type { OnDecoded } from "./chain.ts";
import { DecodedText } from "./decoded.ts";
import { isText, OTHER } from "./digits.ts";
import { type Epoch, InflateCredit, Inflater, type Wrapper } from "./inflate.ts";
import type { Scanner } from "./scanner.ts";

/** What compressed data in one place is scanned with, made when there is some and kept for the next. */
export class InflatedText {
  readonly depth: number;
  readonly credit: InflateCredit;
  readonly #openScanner: () => Scanner;
  readonly #onDecoded: OnDecoded;
  #text: DecodedText | undefined;
  #wrapper: Wrapper = "raw";

  constructor(depth: number, epoch: Epoch, openScanner: () => Scanner, onDecoded: OnDecoded) {
    this.depth = depth;
    this.credit = new InflateCredit(depth, epoch);
    this.#openScanner = openScanner;
    this.#onDecoded = onDecoded;
  }

  begin(wrapper: Wrapper): DecodedText {
    this.#wrapper = wrapper;
    this.#text ??= new DecodedText(this.#openScanner(), (from, to, nameEnd, inner) =>
      this.#onDecoded(from, to, nameEnd, inner, this.#wrapper),
    );
    this.#text.begin();
    return this.#text;
  }
}

export class Compressed {
  readonly #inflater: Inflater;
  readonly #wrapper: Wrapper;
  readonly #inflated: InflatedText;
  #text: DecodedText | undefined;
  #done = false;

  /** At most one at a time may use the same `inflated`. */
  constructor(wrapper: Wrapper, inflated: InflatedText) {
    this.#wrapper = wrapper;
    this.#inflater = new Inflater(wrapper, inflated.depth, inflated.credit);
    this.#inflated = inflated;
  }

  get done(): boolean {
    return this.#done;
  }

  write(byte: number, start: number, end: number): void {
    if (this.#done) return;
    this.#inflater.write(byte);
    const inflated = this.#inflater.take();
    for (let i = 0; i < inflated.length; i++) {
      const out = inflated[i]!;
      // Data without a header may be no compressed data at all; only text is worth a scan.
      if (this.#wrapper === "raw" && !isText(out)) {
        this.end();
        return;
      }
      this.#text ??= this.#inflated.begin(this.#wrapper);
      this.#text.add(out, start, end);
    }
    if (this.#inflater.done) this.end();
  }

  /** From where on bytes could still become a match, or Infinity. */
  get liveFrom(): number {
    if (this.#done || this.#text === undefined) return Infinity;
    this.#text.flush(false);
    return this.#text.liveFrom;
  }

  /** The data is over, or a mask has taken the place of its rest. */
  end(isBeforeMask = false): void {
    if (!this.#done) this.#text?.flush(true, isBeforeMask);
    this.#done = true;
  }
}

/** The first bytes of a run: whether it begins like compressed data can be told from them. */
export class RunHead {
  readonly #bitsPerDigit: number;
  readonly #table: Uint8Array;
  readonly #inflated: InflatedText;
  readonly #bytes = new Uint8Array(HEAD_BYTES);
  readonly #starts = new Float64Array(HEAD_BYTES);
  readonly #ends = new Float64Array(HEAD_BYTES);
  #count = 0;
  #bits = 0;
  #bitCount = 0;
  #start = 0;
  #digits = 0;
  #state: "reading" | "over" | Compressed = "reading";

  constructor(bitsPerDigit: number, table: Uint8Array, inflated: InflatedText) {
    this.#bitsPerDigit = bitsPerDigit;
    this.#table = table;
    this.#inflated = inflated;
  }

  /** A new line of a wrapped run may begin other data, unless some is under way. */
  nextLine(): void {
    if (this.#state === "over") this.end();
  }

  /** Leaves the run that begins alone. */
  skip(): void {
    this.#state = "over";
  }

  /** Reads digits of the run from `from` to `to`; the bytes lie at `base`. */
  digits(bytes: Uint8Array, from: number, to: number, base: number): void {
    for (let i = from; i < to && this.#state !== "over"; i++) this.#digit(bytes[i]!, base + i);
  }

  #digit(code: number, place: number): void {
    const value = this.#table[code]!;
    if (value === OTHER) {
      this.end();
      this.#state = "over";
      return;
    }
    this.#digits++;
    if (this.#bitCount === 0) this.#start = place;
    this.#bits = ((this.#bits << this.#bitsPerDigit) | value) & 0xffff;
    this.#bitCount += this.#bitsPerDigit;
    if (this.#bitCount >= 8) {
      this.#bitCount -= 8;
      this.#byte((this.#bits >> this.#bitCount) & 255, this.#start, place + 1);
      this.#start = place;
    }
    if (this.#count === HEAD_BYTES) this.#decide();
  }

  get liveFrom(): number {
    if (this.#state === "over") return Infinity;
    if (this.#state !== "reading") return Math.min(this.#state.liveFrom, this.#bitCount > 0 ? this.#start : Infinity);
    if (this.#digits === 0) return Infinity;
    if (this.#count === 0) return this.#start;
    return wrapperOf(this.#bytes.subarray(0, this.#count)) === undefined ? Infinity : this.#starts[0]!;
  }

  end(isBeforeMask = false): void {
    if (typeof this.#state === "object") this.#state.end(isBeforeMask);
    this.#state = "reading";
    this.#count = 0;
    this.#bits = 0;
    this.#bitCount = 0;
    this.#digits = 0;
  }

  #byte(byte: number, start: number, end: number): void {
    if (this.#state === "reading") {
      this.#bytes[this.#count] = byte;
      this.#starts[this.#count] = start;
      this.#ends[this.#count++] = end;
    } else if (typeof this.#state === "object") {
      this.#state.write(byte, start, end);
      if (this.#state.done) this.#state = "over";
    }
  }

  #decide(): void {
    const wrapper = wrapperOf(this.#bytes);
    this.#count = 0;
    if (wrapper === undefined) {
      this.#state = "over";
      return;
    }
    this.#state = new Compressed(wrapper, this.#inflated);
    for (let i = 0; i < HEAD_BYTES; i++) this.#byte(this.#bytes[i]!, this.#starts[i]!, this.#ends[i]!);
  }
}
