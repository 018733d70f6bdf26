/**
 * The naive search for values of several lines behind prefixes: every value at every line of the text, by the rule in
 * docs/redaction.md. It shares with the real one what a column is (prefix.ts), but neither automata nor streams.
 */
import { columnsOf, PREFIX_MAX } from "../../redaction/prefix.ts";

export type Interval = { start: number; end: number };

const TRAIL_MAX = 64;
const ESC = "\u001b";
const TRAIL = new RegExp(String.raw`(?:[ \t-\r]|${ESC}\[[ -?]*[@-~])*$`);

type TextLine = { text: string; body: string; start: number; columns: number[] };

export function lineSpans(text: Uint8Array, blocks: readonly Uint8Array[][], danglingMin: number): Interval[] {
  const values = blocks.map((block) => block.map((line) => Buffer.from(line).toString("latin1")));
  const lines = textLines(Buffer.from(text).toString("latin1"));
  const isOpen = text.at(-1) !== 10;
  const spans: Interval[] = [];
  for (const value of values) {
    for (const first of lines.keys()) {
      for (let column = 0; column <= PREFIX_MAX; column++) {
        const found = countFound(value, lines, first, column);
        if (found.length === value.length) spans.push(...found);
        for (let count = 1; count <= Math.min(found.length, value.length - 1); count++) {
          const whole = found.slice(0, count);
          const rest = lines.slice(first + count);
          const cut = isOpen && rest.length === 1 ? cutOff(rest[0]!, column, values.flat()) : undefined;
          const all = cut === undefined ? whole : [...whole, cut];
          if ((rest.length === 0 || cut !== undefined) && sizeOf(all) >= danglingMin) spans.push(...all);
        }
      }
    }
  }
  return spans.filter((span) => span.end > span.start);
}

function textLines(text: string): TextLine[] {
  let start = 0;
  const lines = text.split("\n").map((line) => {
    const place = start;
    start += line.length + 1;
    const columns = columnsOf(Buffer.from(line.slice(0, PREFIX_MAX), "latin1"));
    return { text: line, body: line.replace(TRAIL, ""), start: place, columns };
  });
  if (lines.at(-1)!.text === "") lines.pop();
  return lines;
}

/** The places of the value's first lines, as many as there are from this line on in this column. */
function countFound(value: readonly string[], lines: readonly TextLine[], first: number, column: number): Interval[] {
  const found: Interval[] = [];
  for (const [i, line] of value.entries()) {
    const at = lines[first + i];
    const place = at === undefined ? undefined : placeOf(line, at, column);
    if (place === undefined) break;
    found.push(place);
  }
  return found;
}

function placeOf(line: string, { text, body, start, columns }: TextLine, column: number): Interval | undefined {
  if (line === "") {
    const isEmpty = text.length <= PREFIX_MAX && columns.at(-1) === column;
    return isEmpty ? { start: start + text.length, end: start + text.length } : undefined;
  }
  if (line.includes(ESC) || !body.endsWith(line) || text.length - body.length > TRAIL_MAX) return undefined;
  const from = body.length - line.length;
  return from < PREFIX_MAX && columns[from] === column ? { start: start + from, end: start + body.length } : undefined;
}

/** Where the line that the text ends in begins any line of any value in this column, or ends there. */
function cutOff({ text, start, columns }: TextLine, column: number, lines: readonly string[]): Interval | undefined {
  const end = start + text.length;
  for (let from = 0; from < Math.min(text.length, PREFIX_MAX); from++) {
    const part = text.slice(from);
    if (columns[from] !== column || part.includes(ESC)) continue;
    if (lines.some((line) => line.startsWith(part))) return { start: start + from, end };
  }
  return text.length <= PREFIX_MAX && columns.at(-1) === column ? { start: end, end } : undefined;
}

const sizeOf = (spans: readonly Interval[]): number => spans.reduce((size, span) => size + span.end - span.start, 0);
