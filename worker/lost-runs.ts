/**
 * Keeps a worker's word that it lives, and ends the runs of workers that no longer do, so that no run stays "running" for
 * ever, whatever became of its worker, its job or the queue. A step that says so is run again instead of ended.
 */
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { StepvaultError } from "../protocol/error.ts";
import { createId } from "../protocol/ids.ts";
import type { RunResult } from "../protocol/job.ts";
import type { Redacted } from "../protocol/redacted.ts";
import { lookAgain } from "../runs/look-again.ts";
import type { ClaimedRun } from "../runs/store.ts";
import { beatMs, type WorkerWatch } from "../runs/workers.ts";
import { type EndingParts, retryOrEnd } from "./end-run.ts";
import { RunRedaction } from "./run-redaction.ts";

/** A beat without an answer for this long is followed by another one, on another connection. */
const answerMsMax = 2_000;

/** Who this worker is to the others: another one, once they took it for dead. */
export interface WorkerIdentity {
  id: string;
}

/** Makes an identity and begins its beats. */
export async function beginWorker(workers: WorkerWatch, worker: WorkerIdentity): Promise<void> {
  const id = `${hostname()}/${process.pid}/${createId()}`;
  // Known to the others before it holds any run: else nobody would miss it.
  await workers.begin(id);
  worker.id = id;
}

export interface LifeParts extends EndingParts {
  readonly worker: WorkerIdentity;
  /** Runs that this process has claimed and not yet ended, and what aborts each. */
  readonly runsUnderWay: ReadonlyMap<string, AbortController>;
}

/** The result of a run that this process has not run. */
export function unstartedResult(runId: string, error: StepvaultError, queueMs = 0): Redacted<RunResult> {
  const usage = { queueMs, wallMs: 0, cpuMs: 0, memoryPeakBytes: 0, stdoutBytes: 0, logEntries: 0, requests: 0 };
  return new RunRedaction().failure(runId, error, { usage });
}

/** Starts beating and looking; gives what stops it. The worker must have begun its beats. */
export function keepAlive(parts: LifeParts): { stop(): Promise<void> } {
  const again = (what: string, work: () => Promise<void>): { stop(): Promise<void> } =>
    lookAgain(work, { pauseMs: beatMs, onError: (error) => parts.log.logger.error({ err: error }, what) });
  const unclaimed = new Set<string>();
  // By themselves: a look may take minutes, and a worker that does not beat for half a minute is taken for dead.
  const beats = again("this worker could not say that it lives", async () => await beat(parts));
  const looks = again("a look at the workers' runs failed", async () => {
    for (const gone of await parts.workers.listGone(parts.worker.id)) await endRunsOf(parts, gone);
    await endForgotten(parts, unclaimed);
    await parts.workers.tidy();
  });
  return {
    async stop() {
      await looks.stop();
      await beats.stop();
    },
  };
}

async function beat(parts: LifeParts): Promise<void> {
  const late = sleep(answerMsMax, undefined, { ref: false });
  const lives = await Promise.race([parts.workers.beat(parts.worker.id), late]);
  if (lives === undefined) throw new StepvaultError("ERR_DATABASE", "Cannot say that the worker lives: no answer");
  if (!lives) await beginAnew(parts);
}

const takenForDead = "Cannot finish the run: its worker was taken for dead, and the step may have had effects";

/** Others have taken this worker for dead and end its runs: nothing that these still do may count. */
async function beginAnew({ runsUnderWay, worker, workers, log }: LifeParts): Promise<void> {
  log.logger.error({ runs: runsUnderWay.size }, "this worker was taken for dead, and begins anew");
  const abortRuns = (): void => {
    // Where nobody has taken them over yet, this is how they end.
    for (const abort of runsUnderWay.values()) abort.abort(new StepvaultError("ERR_WORKER_LOST", takenForDead));
  };
  abortRuns();
  await beginWorker(workers, worker);
  // Also those that were still claimed under the old name meanwhile.
  abortRuns();
}

async function endRunsOf(parts: LifeParts, workerId: string): Promise<void> {
  for (;;) {
    const runs = await parts.store.takeOver(workerId, parts.worker.id);
    for (const run of runs) await endLost(parts, run);
    if (runs.length === 0) return;
  }
}

/** Runs of this worker that no job here claims or runs: their end could not be recorded. They are given the time of one look. */
async function endForgotten(parts: LifeParts, unclaimed: Set<string>): Promise<void> {
  const { store, workers } = parts;
  // It may get another name meanwhile.
  const { id: workerId } = parts.worker;
  const forgotten = (await store.listHeld(workerId)).filter((id) => !workers.holds(id));
  const mine = forgotten.filter((id) => unclaimed.has(id));
  if (mine.length > 0) for (const run of await store.takeOver(workerId, workerId, mine)) await endLost(parts, run);
  unclaimed.clear();
  for (const id of forgotten) unclaimed.add(id);
}

async function endLost(parts: LifeParts, run: ClaimedRun): Promise<void> {
  const message = "Cannot finish the run: the worker that ran it is gone, and the step may have had effects";
  const result = unstartedResult(run.id, new StepvaultError("ERR_WORKER_LOST", message));
  const end = await retryOrEnd(parts, run, result);
  if (end !== undefined) parts.log.logger.warn({ runId: run.id, end }, "a run's worker is gone");
}
