/** FormData, and the multipart body that it becomes and comes from. Runs inside the isolate. */
import { GuestBlob, blobBytes, GuestFile, joinBytes } from "./blob.ts";
import { encodeUtf8, randomText } from "./crypto.ts";
import { GuestTextDecoder } from "./encoding.ts";
import { exposeGlobal } from "./globals.ts";

type FormValue = string | GuestFile;

export class GuestFormData {
  #entries: [string, FormValue][] = [];

  append(name: unknown, value: unknown, filename?: unknown): void {
    this.#entries.push([wellFormed(name), formValue(value, filename)]);
  }
  delete(name: unknown): void {
    this.#entries = this.#entries.filter(([key]) => key !== String(name));
  }
  get(name: unknown): FormValue | null {
    return this.#entries.find(([key]) => key === String(name))?.[1] ?? null;
  }
  getAll(name: unknown): FormValue[] {
    return this.#entries.filter(([key]) => key === String(name)).map(([, value]) => value);
  }
  has(name: unknown): boolean {
    return this.#entries.some(([key]) => key === String(name));
  }
  set(name: unknown, value: unknown, filename?: unknown): void {
    const at = this.#entries.findIndex(([key]) => key === String(name));
    if (at < 0) return this.append(name, value, filename);
    this.#entries[at] = [wellFormed(name), formValue(value, filename)];
    this.#entries = this.#entries.filter(([key], i) => i <= at || key !== String(name));
  }
  forEach(callback: (value: FormValue, name: string, form: GuestFormData) => void): void {
    for (const [name, value] of this.#entries) callback(value, name, this);
  }
  *entries(): Generator<[string, FormValue]> {
    for (const [name, value] of this.#entries) yield [name, value];
  }
  *keys(): Generator<string> {
    for (const [name] of this.#entries) yield name;
  }
  *values(): Generator<FormValue> {
    for (const [, value] of this.#entries) yield value;
  }
  [Symbol.iterator](): Generator<[string, FormValue]> {
    return this.entries();
  }
}

const wellFormed = (text: unknown): string => String(text).toWellFormed();

function formValue(value: unknown, filename: unknown): FormValue {
  if (!(value instanceof GuestBlob)) return wellFormed(value);
  if (value instanceof GuestFile && filename === undefined) return value;
  const name = filename === undefined ? "blob" : wellFormed(filename);
  return new GuestFile([value], name, { type: value.type });
}

/** A form as multipart/form-data, with the content type that names its border. */
export function encodeMultipart(form: GuestFormData): { bytes: Uint8Array; contentType: string } {
  const border = `----formdata-${randomText()}`;
  const parts: Uint8Array[] = [];
  form.forEach((value, name) => {
    const head = `--${border}\r\nContent-Disposition: form-data; name="${escapeName(lines(name))}"`;
    if (typeof value === "string") parts.push(encodeUtf8(`${head}\r\n\r\n${lines(value)}\r\n`));
    else {
      const type = value.type === "" ? "application/octet-stream" : value.type;
      const file = `${head}; filename="${escapeName(value.name)}"\r\nContent-Type: ${type}\r\n\r\n`;
      parts.push(encodeUtf8(file), blobBytes(value), encodeUtf8("\r\n"));
    }
  });
  parts.push(encodeUtf8(`--${border}--\r\n`));
  return { bytes: joinBytes(parts), contentType: `multipart/form-data; boundary=${border}` };
}

const lines = (text: string): string => text.replaceAll(/\r\n|\r|\n/g, "\r\n");

const escapeName = (name: string): string =>
  name.replaceAll("\n", "%0A").replaceAll("\r", "%0D").replaceAll('"', "%22");

/** The form in a multipart body. Throws a TypeError for what is none. */
export function decodeMultipart(bytes: Uint8Array, contentType: string): GuestFormData {
  const border = /;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(contentType);
  const form = new GuestFormData();
  // One character per byte, so that places in the text are places in the bytes.
  const text = new Latin1(bytes);
  const mark = `--${border?.[1] ?? border?.[2] ?? ""}`;
  let at = text.indexOf(mark, 0);
  if (border === null || at < 0) throw new TypeError("The body is no multipart form");
  for (;;) {
    at += mark.length;
    if (text.slice(at, at + 2) === "--") return form;
    const headEnd = text.indexOf("\r\n\r\n", at);
    const end = headEnd < 0 ? -1 : text.indexOf(`\r\n${mark}`, headEnd + 2);
    if (end < 0) throw new TypeError("The multipart form is cut off");
    const head = new GuestTextDecoder().decode(bytes.subarray(at, headEnd));
    const body = bytes.slice(headEnd + 4, Math.max(headEnd + 4, end));
    const name = /;\s*name="([^"]*)"/i.exec(head)?.[1];
    const filename = /;\s*filename="([^"]*)"/i.exec(head)?.[1];
    const type = /^content-type:\s*(.*)$/im.exec(head)?.[1]?.trim() ?? "text/plain";
    if (name === undefined) throw new TypeError("A part of the multipart form has no name");
    if (filename === undefined) form.append(unescapeName(name), new GuestTextDecoder().decode(body));
    else form.append(unescapeName(name), new GuestFile([body], unescapeName(filename), { type }));
    at = end + 2;
  }
}

const unescapeName = (name: string): string =>
  name.replaceAll(/%0a/gi, "\n").replaceAll(/%0d/gi, "\r").replaceAll("%22", '"');

/** Bytes searched as text. */
class Latin1 {
  #text = "";

  constructor(bytes: Uint8Array) {
    for (let at = 0; at < bytes.length; at += 8_000)
      this.#text += String.fromCharCode(...bytes.subarray(at, at + 8_000));
  }
  indexOf(part: string, from: number): number {
    return this.#text.indexOf(part, from);
  }
  slice(from: number, to: number): string {
    return this.#text.slice(from, to);
  }
}

export function installForm(): void {
  exposeGlobal("FormData", GuestFormData);
}
