/**
 * Skipping search after Wu and Manber: finds where a needle may begin, and leaps over text where none can.
 *
 * The last few symbols of a window are hashed; a block of them that occurs in no needle allows to leap over almost the
 * whole window, so most of the text is never read. It may say "maybe" in vain, never "no" in vain; the automaton
 * decides. Each window costs constant time, so it is linear on any text. Trade: a set of bits, small enough for the
 * caches, is asked first, and the exact leap only where it says yes; short needles make short leaps.
 */

const WINDOW_MAX = 28;
const HASH = 0x9e3779b1;
const HASH_MORE = 0x85ebca6b;
/** With more needles than this, blocks of four folded symbols would fill any table. */
const MANY = 2500;
const BITS_MIN = 12;
const BITS_MAX = 23;

export class SkipSearch {
  /** Length of the prefix of every needle that is looked at: the shortest needle, or less. */
  readonly window: number;
  /** How many symbols are hashed: 0 (no search is possible), 2, 4 or 6. */
  readonly #block: number;
  /** Which bits of four symbols count. */
  readonly #mask: number;
  readonly #hashBits: number;
  /** One bit for each hash: whether a block with it occurs in a window. */
  readonly #occurs: Int32Array;
  /** By how many symbols a window may move on that ends with such a block. */
  readonly #leap: Uint8Array;
  /** One bit for each hash: whether a needle begins with a block with it. */
  readonly #begins: Int32Array;

  constructor(needles: readonly Uint8Array[]) {
    let window = WINDOW_MAX;
    for (const needle of needles) window = Math.min(window, needle.length);
    this.window = window;
    this.#block = window < 4 ? 0 : window < 8 ? 2 : needles.length > MANY && window >= 10 ? 6 : 4;
    this.#mask = this.#block === 2 ? 0xffff0000 : -1;
    const blocks = needles.length * (window - this.#block + 1);
    const bits = Math.min(BITS_MAX, Math.max(BITS_MIN, Math.ceil(Math.log2(blocks + 1)) + 4));
    this.#hashBits = 32 - bits;
    this.#occurs = new Int32Array(2 ** bits / 32);
    this.#begins = new Int32Array(2 ** bits / 32);
    this.#leap = new Uint8Array(2 ** (bits - 2)).fill(window - this.#block + 1);
    if (this.#block > 0) for (const needle of needles) this.#index(needle);
  }

  /**
   * The first place at or after `from` where a needle may begin, given that its window lies before `to`; if there is
   * none, minus one minus the place from which the rest has to be read symbol by symbol.
   */
  next(text: DataView, from: number, to: number): number {
    const { window } = this;
    const block = this.#block;
    if (block === 0) return from < to ? from : -1 - from;
    const occurs = this.#occurs;
    const hashBits = this.#hashBits;
    const mask = this.#mask;
    const leapMax = window - block + 1;
    const isLong = block === 6;
    let last = from + window - 1;
    while (last < to) {
      let hash = Math.imul(text.getInt32(last - 3, true) & mask, HASH);
      if (isLong) hash = Math.imul(hash ^ text.getInt16(last - 5, true), HASH_MORE);
      hash >>>= hashBits;
      if (((occurs[hash >>> 5]! >>> hash) & 1) === 0) {
        last += leapMax;
        continue;
      }
      const leap = this.#leap[hash >>> 2]!;
      if (leap !== 0) {
        last += leap;
        continue;
      }
      const start = last - window + 1;
      if (this.#mayBegin(text, start)) return start;
      last++;
    }
    return -1 - (last - window + 1);
  }

  #mayBegin(text: DataView, start: number): boolean {
    const end = start + this.#block - 1;
    const four = this.#block === 2 ? text.getInt16(start, true) << 16 : text.getInt32(end - 3, true);
    const hash = this.#hash(four, this.#block === 6 ? text.getInt16(start, true) : 0);
    return ((this.#begins[hash >>> 5]! >>> hash) & 1) === 1;
  }

  #index(needle: Uint8Array): void {
    const block = this.#block;
    let hash = 0;
    for (let end = this.window - 1; end >= block - 1; end--) {
      const four = (needle[end]! << 24) | (needle[end - 1]! << 16) | (needle[end - 2]! << 8) | needle[end - 3]!;
      hash = this.#hash(four, block === 6 ? needle[end - 5]! | ((needle[end - 4]! << 24) >> 16) : 0);
      const leap = this.window - 1 - end;
      this.#occurs[hash >>> 5]! |= 1 << hash;
      if (leap < this.#leap[hash >>> 2]!) this.#leap[hash >>> 2] = leap;
    }
    this.#begins[hash >>> 5]! |= 1 << hash;
  }

  #hash(four: number, more: number): number {
    const hash = Math.imul(four & this.#mask, HASH);
    return (this.#block === 6 ? Math.imul(hash ^ more, HASH_MORE) : hash) >>> this.#hashBits;
  }
}
