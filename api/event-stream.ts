/**
 * Sends a run's events to a viewer, as server-sent events or as a line of JSON each. Waits for a viewer that reads slowly
 * instead of collecting for it, and cuts one that does not read at all. Viewers at the same place are sent the same bytes,
 * encoded once. What a step printed stands inside JSON strings and can begin no line. Imports no database.
 */
import type { ServerResponse } from "node:http";
import type { Writable } from "node:stream";
import { StepvaultError } from "../protocol/error.ts";
import type { RunEvent } from "../protocol/job.ts";

export type StreamFormat = "sse" | "ndjson";

const heartbeatMs = 15_000;
/** A viewer whose connection takes nothing for so long is gone, or holds what others need. */
const stallMsMax = 60_000;
/** Then a viewer connects again, and shows again who it is: a revoked key sees no more than this. */
const timeMsMax = 15 * 60_000;
/** A restart cuts all viewers at once; they must not all be back in the same moment. */
const [reconnectMsMin, reconnectMsMax] = [500, 2_500];
/** Two below what PostgreSQL's int holds: there is a number after it. */
const lastEventIdMax = 2 ** 31 - 2;

/** Nothing on the way may keep, gather or change what is sent. */
const forProxies = { "cache-control": "no-store, no-transform", "x-accel-buffering": "no" };
export const streamHeaders: Readonly<Record<StreamFormat, Readonly<Record<string, string>>>> = {
  sse: { "content-type": "text/event-stream; charset=utf-8", ...forProxies },
  ndjson: { "content-type": "application/x-ndjson; charset=utf-8", ...forProxies },
};

/**
 * The number of the first event that is wanted, from the header `Last-Event-ID` or, where there is none, the parameter
 * `after`: both name the last event that was seen. The header is the newer one: a browser that connects again sends the
 * address that it began with. Throws ERR_REQUEST_INVALID.
 */
export function firstWanted(lastEventId: string | readonly string[] | undefined, after?: string): number {
  const seen = lastEventId ?? after;
  if (seen === undefined) return 0;
  if (typeof seen === "string" && /^(0|[1-9][0-9]{0,9})$/.test(seen) && Number(seen) <= lastEventIdMax) {
    return Number(seen) + 1;
  }
  const what = lastEventId === undefined ? "after" : "Last-Event-ID";
  throw new StepvaultError(
    "ERR_REQUEST_INVALID",
    `Cannot send the run's events: ${what} must be the number of an event, 0 to ${lastEventIdMax}`,
  );
}

export interface SendEventsOptions {
  readonly format: StreamFormat;
  /** Aborts when the service is about to stop. */
  readonly signal?: AbortSignal | undefined;
  readonly heartbeatMs?: number;
  readonly stallMsMax?: number;
  readonly timeMsMax?: number;
}

/**
 * `finished`: the viewer has seen the run's end. `left`: it went away, or was cut as it read nothing. `cut`: the stream was
 * ended and the viewer may go on where it stopped.
 */
export type StreamEnd = "finished" | "left" | "cut";

/**
 * Sends what `follow` gives until the run's end, and ends the stream. `follow` gets a signal that aborts as soon as the
 * viewer is gone. When reading fails the stream is destroyed, so that nobody takes it for whole, and the error is thrown.
 */
export async function sendEvents(
  stream: Writable,
  follow: (signal: AbortSignal) => AsyncIterable<readonly RunEvent[]>,
  options: SendEventsOptions,
): Promise<StreamEnd> {
  const over = new AbortController();
  const stop = (): void => over.abort();
  const sender = new Sender(stream, options, over.signal);
  const timer = setTimeout(stop, options.timeMsMax ?? timeMsMax).unref();
  stream.once("close", stop);
  options.signal?.addEventListener("abort", stop, { once: true });
  if (options.signal?.aborted === true || stream.destroyed) stop();
  try {
    let finished = false;
    await sender.begin();
    for await (const events of follow(over.signal)) {
      const sent = await sender.send(encode(events, options.format));
      finished = sent && events.at(-1)?.kind === "finished";
      if (finished || over.signal.aborted) break;
    }
    await sender.end(finished);
    if (stream.destroyed && !stream.writableFinished) return "left";
    return finished ? "finished" : "cut";
  } catch (error) {
    stream.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    sender.close();
    stream.off("close", stop);
    options.signal?.removeEventListener("abort", stop);
  }
}

/** Writes one part after another, each once the viewer has taken the one before, and a comment when it is quiet. */
class Sender {
  #stream: Writable;
  /** The same; one in memory has nothing of a connection. */
  #response: Partial<ServerResponse>;
  #sse: boolean;
  #stallMsMax: number;
  #over: AbortSignal;
  #heartbeat: NodeJS.Timeout | undefined;
  /** How long the connection may be silent but for the stream: a quiet run is for longer. */
  #silenceMsMax: number;

  constructor(stream: Writable, options: SendEventsOptions, over: AbortSignal) {
    this.#stream = stream;
    this.#sse = options.format === "sse";
    this.#stallMsMax = options.stallMsMax ?? stallMsMax;
    this.#over = over;
    this.#response = stream as Partial<ServerResponse>;
    this.#silenceMsMax = this.#response.req?.socket.timeout ?? 0;
    // A viewer that goes away may make writing fail, which without a listener would end the process; `close` follows.
    stream.on("error", ignore);
    // As a line of JSON it would be one more thing for every reader to know.
    if (this.#sse) this.#heartbeat = setInterval(() => this.#beat(), options.heartbeatMs ?? heartbeatMs).unref();
  }

  /** The first bytes, at once: the viewer sees that it is connected. */
  async begin(): Promise<void> {
    this.#response.setTimeout?.(0);
    if (this.#sse) await this.send(`retry: ${reconnectMs()}\n\n`);
    else this.#response.flushHeaders?.();
  }

  /** Resolves when the viewer can take more, or all is over; false when that was so before the part was written. */
  async send(part: string | Uint8Array): Promise<boolean> {
    if (this.#stream.destroyed || this.#over.aborted) return false;
    this.#heartbeat?.refresh();
    this.#write(part);
    await this.#until("drain", () => !this.#stream.writableNeedDrain || this.#over.aborted);
    return true;
  }

  /** Corked, as Node would else collect what is written in this turn: no viewer would get a line before all are served. */
  #write(part: string | Uint8Array): void {
    this.#stream.cork();
    this.#stream.write(part);
    this.#stream.uncork();
  }

  /** Ends the stream and resolves when all that was written is on its way. */
  async end(finished: boolean): Promise<void> {
    // Another request may be waiting on the connection.
    this.#response.setTimeout?.(this.#silenceMsMax);
    // `EventSource` connects again after every end; who hears this one closes it.
    this.#stream.end(finished && this.#sse ? "event: end\ndata: {}\n\n" : undefined);
    await this.#until("finish", () => this.#stream.writableFinished);
  }

  close(): void {
    clearInterval(this.#heartbeat);
  }

  #beat(): void {
    if (!this.#stream.writableNeedDrain && this.#stream.writable) this.#stream.write(": \n\n");
  }

  /** Waits for an event of the stream, unless there is nothing to wait for; destroys a stream that does not move. */
  async #until(event: "drain" | "finish", isSo: () => boolean): Promise<void> {
    const stream = this.#stream;
    if (stream.destroyed || isSo()) return;
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        clearTimeout(timer);
        stream.off(event, settle).off("close", settle);
        this.#over.removeEventListener("abort", settle);
        resolve();
      };
      const timer = setTimeout(() => stream.destroy(), this.#stallMsMax).unref();
      stream.once(event, settle).once("close", settle);
      if (event === "drain") this.#over.addEventListener("abort", settle, { once: true });
    });
  }
}

function ignore(): void {}

function reconnectMs(): number {
  return Math.round(reconnectMsMin + Math.random() * (reconnectMsMax - reconnectMsMin));
}

const encoded = {
  sse: new WeakMap<readonly RunEvent[], Uint8Array>(),
  ndjson: new WeakMap<readonly RunEvent[], Uint8Array>(),
};

/** Events as bytes. The same list gives the same bytes, which all viewers' connections may hold at once. */
export function encode(events: readonly RunEvent[], format: StreamFormat): Uint8Array {
  let bytes = encoded[format].get(events);
  if (bytes === undefined) {
    const lines = events.map((event) =>
      format === "sse" ? `id: ${event.seq}\ndata: ${toLine(event)}\n\n` : `${toLine(event)}\n`,
    );
    bytes = Buffer.from(lines.join(""));
    encoded[format].set(events, bytes);
  }
  return bytes;
}

/** JSON has no line breaks of its own but these three, which many readers of lines take for some. */
function toLine(event: RunEvent): string {
  return JSON.stringify(event).replaceAll(/[\u0085\u2028\u2029]/g, (char) =>
    char === "\u0085" ? String.raw`\u0085` : char === "\u2028" ? String.raw`\u2028` : String.raw`\u2029`,
  );
}
