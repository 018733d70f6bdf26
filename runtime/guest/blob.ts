/** Blob and File: bytes with a type, copied when they are made. Runs inside the isolate. */
import { encodeUtf8 } from "./crypto.ts";
import { GuestTextDecoder, toBytes } from "./encoding.ts";
import { exposeGlobal } from "./globals.ts";
import { isArrayBuffer } from "./kind.ts";
import { type GuestReadableStream, streamOf } from "./streams.ts";

export let blobBytes: (blob: GuestBlob) => Uint8Array<ArrayBuffer>;

export class GuestBlob {
  readonly type: string;
  readonly #bytes: Uint8Array<ArrayBuffer>;

  constructor(parts: Iterable<unknown> = [], { type = "" }: { type?: unknown } = {}) {
    if (typeof parts !== "object" || parts === null) throw new TypeError("The parts of a Blob must be a list");
    const text = String(type);
    this.type = /^[\x20-\x7e]*$/.test(text) ? text.toLowerCase() : "";
    this.#bytes = joinBytes(Array.from(parts, partBytes));
  }
  get size(): number {
    return this.#bytes.length;
  }
  slice(start?: number, end?: number, type: unknown = ""): GuestBlob {
    return new GuestBlob([this.#bytes.slice(start, end)], { type });
  }
  async bytes(): Promise<Uint8Array> {
    return this.#bytes.slice();
  }
  async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#bytes.slice().buffer;
  }
  async text(): Promise<string> {
    return new GuestTextDecoder().decode(this.#bytes);
  }
  stream(): GuestReadableStream {
    return streamOf(this.#bytes);
  }
  static {
    blobBytes = (blob) => blob.#bytes;
  }
}

function partBytes(part: unknown): Uint8Array {
  if (part instanceof GuestBlob) return blobBytes(part);
  if (typeof part === "object" && part !== null && (ArrayBuffer.isView(part) || isArrayBuffer(part)))
    return toBytes(part);
  return encodeUtf8(String(part));
}

export function joinBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

export class GuestFile extends GuestBlob {
  readonly name: string;
  readonly lastModified: number;

  constructor(parts: Iterable<unknown>, name: unknown, options: { type?: unknown; lastModified?: unknown } = {}) {
    super(parts, options);
    this.name = String(name);
    this.lastModified = options.lastModified === undefined ? Date.now() : Number(options.lastModified);
  }
}

export function installBlob(): void {
  exposeGlobal("Blob", GuestBlob);
  exposeGlobal("File", GuestFile);
}
