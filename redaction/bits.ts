/** Bitmaps in words of 32 bits, the lowest bit first. */

/** The first bit at or after `from` among those that `lattice` has in every word, or `to`. */
export function firstBit(map: Int32Array, from: number, to: number, lattice = -1): number {
  if (from >= to) return to;
  let word = from >> 5;
  let bits = map[word]! & lattice & (-1 << (from & 31));
  const end = (to + 31) >> 5;
  while (bits === 0)
    if (++word < end) bits = map[word]! & lattice;
    else return to;
  return Math.min(to, word * 32 + 31 - Math.clz32(bits & -bits));
}

/** The first bit at or after `from` that is not set, or `to`. */
export function firstGap(map: Int32Array, from: number, to: number): number {
  if (from >= to) return to;
  let word = from >> 5;
  let bits = ~map[word]! & (-1 << (from & 31));
  const end = (to + 31) >> 5;
  while (bits === 0)
    if (++word < end) bits = ~map[word]!;
    else return to;
  return Math.min(to, word * 32 + 31 - Math.clz32(bits & -bits));
}

export function bitCount(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}
