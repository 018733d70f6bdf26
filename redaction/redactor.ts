/**
 * The redactor: replaces every form of every secret in text, bytes, streams and structured values.
 *
 * The only file that others import. What is masked, what cannot be and how much is held back: docs/redaction.md.
 * Anything that goes wrong is thrown, and a stream that threw once gives nothing any more: it never fails open.
 */

import type { Transform } from "node:stream";
import { BLOCK_MAX } from "./block.ts";
import { createDestination, type LogDestination, type RedactingDestination } from "./destination.ts";
import { Masker } from "./masker.ts";
import { NeedleStore } from "./needles.ts";
import { Placeholders } from "./placeholder.ts";
import { MaskCounter, type SecretReport } from "./report.ts";
import { Scanner, type Span } from "./scanner.ts";
import { RedactionStream } from "./stream.ts";
import { createTransform, createWebTransform } from "./transform.ts";
import { redactValue } from "./value.ts";
import { decodeText, encodeText } from "./wtf8.ts";

export type { LogDestination, RedactingDestination } from "./destination.ts";
export { exposureOf, type Exposure } from "./policy.ts";
export type { SecretReport } from "./report.ts";
export { RedactionStream } from "./stream.ts";

export type Secret = { readonly name: string; readonly value: string | Uint8Array };

export type RedactorOptions = {
  /** Also finds what only a reader would see: escaped, interleaved, wrapped, case-folded. Default true. */
  readonly canonical?: boolean;
  /** Masks any fragment of a value of at least this many characters; `true` means 12. Default false. */
  readonly fragments?: boolean | number;
  /** Looks into long runs of base64 and hexadecimal digits and into compressed data. Default as `canonical`. */
  readonly decode?: boolean;
  /** "policy" masks short and common values only where they stand alone (see policy.ts). Default "policy". */
  readonly shortValues?: "policy" | "everywhere";
  /**
   * Whether a text may have been masked before, so that masking it twice changes nothing. Where others write the text, false
   * keeps a placeholder of theirs from hiding what stands beside it. Default true.
   */
  readonly twice?: boolean;
  /** After this many milliseconds without input a transform passes on what tells nothing. Default 200. */
  readonly idleMs?: number;
};

const FRAGMENT_MIN = 12;
const IDLE_MS = 200;
/** Three layers of hexadecimal digits take eight times the place of what they stand for. */
const DECODED_FACTOR = 8;
/** Digits that are read before it is known whether they decode to text. */
const RUN_BYTES = 32;
/** Half a character at the end of a string waits for the other half. */
const CHARACTER_BYTES = 3;

export class Redactor {
  readonly #store: NeedleStore;
  readonly #placeholders: Placeholders;
  readonly #counter = new MaskCounter();
  readonly #names: string[] = [];
  readonly #numbers = new Map<number, number>();
  readonly #idleMs: number;
  #scanner: Scanner | undefined;

  constructor(secrets: Iterable<Secret>, options: RedactorOptions = {}) {
    const { fragments = false } = options;
    this.#idleMs = options.idleMs ?? IDLE_MS;
    this.#store = new NeedleStore({
      canonical: options.canonical ?? true,
      decode: options.decode ?? options.canonical ?? true,
      fragmentMin: fragments === true ? FRAGMENT_MIN : fragments === false ? 0 : Math.max(4, fragments),
      everywhere: options.shortValues === "everywhere",
      marks: options.twice ?? true,
    });
    this.#placeholders = new Placeholders(() => this.#store.rawNeedles());
    for (const secret of secrets) this.add(secret);
  }

  /** Masks one more value from now on, in every open stream too; what was already written stays as it is. */
  add(secret: Secret): void {
    const value = typeof secret.value === "string" ? encodeText(secret.value) : Uint8Array.from(secret.value);
    const id = this.#names.push(secret.name) - 1;
    const plain = this.#store.add(id, value);
    this.#placeholders.add(secret.name);
    const number = typeof secret.value === "string" && plain.length > 0 ? Number(secret.value) : Number.NaN;
    if (!Number.isNaN(number) && !this.#numbers.has(number)) this.#numbers.set(number, id);
  }

  /** A whole text: what it ends with counts as the end of a stream. */
  text(text: string): string {
    if (this.#names.length === 0) return text;
    const bytes = encodeText(text);
    if (this.#spansOf(bytes).length === 0) return text;
    const masker = new Masker(this.#restarted(), this.#onMask);
    return decodeText(Buffer.concat([...masker.write(bytes), ...masker.end()]));
  }

  /** A copy of any value with everything in it masked: strings, keys, numbers, errors, bytes. Never throws. */
  value(value: unknown): unknown {
    return redactValue(value, {
      text: (text) => this.text(text),
      bytes: (bytes) => this.bytes(bytes),
      number: (number) => this.#number(number),
      spans: (text) => this.#spansOf(encodeText(text)),
      mask: (span) => decodeText(this.#onMask(span.secret, span.form)),
    });
  }

  /**
   * Names of the secrets that bytes hold in any form, in the order in which they were added; of values that overlap, the
   * one that `text` would name. What only begins like a value at the end is none. Counts nothing.
   */
  find(bytes: Uint8Array): string[] {
    const search = this.search();
    search.read(bytes);
    return search.names();
  }

  /** As `find`, of bytes that come one after the other. */
  search(): { read(bytes: Uint8Array): void; names(): string[] } {
    const scanner = new Scanner(this.#store);
    return {
      read(bytes): void {
        for (let from = 0; from < bytes.length; from += BLOCK_MAX) {
          scanner.read(bytes.subarray(from, from + BLOCK_MAX), false);
        }
      },
      names: () => {
        scanner.read(NOTHING, true);
        const whole = scanner.spans.filter(({ start, nameEnd }) => nameEnd > start);
        const found = new Set(whole.map(({ secret }) => secret));
        return [...found].sort((a, b) => a - b).map((secret) => this.#names[secret]!);
      },
    };
  }

  bytes(bytes: Uint8Array): Uint8Array {
    if (this.#spansOf(bytes).length === 0) return bytes;
    const masker = new Masker(this.#restarted(), this.#onMask);
    return Buffer.concat([...masker.write(bytes), ...masker.end()]);
  }

  /** A stream of strings or of bytes; which one is decided by the first write unless given. */
  stream(kind?: "string"): RedactionStream;
  stream(kind: "bytes"): RedactionStream<Uint8Array>;
  stream(kind?: "string" | "bytes"): RedactionStream | RedactionStream<Uint8Array> {
    const masker = new Masker(new Scanner(this.#store), this.#onMask);
    if (kind === "bytes") return new RedactionStream<Uint8Array>(masker, kind);
    const strings: RedactionStream = new RedactionStream(masker, kind);
    return strings;
  }

  /** A `node:stream` Transform over bytes. */
  transform(): Transform {
    return createTransform(this.stream("bytes"), this.#idleMs);
  }

  /** A web TransformStream over bytes. */
  webTransform(): TransformStream<Uint8Array, Uint8Array> {
    return createWebTransform(this.stream("bytes"), this.#idleMs);
  }

  /** A destination for pino and other loggers that write lines; masks each and hands it on to `target`. */
  logDestination(target: LogDestination): RedactingDestination {
    return createDestination(target, { text: (line) => this.text(line), value: (value) => this.value(value) });
  }

  /** How often each secret was masked, and in which forms. */
  report(): SecretReport[] {
    return this.#counter.report();
  }

  /** Most bytes a stream ever holds back. */
  get holdMax(): number {
    const layers = this.#store.decodes ? DECODED_FACTOR : 1;
    return this.#store.holdMax * layers + RUN_BYTES + CHARACTER_BYTES;
  }

  readonly #onMask = (secret: number, form: string): Uint8Array => {
    this.#counter.count(this.#names[secret]!, form);
    return this.#placeholders.of(secret);
  };

  #restarted(): Scanner {
    this.#scanner ??= new Scanner(this.#store);
    this.#scanner.restart();
    return this.#scanner;
  }

  /** All spans of a whole text, not yet merged over lanes. */
  #spansOf(bytes: Uint8Array): Span[] {
    if (this.#names.length === 0) return [];
    const scanner = this.#restarted();
    for (let from = 0; from < bytes.length; from += BLOCK_MAX) {
      scanner.read(bytes.length <= BLOCK_MAX ? bytes : bytes.subarray(from, from + BLOCK_MAX), false);
    }
    scanner.read(NOTHING, true);
    return scanner.spans;
  }

  #number(number: number | bigint): string | undefined {
    const secret = this.#numbers.get(Number(number));
    if (secret !== undefined) return decodeText(this.#onMask(secret, "number"));
    const text = String(number);
    const masked = this.text(text);
    return masked === text ? undefined : masked;
  }
}

const NOTHING = new Uint8Array(0);

export function createRedactor(secrets: Iterable<Secret>, options?: RedactorOptions): Redactor {
  return new Redactor(secrets, options);
}
