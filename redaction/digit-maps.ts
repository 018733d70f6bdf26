/**
 * Where runs of digits in a block stand for text, and that text: the kernel's maps of one stretch at a time, made when
 * they are asked for. Errs on the side of yes: a place it names may turn out to begin no text that is long enough.
 */

import { hexDigits, OTHER, textTable } from "./digits.ts";
import { firstBit } from "./bits.ts";
import { bytesAt, kernel, scanTable, take, takeClass, wordsAt } from "./kernel.ts";

/** Whole groups of four base64 digits, and pairs of hexadecimal ones, that the maps look for in a row. */
const GROUPS_DIGITS = 12;
const PAIRS_DIGITS = 14;
/** Most digits decoded in one call. */
const DECODED_DIGITS_MAX = 4096;
const WORD_BITS = 64;
/** Bits of the places in a word that are a multiple of four, or of two, from the first. */
const EVERY_FOURTH = 0x11111111;
const EVERY_SECOND = 0x55555555;

const hexTable = takeClass((byte) => hexDigits[byte] !== OTHER);
const textClass = takeClass((byte) => textTable[byte] === 1);
const decodedAt = take((DECODED_DIGITS_MAX * 3) / 4 + 16);
const decoded = bytesAt(decodedAt, DECODED_DIGITS_MAX);

export class DigitMaps {
  readonly #textAt: number;
  readonly #groupsAt: number;
  readonly #groups: Int32Array;
  readonly #pairsAt: number;
  readonly #pairs: Int32Array;
  readonly #scratchAt: readonly [number, number];
  /** The stretch that the maps are of. */
  #from = 0;
  #to = 0;

  /** Of a text in the kernel's memory, which is at most `size` bytes long and followed by a vector of zeros. */
  constructor(textAt: number, size: number) {
    const bitmapBytes = size / 8 + 64;
    this.#textAt = textAt;
    this.#groupsAt = take(bitmapBytes);
    this.#groups = wordsAt(this.#groupsAt, bitmapBytes);
    this.#pairsAt = take(bitmapBytes);
    this.#pairs = wordsAt(this.#pairsAt, bitmapBytes);
    this.#scratchAt = [take(bitmapBytes), take(bitmapBytes)];
  }

  /** The text has changed. */
  forget(): void {
    this.#from = 0;
    this.#to = 0;
  }

  /** Whether digits from `from` to `to` may stand for text in any alignment. */
  mayHoldText(from: number, to: number): boolean {
    this.#make(from, to);
    return (
      firstBit(this.#groups, from, to) + GROUPS_DIGITS <= to || firstBit(this.#pairs, from, to) + PAIRS_DIGITS <= to
    );
  }

  /** The next place at or after `from`, by whole groups of digits of so many bits, where they may stand for text; or `to`. */
  next(bits: 6 | 4, from: number, to: number): number {
    this.#make(from, to);
    return bits === 6
      ? firstBit(this.#groups, from, to, EVERY_FOURTH << (from & 3))
      : firstBit(this.#pairs, from, to, EVERY_SECOND << (from & 1));
  }

  /** The text that digits stand for, as far as it is text by whole vectors; good until the next call. */
  decoded(bits: 6 | 4, from: number, to: number): Uint8Array {
    const at = this.#textAt + from;
    const end = this.#textAt + Math.min(to, from + DECODED_DIGITS_MAX);
    const stop =
      bits === 6
        ? kernel.decode64(at, end, scanTable, textClass, decodedAt)
        : kernel.decode16(at, end, hexTable, textClass, decodedAt);
    return decoded.subarray(0, ((stop - at) * bits) / 8);
  }

  #make(from: number, to: number): void {
    if (from >= this.#from && to <= this.#to) return;
    const first = from & -WORD_BITS;
    const length = (to - first + WORD_BITS - 1) & -WORD_BITS;
    this.#from = first;
    this.#to = to;
    const map = first / 8;
    kernel.texts(
      this.#textAt + first,
      length,
      scanTable,
      hexTable,
      textClass,
      this.#groupsAt + map,
      ...this.#scratchAt,
      this.#pairsAt + map,
    );
  }
}
