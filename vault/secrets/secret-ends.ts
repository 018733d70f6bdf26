/**
 * The ends of secrets: deleting, which can be undone; destroying, which cannot; and versions that end by themselves once
 * nothing uses them any more. Destroying leaves a signed tombstone.
 */
import type { Queryable } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import type { Place } from "../tenancy/authorize.ts";
import { type SecretContext, secretAction } from "./context.ts";
import { permit } from "../audit/perform.ts";
import { checkVersionNumber, lockSecret, parseSecretName, secretError } from "./secret-rows.ts";
import { changeSecret, type SecretAt } from "./secret-change.ts";
import { findSharedProject, getProject, type Project } from "../tenancy/tenancy.ts";
import { destroyVersions, readTombstones, type SignedTombstone } from "./tombstones.ts";
import { updateManifest } from "../encryption/update-manifest.ts";

/**
 * Deletes a secret; it can be restored until it is destroyed, and a run that refers to it is rejected. Throws
 * ERR_SECRET_UNKNOWN, also for one that is deleted, ERR_SECRET_TAMPERED, and what `authorize` throws.
 */
export async function deleteSecret(context: SecretContext, request: SecretAt): Promise<void> {
  await setDeleted(context, { ...request, deleted: true, action: "delete" });
}

/** Undoes a deletion. Throws ERR_SECRET_UNKNOWN, ERR_SECRET_TAMPERED, and what `authorize` throws. */
export async function restoreSecret(context: SecretContext, request: SecretAt): Promise<void> {
  await setDeleted(context, { ...request, deleted: false, action: "restore" });
}

async function setDeleted(
  context: SecretContext,
  { deleted, action, ...request }: SecretAt & { deleted: boolean; action: string },
): Promise<void> {
  const name = parseSecretName(request.name);
  await changeSecret(context, { ...request, event: `secret.${action}` }, async (client, { project }) => {
    const secret = await lockSecret(client, { project, name, action });
    if (secret.deleted && deleted)
      throw secretError("ERR_SECRET_UNKNOWN", action, { name, why: "it is deleted already" });
    await client.query(
      "update secrets set deleted_at = case when $2 then now() end, updated_at = now() where id = $1",
      [secret.id, deleted],
    );
    await updateManifest(client, context.master, { project, name, changed: ["deleted"] });
    return { result: undefined, secret, version: secret.version };
  });
}

/**
 * Destroys versions of a secret for good, or the whole secret when none are named, and gives what was destroyed. Throws
 * ERR_SECRET_UNKNOWN, ERR_SECRET_VERSION_UNKNOWN, ERR_SECRET_TAMPERED, and what `authorize` throws.
 */
export async function destroySecret(
  context: SecretContext,
  request: SecretAt & { versions?: readonly number[] | undefined },
): Promise<number[]> {
  const name = parseSecretName(request.name);
  const { versions } = request;
  for (const version of versions ?? []) checkVersionNumber(version, { name, action: "destroy" });
  if (versions?.length === 0)
    throw secretError("ERR_SECRET_VERSION_UNKNOWN", "destroy", { name, why: "none of its versions was named" });
  const act = { ...request, event: "secret.destroy", action: "secret.destroy" } as const;
  return await changeSecret(context, act, async (client, { project }) => {
    const secret = await lockSecret(client, { project, name, action: "destroy" });
    const destroyed = await context.withAuditKey(
      client,
      project.organizationId,
      async (key) => await destroyVersions(client, key, { project, secret, versions, actor: context.actor }),
    );
    const missing = versions?.find((version) => !destroyed.includes(version));
    if (missing !== undefined)
      throw secretError("ERR_SECRET_VERSION_UNKNOWN", "destroy", { name, why: "it has not all of these versions" });
    if (versions === undefined) await client.query("delete from secrets where id = $1", [secret.id]);
    await updateManifest(client, context.master, { project, name, destroyed, removed: versions === undefined });
    return { result: destroyed, secret, details: { whole: versions === undefined, versions: destroyed.join(", ") } };
  });
}

/** What was destroyed in a place, signed, the latest first. Throws what `authorize` throws. */
export async function listTombstones(
  context: SecretContext,
  { place, name }: { place: Place; name?: string },
): Promise<SignedTombstone[]> {
  const { database } = context;
  const permission = await permit(context, {
    action: secretAction("secret.list", place),
    place,
    event: "secret.tombstones",
  });
  const { organizationId } = permission;
  const project =
    permission.projectId === undefined
      ? await findSharedProject(database, organizationId)
      : await getProject(database, permission.projectId);
  if (project === undefined) return [];
  return await context.withAuditKey(
    database,
    organizationId,
    async (key) => await readTombstones(database, key, { projectId: project.id, name }),
  );
}

/** How many versions are looked at in one go. */
const dueMax = 1_000;

/**
 * Ends versions that were rotated away and that no run has used for as long as was said then, and gives how many. A version
 * that a run still holds is waited for. For a process that calls it now and then; several at once do no harm. One that cannot
 * be ended keeps no other from it. Throws ERR_FORBIDDEN for people and keys, and, after all others, ERR_SECRET_TAMPERED.
 */
export async function endUnusedVersions(context: SecretContext, now: Date = new Date()): Promise<number> {
  if (context.actor.kind !== "system")
    throw new StepvaultError("ERR_FORBIDDEN", "Cannot end unused versions: it takes the operator");
  const rows = await takeDue(context.database, now);
  const failures: unknown[] = [];
  let ended = 0;
  for (const { place, name, version } of rows) {
    try {
      await changeSecret(
        context,
        { place, name, event: "secret.version.end", action: "secret.destroy" },
        async (client, at) => {
          const { project } = at;
          const secret = await lockSecret(client, { project, name: parseSecretName(name), action: "end a version of" });
          await endVersion(client, context, { project, secret, version, now });
          return { result: undefined, secret, version };
        },
      );
      ended += 1;
    } catch (error) {
      if (!isOver(error)) failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  return ended;
}

/**
 * Some of the versions whose time is over. Of those that it looks at and that are still used, it is noted when they are to be
 * looked at again: however many wait for their end, few are read. What another process looks at is left to it.
 */
async function takeDue(database: Queryable, now: Date): Promise<{ place: Place; name: string; version: number }[]> {
  const { rows } = await database.query<{ place: Place; name: string; version: number }>(
    `with due as materialized (
       select secret_id, version, end_unused_hours from secret_versions
       where end_unused_hours is not null and destroyed_at is null and coalesce(end_not_before, '-infinity') <= $1::timestamptz
       order by coalesce(end_not_before, '-infinity') limit ${dueMax} for no key update skip locked),
     looked_at as materialized (
       select v.*, s.project_id, s.name, ${over} as time from due v
       cross join lateral (select * from secrets where id = v.secret_id limit 1) s where v.version < s.current_version),
     put_off as (
       update secret_versions v set end_not_before = l.time from looked_at l
       where v.secret_id = l.secret_id and v.version = l.version and l.time > $1::timestamptz)
     select case when p.shared then json_build_object('organizationId', p.organization_id)
                 else json_build_object('projectId', p.id) end as place, v.name, v.version
     from looked_at v cross join lateral (select * from projects where id = v.project_id limit 1) p
     where v.time <= $1::timestamptz and not ${held} order by random() limit 100`,
    [now],
  );
  return rows;
}

/** The version is no longer to be ended, or its secret is gone: no event tells of what did not happen. */
class OverError extends Error {}

function isOver(error: unknown): boolean {
  return error instanceof OverError || (error instanceof StepvaultError && error.code === "ERR_SECRET_UNKNOWN");
}

/** Asked again once the secret is locked: a use may have come in between. */
async function endVersion(
  client: Queryable,
  context: SecretContext,
  request: { project: Project; secret: { id: string; name: string }; version: number; now: Date },
): Promise<void> {
  const { project, secret, version, now } = request;
  const { rowCount } = await client.query(
    `select from secret_versions v join secrets s on s.id = v.secret_id
     where v.secret_id = $2 and v.version = $3 and v.version < s.current_version and v.destroyed_at is null
       and ${over} <= $1::timestamptz and not ${held}`,
    [now, secret.id, version],
  );
  if (rowCount !== 1) throw new OverError();
  await context.withAuditKey(client, project.organizationId, async (key) => {
    await destroyVersions(client, key, { project, secret, versions: [version], actor: context.actor });
  });
  await updateManifest(client, context.master, { project, name: secret.name, destroyed: [version] });
}

/** When the time of a version `v` is over: so long after it was rotated away, and after its last use. */
const over = `greatest(
    (select n.created_at from secret_versions n where n.secret_id = v.secret_id and n.version > v.version
     order by n.version limit 1),
    (select max(u.last_used_at) from secret_uses u where u.secret_id = v.secret_id and u.version = v.version)
  ) + make_interval(hours => v.end_unused_hours)`;

/** Whether a run that goes on got the version `v`. */
const held = `exists (
    select from secret_uses u join runs r on r.id = u.last_run_id
    where u.secret_id = v.secret_id and u.version = v.version and r.ended_at is null)`;
