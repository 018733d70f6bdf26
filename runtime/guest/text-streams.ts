/**
 * TextDecoderStream and TextEncoderStream: bytes to text and back, where a character may be cut between two chunks. Runs
 * inside the isolate.
 */
import { GuestTextDecoder, GuestTextEncoder } from "./encoding.ts";
import { exposeGlobal } from "./globals.ts";
import { isArrayBuffer } from "./kind.ts";
import { GuestReadableStream } from "./streams.ts";
import { TransformCore } from "./transform.ts";
import { GuestWritableStream } from "./writable.ts";

/** The two ends of a transform of ours. */
class TextPair {
  readonly readable: GuestReadableStream;
  readonly writable: GuestWritableStream;

  /** Both give what is to come out; nothing of it when it is empty. */
  constructor(transform: (chunk: unknown) => string | Uint8Array, flush: () => string | Uint8Array) {
    const put = (part: string | Uint8Array): void => {
      if (part.length > 0) core.enqueue(part);
    };
    const size = (): number => 1;
    const core: TransformCore = new TransformCore(
      { transform: (chunk) => put(transform(chunk)), flush: () => put(flush()) },
      { readable: { highWaterMark: 0, size }, writable: { highWaterMark: 1, size } },
    );
    this.readable = new GuestReadableStream(core.readable);
    this.writable = new GuestWritableStream(core.writable);
  }
}

function checkBytes(chunk: unknown): ArrayBuffer | ArrayBufferView {
  if (typeof chunk === "object" && chunk !== null && (ArrayBuffer.isView(chunk) || isArrayBuffer(chunk))) return chunk;
  throw new TypeError("A TextDecoderStream takes bytes");
}

class GuestTextDecoderStream {
  readonly #decoder: GuestTextDecoder;
  readonly #pair: TextPair;

  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean }) {
    const decoder = new GuestTextDecoder(label, options);
    this.#decoder = decoder;
    this.#pair = new TextPair(
      (chunk) => decoder.decode(checkBytes(chunk), { stream: true }),
      () => decoder.decode(),
    );
  }
  get encoding(): string {
    return this.#decoder.encoding;
  }
  get fatal(): boolean {
    return this.#decoder.fatal;
  }
  get ignoreBOM(): boolean {
    return this.#decoder.ignoreBOM;
  }
  get readable(): GuestReadableStream {
    return this.#pair.readable;
  }
  get writable(): GuestWritableStream {
    return this.#pair.writable;
  }
}

class GuestTextEncoderStream {
  readonly #pair: TextPair;

  constructor() {
    const encoder = new GuestTextEncoder();
    /** The first half of a character, whose second half begins the next chunk. */
    let half = "";
    const encode = (chunk: unknown): Uint8Array => {
      const text = half + String(chunk);
      half = /[\ud800-\udbff]$/.exec(text)?.[0] ?? "";
      return encoder.encode(half === "" ? text : text.slice(0, -1));
    };
    this.#pair = new TextPair(encode, () => encoder.encode(half));
  }
  get encoding(): string {
    return "utf-8";
  }
  get readable(): GuestReadableStream {
    return this.#pair.readable;
  }
  get writable(): GuestWritableStream {
    return this.#pair.writable;
  }
}

export function installTextStreams(): void {
  exposeGlobal("TextDecoderStream", GuestTextDecoderStream);
  exposeGlobal("TextEncoderStream", GuestTextEncoderStream);
}
