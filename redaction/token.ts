/** Whether a span stands as a value of its own, for values too short or too common to be masked anywhere. */

/** The last bytes of a stream, so that a match can be judged by its neighbours after they have been passed on. */
export class ByteHistory {
  #ring = new Uint8Array(1024);
  end = 0;
  readonly #lineEnds: number[] = [];
  readonly #lineStarts: number[] = [];

  /** Makes sure that at least the last `count` bytes can be asked for. */
  keep(count: number): void {
    if (count <= this.#ring.length) return;
    const grown = new Uint8Array(2 ** Math.ceil(Math.log2(count)));
    for (let at = Math.max(0, this.end - this.#ring.length); at < this.end; at++) {
      grown[at & (grown.length - 1)] = this.#ring[at & (this.#ring.length - 1)]!;
    }
    this.#ring = grown;
  }

  append(bytes: Uint8Array, base: number): void {
    const size = this.#ring.length;
    const from = Math.max(0, bytes.length - size);
    let at = (base + from) & (size - 1);
    for (let i = from; i < bytes.length;) {
      const count = Math.min(bytes.length - i, size - at);
      this.#ring.set(bytes.subarray(i, i + count), at);
      i += count;
      at = 0;
    }
    this.end = base + bytes.length;
  }

  /** Begins another text. */
  restart(): void {
    this.#lineEnds.length = 0;
    this.#lineStarts.length = 0;
  }

  /** A line of encoded text ends before this byte; the next one begins with it, or behind it if it `straddles` both. */
  nextLine(position: number, straddles: boolean): void {
    while (this.#lineEnds.length > 0 && this.#lineEnds[0]! < this.end - this.#ring.length) {
      this.#lineEnds.shift();
      this.#lineStarts.shift();
    }
    this.#lineEnds.push(position);
    this.#lineStarts.push(straddles ? position + 1 : position);
  }

  endsLine(position: number): boolean {
    return this.#lineEnds.includes(position);
  }

  beginsLine(position: number): boolean {
    return this.#lineStarts.includes(position);
  }

  at(position: number): number {
    return this.#ring[position & (this.#ring.length - 1)]!;
  }
}

const isWord = (byte: number): boolean =>
  (byte >= 48 && byte <= 57) || ((byte | 32) >= 97 && (byte | 32) <= 122) || byte === 0x5f || byte >= 0x80;

const isAssignment = (byte: number): boolean =>
  byte === 0x3d || byte === 0x3a || byte === 0x22 || byte === 0x27 || byte === 0x60;

/**
 * A span stands alone as a whole word, or behind `=`, `:` or a quote. The brackets of a placeholder are no word
 * boundary: otherwise masking a value would bare its neighbour, and masking twice would mask more than once does. For the
 * same reason the lines of wrapped digits are boundaries in what they decode to: a mask makes lines shorter, which are
 * then read each by itself.
 */
export function standsAlone(
  history: ByteHistory,
  start: number,
  end: number,
  position: number,
  isBehindMask: boolean,
): "yes" | "no" | "unknown" {
  if (start === 0 && isBehindMask) return "no";
  if (start > 0 && !history.beginsLine(start)) {
    const left = history.at(start - 1);
    if (isAssignment(left)) return "yes";
    if (left === 0x5d || (isWord(left) && isWord(history.at(start)))) return "no";
  }
  if (end >= position) return "unknown";
  if (history.endsLine(end)) return "yes";
  const right = history.at(end);
  return right === 0x5b || (isWord(history.at(end - 1)) && isWord(right)) ? "no" : "yes";
}
