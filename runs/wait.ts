/**
 * Waiting for a run's result. The run's row says whose it is and how it ended; the queue says only when to look there: a
 * job may carry any id and any project. So a project is told of its own runs alone, and of another's as of none.
 */
import { StepvaultError } from "../protocol/error.ts";
import { idSchema } from "../protocol/ids.ts";
import type { RunResult } from "../protocol/job.ts";
import type { RunQueue } from "./queue.ts";
import type { Run, RunStore } from "./store.ts";

interface AwaitedRun {
  readonly projectId: string;
  readonly runId: string;
  readonly timeoutMs: number;
}

/** Throws ERR_RUN_UNKNOWN, at once; rejects when the job fails or time is up. */
export async function waitForRun(store: RunStore, queue: RunQueue, awaited: AwaitedRun): Promise<RunResult> {
  const { id, result } = await findRun(store, awaited);
  if (result !== null) return result;
  await queue.waitForResult(id, awaited.timeoutMs);
  const { result: later } = await findRun(store, awaited);
  if (later !== null) return later;
  throw new StepvaultError("ERR_INTERNAL", "Cannot give the run's result: its job has ended and the run has not");
}

async function findRun(store: RunStore, { projectId, runId }: AwaitedRun): Promise<Run> {
  // What is no id may be anything, also a value: PostgreSQL's error would quote it.
  const ids = [projectId, runId].every((id) => idSchema.safeParse(id).success);
  const run = ids ? await store.get(projectId, runId) : undefined;
  if (run !== undefined) return run;
  throw new StepvaultError("ERR_RUN_UNKNOWN", "Cannot give the run's result: the project has no run with this id");
}
