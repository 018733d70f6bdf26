/**
 * Tells every process that follows runs which of them have new events. Ids are collected for a moment and sent in one
 * statement of its own: a NOTIFY inside a transaction that writes events would make these commit one after another. A
 * signal that gets lost costs a viewer a second and never an event, so nothing here fails or is tried again.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Queryable } from "../database/server.ts";

export const feedChannel = "stepvault_run_events";

/** Between two statements. The first change after a silence is told at once. */
const pauseMs = 5;
/** PostgreSQL takes less than 8,000 bytes in one message; an id has 36 and its comma. */
const idsPerMessageMax = 200;
/** While the database does not answer: beyond this the signals are dropped, as the viewers' own look finds it all. */
const idsMax = 10_000;
const closeMsMax = 1_000;

export class FeedSignal {
  #database: Queryable;
  #channel: string;
  #changed = new Set<string>();
  #sending: Promise<void> | undefined;
  #closed = false;

  constructor(database: Queryable, channel: string = feedChannel) {
    this.#database = database;
    this.#channel = channel;
  }

  /** Says that a run has events that are committed. Never throws and never waits. */
  changed(runId: string): void {
    if (this.#closed) return;
    if (this.#changed.size >= idsMax) this.#changed.clear();
    this.#changed.add(runId);
    this.#sending ??= this.#sendAll();
  }

  /** Sends what is left, within a second. Later changes are ignored. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.race([this.#sending, sleep(closeMsMax, undefined, { ref: false })]);
  }

  async #sendAll(): Promise<void> {
    // What changes in the same moment goes with the first.
    await Promise.resolve();
    while (this.#changed.size > 0) {
      const messages = toMessages([...this.#changed]);
      this.#changed.clear();
      try {
        await this.#database.query("select pg_notify($1, message) from unnest($2::text[]) as message", [
          this.#channel,
          messages,
        ]);
      } catch {
        // Viewers look for themselves.
      }
      if (!this.#closed) await sleep(pauseMs);
    }
    this.#sending = undefined;
  }
}

function toMessages(ids: readonly string[]): string[] {
  const messages: string[] = [];
  for (let i = 0; i < ids.length; i += idsPerMessageMax) messages.push(ids.slice(i, i + idsPerMessageMax).join(","));
  return messages;
}
