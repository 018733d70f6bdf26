/**
 * One alignment of one encoding within runs of digits: turns digits into bytes, and stretches of text among those into
 * scans. Bytes that are no text cost nothing further, so an alignment that is wrong is cheap.
 */

import { DecodedText } from "./decoded.ts";
import { base64Digits, hexDigits, isText, OTHER, RUN_MIN, textGroup, textPair, textTable } from "./digits.ts";
import type { Scanner, Span } from "./scanner.ts";

export type OnDecoded = (start: number, end: number, nameEnd: number, inner: Span, encoding: string) => void;

export class Chain {
  readonly #bitsPerDigit: number;
  readonly #table: Uint8Array;
  readonly #encoding: "base64" | "hex";
  readonly #skipFirst: number;
  readonly #onDecoded: OnDecoded;
  readonly #openScanner: () => Scanner;
  /** Kept for the next stretch of text. */
  #decoded: DecodedText | undefined;
  #text: DecodedText | undefined;
  #skip = 0;
  #bits = 0;
  #bitCount = 0;
  /** Place of the digit in which the byte under way begins. */
  #start = 0;
  /** Text bytes read and not yet scanned, with their places. */
  readonly #textMin: number;
  readonly #waiting = new Uint8Array(RUN_MIN);
  readonly #waitingStarts = new Float64Array(RUN_MIN);
  readonly #waitingEnds = new Float64Array(RUN_MIN);
  #waitingCount = 0;
  /** Where among them a line ends, or -1, and whether the byte behind it begins on that line. */
  #waitingLine = -1;
  #straddles = false;
  /** The run stands right behind a mask, and all of it so far is text. */
  #isBehindMask = false;

  constructor(encoding: "base64" | "hex", skip: number, openScanner: () => Scanner, onDecoded: OnDecoded) {
    this.#encoding = encoding;
    this.#bitsPerDigit = encoding === "base64" ? 6 : 4;
    this.#table = encoding === "base64" ? base64Digits : hexDigits;
    this.#textMin = (RUN_MIN * this.#bitsPerDigit) / 8;
    this.#skipFirst = skip;
    this.#skip = skip;
    this.#openScanner = openScanner;
    this.#onDecoded = onDecoded;
  }

  /** Reads digits of the run from `from` to `to`; the bytes lie at `base`. With `ends` the run is over there. */
  digits(bytes: Uint8Array, from: number, to: number, base: number, ends: boolean): void {
    const table = this.#table;
    const isBase64 = this.#bitsPerDigit === 6;
    let i = from;
    while (i < to) {
      if (this.#bitCount === 0 && this.#skip === 0) {
        const start = i;
        if (this.#text !== undefined) i = isBase64 ? this.#groups(bytes, i, to, base) : this.#pairs(bytes, i, to, base);
        else if (this.#waitingCount === 0) i = isBase64 ? leapGroups(bytes, i, to) : this.#leapPairs(bytes, i, to);
        if (i > start) this.#isBehindMask = false;
        if (i >= to) return;
        const mayOpen = this.#text === undefined && this.#waitingCount === 0 && this.#skip === 0;
        if (mayOpen && this.#isTextAt(bytes, i, to)) {
          this.#text = this.#opened();
          continue;
        }
        // Too few digits are left to become a text.
        if (ends && mayOpen && i + RUN_MIN > to) return;
      }
      this.#digit(table[bytes[i]!]!, base + i);
      i++;
    }
  }

  /** The run goes on on the next line. */
  nextLine(): void {
    const straddles = this.#bitCount > 0;
    if (this.#text !== undefined) this.#text.nextLine(straddles);
    else if (this.#waitingCount > 0) {
      this.#waitingLine = this.#waitingCount;
      this.#straddles = straddles;
    }
  }

  #digit(value: number, place: number): void {
    if (value === OTHER) {
      this.end();
      return;
    }
    if (this.#skip > 0) {
      this.#skip--;
      return;
    }
    if (this.#bitCount === 0) this.#start = place;
    this.#bits = ((this.#bits << this.#bitsPerDigit) | value) & 0xffff;
    this.#bitCount += this.#bitsPerDigit;
    if (this.#bitCount < 8) return;
    this.#bitCount -= 8;
    const byte = (this.#bits >> this.#bitCount) & 255;
    if (textTable[byte] === 0) {
      this.#isBehindMask = false;
      this.#stop();
    } else if (this.#text === undefined) this.#wait(byte, this.#start, place + 1);
    else this.#text.add(byte, this.#start, place + 1);
    this.#start = place;
  }

  /** Adds whole groups of base64 digits to the text under way, as long as they are text. */
  #groups(bytes: Uint8Array, from: number, to: number, base: number): number {
    const text = this.#text!;
    let i = from;
    for (; i + 4 <= to; i += 4) {
      const group = textGroup(bytes, i);
      if (group < 0) break;
      text.addGroup(group, base + i);
    }
    return i;
  }

  /** Adds whole pairs of hexadecimal digits to the text under way, as long as they are text. */
  #pairs(bytes: Uint8Array, from: number, to: number, base: number): number {
    const text = this.#text!;
    let i = from;
    for (; i + 2 <= to; i += 2) {
      const pair = textPair(bytes, i);
      if (pair < 0) break;
      text.add(pair, base + i, base + i + 2);
    }
    return i;
  }

  /** Whether RUN_MIN digits from here are text without exception. */
  #isTextAt(bytes: Uint8Array, from: number, to: number): boolean {
    if (from + RUN_MIN > to) return false;
    const isBase64 = this.#bitsPerDigit === 6;
    for (let i = from; i < from + RUN_MIN; i += isBase64 ? 4 : 2) {
      if ((isBase64 ? textGroup(bytes, i) : textPair(bytes, i)) < 0) return false;
    }
    return true;
  }

  /** As leapGroups, for hexadecimal pairs: a run of base64 digits may hold others, behind which pairs begin anew. */
  #leapPairs(bytes: Uint8Array, from: number, to: number): number {
    let i = from;
    while (i + RUN_MIN <= to) {
      let other = i + RUN_MIN - 1;
      while (other >= i && hexDigits[bytes[other]!] !== OTHER) other--;
      if (other >= i) {
        i = other + 1;
        this.#skip = this.#skipFirst;
        if (this.#skip > 0) break;
      } else if (textPair(bytes, i + RUN_MIN - 2) < 0) i += RUN_MIN;
      else break;
    }
    return i;
  }

  /** No text is being scanned; a few bytes may wait to become one. */
  get isIdle(): boolean {
    return this.#text === undefined;
  }

  /** From where on bytes could still become a match, or Infinity. */
  get liveFrom(): number {
    this.#text?.flush(false);
    return Math.min(
      this.#text?.liveFrom ?? Infinity,
      this.#waitingCount > 0 ? this.#waitingStarts[0]! : Infinity,
      this.#mayBeText ? this.#start : Infinity,
    );
  }

  /** A run begins; what stood before it may have been masked. */
  begin(isBehindMask: boolean): void {
    this.#isBehindMask = isBehindMask;
  }

  /** The run is over, or goes on behind a mask. */
  end(isBeforeMask = false): void {
    this.#stop(isBeforeMask);
    this.#isBehindMask = false;
    this.#bits = 0;
    this.#bitCount = 0;
    this.#skip = this.#skipFirst;
  }

  /** Whether a byte is under way that can still be text. */
  get #mayBeText(): boolean {
    if (this.#bitCount === 0) return false;
    const missing = 8 - this.#bitCount;
    const high = (this.#bits & ((1 << this.#bitCount) - 1)) << missing;
    for (let low = 0; low < 1 << missing; low++) if (isText(high | low)) return true;
    return false;
  }

  /** A byte of what becomes a text when enough of it follows. */
  #wait(byte: number, start: number, end: number): void {
    const at = this.#waitingCount++;
    this.#waiting[at] = byte;
    this.#waitingStarts[at] = start;
    this.#waitingEnds[at] = end;
    if (this.#waitingCount < this.#textMin) return;
    const text = this.#opened();
    for (let i = 0; i < this.#waitingCount; i++) {
      if (i === this.#waitingLine) text.nextLine(this.#straddles);
      text.add(this.#waiting[i]!, this.#waitingStarts[i]!, this.#waitingEnds[i]!);
    }
    this.#text = text;
    this.#waitingCount = 0;
    this.#waitingLine = -1;
  }

  #opened(): DecodedText {
    this.#decoded ??= new DecodedText(this.#openScanner(), (from, to, nameEnd, inner) =>
      this.#onDecoded(from, to, nameEnd, inner, this.#encoding),
    );
    this.#decoded.begin(this.#isBehindMask);
    this.#isBehindMask = false;
    return this.#decoded;
  }

  #stop(isBeforeMask = false): void {
    this.#waitingCount = 0;
    this.#waitingLine = -1;
    if (this.#text === undefined) return;
    this.#text.flush(true, isBeforeMask);
    this.#text = undefined;
  }
}

/**
 * Leaps over groups of base64 digits while no text is under way. Text of RUN_MIN digits holds three whole groups in a
 * row; so where the third from here is not text, none begins before it.
 */
function leapGroups(bytes: Uint8Array, from: number, to: number): number {
  let i = from;
  while (i + 12 <= to && textGroup(bytes, i + 8) < 0) i += 8;
  return i;
}
