/** One stream through the redactor: strings in, strings out, or bytes in, bytes out. */

import { Joiner } from "./join.ts";
import type { Masker } from "./masker.ts";
import { TextStreamDecoder, TextStreamEncoder } from "./wtf8.ts";

type State = "open" | "ended" | "failed";

export class RedactionStream<Rest extends string | Uint8Array = string> {
  readonly #masker: Masker;
  readonly #joiner = new Joiner();
  readonly #encoder = new TextStreamEncoder();
  readonly #decoder = new TextStreamDecoder();
  #kind: "string" | "bytes" | undefined;
  #state: State = "open";

  constructor(masker: Masker, kind?: "string" | "bytes") {
    this.#masker = masker;
    this.#kind = kind;
  }

  /** Bytes read and not yet passed on; never more than `redactor.holdMax`. */
  get heldBytes(): number {
    return this.#masker.heldBytes + (this.#encoder.waits ? 3 : 0);
  }

  /** What may be shown now. */
  write<T extends string | Uint8Array>(chunk: T): T extends string ? string : Uint8Array;
  write(chunk: string | Uint8Array): string | Uint8Array {
    this.#carry(typeof chunk === "string" ? "string" : "bytes");
    return this.#guarded(() => {
      if (typeof chunk !== "string") return this.#joiner.join(this.#masker.write(chunk));
      const out = this.#masker.write(this.#encoder.encode(chunk, false));
      return this.#decoder.decode(this.#joiner.join(out), false);
    });
  }

  /** As `write` for bytes, without a copy: in pieces, some of which are parts of the chunk itself. */
  pieces(chunk: Uint8Array): Uint8Array[] {
    this.#carry("bytes");
    return this.#guarded(() => this.#masker.write(chunk));
  }

  /** The rest; the beginning of a value that the stream ends in is masked. */
  end(): Rest {
    return this.#guarded(() => {
      const rest = this.#encoder.encode("", true);
      const out = Buffer.concat([...this.#masker.write(rest), ...this.#masker.end()]);
      this.#state = "ended";
      return (this.#kind === "bytes" ? out : this.#decoder.decode(out, true)) as Rest;
    });
  }

  /** For a stream without input for a while: what is held, if it is too short to tell anything of a value. */
  release(): Rest {
    return this.#guarded(() => {
      const out = this.#joiner.join(this.#masker.release());
      return (this.#kind === "bytes" ? out : this.#decoder.decode(out, false)) as Rest;
    });
  }

  #carry(kind: "string" | "bytes"): void {
    this.#kind ??= kind;
    if (kind !== this.#kind)
      throw new TypeError(`Cannot write ${kind} to a redaction stream: it carries ${this.#kind}`);
  }

  #guarded<T>(run: () => T): T {
    if (this.#state !== "open") throw new Error(`Cannot use a redaction stream: it has ${this.#state}`);
    try {
      return run();
    } catch (error) {
      this.#state = "failed";
      throw error;
    }
  }
}
