/**
 * The canonical views of a text, by what each makes of a byte: zero to drop it, else the symbol it stands for.
 *
 * `loose` keeps letters and digits only, folds case and drops every separator, so interleaving, wrapping, spacing and
 * escaping all come to the same symbols; it is safe for long needles only. `dense` keeps every character but blanks,
 * for values of several lines. `strict` drops only what a terminal or a line wrap adds. `spelled` is strict with its
 * line breaks, for one character per line. What escapes stand for is read by escapes.ts.
 */

import { ESCAPE_LEADS } from "./escape-leads.ts";
import { BREAK, EscapeReader, INVISIBLE } from "./escapes.ts";

export type ViewKind = "loose" | "dense" | "strict" | "spelled";

/** Set in a table for bytes after which the escape reader has to look; the low byte is the symbol otherwise. */
export const LEAD = 256;

/** By what an ASCII letter in upper case differs from the same in lower case; the loose view sets it. */
const CASE_BIT = 32;

export const symbolTables: Readonly<Record<ViewKind, Uint16Array>> = {
  loose: tableOf((byte) => (isAlphanumeric(byte) ? byte | CASE_BIT : byte >= 0x80 ? byte : 0)),
  dense: tableOf((byte) => (byte === 32 || (byte >= 9 && byte <= 13) ? 0 : byte)),
  strict: tableOf((byte) => (byte === 10 || byte === 13 ? 0 : byte)),
  spelled: tableOf((byte) => (byte === 13 ? 0 : byte)),
};

/** The symbols of a whole text. */
export function canonicalSymbols(kind: ViewKind, text: Uint8Array): Uint8Array {
  const reader = new EscapeReader();
  const table = symbolTables[kind];
  const symbols: number[] = [];
  for (let i = 0; i < text.length; i = reader.end) {
    const byte = reader.read(text, i, text.length, true);
    if (byte === BREAK || byte === INVISIBLE) continue;
    if ((table[byte]! & 255) !== 0) symbols.push(table[byte]! & 255);
    symbols.push(...reader.extra);
  }
  return Uint8Array.from(symbols);
}

/** How many bytes lie before the first symbol in the loose view. */
export function symbolsLead(text: Uint8Array): number {
  return text.findIndex((byte) => (symbolTables.loose[byte]! & 255) !== 0);
}

/** The symbols a text would have if nothing in it were an escape. */
export function literalSymbols(kind: ViewKind, text: Uint8Array): Uint8Array {
  const table = symbolTables[kind];
  return text.map((byte) => table[byte]! & 255).filter((symbol) => symbol !== 0);
}

function tableOf(symbolOf: (byte: number) => number): Uint16Array {
  const table = new Uint16Array(256);
  for (let byte = 0; byte < 256; byte++) table[byte] = symbolOf(byte);
  for (const byte of ESCAPE_LEADS) table[byte]! |= LEAD;
  return table;
}

function isAlphanumeric(byte: number): boolean {
  return (byte >= 48 && byte <= 57) || ((byte | 32) >= 97 && (byte | 32) <= 122);
}
