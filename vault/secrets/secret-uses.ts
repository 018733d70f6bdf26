/**
 * What the ledger of uses tells: who used a secret, which secrets nobody uses, which have had their version for too long, and
 * who would break if one went. Steps are found by their newest version's text, runs by the ledger.
 */
import { type ReferenceMatch, findReferenceMatches } from "../../protocol/secret.ts";
import type { Queryable } from "../../database/server.ts";
import type { Place } from "../tenancy/authorize.ts";
import { namesOf } from "./candidates.ts";
import type { SecretContext } from "./context.ts";
import { findSecret, listSecrets, type SecretMetadata } from "./secret-lists.ts";
import type { SecretAt } from "./secret-change.ts";

export interface SecretUse {
  readonly version: number;
  readonly projectId: string;
  /** Undefined: code that was sent along with its run. */
  readonly step: { readonly id: string; readonly name: string | undefined } | undefined;
  /** As far as the orchestrator said. */
  readonly caller: string | undefined;
  readonly uses: number;
  readonly firstUsedAt: Date;
  readonly lastUsedAt: Date;
  readonly lastRunId: string;
}

/** A secret's uses, the latest first; of one version, or since a time. Throws ERR_SECRET_UNKNOWN, what `authorize` throws. */
export async function listUses(
  context: SecretContext,
  { version, since, ...at }: SecretAt & { version?: number | undefined; since?: Date | undefined },
): Promise<SecretUse[]> {
  const { id } = await findSecret(context, { ...at, action: "list the uses of" });
  return await readUses(context.database, { secretIds: [id], version, since });
}

/** Uses of secrets by their ids, for who has asked for permission. */
export async function readUses(
  database: Queryable,
  asked: { secretIds: readonly string[]; version?: number | undefined; since?: Date | undefined },
): Promise<(SecretUse & { secretId: string })[]> {
  const { rows } = await database.query<
    Omit<SecretUse, "step" | "caller"> & { secretId: string; stepId: string; stepName: string | null; caller: string }
  >(
    `select u.secret_id as "secretId", u.version, u.project_id as "projectId", u.step_id as "stepId", u.caller, u.uses::float8 as uses,
            u.first_used_at as "firstUsedAt", u.last_used_at as "lastUsedAt", u.last_run_id as "lastRunId",
            (select s.name from steps s where u.step_id <> '' and s.id = nullif(u.step_id, '')::uuid
             order by s.version desc limit 1) as "stepName"
     from secret_uses u
     where u.secret_id = any($1) and ($2::int is null or u.version = $2) and ($3::timestamptz is null or u.last_used_at >= $3)
     order by u.last_used_at desc, u.secret_id, u.version desc`,
    [asked.secretIds, asked.version ?? null, asked.since ?? null],
  );
  return rows.map(({ stepId, stepName, caller, ...row }) => ({
    ...row,
    step: stepId === "" ? undefined : { id: stepId, name: stepName ?? undefined },
    caller: caller === "" ? undefined : caller,
  }));
}

const dayMs = 86_400_000;

/** A place's own secrets that no run has used for so many days, nor anybody changed. Throws what `authorize` throws. */
export async function listUnused(
  context: SecretContext,
  { place, days, now = new Date() }: { place: Place; days: number; now?: Date | undefined },
): Promise<SecretMetadata[]> {
  const since = new Date(now.getTime() - days * dayMs);
  const own = (await listSecrets(context, { place, now })).filter(({ inherited }) => !inherited);
  return own.filter(
    ({ lastUsedAt, updatedAt, deleted }) =>
      !deleted && updatedAt < since && (lastUsedAt === null || lastUsedAt < since),
  );
}

/** A place's own secrets whose reminder is due. Throws what `authorize` throws. */
export async function listStale(
  context: SecretContext,
  { place, now = new Date() }: { place: Place; now?: Date | undefined },
): Promise<SecretMetadata[]> {
  const own = (await listSecrets(context, { place, now })).filter(({ inherited }) => !inherited);
  return own.filter(({ rotationDueAt, deleted }) => !deleted && rotationDueAt !== null && rotationDueAt <= now);
}

/** A saved step whose newest version refers to a secret. */
export interface ReferringStep {
  readonly projectId: string;
  readonly id: string;
  readonly version: number;
  readonly name: string;
}

export interface Breakage {
  readonly steps: readonly ReferringStep[];
  /** Uses within the days that were asked for. */
  readonly uses: readonly SecretUse[];
  /** The organization's secret of the same name would be used instead, where one is granted. */
  readonly fallback: boolean;
}

/** Who would break if a secret were deleted or its value changed. Throws ERR_SECRET_UNKNOWN, what `authorize` throws. */
export async function whoWouldBreak(
  context: SecretContext,
  { days = 30, now = new Date(), ...at }: SecretAt & { days?: number | undefined; now?: Date | undefined },
): Promise<Breakage> {
  const { id, name, project } = await findSecret(context, { ...at, action: "look for users of" });
  const uses = await readUses(context.database, { secretIds: [id], since: new Date(now.getTime() - days * dayMs) });
  const ofProject = "projectId" in at.place;
  const { rows } = await context.database.query<ReferringStep & { code: string; inputs: string | null }>(
    // Project by project, so that nobody waits for the steps of others.
    `select s.project_id as "projectId", s.id, s.version, s.name, s.code, s.inputs::text as inputs
     from (${ofProject ? "select project_id as id from secrets where id = $1" : granted}) p
     cross join lateral (select distinct on (id) * from steps where project_id = p.id order by id, version desc) s
     where strpos(s.code, $2) > 0 or strpos(s.inputs::text, $2) > 0
     order by s.project_id, s.name, s.id`,
    [id, name],
  );
  const steps = rows
    .filter(({ code, inputs }) => [code, ...textsOf(inputs)].some((text) => refersTo(text, name)))
    .map(({ projectId, id: stepId, version, name: stepName }) => ({ projectId, id: stepId, version, name: stepName }));
  const fallback = ofProject && (await hasFallback(context, { projectId: project.id, name }));
  return { steps, uses, fallback };
}

/** Projects that use an organization's secret $1 of the name $2, as they have none of their own. */
const granted = `select p.id from secrets t join projects h on h.id = t.project_id
  cross join lateral (
    select project_id as id from secret_grants where secret_id = t.id
    union select id from projects where organization_id = case t.access when 'all' then h.organization_id end) g
  join lateral (select * from projects where id = g.id limit 1) p on p.organization_id = h.organization_id and not p.shared
  left join lateral (
    select 1 as own from secrets where project_id = p.id and name = $2 and deleted_at is null limit 1) o on true
  where t.id = $1 and o.own is null`;

/** References in comments count too: who reads the list may look. */
function refersTo(text: string, name: string): boolean {
  return findReferenceMatches(text).some((match: ReferenceMatch) => namesOf(match.name).includes(name));
}

/** The texts in a step's inputs, at any depth. */
function textsOf(inputs: string | null): string[] {
  if (inputs === null) return [];
  const texts: string[] = [];
  JSON.parse(inputs, (_key, value: unknown) => {
    if (typeof value === "string") texts.push(value);
    return value;
  });
  return texts;
}

async function hasFallback(
  { database }: SecretContext,
  { projectId, name }: { projectId: string; name: string },
): Promise<boolean> {
  const { rowCount } = await database.query(
    `select from secrets s join projects h on h.id = s.project_id and h.shared
     join projects p on p.organization_id = h.organization_id and p.id = $1
     where s.name = $2 and s.deleted_at is null
       and (s.access = 'all' or exists (select from secret_grants g where g.secret_id = s.id and g.project_id = $1))`,
    [projectId, name],
  );
  return rowCount === 1;
}
