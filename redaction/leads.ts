/**
 * Finds the next byte of a text after which the escape reader has to look. In long texts by the platform's own
 * vectorised search, one byte value at a time, since most log text holds none of them for long stretches.
 */

import { isAscii } from "node:buffer";
import type { EscapeReader } from "./escapes.ts";
import { LEAD } from "./views.ts";

const LONG = 512;
/** So many leads close to each other, and going byte by byte is faster. */
const CROWD = 8;
const CLOSE = 24;
/** In ASCII text: single bytes, and pairs of which the first alone says nothing. */
const SOUGHT = [0x5c, 0x25, 0x26, 0x1b, Buffer.from("[R"), Buffer.from("U+")];
const U = 0x55;

export class LeadFinder {
  readonly #text: Uint8Array;
  readonly #table: Uint16Array;
  readonly #reader: EscapeReader;
  #buffer: Buffer | undefined;
  #close = 0;
  readonly #next: number[] = [];

  constructor(text: Uint8Array, table: Uint16Array, reader: EscapeReader) {
    this.#text = text;
    this.#table = table;
    this.#reader = reader;
    if (text.length < LONG || !isAscii(text)) return;
    this.#buffer = Buffer.from(text.buffer, text.byteOffset, text.length);
    this.#next = SOUGHT.map(() => -1);
  }

  /** The next lead at or after `from`; the length of the text when there is none. */
  next(from: number): number {
    const { length } = this.#text;
    for (let at = from; ; at++) {
      at = this.#buffer === undefined ? this.#step(at) : this.#find(at);
      if (at >= length || this.#reader.mayBegin(this.#text, at, length)) return at;
    }
  }

  #step(from: number): number {
    const text = this.#text;
    const table = this.#table;
    let i = from;
    while (i < text.length && table[text[i]!]! < LEAD) i++;
    return i;
  }

  #find(from: number): number {
    const next = this.#next;
    const { length } = this.#text;
    // The last byte may be the first of a pair.
    let nearest = from < length && this.#table[this.#text[length - 1]!]! >= LEAD ? length - 1 : length;
    for (let i = 0; i < SOUGHT.length; i++) {
      if (next[i]! < from) {
        const found = this.#buffer!.indexOf(SOUGHT[i]!, from);
        next[i] = found === -1 ? length : found;
      }
      if (next[i]! < nearest) nearest = next[i]!;
    }
    if (nearest - from < CLOSE && ++this.#close === CROWD) this.#buffer = undefined;
    // The plus of a U+ may itself be escaped.
    return nearest > from && nearest < length && this.#text[nearest - 1] === U ? nearest - 1 : nearest;
  }
}
