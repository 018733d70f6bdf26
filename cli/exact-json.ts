/**
 * JSON whose numbers stay what was written. A number of JavaScript has about 16 digits: an id of 19 would become another id
 * without a word, and what is too large would become null. Errors quote nothing of the text.
 */
import type { Json } from "../protocol/job.ts";

/** The message says what to do, for somebody who knows where the text came from. */
export class RoundedNumber extends Error {
  constructor() {
    super("a number in it has more digits than can be kept; write it as text, in double quotes");
  }
}

/** Throws RoundedNumber, and SyntaxError for what is no JSON. */
export function parseExactJson(text: string): Json {
  return JSON.parse(text, (_name: string, value: unknown, context?: { source?: string }) => {
    if (typeof value === "number" && decimalOf(context!.source!) !== decimalOf(String(value)))
      throw new RoundedNumber();
    return value;
  }) as Json;
}

/** One spelling for all of a number's: 1.50 and 15e-1 are the same. Undefined for Infinity. */
function decimalOf(number: string): string | undefined {
  const parts = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(number);
  if (parts === null) return undefined;
  const [, sign, whole = "", fraction = "", exponent = "0"] = parts;
  const digits = `${whole}${fraction}`.replace(/^0+/, "");
  const significant = digits.replace(/0+$/, "");
  if (significant === "") return "0";
  return `${sign}${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`;
}
