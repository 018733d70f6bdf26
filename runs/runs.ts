/**
 * Runs as programs, the API and commands see them: submit, look, follow, wait, cancel. Always of one project; whether the
 * caller may is asked before. Knows neither sandbox nor vault.
 */
import type { Database } from "../database/connection.ts";
import { StepvaultError } from "../protocol/error.ts";
import type { JobInput, RunEvent, RunResult } from "../protocol/job.ts";
import { getRun, listRuns, type Run, type RunFilter, type RunPage, type RunPosition } from "./find.ts";
import type { LiveFeed } from "./live-feed.ts";
import type { RunQueue } from "./queue.ts";
import type { RunEnds } from "./run-ends.ts";
import { type EventPage, RunStore } from "./store.ts";
import { type SubmittedRun, submitRun, submitRuns, type Submitter } from "./submit.ts";

interface RunsParts {
  readonly database: Database;
  readonly queue: RunQueue;
  readonly feed: LiveFeed;
  readonly ends: RunEnds;
  readonly onQueueError?: (error: unknown) => void;
}

export class Runs {
  #parts: RunsParts;
  #store: RunStore;

  constructor(parts: RunsParts) {
    this.#parts = parts;
    this.#store = new RunStore(parts.database);
  }

  /** Throws what `submitRun` of submit.ts throws. */
  async submit(job: JobInput, by?: Submitter): Promise<SubmittedRun> {
    return await submitRun(this.#parts, job, by);
  }

  /** Up to 1,000 runs of one project, all or none. Throws what `submitRun` throws. */
  async submitBatch(jobs: readonly JobInput[], by?: Submitter): Promise<SubmittedRun[]> {
    return await submitRuns(this.#parts, jobs, by);
  }

  /** Throws ERR_RUN_UNKNOWN. */
  async get(projectId: string, runId: string): Promise<Run> {
    return await getRun(this.#parts.database, projectId, runId);
  }

  /** The newest first. */
  async list(
    projectId: string,
    options: { filter?: RunFilter; from?: RunPosition | undefined; limit: number },
  ): Promise<RunPage> {
    return await listRuns(this.#parts.database, projectId, options);
  }

  /**
   * The result of a run once it has ended; undefined when it has not within that time. Throws ERR_RUN_UNKNOWN at once.
   */
  async wait(
    projectId: string,
    runId: string,
    { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal | undefined },
  ): Promise<RunResult | undefined> {
    const { id, result } = await this.get(projectId, runId);
    if (result !== null) return result;
    const late = AbortSignal.timeout(timeoutMs);
    await this.#parts.ends.wait(id, signal === undefined ? late : AbortSignal.any([signal, late]));
    return (await this.get(projectId, runId)).result ?? undefined;
  }

  /** Asks for the end of a queued or running run. False when it has ended. Throws ERR_RUN_UNKNOWN. */
  async cancel(projectId: string, runId: string): Promise<boolean> {
    const { id } = await this.get(projectId, runId);
    return await this.#store.requestCancel(projectId, id);
  }

  /** Events from number `from` on, in order, at most `limit`. Throws ERR_RUN_UNKNOWN. */
  async events(
    projectId: string,
    runId: string,
    { from, limit }: { from: number; limit: number },
  ): Promise<RunEvent[]> {
    const { id } = await this.get(projectId, runId);
    return await this.#store.listEvents(projectId, id, { from, limit });
  }

  /** The same in a page of at most `bytesMax` bytes, though of one event at least. Throws ERR_RUN_UNKNOWN. */
  async eventPage(
    projectId: string,
    runId: string,
    bounds: { from: number; limit: number; bytesMax: number },
  ): Promise<EventPage> {
    const { id } = await this.get(projectId, runId);
    return await this.#store.pageOfEvents(projectId, id, bounds);
  }

  /** Events as they come, in pages, until the run has ended. Throws ERR_RUN_UNKNOWN, and what `LiveFeed.follow` throws. */
  async *follow(
    projectId: string,
    runId: string,
    { from, signal }: { from: number; signal?: AbortSignal },
  ): AsyncGenerator<readonly RunEvent[], void> {
    const { id } = await this.get(projectId, runId);
    yield* this.#parts.feed.follow(id, { from, ...(signal === undefined ? {} : { signal }) });
  }

  /** Whether a run has ended and has no event from a number on. Throws ERR_DATABASE. */
  async isOver(runId: string, from: number): Promise<boolean> {
    return await this.#parts.feed.isOver(runId, from);
  }

  /** The output of a run that succeeded. Throws ERR_RUN_UNKNOWN, ERR_RUN_NOT_ENDED. */
  async output(projectId: string, runId: string): Promise<RunResult["output"]> {
    const { result, status } = await this.get(projectId, runId);
    if (result === null) throw new StepvaultError("ERR_RUN_NOT_ENDED", `Cannot give the run's output: it is ${status}`);
    return result.output;
  }
}
