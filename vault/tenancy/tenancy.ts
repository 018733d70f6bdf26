/**
 * Organizations and their projects. An id decides what a thing is; names are for people and need not be unique.
 */
import type { Queryable } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { createId, idSchema } from "../../protocol/ids.ts";
import { type NetworkPolicy, networkPolicySchema } from "../../protocol/job.ts";

export interface Organization {
  readonly id: string;
  readonly name: string;
  readonly createdAt: Date;
}

export interface Project {
  readonly id: string;
  readonly organizationId: string;
  readonly name: string;
  /** What every step of the project may reach at most; null: what the step itself may. */
  readonly network: NetworkPolicy | null;
  readonly limits: ProjectLimits;
  readonly createdAt: Date;
}

/** Of one project; null: what holds in the whole deployment. */
export interface ProjectLimits {
  readonly runsAtOnceMax: number | null;
  readonly runsPerMinuteMax: number | null;
  /** How long ended runs and their events are kept. */
  readonly retentionDays: number | null;
  /** Of the events of ended runs: the oldest go first. */
  readonly retentionBytesMax: number | null;
}

/** What each may be at most; 1 at least. */
const projectLimitsMax = {
  runsAtOnceMax: 1_000_000,
  runsPerMinuteMax: 1_000_000,
  retentionDays: 3_650,
  retentionBytesMax: Number.MAX_SAFE_INTEGER,
} as const satisfies Record<keyof ProjectLimits, number>;

const organizationColumns = `id, name, created_at as "createdAt"`;
const projectColumns = `id, organization_id as "organizationId", name, network, created_at as "createdAt",
  json_build_object('runsAtOnceMax', runs_at_once_max, 'runsPerMinuteMax', runs_per_minute_max,
    'retentionDays', retention_days, 'retentionBytesMax', retention_bytes_max) as limits`;

/** Throws ERR_NAME_INVALID. */
export async function createOrganization(database: Queryable, name: string): Promise<Organization> {
  const { rows } = await database.query<Organization>(
    `insert into organizations (id, name) values ($1, $2) returning ${organizationColumns}`,
    [createId(), parseName(name)],
  );
  return rows[0]!;
}

/** All organizations, oldest first. */
export async function listOrganizations(database: Queryable): Promise<Organization[]> {
  return (
    await database.query<Organization>(`select ${organizationColumns} from organizations order by created_at, id`)
  ).rows;
}

/** Throws ERR_ORGANIZATION_UNKNOWN or ERR_NAME_INVALID. */
export async function createProject(database: Queryable, organizationId: string, name: string): Promise<Project> {
  const { rows } = await database.query<Project>(
    `insert into projects (id, organization_id, name)
     select $1, id, $3 from organizations where id = $2 returning ${projectColumns}`,
    [createId(), parseId(organizationId, "organization"), parseName(name)],
  );
  return rows[0] ?? unknown(organizationId, "organization");
}

/** Throws ERR_PROJECT_UNKNOWN, also for the one that holds an organization's own secrets. */
export async function getProject(database: Queryable, projectId: string): Promise<Project> {
  const { rows } = await database.query<Project>(
    `select ${projectColumns} from projects where id = $1 and not shared`,
    [parseId(projectId, "project")],
  );
  return rows[0] ?? unknown(projectId, "project");
}

/**
 * The project that holds an organization's own secrets, made at its first use. It is in no list, `authorize` does not know it,
 * and no secret resolves for a run in it.
 */
export async function provideSharedProject(database: Queryable, organizationId: string): Promise<Project> {
  await database.query(
    `insert into projects (id, organization_id, name, shared) select $1, id, 'shared', true from organizations where id = $2
     on conflict (organization_id) where shared do nothing`,
    [createId(), parseId(organizationId, "organization")],
  );
  return (await findSharedProject(database, organizationId)) ?? unknown(organizationId, "organization");
}

/** The project that holds an organization's own secrets; undefined as long as it has none. */
export async function findSharedProject(database: Queryable, organizationId: string): Promise<Project | undefined> {
  const { rows } = await database.query<Project>(
    `select ${projectColumns} from projects where organization_id = $1 and shared`,
    [organizationId],
  );
  return rows[0];
}

/** The organization's projects with these ids, oldest first. */
export async function listProjects(
  database: Queryable,
  organizationId: string,
  ids: "all" | readonly string[] = "all",
): Promise<Project[]> {
  const { rows } = await database.query<Project>(
    `select ${projectColumns} from projects
     where organization_id = $1 and not shared and ($2::uuid[] is null or id = any($2)) order by created_at, id`,
    [parseId(organizationId, "organization"), ids === "all" ? null : ids],
  );
  return rows;
}

/** Sets what every step of the project may reach at most. Throws ERR_NETWORK_POLICY_INVALID or ERR_PROJECT_UNKNOWN. */
export async function setProjectNetwork(
  database: Queryable,
  projectId: string,
  network: NetworkPolicy | null,
): Promise<Project> {
  const parsed = networkPolicySchema.nullable().safeParse(network);
  if (!parsed.success) {
    throw new StepvaultError(
      "ERR_NETWORK_POLICY_INVALID",
      "Cannot set the network policy: it must be none, open, or at most 100 rules [METHODS ][scheme://]host[:port]",
    );
  }
  const { rows } = await database.query<Project>(
    `update projects set network = $2 where id = $1 and not shared returning ${projectColumns}`,
    [parseId(projectId, "project"), parsed.data === null ? null : JSON.stringify(parsed.data)],
  );
  return rows[0] ?? unknown(projectId, "project");
}

/** Sets all four. Throws ERR_PROJECT_LIMITS_INVALID or ERR_PROJECT_UNKNOWN. */
export async function setProjectLimits(
  database: Queryable,
  projectId: string,
  limits: ProjectLimits,
): Promise<Project> {
  for (const [name, max] of Object.entries(projectLimitsMax)) {
    const figure = limits[name as keyof ProjectLimits];
    if (figure === null || (Number.isSafeInteger(figure) && figure >= 1 && figure <= max)) continue;
    throw new StepvaultError(
      "ERR_PROJECT_LIMITS_INVALID",
      `Cannot set the project's limits: ${name} is ${figure}; null, or a whole number from 1 to ${max} is allowed`,
    );
  }
  const { runsAtOnceMax, runsPerMinuteMax, retentionDays, retentionBytesMax } = limits;
  const { rows } = await database.query<Project>(
    `update projects set runs_at_once_max = $2, runs_per_minute_max = $3, retention_days = $4, retention_bytes_max = $5
     where id = $1 and not shared returning ${projectColumns}`,
    [parseId(projectId, "project"), runsAtOnceMax, runsPerMinuteMax, retentionDays, retentionBytesMax],
  );
  return rows[0] ?? unknown(projectId, "project");
}

type Kind = "organization" | "project";

const unknownCodes = { organization: "ERR_ORGANIZATION_UNKNOWN", project: "ERR_PROJECT_UNKNOWN" } as const;

/** What is no id at all is not repeated in the message: it may be anything that somebody pasted. */
export function parseId(id: string, kind: Kind): string {
  const parsed = idSchema.safeParse(id);
  if (parsed.success) return parsed.data;
  throw new StepvaultError(unknownCodes[kind], `Cannot find the ${kind}: what was given is not an id`);
}

function unknown(id: string, kind: Kind): never {
  throw new StepvaultError(unknownCodes[kind], `Cannot find the ${kind} ${id}: no such id`);
}

const nameCharactersMax = 200;

function parseName(name: string): string {
  const characters = Array.from(name).length;
  if (characters > 0 && characters <= nameCharactersMax && name.isWellFormed() && !name.includes("\0")) return name;
  throw new StepvaultError(
    "ERR_NAME_INVALID",
    `Cannot use the name: it has ${characters} characters, 1 to ${nameCharactersMax} of Unicode text without NUL are allowed`,
  );
}
