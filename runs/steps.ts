/**
 * Saved steps: each push is a version of its own and never changes. What could not run is not saved. Runs take a version,
 * or the newest, with what the project allows all its steps to reach.
 */
import type { Database } from "../database/connection.ts";
import type { Around, Queryable } from "../database/server.ts";
import { StepvaultError } from "../protocol/error.ts";
import { createId } from "../protocol/ids.ts";
import { type AdHocStep, type NetworkPolicy, parseStep, type StepInput } from "../protocol/job.ts";

export interface SavedStep {
  readonly id: string;
  readonly version: number;
}

export interface NewStep {
  readonly projectId: string;
  /** Of a step that exists, for its next version. */
  readonly id?: string | undefined;
  readonly name: string;
  /** What it does, for those who may call it, models too. */
  readonly description?: string | undefined;
  /** A JSON Schema of its params, for those who call it; nothing is checked by it. */
  readonly paramsSchema?: Record<string, unknown> | undefined;
  readonly step: StepInput;
  /** Who saves it, as the vault knows them; secrets that are for certain roles are not for what nobody is known to have saved. */
  readonly by?: { readonly kind: "system" | "person" | "key"; readonly id: string } | undefined;
}

/**
 * Saves a step as the next version. Throws ERR_JOB_INVALID or ERR_LANGUAGE_UNKNOWN for what is no step, ERR_LIMIT_PAYLOAD,
 * ERR_NAME_INVALID, ERR_STEP_UNKNOWN for the id of a step of no such project, ERR_PROJECT_UNKNOWN.
 */
export async function saveStep(
  database: Database,
  { projectId, id, name, description, paramsSchema, step, by }: NewStep,
  around: Around<SavedStep> = async (_, save) => await save(),
): Promise<SavedStep> {
  const { language, code, inputs, limits, network, retry } = parseStep(projectId, step);
  const characters = Array.from(name).length;
  if (characters < 1 || characters > nameCharactersMax) {
    throw new StepvaultError(
      "ERR_NAME_INVALID",
      `Cannot save the step: its name has ${characters} characters, 1 to ${nameCharactersMax} are allowed`,
    );
  }
  const saveNext = async (client: Queryable): Promise<SavedStep> => {
    // Locked, so that two pushes at once get a version each. No key changes: who publishes meanwhile need not wait.
    const { rowCount } = await client.query("select from projects where id = $1 and not shared for no key update", [
      projectId,
    ]);
    if (rowCount !== 1)
      throw new StepvaultError("ERR_PROJECT_UNKNOWN", `Cannot save the step: there is no project ${projectId}`);
    const stepId = id ?? createId();
    const { rows } = await client.query<{ version: number; mine: boolean }>(
      "select coalesce(max(version), 0)::int as version, coalesce(bool_and(project_id = $2), $3) as mine from steps where id = $1",
      [stepId, projectId, id === undefined],
    );
    const { version: last, mine } = rows[0]!;
    if (!mine) throw unknownStep(stepId);
    const version = last + 1;
    const json = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value));
    await client.query(
      `insert into steps (id, version, project_id, name, language, code, inputs, limits, network, retry, description, params_schema,
                          created_by_kind, created_by)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
      [
        stepId,
        version,
        projectId,
        name,
        language,
        code,
        ...[inputs, limits, network, retry].map(json),
        description ?? null,
        json(paramsSchema),
        by?.kind,
        by?.id,
      ],
    );
    return { id: stepId, version };
  };
  return await database.transaction(async (client) => await around(client, async () => await saveNext(client)));
}

const nameCharactersMax = 200;

/** A version of a saved step; without a number the published one, or else the newest. Throws ERR_STEP_UNKNOWN. */
export async function loadStep(
  database: Database,
  projectId: string,
  { id, version }: { id: string; version?: number | undefined },
): Promise<AdHocStep & { version: number }> {
  const { rows } = await database.query<AdHocStep & { version: number; network: NetworkPolicy | null }>(
    `select version, language, code, inputs, limits, network, retry from steps
     where project_id = $1 and id = $2
       and version = coalesce($3::int, (select version from published_steps where step_id = $2), version)
     order by version desc limit 1`,
    [projectId, id, version ?? null],
  );
  const step = rows[0];
  if (step === undefined) throw unknownStep(version === undefined ? id : `${id} version ${version}`);
  return {
    version: step.version,
    language: step.language,
    code: step.code,
    inputs: step.inputs ?? undefined,
    limits: step.limits ?? undefined,
    network: step.network ?? undefined,
    retry: step.retry ?? undefined,
  };
}

function unknownStep(which: string): StepvaultError {
  return new StepvaultError("ERR_STEP_UNKNOWN", `Cannot find the step: this project has no step ${which}`);
}
