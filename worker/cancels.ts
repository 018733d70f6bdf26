/**
 * Carries out requests to cancel: a run that this process has is aborted, and a queued run is ended by whichever worker
 * looks first. A look at the database twice a second and no message: it is the same on both queues, and nothing is lost
 * when a process starts late or a connection breaks.
 */
import { StepvaultError } from "../protocol/error.ts";
import type { RunResult } from "../protocol/job.ts";
import type { Redacted } from "../protocol/redacted.ts";
import { type EndingParts, endWaiting } from "./end-run.ts";
import { unstartedResult } from "./lost-runs.ts";

const intervalMs = 500;

/** The result of a run that was cancelled before it began. */
export function cancelledResult(runId: string, queueMs = 0): Redacted<RunResult> {
  const message = "Cannot start the run: it was cancelled while it waited";
  return unstartedResult(runId, new StepvaultError("ERR_RUN_CANCELLED", message), queueMs);
}

/** Starts looking; gives what stops it. */
export function watchCancels(parts: EndingParts & { readonly runsUnderWay: ReadonlyMap<string, AbortController> }): {
  stop(): void;
} {
  let busy = false;
  const look = async (): Promise<void> => {
    if (busy) return;
    busy = true;
    try {
      for (const { id, status, nextSeq } of await parts.store.listCancelRequested()) {
        parts.runsUnderWay.get(id)?.abort();
        // Should a worker have taken it meanwhile, that worker ends it.
        if (status === "queued") await endWaiting(parts, cancelledResult(id), nextSeq);
      }
    } catch (error) {
      parts.log.logger.error({ err: error }, "requests to cancel could not be read");
    } finally {
      busy = false;
    }
  };
  const timer = setInterval(() => void look(), intervalMs);
  return { stop: () => clearInterval(timer) };
}
