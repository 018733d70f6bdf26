/**
 * Random secrets and texts in which matches are frequent: short alphabets, pieces of the secrets, their encodings,
 * escapes, separators and the mask itself. Used by the properties and by the long fuzz run.
 */
import { deflateRawSync, deflateSync, gzipSync } from "node:zlib";

export type Case = { secrets: string[]; text: string; cuts: number[] };

const ALPHABETS = [
  "ab",
  "abc01",
  "aA1-",
  "a\\u%6",
  "ab\n ",
  "ab\n",
  "ab=:1\n\n",
  "kK-_/+=9zQ",
  "\u00e4\u00f6a\u{1f511}b",
];
const BETWEEN = [
  " ",
  "",
  "\n",
  "-",
  "=",
  ":",
  '"',
  "[",
  "]",
  "%",
  "\\",
  "&",
  "\u001b[31m",
  "\u200b",
  "U+",
  "\u0000",
  "\r\n",
  "[REDACTED:s0]",
  "abc",
  "\t",
];

const pickFrom = <T>(from: readonly T[], random: () => number): T => from[Math.floor(random() * from.length)]!;

function word(alphabet: readonly string[], lengthMax: number, random: () => number): string {
  return Array.from({ length: 1 + Math.floor(random() * lengthMax) }, () => pickFrom(alphabet, random)).join("");
}

export function randomSecrets(random: () => number): string[] {
  const alphabet = Array.from(pickFrom(ALPHABETS, random));
  const count = 1 + Math.floor(random() * 4);
  return Array.from({ length: count }, () => word(alphabet, random() < 0.3 ? 40 : 12, random));
}

/** Whole secrets, parts of them and words of the same letters, in any encoding, one after the other. */
export function randomText(secrets: readonly string[], random: () => number): { text: string; cuts: number[] } {
  const letters = Array.from(secrets.join(""));
  const pieces: string[] = [];
  for (let i = Math.floor(random() * 12); i >= 0; i--) {
    const secret = pickFrom(secrets, random);
    const from = Math.floor(random() * secret.length);
    const part = random() < 0.5 ? secret : secret.slice(from, from + 1 + Math.floor(random() * secret.length));
    const piece = random() < 0.2 ? word(letters, 6, random) : encodeSomehow(part, random);
    pieces.push(piece, pickFrom(BETWEEN, random));
  }
  const text = pieces.join("");
  const cuts = Array.from({ length: Math.floor(random() * 6) }, () => Math.floor(random() * (text.length + 1)));
  return { text, cuts: cuts.sort((a, b) => a - b) };
}

export function randomCase(random: () => number): Case {
  const secrets = randomSecrets(random);
  return { secrets, ...randomText(secrets, random) };
}

const hex = (code: number, width: number): string => code.toString(16).padStart(width, "0");
const units = (text: string, write: (code: number) => string): string =>
  Array.from({ length: text.length }, (_, i) => write(text.charCodeAt(i))).join("");

export const encodings: Record<string, (text: string) => string> = {
  plain: (text) => text,
  base64: (text) => Buffer.from(text).toString("base64"),
  base64InText: (text) => Buffer.from(`x${text}yz`).toString("base64"),
  base64url: (text) => Buffer.from(`ab${text}`).toString("base64url"),
  base64Wrapped: (text) => Buffer.from(`user:${text}:x`.repeat(3)).toString("base64").replaceAll(/.{64}/g, "$&\n"),
  base64Twice: (text) => Buffer.from(Buffer.from(`k=${text};`).toString("base64")).toString("base64"),
  hex: (text) => Buffer.from(text).toString("hex"),
  hexUpper: (text) => Buffer.from(text).toString("hex").toUpperCase(),
  hexSpaced: (text) => (Buffer.from(text).toString("hex").match(/../g) ?? []).join(":"),
  hexOfBase64: (text) => Buffer.from(Buffer.from(`"${text}"`).toString("base64")).toString("hex"),
  percent: (text) => encodeURIComponent(text.toWellFormed()),
  percentAll: (text) => Array.from(Buffer.from(text), (byte) => `%${hex(byte, 2)}`).join(""),
  percentTwice: (text) => encodeURIComponent(encodeURIComponent(text.toWellFormed())),
  json: (text) => JSON.stringify(text),
  jsonTwice: (text) => JSON.stringify(JSON.stringify(text)),
  unicode: (text) => units(text, (code) => `\\u${hex(code, 4)}`),
  unicodeDoubled: (text) => units(text, (code) => `\\\\u${hex(code, 4)}`),
  entities: (text) => units(text, (code) => `&#${code};`),
  entitiesHex: (text) => units(text, (code) => `&#x${hex(code, 1)};`),
  octal: (text) => Array.from(Buffer.from(text), (byte) => `\\${byte.toString(8).padStart(3, "0")}`).join(""),
  hexEscapes: (text) => Array.from(Buffer.from(text), (byte) => `\\x${hex(byte, 2)}`).join(""),
  spelled: (text) => Array.from(text).join("-"),
  prefixed: (text) => text.replaceAll(/^/gm, "svc | "),
  numbered: (text) => Array.from(text.split("\n"), (line, i) => `${i * 7}: ${line} \r\n`).join(""),
  diff: (text) => `${text.replaceAll(/^/gm, "+\u001b[32m ")}\n`,
  lines: (text) => Array.from(text).join("\n"),
  colored: (text) => `${text.slice(0, 3)}\u001b[31m${text.slice(3)}`,
  zeroWidth: (text) => Array.from(text).join("\u200b"),
  upper: (text) => text.toUpperCase(),
  reversed: (text) => Array.from(text).reverse().join(""),
  gzip: (text) => gzipSync(`{"k":"${text}"}`).toString("base64"),
  zlib: (text) => deflateSync(`{"k":"${text}"}`).toString("base64"),
  deflate: (text) => deflateRawSync(`{"k":"${text}"}`).toString("base64"),
  gzipHex: (text) => gzipSync(`key ${text} key`).toString("hex"),
};

const all = Object.values(encodings);

function encodeSomehow(text: string, random: () => number): string {
  return random() < 0.4 ? text : all[Math.floor(random() * all.length)]!(text);
}
