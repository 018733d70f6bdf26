/**
 * Composes a run: job → step → secrets → sandbox → redaction → store. Whatever happens, the run ends once, in a final
 * state, and the job's return value is the redacted result. A job that cannot be ended now is handed back to the queue.
 */
import { StepvaultError, toStepvaultError } from "../protocol/error.ts";
import { hashedId, idSchema } from "../protocol/ids.ts";
import { type Job, type Json, parseJob, queuedRunSchema, type RunResult, type Usage } from "../protocol/job.ts";
import type { Limits } from "../protocol/limits.ts";
import type { Redacted } from "../protocol/redacted.ts";
import type { Sandbox } from "../runtime/sandbox.ts";
import { dispatchHeld } from "../runs/dispatch.ts";
import { EventWriter } from "../runs/event-writer.ts";
import type { JobOutcome, RunJob } from "../runs/queue.ts";
import { retryDatabase } from "../runs/retry.ts";
import type { ClaimedRun } from "../runs/store.ts";
import { recordRuns } from "../runs/submit.ts";
import type { Vault } from "../vault/vault.ts";
import { cancelledResult } from "./cancels.ts";
import { type EndingParts, endWaiting, retryOrEnd } from "./end-run.ts";
import { executeStep } from "./execute.ts";
import type { ServiceLog } from "./log.ts";
import { giveBackMemory } from "./memory.ts";
import { outputsOf } from "./needed-outputs.ts";
import { RunRedaction } from "./run-redaction.ts";
import { planStep, type StepPlan } from "./step-plan.ts";

/** A job whose run has not ended comes again after a quarter of the time that it has waited, within these bounds. */
const againMsMin = 1_000;
const againMsMax = 30_000;
/** After a fault of the system's. */
const faultPauseMs = 5_000;

export interface RunnerParts extends EndingParts {
  readonly vault: Vault;
  readonly sandbox: Sandbox;
  readonly log: ServiceLog;
  readonly limitMaxima: Limits;
  /** Changes when others took this worker for dead. */
  readonly worker: { readonly id: string };
  readonly queueName: string;
  /** Runs that this process has claimed and not yet ended, and what aborts each, with the reason when it is no cancellation. */
  readonly runsUnderWay: Map<string, AbortController>;
}

interface RunInProgress {
  readonly runId: string;
  readonly queueMs: number;
  readonly redaction: RunRedaction;
  readonly abort: AbortController;
}

/** Runs one job to its end, or says when it is to come again. Never rejects. */
export async function processJob(parts: RunnerParts, queued: RunJob): Promise<JobOutcome> {
  const run: RunInProgress = {
    runId: runIdOf(parts.queueName, queued),
    queueMs: Math.max(0, Date.now() - queued.addedAt),
    redaction: new RunRedaction(),
    abort: new AbortController(),
  };
  const held = parts.log.hold(run.redaction.redactor);
  try {
    const submitted = queuedRunSchema.safeParse(queued.data);
    if (submitted.success) {
      const outcome = await runClaim(parts, run, submitted.data.projectId);
      return "retryInMs" in outcome && outcome.retryInMs > 0 ? "dropped" : jobOutcomeOf(outcome);
    }
    const job = parseJobOrError(queued.data);
    if (job instanceof StepvaultError) return await reject(parts, run, { reason: job, data: queued.data });
    return await runOwnJob(parts, run, { job, queued });
  } catch (error) {
    const known = toStepvaultError(error);
    parts.log.logger.error({ runId: run.runId, code: known.code, err: known }, "a run's end could not be recorded");
    return { againMs: faultPauseMs };
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

/** A job that an orchestrator added by itself: it is submitted here, and runs now if nobody else is to run before it. */
async function runOwnJob(
  parts: RunnerParts,
  run: RunInProgress,
  { job, queued }: { job: Job; queued: RunJob },
): Promise<JobOutcome> {
  const { projectId } = job;
  const { runId } = run;
  let whole = job;
  try {
    const below = outputsOf(await queued.children());
    if (Object.keys(below).length > 0) whole = { ...job, steps: { ...below, ...job.steps } };
    const recorded = await recordRuns(parts.database, [{ id: runId, job: whole, queueJobId: queued.id }], {
      projectId,
    });
    const { dispatched, ready, first, turn } = recorded.get(runId) ?? {
      dispatched: true,
      ready: true,
      first: true,
      turn: 0,
    };
    if (ready && !dispatched) await dispatchHeld(parts, projectId);
    else if (!first) await parts.queue.add([{ projectId, runId, turn }]);
    // With its run's turn: thousands that come again and again must not go before what others wait for.
    if (!dispatched || !first) return { ...again(run), turn };
  } catch (error) {
    const known = toStepvaultError(error);
    if (known.code === "ERR_PROJECT_RATE" || known.code === "ERR_PROJECT_FULL") return again(run);
    if (known.code === "ERR_NEED_FAILED") return await reject(parts, run, { reason: known, data: queued.data });
    if (known.fault === "user") return { result: failed(run, known) };
    throw error;
  }
  // It comes again and again while its run waits, also after a flood of its kind: then it takes nobody's turn.
  return jobOutcomeOf(await runClaim(parts, run, projectId, { inTurn: true }));
}

/** What becomes of the job, or after how long its run is tried again. */
type RunOutcome = Exclude<JobOutcome, "dropped"> | { readonly retryInMs: number };

function jobOutcomeOf(outcome: RunOutcome): JobOutcome {
  return "retryInMs" in outcome ? { againMs: outcome.retryInMs } : outcome;
}

async function runClaim(
  parts: RunnerParts,
  run: RunInProgress,
  projectId: string,
  options: { inTurn?: boolean } = {},
): Promise<RunOutcome> {
  // From before the claim: while its answer is on its way, the run is this worker's already.
  const held = parts.workers.hold(run.runId);
  try {
    return await claimAndRun(parts, run, projectId, options);
  } finally {
    held.release();
  }
}

async function claimAndRun(
  parts: RunnerParts,
  run: RunInProgress,
  projectId: string,
  { inTurn = false }: { inTurn?: boolean },
): Promise<RunOutcome> {
  const { store, worker } = parts;
  const { runId } = run;
  const workerId = worker.id;
  const claim = await store.claim(projectId, runId, workerId, { inTurn });
  switch (claim.state) {
    case "ended":
      return { result: claim.result };
    case "held":
      return again(run);
    case "unknown":
      return { result: failed(run, new StepvaultError("ERR_RUN_UNKNOWN", "Cannot start the run: there is none")) };
    case "cancelled": {
      const result = cancelledResult(runId, run.queueMs);
      return (await endWaiting(parts, result, claim.nextSeq)) ? { result } : again(run);
    }
    case "claimed":
      break;
  }
  // Taken for dead meanwhile: others end the run.
  if (worker.id !== workerId) return again(run);
  parts.runsUnderWay.set(runId, run.abort);
  try {
    return await runClaimed(parts, run, { claimed: claim.run, projectId });
  } finally {
    parts.runsUnderWay.delete(runId);
  }
}

async function runClaimed(
  parts: RunnerParts,
  run: RunInProgress,
  { claimed, projectId }: { claimed: ClaimedRun; projectId: string },
): Promise<RunOutcome> {
  const writer = new EventWriter(parts.store, claimed, (runId) => parts.signal.changed(runId));
  const result = await resultOf(parts, run, { claimed, writer });
  const end = await retryOrEnd(parts, claimed, result, writer);
  giveBackMemory(writer.bytes);
  if (end === "ended") return { result };
  if (end !== undefined) return end;
  // Somebody else ended it, or has it now.
  const after = await parts.store.look(projectId, run.runId);
  return after.state === "ended" ? { result: after.result } : again(run);
}

async function resultOf(
  parts: RunnerParts,
  run: RunInProgress,
  { claimed, writer }: { claimed: ClaimedRun; writer: EventWriter },
): Promise<Redacted<RunResult>> {
  const { runId, redaction, abort } = run;
  const onSystemFault = (error: unknown): void =>
    parts.log.logger.error({ runId, err: error }, "a run failed by a fault of the system");
  let job: Job;
  let plan: StepPlan;
  let steps: Record<string, Json>;
  try {
    job = parseJob(claimed.job);
    // Nothing has happened yet: a database that is away for a moment must not end the run.
    const allowed = { maxima: parts.limitMaxima, projectNetwork: claimed.projectNetwork ?? undefined };
    const { stepVersion: version } = claimed;
    const step = "code" in job.step || version === null ? job.step : { ...job.step, version };
    plan = await retryDatabase(async () => await planStep(parts.database, { ...job, step }, allowed));
    const needed = job.after === undefined ? [] : await retryDatabase(async () => await parts.store.listNeeds(runId));
    steps = { ...outputsOf(needed), ...job.steps };
  } catch (error) {
    const known = toStepvaultError(error);
    if (known.fault === "system") onSystemFault(known);
    return failed(run, known);
  }
  const { projectId, labels, params = {} } = job;
  const result = await executeStep(parts.sandbox, {
    runId,
    queueMs: run.queueMs,
    signal: abort.signal,
    projectId,
    plan,
    params,
    steps,
    redaction,
    // Still nothing has happened. A use that was recorded and not confirmed is recorded again.
    resolveSecrets: async (references) =>
      await retryDatabase(
        async () =>
          await parts.vault.secrets.use({
            projectId,
            references,
            runId,
            stepId: "id" in job.step ? job.step.id : undefined,
            stepVersion: plan.version,
            caller: labels?.["agentId"] ?? labels?.["workforceId"],
          }),
      ),
    emit: async (event) =>
      await writer.write(
        event.kind === "started" && claimed.attempt > 1 ? { ...event, attempt: claimed.attempt } : event,
      ),
    onSystemFault,
  });
  const reason: unknown = abort.signal.reason;
  const named =
    result.status === "cancelled" && reason instanceof StepvaultError
      ? redaction.failure(runId, reason, { usage: result.usage })
      : result;
  return job.name === undefined ? named : { ...named, name: job.name };
}

/** A job that is no run: recorded as a rejected run where its project exists, else told in the return value alone. */
async function reject(
  parts: RunnerParts,
  run: RunInProgress,
  { reason, data }: { reason: StepvaultError; data: unknown },
): Promise<JobOutcome> {
  const result = failed(run, reason);
  parts.log.logger.warn({ runId: run.runId, code: reason.code }, "a job was rejected");
  const projectId = idSchema.safeParse((data as { projectId?: unknown } | null)?.projectId);
  if (projectId.success && (await parts.store.createRejected(projectId.data, run.runId)))
    await endWaiting(parts, result, 0);
  return { result };
}

function again({ queueMs }: RunInProgress): { readonly againMs: number } {
  return { againMs: Math.min(againMsMax, Math.max(againMsMin, queueMs / 4)) };
}

function failed({ runId, queueMs, redaction }: RunInProgress, error: StepvaultError): Redacted<RunResult> {
  const usage: Usage = { queueMs, wallMs: 0, cpuMs: 0, memoryPeakBytes: 0, stdoutBytes: 0, logEntries: 0, requests: 0 };
  return redaction.failure(runId, error, { usage });
}

/** The run of a job: the id that it carries, else one made from the job's own, so that a retry is the same run. */
function runIdOf(queueName: string, { id, data }: RunJob): string {
  const given = idSchema.safeParse((data as { runId?: unknown } | null)?.runId);
  if (given.success) return given.data;
  return hashedId("job", queueName, id);
}
