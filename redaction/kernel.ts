/**
 * The vectorised kernel (kernel.wat) and the memory it works in: constant tables first, then one region for each depth
 * of decoding, since a text is still being read while what it encodes is scanned.
 *
 * One instance for all redactors, as it keeps nothing between two calls. Trade: one fixed piece of memory instead of
 * one for each stream, so nothing in a region outlives the reading of one block.
 */

import { kernelBytes } from "./kernel-bytes.ts";

type Exports = {
  readonly memory: WebAssembly.Memory;
  scan(
    text: number,
    length: number,
    table: number,
    leadTable: number,
    leads: number,
    runs: number,
    shuffles: number,
    kept: number,
    ranks: number,
    symbols: number,
  ): number;
  view(
    text: number,
    length: number,
    table: number,
    shuffles: number,
    kept: number,
    ranks: number,
    symbols: number,
  ): void;
  texts(
    text: number,
    length: number,
    scanTable: number,
    hexTable: number,
    textTable: number,
    groups: number,
    second: number,
    third: number,
    pairs: number,
  ): void;
  decode64(text: number, end: number, scanTable: number, textTable: number, out: number): number;
  decode16(text: number, end: number, hexTable: number, textTable: number, out: number): number;
};

const instance = new WebAssembly.Instance(new WebAssembly.Module(kernelBytes));
export const kernel = instance.exports as Exports;
const { buffer } = kernel.memory;
const bytes = new Uint8Array(buffer);
let used = 0;

/** Takes so many bytes of the kernel's memory for good. */
export function take(size: number): number {
  const at = used;
  used += Math.ceil(size / 64) * 64;
  if (used > buffer.byteLength) throw new RangeError(`Cannot take ${size} bytes: the kernel's memory is full`);
  return at;
}

export const bytesAt = (at: number, size: number): Uint8Array => new Uint8Array(buffer, at, size);
export const dataAt = (at: number, size: number): DataView => new DataView(buffer, at, size);
export const halvesAt = (at: number, size: number): Uint16Array => new Uint16Array(buffer, at, size / 2);
export const wordsAt = (at: number, size: number): Int32Array => new Int32Array(buffer, at, size / 4);

/** For each byte of a bitmap the places of its bits, padded with an index that gives zero. */
export const shuffles = take(256 * 8);
for (let map = 0; map < 256; map++) {
  bytes.fill(0x80, shuffles + map * 8, shuffles + map * 8 + 8);
  for (let bit = 0, count = 0; bit < 8; bit++) if (((map >> bit) & 1) === 1) bytes[shuffles + map * 8 + count++] = bit;
}

/**
 * Lays down the tables that tell classes of bytes apart. Bytes of a class are those with the same high four bits that
 * share a row of low ones; `classOf` gives its bit, of which there are eight, or 0.
 */
function takeTable(classOf: (byte: number) => number): number {
  const at = take(32);
  for (let byte = 0; byte < 256; byte++) {
    bytes[at + (byte & 15)]! |= classOf(byte);
    bytes[at + 16 + (byte >> 4)]! |= classOf(byte);
  }
  for (let byte = 0; byte < 256; byte++) {
    if ((bytes[at + (byte & 15)]! & bytes[at + 16 + (byte >> 4)]! & ~classOf(byte)) !== 0)
      throw new RangeError(`Cannot tell classes of bytes apart: ${byte} would fall into one that is not its own`);
  }
  return at;
}

/** The same for a single class, whatever its rows are; it may have eight distinct ones. */
export function takeClass(isMember: (byte: number) => boolean): number {
  const rows = new Map<string, number>();
  return takeTable((byte) => {
    if (!isMember(byte)) return 0;
    const row = Array.from({ length: 16 }, (_, low) => (isMember((byte & 0xf0) | low) ? "1" : "0")).join("");
    if (!rows.has(row)) rows.set(row, 1 << rows.size);
    return rows.get(row)!;
  });
}

/** The classes that the kernel's scan knows by number. */
export const scanTable = takeTable((byte) => {
  const low = byte & 15;
  const high = byte >> 4;
  let classes = byte >= 0x80 ? 32 : 0;
  if (high === 3 && low <= 9) classes |= 1;
  if ((high === 4 || high === 6) && low >= 1) classes |= 2;
  if ((high === 5 || high === 7) && low <= 10) classes |= 4;
  if (high === 2 && (low === 11 || low === 13 || low === 15)) classes |= 8;
  if (byte === 0x5f) classes |= 16;
  // Two bytes more than there are leads; the table of leads decides.
  if ((high === 1 || high === 5) && (low === 5 || low === 11 || low === 12)) classes |= 64;
  if (high === 2 && (low === 5 || low === 6)) classes |= 128;
  return classes;
});
