/**
 * Keeps a worker's word that it lives, and ends the runs of workers that no longer do, so that no run stays "running"
 * for ever, whatever became of its worker, its job or the queue.
 */
import { StepvaultError } from "../protocol/error.ts";
import type { RunResult } from "../protocol/job.ts";
import type { Redacted } from "../protocol/redacted.ts";
import { EventWriter } from "../runs/event-writer.ts";
import type { RunStore } from "../runs/store.ts";
import type { ServiceLog } from "./log.ts";
import { closingEvents, RunRedaction } from "./run-redaction.ts";

const intervalMs = 5_000;

/** The result of a run whose worker died. */
export function lostResult(runId: string, queueMs = 0): Redacted<RunResult> {
  const message = "Cannot finish the run: the worker that ran it is gone, and the step may have had effects";
  return unstartedResult(runId, new StepvaultError("ERR_WORKER_LOST", message), queueMs);
}

/** The result of a run that this process has not run. */
export function unstartedResult(runId: string, error: StepvaultError, queueMs = 0): Redacted<RunResult> {
  const usage = { queueMs, wallMs: 0, cpuMs: 0, memoryPeakBytes: 0, stdoutBytes: 0, logEntries: 0, requests: 0 };
  return new RunRedaction().failure(runId, error, { usage });
}

/**
 * Starts renewing and looking; gives what stops it. Only runs that are under way in this process are renewed: one whose
 * end could not be recorded is no longer among them, and so is ended once its lease runs out.
 */
export function keepLeases(
  store: RunStore,
  {
    workerId,
    runsUnderWay,
    log: { logger },
  }: { workerId: string; runsUnderWay: ReadonlyMap<string, unknown>; log: ServiceLog },
): { stop(): void } {
  let busy = false;
  const tick = async (): Promise<void> => {
    if (busy) return;
    busy = true;
    try {
      await store.renewLeases(workerId, [...runsUnderWay.keys()]);
      for (const { id, nextSeq } of await store.listLost()) {
        const result = lostResult(id);
        const lastEvents = await new EventWriter(store, id, nextSeq).end(closingEvents(result));
        if (await store.finish(id, result, lastEvents))
          logger.warn({ runId: id }, "a run was ended whose worker is gone");
      }
    } catch (error) {
      logger.error({ err: error }, "leases could not be renewed");
    } finally {
      busy = false;
    }
  };
  const timer = setInterval(() => void tick(), intervalMs);
  return { stop: () => clearInterval(timer) };
}
