/**
 * What may stand before a line of a value: `svc | `, a time, a number, `> `, colours. Two prefixes are alike when they
 * have as many words and marks, whatever the words and the blanks are; so a place in a line has a column, the count of
 * those before it. A column is a cheap, exact rule: it needs no list of formats, and a line has no two places with one.
 */

import { isBlank } from "./line-blocks.ts";

/** Longer prefixes are not looked at, which bounds what is held. */
export const PREFIX_MAX = 128;
const ESC = 0x1b;
const MASK_HEAD = Buffer.from("[REDACTED");

const isWord = (byte: number): boolean =>
  (byte >= 48 && byte <= 57) || ((byte | 32) >= 97 && (byte | 32) <= 122) || byte === 0x5f;

/** The index behind a colour or another control sequence at `from`, or `from` when there is none. */
function sequenceEnd(line: Uint8Array, from: number): number {
  if (line[from] !== ESC || line[from + 1] !== 0x5b) return from;
  let at = from + 2;
  while (at < line.length && line[at]! >= 0x20 && line[at]! <= 0x3f) at++;
  return at < line.length && line[at]! >= 0x40 && line[at]! <= 0x7e ? at + 1 : from;
}

/**
 * The column of each place in the first bytes of a line, and of its end; -1 within a word or a control sequence, where
 * no line of a value begins, and behind a placeholder, across which nothing matches.
 */
export function columnsOf(head: Uint8Array): number[] {
  const columns: number[] = [];
  const mask = Buffer.from(head.buffer, head.byteOffset, head.length).indexOf(MASK_HEAD);
  const to = mask === -1 ? head.length : mask;
  let count = 0;
  let inWord = false;
  for (let at = 0; at < to;) {
    const end = sequenceEnd(head, at);
    if (end > at) {
      while (at < end) columns[at++] = -1;
      inWord = false;
      continue;
    }
    const byte = head[at]!;
    columns[at++] = inWord && isWord(byte) ? -1 : count;
    if (isBlank(byte)) inWord = false;
    else {
      if (!(inWord && isWord(byte))) count++;
      inWord = isWord(byte);
    }
  }
  while (columns.length < head.length) columns.push(-1);
  columns.push(mask === -1 ? count : -1);
  return columns;
}
