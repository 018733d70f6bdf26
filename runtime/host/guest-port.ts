/**
 * The host's end of the bridge to one guest: parses each message, counts it against the run's limits, keeps the timers,
 * and passes on what the worker must see. What it answers is always a JSON text and never a rejection: a promise that
 * rejects into isolated-vm, or a callback that throws, can end the whole process.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { ErrorCode } from "../../protocol/error.ts";
import type { Limits } from "../../protocol/limits.ts";
import {
  type GuestMessage,
  guestMessageSchema,
  type GuestRequest,
  type HostError,
  type ResponseMessage,
} from "../bridge/messages.ts";
import type { WorkerPort } from "./worker-port.ts";

/** Calls for whose answer the isolate's thread waits. */
type WaitingType = "sleep" | "barrier" | "random" | "url" | "blockingRequest";

/** The longest that a timer of Node's can wait. */
const timerMsMax = 2_147_483_647;

export class GuestPort {
  /** Things that can still wake the guest: timers and requests. None left and not ended means it waits for nothing. */
  outstanding = 0;
  ended = false;
  #worker: WorkerPort;
  #limits: Limits;
  #toUserText: (text: string) => string;
  #timers = new Map<number, NodeJS.Timeout>();
  #immediates = new Map<number, NodeJS.Immediate>();
  /** Requests for which the isolate's thread waits. Their ids are negative, so that they never meet the guest's own. */
  #blocked = new Map<number, (message: ResponseMessage) => void>();
  #lastBlockingId = 0;
  #deliver: (text: string) => void = () => {};
  #used = { calls: 0, printBytes: 0, printLines: 0, logEntries: 0, logBytes: 0, requests: 0 };

  /** `toUserText` puts the user's own code back into messages that quote what binding made of it. */
  constructor(worker: WorkerPort, limits: Limits, toUserText: (text: string) => string = (text) => text) {
    this.#worker = worker;
    this.#limits = limits;
    this.#toUserText = toUserText;
  }

  /** Sets how an event reaches the guest. */
  onDeliver(deliver: (text: string) => void): void {
    this.#deliver = deliver;
  }

  /** One call of the guest, as JSON text. Answers with JSON text, at once or, for a blocking call, later. */
  async call(text: string): Promise<string> {
    if (this.ended) return "{}";
    try {
      this.#used.calls += 1;
      if (this.#exceeds("ERR_LIMIT_BRIDGE_CALLS", this.#used.calls, "bridgeCallsMax", "bridge calls")) return "{}";
      const parsed = guestMessageSchema.safeParse(JSON.parse(text));
      if (!parsed.success) {
        this.fail({ code: "ERR_BRIDGE_PROTOCOL", message: "Cannot go on: the guest sent a message of no known shape" });
        return "{}";
      }
      return JSON.stringify((await this.#handle(parsed.data)) ?? {});
    } catch {
      this.fail({ code: "ERR_BRIDGE_PROTOCOL", message: "Cannot go on: a message of the guest could not be handled" });
      return "{}";
    }
  }

  /** The worker's answer to a request, on to the guest. */
  respond(message: ResponseMessage): void {
    this.outstanding -= 1;
    const blocked = this.#blocked.get(message.id);
    this.#blocked.delete(message.id);
    if (blocked === undefined) this.#send(message);
    else blocked(message);
  }

  fail(error: HostError): void {
    if (this.ended) return;
    this.#end();
    const { message, stack } = error;
    const restored = {
      ...error,
      message: this.#toUserText(message),
      ...(stack === undefined ? {} : { stack: this.#toUserText(stack) }),
    };
    this.#worker.send({ type: "failed", error: restored });
  }

  /** The answer of a call that waits for one; undefined for the others. */
  async #handle(message: GuestMessage): Promise<object | undefined> {
    switch (message.type) {
      case "sleep":
        await sleep(Math.min(Math.max(message.ms, 0), timerMsMax));
        return undefined;
      case "barrier":
        await this.#worker.drained();
        return undefined;
      case "random":
        return message.length === 0 ? { uuid: randomUUID() } : { bytes: [...randomBytes(message.length)] };
      case "url":
        return { parts: parseUrl(message) };
      case "blockingRequest":
        return await this.#requestAndWait(message.request);
      default:
        this.#take(message);
        return undefined;
    }
  }

  #take(message: Exclude<GuestMessage, { type: WaitingType }>): void {
    switch (message.type) {
      case "print":
        return this.#print(message);
      case "log":
        return this.#log(message);
      case "timer":
        return this.#startTimer(message.id, message.ms);
      case "untimer":
        return this.#stopTimer(message.id);
      case "request":
        this.#request(message.id, message.request);
        return;
      case "abort":
        return this.#worker.send(message);
      case "done":
        return this.#done(message.output);
      case "fail":
        return this.fail(message.error);
    }
  }

  #print(message: Extract<GuestMessage, { type: "print" }>): void {
    this.#used.printBytes += Buffer.byteLength(message.text);
    this.#used.printLines += countLines(message.text);
    if (this.#exceeds("ERR_LIMIT_STDOUT", this.#used.printBytes, "stdoutBytesMax", "bytes printed")) return;
    if (this.#exceeds("ERR_LIMIT_STDOUT", this.#used.printLines, "stdoutLinesMax", "lines printed")) return;
    this.#worker.send(message);
  }

  #log(message: Extract<GuestMessage, { type: "log" }>): void {
    this.#used.logEntries += 1;
    this.#used.logBytes +=
      Buffer.byteLength(message.message) + Buffer.byteLength(JSON.stringify(message.fields ?? null));
    if (this.#exceeds("ERR_LIMIT_LOG", this.#used.logEntries, "logEntriesMax", "log entries")) return;
    if (this.#exceeds("ERR_LIMIT_LOG", this.#used.logBytes, "logBytesMax", "bytes of log entries")) return;
    this.#worker.send(message);
  }

  /** False when the request goes beyond a limit, which has ended the run. */
  #request(id: number, request: GuestRequest): boolean {
    this.#used.requests += 1;
    if (this.#exceeds("ERR_LIMIT_REQUESTS", this.#used.requests, "requestsMax", "requests")) return false;
    const bytes = Math.floor(((request.body?.length ?? 0) * 3) / 4);
    if (this.#exceeds("ERR_LIMIT_REQUEST_BYTES", bytes, "requestBytesMax", "bytes in a request body")) return false;
    this.outstanding += 1;
    this.#worker.send({ type: "request", id, request });
    return true;
  }

  async #requestAndWait(request: GuestRequest): Promise<object> {
    const id = --this.#lastBlockingId;
    return await new Promise((resolve) => {
      this.#blocked.set(id, resolve);
      this.#request(id, request);
    });
  }

  #startTimer(id: number, ms: number): void {
    if (this.#exceeds("ERR_LIMIT_TIMERS", this.#timers.size + this.#immediates.size + 1, "timersMax", "pending timers"))
      return;
    this.outstanding += 1;
    const fire = (): void => {
      this.#forgetTimer(id);
      this.#send({ type: "timer", id });
    };
    if (ms > 0) this.#timers.set(id, setTimeout(fire, ms));
    else this.#immediates.set(id, setImmediate(fire));
  }

  #stopTimer(id: number): void {
    clearTimeout(this.#timers.get(id));
    clearImmediate(this.#immediates.get(id));
    this.#forgetTimer(id);
  }

  #forgetTimer(id: number): void {
    if (this.#timers.delete(id) || this.#immediates.delete(id)) this.outstanding -= 1;
  }

  #done(output: string): void {
    const bytes = Buffer.byteLength(output);
    if (this.#exceeds("ERR_LIMIT_OUTPUT", bytes, "outputBytesMax", "bytes of output")) return;
    this.#end();
    this.#worker.send({ type: "done", output });
  }

  #exceeds(code: ErrorCode, used: number, limit: keyof Limits, what: string): boolean {
    const allowed = this.#limits[limit];
    if (used <= allowed) return false;
    this.fail({ code, message: `Cannot go on: ${used} ${what}, at most ${allowed} are allowed (${limit})` });
    return true;
  }

  #send(event: object): void {
    if (!this.ended) this.#deliver(JSON.stringify(event));
  }

  #end(): void {
    this.ended = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    for (const timer of this.#immediates.values()) clearImmediate(timer);
    this.outstanding = 0;
  }
}

function countLines(text: string): number {
  let lines = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) lines += 1;
  return lines;
}

function parseUrl({ input, base, set }: Extract<GuestMessage, { type: "url" }>): Record<string, string> | undefined {
  const url = URL.parse(input, base);
  if (url === null) return undefined;
  if (set !== undefined) {
    if (set.key === "href" && URL.parse(set.value) === null) return undefined;
    url[set.key] = set.value;
  }
  const { href, origin, protocol, username, password, host, hostname, port, pathname, search, hash } = url;
  return { href, origin, protocol, username, password, host, hostname, port, pathname, search, hash };
}
