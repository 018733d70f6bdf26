/**
 * Carries out requests to cancel: a run that this process has is aborted, and a queued run is ended by whichever worker
 * looks first. A look at the database twice a second and no message: it is the same on both queues, and nothing is lost
 * when a process starts late or a connection breaks.
 */
import { StepvaultError } from "../protocol/error.ts";
import type { RunResult } from "../protocol/job.ts";
import type { Redacted } from "../protocol/redacted.ts";
import { EventWriter } from "../runs/event-writer.ts";
import type { RunStore } from "../runs/store.ts";
import { unstartedResult } from "./leases.ts";
import type { ServiceLog } from "./log.ts";
import { closingEvents } from "./run-redaction.ts";

const intervalMs = 500;

/** The result of a run that was cancelled before it began. */
export function cancelledResult(runId: string, queueMs = 0): Redacted<RunResult> {
  const message = "Cannot start the run: it was cancelled while it waited";
  return unstartedResult(runId, new StepvaultError("ERR_RUN_CANCELLED", message), queueMs);
}

/** Starts looking; gives what stops it. */
export function watchCancels(
  store: RunStore,
  {
    runsUnderWay,
    log: { logger },
  }: { runsUnderWay: ReadonlyMap<string, AbortController>; log: Pick<ServiceLog, "logger"> },
): { stop(): void } {
  let busy = false;
  const look = async (): Promise<void> => {
    if (busy) return;
    busy = true;
    try {
      for (const { id, status } of await store.listCancelRequested()) {
        runsUnderWay.get(id)?.abort();
        if (status === "queued") await endQueued(store, id);
      }
    } catch (error) {
      logger.error({ err: error }, "requests to cancel could not be read");
    } finally {
      busy = false;
    }
  };
  const timer = setInterval(() => void look(), intervalMs);
  return { stop: () => clearInterval(timer) };
}

async function endQueued(store: RunStore, runId: string): Promise<void> {
  const result = cancelledResult(runId);
  const lastEvents = await new EventWriter(store, runId).end(closingEvents(result));
  // Should a worker have taken it meanwhile, that worker ends it.
  await store.finish(runId, result, lastEvents, ["queued"]);
}
