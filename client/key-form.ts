/**
 * What a platform key looks like (docs/keys-api.md), so that a mistyped key, or one of another region, is told without a
 * request. Written a second time beside vault/platform-keys/key-format.ts, which needs Node; a test compares the two. Imports nothing.
 */
import type { Region } from "./region.ts";

export type ReadKey =
  | { readonly ok: true; readonly embed: boolean; readonly region: Region; readonly hint: string }
  | { readonly ok: false; readonly why: "malformed" | "checksum" };

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const checksumCharacters = 6;
const hintCharacters = 4;
const shape = /^(?<prefix>sk|sk-org|ek)-(?<region>us|eu|au)_[0-9A-Za-z]{49}$/;

export function readKey(text: unknown): ReadKey {
  const groups = typeof text === "string" ? shape.exec(text)?.groups : undefined;
  if (typeof text !== "string" || groups === undefined) return { ok: false, why: "malformed" };
  const body = text.slice(0, -checksumCharacters);
  if (checksum(body) !== text.slice(-checksumCharacters)) return { ok: false, why: "checksum" };
  const hint = `${text.slice(0, text.indexOf("_") + 1)}…${text.slice(-hintCharacters)}`;
  return { ok: true, embed: groups["prefix"] === "ek", region: groups["region"] as Region, hint };
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

/** Of ASCII text. Bit by bit: a table would be faster than anybody can notice, and longer. */
function crc32(text: string): number {
  let crc = 0xffffffff;
  for (let index = 0; index < text.length; index += 1) {
    crc ^= text.charCodeAt(index);
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
