/**
 * What Request and Response share: a body that can be given as text, bytes, form, parameters, Blob or stream, and is
 * read once. Bytes stay bytes until somebody asks for the stream. Runs inside the isolate.
 */
import { blobBytes, GuestBlob, joinBytes } from "./blob.ts";
import { encodeUtf8 } from "./crypto.ts";
import { GuestTextDecoder, toBytes } from "./encoding.ts";
import { decodeMultipart, encodeMultipart, GuestFormData } from "./form.ts";
import type { GuestHeaders } from "./headers.ts";
import { isArrayBuffer } from "./kind.ts";
import { GuestReadableStream, isDisturbed, streamOf } from "./streams.ts";
import { GuestURLSearchParams } from "./url.ts";

interface BodySource {
  content: Uint8Array | GuestReadableStream;
  /** The content type that the kind of body implies. */
  type?: string;
}

function readSource(body: unknown): BodySource | undefined {
  if (body === null || body === undefined) return undefined;
  if (body instanceof GuestReadableStream) {
    if (body.locked || isDisturbed(body)) throw new TypeError("The stream of the body has been read already");
    return { content: body };
  }
  if (body instanceof GuestBlob) return { content: blobBytes(body), ...(body.type === "" ? {} : { type: body.type }) };
  if (body instanceof GuestFormData) {
    const { bytes, contentType } = encodeMultipart(body);
    return { content: bytes, type: contentType };
  }
  if (typeof body === "object" && (ArrayBuffer.isView(body) || isArrayBuffer(body)))
    return { content: toBytes(body).slice() };
  const content = encodeUtf8(String(body));
  if (body instanceof GuestURLSearchParams) return { content, type: "application/x-www-form-urlencoded;charset=UTF-8" };
  return { content, type: "text/plain;charset=UTF-8" };
}

/** The body's bytes, for our own use; undefined when there is no body. Uses the body up. */
export let takeBytes: (body: GuestBody) => Promise<Uint8Array | undefined>;
/** A second body with the same content. */
export let copyBody: (body: GuestBody) => unknown;

export abstract class GuestBody {
  abstract readonly headers: GuestHeaders;
  #content: Uint8Array | GuestReadableStream | undefined;
  #used = false;

  constructor(body: unknown, headers: GuestHeaders) {
    const source = readSource(body);
    this.#content = source?.content;
    if (source?.type !== undefined && !headers.has("content-type")) headers.set("content-type", source.type);
  }
  get body(): GuestReadableStream | null {
    if (this.#content === undefined) return null;
    if (!(this.#content instanceof GuestReadableStream)) this.#content = streamOf(this.#content);
    return this.#content;
  }
  get bodyUsed(): boolean {
    return this.#used || (this.#content instanceof GuestReadableStream && isDisturbed(this.#content));
  }
  async #take(): Promise<Uint8Array<ArrayBuffer>> {
    if (this.bodyUsed) throw new TypeError("Body is unusable: Body has already been read");
    const content = this.#content ?? new Uint8Array(0);
    this.#used = this.#content !== undefined;
    if (!(content instanceof GuestReadableStream)) return content as Uint8Array<ArrayBuffer>;
    const chunks: Uint8Array[] = [];
    for await (const chunk of content.values()) chunks.push(chunkBytes(chunk));
    return joinBytes(chunks);
  }
  async bytes(): Promise<Uint8Array> {
    return await this.#take();
  }
  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.#take()).slice().buffer;
  }
  async text(): Promise<string> {
    return new GuestTextDecoder().decode(await this.#take());
  }
  async json(): Promise<unknown> {
    return JSON.parse(new GuestTextDecoder().decode(await this.#take()));
  }
  async blob(): Promise<GuestBlob> {
    return new GuestBlob([await this.#take()], { type: this.headers.get("content-type") ?? "" });
  }
  async formData(): Promise<GuestFormData> {
    const type = this.headers.get("content-type") ?? "";
    const bytes = await this.#take();
    if (/^multipart\/form-data\b/i.test(type)) return decodeMultipart(bytes, type);
    if (!/^application\/x-www-form-urlencoded\b/i.test(type)) throw new TypeError("The body is no form");
    const form = new GuestFormData();
    new GuestURLSearchParams(new GuestTextDecoder().decode(bytes)).forEach((value, name) => form.append(name, value));
    return form;
  }
  static {
    takeBytes = async (body) => (body.#content === undefined ? undefined : await body.#take());
    copyBody = (body) => {
      if (body.bodyUsed) throw new TypeError("Body is unusable: Body has already been read");
      if (!(body.#content instanceof GuestReadableStream)) return body.#content ?? null;
      const [first, second] = body.#content.tee();
      body.#content = first;
      return second;
    };
  }
}

function chunkBytes(chunk: unknown): Uint8Array {
  if (typeof chunk === "string") return encodeUtf8(chunk);
  if (typeof chunk === "object" && chunk !== null && (ArrayBuffer.isView(chunk) || isArrayBuffer(chunk)))
    return toBytes(chunk);
  throw new TypeError("A chunk of a body must be bytes");
}
