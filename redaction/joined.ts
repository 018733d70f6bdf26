/**
 * Finds a value that is split over several fields or elements of a structured value: what the strings show when they
 * are read one after the other. Only spans that cross from one string to the next count here.
 */

import type { Span } from "./scanner.ts";
import { encodeText } from "./wtf8.ts";

export type Leaf = { readonly text: string; readonly isText: boolean; readonly assign: (masked: unknown) => void };

export type JoinedOperations = {
  text(text: string): string;
  spans(text: string): Span[];
  mask(span: Span): string;
};

/** Shorter ones would be found between any two words. */
const CROSSING_BYTES_MIN = 8;
/** Nothing matches across a placeholder, so the last string is not taken for a cut-off value. */
const STOP = "[REDACTED]";

export function maskJoined(leaves: readonly Leaf[], operations: JoinedOperations): void {
  const texts = leaves.filter((leaf) => leaf.isText);
  if (leaves.length > 1) maskCrossing(leaves, operations);
  // Numbers may stand between the halves without being a part.
  if (texts.length > 1 && texts.length < leaves.length) maskCrossing(texts, operations);
}

function maskCrossing(leaves: readonly Leaf[], operations: JoinedOperations): void {
  const spans = operations.spans(leaves.map((leaf) => leaf.text).join("") + STOP);
  if (spans.length === 0) return;
  spans.sort((a, b) => a.start - b.start || b.end - a.end);
  let base = 0;
  let next = 0;
  let open: Span[] = [];
  for (const leaf of leaves) {
    const bytes = encodeText(leaf.text);
    const end = base + bytes.length;
    while (next < spans.length && spans[next]!.start < end) open.push(spans[next++]!);
    open = open.filter((span) => span.end > base);
    const crossing = open.filter(
      (span) => span.end - span.start >= CROSSING_BYTES_MIN && (span.start < base || span.end > end),
    );
    if (crossing.length > 0 && bytes.length > 0) leaf.assign(maskParts(bytes, base, crossing, operations));
    base = end;
  }
}

/** The string with its share of the crossing spans replaced, and the rest masked as a text of its own. */
function maskParts(bytes: Uint8Array, base: number, spans: readonly Span[], operations: JoinedOperations): string {
  let out = "";
  let at = 0;
  const plain = (to: number): string => operations.text(Buffer.from(bytes.subarray(at, to)).toString());
  for (const span of spans) {
    const start = Math.max(0, span.start - base);
    if (start >= at) {
      out += plain(start) + operations.mask(span);
    }
    at = Math.max(at, Math.min(bytes.length, span.end - base));
  }
  return out + plain(bytes.length);
}
