/** Turns offsets of JavaScript code into lines and columns as V8 counts them. Imports protocol only. */
import type { Position } from "../../protocol/error.ts";

/** A function from a UTF-16 offset to its line and column; builds its table of lines once. */
export function createLocator(code: string): (offset: number) => Position {
  const lineStarts = [0];
  for (const lineEnd of code.matchAll(/\r\n|[\n\r\u2028\u2029]/g)) lineStarts.push(lineEnd.index + lineEnd[0].length);
  return (offset) => {
    let low = 0;
    let high = lineStarts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((lineStarts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return { line: low + 1, column: offset - (lineStarts[low] ?? 0) + 1 };
  };
}
