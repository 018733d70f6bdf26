/**
 * ETags: the version of a thing, and whether a request asks for another one. Only strong tags that the API itself made are
 * compared; what is no list of tags is refused rather than taken for a match.
 */
import { Refusal } from "./refusal.ts";

export interface Conditions {
  readonly "if-match"?: string | undefined;
  readonly "if-none-match"?: string | undefined;
}

const tagList = /^\s*(?:\*|(?:W\/)?"[\x21\x23-\x7e]{0,200}"(?:\s*,\s*(?:W\/)?"[\x21\x23-\x7e]{0,200}"){0,19})\s*$/;

/** The tag of a version; a thing that is not there has none. */
export function etagOf(version: number | string): string {
  return `"${version}"`;
}

/**
 * Throws ERR_PRECONDITION when the thing does not have a tag of If-Match, or has one of If-None-Match; `current` is
 * undefined for what is not there. Throws ERR_REQUEST_INVALID for headers that are no tags.
 */
export function checkConditions(headers: Conditions, current: string | undefined): void {
  if (headers["if-match"] !== undefined && !names(headers["if-match"], "if-match", current))
    throw new Refusal("ERR_PRECONDITION", "Cannot change it: it does not have the ETag of If-Match");
  if (headers["if-none-match"] !== undefined && names(headers["if-none-match"], "if-none-match", current))
    throw new Refusal("ERR_PRECONDITION", "Cannot do it: it has an ETag of If-None-Match");
}

function names(header: string, name: string, current: string | undefined): boolean {
  if (!tagList.test(header)) {
    throw new Refusal("ERR_REQUEST_INVALID", "Cannot accept the request: a condition is malformed", {
      errors: [{ pointer: `/headers/${name}`, detail: 'must be * or ETags such as "3"' }],
    });
  }
  if (current === undefined) return false;
  const tags = new Set(header.split(",").map((tag) => tag.trim()));
  return tags.has("*") || tags.has(current);
}
