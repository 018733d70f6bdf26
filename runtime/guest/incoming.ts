/**
 * The body of a response while it arrives: parts come from the host as they come from the network, and the step reads
 * them as a stream. What it has read is told to the host, which sends as much again: so a step that does not read makes
 * the server wait and not the memory grow. Runs inside the isolate.
 */
import { send } from "./bridge.ts";
import { GuestReadableStream } from "./streams.ts";

/** Told in such portions: a message for every part would cost as much as the part. */
const readBytesMin = 256 * 1024;

interface Controller {
  enqueue(chunk: Uint8Array): void;
  close(): void;
  error(reason: unknown): void;
}

export class IncomingBody {
  readonly stream: GuestReadableStream;
  /** Where the step called fetch. */
  readonly site: string[];
  #id: number;
  #parts: Uint8Array[] = [];
  #controller: Controller | undefined;
  /** Called once there is something to read, or the end. */
  #wake: (() => void) | undefined;
  #state: "open" | "ended" | "failed" = "open";
  #reason: unknown;
  #readBytes = 0;
  #onOver: () => void;

  /** `onOver` is called once, when nothing more can arrive or is wanted. */
  constructor(id: number, site: string[], onOver: () => void) {
    this.#id = id;
    this.site = site;
    this.#onOver = onOver;
    const source = {
      start: (controller: Controller) => void (this.#controller = controller),
      pull: () => this.#pull(),
      cancel: () => {
        this.#end("ended");
        this.#parts = [];
        send({ type: "abort", id });
      },
    };
    // Nothing is taken before it is asked for, so what was taken is what the step has read.
    this.stream = new GuestReadableStream(source, { highWaterMark: 0 });
  }

  add(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.#state !== "open") return;
    this.#parts.push(bytes);
    this.#wake?.();
  }

  end(): void {
    this.#end("ended");
    this.#wake?.();
  }

  #end(state: "ended" | "failed"): void {
    if (this.#state !== "open") return;
    this.#state = state;
    this.#onOver();
  }

  /** What has arrived is lost, as the fetch standard has it. */
  fail(reason: unknown): void {
    if (this.#state !== "open") return;
    this.#end("failed");
    this.#reason = reason;
    this.#parts = [];
    this.#wake?.();
    this.#controller?.error(reason);
  }

  async #pull(): Promise<void> {
    if (this.#parts.length === 0 && this.#state === "open")
      await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#wake = undefined;
    const part = this.#parts.shift();
    if (this.#state === "failed") throw this.#reason;
    if (part === undefined) {
      this.#controller?.close();
      return;
    }
    this.#readBytes += part.length;
    this.#controller?.enqueue(part);
    if (this.#readBytes < readBytesMin || this.#state !== "open") return;
    send({ type: "read", id: this.#id, bytes: this.#readBytes });
    this.#readBytes = 0;
  }
}
