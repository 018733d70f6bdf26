/** Reading saved steps and publishing one of their versions. A step's versions never change; which one is published does. */
import type { Database } from "../database/connection.ts";
import type { Queryable } from "../database/server.ts";
import { StepvaultError } from "../protocol/error.ts";
import type { Json, Language, NetworkPolicy, Retry } from "../protocol/job.ts";
import type { StepLimits } from "../protocol/limits.ts";
import type { Submitter } from "./submit.ts";

export interface Step {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  readonly description: string | null;
  readonly language: Language;
  /** The newest. */
  readonly version: number;
  readonly publishedVersion: number | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface StepVersion {
  readonly id: string;
  readonly version: number;
  readonly name: string;
  readonly description: string | null;
  readonly paramsSchema: Record<string, Json> | null;
  readonly language: Language;
  readonly code: string;
  readonly inputs: Record<string, Json> | null;
  readonly limits: StepLimits | null;
  readonly network: NetworkPolicy | null;
  readonly retry: Retry | null;
  readonly createdAt: Date;
  readonly createdBy: { readonly kind: string; readonly id: string } | null;
}

const step = `s.id, s.project_id as "projectId", s.name, s.description, s.language, s.version, p.version as "publishedVersion",
  (select min(created_at) from steps where id = s.id) as "createdAt", s.created_at as "updatedAt"
  from steps s left join published_steps p on p.step_id = s.id`;
const newest = "s.version = (select max(version) from steps where id = s.id)";
const version = `id, version, name, description, params_schema as "paramsSchema", language, code, inputs, limits, network, retry,
  created_at as "createdAt",
  case when created_by is not null then json_build_object('kind', created_by_kind, 'id', created_by) end as "createdBy"`;

/** A project's steps by id, which is the order of their creation; at most `limit`, after the one named. */
export async function listSteps(
  database: Database,
  projectId: string,
  { after, published, limit }: { after?: string | undefined; published?: boolean | undefined; limit: number },
): Promise<Step[]> {
  const { rows } = await database.query<Step>(
    `select ${step} where s.project_id = $1 and ${newest} and ($2::uuid is null or s.id > $2)
       and ($3::bool is null or (p.version is not null) = $3)
     order by s.id limit $4`,
    [projectId, after ?? null, published ?? null, limit],
  );
  return rows;
}

/** Throws ERR_STEP_UNKNOWN. */
export async function getStep(database: Queryable, projectId: string, stepId: string): Promise<Step> {
  const { rows } = await database.query<Step>(`select ${step} where s.project_id = $1 and s.id = $2 and ${newest}`, [
    projectId,
    stepId,
  ]);
  return rows[0] ?? unknownStep(stepId);
}

/** Versions of a step, the newest first; at most `limit`, before the one named. */
export async function listStepVersions(
  database: Database,
  projectId: string,
  { stepId, before, limit }: { stepId: string; before?: number | undefined; limit: number },
): Promise<StepVersion[]> {
  const { rows } = await database.query<StepVersion>(
    `select ${version} from steps where project_id = $1 and id = $2 and ($3::int is null or version < $3)
     order by version desc limit $4`,
    [projectId, stepId, before ?? null, limit],
  );
  if (rows.length === 0 && before === undefined) unknownStep(stepId);
  return rows;
}

/** Throws ERR_STEP_UNKNOWN. */
export async function getStepVersion(
  database: Database,
  projectId: string,
  { stepId, version: number }: { stepId: string; version: number },
): Promise<StepVersion> {
  const { rows } = await database.query<StepVersion>(
    `select ${version} from steps where project_id = $1 and id = $2 and version = $3`,
    [projectId, stepId, number],
  );
  return rows[0] ?? unknownStep(`${stepId} version ${number}`);
}

/** Makes a version the one that runs when none is named; null takes the publication back. Throws ERR_STEP_UNKNOWN. */
export async function publishStep(
  database: Queryable,
  projectId: string,
  { stepId, version: number, by }: { stepId: string; version: number | null; by: Submitter },
): Promise<Step> {
  if (number === null) {
    await database.query("delete from published_steps where step_id = $1 and project_id = $2", [stepId, projectId]);
    return await getStep(database, projectId, stepId);
  }
  const { rowCount } = await database.query(
    `insert into published_steps (step_id, project_id, version, published_by_kind, published_by)
     select id, project_id, version, $4, $5 from steps where project_id = $1 and id = $2 and version = $3
     on conflict (step_id) do update set version = excluded.version, published_by_kind = excluded.published_by_kind,
       published_by = excluded.published_by, published_at = now()`,
    [projectId, stepId, number, by.kind, by.id],
  );
  if (rowCount !== 1) unknownStep(`${stepId} version ${number}`);
  return await getStep(database, projectId, stepId);
}

function unknownStep(which: string): never {
  throw new StepvaultError("ERR_STEP_UNKNOWN", `Cannot find the step: this project has no step ${which}`);
}
