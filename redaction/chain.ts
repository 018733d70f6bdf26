/**
 * One alignment of one encoding within runs of digits: turns digits into bytes, and stretches of text among those into
 * scans. Bytes that are no text cost nothing further, so an alignment that is wrong is cheap.
 */

import { DecodedText } from "./decoded.ts";
import { isText, OTHER, RUN_MIN } from "./digits.ts";
import type { Scanner, Span } from "./scanner.ts";

export type OnDecoded = (start: number, end: number, nameEnd: number, inner: Span, encoding: string) => void;

export class Chain {
  readonly #bitsPerDigit: number;
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

  constructor(encoding: "base64" | "hex", skip: number, openScanner: () => Scanner, onDecoded: OnDecoded) {
    this.#encoding = encoding;
    this.#bitsPerDigit = encoding === "base64" ? 6 : 4;
    this.#textMin = (RUN_MIN * this.#bitsPerDigit) / 8;
    this.#skipFirst = skip;
    this.#skip = skip;
    this.#openScanner = openScanner;
    this.#onDecoded = onDecoded;
  }

  digit(value: number, place: number): void {
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
    if (isText(byte)) this.#add(byte, this.#start, place + 1);
    else if (this.#waitingCount > 0 || this.#text !== undefined) this.#stop();
    this.#start = place;
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

  /** The run is over. */
  end(): void {
    if (this.#waitingCount > 0 || this.#text !== undefined) this.#stop();
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

  #add(byte: number, start: number, end: number): void {
    if (this.#text !== undefined) {
      this.#text.add(byte, start, end);
      return;
    }
    const at = this.#waitingCount++;
    this.#waiting[at] = byte;
    this.#waitingStarts[at] = start;
    this.#waitingEnds[at] = end;
    if (this.#waitingCount < this.#textMin) return;
    this.#decoded ??= new DecodedText(this.#openScanner(), (from, to, nameEnd, inner) =>
      this.#onDecoded(from, to, nameEnd, inner, this.#encoding),
    );
    const text = this.#decoded;
    text.begin();
    for (let i = 0; i < this.#waitingCount; i++) {
      text.add(this.#waiting[i]!, this.#waitingStarts[i]!, this.#waitingEnds[i]!);
    }
    this.#text = text;
    this.#waitingCount = 0;
  }

  #stop(): void {
    this.#waitingCount = 0;
    this.#text?.flush(true);
    this.#text = undefined;
  }
}
