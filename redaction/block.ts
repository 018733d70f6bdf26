/**
 * One piece of a text in the kernel's memory, with what the kernel finds in it: where escapes may begin, where long
 * runs of digits begin, and the symbols of each canonical view that is asked for.
 *
 * One block for each depth of decoding; it is good until the next piece of that depth is loaded.
 */

import { bitCount, firstBit, firstGap } from "./bits.ts";
import { DigitMaps } from "./digit-maps.ts";
import { RUN_MIN } from "./digits.ts";
import { ESCAPE_LEADS, mayBeginEscape } from "./escape-leads.ts";
import { ESCAPE_BYTES_MAX } from "./escapes.ts";
import { bytesAt, dataAt, halvesAt, kernel, scanTable, shuffles, take, takeClass, wordsAt } from "./kernel.ts";
import type { SkipSearch } from "./skip.ts";
import { LEAD, symbolTables } from "./views.ts";

/** Most bytes given to one `load`, besides those left over from the last. */
export const BLOCK_MAX = 1 << 14;
const TEXT_MAX = BLOCK_MAX + ESCAPE_BYTES_MAX;
/** The kernel reads whole vectors, and the one behind them. */
const PADDING = 32;
const BITMAP_BYTES = TEXT_MAX / 8 + 64;

const HAS_LEADS = 1;
const HAS_RUNS = 2;
const HAS_8B = 4;

/** Every block has the loose view; it is made while the text is scanned. */
export type SymbolKind = "loose" | "dense" | "strict";

const leadTable = takeClass((byte) => ESCAPE_LEADS.includes(byte));
const keptTables = {
  dense: takeClass((byte) => (symbolTables.dense[byte]! & 255) !== 0),
  strict: takeClass((byte) => (symbolTables.strict[byte]! & 255) !== 0),
};

export class Block {
  /** The piece, from 0 to `length`. */
  readonly text: Uint8Array;
  readonly data: DataView;
  length = 0;
  /** Place in the stream of the first byte. */
  base = 0;
  /** From here on the bytes were not in the block before. */
  fresh = 0;
  /** Nothing follows the block. */
  last = false;
  readonly #at = take(TEXT_MAX + PADDING);
  readonly #leadsAt = take(BITMAP_BYTES);
  readonly #leads = wordsAt(this.#leadsAt, BITMAP_BYTES);
  readonly #runsAt = take(BITMAP_BYTES);
  readonly #runs = wordsAt(this.#runsAt, BITMAP_BYTES);
  /** Where digits stand for text. */
  readonly digits: DigitMaps;
  readonly #loose = new BlockView();
  readonly #views: { [kind in SymbolKind]?: BlockView } = { loose: this.#loose };
  #found = 0;

  constructor() {
    this.text = bytesAt(this.#at, TEXT_MAX + PADDING);
    this.data = dataAt(this.#at, TEXT_MAX + PADDING);
    this.digits = new DigitMaps(this.#at, TEXT_MAX + PADDING);
  }

  /** Takes the bytes that were left over, which end at `base`, and the next ones. */
  load(left: Uint8Array, bytes: Uint8Array, base: number, last: boolean): void {
    const length = left.length + bytes.length;
    this.text.set(left);
    this.text.set(bytes, left.length);
    this.text.fill(0, length, length + PADDING);
    this.length = length;
    this.base = base - left.length;
    this.fresh = left.length;
    this.last = last;
    this.#found = kernel.scan(
      this.#at,
      length,
      scanTable,
      leadTable,
      this.#leadsAt,
      this.#runsAt,
      shuffles,
      this.#loose.keptAt,
      this.#loose.ranksAt,
      this.#loose.symbolsAt,
    );
    this.digits.forget();
    for (const kind in this.#views) this.#views[kind as SymbolKind]!.isSearched = false;
  }

  /** Whether a byte 0x8b is in it, without which there is no gzip. */
  get has8b(): boolean {
    return (this.#found & HAS_8B) !== 0;
  }

  /** The next place at or after `from` where an escape may begin; `length` when there is none. */
  nextLead(from: number): number {
    const { text, length } = this;
    for (let at = from; at < length; at++) {
      at = (this.#found & HAS_LEADS) === 0 ? length : firstBit(this.#leads, at, length);
      // The last byte may be the first of a pair.
      if (at >= length) return from < length && symbolTables.loose[text[length - 1]!]! >= LEAD ? length - 1 : length;
      if (mayBeginEscape(text, at, length)) return at;
    }
    return length;
  }

  /** The next place at or after `from` where RUN_MIN digits in a row begin; `length` when there is none. */
  nextRun(from: number): number {
    return (this.#found & HAS_RUNS) === 0 ? this.length : firstBit(this.#runs, from, this.length);
  }

  /** Where the digits end that stand at `from`; `from` itself if fewer than RUN_MIN of them do. */
  runEnd(from: number): number {
    if ((this.#found & HAS_RUNS) === 0) return from;
    const end = firstGap(this.#runs, from, this.length);
    return end === from ? from : Math.min(this.length, end + RUN_MIN - 1);
  }

  /** The symbols of a view, as if nothing in the block were an escape, searched for needles. */
  view(kind: SymbolKind, skip: SkipSearch): BlockView {
    let view = this.#views[kind];
    if (view === undefined) this.#views[kind] = view = new BlockView();
    if (view.isSearched) return view;
    if (kind !== "loose")
      kernel.view(this.#at, this.length, keptTables[kind], shuffles, view.keptAt, view.ranksAt, view.symbolsAt);
    view.search(skip, this.length);
    return view;
  }
}

class BlockView {
  isSearched = false;
  /** Bit for bit the bytes that have a symbol; for each sixteen bytes how many symbols lie before them; the symbols. */
  readonly keptAt = take(BITMAP_BYTES);
  readonly ranksAt = take(BITMAP_BYTES);
  readonly symbolsAt = take(TEXT_MAX + PADDING);
  readonly #kept = halvesAt(this.keptAt, BITMAP_BYTES);
  readonly #ranks = halvesAt(this.ranksAt, BITMAP_BYTES);
  readonly #symbols = dataAt(this.symbolsAt, TEXT_MAX + PADDING);
  #skip: SkipSearch | undefined;
  #count = 0;
  /** Between these symbols it is known with which ones a needle may begin, for the next lane that asks. */
  #knownFrom = 0;
  #knownTo = 0;
  readonly #found = new Uint16Array(TEXT_MAX);
  #foundCount = 0;

  search(skip: SkipSearch, length: number): void {
    this.#skip = skip;
    this.#count = this.rankOf(length);
    this.#forget(0);
    this.isSearched = true;
  }

  /**
   * The first byte at or after `from` where a needle may begin whose window lies before `to`; if there is none, minus
   * one minus the byte from which the rest has to be read. A needle may begin so many bytes before its first symbol.
   */
  next(from: number, to: number, lead = 0): number {
    const { window } = this.#skip!;
    const first = this.rankOf(from);
    const end = this.rankOf(to);
    const found = this.#next(first);
    if (found + window <= end) return Math.max(from, this.placeOf(found, to) - lead);
    const rest = Math.max(first, end - window + 1);
    return -1 - Math.max(from, (rest < end ? this.placeOf(rest, to) : to) - lead);
  }

  /** The first symbol at or after this one with which a needle may begin, or Infinity. */
  #next(rank: number): number {
    if (rank < this.#knownFrom || rank > this.#knownTo) this.#forget(rank);
    let low = 0;
    let high = this.#foundCount;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#found[middle]! < rank) low = middle + 1;
      else high = middle;
    }
    if (low < this.#foundCount) return this.#found[low]!;
    const found = this.#skip!.next(this.#symbols, this.#knownTo, this.#count);
    this.#knownTo = found < 0 ? this.#count : found + 1;
    if (found < 0) return Infinity;
    this.#found[this.#foundCount++] = found;
    return found;
  }

  #forget(rank: number): void {
    this.#knownFrom = rank;
    this.#knownTo = rank;
    this.#foundCount = 0;
  }

  /** How many symbols lie before a byte. */
  rankOf(at: number): number {
    return this.#ranks[at >> 4]! + bitCount(this.#kept[at >> 4]! & ((1 << (at & 15)) - 1));
  }

  /** The byte that a symbol comes from, given that it lies before `to`. */
  placeOf(rank: number, to: number): number {
    let low = 0;
    let high = to >> 4;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#ranks[middle]! <= rank) low = middle;
      else high = middle - 1;
    }
    let map = this.#kept[low]!;
    for (let skip = rank - this.#ranks[low]!; skip > 0; skip--) map &= map - 1;
    return low * 16 + 31 - Math.clz32(map & -map);
  }
}
