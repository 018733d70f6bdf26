/**
 * Reads one logical byte of a text that may be escaped: backslash, percent, entity and U+ notations, nested in each
 * other up to three levels, and what a reader never sees (ANSI and OSC sequences, zero-width characters).
 *
 * A pure function of the bytes from a position on, so a stream gives the same answer wherever it is cut. An escape
 * longer than ESCAPE_BYTES_MAX is read as plain text, which bounds both lookahead and work per byte.
 */

import { entityCodePoint, ENTITY_NAME_MAX } from "./entities.ts";
import { isHex, isNestedLead, simpleEscape } from "./escape-leads.ts";
import { isInvisible } from "./invisible.ts";
import { isWord, markEnd, restEnd, type Window } from "./mark.ts";

export const ESCAPE_BYTES_MAX = 256;
const LEVELS = 3;

/** Results of `read` that are no byte. */
export const INVISIBLE = -1;
export const BREAK = -2;
export const MORE = -3;

/**
 * Where to begin in a text that stands behind a mask, which may have cut an escape in two: the index behind what may be
 * the rest of that, or MORE.
 */
export function restOfEscape(text: Uint8Array, to: number, last: boolean): number {
  const end = restEnd({ text, limit: Math.min(to, ESCAPE_BYTES_MAX), cut: !last && to < ESCAPE_BYTES_MAX }, 0);
  return end < 0 ? MORE : end;
}

const CONTROL = new Map(Array.from("nrtbfave", (c, i) => [c.charCodeAt(0), [10, 13, 9, 8, 12, 7, 11, 27][i]!]));

const hexValue = (c: number): number => (c <= 57 ? c - 48 : (c | 32) - 87);
export class EscapeReader {
  /** After `read`: the index behind what was read. */
  end = 0;
  /** After `read` gave a byte: the further bytes of the same character, if it is not ASCII. */
  readonly extra: number[] = [];
  #text: Uint8Array = new Uint8Array(0);
  #limit = 0;
  #cut = false;
  #levelEnd = 0;
  readonly #names = Array.from({ length: LEVELS }, () => new Uint8Array(ENTITY_NAME_MAX + 1));
  /** Where reading ran into a placeholder, or -1. */
  #wall = -1;
  /** Whether what may be the rest of an escape behind a placeholder belongs to it, as a mask may cut escapes in two. */
  mayBeCut = false;
  /** Whether what looks like a placeholder is one. */
  marks = true;

  /**
   * Reads at `from`: a byte, INVISIBLE, BREAK (a placeholder, across which nothing matches), or MORE when the text
   * ends at `to` before the escape is decided. With `last` the text is complete and MORE is never given.
   */
  read(text: Uint8Array, from: number, to: number, last: boolean): number {
    if (this.extra.length > 0) this.extra.length = 0;
    const simple = simpleEscape(text, from, to);
    if (simple !== 0) {
      this.end = from + (simple >> 8);
      return simple & 255;
    }
    this.#text = text;
    this.#limit = Math.min(to, from + ESCAPE_BYTES_MAX);
    this.#cut = !last && to < from + ESCAPE_BYTES_MAX;
    this.#wall = -1;
    const hidden = this.#hidden(from);
    const code = hidden === 0 ? this.#char(from, LEVELS) : 0;
    if (hidden === MORE || code === MORE) return MORE;
    // What a mask cut off may have been an escape; now it is read as nothing at all, or it would become new text.
    if (this.#wall !== -1) {
      this.end = this.#wall;
      return BREAK;
    }
    if (hidden !== 0) return hidden;
    this.end = this.#levelEnd;
    return code < 0x110000 ? this.#emit(code) : code - RAW_BYTE;
  }

  #emit(code: number): number {
    if (code < 0x80) return code;
    if (isInvisible(code)) return INVISIBLE;
    if (code >= 0xff01 && code <= 0xff5e) return code - 0xfee0;
    if (code < 0x800) {
      this.extra.push(0x80 | (code & 63));
      return 0xc0 | (code >> 6);
    }
    if (code < 0x10000) {
      this.extra.push(0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
      return 0xe0 | (code >> 12);
    }
    this.extra.push(0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    return 0xf0 | (code >> 18);
  }

  /** The byte at `i`, or MORE/END (end of what may be read, or a placeholder). */
  #at(i: number): number {
    const byte = this.#byteAt(i);
    if (byte !== 0x5b || !this.marks) return byte;
    const end = markEnd(this.#window(), i);
    if (end <= 0) return end === 0 ? byte : MORE;
    this.#wall = i;
    return END;
  }

  #window(): Window {
    return { text: this.#text, limit: this.#limit, cut: this.#cut };
  }

  #placeholder(from: number): number {
    const end = markEnd(this.#window(), from);
    const rest = end > 0 && this.mayBeCut ? restEnd(this.#window(), end) : end;
    if (rest <= 0) return rest === 0 ? 0 : MORE;
    this.end = rest;
    return BREAK;
  }

  #byteAt(i: number): number {
    return i < this.#limit ? this.#text[i]! : this.#cut ? MORE : END;
  }

  /** Sequences that never nest in an escape: terminal control and placeholders. Gives 0 when there is none. */
  #hidden(from: number): number {
    const first = this.#text[from]!;
    if (first === 0x1b) return this.#ansi(from + 1);
    if (first === 0x5b) return this.marks ? this.#placeholder(from) : 0;
    if (first === 0xc2 && this.#at(from + 1) === 0x9b) return this.#csi(from + 2);
    return 0;
  }

  #ansi(from: number): number {
    const kind = this.#at(from);
    if (kind === MORE) return MORE;
    if (kind === 0x5b) return this.#csi(from + 1);
    if (kind === 0x5d || kind === 0x50 || kind === 0x58 || kind === 0x5e || kind === 0x5f)
      return this.#string(from + 1);
    if (kind >= 0x20 && kind <= 0x2f) {
      const final = this.#at(from + 1);
      if (final === MORE) return MORE;
      this.end = Math.min(from + 2, this.#limit);
      return INVISIBLE;
    }
    this.end = kind === END || isWord(kind) ? from : from + 1;
    return INVISIBLE;
  }

  #csi(from: number): number {
    for (let i = from; ; i++) {
      const c = this.#at(i);
      if (c === MORE) return MORE;
      if (c >= 0x20 && c <= 0x3f) continue;
      this.end = c >= 0x40 && c <= 0x7e ? i + 1 : from;
      return INVISIBLE;
    }
  }

  #string(from: number): number {
    for (let i = from; ; i++) {
      const c = this.#at(i);
      if (c === MORE) return MORE;
      if (c === 7) {
        this.end = i + 1;
        return INVISIBLE;
      }
      if (c === 0x1b) {
        const next = this.#at(i + 1);
        if (next === MORE) return MORE;
        this.end = next === 0x5c ? i + 2 : i;
        return INVISIBLE;
      }
      if (c === END || c < 0x20) {
        this.end = from;
        return INVISIBLE;
      }
    }
  }

  /** One character with up to `level` escapes folded: a code point, RAW_BYTE + byte, MORE or END. */
  #char(from: number, level: number): number {
    if (from < this.#limit) {
      const byte = this.#text[from]!;
      if (byte < 0x80 && byte !== 0x5b && !isNestedLead(byte)) {
        this.#levelEnd = from + 1;
        return byte;
      }
    }
    const lead = level === 0 ? this.#raw(from) : this.#char(from, level - 1);
    if (level === 0) return lead;
    const after = this.#levelEnd;
    let code = NONE;
    if (lead === 0x5c) code = this.#backslash(after, level - 1);
    else if (lead === 0x25) code = this.#percent(after, level - 1);
    else if (lead === 0x26) code = this.#entity(after, level - 1);
    else if (lead === 0x55) code = this.#notation(after, level - 1);
    if (code !== NONE) return code;
    this.#levelEnd = after;
    return lead;
  }

  #raw(from: number): number {
    const c = this.#at(from);
    this.#levelEnd = from + 1;
    if (c < 0x80) return c;
    const wide = c === 0xc2 || c === 0xcc || c === 0xcd ? 2 : c === 0xe2 || c === 0xef ? 3 : c === 0xf3 ? 4 : 1;
    if (wide === 1) return RAW_BYTE + c;
    let code = wide === 2 ? c & 31 : wide === 3 ? c & 15 : c & 7;
    for (let i = 1; i < wide; i++) {
      const next = this.#at(from + i);
      if (next === MORE) return MORE;
      if (next < 0x80 || next > 0xbf) return RAW_BYTE + c;
      code = (code << 6) | (next & 63);
    }
    // Only characters that are dropped or folded are read whole; all others go on byte by byte.
    if (!isInvisible(code) && !(code >= 0xff01 && code <= 0xff5e)) return RAW_BYTE + c;
    this.#levelEnd = from + wide;
    return code;
  }

  #backslash(from: number, level: number): number {
    let end = from;
    let c = this.#char(from, level);
    // A run of backslashes is one escape, doubled once per layer of quoting.
    while (c === 0x5c) {
      end = this.#levelEnd;
      if (level === 0) while (end < this.#limit && this.#text[end] === 0x5c) end++;
      c = this.#char(end, level);
    }
    if (c === MORE) return MORE;
    if (c === END) {
      this.#levelEnd = end;
      return 0x5c;
    }
    const after = this.#levelEnd;
    if (c === 0x75 || c === 0x78 || c === 0x55) {
      const code = this.#hexEscape(after, level, c === 0x75 ? 4 : c === 0x78 ? 2 : 8, c === 0x78);
      if (code !== NONE) return code;
      this.#levelEnd = after;
      return c;
    }
    if (c >= 0x30 && c <= 0x37) return this.#octal(c - 48, level);
    const control = CONTROL.get(c);
    return control ?? c;
  }

  #octal(first: number, level: number): number {
    let value = first;
    for (let digits = 1; digits < 3; digits++) {
      const end = this.#levelEnd;
      const c = this.#char(end, level);
      if (c === MORE) return MORE;
      if (c < 0x30 || c > 0x37 || value * 8 + c - 48 > 255) {
        this.#levelEnd = end;
        break;
      }
      value = value * 8 + c - 48;
    }
    return value < 0x80 ? value : RAW_BYTE + value;
  }

  /** Behind \u, \x or \U: a fixed number of hexadecimal digits, or any number in braces. */
  #hexEscape(from: number, level: number, digits: number, isByte: boolean): number {
    const brace = this.#char(from, level);
    if (brace === MORE) return MORE;
    if (brace === 0x7b) return this.#hexUntil(this.#levelEnd, level, 0x7d);
    const value = this.#hexFixed(from, level, digits);
    if (value < 0) return value;
    if (isByte && value >= 0x80) return RAW_BYTE + value;
    if (value >= 0xd800 && value < 0xdc00) return this.#lowSurrogate(value, level);
    return value < 0x110000 ? value : NONE;
  }

  #lowSurrogate(high: number, level: number): number {
    let at = this.#levelEnd;
    let c = this.#char(at, level);
    if (c !== 0x5c) return c === MORE ? MORE : NONE;
    while (c === 0x5c) c = this.#char((at = this.#levelEnd), level);
    if (c !== 0x75) return c === MORE ? MORE : NONE;
    const low = this.#hexFixed(this.#levelEnd, level, 4);
    if (low === MORE) return MORE;
    return low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff) : NONE;
  }

  #hexFixed(from: number, level: number, digits: number): number {
    let value = 0;
    this.#levelEnd = from;
    for (let i = 0; i < digits; i++) {
      const c = this.#char(this.#levelEnd, level);
      if (c === MORE) return MORE;
      if (!isHex(c)) return NONE;
      value = value * 16 + hexValue(c);
    }
    return value;
  }

  #hexUntil(from: number, level: number, close: number): number {
    let value = 0;
    this.#levelEnd = from;
    for (let digits = 0; digits <= 8; digits++) {
      const c = this.#char(this.#levelEnd, level);
      if (c === MORE) return MORE;
      if (c === close) return digits > 0 && value < 0x110000 ? value : NONE;
      if (!isHex(c)) return NONE;
      value = value * 16 + hexValue(c);
    }
    return NONE;
  }

  #percent(from: number, level: number): number {
    let at = from;
    for (;;) {
      const first = this.#char(at, level);
      if (first === MORE) return MORE;
      if (first === 0x75) {
        const wide = this.#hexFixed(this.#levelEnd, level, 4);
        return wide;
      }
      const value = this.#hexFixed(at, level, 2);
      if (value < 0) return value;
      if (value !== 0x25) return value < 0x80 ? value : RAW_BYTE + value;
      // %25 may itself be the percent sign of a doubled encoding.
      at = this.#levelEnd;
      const end = at;
      const again = this.#char(at, level);
      if (again === MORE) return MORE;
      if (!isHex(again)) {
        this.#levelEnd = end;
        return value;
      }
      const second = this.#char(this.#levelEnd, level);
      if (second === MORE) return MORE;
      if (!isHex(second)) {
        this.#levelEnd = end;
        return value;
      }
    }
  }

  #entity(from: number, level: number): number {
    let at = from;
    for (;;) {
      const found = this.#entityName(at, level);
      if (found === MORE || found === NONE) return found;
      const name = this.#nameOf(level, found);
      if (name !== "amp") return entityCodePoint(name) ?? NONE;
      // &amp; may itself begin a doubled entity.
      const end = this.#levelEnd;
      const nested = this.#char(end, level);
      if (nested === MORE) return MORE;
      this.#levelEnd = end;
      if (nested !== 0x23 && !isWord(nested)) return 0x26;
      const inner = this.#entityName(end, level);
      if (inner === MORE) return MORE;
      const innerName = inner === NONE ? "" : this.#nameOf(level, inner);
      if (innerName !== "amp" && entityCodePoint(innerName) === undefined) {
        this.#levelEnd = end;
        return 0x26;
      }
      at = end;
    }
  }

  /** The length of the name that ends with a semicolon. The name lies in the level's own memory, as levels nest. */
  #entityName(from: number, level: number): number {
    const name = this.#names[level]!;
    let length = 0;
    this.#levelEnd = from;
    // No further than a quick look goes (mayBeEntity), or what is read would depend on who looks.
    while (length <= ENTITY_NAME_MAX) {
      const c = this.#char(this.#levelEnd, level);
      if (c === MORE) return MORE;
      if (c === 0x3b) return length;
      if (!(isWord(c) || (c === 0x23 && length === 0))) return NONE;
      name[length++] = c;
    }
    return NONE;
  }

  #nameOf(level: number, length: number): string {
    return String.fromCharCode(...this.#names[level]!.subarray(0, length));
  }

  /** U+0041 */
  #notation(from: number, level: number): number {
    if (this.#text[from] === 0x55) return NONE;
    const plus = this.#char(from, level);
    if (plus !== 0x2b) return plus === MORE ? MORE : NONE;
    return this.#hexFixed(this.#levelEnd, level, 4);
  }
}

/** Added to a byte that is no code point of its own, so that it goes on as that byte. */
const RAW_BYTE = 0x200000;
const NONE = -8;
const END = -9;
