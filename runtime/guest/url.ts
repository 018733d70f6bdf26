/**
 * URL and URLSearchParams. The host's own URL parser answers over the bridge, so that what a step sees is exactly what
 * the egress broker will see; search parameters are kept here. Runs inside the isolate.
 */
import { sendAndWait } from "./bridge.ts";

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

export class GuestURLSearchParams {
  #pairs: [string, string][] = [];
  #changed: (() => void) | undefined;

  constructor(init: unknown = "", changed?: () => void) {
    this.#changed = changed;
    if (typeof init === "object" && init !== null) {
      const entries = Symbol.iterator in init ? [...(init as Iterable<[unknown, unknown]>)] : Object.entries(init);
      this.#pairs = entries.map(([name, value]) => [String(name), String(value)]);
    } else this.#pairs = parsePairs(String(init));
  }

  #update(): void {
    this.#changed?.();
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

function decodeForm(text: string): string {
  const plain = text.replaceAll("+", " ");
  try {
    return decodeURIComponent(plain);
  } catch {
    return plain; // Not well-formed percent encoding: kept as written.
  }
}

function encodeForm(text: string): string {
  return encodeURIComponent(text.toWellFormed())
    .replaceAll(/[!'()~]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%20", "+");
}

class GuestURL {
  #parts: UrlParts;
  readonly searchParams: GuestURLSearchParams;

  constructor(input: unknown, base?: unknown) {
    const parts = askHost(base === undefined ? { input: String(input) } : { input: String(input), base: String(base) });
    if (parts === undefined) throw new TypeError("Invalid URL");
    this.#parts = parts;
    this.searchParams = new GuestURLSearchParams(parts.search, () => this.#set("search", this.searchParams.toString()));
    for (const key of settable) {
      Object.defineProperty(this, key, {
        get: () => this.#parts[key],
        set: (value: unknown) => {
          this.#set(key, String(value));
        },
        enumerable: true,
      });
    }
  }

  #set(key: string, value: string): void {
    this.#parts = askHost({ input: this.#parts.href, set: { key, value } }) ?? this.#parts;
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
  static canParse(input: unknown, base?: unknown): boolean {
    return (
      askHost(base === undefined ? { input: String(input) } : { input: String(input), base: String(base) }) !==
      undefined
    );
  }
}

export function installUrl(): void {
  const globals = globalThis as Record<string, unknown>;
  globals["URL"] = GuestURL;
  globals["URLSearchParams"] = GuestURLSearchParams;
}
