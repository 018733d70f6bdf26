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
export function takeTable(classOf: (byte: number) => number): number {
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
