/**
 * All viewers of one run in one process. They share what is read: those that stand at the same event get the same page,
 * the same object, from one read. A viewer holds a position and at most one page; the group holds pages only while
 * several viewers may want them, within a bound for the whole feed.
 */
import type { StepvaultError } from "../protocol/error.ts";
import type { Tip } from "./event-source.ts";
import { pageBytesMax } from "./event-source.ts";
import type { PageReader, ReadPage, ReadRun } from "./page-reader.ts";
import type { Viewer } from "./viewer.ts";

const eventsMaxFirst = 64;
const eventsMaxLeast = 8;
const eventsMaxMost = 1_000;
/** Of all groups together, as JSON; parsed and encoded it is some three times that. */
const keptBytesMax = 8 * 1024 * 1024;

/** Pages that may be wanted again; the oldest go when there are too many. */
export class KeptPages {
  #pages = new Map<ReadPage, () => void>();
  #bytes = 0;

  keep(page: ReadPage, forget: () => void): void {
    this.#pages.set(page, forget);
    this.#bytes += page.bytes;
    for (const oldest of this.#pages.keys()) {
      if (this.#bytes <= keptBytesMax) break;
      this.drop(oldest);
    }
  }

  drop(page: ReadPage): void {
    const forget = this.#pages.get(page);
    if (forget === undefined) return;
    this.#pages.delete(page);
    this.#bytes -= page.bytes;
    forget();
  }
}

export class FeedGroup implements ReadRun {
  readonly runId: string;
  version = 0;
  readonly viewers = new Set<Viewer>();
  #reader: PageReader;
  #kept: KeptPages;
  #eventsMax = eventsMaxFirst;
  /** Reads under way, and pages that were read, by their first number. */
  #reads = new Map<number, Promise<ReadPage>>();
  #pages = new Map<number, ReadPage>();

  constructor(runId: string, reader: PageReader, kept: KeptPages) {
    this.runId = runId;
    this.#reader = reader;
    this.#kept = kept;
  }

  /** Events from a number on; none, when there are none yet. */
  async read(from: number): Promise<ReadPage> {
    const page = this.#pages.get(from);
    if (page !== undefined) return page;
    let read = this.#reads.get(from);
    if (read === undefined) {
      read = this.#read(from).finally(() => this.#reads.delete(from));
      this.#reads.set(from, read);
    }
    return await read;
  }

  async #read(from: number): Promise<ReadPage> {
    const page = await this.#reader.read(this, from, this.#eventsMax);
    const { length } = page.events;
    if (length === 0) return page;
    // PostgreSQL unpacks every event that it considers for a page, so as many as will fit and not many more.
    const fitting = Math.ceil((1.5 * pageBytesMax * length) / page.bytes);
    this.#eventsMax = Math.min(Math.max(fitting, eventsMaxLeast), eventsMaxMost);
    if (this.viewers.size > 1) {
      this.#pages.set(from, page);
      this.#kept.keep(page, () => this.#pages.delete(from));
    }
    return page;
  }

  /** There may be more events than were read. */
  changed(): void {
    this.version += 1;
    for (const viewer of this.viewers) viewer.wake("changed");
  }

  /** The lowest number that somebody waits for; undefined when nobody does. */
  get lowestWaiting(): number | undefined {
    let lowest: number | undefined;
    for (const { awaits } of this.viewers)
      if (awaits !== undefined && (lowest === undefined || awaits < lowest)) lowest = awaits;
    return lowest;
  }

  /** What a look at the database gave, so that nobody waits for ever; nothing, when the run is gone. */
  look(tip: Tip | undefined): void {
    if (tip?.more === true) this.changed();
    else if (tip === undefined) this.end("over");
    // Who stands before the place that was looked at may still get events.
    else if (tip.ended) this.end("over", tip.from);
  }

  /** Wakes all that wait for an event from a number on, for good. */
  end(why: "over" | StepvaultError, from = 0): void {
    for (const viewer of this.viewers) if (viewer.awaits !== undefined && viewer.awaits >= from) viewer.wake(why);
  }

  /** Has all viewers leave. */
  leave(): void {
    for (const viewer of this.viewers) viewer.leave();
  }

  /** Forgets what it holds. */
  close(): void {
    for (const page of this.#pages.values()) this.#kept.drop(page);
  }
}
