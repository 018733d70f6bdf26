/**
 * The one connection of a process on which it hears which runs have new events: opened for the first viewer, closed a
 * while after the last. What comes over it is only ever compared with the ids of runs that are followed: whoever may
 * connect to the database can send anything.
 */
import type { Database } from "../database/connection.ts";
import type { Listener } from "../database/listener.ts";
import { eventsChannel } from "./run-signal.ts";

/** Viewers come and go; opening a connection each time would be slower than a look at the database. */
const lingerMs = 30_000;

export interface FeedListenerHandlers {
  onChanged(runId: string): void;
  /** Signals may have been missed until now. */
  onConnected(): void;
}

export class FeedListener {
  #database: Pick<Database, "listen">;
  #handlers: FeedListenerHandlers;
  #listener: Listener | undefined;
  #linger: NodeJS.Timeout | undefined;

  constructor(database: Pick<Database, "listen">, handlers: FeedListenerHandlers) {
    this.#database = database;
    this.#handlers = handlers;
  }

  /** Listens, if it does not yet. */
  start(): void {
    clearTimeout(this.#linger);
    this.#listener ??= this.#database.listen(eventsChannel, {
      onMessage: (payload) => {
        for (const runId of payload.split(",")) this.#handlers.onChanged(runId);
      },
      onConnected: () => this.#handlers.onConnected(),
    });
  }

  /** Ends listening after a while, unless it is started again by then. */
  stopLater(): void {
    clearTimeout(this.#linger);
    this.#linger = setTimeout(() => void this.close(), lingerMs).unref();
  }

  async close(): Promise<void> {
    clearTimeout(this.#linger);
    const listener = this.#listener;
    this.#listener = undefined;
    await listener?.close();
  }
}
