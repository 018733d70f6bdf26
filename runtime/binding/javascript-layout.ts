/**
 * Writes an identifier in the place of a string literal, a key or a part of a template so that what follows keeps its
 * line and column and the neighbouring tokens keep their meaning. Pure text; knows nothing of values.
 */
import { type Occurrence, stretchIdentifier } from "./placeholder.ts";
import type { Frame } from "./javascript-role.ts";

export interface Replacement {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  readonly identifier: string;
}

// Anything above ASCII counts as part of a word: a needless space does no harm there.
const wordCharacter = /[\w$\u0080-\uffff]/;
const lineEnd = /[\n\r\u2028\u2029]/;

/** A string literal that is a value. */
export function replaceLiteral(source: string, frame: Frame, first: Occurrence): Replacement {
  const { start, end } = frame.node;
  if (lineEnd.test(source.slice(start, end))) {
    // A line end between `return` and its value would end the statement, so parentheses open on the literal's own
    // first line. At the start of a statement nothing can be cut off, but parentheses would call what precedes.
    const [open, close] = startsStatement(frame) ? ["", ""] : ["(", ")"];
    return replaceLines(source, frame, first, [open, close]);
  }
  // `return"…"` and `"…"in x` need no blank; with an identifier they do.
  const open = wordCharacter.test(source.charAt(start - 1)) ? " " : "";
  const close = wordCharacter.test(source.charAt(end)) ? " " : "";
  return replaceLine(frame, first, [open, close]);
}

/** A string literal that is a property's key: it becomes a computed key. */
export function replaceKey(source: string, frame: Frame, first: Occurrence): Replacement {
  const { start, end } = frame.node;
  const element = frame.up?.node;
  // After a field without its semicolon, `["…"]` would read a property of that field's value.
  const opensElement = element !== undefined && element.type !== "Property" && element.start === start;
  const around: [string, string] = [opensElement ? ";[" : "[", "]"];
  if (lineEnd.test(source.slice(start, end))) return replaceLines(source, frame, first, around);
  return replaceLine(frame, first, around);
}

/** A reference in the text of an untagged template: it becomes a substitution of that template. */
export function replaceInTemplate(source: string, element: Frame, occurrence: Occurrence): Replacement {
  let backslashes = 0;
  while (occurrence.start - backslashes > element.node.start && source[occurrence.start - backslashes - 1] === "\\") {
    backslashes += 1;
  }
  // An escape right before the reference escapes nothing, but it would escape the `$` of the substitution.
  const start = occurrence.start - (backslashes % 2);
  const identifier = stretchIdentifier(occurrence.identifier, occurrence.end - start - "${}".length);
  return { start, end: occurrence.end, text: `\${${identifier}}`, identifier };
}

function replaceLine({ node }: Frame, first: Occurrence, [open, close]: [string, string]): Replacement {
  const { start, end } = node;
  const identifier = stretchIdentifier(first.identifier, end - start - open.length - close.length);
  return { start, end, text: open + identifier + close, identifier };
}

/** The identifier goes where the reference stood: the one line of the literal that is sure to have room. */
function replaceLines(
  source: string,
  { node }: Frame,
  first: Occurrence,
  [open, close]: [string, string],
): Replacement {
  const { start, end } = node;
  const blank = (from: number, to: number): string => source.slice(from, to).replace(/[^\n\r\u2028\u2029]/g, " ");
  const before = open + blank(start, first.start).slice(open.length);
  const after = blank(first.end, end - close.length) + close;
  return { start, end, text: before + first.identifier + after, identifier: first.identifier };
}

function startsStatement({ node, up }: Frame): boolean {
  for (let frame = up; frame !== undefined && frame.node.start === node.start; frame = frame.up) {
    if (frame.node.type === "ExpressionStatement") return true;
  }
  return false;
}
