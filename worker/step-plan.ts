/**
 * From a job to what the sandbox is to run: the step's code, saved or sent along, and its limits, each the step's own or
 * the default, none above the operator's maximum. Pure but for what it loads.
 */
import type { Database } from "../database/connection.ts";
import { StepvaultError } from "../protocol/error.ts";
import type { AdHocStep, Job, Json, Language, NetworkPolicy } from "../protocol/job.ts";
import { limitNames, type Limits, limitTable, type StepLimits } from "../protocol/limits.ts";
import { loadStep } from "../runs/steps.ts";

export interface StepPlan {
  /** Of a saved step, the version that was loaded: a newer one may have been saved since. */
  readonly version?: number | undefined;
  readonly language: Language;
  readonly code: string;
  readonly inputs: Record<string, Json>;
  readonly limits: Limits;
  readonly network: NetworkPolicy;
  /** What the project allows all its steps. */
  readonly projectNetwork?: NetworkPolicy | undefined;
}

/** Throws ERR_STEP_UNKNOWN or ERR_LIMIT_TOO_HIGH. */
export async function planStep(
  database: Database,
  job: Job,
  { maxima, projectNetwork }: { maxima: Limits; projectNetwork?: NetworkPolicy | undefined },
): Promise<StepPlan> {
  const step: AdHocStep & { version?: number } =
    "code" in job.step ? job.step : await loadStep(database, job.projectId, job.step);
  return {
    version: step.version,
    language: step.language,
    code: step.code,
    inputs: step.inputs ?? {},
    limits: chooseLimits(step.limits ?? {}, maxima),
    network: step.network ?? "open",
    projectNetwork,
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
