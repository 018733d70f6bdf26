/**
 * The random texts that sign people in: 256 bits, given once, of which only a digest is stored. A digest is bound to its
 * purpose, so that a link's text is never good as a session's. Knows nothing of rows.
 */
import { timingSafeEqual } from "node:crypto";
import { digestKey, type Pepper, randomText } from "../platform-keys/key-format.ts";

export type TokenPurpose = "sign-in link" | "session";

/** 62^43 is the first power beyond 2^256. */
const characters = 43;
const shape = /^[0-9A-Za-z]{43}$/;

export interface NewToken {
  readonly token: string;
  readonly digest: Buffer;
  readonly pepperVersion: number;
}

export function createToken(pepper: Pepper, purpose: TokenPurpose): NewToken {
  const token = randomText(characters);
  return { token, digest: digestToken(pepper.key, purpose, token), pepperVersion: pepper.version };
}

/** What a presented text may be stored as, one for each pepper; none for what cannot be a token. */
export function digestsOf(pepper: Pepper, purpose: TokenPurpose, token: string): Buffer[] {
  if (!shape.test(token)) return [];
  return [pepper, ...(pepper.earlier ?? [])].map(({ key }) => digestToken(key, purpose, token));
}

/** The index found a row by its bytes; that they are equal is still decided here, in constant time. */
export function matches(digests: readonly Buffer[], stored: Buffer): boolean {
  return digests.some((digest) => digest.length === stored.length && timingSafeEqual(digest, stored));
}

function digestToken(pepper: Buffer, purpose: TokenPurpose, token: string): Buffer {
  return digestKey(pepper, `stepvault ${purpose} ${token}`);
}
