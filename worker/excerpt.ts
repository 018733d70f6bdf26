/**
 * The line of a step's code where an error lies, with a caret under the place. The code is the builder's own text, where
 * a secret stands as its reference; it is redacted all the same before it is stored, since a value may have been pasted.
 */
import type { Position } from "../protocol/error.ts";

/** Of a line that is longer, the part around the place is shown. */
const charactersMax = 160;

/** Two lines, or undefined when the place does not lie in the code. */
export function excerptOf(code: string, { line, column }: Position): string | undefined {
  const text = code.split(/\r\n|[\n\r\u2028\u2029]/)[line - 1];
  if (text === undefined || column < 1 || column > text.length + 1 || text.trim() === "") return undefined;
  const start = text.length <= charactersMax ? 0 : Math.max(0, column - 1 - charactersMax / 2);
  const shown = text.slice(start, start + charactersMax);
  const before = shown.slice(0, column - 1 - start);
  return `${shown.toWellFormed()}\n${before.replaceAll(/[^\t]/g, " ")}^`;
}
