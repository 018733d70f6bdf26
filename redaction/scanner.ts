/**
 * Finds what has to be masked in a stream of bytes: runs all lanes over it and collects spans.
 *
 * After each `read` the spans found so far lie in `spans`, and no later span will begin before `safe`. Both depend on
 * the bytes read alone, not on how they were cut. Decoded inner texts are scanned by the same class (see runs.ts).
 */

import type { Epoch } from "./inflate.ts";
import { Block, BLOCK_MAX } from "./block.ts";
import { Lane, type Needles, type OnMatch } from "./lane.ts";
import { LineLane } from "./line-lane.ts";
import { LANES, type LaneKind, type NeedleStore } from "./needles.ts";
import { RunLane } from "./runs.ts";
import { SpelledLane } from "./spelled.ts";
import { ByteHistory, standsAlone } from "./token.ts";
import { ViewLane } from "./view-lane.ts";

/** `nameEnd` is the end of the match that the span is named for; overlapping ones may have made `end` greater. */
export type Span = {
  readonly start: number;
  end: number;
  readonly nameEnd: number;
  readonly secret: number;
  readonly form: string;
  readonly rank: number;
};

/** Layers of encoding that are looked through. */
const DEPTH_MAX = 3;
/** Characters of a form's beginning that are masked when the stream ends within it. */
const DANGLING_MIN = 6;

const NOTHING = new Uint8Array(0);
/** For each depth the one that its scanners share: nothing in it outlives a `read`. */
const blocks: Block[] = [];

type AnyLane = Lane | ViewLane | SpelledLane;
/** Comes before the lanes' own: a value of several lines is named before one of its lines. */
const LINES_RANK = -1;
/** How many ranks one layer of encoding has. */
const RANKS = LANES.length + 1;

export class Scanner {
  /** Found and not yet taken, in no order; those of one lane do not overlap. */
  spans: Span[] = [];
  /** No span found later begins before this place. */
  safe = 0;
  readonly #store: NeedleStore;
  readonly #lanes = new Map<LaneKind, AnyLane>();
  /** The same lanes, and what each does with a match, for loops that are run for every few bytes. */
  #running: AnyLane[] = [];
  #collectors: OnMatch[] = [];
  #lines: LineLane | undefined;
  readonly #onLine: OnMatch;
  readonly #history = new ByteHistory();
  #version = -1;
  #keepsHistory = false;
  #position = 0;
  /** Bytes at the end that wait for the rest of an escape; the views have not read them. */
  #left: Uint8Array = NOTHING;
  #undecided: Span[] = [];
  #isBehindMask = false;
  readonly #runs: RunLane | undefined;
  readonly #depth: number;
  readonly #epoch: Epoch;

  /** `depth` says how many layers of encoding have been taken off already; the texts within a text are of its epoch. */
  constructor(store: NeedleStore, depth = 0, epoch: Epoch = { count: 0 }) {
    this.#store = store;
    this.#depth = depth;
    this.#epoch = epoch;
    this.#onLine = (start, end, nameEnd, block) => {
      const { secret, form } = store.blocks.meanings[block]!;
      this.#collect({ start, end, nameEnd, secret, form, rank: LINES_RANK });
    };
    if (!store.decodes || depth >= DEPTH_MAX) return;
    this.#runs = new RunLane(
      depth,
      epoch,
      () => new Scanner(store, depth + 1, epoch),
      (start, end, nameEnd, inner, encoding) => {
        const form = depth === 0 && inner.form === "plain" ? encoding : "decoded";
        this.#collect({ start, end, nameEnd, secret: inner.secret, form, rank: RANKS + inner.rank });
      },
    );
  }

  /** Reads the next bytes; with `last` there are no more, or a mask has taken the place of what was next. */
  read(bytes: Uint8Array, last: boolean, isBeforeMask = false): void {
    if (this.#store.version !== this.#version) this.#adopt();
    const base = this.#position;
    if (this.#keepsHistory) this.#history.append(bytes, base);
    if (this.#undecided.length > 0 && bytes.length > 0) this.#decide();
    this.#position = base + bytes.length;
    const block = (blocks[this.#depth] ??= new Block());
    // An escape that a mask cut off is none that the text ends in.
    block.load(this.#left, bytes, base, last && !isBeforeMask);
    let done = block.length;
    for (let i = 0; i < this.#running.length; i++) {
      done = Math.min(done, this.#running[i]!.read(block, this.#collectors[i]!));
    }
    this.#left = done < block.length ? block.text.slice(done, block.length) : NOTHING;
    this.#lines?.read(block, this.#onLine);
    this.#runs?.read(block, isBeforeMask);
    if (last) this.#finish(isBeforeMask);
    this.safe = this.#safe();
  }

  /**
   * The bytes before `place` come from one line of digits, those behind it from the next: words may end and begin
   * there. With `straddles` the byte between comes from both.
   */
  nextLine(place: number, straddles: boolean): void {
    this.#history.nextLine(place, straddles);
  }

  /** Begins a new text at place 0, or what is left of one behind a mask. */
  restart(isBehindMask = false): void {
    if (this.#depth === 0) this.#epoch.count++;
    this.#isBehindMask = isBehindMask;
    this.#position = 0;
    this.#left = NOTHING;
    this.spans = [];
    this.#undecided = [];
    for (const lane of this.#running) restart(lane, isBehindMask);
    this.#history.restart();
    this.#lines?.restart();
    this.#runs?.restart(isBehindMask);
  }

  /** Whether the bytes that cannot be passed on yet begin a form with so many characters that they tell something. */
  get tells(): boolean {
    if (this.#undecided.length > 0 || this.spans.length > 0 || this.#left.length >= DANGLING_MIN) return true;
    if (this.#lines !== undefined && this.#lines.depth >= DANGLING_MIN) return true;
    return this.#running.some((lane) => lane.depth >= DANGLING_MIN);
  }

  #collector(kind: LaneKind, rank: number): OnMatch {
    const { meanings } = this.#store.sets[kind];
    return (start, end, nameEnd, needle) => {
      const meaning = meanings[needle]!;
      const { spans } = this;
      if (spans.length > 0 && !meaning.token) {
        const before = spans[spans.length - 1]!;
        if (before.rank === rank && start > before.start && start < before.end && end >= before.end) {
          // One more link in a chain of overlaps: no need for a span of its own.
          before.end = end;
          return;
        }
      }
      const span = { start, end, nameEnd, secret: meaning.secret, form: meaning.form, rank };
      if (!meaning.token) this.#collect(span);
      else this.#collectToken(span);
    };
  }

  /** Merges with what the same lane found before, so that a text of nothing but matches needs no memory. */
  #collect(span: Span): void {
    let merged = span;
    for (;;) {
      const before = this.spans.at(-1);
      if (before === undefined || before.rank !== span.rank) break;
      if (before.end <= merged.start || before.start >= merged.end) break;
      this.spans.pop();
      merged = joined(before, merged);
    }
    this.spans.push(merged);
  }

  #collectToken(span: Span): void {
    const alone = standsAlone(this.#history, span.start, span.end, this.#position, this.#isBehindMask);
    if (alone === "unknown") this.#undecided.push(span);
    else if (alone === "yes") this.#collect(span);
  }

  #decide(): void {
    const waiting = this.#undecided;
    this.#undecided = [];
    const position = this.#history.end;
    for (const span of waiting) {
      if (standsAlone(this.#history, span.start, span.end, position, this.#isBehindMask) === "yes") this.#collect(span);
    }
  }

  #finish(isBeforeMask: boolean): void {
    // A mask is no end of a word.
    if (!isBeforeMask) for (const span of this.#undecided) this.#collect(span);
    this.#undecided = [];
    // Where a decoded stretch ends nothing was cut off; and a mask within it would make a new end.
    if (this.#depth > 0) return;
    this.#lines?.dangling(DANGLING_MIN, this.#onLine);
    for (const [rank, kind] of LANES.entries()) {
      const lane = this.#lanes.get(kind);
      if (lane === undefined || lane instanceof SpelledLane || lane.depth < DANGLING_MIN) continue;
      const { secret, form, token } = this.#store.sets[kind].meanings[lane.underWay]!;
      if (token) continue;
      // A whole value names the union, not one that might have become longer.
      const start = lane.liveFrom;
      this.#collect({ start, end: lane.readTo, nameEnd: start, secret, form, rank });
    }
  }

  #safe(): number {
    let safe = this.#position;
    for (const lane of this.#running) safe = Math.min(safe, lane.liveFrom);
    for (const span of this.#undecided) safe = Math.min(safe, span.start);
    if (this.#lines !== undefined) safe = Math.min(safe, this.#lines.liveFrom);
    if (this.#runs !== undefined) safe = Math.min(safe, this.#runs.liveFrom);
    return safe;
  }

  #adopt(): void {
    this.#version = this.#store.version;
    for (const kind of LANES) {
      const set = this.#store.sets[kind];
      if (set.size === 0) continue;
      const lane = this.#lanes.get(kind);
      if (lane !== undefined) {
        lane.adopt(this.#store.needles(kind));
        continue;
      }
      const added = laneFor(kind, this.#store.needles(kind));
      if (this.#position === 0) restart(added, this.#isBehindMask);
      this.#lanes.set(kind, added);
    }
    this.#store.blocks.link();
    if (this.#store.blocks.size > 0) this.#lines ??= new LineLane(this.#store.blocks);
    this.#running = [...this.#lanes.values()];
    this.#collectors = Array.from(this.#lanes.keys(), (kind) => this.#collector(kind, LANES.indexOf(kind)));
    this.#keepsHistory = this.#lanes.has("rawShort") || this.#lanes.has("strict");
    if (this.#keepsHistory) this.#history.keep(this.#store.holdMax + BLOCK_MAX + 2);
  }
}

function restart(lane: AnyLane, isBehindMask: boolean): void {
  if (lane instanceof Lane) lane.restart();
  else lane.restart(isBehindMask);
}

function laneFor(kind: LaneKind, needles: Needles): AnyLane {
  if (kind === "rawLong" || kind === "rawShort") return new Lane(needles);
  return kind === "spelled" ? new SpelledLane(needles) : new ViewLane(kind, needles);
}

/** The union of two spans; it is named for the one that begins first, of those for the longest. */
function joined(a: Span, b: Span): Span {
  const named = precedes(a, b) ? a : b;
  return { ...named, end: Math.max(a.end, b.end) };
}

/** Whether `a` names the union of both: it begins first, or is longer, or comes from a more exact lane. */
export function precedes(a: Span, b: Span): boolean {
  if (a.start !== b.start) return a.start < b.start;
  if (a.nameEnd !== b.nameEnd) return a.nameEnd > b.nameEnd;
  return a.rank <= b.rank;
}
