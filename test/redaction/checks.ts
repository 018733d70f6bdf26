/**
 * What must hold for any secrets, text and cuts. A subject is one redactor, built once and tried with many texts, as
 * building takes longer than a text does. Each check gives the first rule broken, or undefined.
 */
import { NeedleStore } from "../../redaction/needles.ts";
import { createRedactor, type Redactor, type RedactorOptions } from "../../redaction/redactor.ts";
import { decodeText, encodeText } from "../../redaction/wtf8.ts";
import { cutAt } from "./cuts.ts";
import { naiveRedact } from "./oracle.ts";

const MASK = /\[REDACTED(?::s0)?\]|<redacted>|\(\*{3}\)|\{\.{3}\}|#{5}|\u2588{4}/;
const EVERY_MASK = new RegExp(MASK, "g");
/** A plainer placeholder, or one of the text's own with a value in it: those may be read in another way again. */
const NOT_ONCE = /<redacted>|\(\*{3}\)|\{\.{3}\}|#{5}|\u2588{4}|\[REDACTED[^\]]*\[/;
/** Stands for any mask; no text of the generators holds it. */
const SHADE = "\u2591";
const BYTEWISE_LENGTH_MAX = 400;

export class Subject {
  readonly redactor: Redactor;

  constructor(secrets: readonly string[], options: RedactorOptions = {}) {
    // All of one name, as which of them a mask is named for is not the rules' business.
    this.redactor = createRedactor(
      secrets.map((value) => ({ name: "s0", value })),
      options,
    );
  }

  brokenRule(text: string, cuts: readonly number[], bytewise = true): string | undefined {
    const whole = this.redactor.text(text);
    const broken = this.#dependsOnCuts(whole, cutAt(text, cuts));
    if (broken !== undefined) return broken;
    if (bytewise && text.length <= BYTEWISE_LENGTH_MAX) {
      const single = this.#dependsOnCuts(
        whole,
        Array.from({ length: text.length }, (_, i) => text[i]!),
      );
      if (single !== undefined) return single;
    }
    if (whole === text) return undefined;
    const twice = this.redactor.text(whole);
    if (twice !== whole && !NOT_ONCE.test(whole))
      return `masked twice is not masked once: ${JSON.stringify([whole, twice])}`;
    if (!isMaskedCopy(text, whole)) return `changed bytes outside the masks: ${JSON.stringify(whole)}`;
    return undefined;
  }

  #dependsOnCuts(whole: string, pieces: readonly string[]): string | undefined {
    const { redactor } = this;
    const { holdMax } = redactor;
    const stream = redactor.stream();
    let out = "";
    for (const piece of pieces) {
      out += stream.write(piece);
      if (stream.heldBytes > holdMax) return `held ${stream.heldBytes} bytes of at most ${holdMax}`;
    }
    out += stream.end();
    return out === whole ? undefined : `depends on the cuts: ${JSON.stringify([whole, out])}`;
  }
}

/** Compares with the naive redactor, which neither decodes nor judges what stands around a short value. */
export class OracleSubject extends Subject {
  readonly #store: NeedleStore;

  constructor(secrets: readonly string[], canonical: boolean) {
    super(secrets, { canonical, decode: false, shortValues: "everywhere" });
    this.#store = new NeedleStore({ canonical, decode: false, everywhere: true, marks: true, fragmentMin: 0 });
    for (const secret of secrets) this.#store.add(0, encodeText(secret));
  }

  differs(text: string): string | undefined {
    const expected = shaded(decodeText(naiveRedact(encodeText(text), this.#store, SHADE)));
    const actual = shaded(this.redactor.text(text));
    return actual === expected ? undefined : `not what the naive redactor gives: ${JSON.stringify([actual, expected])}`;
  }
}

/** All masks alike, without what the real redactor takes away behind base64. */
function shaded(text: string): string {
  return text.replaceAll(EVERY_MASK, SHADE).replaceAll(/\u2591[+/_=-]*/g, SHADE);
}

/** Whether taking the masks out of the copy leaves parts of the text, in order. */
function isMaskedCopy(text: string, masked: string): boolean {
  let at = 0;
  for (const part of masked.split(MASK)) {
    const found = text.indexOf(part, at);
    if (found === -1) return text.split(MASK).length > 1;
    at = found + part.length;
  }
  return true;
}
