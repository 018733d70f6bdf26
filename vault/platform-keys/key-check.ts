/**
 * What somebody who presents a platform key may do, or why the key is refused. What can be told without the database is
 * told first; why a key does not work any more is told only to one who has the key, and to the log of its organization.
 * Whoever stands behind an embed key is asked about at each use. Knows nothing of HTTP: the caller says where the key came
 * from.
 */
import { timingSafeEqual } from "node:crypto";
import type { Queryable } from "../../database/server.ts";
import { type ErrorCode, StepvaultError } from "../../protocol/error.ts";
import { actions, type KeyScope } from "../../protocol/roles.ts";
import type { Actor, KeyActor } from "../tenancy/actor.ts";
import type { AgentKind } from "./agents.ts";
import { authorize } from "../tenancy/authorize.ts";
import { type AuditContext, recordDenial } from "../audit/denials.ts";
import { digestKey, parseKey, type Pepper, type Region } from "./key-format.ts";

/** An embed key: a key without scopes, which the table of roles refuses everything, and the steps that it may start. */
export interface EmbedActor extends KeyActor {
  readonly scopes: readonly [];
  readonly embed: {
    readonly projectId: string;
    readonly agentId: string;
    readonly kind: AgentKind;
    readonly stepIds: readonly string[];
    readonly conversationPrefix: string;
  };
}

export interface CheckedKey {
  readonly actor: KeyActor | EmbedActor;
  /** Of a key that was rotated, and of the embed keys made with it: when it ends, to be told to the caller. */
  readonly endsAt: Date | undefined;
}

export interface KeyCheckContext extends AuditContext {
  /** Counts refusals of what is no key of any organization, by their code. */
  readonly strays?: Map<ErrorCode, number> | undefined;
}

export interface PresentedKey {
  readonly key: string;
  /** Of this deployment. */
  readonly region: Region;
  /** Given when the request came from a browser, with its Origin. */
  readonly browser?: { readonly origin?: string | undefined } | undefined;
  readonly now?: Date | undefined;
}

interface KeyRow {
  id: string;
  organizationId: string;
  projectId: string | null;
  allProjects: boolean;
  projectIds: string[];
  scopes: KeyScope[];
  hint: string;
  digest: Buffer;
  expiresAt: Date | null;
  revokedAt: Date | null;
  rotatedTo: string | null;
  lastUsedAt: Date | null;
  createdByKind: Actor["kind"];
  createdById: string;
}

interface EmbedRow extends Pick<
  KeyRow,
  "id" | "organizationId" | "hint" | "digest" | "expiresAt" | "revokedAt" | "createdByKind" | "createdById"
> {
  projectId: string;
  agentId: string;
  kind: AgentKind;
  public: boolean;
  stepIds: string[];
  conversationPrefix: string;
  origins: string[] | null;
  parentKeyId: string | null;
}

const keyQuery = `select k.id, k.organization_id as "organizationId", k.project_id as "projectId", k.scopes, k.hint, k.digest,
    k.all_projects as "allProjects", k.expires_at as "expiresAt", k.revoked_at as "revokedAt", k.rotated_to as "rotatedTo",
    k.last_used_at as "lastUsedAt", k.created_by_kind as "createdByKind", k.created_by as "createdById",
    array(select p.project_id::text from platform_key_projects p where p.key_id = k.id) as "projectIds"
  from platform_keys k`;

const embedQuery = `select e.id, e.organization_id as "organizationId", e.project_id as "projectId", e.hint, e.digest,
    e.expires_at as "expiresAt", e.revoked_at as "revokedAt", e.created_by_kind as "createdByKind",
    e.created_by as "createdById", e.parent_key_id as "parentKeyId", e.origins, e.agent_id as "agentId", a.kind, a.public,
    e.conversation_prefix as "conversationPrefix",
    array(select s.step_id::text from agent_steps s where s.agent_id = a.id) as "stepIds"
  from embed_keys e join agents a on a.id = e.agent_id`;

/**
 * Throws ERR_KEY_MALFORMED, ERR_KEY_CHECKSUM, ERR_KEY_REGION, ERR_KEY_UNKNOWN, ERR_KEY_REVOKED, ERR_KEY_EXPIRED,
 * ERR_KEY_PARENT, ERR_AGENT_PRIVATE, ERR_KEY_BROWSER, and ERR_KEY_BUDGET, which a successful check of an embed key counts
 * towards: call it once per request. A refusal of a key that is there, from ERR_KEY_REVOKED on, leaves an event.
 */
export async function checkKey(
  context: KeyCheckContext,
  pepper: Pepper,
  { key, region, browser, now = new Date() }: PresentedKey,
): Promise<CheckedKey> {
  const stored = await findKey(context.database, pepper, { key, region }).catch((error: unknown) => {
    if (error instanceof StepvaultError) countStray(context, error.code);
    throw error;
  });
  try {
    return stored.type === "embed-key"
      ? await checkEmbedKey(context.database, stored.row, { browser, now })
      : await checkPlatformKey(context.database, stored.row, { browser, now });
  } catch (error) {
    await recordRefusal(context, error, stored);
    throw error;
  }
}

/** Whether an embed key reaches a step. */
export function reachesStep({ embed }: EmbedActor, stepId: string): boolean {
  return embed.stepIds.includes(stepId.toLowerCase());
}

type StoredKey =
  | { readonly type: "key"; readonly row: KeyRow }
  | { readonly type: "embed-key"; readonly row: EmbedRow };

/** Throws for what is no key of this deployment. */
async function findKey(
  database: Queryable,
  pepper: Pepper,
  { key, region }: Pick<PresentedKey, "key" | "region">,
): Promise<StoredKey> {
  const parsed = parseKey(key);
  if (!parsed.ok) throw unreadable(parsed.why);
  const { kind, hint } = parsed;
  if (parsed.region !== region)
    throw refused("ERR_KEY_REGION", hint, `it is of the region ${parsed.region}, and this is ${region}`);
  const digests = [pepper, ...(pepper.earlier ?? [])].map((one) => digestKey(one.key, key));
  if (kind === "embed") {
    const row = await find<EmbedRow>(database, `${embedQuery} where e.digest = any($1)`, { digests, hint });
    return { type: "embed-key", row };
  }
  return { type: "key", row: await find<KeyRow>(database, `${keyQuery} where k.digest = any($1)`, { digests, hint }) };
}

/** The log of a refusal has ids: nothing of the key, and nothing of what came along with it. */
async function recordRefusal(context: AuditContext, error: unknown, { type, row }: StoredKey): Promise<void> {
  const { id, organizationId, projectId } = row;
  await recordDenial(context, error, {
    organizationId,
    projectId: projectId ?? undefined,
    class: "authentication",
    event: `${type}.presented`,
    actor: { kind: "key", id },
    target: [{ type, id }],
  });
}

/** A number for each code; there is nothing to remember of what is no key. */
function countStray({ strays }: KeyCheckContext, code: ErrorCode): void {
  strays?.set(code, (strays.get(code) ?? 0) + 1);
}

async function checkPlatformKey(
  database: Queryable,
  row: KeyRow,
  { browser, now }: { browser: PresentedKey["browser"]; now: Date },
): Promise<CheckedKey> {
  refuseEnded(row, now);
  if (browser !== undefined) throw refused("ERR_KEY_BROWSER", row.hint, "it came from a browser, where it must not be");
  await touch(database, row, now);
  return { actor: actorOf(row), endsAt: endOf(row) };
}

async function checkEmbedKey(
  database: Queryable,
  row: EmbedRow,
  { browser, now }: { browser: PresentedKey["browser"]; now: Date },
): Promise<CheckedKey> {
  const { hint } = row;
  refuseEnded(row, now);
  const endsAt = await checkMaker(database, row, now);
  if (!row.public) throw refused("ERR_AGENT_PRIVATE", hint, `its ${row.kind} is private`);
  if (row.origins !== null && !row.origins.includes(browser?.origin ?? ""))
    throw refused("ERR_KEY_BROWSER", hint, `it did not come from one of its ${row.origins.length} origins`);
  await spend(database, row, now);
  const { id, organizationId, projectId, agentId, kind, stepIds, conversationPrefix } = row;
  const embed = { projectId, agentId, kind, stepIds, conversationPrefix };
  const actor: EmbedActor = { kind: "key", id, organizationId, projects: [projectId], scopes: [], embed };
  return { actor, endsAt };
}

async function find<Row extends { digest: Buffer }>(
  database: Queryable,
  query: string,
  { digests, hint }: { digests: readonly Buffer[]; hint: string },
): Promise<Row> {
  const { rows } = await database.query<Row>(query, [digests]);
  const row = rows[0];
  // The index found it by its bytes; that they are equal is still decided here, in constant time.
  const matches = row !== undefined && digests.some((digest) => isEqual(digest, row.digest));
  if (matches) return row;
  throw refused("ERR_KEY_UNKNOWN", hint, "there is no such key");
}

function isEqual(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function refuseEnded(
  { revokedAt, expiresAt, hint }: Pick<KeyRow, "revokedAt" | "expiresAt" | "hint">,
  now: Date,
): void {
  if (revokedAt !== null) throw refused("ERR_KEY_REVOKED", hint, `it was revoked at ${revokedAt.toISOString()}`);
  if (expiresAt !== null && expiresAt <= now)
    throw refused("ERR_KEY_EXPIRED", hint, `it expired at ${expiresAt.toISOString()}`);
}

/** Whoever made an embed key must still be able to start runs in its project: a key, and the person who made that key. */
async function checkMaker(database: Queryable, row: EmbedRow, now: Date): Promise<Date | undefined> {
  let maker = { kind: row.createdByKind, id: row.createdById };
  let endsAt: Date | undefined;
  if (row.parentKeyId !== null) {
    const { rows } = await database.query<KeyRow>(`${keyQuery} where k.id = $1`, [row.parentKeyId]);
    const parent = rows[0]!;
    try {
      refuseEnded(parent, now);
    } catch {
      throw refused("ERR_KEY_PARENT", row.hint, "the key that made it was revoked or expired");
    }
    await requireTrigger(database, actorOf(parent), row);
    maker = { kind: parent.createdByKind, id: parent.createdById };
    endsAt = endOf(parent);
  }
  if (maker.kind === "person") await requireTrigger(database, { kind: "person", id: maker.id }, row);
  return endsAt;
}

async function requireTrigger(database: Queryable, actor: Actor, { projectId, hint }: EmbedRow): Promise<void> {
  try {
    await authorize(database, actor, "run.trigger", { projectId });
  } catch (error) {
    const denied = error instanceof StepvaultError && /^ERR_(FORBIDDEN|PROJECT_UNKNOWN)$/.test(error.code);
    if (!denied) throw error;
    throw refused("ERR_KEY_PARENT", hint, `its maker may no longer ${actions["run.trigger"].meaning} in the project`);
  }
}

function actorOf({ id, organizationId, projectId, allProjects, projectIds, scopes }: KeyRow): KeyActor {
  const projects = projectId === null ? (allProjects ? "all" : projectIds) : [projectId];
  return { kind: "key", id, organizationId, projects, scopes };
}

function endOf({ rotatedTo, expiresAt }: KeyRow): Date | undefined {
  return rotatedTo === null ? undefined : (expiresAt ?? undefined);
}

/** At most one write a minute, and none that goes back. */
async function touch(database: Queryable, { id, lastUsedAt }: KeyRow, now: Date): Promise<void> {
  const minute = minuteOf(now);
  if (lastUsedAt !== null && lastUsedAt >= minute) return;
  await database.query(
    "update platform_keys set last_used_at = $2 where id = $1 and (last_used_at is null or last_used_at < $2)",
    [id, minute],
  );
}

/** Counts a request in one statement, whatever else counts at the same time. */
async function spend(database: Queryable, { id, hint }: EmbedRow, now: Date): Promise<void> {
  const { rowCount } = await database.query(
    `update embed_keys set last_used_at = greatest(last_used_at, $2), requests_used = requests_used + 1,
       minute_used = case when minute >= $2 then minute_used + 1 else 1 end, minute = greatest(minute, $2)
     where id = $1 and revoked_at is null and (requests_max is null or requests_used < requests_max)
       and (requests_per_minute_max is null or minute is null or minute < $2 or minute_used < requests_per_minute_max)`,
    [id, minuteOf(now)],
  );
  if (rowCount !== 1) throw refused("ERR_KEY_BUDGET", hint, "its requests are used up, in total or for this minute");
}

function minuteOf(now: Date): Date {
  return new Date(Math.floor(now.getTime() / 60_000) * 60_000);
}

function unreadable(why: "malformed" | "checksum"): StepvaultError {
  if (why === "malformed")
    return new StepvaultError("ERR_KEY_MALFORMED", "Cannot use the key: it does not have the form of a platform key");
  return new StepvaultError(
    "ERR_KEY_CHECKSUM",
    "Cannot use the key: its checksum does not fit; it was mistyped or cut",
  );
}

function refused(code: ErrorCode, hint: string, why: string): StepvaultError {
  return new StepvaultError(code, `Cannot use the key ${hint}: ${why}`);
}
