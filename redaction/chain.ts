/**
 * One alignment of one encoding within runs of digits: turns digits into bytes, and stretches of text among those into
 * scans. Bytes that are no text cost nothing further, so an alignment that is wrong is cheap.
 */

import type { Block } from "./block.ts";
import { DecodedText } from "./decoded.ts";
import { base64Digits, hexDigits, isText, OTHER, RUN_MIN, textGroup, textPair, textTable } from "./digits.ts";
import type { Scanner, Span } from "./scanner.ts";

export type OnDecoded = (start: number, end: number, nameEnd: number, inner: Span, encoding: string) => void;

export class Chain {
  readonly #bitsPerDigit: 4 | 6;
  readonly #table: Uint8Array;
  readonly #encoding: "base64" | "hex";
  /** Digits of a group of whole bytes, and how many digits of a run lie before the first one. */
  readonly #width: 4 | 2;
  readonly #skipFirst: number;
  readonly #onDecoded: OnDecoded;
  readonly #openScanner: () => Scanner;
  /** Kept for the next stretch of text. */
  #decoded: DecodedText | undefined;
  #text: DecodedText | undefined;
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
    this.#width = encoding === "base64" ? 4 : 2;
    this.#openScanner = openScanner;
    this.#onDecoded = onDecoded;
  }

  /**
   * Reads digits of the run from `from` to `to` in a block; so many digits of the run lie before them. With `ends` the
   * run is over behind them.
   */
  digits(block: Block, from: number, to: number, before: number, ends: boolean): void {
    const { text: bytes, base } = block;
    const table = this.#table;
    let i = from;
    while (i < to) {
      if (this.#bitCount === 0 && this.#text !== undefined) {
        i = this.#decode(block, i, to);
        if (i === to) return;
      } else if (this.#bitCount === 0) {
        // Groups are in step with the run, whatever digits of another kind stand in it.
        i += (this.#skipFirst - before - (i - from)) & (this.#width - 1);
        const leapTo =
          i < to && (this.#waitingCount === 0 || this.#waitsInVain(block, from, i, to)) ? this.#leap(block, i, to) : i;
        if (leapTo > i) this.#isBehindMask = false;
        i = leapTo;
        if (i >= to) return;
        if (this.#waitingCount === 0) {
          // Too few digits are left to become a text.
          if (ends && i + RUN_MIN > to) return;
          if (this.#isTextAt(bytes, i, to)) {
            this.#text = this.#opened();
            continue;
          }
        }
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

  /** Adds whole groups or pairs of digits to the text under way, as long as they are text. */
  #decode(block: Block, from: number, to: number): number {
    const text = this.#text!;
    const { text: bytes, base, digits } = block;
    const bits = this.#bitsPerDigit;
    let i = from;
    while (i + RUN_MIN <= to) {
      const decoded = digits.decoded(bits, i, to);
      if (decoded.length === 0) break;
      text.addDigits(decoded, base + i, bits);
      i += (decoded.length * 8) / bits;
    }
    const width = this.#width;
    for (; i + width <= to; i += width) {
      const group = bits === 6 ? textGroup(bytes, i) : textPair(bytes, i);
      if (group < 0) break;
      text.addDigits(bytesOf(group, width === 4 ? 3 : 1), base + i, bits);
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

  /**
   * Leaps over whole groups while no text is under way. Text of RUN_MIN digits holds what the maps look for; in base64
   * it may begin within the group before.
   */
  #leap(block: Block, from: number, to: number): number {
    const width = this.#width;
    const found = block.digits.next(this.#bitsPerDigit, from, to);
    const rest = Math.max(from, to - RUN_MIN);
    const begins = found < to && width === 4 ? found - width : found;
    return Math.max(from, Math.min(begins, rest - ((rest - from) & (width - 1))));
  }

  /** Whether the bytes that wait begin no text of RUN_MIN digits, as can be seen before those are read. */
  #waitsInVain(block: Block, from: number, at: number, to: number): boolean {
    const width = this.#width;
    const whole = at - width * Math.floor((this.#waitingCount * 8) / (width * this.#bitsPerDigit));
    if (whole < from || whole + RUN_MIN > to || block.digits.next(this.#bitsPerDigit, whole, to) === whole)
      return false;
    this.#stop();
    return true;
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

const group = new Uint8Array(3);

function bytesOf(value: number, count: number): Uint8Array {
  group[0] = count === 3 ? value >> 16 : value;
  group[1] = value >> 8;
  group[2] = value;
  return group.subarray(0, count);
}
