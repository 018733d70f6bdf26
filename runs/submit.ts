/**
 * Submitting a run: checks the job, records the run as queued and adds it to the queue under the run's id, so that
 * submitting twice with one id is submitting once.
 */
import { createId } from "../protocol/ids.ts";
import { type Job, type JobInput, parseJob } from "../protocol/job.ts";
import type { NewRun, RunStore } from "./store.ts";
import type { RunQueue } from "./queue.ts";

/** Submits a run and gives its id. Throws ERR_JOB_INVALID, ERR_LANGUAGE_UNKNOWN, ERR_LIMIT_PAYLOAD, ERR_PROJECT_UNKNOWN. */
export async function submitRun(store: RunStore, queue: RunQueue, input: JobInput): Promise<string> {
  const job = parseJob(input);
  const runId = job.runId ?? createId();
  await store.create(newRun(runId, job));
  await queue.add(runId, job);
  return runId;
}

export function newRun(id: string, { projectId, step, labels }: Job): NewRun {
  return {
    id,
    projectId,
    language: "language" in step ? step.language : null,
    stepId: "id" in step ? step.id : null,
    labels: labels ?? {},
  };
}
