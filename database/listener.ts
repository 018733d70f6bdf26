/**
 * Hears the notifications of one channel on a connection of its own, which it keeps up for as long as it is open: a
 * connection that ended, or that does not answer a small question in time, is replaced, with growing pauses. What was
 * sent meanwhile is lost, so whoever listens is told of every new connection and looks for itself.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";

const questionPauseMs = 3_000;
const answerMsMax = 3_000;
const pauseMsMin = 50;
const pauseMsMax = 2_000;
const closeMsMax = 1_000;

export interface ListenHandlers {
  onMessage(payload: string): void;
  /** Each time that listening begins: messages from here on are heard. */
  onConnected(): void;
}

/** pg has it and documents it; its types lack it. */
type Unreferenced = Client & { unref(): void };

export class Listener {
  #makeClient: () => Client;
  #channel: string;
  #handlers: ListenHandlers;
  #closing = new AbortController();
  #ended: Promise<void>;

  constructor(makeClient: () => Client, channel: string, handlers: ListenHandlers) {
    this.#makeClient = makeClient;
    this.#channel = channel;
    this.#handlers = handlers;
    this.#ended = this.#keepListening();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.race([this.#ended, sleep(closeMsMax, undefined, { ref: false })]);
  }

  async #keepListening(): Promise<void> {
    const { signal } = this.#closing;
    for (let pauseMs = pauseMsMin; !signal.aborted; pauseMs = Math.min(pauseMs * 2, pauseMsMax)) {
      const began = performance.now();
      await this.#listenOnce().catch(() => {});
      // A connection that held for a while was a good one.
      if (performance.now() - began > pauseMsMax) pauseMs = pauseMsMin;
      await this.#pause(pauseMs * (0.5 + Math.random() / 2));
    }
  }

  /** Returns or throws when the connection is of no use any more. */
  async #listenOnce(): Promise<void> {
    const { signal } = this.#closing;
    const client = this.#makeClient();
    const gone = new AbortController();
    // Without a listener an error would end the process; `end` follows.
    client.on("error", () => gone.abort());
    client.once("end", () => gone.abort());
    client.on("notification", ({ channel, payload = "" }) => {
      if (channel === this.#channel && !signal.aborted) this.#handlers.onMessage(payload);
    });
    try {
      await client.connect();
      (client as Unreferenced).unref();
      await client.query(`listen ${client.escapeIdentifier(this.#channel)}`);
      if (signal.aborted) return;
      this.#handlers.onConnected();
      for (;;) {
        await this.#pause(questionPauseMs, gone.signal);
        if (gone.signal.aborted || signal.aborted) return;
        await answerInTime(client);
      }
    } finally {
      // With a question open pg cuts the line; else it says goodbye first. A dead line must not keep us here.
      void client.end().catch(() => {});
    }
  }

  async #pause(ms: number, until?: AbortSignal): Promise<void> {
    const signal = until === undefined ? this.#closing.signal : AbortSignal.any([until, this.#closing.signal]);
    await sleep(ms, undefined, { ref: false, signal }).catch(() => {});
  }
}

async function answerInTime(client: Client): Promise<void> {
  const late = new AbortController();
  const answer = client.query("select 1").finally(() => late.abort());
  const timeout = sleep(answerMsMax, undefined, { ref: false, signal: late.signal }).then(() => {
    throw new Error("no answer");
  });
  await Promise.race([answer, timeout]);
}
