/**
 * The naive redactor: reads a whole text, looks for every needle at every place, and joins the spans. Slow, and simple
 * enough to be believed. It shares the needles and the escape reader with the real one, but neither automaton nor
 * skipping, nor streams.
 */
import { BREAK, EscapeReader, INVISIBLE } from "../../redaction/escapes.ts";
import { LANES, type LaneKind, type NeedleStore } from "../../redaction/needles.ts";
import { type Interval, lineSpans } from "./line-oracle.ts";
import { symbolTables, type ViewKind } from "../../redaction/views.ts";

type Symbols = { values: number[]; starts: number[]; ends: number[] };

const DANGLING_MIN = 6;
/** A symbol that no needle holds. */
const WALL = -1;

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
  if (kind === "spelled") return spelledSpans(symbolsOf("spelled", text), set.all, set.needles.spreadMax);
  const raw = kind === "rawLong" || kind === "rawShort";
  const symbols = raw ? rawSymbols(text) : symbolsOf(kind, text);
  const spreadMax = raw ? Infinity : set.needles.spreadMax;
  const spans: Interval[] = [];
  for (const needle of set.all) {
    for (let at = 0; at + needle.length <= symbols.values.length; at++) {
      if (!matches(symbols.values, at, 1, needle, needle.length)) continue;
      const last = at + needle.length - 1;
      if (symbols.starts[last]! - symbols.starts[at]! <= spreadMax)
        spans.push({ start: symbols.starts[at]!, end: symbols.ends[last]! });
    }
  }
  const dangling = danglingSpan(symbols, set.all, spreadMax, text.length);
  return dangling === undefined ? spans : [...spans, dangling];
}

/** The longest proper prefix of a needle that the text ends with. */
function danglingSpan(
  symbols: Symbols,
  needles: readonly Uint8Array[],
  spreadMax: number,
  length: number,
): Interval | undefined {
  const count = symbols.values.length;
  for (let at = 0; at <= count - DANGLING_MIN; at++) {
    if (length - symbols.starts[at]! > spreadMax) continue;
    if (needles.some((needle) => needle.length > count - at && matches(symbols.values, at, 1, needle, count - at))) {
      return { start: symbols.starts[at]!, end: symbols.ends[count - 1]! };
    }
  }
  return undefined;
}

function spelledSpans(symbols: Symbols, needles: readonly Uint8Array[], spreadMax: number): Interval[] {
  const spans: Interval[] = [];
  for (const needle of needles) {
    for (let at = 0; at + 2 * needle.length - 1 <= symbols.values.length; at++) {
      const last = at + 2 * needle.length - 2;
      const separator = symbols.values[at + 1];
      let same = needle.length > 1;
      for (let i = at + 1; i < last; i += 2) same &&= symbols.values[i] === separator && separator !== WALL;
      if (!same || !matches(symbols.values, at, 2, needle, needle.length)) continue;
      if (symbols.starts[last]! - symbols.starts[at]! <= spreadMax)
        spans.push({ start: symbols.starts[at]!, end: symbols.ends[last]! });
    }
  }
  return spans;
}

function matches(values: readonly number[], at: number, stride: number, needle: Uint8Array, count: number): boolean {
  for (let i = 0; i < count; i++) if (values[at + i * stride] !== needle[i]) return false;
  return true;
}

function rawSymbols(text: Uint8Array): Symbols {
  const starts = Array.from(text, (_, i) => i);
  return { values: Array.from(text), starts, ends: starts.map((start) => start + 1) };
}

function symbolsOf(kind: ViewKind, text: Uint8Array): Symbols {
  const reader = new EscapeReader();
  const table = symbolTables[kind];
  const symbols: Symbols = { values: [], starts: [], ends: [] };
  for (let i = 0; i < text.length; i = reader.end) {
    const byte = reader.read(text, i, text.length, true);
    if (byte === INVISIBLE) continue;
    const values = byte === BREAK ? [WALL] : [table[byte]! & 255, ...reader.extra].filter((value) => value !== 0);
    for (const value of values) {
      symbols.values.push(value);
      symbols.starts.push(i);
      symbols.ends.push(reader.end);
    }
  }
  return symbols;
}
