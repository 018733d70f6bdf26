/**
 * What can be said of an escape at a glance: where one may begin, and what the most frequent ones stand for. All others
 * are read by escapes.ts.
 */

import { hexDigits } from "./digits.ts";
import { mayBeEntity } from "./entities.ts";
import { mayBeMark } from "./mark.ts";

/** First bytes after which more than the byte itself has to be looked at. */
export const ESCAPE_LEADS = [0x5c, 0x25, 0x26, 0x1b, 0x5b, 0x55, 0xc2, 0xcc, 0xcd, 0xe2, 0xef, 0xf3];
export const isHex = (c: number): boolean => (c >= 48 && c <= 57) || (c >= 65 && c <= 70) || (c >= 97 && c <= 102);
/** Characters that begin an escape when they come out of another one. */
export const isNestedLead = (c: number): boolean => c === 0x5c || c === 0x25 || c === 0x26 || c === 0x55;

/** Whether a lead byte may begin more than itself; errs on the side of yes. */
export function mayBeginEscape(text: Uint8Array, at: number, to: number): boolean {
  if (at + 1 >= to) return true;
  const next = text[at + 1]!;
  switch (text[at]) {
    case 0x5b:
      return mayBeMark(next);
    case 0x55:
      return next === 0x2b || next === 0x5b || (isNestedLead(next) && next !== 0x55);
    case 0x25:
      return isHex(next) || next === 0x75 || next === 0x5b || isNestedLead(next);
    case 0x26:
      return mayBeEntity(text, at + 1, to);
    case 0xc2:
      return next === 0xad || next === 0x9b;
    case 0xe2:
      return next === 0x80 || next === 0x81;
    case 0xef:
      return next >= 0xb8 && next <= 0xbd;
    default:
      return true;
  }
}

/**
 * The escapes that most texts consist of, when they stand for a byte that begins no other one: %41, \x41, \u0041, &#65;
 * &#x41; and the entities of markup. Gives the byte, plus 256 times the width of the escape; else 0.
 */
export function simpleEscape(text: Uint8Array, from: number, to: number): number {
  const first = text[from]!;
  if (first === 0x26) return simpleEntity(text, from, to);
  if (first !== 0x25 && first !== 0x5c) return 0;
  const kind = first === 0x25 ? 0x25 : text[from + 1]!;
  // Where the two digits lie that count.
  const at = kind === 0x25 ? from + 1 : kind === 0x78 ? from + 2 : kind === 0x75 ? from + 4 : to;
  if (at + 1 >= to) return 0;
  if (kind === 0x75 && (text[from + 2] !== 48 || text[from + 3] !== 48)) return 0;
  const high = hexDigits[text[at]!]!;
  const low = hexDigits[text[at + 1]!]!;
  if (high > 15 || low > 15) return 0;
  const byte = high * 16 + low;
  if (isNestedLead(byte) || (kind === 0x75 && byte >= 0x80)) return 0;
  return byte | ((at + 2 - from) << 8);
}

const markup = Array.from(["lt;<", "gt;>", 'quot;"', "apos;'"], (each) => Buffer.from(each));

function simpleEntity(text: Uint8Array, from: number, to: number): number {
  if (text[from + 1] === 0x23) return simpleReference(text, from, to);
  for (const name of markup) {
    const width = name.length;
    if (from + width > to) continue;
    let i = 0;
    while (i < width - 1 && text[from + 1 + i] === name[i]) i++;
    if (i === width - 1) return name[i]! | (width << 8);
  }
  return 0;
}

function simpleReference(text: Uint8Array, from: number, to: number): number {
  const isHexadecimal = text[from + 2] === 0x78;
  const radix = isHexadecimal ? 16 : 10;
  const digitsFrom = from + (isHexadecimal ? 3 : 2);
  const digitsTo = Math.min(to, digitsFrom + 4);
  let at = digitsFrom;
  let byte = 0;
  for (; at < digitsTo; at++) {
    const digit = hexDigits[text[at]!]!;
    if (digit >= radix) break;
    byte = byte * radix + digit;
  }
  if (at === digitsFrom || at >= to || text[at] !== 0x3b || byte >= 0x80 || isNestedLead(byte)) return 0;
  return byte | ((at + 1 - from) << 8);
}
