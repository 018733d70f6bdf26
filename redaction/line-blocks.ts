/**
 * Values of several lines as sequences of lines: the needles of line-lane.ts. Lines are numbered by one automaton over
 * bytes; a second one, over those numbers, knows the sequences. Blanks around a line are no part of it. What a sequence
 * stands for it is told, and does not look into.
 */

import { Automaton } from "./automaton.ts";
import { SkipSearch } from "./skip.ts";

/** The number of a line without characters; all others are one more than their needle. */
export const EMPTY_LINE = 0;
/** Symbols that one number of a line takes; the first alone has its high bit set, so none is read out of step. */
const WIDTH = 3;

/** Bytes that count as nothing before and behind a line. */
export const isBlank = (byte: number): boolean => byte === 32 || (byte >= 9 && byte <= 13);

export class LineBlocks<Meaning> {
  /** Finds lines in text. */
  readonly lines = new Automaton();
  readonly meanings: Meaning[] = [];
  /** Each block as its lines, for those who search in another way. */
  readonly all: Uint8Array[][] = [];
  linesMax = 0;
  bytesMax = 0;
  readonly #sequences = new Automaton();
  readonly #firsts: Uint8Array[] = [];
  #firstLines: FirstLines | undefined;

  /** Adds a value, unless it has one line only. */
  add(value: Uint8Array, meaning: Meaning): void {
    const block = linesOf(value);
    if (block.length < 2) return;
    const numbers = block.map((line) => (line.length === 0 ? EMPTY_LINE : this.lines.add(line) + 1));
    const id = this.#sequences.add(Uint8Array.from(numbers.flatMap((number) => symbolsOf(number))));
    if (this.meanings[id] !== undefined) return;
    this.meanings[id] = meaning;
    this.all.push(block);
    this.#firsts.push(block[0]!);
    this.#firstLines = undefined;
    this.linesMax = Math.max(this.linesMax, block.length);
    this.bytesMax = Math.max(this.bytesMax, value.length);
  }

  get size(): number {
    return this.all.length;
  }

  /** Must be called before text is read, when values were added. */
  link(): void {
    this.lines.link();
    this.#sequences.link();
  }

  /** Finds where a block may begin. */
  get firstLines(): FirstLines {
    this.#firstLines ??= new FirstLines(this.#firsts);
    return this.#firstLines;
  }

  /** The state after one more line. */
  step(state: number, number: number): number {
    let next = state;
    for (const symbol of symbolsOf(number)) next = this.#sequences.step(next, symbol);
    return next;
  }

  /** How many lines read last could still begin a block. */
  depth(state: number): number {
    return this.#sequences.depth(state) / WIDTH;
  }

  /** The longest block that ends here, or -1. */
  longest(state: number): number {
    return this.#sequences.longest(state);
  }

  /** The lines of a block. */
  lengthOf(block: number): number {
    return this.#sequences.lengths[block]! / WIDTH;
  }

  /** The same state without what cannot go on. */
  open(state: number): number {
    return this.#sequences.open(state);
  }

  /** A block that begins with what is under way. */
  underWay(state: number): number {
    return this.#sequences.needleBelow(state);
  }
}

class FirstLines {
  readonly #skip: SkipSearch;
  /** One for each byte that a first line begins with: one brace is too short a needle to skip by. */
  readonly #begins = new Uint8Array(256);

  constructor(lines: readonly Uint8Array[]) {
    this.#skip = new SkipSearch(lines);
    for (const line of lines) this.#begins[line[0]!] = 1;
  }

  /** The next place before `to` where a first line may begin, or from where on the rest must be read. */
  next(text: DataView, from: number, to: number): number {
    if (this.#skip.window >= 4) {
      const found = this.#skip.next(text, from, to);
      return found < 0 ? -1 - found : found;
    }
    let at = from;
    while (at < to && this.#begins[text.getUint8(at)] === 0) at++;
    return at;
  }
}

/** The lines of a value, without blanks around them and without empty ones at its ends. */
function linesOf(value: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let from = 0; from <= value.length;) {
    const newline = value.indexOf(10, from);
    const to = newline === -1 ? value.length : newline;
    lines.push(trimmed(value.subarray(from, to)));
    from = to + 1;
  }
  const first = lines.findIndex((line) => line.length > 0);
  const last = lines.findLastIndex((line) => line.length > 0);
  return first === -1 ? [] : lines.slice(first, last + 1);
}

function trimmed(line: Uint8Array): Uint8Array {
  let [from, to] = [0, line.length];
  while (from < to && isBlank(line[from]!)) from++;
  while (to > from && isBlank(line[to - 1]!)) to--;
  return line.subarray(from, to);
}

function symbolsOf(number: number): number[] {
  return [128 | (number >> 14), (number >> 7) & 127, number & 127];
}
