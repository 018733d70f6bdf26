/**
 * The host's end of the bridge to one guest: parses each message, counts it against the run's limits, keeps the timers,
 * and passes on what the worker must see. What it answers is always a JSON text and never a rejection: a promise that
 * rejects into isolated-vm, or a callback that throws, can end the whole process.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Limits } from "../../protocol/limits.ts";
import {
  type GuestMessage,
  guestMessageSchema,
  type GuestRequest,
  type HostError,
  type SignMessage,
} from "../bridge/messages.ts";
import { Budget } from "../bridge/budget.ts";
import { type Answer, BlockedCalls } from "./blocking.ts";
import { answerCrypto } from "./crypto.ts";
import type { WorkerPort } from "./worker-port.ts";

/** Calls for whose answer the isolate's thread waits. */
type WaitingType =
  | "sleep"
  | "barrier"
  | "random"
  | "url"
  | "crypto"
  | "blockingRequest"
  | "blockingRead"
  | "blockingSign";

/** A guest that sends what its prelude never would: the step's doing, and so the step's fault. */
const tampered: HostError = { code: "ERR_STEP_EXITED", message: "Cannot go on: the step changed the code around it" };

/** The longest that a timer of Node's can wait. */
const timerMsMax = 2_147_483_647;

export class GuestPort {
  /** Things that can still wake the guest: timers and requests. None left and not ended means it waits for nothing. */
  outstanding = 0;
  ended = false;
  #worker: WorkerPort;
  #budget: Budget;
  #toUserText: (text: string) => string;
  #timers = new Map<number, NodeJS.Timeout>();
  #immediates = new Map<number, NodeJS.Immediate>();
  #blocked = new BlockedCalls();
  #deliver: (text: string) => void = () => {};
  /** Calls that have not been answered, and who waits for there to be none. */
  #pendingCalls = 0;
  #onQuiet: (() => void) | undefined;
  #closed = new AbortController();
  #import: (id: number, name: string) => Promise<void> = async () => {};

  /** `toUserText` puts the user's own code back into messages that quote what binding made of it. */
  constructor(worker: WorkerPort, limits: Limits, toUserText: (text: string) => string = (text) => text) {
    this.#worker = worker;
    this.#budget = new Budget(limits);
    this.#toUserText = toUserText;
  }

  /** Sets how an event reaches the guest. */
  onDeliver(deliver: (text: string) => void): void {
    this.#deliver = deliver;
  }

  /** Sets how a package reaches the guest that asks for it. Must not reject. */
  onImport(load: (id: number, name: string) => Promise<void>): void {
    this.#import = load;
  }

  /** One call of the guest, as JSON text. Answers with JSON text, at once or, for a blocking call, later. */
  async call(text: string): Promise<string> {
    if (this.ended) return "{}";
    this.#pendingCalls += 1;
    try {
      return await this.#answer(text);
    } finally {
      this.#pendingCalls -= 1;
      if (this.#pendingCalls === 0) this.#onQuiet?.();
    }
  }

  /** Ends every call and timer; nothing is heard or sent any more. Resolves once no call is pending. */
  async close(): Promise<void> {
    this.#end();
    this.#closed.abort();
    this.#blocked.close();
    if (this.#pendingCalls > 0) await new Promise<void>((resolve) => (this.#onQuiet = resolve));
  }

  async #answer(text: string): Promise<string> {
    try {
      const parsed = guestMessageSchema.safeParse(JSON.parse(text));
      if (parsed.success && this.#exceeds(this.#budget.call(parsed.data))) return "{}";
      if (parsed.success) return JSON.stringify((await this.#handle(parsed.data)) ?? {});
    } catch {
      // Told below: what the guest sent was no message.
    }
    this.fail(tampered);
    return "{}";
  }

  /** The worker's answer to a request, or a part of it, on to the guest. */
  respond(message: Answer): void {
    if (message.type === "signed" || message.ended) this.outstanding -= 1;
    if (!this.#blocked.give(message)) this.#send(message);
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
        await sleep(Math.min(Math.max(message.ms, 0), timerMsMax), undefined, { signal: this.#closed.signal }).catch(
          () => {},
        );
        return undefined;
      case "barrier":
        await this.#worker.drained();
        return undefined;
      case "random":
        return message.length === 0 ? { uuid: randomUUID() } : { bytes: [...randomBytes(message.length)] };
      case "url":
        return { parts: parseUrl(message) };
      case "crypto":
        return await answerCrypto(message);
      case "blockingRequest":
        return await this.#readBlocked(this.#request(this.#blocked.open(), message.request));
      case "blockingRead":
        return await this.#readBlocked(message.id);
      case "blockingSign": {
        const { key, options } = message;
        return await this.#blocked.next(this.#sign({ type: "sign", id: this.#blocked.open(), key, options }));
      }
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
      case "import":
        this.outstanding += 1;
        void this.#import(message.id, message.name).finally(() => (this.outstanding -= 1));
        return;
      case "sign":
        this.#sign(message);
        return;
      case "abort":
        this.#blocked.drop(message.id);
        return this.#worker.send(message);
      case "read":
        return this.#worker.send(message);
      case "done":
        return this.#done(message.output);
      case "fail":
        return this.fail(message.error);
    }
  }

  #print(message: Extract<GuestMessage, { type: "print" }>): void {
    if (!this.#exceeds(this.#budget.print(message.text))) this.#worker.send(message);
  }

  #log(message: Extract<GuestMessage, { type: "log" }>): void {
    if (!this.#exceeds(this.#budget.log(message))) this.#worker.send(message);
  }

  #request(id: number, request: GuestRequest): number {
    if (this.#exceeds(this.#budget.request(request))) return id;
    this.outstanding += 1;
    this.#worker.send({ type: "request", id, request });
    return id;
  }

  #sign(message: SignMessage): number {
    if (this.#exceeds(this.#budget.sign())) return message.id;
    this.outstanding += 1;
    this.#worker.send(message);
    return message.id;
  }

  /** Who waits reads at once, so the worker may send as much again. */
  async #readBlocked(id: number): Promise<Answer> {
    const part = await this.#blocked.next(id);
    const characters = part.type === "response" ? (part.data?.length ?? 0) : 0;
    const bytes = Math.floor((characters * 3) / 4);
    if (bytes > 0 && part.type === "response" && !part.ended) this.#worker.send({ type: "read", id, bytes });
    return part;
  }

  #startTimer(id: number, ms: number): void {
    if (this.#exceeds(this.#budget.timers(this.#timers.size + this.#immediates.size + 1))) return;
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
    if (this.#exceeds(this.#budget.output(output))) return;
    this.#end();
    this.#worker.send({ type: "done", output });
  }

  #exceeds(breach: HostError | undefined): boolean {
    if (breach === undefined) return false;
    this.fail(breach);
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
