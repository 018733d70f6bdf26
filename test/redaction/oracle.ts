/**
 * The naive redactor: reads a whole text, looks for every needle at every place, and joins the spans. Slow, and simple
 * enough to be believed. It shares the needles and the escape reader with the real one, but neither automaton nor
 * skipping, nor streams.
 */
import { BREAK, EscapeReader, INVISIBLE } from "../../redaction/escapes.ts";
import { LANES, type LaneKind, type NeedleStore } from "../../redaction/needles.ts";
import { type Interval, lineSpans } from "./line-oracle.ts";
import { symbolTables, type ViewKind } from "../../redaction/views.ts";

/** A text as a view shows it: one character per symbol, and the place of each in the text. */
type Symbols = { values: string; starts: number[]; ends: number[] };

const DANGLING_MIN = 6;
/** A symbol that no needle holds. */
const WALL = "\u0100";

/** The text with every span replaced by `mask`. */
export function naiveRedact(text: Uint8Array, store: NeedleStore, mask: string): Buffer {
  const found = [
    ...LANES.flatMap((kind) => spansOf(kind, text, store)),
    ...lineSpans(text, store.blocks.all, DANGLING_MIN),
  ];
  const spans = found.sort((a, b) => a.start - b.start || b.end - a.end);
  const out: Uint8Array[] = [];
  let at = 0;
  let open = false;
  for (const { start, end } of spans) {
    if (!open || start >= at) {
      out.push(text.subarray(at, start), Buffer.from(mask));
      at = start;
      open = true;
    }
    at = Math.max(at, end);
  }
  out.push(text.subarray(at));
  return Buffer.concat(out);
}

function spansOf(kind: LaneKind, text: Uint8Array, store: NeedleStore): Interval[] {
  const set = store.sets[kind];
  if (set.size === 0) return [];
  const needles = set.all.map((needle) => Buffer.from(needle).toString("latin1"));
  if (kind === "spelled") return spelledSpans(symbolsOf("spelled", text, store.cutsEscapes), needles, set.spreadMax);
  const raw = kind === "rawLong" || kind === "rawShort";
  const symbols = raw ? rawSymbols(text) : symbolsOf(kind, text, store.cutsEscapes);
  const spreadMax = raw ? Infinity : set.spreadMax;
  const spans: Interval[] = [];
  for (const needle of needles) {
    for (let at = symbols.values.indexOf(needle); at !== -1; at = symbols.values.indexOf(needle, at + 1)) {
      const last = at + needle.length - 1;
      if (symbols.starts[last]! - symbols.starts[at]! <= spreadMax)
        spans.push({ start: symbols.starts[at]!, end: symbols.ends[last]! });
    }
  }
  const dangling = danglingSpan(symbols, needles, spreadMax, text.length);
  return dangling === undefined ? spans : [...spans, dangling];
}

/** The longest proper prefix of a needle that the text ends with. */
function danglingSpan(
  { values, starts, ends }: Symbols,
  needles: readonly string[],
  spreadMax: number,
  length: number,
): Interval | undefined {
  for (let at = 0; at <= values.length - DANGLING_MIN; at++) {
    if (length - starts[at]! > spreadMax) continue;
    const rest = values.slice(at);
    if (needles.some((needle) => needle.length > rest.length && needle.startsWith(rest))) {
      return { start: starts[at]!, end: ends[values.length - 1]! };
    }
  }
  return undefined;
}

function spelledSpans(symbols: Symbols, needles: readonly string[], spreadMax: number): Interval[] {
  const { values, starts, ends } = symbols;
  const spans: Interval[] = [];
  for (const needle of needles.filter((each) => each.length > 1)) {
    for (let at = 0; at + 2 * needle.length - 1 <= values.length; at++) {
      const last = at + 2 * needle.length - 2;
      if (values[at + 1] === WALL || values.slice(at, last + 1) !== Array.from(needle).join(values[at + 1])) continue;
      if (starts[last]! - starts[at]! <= spreadMax) spans.push({ start: starts[at]!, end: ends[last]! });
    }
  }
  return spans;
}

function rawSymbols(text: Uint8Array): Symbols {
  const starts = Array.from(text, (_, i) => i);
  return { values: Buffer.from(text).toString("latin1"), starts, ends: starts.map((start) => start + 1) };
}

function symbolsOf(kind: ViewKind, text: Uint8Array, cutsEscapes: boolean): Symbols {
  const reader = new EscapeReader();
  reader.mayBeCut = cutsEscapes;
  const table = symbolTables[kind];
  const symbols: Symbols = { values: "", starts: [], ends: [] };
  for (let i = 0; i < text.length; i = reader.end) {
    const byte = reader.read(text, i, text.length, true);
    if (byte === INVISIBLE) continue;
    const values = [table[byte]! & 255, ...reader.extra].filter((value) => value !== 0);
    for (const value of byte === BREAK ? [WALL] : values.map((each) => String.fromCharCode(each))) {
      symbols.values += value;
      symbols.starts.push(i);
      symbols.ends.push(reader.end);
    }
  }
  return symbols;
}
