/**
 * What stands in the place of a value: `[REDACTED:name]`, which tells neither the value nor its length.
 *
 * A placeholder must not hold a secret, nor make one together with its neighbours. Where a secret's own text collides
 * with it, plainer ones are tried; they are checked against every needle that is sought in the raw text.
 */

const FALLBACKS = ["[REDACTED]", "<redacted>", "(***)", "{...}", "#####", "\u2588\u2588\u2588\u2588", ""];

export class Placeholders {
  readonly #needles: () => Iterable<Uint8Array>;
  readonly #names: string[] = [];
  readonly #chosen: (Uint8Array | undefined)[] = [];

  /** `needles` gives what is sought in the raw text, with which no placeholder may collide. */
  constructor(needles: () => Iterable<Uint8Array>) {
    this.#needles = needles;
  }

  /** Names one more secret, whose needles are known by now. */
  add(name: string): void {
    this.#names.push(name);
    this.#chosen.length = 0;
  }

  of(secret: number): Uint8Array {
    return (this.#chosen[secret] ??= this.#choose(this.#names[secret]!));
  }

  #choose(name: string): Uint8Array {
    // A bracket or a line end in a name would end the placeholder early.
    const shown = name.replaceAll(/[[\]\p{Cc}]/gu, "_").slice(0, 128);
    for (const candidate of [`[REDACTED:${shown}]`, ...FALLBACKS]) {
      const bytes = Buffer.from(candidate);
      if (!this.#collides(bytes)) return bytes;
    }
    return Buffer.alloc(0);
  }

  #collides(placeholder: Uint8Array): boolean {
    for (const needle of this.#needles()) if (collides(needle, placeholder)) return true;
    return false;
  }
}

/** Whether one holds the other, or an end of one is a beginning of the other. */
function collides(needle: Uint8Array, placeholder: Uint8Array): boolean {
  if (placeholder.length === 0) return false;
  for (let shift = 1 - needle.length; shift < placeholder.length; shift++) {
    const from = Math.max(0, shift);
    const to = Math.min(placeholder.length, shift + needle.length);
    let at = from;
    while (at < to && needle[at - shift] === placeholder[at]) at++;
    if (at === to) return true;
  }
  return false;
}
