/**
 * URL and URLSearchParams. The host's own URL parser answers over the bridge, so that what a step sees is exactly what
 * the egress broker will see; search parameters are kept here. Runs inside the isolate.
 */
import { sendAndWait } from "./bridge.ts";
import { GuestTextDecoder, GuestTextEncoder } from "./encoding.ts";
import { exposeGlobal } from "./globals.ts";
import { contentsOf } from "./inspect.ts";

export interface UrlParts {
  href: string;
  origin: string;
  protocol: string;
  username: string;
  password: string;
  host: string;
  hostname: string;
  port: string;
  pathname: string;
  search: string;
  hash: string;
}

const settable = [
  "protocol",
  "username",
  "password",
  "host",
  "hostname",
  "port",
  "pathname",
  "search",
  "hash",
  "href",
] as const;

function askHost(question: {
  input: string;
  base?: string;
  set?: { key: string; value: string };
}): UrlParts | undefined {
  return (sendAndWait({ type: "url", ...question }) as { parts?: UrlParts }).parts;
}

/** Takes over the parameters of a query that was set from outside, and tells nobody. */
let replacePairs: (params: GuestURLSearchParams, search: string) => void;

export class GuestURLSearchParams {
  #pairs: [string, string][] = [];
  #changed: ((text: string) => void) | undefined;

  constructor(init: unknown = "", changed?: (text: string) => void) {
    this.#changed = changed;
    if (typeof init === "object" && init !== null) {
      const entries = Symbol.iterator in init ? [...(init as Iterable<[unknown, unknown]>)] : Object.entries(init);
      this.#pairs = entries.map(([name, value]) => [String(name), String(value)]);
    } else this.#pairs = parsePairs(String(init));
  }

  #update(): void {
    this.#changed?.(this.toString());
  }
  get size(): number {
    return this.#pairs.length;
  }
  append(name: unknown, value: unknown): void {
    this.#pairs.push([String(name), String(value)]);
    this.#update();
  }
  delete(name: unknown, value?: unknown): void {
    this.#pairs = this.#pairs.filter(
      ([key, item]) => key !== String(name) || (value !== undefined && item !== String(value)),
    );
    this.#update();
  }
  get(name: unknown): string | null {
    return this.#pairs.find(([key]) => key === String(name))?.[1] ?? null;
  }
  getAll(name: unknown): string[] {
    return this.#pairs.filter(([key]) => key === String(name)).map(([, value]) => value);
  }
  has(name: unknown, value?: unknown): boolean {
    return this.#pairs.some(([key, item]) => key === String(name) && (value === undefined || item === String(value)));
  }
  set(name: unknown, value: unknown): void {
    const at = this.#pairs.findIndex(([key]) => key === String(name));
    if (at < 0) this.#pairs.push([String(name), String(value)]);
    else {
      this.#pairs[at] = [String(name), String(value)];
      this.#pairs = this.#pairs.filter(([key], i) => i <= at || key !== String(name));
    }
    this.#update();
  }
  sort(): void {
    this.#pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    this.#update();
  }
  forEach(callback: (value: string, name: string, params: GuestURLSearchParams) => void): void {
    for (const [name, value] of this.#pairs) callback(value, name, this);
  }
  *entries(): Generator<[string, string]> {
    for (const [name, value] of this.#pairs) yield [name, value];
  }
  *keys(): Generator<string> {
    for (const [name] of this.#pairs) yield name;
  }
  *values(): Generator<string> {
    for (const [, value] of this.#pairs) yield value;
  }
  [Symbol.iterator](): Generator<[string, string]> {
    return this.entries();
  }
  toString(): string {
    return this.#pairs.map(([name, value]) => `${encodeForm(name)}=${encodeForm(value)}`).join("&");
  }
  static {
    replacePairs = (params, search) => {
      params.#pairs = parsePairs(search);
    };
  }
  [contentsOf](): object {
    return Object.fromEntries(this.#pairs);
  }
}

function parsePairs(text: string): [string, string][] {
  const body = text.startsWith("?") ? text.slice(1) : text;
  return body
    .split("&")
    .filter((part) => part !== "")
    .map((part) => {
      const at = part.indexOf("=");
      return at < 0 ? [decodeForm(part), ""] : [decodeForm(part.slice(0, at)), decodeForm(part.slice(at + 1))];
    });
}

/** Percent escapes are bytes of UTF-8; what is no escape stands for itself. */
function decodeForm(text: string): string {
  const plain = text.replaceAll("+", " ");
  if (!plain.includes("%")) return plain;
  const bytes: number[] = [];
  const encoded = new GuestTextEncoder().encode(plain);
  for (let i = 0; i < encoded.length; i++) {
    const value = encoded[i] === 0x25 ? 16 * hexDigit(encoded[i + 1]) + hexDigit(encoded[i + 2]) : Number.NaN;
    if (Number.isNaN(value)) bytes.push(encoded[i]!);
    else {
      bytes.push(value);
      i += 2;
    }
  }
  return new GuestTextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
}

/** The value of a hexadecimal digit's code; NaN for what is none. */
function hexDigit(unit = 0): number {
  if (unit >= 0x30 && unit <= 0x39) return unit - 0x30;
  const letter = (unit | 0x20) - 0x61;
  return letter >= 0 && letter < 6 ? letter + 10 : Number.NaN;
}

function encodeForm(text: string): string {
  return encodeURIComponent(text.toWellFormed())
    .replaceAll(/[!'()~]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%20", "+");
}

class GuestURL {
  #parts: UrlParts;
  #searchParams: GuestURLSearchParams | undefined;

  constructor(input: unknown, base?: unknown) {
    const parts = parseUrl(input, base);
    if (parts === undefined) throw invalidUrl();
    this.#parts = parts;
  }
  get searchParams(): GuestURLSearchParams {
    this.#searchParams ??= new GuestURLSearchParams(this.#parts.search, (text) => this.#set("search", text));
    return this.#searchParams;
  }
  get origin(): string {
    return this.#parts.origin;
  }
  toString(): string {
    return this.#parts.href;
  }
  toJSON(): string {
    return this.#parts.href;
  }
  [contentsOf](): object {
    const { href, origin, protocol, username, password, host, hostname, port, pathname, search, hash } = this.#parts;
    const searchParams = this.searchParams;
    return { href, origin, protocol, username, password, host, hostname, port, pathname, search, searchParams, hash };
  }
  #set(key: string, value: string): void {
    const parts = askHost({ input: this.#parts.href, set: { key, value } });
    if (parts === undefined && key === "href") throw invalidUrl();
    this.#parts = parts ?? this.#parts;
  }
  static canParse(input: unknown, base?: unknown): boolean {
    return parseUrl(input, base) !== undefined;
  }
  static parse(input: unknown, base?: unknown): GuestURL | null {
    const parts = parseUrl(input, base);
    return parts === undefined ? null : new GuestURL(parts.href);
  }
  static {
    for (const key of settable) {
      Object.defineProperty(this.prototype, key, {
        get(this: GuestURL) {
          return this.#parts[key];
        },
        set(this: GuestURL, value: unknown) {
          this.#set(key, String(value));
          if (this.#searchParams !== undefined && (key === "search" || key === "href"))
            replacePairs(this.#searchParams, this.#parts.search);
        },
        enumerable: true,
        configurable: true,
      });
    }
  }
}

function parseUrl(input: unknown, base: unknown): UrlParts | undefined {
  return askHost(base === undefined ? { input: String(input) } : { input: String(input), base: String(base) });
}

function invalidUrl(): TypeError {
  return Object.assign(new TypeError("Invalid URL"), { code: "ERR_INVALID_URL" });
}

/** The text of an absolute URL as it will be requested. Throws a TypeError for what is none. */
export function parseHref(input: unknown): string {
  const parts = parseUrl(input, undefined);
  if (parts === undefined) throw invalidUrl();
  return parts.href;
}

export function installUrl(): void {
  exposeGlobal("URL", GuestURL);
  exposeGlobal("URLSearchParams", GuestURLSearchParams);
}
