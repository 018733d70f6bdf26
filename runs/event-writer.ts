/**
 * Writes one run's events to the store: numbers them, joins printed text that arrives close together, and writes in
 * batches after a short delay, so that a step that prints much costs few statements and a viewer still sees it at once.
 */
import type { RunEventBody } from "../protocol/job.ts";
import type { Redacted } from "../protocol/redacted.ts";
import { retryDatabase } from "./retry.ts";
import type { RunStore, StoredEvent } from "./store.ts";

const delayMs = 20;
const batchBytesMax = 256 * 1024;
const joinedBytesMax = 64 * 1024;

export class EventWriter {
  #store: RunStore;
  #runId: string;
  #nextSeq: number;
  #pending: StoredEvent[] = [];
  #pendingBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(store: RunStore, runId: string, nextSeq = 0) {
    this.#store = store;
    this.#runId = runId;
    this.#nextSeq = nextSeq;
  }

  /** Takes an event. Resolves at once, or, when much is waiting, once it has been written; rejects when that failed. */
  async write(body: Redacted<RunEventBody>): Promise<void> {
    if (!this.#join(body)) {
      this.#pending.push({ seq: this.#nextSeq++, time: new Date(), body });
      this.#pendingBytes += sizeOf(body);
    }
    if (this.#pendingBytes >= batchBytesMax) await this.flush();
    else this.#timer ??= setTimeout(() => void this.flush().catch(() => {}), delayMs);
  }

  /** Writes what is waiting, trying again for a while. Rejects when that failed; the events then wait for the next call. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const written = this.#writing.then(async () => await this.#writePending());
    this.#writing = written.catch(() => {});
    await written;
  }

  async #writePending(): Promise<void> {
    const batch = this.#takePending();
    if (batch.length === 0) return;
    try {
      await retryDatabase(async () => await this.#store.appendEvents(this.#runId, batch));
    } catch (error) {
      this.#pending.unshift(...batch);
      throw error;
    }
  }

  /** Writes what came before and gives the last events their numbers, for the transaction that ends the run. */
  async end(bodies: readonly Redacted<RunEventBody>[]): Promise<StoredEvent[]> {
    await this.flush();
    return bodies.map((body) => ({ seq: this.#nextSeq++, time: new Date(), body }));
  }

  #takePending(): StoredEvent[] {
    const batch = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    return batch;
  }

  /** Appends printed text to the event before it when that is of the same stream and not yet written. */
  #join(body: Redacted<RunEventBody>): boolean {
    const last = this.#pending.at(-1);
    if (last === undefined || (body.kind !== "stdout" && body.kind !== "stderr") || last.body.kind !== body.kind)
      return false;
    if (last.body.text.length + body.text.length > joinedBytesMax) return false;
    const joined = { ...last.body, text: last.body.text + body.text };
    this.#pending[this.#pending.length - 1] = { ...last, body: joined };
    this.#pendingBytes += body.text.length;
    return true;
  }
}

function sizeOf(body: RunEventBody): number {
  if (body.kind === "stdout" || body.kind === "stderr") return body.text.length + 100;
  if (body.kind === "log") return body.message.length + 200;
  return 200;
}
