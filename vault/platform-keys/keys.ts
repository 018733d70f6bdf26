/**
 * Platform keys of projects and organizations: making, listing, changing, rotating and ending them. The key itself is
 * given once, by what made it. A project sees the organization's keys that cover it and changes none of them. Nothing
 * prolongs a key's life. Checking a presented key is in key-check.ts.
 */
import type { Queryable } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { createId, idSchema } from "../../protocol/ids.ts";
import { type Action, type KeyScope, keyScopes } from "../../protocol/roles.ts";
import type { Actor } from "../tenancy/actor.ts";
import { decide, type Permission, type Place } from "../tenancy/authorize.ts";
import { digestKey, generateKey, hintOf, type Pepper, type Region } from "./key-format.ts";
import { dayMs, type KeyExpiry, parseExpiry } from "./key-policies.ts";
import { type Act, type ActContext, perform, permit } from "../audit/perform.ts";
import { parseId } from "../tenancy/tenancy.ts";

const graceDaysMax = 30;
const nameCharactersMax = 200;

/** Of what a scope allows, that which the fewest may do. */
const mostOf: Readonly<Record<KeyScope, Action>> = {
  trigger: "run.trigger",
  "read:runs": "run.read",
  "manage:secrets": "project.credentials.manage",
  admin: "project.manage",
};

/** The deployment's own part in a new key. */
export interface KeyIssuer {
  readonly region: Region;
  readonly pepper: Pepper;
}

/** The projects that an organization's key is for. */
export type KeyAccess = "all" | readonly string[];

export interface KeyMetadata {
  readonly id: string;
  readonly organizationId: string;
  /** Null: a key of the organization. */
  readonly projectId: string | null;
  readonly name: string;
  readonly scopes: readonly KeyScope[];
  readonly access: "project" | "all" | "selected";
  /** Of a selected access; the organization's list alone has it, as a project need not know of others. */
  readonly projectIds?: readonly string[];
  readonly region: Region;
  readonly hint: string;
  /** `rotated`: it has a successor and still works, until `expiresAt`. */
  readonly state: "active" | "rotated" | "expired" | "revoked";
  /** Of the organization, in a project's list: to be used there, and changed in the organization only. */
  readonly inherited: boolean;
  readonly createdBy: { readonly kind: Actor["kind"]; readonly id: string };
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
  readonly rotatedFrom: string | null;
  readonly rotatedTo: string | null;
  readonly lastUsedAt: Date | null;
}

/** `key` is here and nowhere else. */
export interface IssuedKey {
  readonly key: string;
  readonly metadata: KeyMetadata;
}

interface NewKey {
  readonly name: string;
  readonly scopes: readonly KeyScope[];
  readonly expiry: KeyExpiry;
  readonly issuer: KeyIssuer;
  readonly now?: Date | undefined;
}

interface KeyAt {
  readonly place: Place;
  readonly keyId: string;
  readonly now?: Date | undefined;
}

interface KeyRow extends Omit<KeyMetadata, "access" | "state" | "inherited" | "createdBy"> {
  readonly allProjects: boolean;
  readonly projectIds: readonly string[];
  readonly createdByKind: Actor["kind"];
  readonly createdById: string;
}

const columns = `k.id, k.organization_id as "organizationId", k.project_id as "projectId", k.name, k.scopes, k.region, k.hint,
  k.all_projects as "allProjects", k.created_by_kind as "createdByKind", k.created_by as "createdById",
  k.created_at as "createdAt", k.expires_at as "expiresAt", k.revoked_at as "revokedAt",
  k.rotated_from as "rotatedFrom", k.rotated_to as "rotatedTo", k.last_used_at as "lastUsedAt",
  array(select p.project_id::text from platform_key_projects p where p.key_id = k.id order by 1) as "projectIds"`;

/** Throws ERR_KEY_INVALID, ERR_KEY_EXPIRY_INVALID, and what `authorize` throws. */
export async function createProjectKey(
  context: ActContext,
  { projectId, ...wanted }: NewKey & { projectId: string },
): Promise<IssuedKey> {
  return await create(context, { place: { projectId }, access: [], wanted });
}

/** Throws ERR_KEY_INVALID, also for a project of another organization, ERR_KEY_EXPIRY_INVALID, and what `authorize` throws. */
export async function createOrganizationKey(
  context: ActContext,
  { organizationId, access, ...wanted }: NewKey & { organizationId: string; access: KeyAccess },
): Promise<IssuedKey> {
  return await create(context, { place: { organizationId }, access, wanted });
}

async function create(
  context: ActContext,
  { place, access, wanted }: { place: Place; access: KeyAccess; wanted: NewKey },
): Promise<IssuedKey> {
  return await perform(context, actOf(place, "key.created"), async (client, permission) => {
    const { key, row } = await insertKey(client, { permission, actor: context.actor, access, wanted });
    return { result: { key, metadata: metadataOf(row, wanted) }, target: targetOf(row), details: detailsOf(row) };
  });
}

/** The project's own keys and those of the organization that cover it, oldest first; without the deleted ones. */
export async function listProjectKeys(
  context: ActContext,
  { projectId, now }: { projectId: string; now?: Date },
): Promise<KeyMetadata[]> {
  const id = parseId(projectId, "project");
  const act = { action: "project.keys.read", place: { projectId: id }, event: "key.listed" } as const;
  const { organizationId } = await permit(context, act);
  const { rows } = await context.database.query<KeyRow>(
    `select ${columns} from platform_keys k where k.organization_id = $1 and k.deleted_at is null and k.id in (
       select id from platform_keys where project_id = $2
       union all select key_id from platform_key_projects where project_id = $2
       union all select id from platform_keys
         where organization_id = $1 and all_projects and project_id is null and deleted_at is null)
     order by k.created_at, k.id`,
    [organizationId, id],
  );
  return rows.map((row) => metadataOf(row, { now, projectId: id }));
}

/** The organization's own keys, oldest first; without the deleted ones. */
export async function listOrganizationKeys(
  context: ActContext,
  { organizationId, now }: { organizationId: string; now?: Date },
): Promise<KeyMetadata[]> {
  const id = parseId(organizationId, "organization");
  const place = { organizationId: id };
  await permit(context, { action: "organization.keys.manage", place, event: "key.listed" });
  const { rows } = await context.database.query<KeyRow>(
    `select ${columns} from platform_keys k
     where k.organization_id = $1 and k.project_id is null and k.deleted_at is null order by k.created_at, k.id`,
    [id],
  );
  return rows.map((row) => metadataOf(row, { now }));
}

/** Throws ERR_KEY_ID_UNKNOWN, ERR_KEY_INHERITED, ERR_KEY_REVOKED, ERR_KEY_INVALID, and what `authorize` throws. */
export async function changeKey(
  context: ActContext,
  { place, keyId, now, ...change }: KeyAt & { name?: string; scopes?: readonly KeyScope[]; access?: KeyAccess },
): Promise<KeyMetadata> {
  return await perform(context, actOf(place, "key.changed"), async (client, permission) => {
    const before = await lockKey(client, permission, keyId);
    refuseRevoked(before, "change");
    const { access } = change;
    const [name, scopes] = [parseName(change.name ?? before.name), parseScopes(change.scopes ?? before.scopes)];
    if (change.scopes !== undefined) await requireScopes(client, { permission, actor: context.actor, scopes });
    await client.query("update platform_keys set name = $2, scopes = $3 where id = $1", [before.id, name, scopes]);
    if (access !== undefined) {
      if (before.projectId !== null) throw invalid("a project's key is for its project alone");
      await client.query("update platform_keys set all_projects = $2 where id = $1", [before.id, access === "all"]);
      await client.query("delete from platform_key_projects where key_id = $1", [before.id]);
      await coverProjects(client, { keyId: before.id, organizationId: before.organizationId, access });
    }
    const row = await lockKey(client, permission, before.id);
    return { result: metadataOf(row, { now }), target: targetOf(row), details: detailsOf(row) };
  });
}

/**
 * Makes a successor with the same name, scopes and access, and an expiry of its own. The old key ends after the grace, or
 * with its own expiry when that is sooner. Throws ERR_KEY_ROTATED, ERR_KEY_REVOKED, ERR_KEY_EXPIRY_INVALID,
 * ERR_KEY_ID_UNKNOWN, ERR_KEY_INHERITED, and what `authorize` throws.
 */
export async function rotateKey(
  context: ActContext,
  {
    place,
    keyId,
    graceDays,
    now = new Date(),
    ...wanted
  }: KeyAt & { graceDays: number; expiry: KeyExpiry; issuer: KeyIssuer },
): Promise<IssuedKey> {
  if (!(graceDays >= 0 && graceDays <= graceDaysMax)) {
    const why = `the overlap is ${graceDays} days, 0 to ${graceDaysMax} are allowed`;
    throw new StepvaultError("ERR_KEY_EXPIRY_INVALID", `Cannot rotate the key: ${why}`);
  }
  return await perform(context, actOf(place, "key.rotated"), async (client, permission) => {
    const old = await lockKey(client, permission, keyId);
    if (old.rotatedTo !== null)
      throw new StepvaultError(
        "ERR_KEY_ROTATED",
        `Cannot rotate the key ${old.hint}: its successor is ${old.rotatedTo}`,
      );
    refuseRevoked(old, "rotate");
    const { key, row } = await insertKey(client, {
      permission,
      actor: context.actor,
      access: old.allProjects ? "all" : old.projectIds,
      wanted: { name: old.name, scopes: old.scopes, now, ...wanted },
      rotatedFrom: old.id,
    });
    // least() passes over null: a key without an expiry gets one, and no key lives longer than it would have.
    await client.query("update platform_keys set rotated_to = $2, expires_at = least(expires_at, $3) where id = $1", [
      old.id,
      row.id,
      new Date(now.getTime() + graceDays * dayMs),
    ]);
    const target = [...targetOf(old), ...targetOf(row)];
    return { result: { key, metadata: metadataOf(row, { now }) }, target, details: { ...detailsOf(row), graceDays } };
  });
}

/** The key stops at once and stays listed as revoked. Throws ERR_KEY_ID_UNKNOWN, ERR_KEY_INHERITED, and what `authorize` throws. */
export async function revokeKey(context: ActContext, key: KeyAt): Promise<void> {
  await end(context, key, { event: "key.revoked", deleted: false });
}

/** The key stops at once and leaves the lists. Throws ERR_KEY_ID_UNKNOWN, ERR_KEY_INHERITED, and what `authorize` throws. */
export async function deleteKey(context: ActContext, key: KeyAt): Promise<void> {
  await end(context, key, { event: "key.deleted", deleted: true });
}

async function end(
  context: ActContext,
  { place, keyId, now = new Date() }: KeyAt,
  { event, deleted }: { event: string; deleted: boolean },
): Promise<void> {
  await perform(context, actOf(place, event), async (client, permission) => {
    const row = await lockKey(client, permission, keyId);
    await client.query(
      `update platform_keys set revoked_at = coalesce(revoked_at, $2), deleted_at = case when $3 then $2 end where id = $1`,
      [row.id, now, deleted],
    );
    return { result: undefined, target: targetOf(row) };
  });
}

async function insertKey(
  client: Queryable,
  request: { permission: Permission; actor: Actor; access: KeyAccess; wanted: NewKey; rotatedFrom?: string },
): Promise<{ key: string; row: KeyRow }> {
  const { permission, actor, access, wanted, rotatedFrom = null } = request;
  const { organizationId, projectId } = permission;
  const { issuer, expiry, now = new Date() } = wanted;
  const [name, scopes] = [parseName(wanted.name), parseScopes(wanted.scopes)];
  await requireScopes(client, { permission, actor, scopes });
  const expiresAt = await parseExpiry(client, { organizationId, expiry, now });
  const key = generateKey(projectId === undefined ? "organization" : "project", issuer.region);
  const id = createId();
  await client.query(
    `insert into platform_keys (id, organization_id, project_id, all_projects, name, scopes, region, digest,
       pepper_version, hint, created_by_kind, created_by, created_at, expires_at, rotated_from)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
    [
      id,
      organizationId,
      projectId ?? null,
      access === "all",
      name,
      scopes,
      issuer.region,
      digestKey(issuer.pepper.key, key),
      issuer.pepper.version,
      hintOf(key),
      actor.kind,
      actor.id,
      now,
      expiresAt,
      rotatedFrom,
    ],
  );
  if (projectId === undefined) await coverProjects(client, { keyId: id, organizationId, access });
  return { key, row: await lockKey(client, permission, id) };
}

/** Throws ERR_FORBIDDEN for a scope that allows what the actor may not do: a key would make them more than they are. */
async function requireScopes(
  client: Queryable,
  { permission, actor, scopes }: { permission: Permission; actor: Actor; scopes: readonly KeyScope[] },
): Promise<void> {
  const { organizationId, projectId } = permission;
  for (const scope of scopes) {
    const place = projectId === undefined ? { organizationId } : { projectId };
    const { refusal } = await decide(client, actor, mostOf[scope], place);
    if (refusal === undefined) continue;
    throw new StepvaultError("ERR_FORBIDDEN", `Cannot give a key the scope ${scope}: ${refusal.message}`);
  }
}

async function coverProjects(
  client: Queryable,
  { keyId, organizationId, access }: { keyId: string; organizationId: string; access: KeyAccess },
): Promise<void> {
  if (access === "all") return;
  const ids = new Set(access.map((id) => parseId(id, "project")));
  const { rowCount } = await client.query(
    `insert into platform_key_projects (key_id, project_id)
     select $1, id from projects where organization_id = $2 and id = any($3) and not shared`,
    [keyId, organizationId, [...ids]],
  );
  if (ids.size === 0 || rowCount !== ids.size)
    throw invalid(`${rowCount} of ${ids.size} selected projects are the organization's; it takes one, and all of them`);
}

/** The row of a key that may be changed in this place, locked until the transaction ends. */
async function lockKey(client: Queryable, permission: Permission, keyId: string): Promise<KeyRow> {
  const { organizationId, projectId = null } = permission;
  const { rows } = await client.query<KeyRow>(
    `select ${columns} from platform_keys k
     where k.id = $1 and k.organization_id = $2 and k.deleted_at is null for update of k`,
    [parseKeyId(keyId), organizationId],
  );
  const row = rows[0];
  if (row?.projectId === projectId) return row;
  const covered = projectId !== null && (row?.allProjects === true || row?.projectIds.includes(projectId) === true);
  if (covered) {
    const why = "it is inherited, and changed in the organization only";
    throw new StepvaultError("ERR_KEY_INHERITED", `Cannot change the key ${row.hint} in the project: ${why}`);
  }
  throw unknownKeyId();
}

function actOf(place: Place, event: string): Act {
  if ("organizationId" in place) {
    const organizationId = parseId(place.organizationId, "organization");
    return { action: "organization.keys.manage", place: { organizationId }, event };
  }
  return { action: "project.keys.manage", place: { projectId: parseId(place.projectId, "project") }, event };
}

function metadataOf(row: KeyRow, at: { now?: Date | undefined; projectId?: string }): KeyMetadata {
  const { allProjects, projectIds, createdByKind, createdById, ...rest } = row;
  const inherited = at.projectId !== undefined && row.projectId === null;
  const access = row.projectId === null ? (allProjects ? "all" : "selected") : "project";
  const metadata = { ...rest, access, inherited, createdBy: { kind: createdByKind, id: createdById } } as const;
  const state = stateOf(row, at.now ?? new Date());
  return access === "selected" && !inherited ? { ...metadata, state, projectIds } : { ...metadata, state };
}

function stateOf({ revokedAt, expiresAt, rotatedTo }: KeyRow, now: Date): KeyMetadata["state"] {
  if (revokedAt !== null) return "revoked";
  if (expiresAt !== null && expiresAt <= now) return "expired";
  return rotatedTo === null ? "active" : "rotated";
}

function targetOf({ id, name }: KeyRow): [{ type: string; id: string; name: string }] {
  return [{ type: "key", id, name }];
}

function detailsOf({ scopes, hint, expiresAt, allProjects, projectIds }: KeyRow): Record<string, string | null> {
  const access = allProjects ? "all" : projectIds.join(" ");
  return { scopes: scopes.join(" "), hint, expiresAt: expiresAt?.toISOString() ?? null, access };
}

function parseName(name: string): string {
  const characters = Array.from(name).length;
  if (characters >= 1 && characters <= nameCharactersMax && name.isWellFormed() && !name.includes("\0")) return name;
  throw invalid(
    `its name has ${characters} characters, 1 to ${nameCharactersMax} of Unicode text without NUL are allowed`,
  );
}

function parseScopes(scopes: readonly KeyScope[]): KeyScope[] {
  const known = keyScopes.filter((scope) => scopes.includes(scope));
  if (known.length > 0 && scopes.every((scope) => keyScopes.includes(scope))) return known;
  throw invalid(`it takes one or more of the scopes ${keyScopes.join(", ")}`);
}

export function parseKeyId(id: string): string {
  const parsed = idSchema.safeParse(id);
  if (parsed.success) return parsed.data;
  throw unknownKeyId();
}

/** Without the id: somebody may have pasted the key itself. */
export function unknownKeyId(): StepvaultError {
  return new StepvaultError("ERR_KEY_ID_UNKNOWN", "Cannot find the key: no such id here");
}

function refuseRevoked({ revokedAt, hint }: KeyRow, action: string): void {
  if (revokedAt === null) return;
  throw new StepvaultError("ERR_KEY_REVOKED", `Cannot ${action} the key ${hint}: it was revoked`);
}

function invalid(why: string): StepvaultError {
  return new StepvaultError("ERR_KEY_INVALID", `Cannot make or change the key: ${why}`);
}
