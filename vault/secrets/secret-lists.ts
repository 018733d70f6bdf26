/**
 * Lists of secrets: what a place has, what projects inherit of their organization, their histories, and whether the rows are
 * those that were written. No value is opened. A row that is not as it was written is listed and marked, so that one broken
 * row hides none of the others.
 */
import { readablePolicy, type SecretPolicy } from "../../protocol/secret-policy.ts";
import type { Actor } from "../tenancy/actor.ts";
import type { Place } from "../tenancy/authorize.ts";
import { isGranted, type SecretLevel } from "./candidates.ts";
import { type SecretContext, secretAction } from "./context.ts";
import { credentialName, isSecretName } from "../credentials/credential-entries.ts";
import { SealBrokenError } from "../encryption/crypto.ts";
import { findProjectKey } from "../encryption/data-keys.ts";
import { type ManifestEntry, readEntries } from "../encryption/manifest.ts";
import { permit } from "../audit/perform.ts";
import { parsePolicyText } from "./policies.ts";
import { riskOf } from "./secret-hints.ts";
import { parseSecretName, secretError } from "./secret-rows.ts";
import type { SecretAt } from "./secret-change.ts";
import { readLevels } from "../credentials/stored-credentials.ts";
import { readProjectVersions, withOpenProject } from "./stored-versions.ts";
import { findSharedProject, getProject, type Project } from "../tenancy/tenancy.ts";

export interface SecretMetadata {
  readonly id: string;
  readonly name: string;
  readonly level: SecretLevel;
  /** Who can act with it, in a sentence; `secretAccess` counts them. */
  readonly risk: string;
  /** Of the organization, in a project's list: to be used there, and changed in the organization only. */
  readonly inherited: boolean;
  readonly version: number;
  readonly disabled: boolean;
  readonly deleted: boolean;
  readonly expiresAt: Date | null;
  readonly expired: boolean;
  readonly description: string;
  readonly tags: readonly string[];
  readonly rotationDays: number | null;
  /** When the version in use should be changed, by the reminder. */
  readonly rotationDueAt: Date | null;
  /** Of the organization's: whether all projects may use it, or those that are listed. */
  readonly access: "all" | "selected" | null;
  /** Whether the value is long enough for redaction to mask it. */
  readonly maskable: boolean;
  /** What the row says; undefined when that is no policy. */
  readonly policy: SecretPolicy | undefined;
  /** The row is not the one that was written: a run that refers to it is rejected. */
  readonly tampered: boolean;
  readonly lastUsedAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** The secrets of a place by name; of a project with those that it inherits after its own. Throws what `authorize` throws. */
export async function listSecrets(
  context: SecretContext,
  { place, now = new Date() }: { place: Place; now?: Date | undefined },
): Promise<SecretMetadata[]> {
  const { database } = context;
  const { own, organizationId, projectId } = await projectsOf(context, place);
  const level = projectId === undefined ? "organization" : "project";
  const secrets = own === undefined ? [] : await readPlace(context, own, { level, now });
  if (projectId === undefined) return secrets;
  const shared = await findSharedProject(database, organizationId);
  if (shared === undefined) return secrets;
  const inherited = await readPlace(context, shared, { level: "organization", now, grantedTo: projectId });
  const proven = own !== undefined && (await findProjectKey(database, own)) !== undefined;
  return [...secrets, ...inherited.map((secret) => ({ ...secret, tampered: secret.tampered || !proven }))];
}

/**
 * Names of secrets whose rows are not as they were written, and of those whose rows are gone; and likewise `credential openai`,
 * `inheritance model` and `inheritance model openai`.
 */
export interface SecretVerdict {
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** The project's key or its manifest is not what was stored: nothing can be proven. */
  readonly unproven: boolean;
}

/** Compares all rows of a place with what was written. Throws what `authorize` throws. */
export async function verifySecrets(context: SecretContext, place: Place): Promise<SecretVerdict> {
  const { own, organizationId } = await projectsOf(context, place);
  if (own === undefined) {
    // Stepvault makes the project that lists them before it writes one.
    const { levels } = await readLevels(context.database, { levels: ["organization"], organizationId });
    const changed = levels[0]!.credentials.map(({ integration }) => credentialName(integration));
    return { changed, removed: [], unproven: false };
  }
  const verdict = await verdictOf(context, own);
  const granted = verdict.unproven ? [] : await falselyGranted(context, own);
  return { ...verdict, changed: [...new Set([...verdict.changed, ...granted])] };
}

/** Names of secrets with a grant that is of another secret, project or list: it lets nobody in, and somebody wrote it. */
async function falselyGranted({ database, master }: SecretContext, project: Project): Promise<string[]> {
  const { rows } = await database.query<{ name: string; grantedTo: string } & Parameters<typeof isGranted>[1]>(
    `select s.name, s.id as "secretId", nullif(s.access, 'all') as access, g.project_id as "grantedTo", g.mac as "grantMac"
     from secrets s cross join lateral (select * from secret_grants where secret_id = s.id offset 0) g
     where s.project_id = $1 order by s.name`,
    [project.id],
  );
  if (rows.length === 0) return [];
  const read = await readProjectVersions(database, { projectId: project.id, names: [] });
  return await withOpenProject(master, read!.project, (open) =>
    rows.filter(({ grantedTo, ...grant }) => !isGranted(open, grant, grantedTo)).map(({ name }) => name),
  );
}

async function verdictOf(context: SecretContext, project: Project): Promise<SecretVerdict> {
  const { database, master } = context;
  // In one moment: a secret that is written in between would look like one that was changed.
  return await database.transaction(async (client) => {
    await client.query("set transaction isolation level repeatable read, read only");
    const read = await readProjectVersions(client, { projectId: project.id, names: [] });
    const rows = await readEntries(client, project.id);
    // Before the first manifest there are secrets at most.
    const added = [...rows.keys()].filter((name) => !isSecretName(name));
    if (read === undefined || (read.project.key === undefined && rows.size === added.length))
      return { changed: added, removed: [], unproven: false };
    try {
      return await withOpenProject(master, read.project, ({ manifest }) => {
        if (manifest === undefined) return { changed: added, removed: [], unproven: false };
        const names = new Set([...rows.keys(), ...manifest.keys()]);
        return {
          changed: [...names].filter((name) => rows.has(name) && !isSame(rows.get(name), manifest.get(name))),
          removed: [...names].filter((name) => !rows.has(name) && !isRemoved(name, manifest.get(name))),
          unproven: false,
        };
      });
    } catch (error) {
      if (error instanceof SealBrokenError) return { changed: [], removed: [], unproven: true };
      throw error;
    }
  });
}

/** What stays listed of a credential that was removed. */
function isRemoved(name: string, entry: ManifestEntry | undefined): boolean {
  return !isSecretName(name) && entry?.state.deleted === true;
}

function isSame(a: ManifestEntry | undefined, b: ManifestEntry | undefined): boolean {
  return a !== undefined && b !== undefined && JSON.stringify(flat(a)) === JSON.stringify(flat(b));
}

function flat({ version, digest, state }: ManifestEntry): unknown[] {
  const { disabled, deleted, expiresAt, access, destroyed } = state;
  return [version, digest, disabled, deleted, expiresAt, access, ...destroyed];
}

interface Row extends Omit<
  SecretMetadata,
  "level" | "risk" | "inherited" | "policy" | "tampered" | "expired" | "access"
> {
  readonly policy: string | null;
  readonly access: string | null;
}

/** Without those whose grant somebody copied from another secret, project or list. */
async function provenGrants(
  { database, master }: SecretContext,
  { rows, project, grantedTo }: { rows: Row[]; project: Project; grantedTo: string },
): Promise<Row[]> {
  const read = await readProjectVersions(database, {
    projectId: project.id,
    names: rows.map(({ name }) => name),
    grantsTo: grantedTo,
  });
  const grants = new Map(read!.versions.map(({ secretId, grantMac }) => [secretId, grantMac]));
  return await withOpenProject(master, read!.project, (open) =>
    rows.filter(({ id, access }) =>
      isGranted(open, { secretId: id, access, grantMac: grants.get(id) ?? null }, grantedTo),
    ),
  );
}

async function readPlace(
  context: SecretContext,
  project: Project,
  { level, now, grantedTo }: { level: SecretLevel; now: Date; grantedTo?: string },
): Promise<SecretMetadata[]> {
  const { rows } = await context.database.query<Row>(
    `select s.id, s.name, s.current_version as version, s.disabled_at is not null as disabled,
            s.deleted_at is not null as deleted, s.expires_at as "expiresAt", s.description, s.tags,
            s.rotation_days as "rotationDays", v.created_at + make_interval(days => s.rotation_days) as "rotationDueAt",
            s.access, coalesce(v.maskable, true) as maskable, v.policy, s.created_at as "createdAt", s.updated_at as "updatedAt",
            (select max(u.last_used_at) from secret_uses u
             where u.secret_id = s.id and ($2::uuid is null or u.project_id = $2)) as "lastUsedAt"
     from secrets s left join secret_versions v on v.secret_id = s.id and v.version = s.current_version
     left join secret_grants g on g.secret_id = s.id and g.project_id = $2
     where s.project_id = $1
       and ($2::uuid is null or (s.deleted_at is null and (s.access = 'all' or g.mac is not null)))
     order by s.name`,
    [project.id, grantedTo ?? null],
  );
  if (rows.length === 0) return [];
  const { changed, removed, unproven } = await verdictOf(context, project);
  // One without a version is hidden from use, and not from here.
  const wrong = new Set([...changed, ...removed]);
  const listed = grantedTo === undefined || unproven ? rows : await provenGrants(context, { rows, project, grantedTo });
  return listed.map(({ policy: text, access, ...row }) => {
    const policy = parsePolicyText(text);
    return {
      ...row,
      level,
      risk: riskOf({ level, access: accessOf(access), policy: policy ?? readablePolicy }),
      inherited: grantedTo !== undefined,
      access: accessOf(access),
      policy,
      tampered: unproven || wrong.has(row.name) || policy === undefined,
      expired: row.expiresAt !== null && row.expiresAt <= now,
    };
  });
}

/** Whom the column `access` lets: the number of a list is nobody's business. */
export function accessOf(access: string | null): SecretMetadata["access"] {
  return access === null || access === "all" ? access : "selected";
}

export interface SecretVersion {
  readonly version: number;
  readonly current: boolean;
  readonly createdAt: Date;
  readonly createdBy: { readonly kind: Actor["kind"]; readonly id: string } | undefined;
  readonly policy: SecretPolicy | undefined;
  readonly destroyedAt: Date | null;
  /** It ends by itself, once unused for so long. */
  readonly endUnusedHours: number | null;
  readonly uses: number;
  readonly lastUsedAt: Date | null;
}

/** The versions of a secret, the latest first. Throws ERR_SECRET_UNKNOWN, and what `authorize` throws. */
export async function listVersions(context: SecretContext, { place, ...at }: SecretAt): Promise<SecretVersion[]> {
  const secret = await findSecret(context, { place, ...at, action: "list the versions of" });
  const { rows } = await context.database.query<
    Omit<SecretVersion, "policy" | "createdBy" | "current"> & {
      policy: string | null;
      kind: Actor["kind"] | null;
      by: string;
    }
  >(
    `select v.version, v.created_at as "createdAt", v.created_by_kind as kind, v.created_by as by, v.policy,
            v.destroyed_at as "destroyedAt", v.end_unused_hours as "endUnusedHours", u.uses, u."lastUsedAt"
     from secret_versions v
     left join lateral (
       select coalesce(sum(uses), 0)::float8 as uses, max(last_used_at) as "lastUsedAt"
       from secret_uses where secret_id = v.secret_id and version = v.version) u on true
     where v.secret_id = $1 order by v.version desc`,
    [secret.id],
  );
  return rows.map(({ kind, by, policy, ...row }) => ({
    ...row,
    policy: parsePolicyText(policy),
    current: row.version === secret.version,
    createdBy: kind === null ? undefined : { kind, id: by },
  }));
}

/** A secret of a place for who may list it. Throws ERR_SECRET_UNKNOWN, and what `authorize` throws. */
export async function findSecret(
  context: SecretContext,
  { place, name: given, action }: SecretAt & { action: string },
): Promise<{ id: string; name: string; version: number; project: Project }> {
  const name = parseSecretName(given);
  const { own: project } = await projectsOf(context, place);
  const { rows } = await context.database.query<{ id: string; name: string; version: number }>(
    "select id, name, current_version as version from secrets where project_id = $1 and name = $2 and current_version > 0",
    [project?.id, name],
  );
  if (rows[0] === undefined || project === undefined)
    throw secretError("ERR_SECRET_UNKNOWN", action, { name, why: "there is none of this name" });
  return { ...rows[0], project };
}

/** The project that holds a place's secrets, if it has any, once whoever asks may list them. */
async function projectsOf(
  context: SecretContext,
  place: Place,
): Promise<{ own: Project | undefined; organizationId: string; projectId: string | undefined }> {
  const { organizationId, projectId } = await permit(context, {
    action: secretAction("secret.list", place),
    place,
    event: "secret.list",
  });
  const { database } = context;
  const own =
    projectId === undefined ? await findSharedProject(database, organizationId) : await getProject(database, projectId);
  return { own, organizationId, projectId };
}
