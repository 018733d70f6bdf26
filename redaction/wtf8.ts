/**
 * Strings to bytes and back without loss: UTF-8 that lets lone surrogates pass, so that text which is no well-formed
 * Unicode comes out as it went in. Well-formed text takes the platform's own encoder and decoder.
 */

const isContinuation = (byte: number): boolean => (byte & 0xc0) === 0x80;

export function encodeText(text: string): Uint8Array {
  if (text.isWellFormed()) return Buffer.from(text, "utf8");
  const bytes: number[] = [];
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (code >= 0xd800 && code < 0xe000) bytes.push(0xed, 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else bytes.push(...Buffer.from(character));
  }
  return Uint8Array.from(bytes);
}

export function decodeText(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let text = "";
  let from = 0;
  for (;;) {
    const at = surrogateAt(buffer, from);
    text += buffer.toString("utf8", from, at === -1 ? buffer.length : at);
    if (at === -1) return text;
    text += String.fromCharCode(0xd000 | ((buffer[at + 1]! & 63) << 6) | (buffer[at + 2]! & 63));
    from = at + 3;
  }
}

/** Decodes a stream cut anywhere; the bytes of an unfinished character wait for the next call. */
export class TextStreamDecoder {
  #waiting: Uint8Array = new Uint8Array(0);

  decode(bytes: Uint8Array, last: boolean): string {
    const all = this.#waiting.length === 0 ? bytes : Buffer.concat([this.#waiting, bytes]);
    const whole = last ? all.length : wholeLength(all);
    this.#waiting = all.slice(whole);
    return decodeText(all.subarray(0, whole));
  }
}

/** Encodes a stream of strings cut anywhere, also between the two halves of a surrogate pair. */
export class TextStreamEncoder {
  #waiting = "";

  encode(text: string, last: boolean): Uint8Array {
    let all = this.#waiting + text;
    this.#waiting = "";
    const unit = all.charCodeAt(all.length - 1);
    if (!last && unit >= 0xd800 && unit < 0xdc00) {
      this.#waiting = all.slice(-1);
      all = all.slice(0, -1);
    }
    return encodeText(all);
  }

  get waits(): boolean {
    return this.#waiting !== "";
  }
}

function surrogateAt(bytes: Buffer, from: number): number {
  for (let at = bytes.indexOf(0xed, from); at !== -1; at = bytes.indexOf(0xed, at + 1)) {
    if (bytes[at + 1]! >= 0xa0 && bytes[at + 1]! <= 0xbf && isContinuation(bytes[at + 2] ?? 0)) return at;
  }
  return -1;
}

/** How many bytes make whole characters. */
function wholeLength(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]!;
    if (isContinuation(byte)) continue;
    const width = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return width > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}
