/**
 * Where in a text the bytes of what it encodes come from. Bytes of a run of digits follow each other evenly, so a run
 * is kept as one stretch; bytes that come from anywhere are a stretch each.
 */

/** Bits of a digit; 0 for a byte whose place was given. */
type Bits = 0 | 4 | 6;

/** With fewer stretches than this it is not worth while to forget any. */
const STRETCHES_MIN = 64;

export class Places {
  #count = 0;
  /** Number of the first byte of each stretch, where it starts, where that byte ends, and what it is made of. */
  #firsts = new Float64Array(STRETCHES_MIN);
  #starts = new Float64Array(STRETCHES_MIN);
  #ends = new Float64Array(STRETCHES_MIN);
  #bits = new Uint8Array(STRETCHES_MIN);

  clear(): void {
    this.#count = 0;
  }

  /** From byte `first` on the bytes come from here: from digits one behind the other, or one byte as given. */
  add(first: number, start: number, end: number, bits: Bits): void {
    const at = this.#count++;
    if (at === this.#firsts.length) this.#grow();
    this.#firsts[at] = first;
    this.#starts[at] = start;
    this.#ends[at] = end;
    this.#bits[at] = bits;
  }

  startOf(byte: number): number {
    const at = this.#find(byte);
    const bits = this.#bits[at]!;
    return this.#starts[at]! + (bits === 0 ? 0 : Math.floor(((byte - this.#firsts[at]!) * 8) / bits));
  }

  endOf(byte: number): number {
    const at = this.#find(byte);
    const bits = this.#bits[at]!;
    return bits === 0 ? this.#ends[at]! : this.#starts[at]! + Math.ceil(((byte + 1 - this.#firsts[at]!) * 8) / bits);
  }

  /** Forgets what lies before this byte. */
  dropBefore(byte: number): void {
    if (this.#count < STRETCHES_MIN) return;
    const drop = this.#find(byte);
    if (drop < this.#count / 2) return;
    for (const list of [this.#firsts, this.#starts, this.#ends, this.#bits]) list.copyWithin(0, drop, this.#count);
    this.#count -= drop;
  }

  /** The last stretch that begins at or before this byte. */
  #find(byte: number): number {
    let low = 0;
    let high = this.#count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#firsts[middle]! <= byte) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #grow(): void {
    const size = this.#firsts.length * 2;
    const copy = (from: Float64Array): Float64Array<ArrayBuffer> => {
      const to = new Float64Array(size);
      to.set(from);
      return to;
    };
    this.#firsts = copy(this.#firsts);
    this.#starts = copy(this.#starts);
    this.#ends = copy(this.#ends);
    const bits = new Uint8Array(size);
    bits.set(this.#bits);
    this.#bits = bits;
  }
}
