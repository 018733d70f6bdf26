/**
 * Joins pieces of bytes. Long results of one stream are cut from slabs: asking the system for fresh memory for each of
 * them costs several times what the copy does. Trade: a result that is kept keeps its slab, which is why short ones,
 * which a reader may keep for long, get memory of their own.
 */

const SLAB_BYTES = 1 << 18;
const SHARE_MIN = SLAB_BYTES / 16;

export class Joiner {
  #slab: Uint8Array = new Uint8Array(0);
  #used = 0;

  join(pieces: readonly Uint8Array[]): Uint8Array {
    if (pieces.length === 1) return pieces[0]!;
    let length = 0;
    for (const piece of pieces) length += piece.length;
    if (length < SHARE_MIN || length > SLAB_BYTES) return Buffer.concat(pieces, length);
    if (this.#used + length > this.#slab.length) {
      this.#slab = new Uint8Array(SLAB_BYTES);
      this.#used = 0;
    }
    const joined = this.#slab.subarray(this.#used, this.#used + length);
    this.#used += length;
    let at = 0;
    for (const piece of pieces) {
      joined.set(piece, at);
      at += piece.length;
    }
    return joined;
  }
}
