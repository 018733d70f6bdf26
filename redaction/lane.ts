/**
 * One automaton running over the raw bytes. Skips where it can, steps where a needle may be under way, and says from
 * where on bytes must be held. What it reports does not depend on how the stream is cut; what a match means it does
 * not know.
 */

import type { Automaton } from "./automaton.ts";
import type { Block } from "./block.ts";
import type { SkipSearch } from "./skip.ts";

export type Needles = {
  readonly automaton: Automaton;
  /** For a raw lane with `symbolsLead` and for every view it searches symbols, else bytes. */
  readonly skip: SkipSearch;
  /** Raw needles that are sought by their symbols in the loose view: most bytes before the first symbol of one. */
  readonly symbolsLead: number | undefined;
  /** Whether every needle that ends at a byte is reported, or the longest only. */
  readonly reportsAll: boolean;
  /** In a canonical view: how many raw bytes a match may spread over before its last symbol. */
  readonly spreadMax: number;
  readonly longest: number;
  /** In a canonical view: whether the rest of an escape may stand behind a placeholder. */
  readonly cutsEscapes: boolean;
  readonly marks: boolean;
};

/** `nameEnd` is where the needle itself ends; further ones that overlap it may have made `end` greater. */
export type OnMatch = (start: number, end: number, nameEnd: number, needle: number) => void;

/** A state this shallow is left to the skipping search, which reads those few bytes again. */
const SHALLOW = 2;
/** While a needle is under way, whether to skip is asked again after so many bytes. */
const RETRY = 4;
/** While more than so much of a needle is under way, only after so many bytes. */
const DEEP = 8;
const DEEP_RETRY = 256;

export class Lane {
  #state = 0;
  #position = 0;
  #needles: Needles;

  constructor(needles: Needles) {
    this.#needles = needles;
  }

  /** Goes over to a grown set of needles; what is under way stays under way. */
  adopt(needles: Needles): void {
    this.#needles = needles;
  }

  /** Begins a new text. */
  restart(): void {
    this.#state = 0;
    this.#position = 0;
  }

  /** How many bytes read last could still begin a needle. */
  get depth(): number {
    return this.#needles.automaton.depth(this.#state);
  }

  /** A needle that could still be completed, or -1. */
  get underWay(): number {
    return this.#state === 0 ? -1 : this.#needles.automaton.needleBelow(this.#state);
  }

  /** Where the last byte of what is under way ends. */
  get readTo(): number {
    return this.#position;
  }

  /** From where on bytes could still become a match. */
  get liveFrom(): number {
    return this.#position - this.depth;
  }

  /** Reads what is fresh in a block, to the end of it, and gives that. */
  read(block: Block, onMatch: OnMatch): number {
    const { text, data, fresh, length: to, base } = block;
    const { automaton, skip, reportsAll, symbolsLead } = this.#needles;
    const view = symbolsLead === undefined ? undefined : block.view("loose", skip);
    const step = Math.max(skip.window, SHALLOW + 1) + (symbolsLead ?? 0);
    // Bytes read again must not hold a whole needle, or it would be reported twice.
    const shallow = Math.min(SHALLOW, skip.window - 1);
    let state = this.#state;
    let i = fresh;
    let stepTo = 0;
    automaton.spanEnd = -Infinity;
    let nameEnd = 0;
    let spanNeedle = -1;
    while (i < to) {
      if (i >= stepTo) {
        const depth = automaton.depth(state);
        if (depth <= shallow && i - fresh >= depth) {
          const next = view === undefined ? skip.next(data, i - depth, to) : view.next(i - depth, to, symbolsLead);
          state = 0;
          i = next < 0 ? -1 - next : next;
          stepTo = next < 0 ? to : next + step;
        } else stepTo = i + (depth > DEEP ? DEEP_RETRY : RETRY);
      }
      state = automaton.run(state, text, i, Math.min(stepTo, to));
      i = automaton.ranTo;
      let needle = automaton.longest(state);
      if (!reportsAll && needle !== -1) {
        const start = i - automaton.lengths[needle]!;
        if (start <= automaton.spanStart || start >= automaton.spanEnd) {
          if (spanNeedle !== -1)
            onMatch(base + automaton.spanStart, base + automaton.spanEnd, base + nameEnd, spanNeedle);
          automaton.spanStart = start;
          nameEnd = i;
          spanNeedle = needle;
        }
        automaton.spanEnd = i;
        continue;
      }
      for (; needle !== -1; needle = automaton.nextShorter(needle)) {
        onMatch(base + i - automaton.lengths[needle]!, base + i, base + i, needle);
      }
    }
    if (spanNeedle !== -1) onMatch(base + automaton.spanStart, base + automaton.spanEnd, base + nameEnd, spanNeedle);
    this.#state = automaton.open(state);
    this.#position = base + to;
    return to;
  }
}
