/**
 * A run's requests on the worker's side: a few at a time, each passed on to the host part by part as the step reads it,
 * so that neither the worker nor the host holds a whole answer. What the step asks to be signed passes here too. Each
 * call of the host gets its last message, whatever becomes of it: the host waits for that.
 */
import { type StepvaultError, toStepvaultError } from "../protocol/error.ts";
import type { Limits } from "../protocol/limits.ts";
import { type GuestRequest, type ResponseMessage, responseWindowBytes, type SignMessage } from "./bridge/messages.ts";
import type { EgressBroker } from "./egress/broker.ts";
import type { HostRun } from "./host-process.ts";

export interface RunRequestsOptions {
  readonly host: Pick<HostRun, "sendAndDrain">;
  readonly broker: EgressBroker;
  readonly limits: Limits;
  /** Called for what ends the run: a limit that was reached. */
  readonly onLimit: (error: StepvaultError) => void;
}

interface Transfer {
  readonly abort: AbortController;
  /** Bytes that may be sent before the step has read some. */
  window: number;
  /** Called when the step has read some, or the transfer is over. */
  wake: (() => void) | undefined;
}

/** What an answer is passed on as, without its end. */
type Part = Pick<ResponseMessage, "head" | "data">;

export class RunRequests {
  #options: RunRequestsOptions;
  #transfers = new Map<number, Transfer>();
  /** Transfers that wait for their turn. */
  #waiting: (() => void)[] = [];
  #underWay = 0;
  #closed = false;

  constructor(options: RunRequestsOptions) {
    this.#options = options;
  }

  /** Sends one request and passes its answer on. Never rejects. */
  async start(id: number, request: GuestRequest): Promise<void> {
    // A host that uses an id twice was taken over; its step gets what it asked for.
    if (this.#transfers.has(id)) return;
    const transfer: Transfer = { abort: new AbortController(), window: responseWindowBytes, wake: undefined };
    this.#transfers.set(id, transfer);
    const endTurn = await this.#takeTurn();
    try {
      if (!this.#closed) await this.#transfer(id, { transfer, request, endTurn });
    } catch (error) {
      const known = toStepvaultError(error);
      if (known.fault === "limit") this.#options.onLimit(known);
      else await this.#send(id, { ended: true, error: { code: known.code, message: known.message } });
    } finally {
      this.#transfers.delete(id);
      endTurn();
    }
  }

  /** Has something signed with a key. Never rejects. */
  async sign({ id, key, options }: SignMessage): Promise<void> {
    const { host, broker } = this.#options;
    try {
      await host.sendAndDrain({ type: "signed", id, answer: await broker.sign(key, options) });
    } catch (error) {
      const { code, message } = toStepvaultError(error);
      await host.sendAndDrain({ type: "signed", id, error: { code, message } });
    }
  }

  /** The step has read this much of an answer. */
  read(id: number, bytes: number): void {
    const transfer = this.#transfers.get(id);
    if (transfer === undefined) return;
    transfer.window = Math.min(responseWindowBytes, transfer.window + bytes);
    transfer.wake?.();
  }

  abort(id: number): void {
    const transfer = this.#transfers.get(id);
    transfer?.abort.abort();
    transfer?.wake?.();
  }

  /** Ends all of them. */
  close(): void {
    this.#closed = true;
    this.#options.broker.close();
    for (const id of this.#transfers.keys()) this.abort(id);
  }

  async #transfer(
    id: number,
    { transfer, request, endTurn }: { transfer: Transfer; request: GuestRequest; endTurn: () => void },
  ): Promise<void> {
    const { head, body } = await this.#options.broker.request(request, transfer.abort.signal);
    let part: Part = { head };
    const pass = async (): Promise<void> => {
      await this.#send(id, { ...part, ended: false });
      part = {};
    };
    try {
      for (let next = body.next(); ; next = body.next()) {
        // What follows at once goes along: a small answer is one message.
        const ready = await atOnce(next);
        if (ready === undefined && Object.keys(part).length > 0) await pass();
        const { value, done } = ready ?? (await next);
        if (done === true) return await this.#send(id, { ...part, ended: true });
        if (part.data !== undefined) await pass();
        part.data = Buffer.from(value.buffer, value.byteOffset, value.length).toString("base64");
        transfer.window -= value.length;
        if (transfer.window > 0) continue;
        await pass();
        // Meanwhile another request has its turn: an answer that nobody reads must not hold up all.
        endTurn();
        while (transfer.window <= 0 && !transfer.abort.signal.aborted)
          await new Promise<void>((resolve) => (transfer.wake = resolve));
      }
    } finally {
      await body.return();
    }
  }

  async #send(id: number, part: Omit<ResponseMessage, "type" | "id">): Promise<void> {
    await this.#options.host.sendAndDrain({ type: "response", id, ...part });
  }

  /** Gives what ends the turn, the first time that it is called. */
  async #takeTurn(): Promise<() => void> {
    if (this.#underWay >= this.#options.limits.requestsAtOnceMax)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#underWay += 1;
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.#underWay -= 1;
      this.#waiting.shift()?.();
    };
  }
}

/** What a promise gives within this turn of the event loop; undefined when that takes longer. */
async function atOnce<T>(promise: Promise<T>): Promise<T | undefined> {
  return await Promise.race([promise, new Promise<undefined>((resolve) => setImmediate(resolve, undefined))]);
}
