/**
 * Finds needles spelled out with one separator between all characters: `s-e-c-r-e-t`, or one character per line.
 *
 * Two automaton states run over every other symbol each; a state starts afresh when the separator changes. Only for
 * needles too short for the loose view, which drops separators of any kind.
 */

import type { Block } from "./block.ts";
import { BREAK, EscapeReader, INVISIBLE, MORE, restOfEscape } from "./escapes.ts";
import type { Needles, OnMatch } from "./lane.ts";
import { LEAD, symbolTables } from "./views.ts";

const table = symbolTables.spelled;
const reader = new EscapeReader();

export class SpelledLane {
  #needles: Needles;
  readonly #states = [0, 0];
  #starts: Float64Array;
  #symbols: Uint8Array;
  #count = 0;
  #position = 0;
  /** The text begins with what may be the rest of an escape. */
  #skipsRest = false;

  constructor(needles: Needles) {
    this.#needles = needles;
    const size = 2 ** Math.ceil(Math.log2(2 * needles.longest + 8));
    this.#starts = new Float64Array(size);
    this.#symbols = new Uint8Array(size);
  }

  adopt(needles: Needles): void {
    if (needles === this.#needles) return;
    const grown = new SpelledLane(needles);
    if (grown.#starts.length > this.#starts.length) {
      for (let i = Math.max(0, this.#count - this.#starts.length); i < this.#count; i++) {
        grown.#starts[i & (grown.#starts.length - 1)] = this.#starts[i & (this.#starts.length - 1)]!;
        grown.#symbols[i & (grown.#symbols.length - 1)] = this.#symbols[i & (this.#symbols.length - 1)]!;
      }
      this.#starts = grown.#starts;
      this.#symbols = grown.#symbols;
    }
    this.#needles = needles;
  }

  /** Begins a new text, or what is left of one behind a mask. */
  restart(isBehindMask = false): void {
    this.#skipsRest = isBehindMask && this.#needles.cutsEscapes;
    this.#break();
    this.#position = 0;
  }

  get depth(): number {
    const { automaton } = this.#needles;
    return Math.max(automaton.depth(this.#states[0]!), automaton.depth(this.#states[1]!));
  }

  /** From where on bytes could still become a match. */
  get liveFrom(): number {
    return Math.min(this.#position, this.#liveFrom(0), this.#liveFrom(1));
  }

  /** Reads a block; gives how far it came: to an escape that is not complete, or to the end. */
  read({ text, base, length, last }: Block, onMatch: OnMatch): number {
    reader.mayBeCut = this.#needles.cutsEscapes;
    reader.marks = this.#needles.marks;
    let i = this.#skipsRest ? restOfEscape(text, length, last) : 0;
    if (i === MORE) return 0;
    this.#skipsRest = false;
    while (i < length) {
      const symbol = table[text[i]!]!;
      if (symbol < LEAD) {
        if (symbol !== 0) this.#push(symbol, base + i, 1, onMatch);
        i++;
        continue;
      }
      const byte = reader.read(text, i, length, last);
      if (byte === MORE) break;
      if (byte === BREAK) this.#break();
      else if (byte !== INVISIBLE) {
        if ((table[byte]! & 255) !== 0) this.#push(table[byte]! & 255, base + i, reader.end - i, onMatch);
        for (const further of reader.extra) this.#push(further, base + i, reader.end - i, onMatch);
      }
      i = reader.end;
    }
    this.#position = base + i;
    for (const phase of [0, 1]) {
      this.#states[phase] = this.#needles.automaton.open(this.#states[phase]!);
      while (this.#states[phase] !== 0 && this.#position - this.#liveFrom(phase) > this.#needles.spreadMax) {
        this.#states[phase] = this.#needles.automaton.fail(this.#states[phase]);
      }
    }
    return i;
  }

  #push(symbol: number, start: number, width: number, onMatch: OnMatch): void {
    const { automaton, spreadMax } = this.#needles;
    const mask = this.#starts.length - 1;
    const at = this.#count++;
    this.#symbols[at & mask] = symbol;
    this.#starts[at & mask] = start;
    const phase = at & 1;
    let state = this.#states[phase]!;
    if (at >= 2 && (at < 3 || this.#symbols[(at - 1) & mask] !== this.#symbols[(at - 3) & mask])) {
      state = automaton.step(0, this.#symbols[(at - 2) & mask]!);
    }
    state = automaton.step(state, symbol);
    this.#states[phase] = state;
    for (let needle = automaton.longest(state); needle !== -1; needle = automaton.nextShorter(needle)) {
      const first = this.#startOf(at - 2 * (automaton.lengths[needle]! - 1));
      if (start - first <= spreadMax) onMatch(first, start + width, start + width, needle);
    }
  }

  #break(): void {
    this.#states.fill(0);
    this.#count = 0;
  }

  #liveFrom(phase: number): number {
    const depth = this.#needles.automaton.depth(this.#states[phase]!);
    return depth === 0 ? Infinity : this.#startOf(this.#lastOf(phase) - 2 * (depth - 1));
  }

  #lastOf(phase: number): number {
    return ((this.#count - 1) & 1) === phase ? this.#count - 1 : this.#count - 2;
  }

  #startOf(index: number): number {
    return this.#starts[index & (this.#starts.length - 1)]!;
  }
}
