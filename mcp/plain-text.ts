/**
 * Text that others wrote, as a model and a terminal may be shown it: without control characters, and without what no eye sees,
 * such as marks of direction, tags and variation selectors, in which instructions can be hidden. What is left is not judged:
 * no text is safe to obey, and whoever shows it must know that. Imports nothing.
 */

const unseen = /(?![\n\t])\p{C}|\p{Variation_Selector}/gu;
const lineBreaks = /\r\n?|[\u2028\u2029\v\f\u0085]/g;

/** All of a text of several lines, with the blanks around it. */
export function cleanText(text: string): string {
  return text.replaceAll(lineBreaks, "\n").replaceAll(unseen, "");
}

/** The same on one line. */
export function cleanLine(text: string): string {
  return cleanText(text).replaceAll(/[\n\t]+/g, " ");
}

/** Text of several lines, cut where it is too long. */
export function plainText(text: string, charactersMax: number): string {
  const clean = cleanText(text).trim();
  return clean.length > charactersMax ? `${clean.slice(0, charactersMax).toWellFormed()}…` : clean;
}

/** The same on one line. */
export function plainLine(text: string, charactersMax: number): string {
  return plainText(text.replaceAll(lineBreaks, " ").replaceAll(/[\n\t]+/g, " "), charactersMax);
}
