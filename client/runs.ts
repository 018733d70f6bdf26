/**
 * `client.runs`: runs are submitted once however often the request is sent, as their id is made here; and waiting and following
 * bear an API that is away for a while. Everything else is a call of the operation of that name.
 */
import type { Operations, Run, RunEvent, RunInput, RunResult, RunSummary, SubmittedRun } from "./api-types.ts";
import type { Caller, CallOptions, Given } from "./caller.ts";
import { StepvaultClientError } from "./errors.ts";
import { randomId } from "./ids.ts";
import { Patience, wait } from "./pauses.ts";
import { RunStream, type StreamOptions } from "./run-stream.ts";

export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
  /** How long to wait for the run's end. The run goes on when it is over. */
  readonly timeMsMax?: number | undefined;
}

export interface SubmitOptions {
  readonly signal?: AbortSignal | undefined;
}

export type RunFilter = Operations["listRuns"]["query"];

const waitTimeMsMax = 15 * 60_000;
/** Of the server. */
const waitSecondsMax = 60;
const eventsMax = 1_000;

export class Runs {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** Gives the run's id as soon as it is in the queue. Throws what a request throws. */
  async submit(job: RunInput, options: SubmitOptions = {}): Promise<SubmittedRun> {
    return await this.#submit(job, { ...options, seconds: 0 });
  }

  /** Submits a run and gives how it ended, whatever that is. Throws what `submit` and `wait` throw. */
  async submitAndWait(job: RunInput, options: WaitOptions = {}): Promise<RunResult> {
    const { signal, timeMsMax = waitTimeMsMax } = options;
    const endMs = performance.now() + timeMsMax;
    const own = { ...job, runId: job.runId ?? randomId() };
    const { runId, result } = await this.#submitPatiently(own, { signal, seconds: this.#seconds(timeMsMax) });
    return result ?? (await this.wait(runId, { signal, timeMsMax: Math.max(0, endMs - performance.now()) }));
  }

  /** Up to 1,000 runs, all or none; `after` of one may name another's `runId`. Throws what a request throws. */
  async submitBatch(
    runs: readonly RunInput[],
    options: SubmitOptions = {},
  ): Promise<{ runId: string; created: boolean }[]> {
    const answer = await this.#caller.call("submitRuns", { ...options, body: { runs } });
    return [...answer.runs];
  }

  async get(runId: string, options: CallOptions = {}): Promise<Run> {
    return await this.#caller.call("getRun", { ...options, runId });
  }

  /** The project's runs, the newest first, page after page; `limit` is the most that are wanted. */
  list(filter: RunFilter = {}, options: CallOptions = {}): AsyncGenerator<RunSummary, void> {
    return this.#caller.list("listRuns", { ...options, query: filter });
  }

  /**
   * Waits for a run's end and gives how it ended, whatever that is. Throws ERR_CLIENT_TIMEOUT when it has not ended in time,
   * and what a request throws, once the client's own `timeMsMax` has gone by without an answer.
   */
  async wait(runId: string, { signal, timeMsMax = waitTimeMsMax }: WaitOptions = {}): Promise<RunResult> {
    const endMs = performance.now() + timeMsMax;
    const patience = new Patience(this.#caller.settings.limits.timeMsMax, signal);
    for (;;) {
      const leftMs = endMs - performance.now();
      try {
        const query = { wait: this.#seconds(leftMs) };
        const { result } = await this.#caller.call("getRun", { runId, query, signal });
        if (result !== null) return result;
        patience.renew();
        await wait(Math.min(Math.max(0, leftMs), 100 + Math.random() * 400), signal);
      } catch (error) {
        await patience.bear(error);
      }
      if (performance.now() >= endMs)
        throw new StepvaultClientError(
          "ERR_CLIENT_TIMEOUT",
          `Cannot wait for the run: it has not ended within ${Math.ceil(timeMsMax)} ms`,
        );
    }
  }

  /** Asks for the end of a run; `wait` gives it. */
  async cancel(runId: string, options: CallOptions = {}): Promise<Run> {
    return await this.#caller.call("cancelRun", { ...options, runId });
  }

  /** What a run has given; null when it did not succeed. Throws StepvaultApiError with 409 while it has not ended. */
  async output(runId: string, options: CallOptions = {}): Promise<unknown> {
    return (await this.#caller.call("getRunOutput", { ...options, runId })).output;
  }

  /** The events so far, in order, page after page. */
  async *events(
    runId: string,
    { after, ...options }: CallOptions & { after?: number } = {},
  ): AsyncGenerator<RunEvent, void> {
    let seen = after;
    for (let hasMore = true; hasMore;) {
      const query = { limit: eventsMax, ...(seen === undefined ? {} : { after: String(seen) }) };
      const { data, pagination } = await this.#caller.call("listRunEvents", { ...options, runId, query });
      yield* data;
      hasMore = pagination.hasMore && data.length > 0;
      seen = data.at(-1)?.seq;
    }
  }

  /**
   * Follows a run, or submits a job and follows it: `for await (const event of client.runs.stream(job))`. Nothing is sent until
   * the stream is iterated or its result is asked for.
   */
  stream(run: string | RunInput, options: StreamOptions = {}): RunStream {
    const { signal } = options;
    const job = typeof run === "string" ? undefined : { ...run, runId: run.runId ?? randomId() };
    const runId = job?.runId ?? (run as string);
    return new RunStream(
      this.#caller,
      {
        runId,
        begin: async () => (job === undefined ? undefined : await this.#submitPatiently(job, { signal, seconds: 0 })),
        result: async () => await this.wait(runId, { signal }),
      },
      options,
    );
  }

  async #submit(job: RunInput, { signal, seconds }: SubmitOptions & { seconds: number }): Promise<SubmittedRun> {
    const runId = job.runId ?? randomId();
    const given: Given<"submitRun"> = {
      query: { wait: seconds },
      body: { ...job, runId },
      idempotencyKey: runId,
      signal,
    };
    const submitted = await this.#caller.call("submitRun", given);
    // Nobody else knows the id: if it was there before, an earlier attempt of this very request made it.
    return job.runId === undefined ? { ...submitted, created: true } : submitted;
  }

  /** Until the API is there: whoever waits for a run's end waits for its beginning too. The job has its id. */
  async #submitPatiently(job: RunInput, options: SubmitOptions & { seconds: number }): Promise<SubmittedRun> {
    const patience = new Patience(this.#caller.settings.limits.timeMsMax, options.signal);
    return await patience.until(async () => await this.#submit(job, options));
  }

  /** For how long one request may wait: shorter than an attempt, so that its answer comes in time. */
  #seconds(leftMs: number): number {
    const { attemptTimeMsMax, timeMsMax } = this.#caller.settings.limits;
    const mostMs = Math.min(attemptTimeMsMax * 0.75, timeMsMax * 0.75, Math.max(0, leftMs));
    return Math.min(waitSecondsMax, Math.floor(mostMs / 1_000));
  }
}
