/**
 * What commands on runs, steps and schedules need of a project, and the two ways to it: the database of the settings, as the
 * operator, or with --url an API, as the owner of a platform key. Both give the JSON that the API shows, so that a command
 * does not know which one it is.
 */
import type { JobInput, RunEvent, RunResult, StepInput } from "../protocol/job.ts";
import type { Run, RunSummary } from "../runs/find.ts";
import type { Schedule } from "../runs/schedules.ts";
import type { SavedStep } from "../runs/steps.ts";
import type { Step, StepVersion } from "../runs/step-versions.ts";
import type { StepCheck } from "../vault/secrets/explain.ts";
import { type Given, UsageError } from "./given.ts";

/** What JSON makes of a thing. */
export type Shown<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? Shown<Item>[]
    : T extends object
      ? { [Name in keyof T]: Shown<T[Name]> }
      : T;

export type ShownRun = Shown<RunSummary> & Pick<Run, "result">;
export type ShownStep = Shown<Step>;
export type ShownVersion = Shown<StepVersion>;
export type ShownSchedule = Omit<Shown<Schedule>, "job"> & Pick<ScheduleToSave, "job">;

export interface RunsAsked {
  readonly status: readonly string[];
  readonly stepId: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly limit: number;
}

export interface StepToSave {
  readonly id: string | undefined;
  readonly name: string;
  readonly description: string | undefined;
  readonly paramsSchema: Record<string, unknown> | undefined;
  readonly step: StepInput;
  readonly checked: boolean;
}

export type ScheduleToSave = Pick<Schedule, "name" | "cron" | "timeZone" | "enabled"> & {
  readonly job: Omit<JobInput, "projectId">;
};

export interface ProjectAccess {
  submit(job: Omit<JobInput, "projectId">): Promise<{ runId: string; created: boolean }>;
  /** A version of a saved step that need not be published. */
  test(
    stepId: string,
    options: { version: number | undefined; params: JobInput["params"] },
  ): Promise<{ runId: string }>;
  listRuns(asked: RunsAsked): Promise<Shown<RunSummary>[]>;
  getRun(runId: string): Promise<ShownRun>;
  /** Events so far; with `follow` until the run ends, also while an API is away for a while. */
  events(runId: string, options: { follow: boolean }): AsyncIterable<RunEvent>;
  /** How the run ended, once it has, also while an API is away for a while. */
  result(runId: string): Promise<RunResult>;
  cancel(runId: string): Promise<ShownRun>;
  output(runId: string): Promise<unknown>;
  saveStep(step: StepToSave): Promise<SavedStep>;
  checkStep(step: StepInput, stepId: string | undefined): Promise<StepCheck>;
  listSteps(asked: { published: boolean | undefined; limit: number }): Promise<ShownStep[]>;
  getStep(stepId: string): Promise<ShownStep>;
  getVersion(stepId: string, version: number): Promise<ShownVersion>;
  publish(stepId: string, version: number | null): Promise<ShownStep>;
  listSchedules(limit: number): Promise<ShownSchedule[]>;
  createSchedule(schedule: ScheduleToSave): Promise<ShownSchedule>;
  switchSchedule(scheduleId: string, enabled: boolean): Promise<ShownSchedule>;
  deleteSchedule(scheduleId: string): Promise<void>;
}

/** Throws UsageError, what opening throws, Interrupted, and what the work throws. */
export async function withProject<T>(given: Given, work: (project: ProjectAccess) => Promise<T>): Promise<T> {
  const projectId = given.required("project");
  const url = given.text("url");
  // Whoever names a key does not mean to act as the operator.
  if (url === undefined && given.has("key-file"))
    throw new UsageError("--key-file is for an API, and --url is missing");
  if (url === undefined) return await (await import("./database-access.ts")).withDatabase(projectId, work);
  const { withApi } = await import("./api-access.ts");
  return await withApi({ url, projectId, keyFile: given.text("key-file") }, work);
}
