/**
 * A streaming inflater (RFC 1951, with gzip and zlib headers) that knows which input byte made which output byte.
 *
 * node:zlib has no synchronous streaming interface and tells no positions, and a redactor needs both: what has to be
 * masked in compressed data is the part of it that a value was made from. Checksums are not looked at. The output is
 * bounded, in all and by the input: a few bytes cannot make much work. The bound counts bytes and not milliseconds, so
 * that the same data gives the same result on any machine and however it is cut.
 */

export type Wrapper = "gzip" | "zlib" | "raw";

const WINDOW = 1 << 15;
/** Most output in all, and for each byte of input besides the first ones. */
type OutputLimit = { readonly bytesMax: number; readonly perByteMax: number; readonly freeBytes: number };
const WITH_HEADER: OutputLimit = { bytesMax: 1 << 20, perByteMax: 32, freeBytes: 1 << 12 };
/**
 * Most output of all data in one place of a text together, and for each byte of it beyond: many small pieces must not cost
 * what none of them alone may.
 */
const SHARED_BYTES = 1 << 20;
const SHARED_PER_BYTE = 4;
/** Without a header most of what looks like compressed data is none. */
const RAW: OutputLimit = { bytesMax: 1 << 13, perByteMax: 16, freeBytes: 1 << 8 };

const LENGTH_BASE = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
];
const LENGTH_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_BASE = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
  8193, 12289, 16385, 24577,
];
const CODE_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

const END_OF_BLOCK = 256;
const NEED_MORE = -1;

type Code = { counts: Uint16Array; symbols: Uint16Array };
type Pull = Generator<void, number>;

/** One for all, as a stack of its own for each would cost more than the data it is thrown for. */
const BAD_DATA = new Error("Cannot inflate the data: it is bad, or more than is looked at");

/** What the inflaters of one place in a text may put out together. A new text begins with a new epoch. */
export class InflateCredit {
  left = 0;
  readonly #bytesMax: number;
  readonly #epoch: Epoch;
  #of = -1;

  constructor(depth: number, epoch: Epoch) {
    this.#bytesMax = SHARED_BYTES >> (2 * depth);
    this.#epoch = epoch;
  }

  /** Another byte of input. */
  grow(): void {
    this.begin();
    this.left = Math.min(this.#bytesMax, this.left + SHARED_PER_BYTE);
  }

  begin(): void {
    if (this.#of === this.#epoch.count) return;
    this.#of = this.#epoch.count;
    this.left = this.#bytesMax;
  }
}

/** Counts the texts that a scanner has read. */
export type Epoch = { count: number };

export class Inflater {
  /** Output since the last `take`. */
  #out = new Uint8Array(64);
  #outCount = 0;
  #total = 0;
  /** The last output; grows to WINDOW, as most of what looks like compressed data soon turns out not to be. */
  #window = new Uint8Array(256);
  readonly #run: Generator<void, void>;
  #input = 0;
  #hasInput = false;
  /** Bits read and not used yet, the next one lowest. Up to 52, more than fit an integer operation. */
  #bits = 0;
  #bitCount = 0;
  readonly #bytesMax: number;
  readonly #perByteMax: number;
  /** Grows with the input. */
  #allowed: number;
  #done = false;
  readonly #credit: InflateCredit;

  /** `depth` says how many layers of encoding have been taken off already. */
  constructor(wrapper: Wrapper, depth: number, credit = new InflateCredit(depth, { count: 0 })) {
    this.#credit = credit;
    credit.begin();
    const { bytesMax, perByteMax, freeBytes } = wrapper === "raw" ? RAW : WITH_HEADER;
    this.#bytesMax = bytesMax;
    // Data within data would multiply the work.
    this.#perByteMax = perByteMax >> (2 * depth);
    this.#allowed = freeBytes >> (2 * depth);
    this.#run = this.#inflate(wrapper);
    this.#advance();
  }

  /** No more output comes: the data has ended, is bad, or is more than is looked at. */
  get done(): boolean {
    return this.#done;
  }

  /** Takes one byte. */
  write(byte: number): void {
    if (this.#done) return;
    this.#input = byte;
    this.#allowed = Math.min(this.#bytesMax, this.#allowed + this.#perByteMax);
    this.#credit.grow();
    this.#hasInput = true;
    this.#advance();
  }

  /** The output since the last call; good until the next `write`. */
  take(): Uint8Array {
    const out = this.#out.subarray(0, this.#outCount);
    this.#outCount = 0;
    return out;
  }

  #advance(): void {
    try {
      this.#done = this.#run.next().done === true;
    } catch (error) {
      if (error !== BAD_DATA) throw error;
      this.#done = true;
    }
  }

  *#byte(): Pull {
    while (!this.#hasInput) yield;
    this.#hasInput = false;
    return this.#input;
  }

  *#take(count: number): Pull {
    while (this.#bitCount < count) {
      const byte = yield* this.#byte();
      this.#bits += byte * 2 ** this.#bitCount;
      this.#bitCount += 8;
    }
    return this.#bitsAtHand(count);
  }

  #emit(byte: number): void {
    if (this.#total >= this.#allowed || this.#credit.left === 0) throw BAD_DATA;
    this.#credit.left--;
    if (this.#total === this.#window.length && this.#total < WINDOW) {
      const grown = new Uint8Array(this.#total * 2);
      grown.set(this.#window);
      this.#window = grown;
    }
    this.#window[this.#total++ & (this.#window.length - 1)] = byte;
    if (this.#outCount === this.#out.length) {
      const grown = new Uint8Array(this.#outCount * 4);
      grown.set(this.#out);
      this.#out = grown;
    }
    this.#out[this.#outCount++] = byte;
  }

  *#inflate(wrapper: Wrapper): Generator<void, void> {
    if (wrapper === "gzip") yield* this.#gzipHeader();
    if (wrapper === "zlib") for (let i = 0; i < 2; i++) yield* this.#byte();
    for (let final = 0; final === 0;) {
      final = yield* this.#take(1);
      const type = yield* this.#take(2);
      if (type === 0) yield* this.#stored();
      else if (type === 1) yield* this.#codes(FIXED_LENGTHS, FIXED_DISTANCES);
      else if (type === 2) yield* this.#dynamic();
      else throw BAD_DATA;
    }
  }

  *#gzipHeader(): Generator<void, void> {
    const header: number[] = [];
    for (let i = 0; i < 10; i++) header.push(yield* this.#byte());
    const flags = header[3]!;
    if ((flags & 4) !== 0) {
      const extra = (yield* this.#byte()) | ((yield* this.#byte()) << 8);
      for (let i = 0; i < extra; i++) yield* this.#byte();
    }
    for (const flag of [8, 16]) if ((flags & flag) !== 0) while ((yield* this.#byte()) !== 0);
    if ((flags & 2) !== 0) for (let i = 0; i < 2; i++) yield* this.#byte();
  }

  *#stored(): Generator<void, void> {
    this.#bits = 0;
    this.#bitCount = 0;
    const length = (yield* this.#byte()) | ((yield* this.#byte()) << 8);
    const check = (yield* this.#byte()) | ((yield* this.#byte()) << 8);
    if (length !== (~check & 0xffff)) throw BAD_DATA;
    for (let i = 0; i < length; i++) this.#emit(yield* this.#byte());
  }

  *#dynamic(): Generator<void, void> {
    const lengthCount = (yield* this.#take(5)) + 257;
    const distanceCount = (yield* this.#take(5)) + 1;
    const codeCount = (yield* this.#take(4)) + 4;
    const lengths = new Uint8Array(320);
    for (let i = 0; i < codeCount; i++) lengths[CODE_ORDER[i]!] = yield* this.#take(3);
    const codes = codeOf(lengths.subarray(0, 19));
    const read = new Uint8Array(320);
    for (let i = 0; i < lengthCount + distanceCount;) {
      const symbol = yield* this.#symbol(codes);
      if (symbol < 16) {
        read[i++] = symbol;
        continue;
      }
      if (symbol === 16 && i === 0) throw BAD_DATA;
      const value = symbol === 16 ? read[i - 1]! : 0;
      const repeat =
        symbol === 16
          ? 3 + (yield* this.#take(2))
          : symbol === 17
            ? 3 + (yield* this.#take(3))
            : 11 + (yield* this.#take(7));
      if (i + repeat > lengthCount + distanceCount) throw BAD_DATA;
      read.fill(value, i, i + repeat);
      i += repeat;
    }
    if (read[256] === 0) throw BAD_DATA;
    const distances = codeOf(read.subarray(lengthCount, lengthCount + distanceCount));
    yield* this.#codes(codeOf(read.subarray(0, lengthCount)), distances);
  }

  *#codes(lengths: Code, distances: Code): Generator<void, void> {
    for (;;) {
      const { kept, count } = { kept: this.#bits, count: this.#bitCount };
      const symbol = this.#decode(lengths, distances);
      if (symbol === END_OF_BLOCK) return;
      if (symbol !== NEED_MORE) continue;
      // Not all of the symbol is there: once more from its beginning, with one byte more.
      this.#bits = kept;
      this.#bitCount = count;
      const byte = yield* this.#byte();
      this.#bits += byte * 2 ** this.#bitCount;
      this.#bitCount += 8;
    }
  }

  /** Decodes one literal or match from the bits at hand, of which a match takes 48 at most. */
  #decode(lengths: Code, distances: Code): number {
    const symbol = this.#lookUp(lengths);
    if (symbol < 0 || symbol === END_OF_BLOCK) return symbol;
    if (symbol < 256) {
      this.#emit(symbol);
      return 0;
    }
    const base = LENGTH_BASE[symbol - 257];
    if (base === undefined) throw BAD_DATA;
    const moreLength = this.#bitsAtHand(LENGTH_EXTRA[symbol - 257]!);
    const code = moreLength < 0 ? NEED_MORE : this.#lookUp(distances);
    if (code < 0) return NEED_MORE;
    const far = DISTANCE_BASE[code];
    if (far === undefined) throw BAD_DATA;
    const moreDistance = this.#bitsAtHand(code < 4 ? 0 : (code >> 1) - 1);
    if (moreDistance < 0) return NEED_MORE;
    const distance = far + moreDistance;
    if (distance > this.#total) throw BAD_DATA;
    for (let i = base + moreLength; i > 0; i--) {
      this.#emit(this.#window[(this.#total - distance) & (this.#window.length - 1)]!);
    }
    return 0;
  }

  #bitsAtHand(count: number): number {
    if (count > this.#bitCount) return NEED_MORE;
    const size = 2 ** count;
    const value = this.#bits % size;
    this.#bits = Math.floor(this.#bits / size);
    this.#bitCount -= count;
    return value;
  }

  #lookUp(code: Code): number {
    let value = 0;
    let first = 0;
    let index = 0;
    let bits = this.#bits;
    for (let length = 1; length <= 15; length++) {
      if (length > this.#bitCount) return NEED_MORE;
      const half = Math.floor(bits / 2);
      value |= bits - 2 * half;
      bits = half;
      const count = code.counts[length]!;
      if (value - count < first) {
        this.#bits = bits;
        this.#bitCount -= length;
        return code.symbols[index + (value - first)]!;
      }
      index += count;
      first = (first + count) << 1;
      value <<= 1;
    }
    throw BAD_DATA;
  }

  *#symbol(code: Code): Pull {
    for (;;) {
      const symbol = this.#lookUp(code);
      if (symbol >= 0) return symbol;
      const byte = yield* this.#byte();
      this.#bits += byte * 2 ** this.#bitCount;
      this.#bitCount += 8;
    }
  }
}

/** The canonical Huffman code of these code lengths. */
function codeOf(lengths: Uint8Array): Code {
  const counts = new Uint16Array(16);
  for (const length of lengths) counts[length]!++;
  counts[0] = 0;
  let left = 1;
  const offsets = new Uint16Array(17);
  for (let length = 1; length < 16; length++) {
    left = left * 2 - counts[length]!;
    if (left < 0) throw BAD_DATA;
    offsets[length + 1] = offsets[length]! + counts[length]!;
  }
  const symbols = new Uint16Array(lengths.length);
  for (const [symbol, length] of lengths.entries()) if (length !== 0) symbols[offsets[length]!++] = symbol;
  return { counts, symbols };
}

const FIXED_LENGTHS = codeOf(
  Uint8Array.from({ length: 288 }, (_, symbol) => (symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8)),
);
const FIXED_DISTANCES = codeOf(new Uint8Array(30).fill(5));
