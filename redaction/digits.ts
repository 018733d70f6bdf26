/** The digits of base64 (both alphabets) and of hexadecimal numbers, and what counts as text after decoding. */

/** In a table: no digit. */
export const OTHER = 255;

export const base64Digits = new Uint8Array(256).fill(OTHER);
for (const [value, c] of Array.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/").entries()) {
  base64Digits[c.charCodeAt(0)] = value;
}
base64Digits[0x2d] = 62;
base64Digits[0x5f] = 63;

export const hexDigits = new Uint8Array(256).fill(OTHER);
for (const [value, c] of Array.from("0123456789abcdef").entries()) {
  hexDigits[c.charCodeAt(0)] = value;
  hexDigits[c.toUpperCase().charCodeAt(0)] = value;
}

/** ASCII text, with the NUL bytes of UTF-16 and the escapes of a terminal. */
export function isText(byte: number): boolean {
  return (byte >= 32 && byte < 127) || (byte >= 8 && byte <= 13) || byte === 0 || byte === 27;
}

/** A run this long is looked into; it is also what the text in it must take up. */
export const RUN_MIN = 16;

/** One for each byte that is text. */
export const textTable = Uint8Array.from({ length: 256 }, (_, byte) => (isText(byte) ? 1 : 0));

/** The byte that two hexadecimal digits stand for if it is text, else -1. */
export function textPair(bytes: Uint8Array, at: number): number {
  const high = hexDigits[bytes[at]!]!;
  const low = hexDigits[bytes[at + 1]!]!;
  return high < 8 && low !== OTHER && textTable[high * 16 + low] === 1 ? high * 16 + low : -1;
}

/** The three bytes that four base64 digits stand for if all are text, else -1. */
export function textGroup(bytes: Uint8Array, at: number): number {
  const first = base64Digits[bytes[at]!]!;
  if (first >= 32) return -1;
  const second = base64Digits[bytes[at + 1]!]!;
  if (textTable[(first << 2) | (second >> 4)] !== 1) return -1;
  const third = base64Digits[bytes[at + 2]!]!;
  if (textTable[((second & 15) << 4) | (third >> 2)] !== 1) return -1;
  const fourth = base64Digits[bytes[at + 3]!]!;
  const last = ((third & 3) << 6) | fourth;
  return textTable[last] === 1 && (second | third | fourth) < 64
    ? (first << 18) | (second << 12) | (third << 6) | fourth
    : -1;
}
