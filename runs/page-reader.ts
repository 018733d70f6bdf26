/**
 * Reads pages for the live feed, a few statements at a time, each for all that is wanted by then: under load statements
 * get larger and not more, and the feed never takes the whole pool. While the database is away it tries again and those
 * who want something wait; when that takes too long they are told. Knows nothing of viewers.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { StepvaultError } from "../protocol/error.ts";
import type { EventSource, Page, Position, Tip } from "./event-source.ts";

const statementsAtOnceMax = 2;
/** Bounds the answer of one statement, together with the bound of a page. */
const positionsPerStatementMax = 32;
const tipsPerStatementMax = 1_000;
const retryMsMin = 50;
const retryMsMax = 1_000;

/** A run as the reader sees it. */
export interface ReadRun {
  readonly runId: string;
  /** Counts the changes that were heard of. */
  readonly version: number;
}

/** `version` is the run's when the statement was sent: a later one means that there may be more by now. */
export interface ReadPage extends Page {
  readonly version: number;
}

export interface ReaderTimes {
  /** A statement that takes longer counts as failed. */
  readonly statementMsMax: number;
  /** After so long without the database those who wait are told. */
  readonly awayMsMax: number;
}

interface Want {
  readonly run: ReadRun;
  readonly from: number;
  readonly eventsMax: number;
  resolve(page: ReadPage): void;
  reject(error: unknown): void;
}

export class PageReader {
  #source: EventSource;
  #times: ReaderTimes;
  #wants: Want[] = [];
  #statements = 0;
  #retryMs = retryMsMin;
  #awaySince: number | undefined;
  #onAway: (error: StepvaultError) => void;

  /** `onAway` is called when the database has been away for too long; it is for the caller to `fail` what is wanted. */
  constructor(source: EventSource, times: ReaderTimes, onAway: (error: StepvaultError) => void) {
    this.#source = source;
    this.#times = times;
    this.#onAway = onAway;
  }

  /** The events of a run from a number on. Waits while the database is away; rejects with what `fail` is given. */
  async read(run: ReadRun, from: number, eventsMax: number): Promise<ReadPage> {
    return await new Promise((resolve, reject) => {
      this.#wants.push({ run, from, eventsMax, resolve, reject });
      // What is wanted in the same moment goes into the same statement.
      queueMicrotask(() => this.#pump());
    });
  }

  /** How runs are, by their ids; undefined when the database does not answer. */
  async tips(positions: readonly Position[]): Promise<Map<string, Tip> | undefined> {
    const tips = new Map<string, Tip>();
    try {
      for (let i = 0; i < positions.length; i += tipsPerStatementMax) {
        const chunk = positions.slice(i, i + tipsPerStatementMax);
        for (const tip of await this.#inTime(this.#source.tips(chunk))) tips.set(tip.runId, tip);
      }
      this.#answered();
      return tips;
    } catch {
      this.#missed();
      return undefined;
    }
  }

  /** Rejects what is wanted and was not asked for yet, or shall be asked for again. */
  fail(error: StepvaultError): void {
    for (const want of this.#wants.splice(0)) want.reject(error);
  }

  #pump(): void {
    while (this.#statements < statementsAtOnceMax && this.#wants.length > 0) {
      this.#statements += 1;
      void this.#send(this.#wants.splice(0, positionsPerStatementMax)).finally(() => {
        this.#statements -= 1;
        this.#pump();
      });
    }
  }

  async #send(wants: Want[]): Promise<void> {
    const positions = wants.map(({ run, from, eventsMax }) => ({ runId: run.runId, from, eventsMax }));
    const versions = wants.map(({ run }) => run.version);
    try {
      const pages = await this.#inTime(this.#source.read(positions));
      this.#answered();
      for (const [i, want] of wants.entries()) want.resolve({ ...(pages[i] as Page), version: versions[i] as number });
    } catch (error) {
      await this.#retryLater(wants, error);
    }
  }

  async #retryLater(wants: Want[], error: unknown): Promise<void> {
    const isAway = error instanceof StepvaultError && error.code === "ERR_DATABASE";
    if (!isAway) {
      for (const want of wants) want.reject(error);
      return;
    }
    this.#wants.unshift(...wants);
    this.#missed();
    await sleep(this.#retryMs, undefined, { ref: false });
    this.#retryMs = Math.min(this.#retryMs * 2, retryMsMax);
  }

  #answered(): void {
    this.#awaySince = undefined;
    this.#retryMs = retryMsMin;
  }

  #missed(): void {
    this.#awaySince ??= performance.now();
    if (performance.now() - this.#awaySince < this.#times.awayMsMax) return;
    this.#awaySince = undefined;
    this.#onAway(databaseIsAway(this.#times.awayMsMax));
  }

  /** A stopped server or a dead line answers nothing, for ever. */
  async #inTime<T>(answer: Promise<T>): Promise<T> {
    const { statementMsMax } = this.#times;
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(databaseIsAway(statementMsMax)), statementMsMax);
      const settle = (then: () => void) => {
        clearTimeout(timer);
        then();
      };
      answer.then(
        (value) => settle(() => resolve(value)),
        (error: Error) => settle(() => reject(error)),
      );
    });
  }
}

function databaseIsAway(forMs: number): StepvaultError {
  return new StepvaultError("ERR_DATABASE", `Cannot read events: PostgreSQL has not answered for ${forMs} ms`);
}
