/** Redaction streams as stages of a pipe. A timer passes on what tells nothing when the input pauses. */

import { Transform } from "node:stream";
import type { RedactionStream } from "./stream.ts";

export function createTransform(stream: RedactionStream<Uint8Array>, idleMs: number): Transform {
  const idle = new IdleTimer(stream, idleMs, (bytes) => transform.push(bytes));
  const transform: Transform = new Transform({
    transform(chunk: Uint8Array, _encoding, callback): void {
      idle.stop();
      try {
        for (const piece of stream.pieces(chunk)) transform.push(piece);
      } catch (error) {
        callback(error as Error);
        return;
      }
      idle.start();
      callback();
    },
    flush(callback): void {
      idle.stop();
      try {
        callback(null, stream.end());
      } catch (error) {
        callback(error as Error);
      }
    },
    destroy(error, callback): void {
      idle.stop();
      callback(error);
    },
  });
  return transform;
}

export function createWebTransform(
  stream: RedactionStream<Uint8Array>,
  idleMs: number,
): TransformStream<Uint8Array, Uint8Array> {
  let idle: IdleTimer | undefined;
  return new TransformStream<Uint8Array, Uint8Array>({
    start(controller): void {
      idle = new IdleTimer(stream, idleMs, (bytes) => controller.enqueue(bytes));
    },
    transform(chunk, controller): void {
      idle?.stop();
      for (const piece of stream.pieces(chunk)) controller.enqueue(piece);
      idle?.start();
    },
    flush(controller): void {
      idle?.stop();
      const out = stream.end();
      if (out.length > 0) controller.enqueue(out);
    },
  });
}

class IdleTimer {
  readonly #stream: RedactionStream<Uint8Array>;
  readonly #idleMs: number;
  readonly #push: (bytes: Uint8Array) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(stream: RedactionStream<Uint8Array>, idleMs: number, push: (bytes: Uint8Array) => void) {
    this.#stream = stream;
    this.#idleMs = idleMs;
    this.#push = push;
  }

  start(): void {
    if (this.#stream.heldBytes === 0 || this.#idleMs <= 0) return;
    this.#timer = setTimeout(() => {
      const bytes = this.#stream.release();
      if (bytes.length > 0) this.#push(bytes);
    }, this.#idleMs);
    this.#timer.unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
