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

const textTable = Uint8Array.from({ length: 256 }, (_, byte) => (isText(byte) ? 1 : 0));

/**
 * Whether digits could decode to RUN_MIN digits' worth of text in any alignment, which takes three whole groups of
 * base64 or seven pairs of hexadecimal digits in a row. Errs on the side of yes.
 */
export function mayHoldText(bytes: Uint8Array, from: number, to: number): boolean {
  for (let skip = 0; skip < 4; skip++) {
    let groups = 0;
    for (let at = from + skip; at + 4 <= to; at += 4) {
      groups = isTextGroup(bytes, at) ? groups + 1 : 0;
      if (groups === 3) return true;
    }
  }
  for (let skip = 0; skip < 2; skip++) {
    let pairs = 0;
    for (let at = from + skip; at + 2 <= to; at += 2) {
      const high = hexDigits[bytes[at]!]!;
      const low = hexDigits[bytes[at + 1]!]!;
      pairs = high < 8 && low !== OTHER && textTable[high * 16 + low] === 1 ? pairs + 1 : 0;
      if (pairs === 7) return true;
    }
  }
  return false;
}

function isTextGroup(bytes: Uint8Array, at: number): boolean {
  const first = base64Digits[bytes[at]!]!;
  if (first >= 32) return false;
  const second = base64Digits[bytes[at + 1]!]!;
  const third = base64Digits[bytes[at + 2]!]!;
  const fourth = base64Digits[bytes[at + 3]!]!;
  const group = (first << 18) | (second << 12) | (third << 6) | fourth;
  return textTable[group >> 16] === 1 && textTable[(group >> 8) & 255] === 1 && textTable[group & 255] === 1;
}
