/** Submitting a run for whoever asks, and waiting for its end as long as they want and stay. */
import type { FastifyReply } from "fastify";
import type { z } from "zod";
import type { submittedSchema } from "../protocol/http/runs.ts";
import type { JobInput } from "../protocol/job.ts";
import type { Vault } from "../vault/vault.ts";
import type { ApiParts } from "./parts.ts";
import type { Principal } from "./principal.ts";
import { allowedJob, readRun, submitterOf } from "./run-access.ts";

interface Caller {
  readonly vault: Vault;
  readonly principal: Principal;
  readonly parts: ApiParts;
  readonly reply: FastifyReply;
  readonly signal: AbortSignal;
}

/** Answers with 200 when the run has ended, else with 202. Throws what `allowedJob` and `submitRun` throw. */
export async function submitAndWait(
  { vault, principal, parts, reply, signal }: Caller,
  { job, waitSeconds }: { job: JobInput; waitSeconds: number },
): Promise<z.output<typeof submittedSchema>> {
  const allowed = await allowedJob({ vault, principal, parts }, job);
  const { created, runId } = await parts.runs.submit(allowed, submitterOf(principal));
  const { projectId } = job;
  if (waitSeconds > 0) await parts.runs.wait(projectId, runId, { timeoutMs: waitSeconds * 1_000, signal });
  const { status, result } = await readRun({ principal, parts }, { projectId, runId });
  reply.code(result === null ? 202 : 200);
  return { runId, created, status, result };
}
