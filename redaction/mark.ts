/**
 * Tells a placeholder in a text, across which nothing matches in the canonical views, and what may be left of an escape
 * behind it. A mask can cut an escape in two, and its rest would read as new text when the text is redacted again.
 *
 * A pure function of the bytes, like the escapes that it is a part of; what a placeholder is named it does not know.
 */

const HEAD = Array.from("[REDACTED", (c) => c.charCodeAt(0));
const OPEN = 0x5b;
const CLOSE = 0x5d;
/** What escapes are made of besides letters and digits. */
const INNER = new Set(Array.from("\\%&#;+{}", (c) => c.charCodeAt(0)));

/** Results that are no index: there is no placeholder, or the text ends before that can be told. */
const NONE = 0;
const MORE = -1;

/** A letter or a digit. */
export const isWord = (c: number): boolean => (c >= 48 && c <= 57) || ((c | 32) >= 97 && (c | 32) <= 122);

/** What may be read: bytes before `limit`; if it is `cut` there, more may follow. */
export type Window = { readonly text: Uint8Array; readonly limit: number; readonly cut: boolean };

/** Whether a placeholder may begin here, by its first two bytes. */
export const mayBeMark = (next: number): boolean => next === HEAD[1];

/** The index behind the placeholder at `from`. */
export function markEnd({ text, limit, cut }: Window, from: number): number {
  for (let i = 1; i < HEAD.length; i++) {
    if (from + i >= limit) return cut ? MORE : NONE;
    if (text[from + i] !== HEAD[i]) return NONE;
  }
  for (let i = from + HEAD.length; i < limit; i++) {
    const c = text[i]!;
    if (c < 0x20 || c === OPEN) return NONE;
    if (c === CLOSE) return i + 1;
  }
  return cut ? MORE : NONE;
}

/** The index behind what may be the rest of an escape, or of several within each other, that a mask cut off. */
export function restEnd({ text, limit, cut }: Window, from: number): number {
  let at = from;
  while (at < limit && (isWord(text[at]!) || INNER.has(text[at]!))) at++;
  return at === limit && cut ? MORE : at;
}
