/**
 * From a job to what the sandbox is to run: the step's code, saved or sent along, and its limits, each the step's own or
 * the default, none above the operator's maximum. Pure but for loading a saved step.
 */
import type { Database } from "../database/connection.ts";
import { StepvaultError } from "../protocol/error.ts";
import type { AdHocStep, Job, Json, Language, NetworkPolicy } from "../protocol/job.ts";
import { limitNames, type Limits, limitTable, type StepLimits } from "../protocol/limits.ts";

export interface StepPlan {
  readonly language: Language;
  readonly code: string;
  readonly inputs: Record<string, Json>;
  readonly limits: Limits;
  readonly network: NetworkPolicy;
}

/** Throws ERR_STEP_UNKNOWN or ERR_LIMIT_TOO_HIGH. */
export async function planStep(database: Database, job: Job, maxima: Limits): Promise<StepPlan> {
  const step = "code" in job.step ? job.step : await loadStep(database, job.projectId, job.step);
  return {
    language: step.language,
    code: step.code,
    inputs: step.inputs ?? {},
    limits: chooseLimits(step.limits ?? {}, maxima),
    network: step.network ?? "open",
  };
}

export function chooseLimits(asked: StepLimits, maxima: Limits): Limits {
  const chosen = limitNames.map((name) => {
    const value = asked[name] ?? Math.min(limitTable[name].default, maxima[name]);
    if (value > maxima[name]) {
      throw new StepvaultError(
        "ERR_LIMIT_TOO_HIGH",
        `Cannot run the step: it asks for ${name} ${value}, at most ${maxima[name]} is allowed here`,
      );
    }
    return [name, value];
  });
  return Object.fromEntries(chosen) as Limits;
}

async function loadStep(
  database: Database,
  projectId: string,
  { id, version }: { id: string; version?: number | undefined },
): Promise<AdHocStep> {
  const { rows } = await database.query<AdHocStep & { network: NetworkPolicy | null }>(
    `select language, code, inputs, limits, network from steps
     where project_id = $1 and id = $2 and ($3::int is null or version = $3) order by version desc limit 1`,
    [projectId, id, version ?? null],
  );
  const step = rows[0];
  if (step === undefined) {
    const which = version === undefined ? id : `${id} version ${version}`;
    throw new StepvaultError("ERR_STEP_UNKNOWN", `Cannot run the step: this project has no step ${which}`);
  }
  return {
    language: step.language,
    code: step.code,
    inputs: step.inputs ?? undefined,
    limits: step.limits ?? undefined,
    network: step.network ?? undefined,
  };
}
