/**
 * Tells every process which runs have new events, and which have ended. Ids are collected for a moment and sent in one
 * statement of its own: a NOTIFY inside a transaction that writes events would make these commit one after another. A
 * signal that gets lost costs a viewer a second and never an event, so nothing here fails or is tried again.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Queryable } from "../database/server.ts";

export const eventsChannel = "stepvault_run_events";
export const endsChannel = "stepvault_run_ends";
type Channel = typeof eventsChannel | typeof endsChannel;

/** Between two statements. The first change after a silence is told at once. */
const pauseMs = 5;
/** PostgreSQL takes less than 8,000 bytes in one message; an id has 36 and its comma. */
const idsPerMessageMax = 200;
/** While the database does not answer: beyond this the signals are dropped, as everybody's own look finds it all. */
const idsMax = 10_000;
const closeMsMax = 1_000;

export class RunSignal {
  #database: Queryable;
  #waiting: Record<Channel, Set<string>> = { [endsChannel]: new Set(), [eventsChannel]: new Set() };
  #sending: Promise<void> | undefined;
  #closed = false;

  constructor(database: Queryable) {
    this.#database = database;
  }

  /** Says that a run has events that are committed. Never throws and never waits. */
  changed(runId: string): void {
    this.#add(eventsChannel, runId);
  }

  /** Says that a run has ended, and so has its last events. Never throws and never waits. */
  ended(runId: string): void {
    this.#add(endsChannel, runId);
    this.#add(eventsChannel, runId);
  }

  /** Sends what is left, within a second. Later changes are ignored. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.race([this.#sending, sleep(closeMsMax, undefined, { ref: false })]);
  }

  #add(channel: Channel, runId: string): void {
    if (this.#closed) return;
    const ids = this.#waiting[channel];
    if (ids.size >= idsMax) ids.clear();
    ids.add(runId);
    this.#sending ??= this.#sendAll();
  }

  async #sendAll(): Promise<void> {
    // What changes in the same moment goes with the first.
    await Promise.resolve();
    for (let messages = this.#takeMessages(); messages.length > 0; messages = this.#takeMessages()) {
      try {
        await this.#database.query(
          "select pg_notify(channel, message) from unnest($1::text[], $2::text[]) as m (channel, message)",
          [messages.map(({ channel }) => channel), messages.map(({ message }) => message)],
        );
      } catch {
        // Who waits looks for itself.
      }
      if (!this.#closed) await sleep(pauseMs);
    }
    this.#sending = undefined;
  }

  #takeMessages(): { channel: Channel; message: string }[] {
    return ([endsChannel, eventsChannel] as const).flatMap((channel) => {
      const ids = [...this.#waiting[channel]];
      this.#waiting[channel].clear();
      const count = Math.ceil(ids.length / idsPerMessageMax);
      return Array.from({ length: count }, (_, i) => {
        const message = ids.slice(i * idsPerMessageMax, (i + 1) * idsPerMessageMax).join(",");
        return { channel, message };
      });
    });
  }
}
