/**
 * Whether a step could run, before it is saved: its code is read by the very beginning of a run, which finds the references and
 * is stopped before any code, and each reference is judged by the vault's own rule. No value is opened.
 */
import { StepvaultError } from "../protocol/error.ts";
import { parseStep, type StepInput } from "../protocol/job.ts";
import type { Limits } from "../protocol/limits.ts";
import { inputReferences } from "../runtime/binding/inputs.ts";
import type { Sandbox } from "../runtime/sandbox.ts";
import type { Actor } from "../vault/tenancy/actor.ts";
import type { StepCheck } from "../vault/secrets/explain.ts";
import type { Vault } from "../vault/vault.ts";
import type { Reference } from "./execute.ts";
import { chooseLimits } from "./step-plan.ts";

export interface StepToCheck {
  readonly projectId: string;
  readonly step: StepInput;
  /** Of the step that it is to be the next version of. */
  readonly id?: string | undefined;
}

/**
 * Throws what reading the step throws: ERR_JOB_INVALID, ERR_LANGUAGE_UNKNOWN, ERR_LIMIT_PAYLOAD, ERR_LIMIT_TOO_HIGH,
 * ERR_STEP_SYNTAX, ERR_REFERENCE_…, ERR_INPUTS_TEMPLATE; and ERR_FORBIDDEN for who may not refer to secrets.
 */
export async function checkStep(
  { sandbox, vault, limitMaxima }: { sandbox: Sandbox; vault: Vault; limitMaxima: Limits },
  { projectId, step: given, id }: StepToCheck,
  author: Actor,
): Promise<StepCheck> {
  const own = vault.as(author);
  // Before the sandbox does any work for them.
  await own.authorize("secret.reference", { projectId });
  const step = parseStep(projectId, given);
  const limits = chooseLimits(step.limits ?? {}, limitMaxima);
  const inputs = inputReferences(step.inputs ?? {});
  const inCode = await findReferences(sandbox, { projectId, language: step.language, code: step.code, limits });
  return await own.secrets.check({ projectId, references: [...inCode, ...inputs], stepId: id, author });
}

async function findReferences(
  sandbox: Sandbox,
  step: Pick<Parameters<Sandbox["run"]>[0], "projectId" | "language" | "code" | "limits">,
): Promise<readonly Reference[]> {
  let found: readonly Reference[] | undefined;
  const outcome = await sandbox.run(
    { ...step, params: {}, steps: {}, network: "none" },
    {
      resolve(references) {
        found = references;
        // Nothing that a value could be put into is started.
        throw new StepvaultError("ERR_SECRET_UNKNOWN", "Cannot run the step: it is only checked");
      },
      onEvent() {},
    },
  );
  if (found !== undefined) return found;
  throw "error" in outcome
    ? outcome.error
    : new StepvaultError("ERR_INTERNAL", "Cannot check the step: it ended before its references were known");
}
