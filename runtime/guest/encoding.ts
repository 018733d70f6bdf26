/**
 * TextEncoder, TextDecoder (utf-8, utf-16le and windows-1252, with `fatal`, `ignoreBOM` and streaming), atob and btoa for an isolate
 * that has none. Follows the WHATWG Encoding Standard's UTF-8 decoder, including one U+FFFD per ill-formed part.
 * Plain loops over typed arrays: Python's loader decodes megabytes through this. Runs inside the isolate.
 */
import { GuestDOMException } from "./exception.ts";
import { exposeGlobal } from "./globals.ts";
import { late } from "./late.ts";

const replacement = 0xfffd;

/** What the UTF-8 decoder must remember between two parts of a stream. */
interface Utf8State {
  codePoint: number;
  needed: number;
  lower: number;
  upper: number;
}

const freshState = (): Utf8State => ({ codePoint: 0, needed: 0, lower: 0x80, upper: 0xbf });

function decodeUtf8(bytes: Uint8Array, state: Utf8State, fatal: boolean): string {
  const fromCharCode = String.fromCharCode;
  let units: number[] = [];
  let text = "";
  const put = (codePoint: number): void => {
    if (codePoint > 0xffff)
      units.push(0xd800 | ((codePoint - 0x10000) >> 10), 0xdc00 | ((codePoint - 0x10000) & 0x3ff));
    else units.push(codePoint);
  };
  const bad = (): void => {
    if (fatal) throw new TypeError("The encoded data was not valid for encoding utf-8");
    units.push(replacement);
  };
  for (let i = 0; i < bytes.length; i++) {
    if (units.length > 8_000) {
      text += fromCharCode(...units);
      units = [];
    }
    const byte = bytes[i]!;
    if (state.needed === 0) {
      if (byte < 0x80) units.push(byte);
      else if (byte >= 0xc2 && byte <= 0xf4) startSequence(state, byte);
      else bad();
    } else if (byte < state.lower || byte > state.upper) {
      Object.assign(state, freshState());
      bad();
      i--; // The byte that broke the sequence may begin the next one.
    } else {
      state.lower = 0x80;
      state.upper = 0xbf;
      state.codePoint = (state.codePoint << 6) | (byte & 0x3f);
      if (--state.needed === 0) put(state.codePoint);
    }
  }
  return text + fromCharCode(...units);
}

function startSequence(state: Utf8State, byte: number): void {
  if (byte < 0xe0) {
    state.needed = 1;
    state.codePoint = byte & 0x1f;
  } else if (byte < 0xf0) {
    state.needed = 2;
    state.codePoint = byte & 0xf;
    if (byte === 0xe0) state.lower = 0xa0;
    if (byte === 0xed) state.upper = 0x9f;
  } else {
    state.needed = 3;
    state.codePoint = byte & 0x7;
    if (byte === 0xf0) state.lower = 0x90;
    if (byte === 0xf4) state.upper = 0x8f;
  }
}

/** What the bytes 0x80 to 0x9f mean in windows-1252, which is what the web calls latin1. */
const windows1252Upper = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ";

function decodeWindows1252(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8_000) text += String.fromCharCode(...bytes.subarray(at, at + 8_000));
  return text.replaceAll(/[\u0080-\u009f]/g, (unit) => windows1252Upper[unit.charCodeAt(0) - 0x80] ?? unit);
}

/** The bytes themselves, not a copy. */
export function toBytes(input: ArrayBuffer | ArrayBufferView | undefined): Uint8Array {
  if (input === undefined) return new Uint8Array(0);
  if (ArrayBuffer.isView(input)) return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
  return new Uint8Array(input);
}

export class GuestTextDecoder {
  readonly encoding: "utf-8" | "utf-16le" | "windows-1252";
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;
  #state = freshState();
  #oddByte: number | undefined;
  #lead = "";
  #atStart = true;

  constructor(label = "utf-8", options: { fatal?: boolean; ignoreBOM?: boolean } = {}) {
    const name = String(label).trim().toLowerCase();
    if (["utf-8", "utf8", "unicode-1-1-utf-8"].includes(name)) this.encoding = "utf-8";
    else if (["utf-16le", "utf-16", "ucs-2"].includes(name)) this.encoding = "utf-16le";
    else if (["latin1", "iso-8859-1", "ascii", "us-ascii", "windows-1252"].includes(name))
      this.encoding = "windows-1252";
    else throw new RangeError("Only utf-8, utf-16le and windows-1252 (latin1) are supported");
    this.fatal = Boolean(options.fatal);
    this.ignoreBOM = Boolean(options.ignoreBOM);
  }

  decode(input?: ArrayBuffer | ArrayBufferView, options: { stream?: boolean } = {}): string {
    const bytes = toBytes(input);
    if (this.encoding === "windows-1252") return decodeWindows1252(bytes);
    let text = this.encoding === "utf-8" ? decodeUtf8(bytes, this.#state, this.fatal) : this.#decodeUtf16(bytes);
    if (!options.stream && (this.#state.needed > 0 || this.#oddByte !== undefined || this.#lead !== "")) {
      if (this.fatal) throw notValid(this.encoding);
      text += String.fromCharCode(replacement);
    }
    if (this.#atStart && text.length > 0) {
      if (!this.ignoreBOM && text.charCodeAt(0) === 0xfeff) text = text.slice(1);
      this.#atStart = false;
    }
    if (!options.stream) {
      this.#state = freshState();
      this.#oddByte = undefined;
      this.#lead = "";
      this.#atStart = true;
    }
    return text;
  }

  /** What may be the first half of a character, or of a pair of surrogates, waits for the next part. */
  #decodeUtf16(bytes: Uint8Array): string {
    const units: number[] = [];
    let text = this.#lead;
    let low = this.#oddByte;
    for (const byte of bytes) {
      if (low === undefined) low = byte;
      else {
        units.push(low | (byte << 8));
        low = undefined;
      }
      if (units.length > 8_000) text += String.fromCharCode(...units.splice(0));
    }
    text += String.fromCharCode(...units);
    const final = text.charCodeAt(text.length - 1);
    this.#lead = final >= 0xd800 && final <= 0xdbff ? text.slice(-1) : "";
    this.#oddByte = low;
    const whole = this.#lead === "" ? text : text.slice(0, -1);
    if (this.fatal && !whole.isWellFormed()) throw notValid(this.encoding);
    return whole.toWellFormed();
  }
}

const notValid = (encoding: string): TypeError =>
  new TypeError(`The encoded data was not valid for encoding ${encoding}`);

export class GuestTextEncoder {
  readonly encoding = "utf-8";

  encode(input = ""): Uint8Array {
    const text = String(input);
    const bytes = new Uint8Array(text.length * 3);
    return bytes.slice(0, this.encodeInto(text, bytes).written);
  }

  encodeInto(text: string, into: Uint8Array): { read: number; written: number } {
    let written = 0;
    let read = 0;
    while (read < text.length) {
      let codePoint = text.codePointAt(read)!;
      const length = codePoint > 0xffff ? 2 : 1;
      if (codePoint >= 0xd800 && codePoint <= 0xdfff) codePoint = replacement;
      const size = codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;
      if (written + size > into.length) break;
      if (size === 1) into[written++] = codePoint;
      else {
        into[written++] = [0, 0, 0xc0, 0xe0, 0xf0][size]! | (codePoint >> (6 * (size - 1)));
        for (let shift = 6 * (size - 2); shift >= 0; shift -= 6) into[written++] = 0x80 | ((codePoint >> shift) & 0x3f);
      }
      read += length;
    }
    return { read, written };
  }
}

export function encodeBase64(bytes: ArrayLike<number>): string {
  return Reflect.apply(late.toBase64, bytes instanceof Uint8Array ? bytes : Uint8Array.from(bytes), []);
}

/** Forgiving-base64 decode; undefined when the text is not base64. */
export function decodeBase64(text: string): Uint8Array | undefined {
  try {
    return Reflect.apply(late.fromBase64, Uint8Array, [text]);
  } catch {
    return undefined;
  }
}

export function installEncoding(): void {
  exposeGlobal("TextDecoder", GuestTextDecoder);
  exposeGlobal("TextEncoder", GuestTextEncoder);
  exposeGlobal("btoa", (input: unknown): string => {
    const text = String(input);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 255) throw new GuestDOMException("btoa takes characters up to U+00FF only", "InvalidCharacterError");
      bytes[i] = unit;
    }
    return encodeBase64(bytes);
  });
  exposeGlobal("atob", (input: unknown): string => {
    const bytes = decodeBase64(String(input));
    if (bytes === undefined)
      throw new GuestDOMException("The text given to atob is not base64", "InvalidCharacterError");
    let text = "";
    for (let i = 0; i < bytes.length; i += 8_000) text += String.fromCharCode(...bytes.subarray(i, i + 8_000));
    return text;
  });
}
