/** Tells compressed data by its first bytes: by a header, or, without one, by whether its first block makes sense. */

import type { Wrapper } from "./inflate.ts";

/** So many bytes are enough to tell. */
export const HEAD_BYTES = 12;

const CODE_LENGTHS_MIN = 4;

/** How data that begins with these bytes may be compressed. Fewer than HEAD_BYTES give "maybe" more often. */
export function wrapperOf(bytes: ArrayLike<number>): Wrapper | undefined {
  const first = bytes[0]!;
  const second = bytes[1];
  if (first === 0x1f && (second === undefined || second === 0x8b)) return "gzip";
  if (first === 0x78 && (second === undefined || (0x7800 + second) % 31 === 0)) return "zlib";
  const block = (first >> 1) & 3;
  if (block === 1) return beginsWithLiteral(bytes) ? "raw" : undefined;
  return block === 2 && hasWholeCode(bytes) ? "raw" : undefined;
}

const bitAt = (bytes: ArrayLike<number>, at: number): number => (bytes[at >> 3]! >> (at & 7)) & 1;

function bitsAt(bytes: ArrayLike<number>, at: number, count: number): number {
  let value = 0;
  for (let i = 0; i < count; i++) value |= bitAt(bytes, at + i) << i;
  return value;
}

/** A fixed block of text begins with literals: codes of eight bits, high bit first, from 0x30 on. */
function beginsWithLiteral(bytes: ArrayLike<number>): boolean {
  for (let symbol = 0; symbol < 2; symbol++) {
    const at = 3 + symbol * 8;
    if ((at + 8) / 8 > bytes.length) return true;
    let code = 0;
    for (let i = 0; i < 8; i++) code = (code << 1) | bitAt(bytes, at + i);
    const literal = code - 0x30;
    if (literal < 8 || literal > 126) return false;
  }
  return true;
}

/** A dynamic block begins with the lengths of a code, which must use up all bit patterns exactly. */
function hasWholeCode(bytes: ArrayLike<number>): boolean {
  if (bytes.length < HEAD_BYTES) return true;
  if (bitsAt(bytes, 3, 5) > 29 || bitsAt(bytes, 8, 5) > 29) return false;
  const count = bitsAt(bytes, 13, 4) + CODE_LENGTHS_MIN;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const length = bitsAt(bytes, 17 + i * 3, 3);
    if (length > 0) sum += 128 >> length;
  }
  return sum === 128;
}
