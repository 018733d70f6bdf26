/**
 * Waiting for runs to end, however many: each worker that ends a run says so on a channel of the database, which a process
 * hears on one connection, and once a second one statement asks for all awaited runs, so that a lost message costs a second.
 * Says only that a run has ended; how is in its row.
 */
import type { Database } from "../database/connection.ts";
import type { Listener } from "../database/listener.ts";
import { endsChannel } from "./run-signal.ts";

const lookMs = 1_000;
const runsPerLook = 1_000;

export class RunEnds {
  #database: Database;
  #waits = new Map<string, Set<() => void>>();
  #listener: Listener | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Resolves when the run has ended, or the signal aborts. The caller knows that there is such a run. */
  async wait(runId: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        signal.removeEventListener("abort", done);
        this.#remove(runId, done);
        resolve();
      };
      signal.addEventListener("abort", done);
      this.#add(runId, done);
    });
  }

  async close(): Promise<void> {
    for (const runId of this.#waits.keys()) this.#tell(runId);
    clearTimeout(this.#timer);
    await this.#listener?.close();
  }

  #add(runId: string, done: () => void): void {
    const waits = this.#waits.get(runId) ?? new Set();
    waits.add(done);
    this.#waits.set(runId, waits);
    this.#listener ??= this.#database.listen(endsChannel, {
      onMessage: (payload) => {
        for (const id of payload.split(",")) this.#tell(id);
      },
      onConnected: () => void this.#look(),
    });
    // It may have ended before this wait began to listen.
    void this.#lookAt([runId]);
    this.#timer ??= setTimeout(() => void this.#lookLater(), lookMs);
  }

  #remove(runId: string, done: () => void): void {
    const waits = this.#waits.get(runId);
    waits?.delete(done);
    if (waits?.size === 0) this.#waits.delete(runId);
  }

  #tell(runId: string): void {
    for (const done of this.#waits.get(runId) ?? []) done();
  }

  async #lookLater(): Promise<void> {
    await this.#look();
    this.#timer = this.#waits.size > 0 ? setTimeout(() => void this.#lookLater(), lookMs) : undefined;
  }

  async #look(): Promise<void> {
    const runIds = [...this.#waits.keys()];
    for (let i = 0; i < runIds.length; i += runsPerLook) await this.#lookAt(runIds.slice(i, i + runsPerLook));
  }

  async #lookAt(runIds: readonly string[]): Promise<void> {
    try {
      const { rows } = await this.#database.query<{ id: string }>(
        "select id from runs where id = any($1) and ended_at is not null",
        [runIds],
      );
      for (const { id } of rows) this.#tell(id);
    } catch {
      // A database that is away for a moment ends no wait; time does.
    }
  }
}
