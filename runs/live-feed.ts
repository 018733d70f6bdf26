/**
 * Follows runs live: each viewer gets the events of its run from a number on, each once and in order, until the run ends.
 * Everything is read from the database by position; signals only say when to look, so that a lost one delays and loses
 * nothing. One look per second at all followed runs together makes up for lost signals. Whether a viewer may see a run is
 * for the caller to check.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Database } from "../database/connection.ts";
import { StepvaultError } from "../protocol/error.ts";
import { idSchema } from "../protocol/ids.ts";
import type { RunEvent } from "../protocol/job.ts";
import { DatabaseEventSource, type EventSource } from "./event-source.ts";
import { FeedGroup, KeptPages } from "./feed-group.ts";
import { FeedListener } from "./feed-listener.ts";
import { PageReader, type ReaderTimes } from "./page-reader.ts";
import { Viewer } from "./viewer.ts";

/** The largest number that an event can have. */
export const seqMax = 2 ** 31 - 1;

const lookMs = 1_000;
const times: ReaderTimes = { statementMsMax: 10_000, awayMsMax: 60_000 };

export interface FollowOptions {
  /** The number of the first event that is wanted. */
  readonly from?: number;
  readonly signal?: AbortSignal;
}

export interface LiveFeedOptions {
  /** Instead of the database's own events. */
  readonly source?: EventSource;
  readonly lookMs?: number;
  readonly times?: ReaderTimes;
}

export class LiveFeed {
  #source: EventSource;
  #reader: PageReader;
  #listener: FeedListener;
  #kept = new KeptPages();
  #groups = new Map<string, FeedGroup>();
  #viewers = 0;
  #lookMs: number;
  #looking = false;
  #closed = false;

  constructor(database: Pick<Database, "listen" | "query">, options: LiveFeedOptions = {}) {
    this.#source = options.source ?? new DatabaseEventSource(database);
    this.#lookMs = options.lookMs ?? lookMs;
    this.#reader = new PageReader(this.#source, options.times ?? times, (error) => {
      this.#reader.fail(error);
      for (const group of this.#groups.values()) group.end(error);
    });
    this.#listener = new FeedListener(database, {
      onChanged: (runId) => this.#groups.get(runId)?.changed(),
      onConnected: () => {
        for (const group of this.#groups.values()) group.changed();
      },
    });
  }

  /**
   * The events of a run in order, as pages that viewers share and must not change. Ends after the event `finished`; without
   * it when nothing can come any more, when `signal` aborts or when the feed is closed. Throws ERR_RUN_UNKNOWN for what is
   * no run's id or no event's number, ERR_DATABASE when PostgreSQL stays away.
   */
  async *follow(runId: string, options: FollowOptions = {}): AsyncGenerator<readonly RunEvent[], void> {
    const { from = 0, signal } = options;
    const viewer = new Viewer();
    const group = this.#enter(checkPosition(runId, from), viewer);
    const leave = (): void => viewer.leave();
    signal?.addEventListener("abort", leave, { once: true });
    if (signal?.aborted === true || this.#closed) leave();
    try {
      for (let next = from; !viewer.hasLeft && next <= seqMax;) {
        const page = await viewer.until(group.read(next));
        if (page === undefined) return;
        const last = page.events.at(-1);
        if (last !== undefined) {
          yield page.events;
          if (last.kind === "finished") return;
          next = last.seq + 1;
        }
        if (page.atEnd && page.version === group.version && !(await viewer.change(next))) return;
      }
    } finally {
      signal?.removeEventListener("abort", leave);
      this.#leave(group, viewer);
    }
  }

  /** Whether a run has ended and has no event from a number on: there is nothing to follow. Throws ERR_DATABASE. */
  async isOver(runId: string, from: number): Promise<boolean> {
    const [tip] = await this.#source.tips([{ runId: checkPosition(runId, from), from }]);
    return tip === undefined || (tip.ended && !tip.more);
  }

  /** For metrics. */
  count(): { viewers: number; runs: number } {
    return { viewers: this.#viewers, runs: this.#groups.size };
  }

  /** Ends every viewer, also those to come. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const group of this.#groups.values()) group.leave();
    await this.#listener.close();
  }

  #enter(runId: string, viewer: Viewer): FeedGroup {
    let group = this.#groups.get(runId);
    if (group === undefined) {
      group = new FeedGroup(runId, this.#reader, this.#kept);
      this.#groups.set(runId, group);
    }
    group.viewers.add(viewer);
    this.#viewers += 1;
    if (!this.#closed) this.#listener.start();
    void this.#keepLooking();
    return group;
  }

  #leave(group: FeedGroup, viewer: Viewer): void {
    this.#viewers -= 1;
    group.viewers.delete(viewer);
    if (group.viewers.size > 0) return;
    group.close();
    this.#groups.delete(group.runId);
    if (this.#groups.size === 0) this.#listener.stopLater();
  }

  /** Looks at all runs that somebody waits for, once a second, while anybody follows one. */
  async #keepLooking(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    while (this.#groups.size > 0 && !this.#closed) {
      await sleep(this.#lookMs, undefined, { ref: false });
      const positions = [...this.#groups.values()].flatMap(({ runId, lowestWaiting: from }) =>
        from === undefined ? [] : [{ runId, from }],
      );
      const tips = await this.#reader.tips(positions);
      if (tips === undefined) continue;
      for (const { runId } of positions) this.#groups.get(runId)?.look(tips.get(runId));
    }
    this.#looking = false;
  }
}

/** The id as the database writes it: a statement is shared by many viewers, and one wrong value would fail it for all. */
function checkPosition(runId: string, from: number): string {
  const id = idSchema.safeParse(runId);
  if (id.success && Number.isInteger(from) && from >= 0 && from <= seqMax) return id.data;
  throw new StepvaultError("ERR_RUN_UNKNOWN", "Cannot follow the run: this is no run's id, or no event's number");
}
