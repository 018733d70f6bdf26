/**
 * One automaton running over a canonical view of the text, without making the view where nothing is to be found.
 *
 * Text without escapes is searched in bulk (block.ts); where a needle may begin, and around every escape, the
 * view is read symbol by symbol, each with the place it came from. Bytes held are bounded: a match may spread over
 * `spreadMax` bytes before its last symbol, and an escape over ESCAPE_BYTES_MAX.
 */

import type { SymbolView } from "./automaton.ts";
import type { Block, SymbolKind } from "./block.ts";
import { BREAK, EscapeReader, INVISIBLE, MORE, restOfEscape } from "./escapes.ts";
import { simpleEscape } from "./escape-leads.ts";
import type { Needles, OnMatch } from "./lane.ts";
import { LEAD, symbolTables } from "./views.ts";

/** A state this shallow is left to the skipping search, if it began so few bytes ago. */
const SHALLOW = 2;
const SHALLOW_BYTES = 32;
/** While a needle is under way, whether to skip is asked again after so many bytes. */
const RETRY = 4;
/** While more than so much of a needle is under way, only after so many bytes. */
const DEEP = 8;
const DEEP_RETRY = 256;

const reader = new EscapeReader();

export class ViewLane {
  #needles: Needles;
  readonly #kind: SymbolKind;
  readonly #view: SymbolView;
  #state = 0;
  #position = 0;
  #readTo = 0;
  /** The text begins with what may be the rest of an escape. */
  #skipsRest = false;

  constructor(kind: SymbolKind, needles: Needles) {
    this.#kind = kind;
    this.#needles = needles;
    const { longest, spreadMax } = needles;
    this.#view = { table: symbolTables[kind], starts: new Float64Array(ringSize(longest)), count: 0, spreadMax };
  }

  /** Goes over to a grown set of needles; what is under way stays under way. */
  adopt(needles: Needles): void {
    this.#needles = needles;
    this.#view.spreadMax = needles.spreadMax;
    const { starts: old, count } = this.#view;
    if (old.length > needles.longest + 1) return;
    const starts = new Float64Array(ringSize(needles.longest));
    for (let i = Math.max(0, count - old.length); i < count; i++) {
      starts[i & (starts.length - 1)] = old[i & (old.length - 1)]!;
    }
    this.#view.starts = starts;
  }

  /** Begins a new text, or what is left of one behind a mask. */
  restart(isBehindMask = false): void {
    this.#skipsRest = isBehindMask && this.#needles.cutsEscapes;
    this.#state = 0;
    this.#view.count = 0;
    this.#position = 0;
  }

  get depth(): number {
    return this.#needles.automaton.depth(this.#state);
  }

  get underWay(): number {
    return this.#state === 0 ? -1 : this.#needles.automaton.needleBelow(this.#state);
  }

  get readTo(): number {
    return this.#readTo;
  }

  /** From where on bytes could still become a match. */
  get liveFrom(): number {
    return this.#state === 0 ? this.#position : this.#startOf(this.depth);
  }

  /** Reads a block; gives how far it came: to an escape that is not complete, or to the end. */
  read(block: Block, onMatch: OnMatch): number {
    const done = this.#scan(block, onMatch);
    this.#position = block.base + done;
    const { automaton, spreadMax } = this.#needles;
    this.#state = automaton.open(this.#state);
    // What has spread too far to match is given up, so that its bytes need not be held.
    while (this.#state !== 0 && this.#position - this.#startOf(this.depth) > spreadMax) {
      this.#state = automaton.fail(this.#state);
    }
    return done;
  }

  #scan(block: Block, onMatch: OnMatch): number {
    const { text, base, length: to } = block;
    const { skip, cutsEscapes, marks } = this.#needles;
    reader.mayBeCut = cutsEscapes;
    reader.marks = marks;
    const view = block.view(this.#kind, skip);
    const { table } = this.#view;
    let i = this.#skipsRest ? restOfEscape(text, to, block.last) : 0;
    if (i === MORE) return 0;
    this.#skipsRest = false;
    let lead = -1;
    let cleanFrom = i;
    let stepTo = 0;
    while (i < to) {
      if (i >= stepTo && table[text[i]!]! < LEAD) {
        if (lead < i) lead = block.nextLead(i);
        const from = i < lead ? this.#skipFrom(i, base, cleanFrom) : -1;
        if (from >= 0) {
          const next = view.next(from, lead);
          this.#state = 0;
          i = next < 0 ? -1 - next : next;
          stepTo = next < 0 ? lead : Math.min(lead, next + skip.window + SHALLOW_BYTES);
          if (i >= to) break;
        } else stepTo = i + (this.depth > DEEP ? DEEP_RETRY : RETRY);
      }
      if (table[text[i]!]! < LEAD) {
        i = this.#run(text, i, Math.min(stepTo, to), base, onMatch);
        continue;
      }
      const from = i;
      i = this.#runEscapes(text, i, to, base, onMatch);
      if (i > from) {
        cleanFrom = i;
        stepTo = i;
        continue;
      }
      const byte = reader.read(text, i, to, block.last);
      if (byte === MORE) return i;
      if (byte === BREAK) this.#state = 0;
      else if (byte !== INVISIBLE) this.#pushEscape(byte, base + i, reader.end - i, onMatch);
      i = reader.end;
      cleanFrom = i;
      stepTo = i;
    }
    return to;
  }

  /** The byte from which the skipping search may take over, or -1. */
  #skipFrom(i: number, base: number, cleanFrom: number): number {
    if (this.#state === 0) return i;
    const depth = this.depth;
    // Symbols read again must not hold a whole needle, or it would be reported twice.
    if (depth > SHALLOW || depth >= this.#needles.skip.window) return -1;
    const from = this.#startOf(depth) - base;
    return from >= cleanFrom && from >= i - SHALLOW_BYTES ? from : -1;
  }

  /** Reads escapes of the frequent kinds, as far as they follow each other; gives how far it came. */
  #runEscapes(text: Uint8Array, from: number, to: number, base: number, onMatch: OnMatch): number {
    const { automaton } = this.#needles;
    const { table, starts } = this.#view;
    const mask = starts.length - 1;
    let { count } = this.#view;
    let state = this.#state;
    let readTo = this.#readTo;
    let i = from;
    for (let simple = simpleEscape(text, i, to); simple !== 0; simple = simpleEscape(text, i, to)) {
      const symbol = table[simple & 255]! & 255;
      const end = i + (simple >> 8);
      if (symbol !== 0) {
        state = automaton.step(state, symbol);
        starts[count++ & mask] = base + i;
        readTo = base + end;
        if (automaton.longest(state) !== -1) {
          this.#view.count = count;
          this.#state = state;
          this.#report(base + i, end - i, onMatch);
        }
      }
      i = end;
    }
    this.#view.count = count;
    this.#state = state;
    this.#readTo = readTo;
    return i;
  }

  #pushEscape(byte: number, start: number, width: number, onMatch: OnMatch): void {
    const { automaton } = this.#needles;
    const symbol = this.#view.table[byte]! & 255;
    if (symbol !== 0) this.#push(automaton.step(this.#state, symbol), start, width, onMatch);
    for (const further of reader.extra) this.#push(automaton.step(this.#state, further), start, width, onMatch);
  }

  /** Reads bytes until `to` or an escape; gives how far it came. */
  #run(text: Uint8Array, from: number, to: number, base: number, onMatch: OnMatch): number {
    const { automaton, reportsAll, spreadMax } = this.#needles;
    const view = this.#view;
    const { starts, table } = view;
    const mask = starts.length - 1;
    const { count } = view;
    let state = this.#state;
    automaton.spanEnd = -Infinity;
    let nameEnd = 0;
    let spanNeedle = -1;
    let i = from;
    do {
      state = automaton.runView(state, text, i, to, base, view);
      i = automaton.ranTo;
      const needle = automaton.longest(state);
      // When the last byte was dropped, what ends here was reported before it.
      if (needle === -1 || table[text[i - 1]!] === 0) continue;
      const end = base + i;
      const start = starts[(view.count - automaton.lengths[needle]!) & mask]!;
      if (reportsAll || end - 1 - start > spreadMax) {
        this.#state = state;
        this.#report(end - 1, 1, onMatch);
        continue;
      }
      if (start <= automaton.spanStart || start >= automaton.spanEnd) {
        if (spanNeedle !== -1) onMatch(automaton.spanStart, automaton.spanEnd, nameEnd, spanNeedle);
        automaton.spanStart = start;
        nameEnd = end;
        spanNeedle = needle;
      }
      automaton.spanEnd = end;
    } while (i < to && table[text[i]!]! < LEAD);
    if (spanNeedle !== -1) onMatch(automaton.spanStart, automaton.spanEnd, nameEnd, spanNeedle);
    this.#state = state;
    if (view.count !== count) this.#readTo = this.#startOf(1) + 1;
    return i;
  }

  #push(state: number, start: number, width: number, onMatch: OnMatch): void {
    const { starts } = this.#view;
    this.#state = state;
    starts[this.#view.count++ & (starts.length - 1)] = start;
    this.#readTo = start + width;
    this.#report(start, width, onMatch);
  }

  /** Reports what ends with the symbol read last. */
  #report(start: number, width: number, onMatch: OnMatch): void {
    const { automaton, reportsAll, spreadMax } = this.#needles;
    for (let needle = automaton.longest(this.#state); needle !== -1;) {
      const first = this.#startOf(automaton.lengths[needle]!);
      const fits = start - first <= spreadMax;
      if (fits) onMatch(first, start + width, start + width, needle);
      needle = reportsAll || !fits ? automaton.nextShorter(needle) : -1;
    }
  }

  /** The place of the symbol so many symbols back. */
  #startOf(back: number): number {
    const { starts, count } = this.#view;
    return starts[(count - back) & (starts.length - 1)]!;
  }
}

function ringSize(longest: number): number {
  return 2 ** Math.ceil(Math.log2(longest + 2));
}
