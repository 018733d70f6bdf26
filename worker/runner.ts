/**
 * Composes a run: job → step → secrets → sandbox → redaction → store. Whatever happens, the run ends once, in a final
 * state, and the job's return value is the redacted result; only a failure to record that end fails the job itself.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Database } from "../database/connection.ts";
import { StepvaultError, toStepvaultError } from "../protocol/error.ts";
import { idSchema } from "../protocol/ids.ts";
import { type Job, parseJob, type RunResult, type Usage } from "../protocol/job.ts";
import type { Limits } from "../protocol/limits.ts";
import type { Redacted } from "../protocol/redacted.ts";
import type { Sandbox } from "../runtime/sandbox.ts";
import { EventWriter } from "../runs/event-writer.ts";
import type { RunJob } from "../runs/queue.ts";
import { retryDatabase } from "../runs/retry.ts";
import type { RunStore } from "../runs/store.ts";
import { newRun } from "../runs/submit.ts";
import type { Vault } from "../vault/vault.ts";
import { executeStep } from "./execute.ts";
import { cancelledResult } from "./cancels.ts";
import { lostResult } from "./leases.ts";
import type { ServiceLog } from "./log.ts";
import { closingEvents, RunRedaction } from "./run-redaction.ts";
import { planStep, type StepPlan } from "./step-plan.ts";

const heldPauseMs = 500;

export interface RunnerParts {
  readonly database: Database;
  readonly vault: Vault;
  readonly store: RunStore;
  readonly sandbox: Sandbox;
  readonly log: ServiceLog;
  readonly limitMaxima: Limits;
  readonly workerId: string;
  readonly queueName: string;
  /** Runs that this process has claimed and not yet ended, and what cancels each; for leases and cancelling. */
  readonly runsUnderWay: Map<string, AbortController>;
}

interface RunInProgress {
  readonly runId: string;
  readonly queueMs: number;
  readonly redaction: RunRedaction;
  readonly cancel: AbortController;
}

/** Runs one job to its end. Rejects only when the run's end could not be recorded. */
export async function processJob(parts: RunnerParts, queued: RunJob, signal?: AbortSignal): Promise<RunResult> {
  const run: RunInProgress = {
    runId: runIdOf(parts.queueName, queued),
    queueMs: Math.max(0, Date.now() - queued.addedAt),
    redaction: new RunRedaction(),
    cancel: new AbortController(),
  };
  signal?.addEventListener("abort", () => run.cancel.abort(), { signal: run.cancel.signal });
  const held = parts.log.hold(run.redaction.redactor);
  try {
    const job = parseJobOrError(queued.data);
    if (job instanceof StepvaultError) return await reject(parts, run, job, queued.data);
    return await runOnce(parts, run, job);
  } catch (error) {
    const known = toStepvaultError(error);
    parts.log.logger.error({ runId: run.runId, code: known.code, err: known }, "a run's end could not be recorded");
    throw withoutStack(known);
  } finally {
    held.release();
  }
}

function parseJobOrError(data: unknown): Job | StepvaultError {
  try {
    return parseJob(data);
  } catch (error) {
    return toStepvaultError(error);
  }
}

async function runOnce(parts: RunnerParts, run: RunInProgress, job: Job): Promise<RunResult> {
  const { store, workerId } = parts;
  const { runId } = run;
  try {
    await store.create(newRun(runId, job));
  } catch (error) {
    if (error instanceof StepvaultError && error.code === "ERR_PROJECT_UNKNOWN") return failed(run, error);
    throw error;
  }
  let claim = await store.claim(runId, workerId);
  // Another job for the same run: its answer is that run's answer.
  while (claim.state === "held") {
    await sleep(heldPauseMs);
    claim = await store.claim(runId, workerId);
  }
  if (claim.state === "ended") return claim.result;
  if (claim.state === "lost") {
    return await finish(store, new EventWriter(store, runId, claim.nextSeq), lostResult(runId, run.queueMs));
  }
  if (claim.state === "cancelled") {
    return await finish(store, new EventWriter(store, runId), cancelledResult(runId, run.queueMs));
  }
  parts.runsUnderWay.set(runId, run.cancel);
  try {
    return await runClaimed(parts, run, job);
  } finally {
    parts.runsUnderWay.delete(runId);
  }
}

async function runClaimed(parts: RunnerParts, run: RunInProgress, job: Job): Promise<RunResult> {
  const { store } = parts;
  const { runId, redaction } = run;
  const writer = new EventWriter(store, runId);
  const plan = await planOrError(parts, job);
  if (plan instanceof StepvaultError) return await finish(store, writer, failed(run, plan));
  const result = await executeStep(parts.sandbox, {
    runId,
    queueMs: run.queueMs,
    signal: run.cancel.signal,
    projectId: job.projectId,
    plan,
    params: job.params ?? {},
    steps: job.steps ?? {},
    redaction,
    resolveSecrets: async (references) =>
      await parts.vault.secrets.use({
        projectId: job.projectId,
        references,
        runId,
        stepId: "id" in job.step ? job.step.id : undefined,
        stepVersion: plan.version,
        caller: job.labels?.["agentId"] ?? job.labels?.["workforceId"],
      }),
    emit: async (event) => await writer.write(event),
    onSystemFault: (error) => parts.log.logger.error({ runId, err: error }, "a run failed by a fault of the system"),
  });
  return await finish(store, writer, result);
}

async function planOrError({ database, limitMaxima }: RunnerParts, job: Job): Promise<StepPlan | StepvaultError> {
  try {
    return await planStep(database, job, limitMaxima);
  } catch (error) {
    return toStepvaultError(error);
  }
}

/** Records the end. When the run had ended already, that end stands, and its result is the answer. */
async function finish(store: RunStore, writer: EventWriter, result: Redacted<RunResult>): Promise<RunResult> {
  const lastEvents = await writer.end(closingEvents(result));
  if (await retryDatabase(async () => await store.finish(result.runId, result, lastEvents))) return result;
  const claim = await store.claim(result.runId, "");
  return claim.state === "ended" ? claim.result : result;
}

/** A job that is no run: recorded as a rejected run where its project exists, else told in the return value alone. */
async function reject(
  parts: RunnerParts,
  run: RunInProgress,
  reason: StepvaultError,
  data: unknown,
): Promise<RunResult> {
  const result = failed(run, reason);
  parts.log.logger.warn({ runId: run.runId, code: reason.code }, "a job was rejected");
  const projectId = idSchema.safeParse((data as { projectId?: unknown } | null)?.projectId);
  if (!projectId.success) return result;
  try {
    const created = await parts.store.create({
      id: run.runId,
      projectId: projectId.data,
      language: null,
      stepId: null,
      labels: {},
    });
    // The id is that of a run that some other job asked for: this one has no say in it.
    if (!created) return result;
  } catch (error) {
    if (error instanceof StepvaultError && error.code === "ERR_PROJECT_UNKNOWN") return result;
    throw error;
  }
  return await finish(parts.store, new EventWriter(parts.store, run.runId), result);
}

function failed({ runId, queueMs, redaction }: RunInProgress, error: StepvaultError): Redacted<RunResult> {
  const usage: Usage = { queueMs, wallMs: 0, cpuMs: 0, memoryPeakBytes: 0, stdoutBytes: 0, logEntries: 0, requests: 0 };
  return redaction.failure(runId, error, { usage });
}

/** The run of a job: the id that it carries, else one made from the job's own, so that a retry is the same run. */
function runIdOf(queueName: string, { id, data }: RunJob): string {
  const given = idSchema.safeParse((data as { runId?: unknown } | null)?.runId);
  if (given.success) return given.data;
  const hash = createHash("sha256").update(`${queueName}\0${id}`).digest("hex");
  // UUID version 8: the bits are ours to choose.
  return `${hash.slice(0, 8)}-${hash.slice(8, 12)}-8${hash.slice(13, 16)}-9${hash.slice(17, 20)}-${hash.slice(20, 32)}`;
}

/** BullMQ stores message and stack in clear; ours has neither a value nor a path of this machine. */
function withoutStack(error: StepvaultError): Error {
  const plain = new Error(`${error.code}: ${error.message}`);
  plain.stack = plain.message;
  return plain;
}
