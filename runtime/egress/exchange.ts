/**
 * One request over the network and its answer, as it arrives: sends, waits for the head within its time, and gives the
 * body decompressed, chunk by chunk, counted against the run's limits. A server that goes on for ever, or that sends
 * little that becomes much, is stopped by these counts. Knows neither policies nor secrets.
 */
import { pipeline, Readable, type Transform } from "node:stream";
import { constants, createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from "node:zlib";
import type { Dispatcher, Pool } from "undici";
import { StepvaultError } from "../../protocol/error.ts";
import type { Limits } from "../../protocol/limits.ts";
import { failed, type Hop } from "./hop.ts";

/** Names of content encodings in one answer; each costs a decompressor. */
const encodingsMax = 3;

const discardedBytesMax = 64 * 1024;

export interface Exchange {
  readonly status: number;
  readonly statusText: string;
  /** In order, without those that told how the body was compressed. */
  readonly headers: [string, string][];
  /** Whether the body is as the server meant it: false for a compression that is not known here. */
  readonly decoded: boolean;
  /** Must be read or destroyed. */
  readonly body: Readable;
}

export interface ExchangeOptions {
  readonly signal: AbortSignal;
  readonly limits: Limits;
  /** For the head of the answer, and between two parts of its body; at most what the limits say. */
  readonly waitMsMax: number | undefined;
  /** Told of each part of the body as it comes over the network. */
  readonly onBytes: (bytes: number) => void;
}

/** Throws ERR_EGRESS_FAILED; the body's error is that too, or ERR_LIMIT_RESPONSE_BYTES. */
export async function exchange(pool: Pool, hop: Hop, options: ExchangeOptions): Promise<Exchange> {
  const { url } = hop;
  const { limits, waitMsMax = Number.POSITIVE_INFINITY } = options;
  const receiver = new Receiver(url, options);
  const sent: Dispatcher.DispatchOptions = {
    path: url.pathname + url.search,
    method: hop.method,
    headers: withDefaults(hop.headers).flat(),
    body: hop.body ?? null,
    bodyTimeout: shorter("idleTimeMsMax", limits.idleTimeMsMax, waitMsMax)[0],
  };
  pool.dispatch(sent, receiver);
  const { status, statusText, headers } = await receiver.head;
  const encodings = encodingsOf(headers);
  const hasBody = hop.method !== "HEAD" && status !== 204 && status !== 304 && !saysEmpty(headers);
  const known = encodings.length <= encodingsMax && encodings.every((name) => decompressors[name] !== undefined);
  if (!hasBody || !known || encodings.length === 0) {
    return { status, statusText, headers, decoded: !hasBody || known, body: receiver.body };
  }
  const decoders = encodings.map((name) => decompressors[name]!());
  // What goes wrong in one stage ends them all, with the error that the last one tells.
  const body = pipeline([receiver.body, ...decoders], () => {}) as unknown as Readable;
  const described = headers.filter(([name]) => !encodingHeaders.has(name.toLowerCase()));
  return { status, statusText, headers: described, decoded: true, body };
}

interface Head {
  readonly status: number;
  readonly statusText: string;
  readonly headers: [string, string][];
}

/** Takes what undici has to say of one request. Whatever ends it, ends it at once, also while it waits for a connection. */
class Receiver implements Dispatcher.DispatchHandler {
  readonly head: Promise<Head>;
  readonly body: Readable;
  #url: URL;
  #onBytes: (bytes: number) => void;
  #signal: AbortSignal;
  #controller: Dispatcher.DispatchController | undefined;
  #began!: (head: Head) => void;
  #failed!: (error: StepvaultError) => void;
  #timers: NodeJS.Timeout[];
  #over: StepvaultError | undefined;
  #complete = false;
  /** The time between two parts of the body, as a message has it. */
  #idle: string;
  #onAbort: () => void;

  constructor(url: URL, { limits, waitMsMax = Number.POSITIVE_INFINITY, signal, onBytes }: ExchangeOptions) {
    this.#url = url;
    this.#onBytes = onBytes;
    this.#signal = signal;
    this.#onAbort = () => this.#end(endedBy(url, signal.reason, limits));
    this.head = new Promise((resolve, reject) => {
      this.#began = resolve;
      this.#failed = reject;
    });
    // Who asks for the head is told; nobody asks twice.
    this.head.catch(() => {});
    this.body = new Readable({
      read: () => this.#controller?.resume(),
      destroy: (error, callback) => {
        if (!this.#complete) this.#end(failed(url, "it was aborted"));
        callback(error);
      },
    });
    // Who reads the body is told; there may be nobody any more.
    this.body.on("error", () => {});
    const within = (name: "connectTimeMsMax" | "headersTimeMsMax", what: string): NodeJS.Timeout => {
      const [ms, by] = shorter(name, limits[name], waitMsMax);
      return setTimeout(() => this.#end(failed(url, `it timed out: no ${what} after ${ms} ms${by}`)), ms);
    };
    const [idleMs, by] = shorter("idleTimeMsMax", limits.idleTimeMsMax, waitMsMax);
    this.#idle = `${idleMs} ms${by}`;
    this.#timers = [within("connectTimeMsMax", "connection"), within("headersTimeMsMax", "answer")];
    signal.addEventListener("abort", this.#onAbort);
    if (signal.aborted) this.#onAbort();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    clearTimeout(this.#timers[0]);
    if (this.#over !== undefined) controller.abort(this.#over);
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, _: unknown, statusText?: string): void {
    if (status < 200) return;
    for (const timer of this.#timers) clearTimeout(timer);
    const raw = (controller.rawHeaders as (Buffer | string)[] | null) ?? [];
    const texts = raw.map((part) => (typeof part === "string" ? part : part.toString("latin1")));
    const headers = texts.flatMap((name, i): [string, string][] => (i % 2 === 0 ? [[name, texts[i + 1] ?? ""]] : []));
    this.#began({ status, statusText: statusText ?? "", headers });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over !== undefined) return;
    try {
      this.#onBytes(chunk.length);
    } catch (error) {
      return this.#end(asFailure(this.#url, error));
    }
    if (!this.body.push(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    this.#settle();
    this.#complete = true;
    if (this.#over === undefined) this.body.push(null);
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error & { code?: unknown }): void {
    const idle = error.code === "UND_ERR_BODY_TIMEOUT";
    this.#end(
      idle ? failed(this.#url, `it timed out: the body did not go on for ${this.#idle}`) : asFailure(this.#url, error),
    );
  }

  #end(error: StepvaultError): void {
    this.#settle();
    if (this.#over !== undefined) return;
    this.#over = error;
    this.#failed(error);
    this.body.destroy(error);
    this.#controller?.abort(error);
  }

  #settle(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#signal.removeEventListener("abort", this.#onAbort);
  }
}

const encodingHeaders = new Set(["content-encoding", "content-length"]);

// A body of gzip or deflate that ends early is given as far as it came, as other clients do.
const lenient = { flush: constants.Z_SYNC_FLUSH, finishFlush: constants.Z_SYNC_FLUSH };
const decompressors: Readonly<Record<string, (() => Transform) | undefined>> = {
  __proto__: null as never,
  gzip: () => createGunzip(lenient),
  "x-gzip": () => createGunzip(lenient),
  deflate: () => createInflate(lenient),
  br: () => createBrotliDecompress({ flush: constants.BROTLI_OPERATION_FLUSH }),
  zstd: () => createZstdDecompress(),
};

/** Some servers name an encoding for a body that they have none of. */
function saysEmpty(headers: readonly (readonly [string, string])[]): boolean {
  return headers.some(([name, value]) => name.toLowerCase() === "content-length" && value.trim() === "0");
}

/** The encodings of a body, the outermost first. */
function encodingsOf(headers: readonly (readonly [string, string])[]): string[] {
  const values = headers.filter(([name]) => name.toLowerCase() === "content-encoding").map(([, value]) => value);
  const names = values.join(",").split(",");
  return names
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "" && name !== "identity")
    .reverse();
}

/** Reads and forgets a body, so that its connection can be used again; a large one is not worth it. */
export function discard({ body }: Exchange): void {
  let bytes = 0;
  body.on("data", (chunk: Uint8Array) => {
    bytes += chunk.length;
    if (bytes > discardedBytesMax) body.destroy();
  });
}

/** What every client sends and a step may leave out. */
function withDefaults(headers: Hop["headers"]): [string, string][] {
  const given = new Set(headers.map(([name]) => name.toLowerCase()));
  const defaults = Object.entries({
    "user-agent": "stepvault",
    accept: "*/*",
    "accept-encoding": "gzip, deflate, br, zstd",
  });
  return [
    ...headers.map(([name, value]): [string, string] => [name, value]),
    ...defaults.filter(([name]) => !given.has(name)),
  ];
}

/** The shorter of a limit and of what the request asks for, ms; with the limit's name in brackets if it is that. */
function shorter(name: string, limitMs: number, waitMsMax: number): [ms: number, by: string] {
  return limitMs <= waitMsMax ? [limitMs, ` (${name})`] : [Math.ceil(waitMsMax), ""];
}

/** The failure of a request that was aborted: by the step, or by the one timer that is a signal. */
function endedBy(url: URL, reason: unknown, { requestTimeMsMax }: Limits): StepvaultError {
  if ((reason as Error | undefined)?.name !== "TimeoutError") return asFailure(url, reason);
  return failed(url, `it timed out: not done after ${requestTimeMsMax} ms (requestTimeMsMax)`);
}

/** The kind of failure, by its code: undici's own messages may quote what was sent. */
export function asFailure(url: URL, error: unknown): StepvaultError {
  if (error instanceof StepvaultError) return error;
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown };
  if (name === "AbortError") return failed(url, "it was aborted");
  if (name === "TimeoutError") return failed(url, "it timed out");
  const known = typeof code === "string" && /^[A-Z0-9_]{1,60}$/.test(code);
  return failed(url, known ? code : "the connection or the protocol failed");
}
