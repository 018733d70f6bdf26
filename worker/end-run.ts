/**
 * Ends a run, or lets it wait for its next attempt, and does what follows from that: viewers are told, runs that waited for it
 * get their turn, an orchestrator's own job is woken. What follows is also found by runs/sweep.ts, should this process die.
 */
import type { Database } from "../database/connection.ts";
import { toStepvaultError } from "../protocol/error.ts";
import { type FinalStatus, parseJob, type Retry, type RunResult } from "../protocol/job.ts";
import type { Redacted } from "../protocol/redacted.ts";
import { dispatchHeld } from "../runs/dispatch.ts";
import { EventWriter } from "../runs/event-writer.ts";
import type { RunSignal } from "../runs/run-signal.ts";
import type { RunQueue } from "../runs/queue.ts";
import { retryDatabase } from "../runs/retry.ts";
import { loadStep } from "../runs/steps.ts";
import type { ClaimedRun, EndedRun, RunStore } from "../runs/store.ts";
import type { WorkerWatch } from "../runs/workers.ts";
import type { ServiceLog } from "./log.ts";
import { closingEvents, retryEvent } from "./run-redaction.ts";

export interface EndingParts {
  readonly database: Database;
  readonly store: RunStore;
  readonly queue: RunQueue;
  readonly workers: WorkerWatch;
  readonly signal: RunSignal;
  readonly log: Pick<ServiceLog, "logger">;
  /** Runs that this process ended, by their status. */
  readonly ended: Map<FinalStatus, number>;
}

/** The longest wait before another attempt. */
const backoffMsMax = 3_600_000;

/** `ended`, or after how long the run is tried again; undefined when it is not this worker's any more. */
export type RunEnd = "ended" | { readonly retryInMs: number };

/** Ends a run that this worker holds, or makes it wait for another attempt where its step says so. */
export async function retryOrEnd(
  parts: EndingParts,
  run: ClaimedRun,
  result: Redacted<RunResult>,
  writer: EventWriter = new EventWriter(parts.store, run),
): Promise<RunEnd | undefined> {
  const delayMs = await delayOfRetry(parts, run, result);
  if (delayMs === undefined) {
    const lastEvents = await writer.end(closingEvents(result));
    const from = { workerId: run.workerId };
    const ended = await retryDatabase(
      async () => await parts.store.finish(result, lastEvents, { from, eventsBytes: writer.bytes }),
    );
    if (ended === undefined) return undefined;
    followUp(parts, result, ended);
    return "ended";
  }
  const events = await writer.end([retryEvent(result, run.attempt, delayMs)]);
  const waits = { delayMs, eventsBytes: writer.bytes };
  if (!(await retryDatabase(async () => await parts.store.requeue(run, events, waits)))) return undefined;
  parts.signal.changed(run.id);
  return { retryInMs: delayMs };
}

/** Ends a run that no worker has begun. False when one has meanwhile, or when it has ended. */
export async function endWaiting(parts: EndingParts, result: Redacted<RunResult>, nextSeq: number): Promise<boolean> {
  const lastEvents = closingEvents(result).map((body, i) => ({ seq: nextSeq + i, time: new Date(), body }));
  const ended = await retryDatabase(async () => await parts.store.finish(result, lastEvents, { from: "queued" }));
  if (ended !== undefined) followUp(parts, result, ended);
  return ended !== undefined;
}

async function delayOfRetry(parts: EndingParts, run: ClaimedRun, result: RunResult): Promise<number | undefined> {
  const { error, status } = result;
  if (error === undefined || status === "cancelled" || status === "rejected") return undefined;
  const retry = await retryOf(parts, run);
  if (retry === undefined || run.attempt >= retry.attemptsMax) return undefined;
  if (retry.on === "system" && error.fault !== "system") return undefined;
  return Math.min(retry.backoffMs * 2 ** (run.attempt - 1), backoffMsMax);
}

/** What the run's step says of attempts, in the version that ran; nothing, when that cannot be read any more. */
async function retryOf({ database }: EndingParts, { job, stepVersion }: ClaimedRun): Promise<Retry | undefined> {
  try {
    const { projectId, step } = parseJob(job);
    if ("code" in step) return step.retry;
    if (stepVersion === null) return undefined;
    return (await retryDatabase(async () => await loadStep(database, projectId, { id: step.id, version: stepVersion })))
      .retry;
  } catch (error) {
    // The run is looked at again, and what a version says does not change.
    if (toStepvaultError(error).code === "ERR_DATABASE") throw error;
    return undefined;
  }
}

function followUp(parts: EndingParts, { runId, status }: RunResult, ended: EndedRun): void {
  const { database, queue, signal, log } = parts;
  parts.ended.set(status, (parts.ended.get(status) ?? 0) + 1);
  signal.ended(runId);
  const tell = (error: unknown): void =>
    log.logger.warn({ runId, err: error }, "what waits for a run was not told of its end; the next look finds it");
  if (ended.othersWait) void dispatchHeld({ database, queue }, ended.projectId).catch(tell);
  if (ended.queueJobId !== null) void queue.wake(ended.queueJobId).catch(tell);
}
