/** Headers: names in lower case, in order, several values joined on reading. Runs inside the isolate. */
import { exposeGlobal } from "./globals.ts";
import { contentsOf } from "./inspect.ts";

const namePattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

export class GuestHeaders {
  #pairs: [string, string][] = [];

  constructor(init: unknown = {}) {
    if (typeof init !== "object" || init === null)
      throw new TypeError("Headers take an object, a list of pairs or Headers");
    const entries =
      Symbol.iterator in init ? [...(init as Iterable<Iterable<unknown>>)].map(toPair) : Object.entries(init);
    for (const [name, value] of entries) this.append(name, value);
  }
  append(name: unknown, value: unknown): void {
    this.#pairs.push([toName(name), toHeaderValue(name, value)]);
  }
  delete(name: unknown): void {
    const key = toName(name);
    this.#pairs = this.#pairs.filter(([known]) => known !== key);
  }
  get(name: unknown): string | null {
    const key = toName(name);
    const values = this.#pairs.filter(([known]) => known === key).map(([, value]) => value);
    return values.length === 0 ? null : values.join(key === "cookie" ? "; " : ", ");
  }
  getSetCookie(): string[] {
    return this.#pairs.filter(([name]) => name === "set-cookie").map(([, value]) => value);
  }
  has(name: unknown): boolean {
    const key = toName(name);
    return this.#pairs.some(([known]) => known === key);
  }
  set(name: unknown, value: unknown): void {
    const text = toHeaderValue(name, value);
    this.delete(name);
    this.#pairs.push([toName(name), text]);
  }
  forEach(callback: (value: string, name: string, headers: GuestHeaders) => void): void {
    for (const [name, value] of this.#sorted()) callback(value, name, this);
  }
  /** By name; every cookie that is set stands alone. */
  #sorted(): [string, string][] {
    const names = [...new Set(this.#pairs.map(([name]) => name))].sort();
    return names.flatMap((name) =>
      name === "set-cookie"
        ? this.getSetCookie().map((value): [string, string] => [name, value])
        : [[name, this.get(name) ?? ""] as [string, string]],
    );
  }
  *entries(): Generator<[string, string]> {
    for (const pair of this.#sorted()) yield pair;
  }
  *keys(): Generator<string> {
    for (const [name] of this.#sorted()) yield name;
  }
  *values(): Generator<string> {
    for (const [, value] of this.#sorted()) yield value;
  }
  [Symbol.iterator](): Generator<[string, string]> {
    return this.entries();
  }
  [contentsOf](): object {
    return Object.fromEntries(this.#sorted());
  }
}

function toPair(pair: Iterable<unknown>): [unknown, unknown] {
  const [name, value, ...more] = typeof pair === "object" ? [...pair] : [];
  if (value === undefined || more.length > 0) throw new TypeError("A header is a pair of name and value");
  return [name, value];
}

function toName(name: unknown): string {
  const text = String(name);
  if (!namePattern.test(text)) throw new TypeError("A header name has characters that HTTP does not allow");
  return text.toLowerCase();
}

function toHeaderValue(name: unknown, value: unknown): string {
  const text = String(value).replaceAll(/^[\t\n\r ]+|[\t\n\r ]+$/g, "");
  if (/[\0\r\n]/.test(text)) throw new TypeError(`The value of header "${toName(name)}" has a line break or NUL`);
  return text;
}

export function installHeaders(): void {
  exposeGlobal("Headers", GuestHeaders);
}
