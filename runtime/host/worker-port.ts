/**
 * The host's end of the pipe to the worker: frames in, frames out. Everything goes through here, so that stdout carries
 * nothing but frames, and so that a guest that writes faster than the worker reads is made to wait.
 */
import type { Readable, Writable } from "node:stream";
import { encodeFrame, FrameDecoder } from "../bridge/frame.ts";
import { type HostMessage, type WorkerMessage, workerMessageSchema } from "../bridge/messages.ts";

export class WorkerPort {
  #output: Writable;
  #drained: Promise<void> | undefined;

  constructor(input: Readable, output: Writable, onMessage: (message: WorkerMessage) => void, onEnd: () => void) {
    this.#output = output;
    const decoder = new FrameDecoder();
    input.on("data", (chunk: Buffer) => {
      for (const message of decoder.push(chunk)) onMessage(workerMessageSchema.parse(message));
    });
    // The worker is gone, so nobody waits for this run any more.
    input.on("end", onEnd);
    input.on("error", onEnd);
    output.on("error", onEnd);
  }

  send(message: HostMessage): void {
    if (this.#output.write(encodeFrame(message)) || this.#drained !== undefined) return;
    this.#drained = new Promise((resolve) => {
      this.#output.once("drain", () => {
        this.#drained = undefined;
        resolve();
      });
    });
  }

  /** Resolves once the pipe has room again. */
  async drained(): Promise<void> {
    await this.#drained;
  }
}
