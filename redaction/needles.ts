/**
 * Turns secrets into needles: which form of which value is sought in which lane. Mechanism lies in automaton.ts and
 * skip.ts, the forms in forms.ts, what may be masked at all in policy.ts; here they meet.
 *
 * A needle of twelve letters and digits or more is sought in the loose view, where a mere resemblance is out of the
 * question; shorter ones only character by character. Raw lanes are split by length, as one short needle would slow
 * down the search for all.
 */

import { Automaton } from "./automaton.ts";
import { base64Cores, toBase64Url } from "./base64.ts";
import { ESCAPE_BYTES_MAX } from "./escapes.ts";
import { ampersandParts, encodedForms, plainForms, textForms, textOf, wideForms, type Form } from "./forms.ts";
import type { Needles } from "./lane.ts";
import { LineBlocks } from "./line-blocks.ts";
import { LINE_MORE_MAX } from "./line-lane.ts";
import { exposureOf } from "./policy.ts";
import { SkipSearch } from "./skip.ts";
import { canonicalSymbols, literalSymbols, symbolsLead } from "./views.ts";

export const LANES = ["rawLong", "rawShort", "dense", "loose", "strict", "spelled"] as const;
export type LaneKind = (typeof LANES)[number];

/** What a needle stands for. `token`: counts only where it stands as a value of its own. */
export type Meaning = { readonly secret: number; readonly form: string; readonly token: boolean };

export type NeedleOptions = {
  readonly canonical: boolean;
  /** Least length of a fragment that is masked, or 0. */
  readonly fragmentMin: number;
  /** Looks into encoded runs and compressed data. */
  readonly decode: boolean;
  /** Masks short and common values like all others. */
  readonly everywhere: boolean;
  /** Takes what looks like a placeholder for one: the text may have been masked before. */
  readonly marks: boolean;
};

const DENSE_MIN = 10;
const LOOSE_MIN = 12;
const SPELLED_MIN = 6;
const REVERSED_MIN = 8;
/** A canonical match may spread over this many raw bytes per symbol, and some more for one long gap. */
const SPREAD_PER_SYMBOL = 16;
const SPREAD_MORE = 64;

/** A value with the beginning of an escape near its end, and one that may lie within an escape, in hexadecimal too. */
const BEGINS_ESCAPE = /[\\%&].{0,11}$/s;
const LIES_WITHIN = /^(?:.{1,5}|[a-z0-9+#;{}]{1,11})$/is;

class NeedleSet {
  readonly meanings: Meaning[] = [];
  #automaton: Automaton | undefined;
  /** All needles. */
  readonly all: Uint8Array[] = [];
  longest = 0;

  /** Made when it is first asked for: most redactors have no needles in most lanes, and many have none at all. */
  get automaton(): Automaton {
    return (this.#automaton ??= new Automaton());
  }

  get size(): number {
    return this.all.length;
  }

  /** Most raw bytes over which a canonical match may spread before its last symbol. */
  get spreadMax(): number {
    return SPREAD_PER_SYMBOL * this.longest + SPREAD_MORE;
  }

  add(bytes: Uint8Array, meaning: Meaning): void {
    if (bytes.length === 0) return;
    const id = this.automaton.add(bytes);
    const known = this.meanings[id];
    if (known !== undefined) {
      // The same bytes for a value that is masked anywhere: the stricter meaning wins.
      if (known.token && !meaning.token) this.meanings[id] = meaning;
      return;
    }
    this.meanings[id] = meaning;
    this.all.push(bytes);
    this.longest = Math.max(this.longest, bytes.length);
  }
}

export class NeedleStore {
  readonly sets: Readonly<Record<LaneKind, NeedleSet>> = {
    rawLong: new NeedleSet(),
    rawShort: new NeedleSet(),
    dense: new NeedleSet(),
    loose: new NeedleSet(),
    strict: new NeedleSet(),
    spelled: new NeedleSet(),
  };
  /** Values of several lines, which may stand behind a prefix on each. */
  readonly blocks = new LineBlocks<Meaning>();
  /** Whether a mask may end within an escape that goes on behind it: as a value holds the beginning of one, or lies within. */
  cutsEscapes = false;
  /** Grows with every secret, so that open streams notice. */
  version = 0;
  readonly #options: NeedleOptions;
  /** What every long raw needle looks like in the loose view, and how many bytes of it lie before the first symbol. */
  readonly #rawLongSymbols: Uint8Array[] = [];
  #rawLongLead = 0;
  readonly #built = new Map<LaneKind, Needles>();
  #builtVersion = 0;

  constructor(options: NeedleOptions) {
    this.#options = options;
  }

  get decodes(): boolean {
    return this.#options.decode && this.version > 0;
  }

  /** What is sought in the raw text, encodings too. */
  *rawNeedles(): Iterable<Uint8Array> {
    yield* this.sets.rawLong.all;
    yield* this.sets.rawShort.all;
  }

  /** Most raw bytes a stream may have to hold for these needles. */
  get holdMax(): number {
    const raw = Math.max(this.sets.rawLong.longest, this.sets.rawShort.longest) - 1;
    const spreads = (["dense", "loose", "strict", "spelled"] as const).map((kind) =>
      this.sets[kind].size === 0 ? 0 : this.sets[kind].spreadMax,
    );
    const lines = this.blocks.bytesMax + this.blocks.linesMax * LINE_MORE_MAX;
    return Math.max(0, raw, lines, ...spreads) + (this.#options.canonical ? ESCAPE_BYTES_MAX : 0);
  }

  /** A lane's needles, ready to be sought. */
  needles(kind: LaneKind): Needles {
    if (this.#builtVersion !== this.version) this.#built.clear();
    this.#builtVersion = this.version;
    let built = this.#built.get(kind);
    if (built === undefined) this.#built.set(kind, (built = this.#build(kind)));
    return built;
  }

  #build(kind: LaneKind): Needles {
    const { automaton, all, longest, spreadMax } = this.sets[kind];
    automaton.link();
    // Whatever holds a long raw needle holds its symbols: one search in the loose view serves both lanes.
    const skip =
      kind === "rawLong"
        ? this.needles("loose").skip
        : new SkipSearch(kind === "loose" ? [...all, ...this.#rawLongSymbols] : all);
    return {
      automaton,
      skip,
      symbolsLead: kind === "rawLong" ? this.#rawLongLead : undefined,
      reportsAll: kind === "rawShort" || kind === "strict" || kind === "spelled",
      spreadMax,
      longest,
      cutsEscapes: this.cutsEscapes,
      marks: this.#options.marks,
    };
  }

  /** Adds all forms of a value; gives the plain ones, or none when the policy masks it nowhere. */
  add(secret: number, value: Uint8Array): Form[] {
    this.version++;
    const plain = plainForms(value).filter((form) => this.#exposure(form) !== "never");
    if (plain.length === 0 || (!this.#options.everywhere && exposureOf(textOf(value) ?? "\0".repeat(8)) === "never"))
      return [];
    for (const form of plain) this.#addValue(secret, form, this.#exposure(form) === "token");
    const text = textOf(value);
    if (text !== undefined) {
      for (const part of ampersandParts(text))
        this.#addRaw(Buffer.from(part), { secret, form: "powershell", token: false });
    }
    return plain;
  }

  #exposure(form: Form): "never" | "token" | "anywhere" {
    if (this.#options.everywhere) return "anywhere";
    const text = textOf(form.bytes);
    if (text !== undefined) return exposureOf(text);
    return form.bytes.length < 4 ? "never" : form.bytes.length < 8 ? "token" : "anywhere";
  }

  #addValue(secret: number, { name, bytes }: Form, token: boolean): void {
    const meaning = { secret, form: name, token };
    const text = textOf(bytes);
    this.#addRaw(bytes, meaning);
    const characters = Buffer.from(bytes).toString("latin1");
    if (BEGINS_ESCAPE.test(characters) || (!token && LIES_WITHIN.test(characters))) this.cutsEscapes = true;
    if (!token) this.blocks.add(bytes, { secret, form: "lines", token });
    if (text !== undefined) {
      for (const form of textForms(text)) this.#addRaw(form.bytes, { secret, form: form.name, token });
    }
    if (this.#options.canonical) this.#addCanonical(secret, bytes, text, token);
    else for (const form of encodedForms(bytes)) this.#addRaw(form.bytes, { secret, form: form.name, token });
    if (!token && this.#options.fragmentMin > 0) this.#addFragments(secret, bytes, this.#options.fragmentMin);
  }

  #addRaw(bytes: Uint8Array, meaning: Meaning): void {
    const symbols = literalSymbols("loose", bytes);
    if (meaning.token || symbols.length < LOOSE_MIN) {
      this.sets.rawShort.add(bytes, meaning);
      return;
    }
    this.sets.rawLong.add(bytes, meaning);
    this.#rawLongSymbols.push(symbols);
    this.#rawLongLead = Math.max(this.#rawLongLead, symbolsLead(bytes));
  }

  #addCanonical(secret: number, bytes: Uint8Array, text: string | undefined, token: boolean): void {
    const put = (form: string, value: Uint8Array): void => this.#addView(value, { secret, form, token });
    put("canonical", bytes);
    if (!token && bytes.includes(10)) {
      const dense = literalSymbols("dense", bytes);
      if (dense.length >= DENSE_MIN) this.sets.dense.add(dense, { secret, form: "plain", token });
    }
    if (text !== undefined) {
      if (/\P{ASCII}/u.test(text)) {
        if (isLatin1(text)) put("canonical", Buffer.from(text, "latin1"));
        for (const form of wideForms(text)) this.#addRaw(form.bytes, { secret, form: form.name, token });
        for (const folded of [text.toLowerCase(), text.toUpperCase()]) {
          if (this.#isLoose(Buffer.from(folded))) put("canonical", Buffer.from(folded));
        }
      }
      const reversed = Array.from(text).reverse().join("");
      if (reversed.length >= REVERSED_MIN) put("reversed", Buffer.from(reversed));
    }
    for (const { core, tail } of base64Cores(bytes)) {
      for (const form of [core, tail]) {
        put("base64", Buffer.from(form));
        if (/[+/]/.test(form)) put("base64url", Buffer.from(toBase64Url(form)));
      }
    }
    // What `echo` passes on ends in a line end; for a value that must stand alone this is a form of its own.
    if (token) put("base64", Buffer.from(Buffer.concat([bytes, Buffer.from("\n")]).toString("base64")));
    const hex = Buffer.from(bytes).toString("hex");
    put("hex", Buffer.from(hex));
    if (!this.#isLoose(Buffer.from(hex))) put("hex", Buffer.from(hex.toUpperCase()));
  }

  #isLoose(bytes: Uint8Array): boolean {
    return literalSymbols("loose", bytes).length >= LOOSE_MIN;
  }

  #addView(bytes: Uint8Array, meaning: Meaning): void {
    const loose = literalSymbols("loose", bytes);
    if (loose.length >= LOOSE_MIN && !meaning.token) {
      this.sets.loose.add(loose, meaning);
      if (mayEscape(bytes)) {
        const folded = canonicalSymbols("loose", bytes);
        if (folded.length >= LOOSE_MIN) this.sets.loose.add(folded, meaning);
      }
      return;
    }
    const strict = literalSymbols("strict", bytes);
    this.sets.strict.add(strict, meaning);
    if (mayEscape(bytes)) this.sets.strict.add(canonicalSymbols("strict", bytes), meaning);
    if (meaning.form === "canonical" && strict.length >= SPELLED_MIN) this.sets.spelled.add(strict, meaning);
  }

  /** Every window of the least length: their union is every longer fragment too. */
  #addFragments(secret: number, bytes: Uint8Array, length: number): void {
    const meaning = { secret, form: "fragment", token: false };
    const text = textOf(bytes);
    // Whole characters, so that no mask ends within one.
    const parts =
      text === undefined ? Array.from(bytes, (byte) => Uint8Array.of(byte)) : Array.from(text, (c) => Buffer.from(c));
    for (let i = 0; i + length <= parts.length; i++) this.#addRaw(Buffer.concat(parts.slice(i, i + length)), meaning);
    if (!this.#options.canonical || length < LOOSE_MIN) return;
    const loose = literalSymbols("loose", bytes);
    for (let i = 0; i + length <= loose.length; i++) {
      if (isAscii(loose, i, i + length)) this.sets.loose.add(loose.slice(i, i + length), meaning);
    }
  }
}

function isAscii(bytes: Uint8Array, from: number, to: number): boolean {
  return bytes.subarray(from, to).every((byte) => byte < 0x80);
}

/** Whether a value holds anything that the escape reader would fold. */
function mayEscape(bytes: Uint8Array): boolean {
  return bytes.some(
    (byte) => byte >= 0x80 || byte === 0x5c || byte === 0x25 || byte === 0x26 || byte === 0x55 || byte === 0x5b,
  );
}

function isLatin1(text: string): boolean {
  return Buffer.from(text, "latin1").toString("latin1") === text;
}
