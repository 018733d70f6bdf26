/**
 * `client.runs`: runs are submitted once however often the request is sent, as their id is made here; and waiting and following
 * bear an API that is away for a while. Everything else is a call of the operation of that name.
 */
import type { Operations, Run, RunEvent, RunInput, RunResult, RunSummary, SubmittedRun } from "./api-types.ts";
import { type Caller, type CallOptions, type Given, jsonTypes, need } from "./caller.ts";
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
/** So that a wait of no time asks once. */
const askTimeMsMin = 100;

export class Runs {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** Gives the run's id as soon as it is in the queue. Throws what a request throws. */
  async submit(job: RunInput, { signal }: SubmitOptions = {}): Promise<SubmittedRun> {
    return await this.#submit(this.#caller, job, { signal, seconds: 0 });
  }

  /** Submits a run and gives how it ended, whatever that is. Throws what `submit` and `wait` throw. */
  async submitAndWait(job: RunInput, options: WaitOptions = {}): Promise<RunResult> {
    const { signal, timeMsMax = waitTimeMsMax } = options;
    const endMs = performance.now() + timeMsMax;
    const own = { ...job, runId: job.runId ?? randomId() };
    const { runId, result } = await this.#submitPatiently(own, { signal, endMs, waits: true });
    return result ?? (await this.wait(runId, { signal, timeMsMax: Math.max(0, endMs - performance.now()) }));
  }

  /** Up to 1,000 runs, all or none; `after` of one may name another's `runId`. Throws what a request throws. */
  async submitBatch(
    runs: readonly RunInput[],
    options: SubmitOptions = {},
  ): Promise<{ runId: string; created: boolean }[]> {
    const answer = await this.#caller.call("submitRuns", { ...options, body: { runs } });
    need("submitRuns", answer, { runs: ["array"] });
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
   * Waits for a run's end and gives how it ended, whatever that is. Throws ERR_CLIENT_TIMEOUT when nothing told of its end in
   * time, and what a request throws, once the client's own `timeMsMax` has gone by without an answer.
   */
  async wait(runId: string, { signal, timeMsMax = waitTimeMsMax }: WaitOptions = {}): Promise<RunResult> {
    const endMs = performance.now() + timeMsMax;
    const leftMs = (): number => Math.max(0, endMs - performance.now());
    const patience = new Patience(this.#caller.settings.limits.timeMsMax, { signal, endMs });
    for (;;) {
      let failure = "";
      try {
        const caller = this.#caller.within(Math.max(askTimeMsMin, leftMs()));
        const run = await caller.call("getRun", { runId, query: { wait: waitSecondsOf(caller) }, signal });
        need("getRun", run, { result: ["object", "null"] });
        if (run.result !== null) return run.result;
        patience.renew();
        await wait(Math.min(leftMs(), 100 + Math.random() * 400), signal);
      } catch (error) {
        await patience.bear(error);
        failure = `; ${(error as Error).message}`;
      }
      if (leftMs() > 0) continue;
      const why = `it has not ended within ${Math.ceil(timeMsMax)} ms${failure}`;
      throw new StepvaultClientError("ERR_CLIENT_TIMEOUT", `Cannot wait for the run: ${why}`);
    }
  }

  /** Asks for the end of a run; `wait` gives it. */
  async cancel(runId: string, options: CallOptions = {}): Promise<Run> {
    return await this.#caller.call("cancelRun", { ...options, runId });
  }

  /** What a run has given; null when it did not succeed. Throws StepvaultApiError with 409 while it has not ended. */
  async output(runId: string, options: CallOptions = {}): Promise<unknown> {
    const answer = await this.#caller.call("getRunOutput", { ...options, runId });
    need("getRunOutput", answer, { output: jsonTypes });
    return answer.output;
  }

  /** The events so far, in order, page after page. */
  async *events(
    runId: string,
    { after, ...options }: CallOptions & { after?: number } = {},
  ): AsyncGenerator<RunEvent, void> {
    let seen = after;
    for (let hasMore = true; hasMore;) {
      const query = { limit: eventsMax, ...(seen === undefined ? {} : { after: String(seen) }) };
      const page = await this.#caller.call("listRunEvents", { ...options, runId, query });
      need("listRunEvents", page, { data: ["array"], pagination: ["object"] });
      for (const event of page.data) {
        yield event;
        options.signal?.throwIfAborted();
      }
      hasMore = page.pagination.hasMore && page.data.length > 0;
      seen = page.data.at(-1)?.seq;
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
        begin: async () =>
          job === undefined ? undefined : await this.#submitPatiently(job, { signal, endMs: Infinity, waits: false }),
        result: async () => await this.wait(runId, { signal }),
      },
      options,
    );
  }

  async #submit(
    caller: Caller,
    job: RunInput,
    { signal, seconds }: SubmitOptions & { seconds: number },
  ): Promise<SubmittedRun> {
    const runId = job.runId ?? randomId();
    const given: Given<"submitRun"> = {
      query: { wait: seconds },
      body: { ...job, runId },
      idempotencyKey: runId,
      signal,
    };
    const submitted = await caller.call("submitRun", given);
    need("submitRun", submitted, { runId: ["string"] });
    // Nobody else knows the id: if it was there before, an earlier attempt of this very request made it.
    return job.runId === undefined ? { ...submitted, created: true } : submitted;
  }

  /** Until the API is there: whoever waits for a run's end waits for its beginning too. The job has its id. */
  async #submitPatiently(
    job: RunInput,
    { signal, endMs, waits }: SubmitOptions & { endMs: number; waits: boolean },
  ): Promise<SubmittedRun> {
    const patience = new Patience(this.#caller.settings.limits.timeMsMax, { signal, endMs });
    return await patience.until(async () => {
      const caller = this.#caller.within(endMs - performance.now());
      return await this.#submit(caller, job, { signal, seconds: waits ? waitSecondsOf(caller) : 0 });
    });
  }
}

/** For how long the server may wait within one request: shorter than an attempt, so that its answer comes in time. */
function waitSecondsOf({ settings: { limits } }: Caller): number {
  const mostMs = Math.min(limits.attemptTimeMsMax, limits.timeMsMax) * 0.75;
  return Math.min(waitSecondsMax, Math.floor(mostMs / 1_000));
}
