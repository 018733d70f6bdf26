/** What must hold for any secrets, text and cuts. Gives the first rule broken, or undefined. */
import { NeedleStore } from "../../redaction/needles.ts";
import { createRedactor, type RedactorOptions } from "../../redaction/redactor.ts";
import { decodeText, encodeText } from "../../redaction/wtf8.ts";
import { cutAt } from "./cuts.ts";
import type { Case } from "./generators.ts";
import { naiveRedact } from "./oracle.ts";

const MASK = /\[REDACTED(?::s0)?\]|<redacted>|\(\*{3}\)|\{\.{3}\}|#{5}|\u2588{4}/;

export function brokenRule({ secrets, text, cuts }: Case, options: RedactorOptions = {}): string | undefined {
  const named = secrets.map((value) => ({ name: "s0", value }));
  const redactor = createRedactor(named, options);
  const whole = redactor.text(text);
  for (const pieces of [
    cutAt(text, cuts),
    text.length < 400 ? Array.from({ length: text.length }, (_, i) => text[i]!) : [],
  ]) {
    if (pieces.length === 0) continue;
    const stream = createRedactor(named, options).stream();
    let out = "";
    for (const piece of pieces) {
      out += stream.write(piece);
      if (stream.heldBytes > redactor.holdMax) return `held ${stream.heldBytes} bytes of at most ${redactor.holdMax}`;
    }
    out += stream.end();
    if (out !== whole) return `depends on the cuts: ${JSON.stringify([whole, out])}`;
  }
  // Values of one or two characters are found in the digits of anything, and next to a value that is made of escape
  // characters it is anyone's guess where an escape begins.
  const telling =
    (secrets.every((secret) => secret.length >= 4) || options.shortValues !== "everywhere") &&
    !secrets.some((secret) => /[\\%&]/.test(secret));
  if (telling && redactor.text(whole) !== whole)
    return `masked twice is not masked once: ${JSON.stringify([whole, redactor.text(whole)])}`;
  if (!isMaskedCopy(text, whole)) return `changed bytes outside the masks: ${JSON.stringify(whole)}`;
  return undefined;
}

/** Compares with the naive redactor. Without placeholders that depend on names or padding, so secrets share a name. */
export function differsFromOracle({ secrets, text }: Case, canonical: boolean): string | undefined {
  const options = { canonical, decode: false, shortValues: "everywhere" } as const;
  const redactor = createRedactor(
    secrets.map((value) => ({ name: "s0", value })),
    options,
  );
  const store = new NeedleStore({ canonical, decode: false, everywhere: true, fragmentMin: 0 });
  for (const secret of secrets) store.add(0, encodeText(secret));
  const expected = decodeText(naiveRedact(encodeText(text), store, "\u2591"));
  const actual = redactor.text(text).replaceAll(new RegExp(MASK, "g"), "\u2591");
  const same = (masked: string): string =>
    masked.replaceAll(new RegExp(MASK, "g"), "\u2591").replaceAll(/\u2591[+/_=-]*/g, "\u2591");
  return same(actual) === same(expected) ? undefined : JSON.stringify({ actual, expected });
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
