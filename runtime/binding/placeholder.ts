/**
 * Puts an identifier of exactly the same length in the place of every reference, so that code parses as usual while
 * every line and column stays what the builder sees, without source maps. The identifier's prefix does not occur in the
 * code; text that only spells it after escapes are decoded is found by the caller, who then asks for another prefix.
 * python.py holds the same scheme. Knows no language.
 */
import type { ReferenceMatch } from "../../protocol/secret.ts";

export interface Occurrence extends ReferenceMatch {
  readonly index: number;
  readonly identifier: string;
}

export interface Substitution {
  readonly source: string;
  readonly prefix: string;
  readonly occurrences: readonly Occurrence[];
}

// `_`, then a letter that is no digit of any radix: after a number (`1<<secrets.k>>`) it can only be an error.
const prefixPattern = /_s[0-9a-f]{5}/g;
const indexLength = 3;

/** Prefixes that a text already spells. */
export function spelledPrefixes(text: string): string[] {
  return text.match(prefixPattern) ?? [];
}

/** The code with every match replaced; `taken` are prefixes to avoid beyond those that the code itself spells. */
export function substituteReferences(
  code: string,
  matches: readonly ReferenceMatch[],
  taken: readonly string[],
): Substitution {
  const prefix = freePrefix(new Set([...spelledPrefixes(code), ...taken]));
  const occurrences = matches.map((match, index) => {
    const stem = prefix + index.toString(16).padStart(indexLength, "0");
    return { ...match, index, identifier: stretchIdentifier(stem, match.end - match.start) };
  });
  let source = "";
  let copied = 0;
  for (const { start, end, identifier } of occurrences) {
    source += code.slice(copied, start) + identifier;
    copied = end;
  }
  return { source: source + code.slice(copied), prefix, occurrences };
}

function freePrefix(taken: ReadonlySet<string>): string {
  for (let nonce = 0; ; nonce += 1) {
    const prefix = `_s${nonce.toString(16).padStart(5, "0")}`;
    if (!taken.has(prefix)) return prefix;
  }
}

/** The same identifier at another length; the padding is no part of what tells two of them apart. */
export function stretchIdentifier(identifier: string, length: number): string {
  return identifier.slice(0, length).padEnd(length, "x");
}

/** A text cut at its placeholders: plain pieces as strings, each placeholder as its occurrence. */
export function splitAtPlaceholders(text: string, { prefix, occurrences }: Substitution): (string | Occurrence)[] {
  const parts: (string | Occurrence)[] = [];
  let copied = 0;
  for (let at = text.indexOf(prefix); at !== -1; at = text.indexOf(prefix, at + prefix.length)) {
    const stemEnd = at + prefix.length + indexLength;
    const occurrence = occurrences[Number.parseInt(text.slice(at + prefix.length, stemEnd), 16)];
    if (occurrence === undefined || !text.startsWith(occurrence.identifier, at)) continue;
    if (at > copied) parts.push(text.slice(copied, at));
    parts.push(occurrence);
    copied = at + occurrence.identifier.length;
  }
  if (copied < text.length) parts.push(text.slice(copied));
  return parts;
}
