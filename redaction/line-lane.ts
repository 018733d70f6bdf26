/**
 * Finds a value of several lines behind a prefix on every line: where lines of a text that follow each other end with
 * the lines of the value, behind prefixes that are alike (prefix.ts), each of those ends is masked.
 *
 * A line ends with at most as many lines of values as it has bytes, and each is one step of the automaton of its
 * column, so the time is linear. Prefixes and blanks at the end are bounded, and with them what is held.
 */

import type { Block } from "./block.ts";
import type { OnMatch } from "./lane.ts";
import { EMPTY_LINE, isBlank, type LineBlocks } from "./line-blocks.ts";
import { columnsOf, PREFIX_MAX } from "./prefix.ts";

/** Blanks and colours that may stand behind a line. */
const TRAIL_MAX = 64;
/** What each line of a text may hold besides the line of a value. */
export const LINE_MORE_MAX = PREFIX_MAX + TRAIL_MAX + 1;
const NEWLINE = 10;
const ESC = 0x1b;
const BRACKET = 0x5b;

/** Lines found one after the other in one column. */
type Run = {
  state: number;
  count: number;
  /** Start and end of each of the last lines. */
  places: number[];
  /** Which of them were reported, as stretches with gaps between. */
  reported: { from: number; to: number }[];
};

type CutOff = { places: number[]; block: number };

export class LineLane {
  readonly #blocks: LineBlocks<unknown>;
  #position = 0;
  #runs = new Map<number, Run>();
  #lineStart = 0;
  readonly #head = new Uint8Array(PREFIX_MAX);
  #headLength = 0;
  /** Of the automaton over the bytes of the line. */
  #state = 0;
  /** The longest line of a value that ends where the text's line may end, and that place. */
  #candidate = -1;
  #candidateEnd = 0;
  #sequence: "none" | "escape" | "parameters" = "none";
  /** At the end of the text: lines under way, with the beginning of one more. */
  #cutOff: CutOff[] = [];

  constructor(blocks: LineBlocks<unknown>) {
    this.#blocks = blocks;
  }

  /** Begins a new text. */
  restart(): void {
    this.#position = 0;
    this.#runs.clear();
    this.#cutOff = [];
    this.#beginLine(0);
  }

  /** Bytes that could still become a match. */
  get depth(): number {
    return this.#position - this.liveFrom;
  }

  /** From where on bytes could still become a match. */
  get liveFrom(): number {
    let from = this.#lineLiveFrom;
    for (const run of this.#runs.values()) from = Math.min(from, this.#startOf(run));
    return from;
  }

  /** Reads what is fresh in a block. */
  read(block: Block, onMatch: OnMatch): void {
    const { text: bytes, data, base, fresh, length, last } = block;
    const { lines, firstLines } = this.#blocks;
    let escape = -1;
    for (let i = fresh; i < length; i++) {
      if (this.#state === 0 && this.#candidate === -1 && this.#runs.size === 0 && this.#sequence === "none") {
        if (escape < i) escape = indexOf(bytes, ESC, i, length);
        i = this.#leap(bytes, { from: i, to: firstLines.next(data, i, escape), base });
        if (i === length) break;
      }
      const byte = bytes[i]!;
      if (byte === NEWLINE) {
        this.#endLine(bytes, base, base + i, onMatch);
        this.#beginLine(base + i + 1);
      } else if (!this.#isSequence(byte)) {
        this.#state = lines.step(this.#state, byte);
        if (isBlank(byte)) continue;
        this.#candidate = lines.longest(this.#state);
        this.#candidateEnd = base + i + 1;
      }
    }
    this.#position = base + length;
    if (this.#position - this.#candidateEnd > TRAIL_MAX) this.#candidate = -1;
    if (last && this.#position > this.#lineStart) {
      this.#findCutOff(bytes, base);
      this.#endLine(bytes, base, this.#position, onMatch);
      this.#beginLine(this.#position);
    } else {
      this.#fillHead(bytes, base, this.#position);
      // No line of a value can begin in this line any more.
      if (this.#lineLiveFrom - this.#lineStart > PREFIX_MAX) this.#runs.clear();
    }
  }

  /** After the last `read`: reports lines under way of at least so many bytes, as the text may have been cut off. */
  dangling(bytesMin: number, onMatch: OnMatch): void {
    for (const run of this.#runs.values()) this.#cutOff.push(this.#underWay(run));
    for (const { places, block } of this.#cutOff) {
      let size = 0;
      for (let i = 0; i < places.length; i += 2) size += places[i + 1]! - places[i]!;
      if (size >= bytesMin) report(places, block, onMatch);
    }
  }

  #underWay(run: Run): CutOff {
    return { places: run.places.slice(-2 * this.#blocks.depth(run.state)), block: this.#blocks.underWay(run.state) };
  }

  /** Lines under way, if the line that the text ends in begins a line of a value in their column, or ends there. */
  #findCutOff(bytes: Uint8Array, base: number): void {
    if (this.#runs.size === 0) return;
    const { lines } = this.#blocks;
    const columns = this.#columns(bytes, base, this.#position);
    const put = (column: number, start: number): void => {
      const run = this.#runs.get(column);
      if (run === undefined) return;
      const { places, block } = this.#underWay(run);
      this.#cutOff.push({ places: [...places, start, this.#position], block });
    };
    for (let state = this.#state; state !== 0; state = lines.fail(state)) {
      const start = this.#position - lines.depth(state);
      if (start - this.#lineStart < PREFIX_MAX) put(columns[start - this.#lineStart]!, start);
    }
    if (this.#position - this.#lineStart <= PREFIX_MAX) put(columns.at(-1)!, this.#position);
  }

  #endLine(bytes: Uint8Array, base: number, place: number, onMatch: OnMatch): void {
    const runs = this.#runs;
    const { lines } = this.#blocks;
    if (this.#sequence !== "none" || place - this.#candidateEnd > TRAIL_MAX) this.#candidate = -1;
    if (this.#candidate !== -1 && this.#candidateStart - this.#lineStart >= PREFIX_MAX) this.#candidate = -1;
    if (this.#candidate === -1 && runs.size === 0) return;
    const columns = this.#columns(bytes, base, place);
    this.#runs = new Map();
    for (let line = this.#candidate; line !== -1; line = lines.nextShorter(line)) {
      const start = this.#candidateEnd - lines.lengths[line]!;
      const column = start - this.#lineStart < PREFIX_MAX ? columns[start - this.#lineStart]! : -1;
      if (column === -1) continue;
      this.#runs.set(column, runs.get(column) ?? { state: 0, count: 0, places: [], reported: [] });
      this.#extend(column, line + 1, start, onMatch);
    }
    // A prefix without anything behind it stands for an empty line.
    const column = place - this.#lineStart > PREFIX_MAX ? -1 : columns.at(-1)!;
    const run = runs.get(column);
    if (run === undefined) return;
    this.#runs.set(column, run);
    this.#candidateEnd = place;
    this.#extend(column, EMPTY_LINE, place, onMatch);
  }

  #extend(column: number, line: number, start: number, onMatch: OnMatch): void {
    const blocks = this.#blocks;
    const run = this.#runs.get(column)!;
    const { places } = run;
    run.state = blocks.step(run.state, line);
    places.push(start, this.#candidateEnd);
    run.count++;
    const block = blocks.longest(run.state);
    if (block !== -1) this.#reportBlock(run, block, onMatch);
    run.state = blocks.open(run.state);
    if (run.state === 0) this.#runs.delete(column);
    else if (places.length > 4 * blocks.linesMax) {
      places.splice(0, places.length - 2 * blocks.linesMax);
      run.reported = run.reported.filter(({ to }) => to > run.count - blocks.linesMax);
    }
  }

  /** Reports the lines of a block that ends here, each once although blocks may overlap. */
  #reportBlock(run: Run, block: number, onMatch: OnMatch): void {
    const { places, count, reported } = run;
    const first = count - places.length / 2;
    let from = count - this.#blocks.lengthOf(block);
    for (let end = count; end > from;) {
      const before = reported.at(-1);
      const start = Math.max(from, before?.to ?? 0);
      report(places.slice(2 * (start - first), 2 * (end - first)), block, onMatch);
      if (before === undefined || before.to < from) break;
      reported.pop();
      end = before.from;
      from = Math.min(from, end);
    }
    reported.push({ from, to: count });
  }

  /** Passes over bytes in which no block begins. */
  #leap(bytes: Uint8Array, { from, to, base }: { from: number; to: number; base: number }): number {
    let at = to - 1;
    while (at >= from && bytes[at] !== NEWLINE) at--;
    if (at >= from) this.#beginLine(base + at + 1);
    return to;
  }

  /** Whether a byte belongs to a colour or another control sequence, which counts as a blank. */
  #isSequence(byte: number): boolean {
    if (byte === ESC) {
      if (this.#sequence !== "none") this.#candidate = -1;
      this.#sequence = "escape";
      this.#state = 0;
      return true;
    }
    if (this.#sequence === "none") return false;
    if (this.#sequence === "escape" && byte === BRACKET) {
      this.#sequence = "parameters";
      return true;
    }
    const isEnd = this.#sequence === "parameters" && byte >= 0x40 && byte <= 0x7e;
    if (this.#sequence === "parameters" && byte >= 0x20 && byte <= 0x3f) return true;
    this.#sequence = "none";
    if (!isEnd) this.#candidate = -1;
    return isEnd;
  }

  /** From where on bytes of the line under way could still become a line of a value. */
  get #lineLiveFrom(): number {
    const { lines } = this.#blocks;
    const open = this.#position - lines.depth(this.#state);
    return this.#candidate === -1 ? open : Math.min(open, this.#candidateStart);
  }

  get #candidateStart(): number {
    return this.#candidateEnd - this.#blocks.lines.lengths[this.#candidate]!;
  }

  #startOf(run: Run): number {
    return run.places[run.places.length - 2 * this.#blocks.depth(run.state)]!;
  }

  #beginLine(start: number): void {
    this.#lineStart = start;
    this.#headLength = 0;
    this.#state = 0;
    this.#candidate = -1;
    this.#candidateEnd = start;
    this.#sequence = "none";
  }

  #columns(bytes: Uint8Array, base: number, to: number): number[] {
    this.#fillHead(bytes, base, to);
    return columnsOf(this.#head.subarray(0, this.#headLength));
  }

  /** Keeps the first bytes of the line, which may have begun in an earlier read. */
  #fillHead(bytes: Uint8Array, base: number, to: number): void {
    const end = Math.min(to, this.#lineStart + PREFIX_MAX);
    for (let at = this.#lineStart + this.#headLength; at < end; at++)
      this.#head[this.#headLength++] = bytes[at - base]!;
  }
}

function report(places: readonly number[], block: number, onMatch: OnMatch): void {
  for (let i = 0; i < places.length; i += 2)
    if (places[i]! < places[i + 1]!) onMatch(places[i]!, places[i + 1]!, places[i + 1]!, block);
}

function indexOf(bytes: Uint8Array, byte: number, from: number, to: number): number {
  const at = bytes.indexOf(byte, from);
  return at === -1 || at > to ? to : at;
}
