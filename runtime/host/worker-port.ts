/**
 * The host's end of the pipe to the worker: frames in, frames out. Everything goes through here, so that stdout carries
 * nothing but frames, and so that a guest that writes faster than the worker reads is made to wait. A run has a port of
 * its own, which stamps its messages with the run's number and falls silent for good when the run is released.
 */
import type { Readable, Writable } from "node:stream";
import { encodeFrame, FrameDecoder } from "../bridge/frame.ts";
import { type HostMessage, type WorkerFrame, workerFrameSchema } from "../bridge/messages.ts";

export class WorkerPipe {
  #output: Writable;
  #drained: Promise<void> | undefined;

  constructor(input: Readable, output: Writable, onFrame: (frame: WorkerFrame) => void, onEnd: () => void) {
    this.#output = output;
    const decoder = new FrameDecoder();
    input.on("data", (chunk: Buffer) => {
      for (const frame of decoder.push(chunk)) onFrame(workerFrameSchema.parse(frame));
    });
    // The worker is gone, so nobody waits for this run any more.
    input.on("end", onEnd);
    input.on("error", onEnd);
    output.on("error", onEnd);
  }

  send(run: number, message: HostMessage): void {
    if (this.#output.write(encodeFrame({ run, message })) || this.#drained !== undefined) return;
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

/** What one session sees of the pipe. Until a run is given to the session, what it sends belongs to none. */
export class WorkerPort {
  #pipe: WorkerPipe;
  #run = 0;
  #closed = false;

  constructor(pipe: WorkerPipe) {
    this.#pipe = pipe;
  }

  get run(): number {
    return this.#run;
  }

  /** From now on this is the port of that run. */
  assign(run: number): void {
    this.#run = run;
  }

  close(): void {
    this.#closed = true;
  }

  send(message: HostMessage): void {
    if (!this.#closed) this.#pipe.send(this.#run, message);
  }

  async drained(): Promise<void> {
    await this.#pipe.drained();
  }
}
