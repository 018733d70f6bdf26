/**
 * Who may start and see runs. People and platform keys by the table of roles; an embed key, which that table refuses
 * everything, starts the published steps of its agent and sees the runs that it started, and nothing else.
 */
import { StepvaultError } from "../protocol/error.ts";
import type { JobInput } from "../protocol/job.ts";
import type { Run } from "../runs/find.ts";
import type { Submitter } from "../runs/submit.ts";
import type { Vault } from "../vault/vault.ts";
import type { ApiParts } from "./parts.ts";
import type { Principal } from "./principal.ts";

interface Caller {
  readonly vault: Vault;
  readonly principal: Principal;
}

export function submitterOf({ actor }: Principal): Submitter {
  return { kind: actor.kind, id: actor.id };
}

/** The job as the caller may submit it. Throws what `authorize` throws, and ERR_FORBIDDEN. */
export async function allowedJob(
  { vault, principal, parts }: Caller & { readonly parts: Pick<ApiParts, "steps"> },
  job: JobInput,
): Promise<JobInput> {
  const { embed } = principal;
  if (embed === undefined) {
    await vault.authorize("run.trigger", { projectId: job.projectId });
    // Code that was never saved may refer to any secret that steps may use.
    if ("code" in job.step) await vault.authorize("secret.reference", { projectId: job.projectId });
    return job;
  }
  if (job.projectId !== embed.projectId) throw unknownProject();
  const { step, params, labels = {}, runId } = job;
  if (!("id" in step) || step.version !== undefined || !embed.stepIds.includes(step.id.toLowerCase()))
    throw forbidden("start the run", "an embed key starts the published steps of its agent, and no other code");
  // Else a builder's next draft would be public the moment that it is saved.
  if ((await parts.steps.get(job.projectId, step.id)).publishedVersion === null)
    throw forbidden("start the run", "the step is not published");
  const { conversationId = `${embed.conversationPrefix}default` } = labels;
  if (!conversationId.startsWith(embed.conversationPrefix))
    throw forbidden("start the run", "the label conversationId does not begin with the key's conversation prefix");
  // The record of the uses of secrets, and who looks for runs by them, take these from Stepvault alone.
  const { agentId: _agent, workforceId: _workforce, scheduleId: _schedule, test: _test, ...free } = labels;
  const own = { ...free, conversationId, [embed.kind === "workforce" ? "workforceId" : "agentId"]: embed.agentId };
  return { projectId: job.projectId, step, params, labels: own, runId };
}

/** Throws what `authorize` throws. */
export async function requireReader({ vault, principal }: Caller, projectId: string): Promise<void> {
  if (principal.embed === undefined) await vault.authorize("run.read", { projectId });
  else if (projectId !== principal.embed.projectId) throw unknownProject();
}

/** A run, for a caller who may see runs of the project. Throws ERR_RUN_UNKNOWN, also for one that is not an embed key's own. */
export async function readRun(
  { principal: { actor, embed }, parts }: { principal: Principal; parts: Pick<ApiParts, "runs"> },
  { projectId, runId }: { projectId: string; runId: string },
): Promise<Run> {
  const run = await parts.runs.get(projectId, runId);
  const { submittedBy } = run;
  if (embed === undefined || (submittedBy?.kind === actor.kind && submittedBy.id === actor.id)) return run;
  throw new StepvaultError("ERR_RUN_UNKNOWN", "Cannot find the run: the project has no run with this id");
}

/** Throws what `authorize` throws; an embed key starts runs in its project, and may end what it started. */
export async function requireStarter({ vault, principal }: Caller, projectId: string): Promise<void> {
  if (principal.embed === undefined) await vault.authorize("run.trigger", { projectId });
  else if (projectId !== principal.embed.projectId) throw unknownProject();
}

function unknownProject(): StepvaultError {
  return new StepvaultError("ERR_PROJECT_UNKNOWN", "Cannot find the project: there is none with this id");
}

function forbidden(action: string, why: string): StepvaultError {
  return new StepvaultError("ERR_FORBIDDEN", `Cannot ${action}: ${why}`);
}
