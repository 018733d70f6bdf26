/**
 * What stands in the place of a value: `[REDACTED:name]`, which tells neither the value nor its length.
 *
 * A placeholder must not hold a secret, nor make one together with its neighbours. Where a secret's own text collides
 * with it, plainer ones are tried; they are checked against every needle that is sought in the raw text.
 */

const FALLBACKS = ["[REDACTED]", "<redacted>", "(***)", "{...}", "#####", "\u2588\u2588\u2588\u2588", ""];

export class Placeholders {
  readonly #plain: Buffer[] = [];
  readonly #names: string[] = [];
  readonly #chosen: (Uint8Array | undefined)[] = [];

  /** Takes note of a secret's plain forms, with which no placeholder may collide. */
  add(name: string, plain: readonly Uint8Array[]): void {
    this.#names.push(name);
    for (const bytes of plain) this.#plain.push(Buffer.from(bytes));
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
      if (!this.#plain.some((plain) => collides(plain, bytes))) return bytes;
    }
    return Buffer.alloc(0);
  }
}

/** Whether one holds the other, or an end of one is a beginning of the other. */
function collides(plain: Buffer, placeholder: Buffer): boolean {
  if (placeholder.length === 0) return false;
  if (plain.includes(placeholder) || placeholder.includes(plain)) return true;
  for (let length = 1; length < Math.min(plain.length, placeholder.length); length++) {
    if (plain.subarray(0, length).equals(placeholder.subarray(-length))) return true;
    if (plain.subarray(-length).equals(placeholder.subarray(0, length))) return true;
  }
  return false;
}
