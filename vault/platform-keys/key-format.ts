/**
 * What a platform key looks like: `sk-<region>_` (project), `sk-org-<region>_` (organization) or `ek-<region>_` (embed),
 * then 43 random characters and 6 of checksum over everything before them, so that a typo is told without a database
 * and a scanner has something to look for. Knows nothing of rows; only a digest of a key is ever stored.
 */
import { createHmac, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

export const regions = ["us", "eu", "au"] as const;
export type Region = (typeof regions)[number];

const prefixes = { project: "sk", organization: "sk-org", embed: "ek" } as const;
export type KeyKind = keyof typeof prefixes;

export type ParsedKey =
  | { readonly ok: true; readonly kind: KeyKind; readonly region: Region; readonly hint: string }
  | { readonly ok: false; readonly why: "malformed" | "checksum" };

/** What keys are digested with. A digest carries its pepper's version, so that a new pepper leaves old keys good. */
export interface Pepper {
  readonly version: number;
  readonly key: Buffer;
  /** Peppers of keys that still work. */
  readonly earlier?: readonly Omit<Pepper, "earlier">[];
}

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** 62^43 is the first power beyond 2^256. */
const randomCharacters = 43;
const checksumCharacters = 6;
const hintCharacters = 4;

/** Finds keys in text, for secret scanners; docs/keys-api.md publishes it. */
export const scannerPattern = String.raw`\b(?:sk-(?:org-)?|ek-)(?:us|eu|au)_[0-9A-Za-z]{49}\b`;

const shape = /^(?<prefix>sk|sk-org|ek)-(?<region>us|eu|au)_[0-9A-Za-z]{49}$/;
const kinds = new Map<string, KeyKind>(Object.entries(prefixes).map(([kind, prefix]) => [prefix, kind as KeyKind]));

/** A new key. It is given to whoever asked for it and kept nowhere. */
export function generateKey(kind: KeyKind, region: Region): string {
  const body = `${prefixes[kind]}-${region}_${randomText(randomCharacters)}`;
  return body + checksum(body);
}

/** What a text is as a key, from its characters alone. */
export function parseKey(text: string): ParsedKey {
  const groups = shape.exec(text)?.groups;
  if (groups === undefined) return { ok: false, why: "malformed" };
  if (checksum(text.slice(0, -checksumCharacters)) !== text.slice(-checksumCharacters))
    return { ok: false, why: "checksum" };
  const { prefix, region } = groups as { prefix: string; region: Region };
  return { ok: true, kind: kinds.get(prefix)!, region, hint: hintOf(text) };
}

/** All that may be shown of a key: its prefix and last characters, which are of the checksum. */
export function hintOf(key: string): string {
  return `${key.slice(0, key.indexOf("_") + 1)}…${key.slice(-hintCharacters)}`;
}

/** A fast hash is enough: nobody guesses 256 random bits. The pepper keeps a stolen table from being compared with found keys. */
export function digestKey(pepper: Buffer, key: string): Buffer {
  return createHmac("sha256", pepper).update(key).digest();
}

/** Evenly drawn characters: bytes beyond the last whole multiple of 62 would favour the alphabet's beginning. */
export function randomText(characters: number): string {
  const fair = 256 - (256 % alphabet.length);
  let text = "";
  while (text.length < characters) {
    for (const byte of randomBytes(characters)) {
      if (byte < fair && text.length < characters) text += alphabet[byte % alphabet.length];
    }
  }
  return text;
}

function checksum(body: string): string {
  let rest = crc32(body);
  let text = "";
  for (let index = 0; index < checksumCharacters; index += 1) {
    text = alphabet[rest % alphabet.length] + text;
    rest = Math.floor(rest / alphabet.length);
  }
  return text;
}
