/**
 * The skipping search for canonical views, over the raw text itself: what a view drops is stepped over when a block
 * is read, so the view need not be made before it is searched. A shift counts symbols, and a symbol takes at least one
 * byte, so moving on by that many bytes never moves too far. For text without escapes only; the lane sees to those.
 */

const HASH = 0x9e3779b1;
const WINDOW_MAX = 16;

export class SymbolSkip {
  /** How many symbols of each needle are looked at. */
  readonly window: number;
  readonly #block: number;
  readonly #shift: Uint8Array;
  readonly #prefix: Uint8Array;
  readonly #shiftBits: number;

  constructor(needles: readonly Uint8Array[]) {
    let window = WINDOW_MAX;
    for (const needle of needles) window = Math.min(window, needle.length);
    this.window = window;
    // Folded symbols carry five bits or less: many needles would fill a table of short blocks.
    this.#block = Math.min(window, needles.length < 300 ? 3 : needles.length < 4000 ? 4 : 5);
    const leap = window - this.#block + 1;
    const bits = Math.min(22, Math.max(10, Math.ceil(Math.log2(needles.length * leap + 1)) + 4));
    this.#shiftBits = 32 - bits;
    this.#shift = new Uint8Array(2 ** bits).fill(leap);
    this.#prefix = new Uint8Array(2 ** bits);
    for (const needle of needles) this.#index(needle);
  }

  /**
   * The first byte at or after `from` where a needle may begin, given that its window lies before `to`; if there is
   * none, minus one minus the byte from which the rest has to be read symbol by symbol.
   */
  next(text: Uint8Array, from: number, to: number, symbolOf: Uint16Array): number {
    const { window } = this;
    const shift = this.#shift;
    const bits = this.#shiftBits;
    const block = this.#block;
    let last = from + window - 1;
    for (;;) {
      // On to a symbol: a shift that ends among dropped bytes has moved over fewer symbols than it may.
      while (last < to && (symbolOf[text[last]!]! & 255) === 0) last++;
      if (last >= to) return -1 - this.#rest(text, from, to, symbolOf);
      let at = last;
      let symbol = symbolOf[text[at]!]! & 255;
      let key = symbol;
      for (let count = 1; count < block; count++) {
        do {
          if (--at < from) {
            symbol = 0;
            break;
          }
          symbol = symbolOf[text[at]!]! & 255;
        } while (symbol === 0);
        key = count < 4 ? key | (symbol << (count * 8)) : Math.imul(key, HASH) ^ symbol;
      }
      if (at < from) {
        last++;
        continue;
      }
      const leap = shift[Math.imul(key, HASH) >>> bits]!;
      if (leap !== 0) {
        last += leap;
        continue;
      }
      const start = this.#candidate(text, from, last, symbolOf);
      if (start >= 0) return start;
      last++;
    }
  }

  /** The byte where the window that ends at `last` begins, if a needle begins like it; else -1. */
  #candidate(text: Uint8Array, from: number, last: number, symbolOf: Uint16Array): number {
    let at = last + 1;
    let key = 0;
    for (let count = this.window - 1; count >= 0; count--) {
      let symbol: number;
      do {
        if (--at < from) return -1;
        symbol = symbolOf[text[at]!]! & 255;
      } while (symbol === 0);
      if (count < this.#block) {
        const place = this.#block - 1 - count;
        key = place < 4 ? key | (symbol << (place * 8)) : Math.imul(key, HASH) ^ symbol;
      }
    }
    return this.#prefix[Math.imul(key, HASH) >>> this.#shiftBits] === 1 ? at : -1;
  }

  /** From where on a needle may begin whose window does not lie before `to` as a whole. */
  #rest(text: Uint8Array, from: number, to: number, symbolOf: Uint16Array): number {
    let at = to;
    for (let count = this.window - 1; count > 0 && at > from;) {
      if ((symbolOf[text[--at]!]! & 255) !== 0) count--;
    }
    return at;
  }

  #index(needle: Uint8Array): void {
    for (let end = this.#block - 1; end < this.window; end++) {
      const slot = this.#slot(needle, end);
      const leap = this.window - 1 - end;
      if (leap < this.#shift[slot]!) this.#shift[slot] = leap;
    }
    this.#prefix[this.#slot(needle, this.#block - 1)] = 1;
  }

  #slot(needle: Uint8Array, end: number): number {
    let key = 0;
    for (let count = 0; count < this.#block; count++) {
      const symbol = needle[end - count]!;
      key = count < 4 ? key | (symbol << (count * 8)) : Math.imul(key, HASH) ^ symbol;
    }
    return Math.imul(key, HASH) >>> this.#shiftBits;
  }
}
