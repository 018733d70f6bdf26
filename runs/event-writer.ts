/**
 * Writes one run's events to the store: numbers them, joins printed text that arrives close together, and writes in
 * batches after a short delay, so that a step that prints much costs few statements and a viewer still sees it at once.
 */
import { StepvaultError } from "../protocol/error.ts";
import type { RunEventBody } from "../protocol/job.ts";
import type { Redacted } from "../protocol/redacted.ts";
import { retryDatabase } from "./retry.ts";
import type { ClaimedRun, HeldRun, RunStore, StoredEvent } from "./store.ts";

const delayMs = 5;
/** That a step has begun tells little: of a short run it is written with the rest, which saves a third of its statements. */
const startedDelayMs = 50;
const batchBytesMax = 256 * 1024;
const joinedBytesMax = 64 * 1024;

export class EventWriter {
  #store: RunStore;
  #run: HeldRun;
  #nextSeq: number;
  #onWritten: (runId: string) => void;
  #pending: StoredEvent[] = [];
  #pendingBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  /** When the timer is to go off, by the clock of `performance`. */
  #dueAt = 0;
  #writing: Promise<void> = Promise.resolve();
  /** The number of the last event that was ever sent. Up to it events may be stored, also where no answer came. */
  #sentSeq = -1;

  /** Of all events that this writer took, for the run's size. */
  bytes = 0;

  /** `onWritten` is called once there are events that viewers can read. */
  constructor(store: RunStore, run: ClaimedRun, onWritten: (runId: string) => void = () => {}) {
    this.#store = store;
    this.#run = run;
    this.#nextSeq = run.nextSeq;
    this.#onWritten = onWritten;
  }

  /**
   * Takes an event. Resolves at once, or, when much is waiting, once it has been written; rejects when that failed, with
   * ERR_WORKER_LOST when the run is not this worker's any more.
   */
  async write(body: Redacted<RunEventBody>): Promise<void> {
    if (!this.#join(body)) this.#pending.push(this.number(body));
    const bytes = sizeOf(body);
    this.#pendingBytes += bytes;
    this.bytes += bytes;
    if (this.#pendingBytes >= batchBytesMax) await this.flush();
    else this.#flushWithin(body.kind === "started" ? startedDelayMs : delayMs);
  }

  #flushWithin(ms: number): void {
    const dueAt = performance.now() + ms;
    if (this.#timer !== undefined && this.#dueAt <= dueAt) return;
    clearTimeout(this.#timer);
    this.#dueAt = dueAt;
    this.#timer = setTimeout(() => void this.flush().catch(() => {}), ms);
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
    this.#sentSeq = batch.at(-1)!.seq;
    let held;
    try {
      held = await retryDatabase(async () => await this.#store.appendEvents(this.#run, batch));
    } catch (error) {
      this.#pending.unshift(...batch);
      throw error;
    }
    if (!held) throw lost();
    this.#onWritten(this.#run.id);
  }

  /** The last events with their numbers, after those that still wait: for the statement that ends the run to write. */
  async end(bodies: readonly Redacted<RunEventBody>[]): Promise<StoredEvent[]> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // What failed waits again.
    await this.#writing;
    for (const body of bodies) this.bytes += sizeOf(body);
    return [...this.#takePending(), ...bodies.map((body) => this.number(body))];
  }

  /** An event with the next number, which is the caller's to write. */
  number(body: Redacted<RunEventBody>): StoredEvent {
    return { seq: this.#nextSeq++, time: new Date(), body };
  }

  #takePending(): StoredEvent[] {
    const batch = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    return batch;
  }

  /** Appends printed text to the event before it when that is of the same stream and was never sent. */
  #join(body: Redacted<RunEventBody>): boolean {
    const last = this.#pending.at(-1);
    if (last === undefined || (body.kind !== "stdout" && body.kind !== "stderr") || last.body.kind !== body.kind)
      return false;
    if (last.seq <= this.#sentSeq || last.body.text.length + body.text.length > joinedBytesMax) return false;
    const joined = { ...last.body, text: last.body.text + body.text };
    this.#pending[this.#pending.length - 1] = { ...last, body: joined };
    return true;
  }
}

/** About what an event takes; exact where it may be large. */
function sizeOf(body: RunEventBody): number {
  switch (body.kind) {
    case "stdout":
    case "stderr":
      return body.text.length + 100;
    case "log":
      return body.message.length + (body.fields === undefined ? 0 : JSON.stringify(body.fields).length) + 200;
    case "output":
      return JSON.stringify(body.output).length + 100;
    default:
      return 300;
  }
}

function lost(): StepvaultError {
  return new StepvaultError("ERR_WORKER_LOST", "Cannot write the run's events: another worker has taken the run over");
}
