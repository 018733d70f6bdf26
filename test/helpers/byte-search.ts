/**
 * Finds many needles in bytes in one pass, and makes the needles: a value in the encodings in which it could lie somewhere.
 * A table of four-byte beginnings turns almost every place down, so that the time does not grow with the number of
 * needles. Told of values and names for them; gives names only. Uses nothing of the product, which it is there to check.
 */

/** Fewer characters stand in any text by chance. */
export const valueCharactersMin = 8;

export interface Needle {
  readonly bytes: Buffer;
  /** What is said when it is found: never the value. */
  readonly label: string;
}

const tableBits = 20;
const multiplier = 0x9e3779b1;
const slotOf = (word: number): number => Math.imul(word, multiplier) >>> (32 - tableBits);

export class ByteSearch {
  readonly #beginnings = new Uint8Array(1 << tableBits);
  readonly #needles = new Map<number, Needle[]>();

  /** Needles have four bytes or more. */
  constructor(needles: Iterable<Needle>) {
    for (const needle of needles) {
      const word = needle.bytes.readInt32BE(0);
      this.#beginnings[slotOf(word)] = 1;
      const same = this.#needles.get(word);
      if (same === undefined) this.#needles.set(word, [needle]);
      else same.push(needle);
    }
  }

  /** The labels of those that are in it, each once. */
  find(bytes: Buffer): string[] {
    const found = new Set<string>();
    const beginnings = this.#beginnings;
    let word = 0;
    for (let at = 0; at < bytes.length; at++) {
      word = (word << 8) | bytes[at]!;
      if (beginnings[slotOf(word)] === 0) continue;
      for (const needle of this.#needles.get(word) ?? []) {
        const from = at - 3;
        if (from >= 0 && needle.bytes.equals(bytes.subarray(from, from + needle.bytes.length))) found.add(needle.label);
      }
    }
    return [...found];
  }
}

/** A text as it is, escaped for JSON once and twice, for URLs, and all of it in base64 and hex. */
export function needlesOfText(text: string, label: string): Needle[] {
  const json = inJson(text);
  const plain = [text, json, inJson(json), inAscii(json), inJson(inAscii(json))];
  const percent = encodeURIComponent(text);
  const strict = percent.replaceAll(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
  const inUrls = [percent, strict, strict.replaceAll("%20", "+")].flatMap((form) => [form, lowerEscapes(form)]);
  const encoded = [text, json].flatMap((form) => encodedForms(Buffer.from(form)));
  return distinct([...[...plain, ...inUrls].map((form) => Buffer.from(form)), ...encoded], label);
}

/** Bytes as they are, in base64 and in hex. */
export function needlesOfBytes(bytes: Buffer, label: string): Needle[] {
  return distinct([bytes, ...encodedForms(bytes)], label);
}

/**
 * Each eight bytes of a text: what compresses a page or a file may write its control bytes in between, and a piece is
 * enough to tell that the value is there. For values that are random, as others share their pieces with ordinary text.
 */
export function piecesOf(text: string, label: string): Needle[] {
  const bytes = Buffer.from(text);
  const count = Math.max(1, bytes.length - valueCharactersMin + 1);
  return Array.from({ length: count }, (_, from) => ({
    bytes: bytes.subarray(from, from + valueCharactersMin),
    label,
  }));
}

/** Base64 in its three alignments, without the characters in which the bytes around have a part, and hex. */
function encodedForms(bytes: Buffer): Buffer[] {
  const hex = bytes.toString("hex");
  const aligned = [0, 1, 2].flatMap((before) => {
    const padded = Buffer.concat([Buffer.alloc(before), bytes]);
    const from = before === 0 ? 0 : 4;
    const to = Math.floor((padded.length * 8) / 6);
    const base64 = padded.toString("base64").slice(from, to);
    return [base64, base64.replaceAll("+", "-").replaceAll("/", "_")];
  });
  return [hex, hex.toUpperCase(), ...aligned].map((form) => Buffer.from(form));
}

function distinct(forms: readonly Buffer[], label: string): Needle[] {
  const byText = new Map(forms.map((bytes) => [bytes.toString("latin1"), { bytes, label }]));
  return [...byText.values()];
}

const inJson = (text: string): string => JSON.stringify(text).slice(1, -1);

const inAscii = (json: string): string =>
  json.replaceAll(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);

const lowerEscapes = (text: string): string => text.replaceAll(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase());
