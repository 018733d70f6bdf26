/**
 * Wu-Manber skipping search: finds where a needle may begin, and leaps over text where none can.
 *
 * Blocks of three bytes are hashed into a table of shifts, so most of the text is never read. It may say "maybe" in
 * vain, never "no" in vain; the automaton decides. Each window costs constant time, so it is linear on any text.
 * Trade: tables of up to 4 MB each, and short needles make short leaps.
 */

const WINDOW_MAX = 16;
const BLOCK = 3;

export class SkipSearch {
  /** Length of the prefix of every needle that is looked at: the shortest needle, or less. */
  readonly window: number;
  readonly #shift: Uint8Array;
  readonly #shiftBits: number;
  readonly #prefix: Uint8Array;

  constructor(needles: readonly Uint8Array[]) {
    let window = WINDOW_MAX;
    for (const needle of needles) window = Math.min(window, needle.length);
    this.window = window;
    const leap = Math.max(1, window - BLOCK + 1);
    // About sixteen slots per block keep false "maybe" below a percent; 4 MB is where caches stop helping.
    const bits = Math.min(22, Math.max(10, Math.ceil(Math.log2(needles.length * leap + 1)) + 4));
    this.#shiftBits = 32 - bits;
    this.#shift = new Uint8Array(2 ** bits).fill(leap);
    this.#prefix = new Uint8Array(2 ** bits);
    for (const needle of needles) this.#index(needle);
  }

  /**
   * The first place at or after `from` where a needle may begin, given that its window lies before `to`; if there is
   * none, minus one minus the place from which the rest has to be read byte by byte.
   */
  next(text: Uint8Array, from: number, to: number): number {
    const { window } = this;
    if (window < BLOCK) return from < to ? from : -1 - from;
    const shift = this.#shift;
    const prefix = this.#prefix;
    const bits = this.#shiftBits;
    let last = from + window - 1;
    while (last < to) {
      const block = text[last]! | (text[last - 1]! << 8) | (text[last - 2]! << 16);
      const leap = shift[Math.imul(block, 0x9e3779b1) >>> bits]!;
      if (leap !== 0) {
        last += leap;
        continue;
      }
      const start = last - window + 1;
      const head = text[start + 2]! | (text[start + 1]! << 8) | (text[start]! << 16);
      if (prefix[Math.imul(head, 0x9e3779b1) >>> bits] === 1) return start;
      last++;
    }
    return -1 - (last - window + 1);
  }

  #index(needle: Uint8Array): void {
    const { window } = this;
    if (window < BLOCK) return;
    for (let end = BLOCK - 1; end < window; end++) {
      const slot = this.#slot(needle, end);
      const leap = window - 1 - end;
      if (leap < this.#shift[slot]!) this.#shift[slot] = leap;
    }
    this.#prefix[this.#slot(needle, BLOCK - 1)] = 1;
  }

  #slot(bytes: Uint8Array, end: number): number {
    const block = bytes[end]! | (bytes[end - 1]! << 8) | (bytes[end - 2]! << 16);
    return Math.imul(block, 0x9e3779b1) >>> this.#shiftBits;
  }
}
