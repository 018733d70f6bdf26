/**
 * A secret's row for those who change it: found or made, locked until the transaction ends, and its name checked. Locks leave
 * room for the ledger and for readers, who never wait.
 */
import type { Queryable } from "../../database/server.ts";
import { type ErrorCode, StepvaultError } from "../../protocol/error.ts";
import { createId } from "../../protocol/ids.ts";
import type { SecretPolicy } from "../../protocol/secret-policy.ts";
import { type SecretName, secretNameSchema } from "../../protocol/secret.ts";
import { readEntries } from "../encryption/manifest.ts";
import type { MasterKey } from "../encryption/master-key.ts";
import { readVersions } from "./stored-versions.ts";
import type { Project } from "../tenancy/tenancy.ts";
import { openVersion, proveVersion } from "./versions.ts";

/** A manifest is read whole for every run: this bounds it. */
const secretsMax = 2_000;

export interface SecretRow {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly deleted: boolean;
}

const columns = `id, name, current_version as version, deleted_at is not null as deleted`;

/** Throws ERR_SECRET_UNKNOWN; `action` is for the error. */
export async function lockSecret(
  client: Queryable,
  { project, name, action }: { project: Project; name: SecretName; action: string },
): Promise<SecretRow> {
  const { rows } = await client.query<SecretRow>(
    `select ${columns} from secrets where project_id = $1 and name = $2 for no key update`,
    [project.id, name],
  );
  if (rows[0] !== undefined) return rows[0];
  throw secretError("ERR_SECRET_UNKNOWN", action, { name, why: "there is none of this name" });
}

/**
 * The same, made when missing: at version 0, as a row that only its transaction sees. Throws ERR_SECRET_NAME_INVALID for a
 * name that differs from another by case only.
 */
export async function provideSecret(
  client: Queryable,
  { project, name }: { project: Project; name: SecretName },
): Promise<SecretRow> {
  const { rows } = await client.query<SecretRow>(
    `insert into secrets (id, project_id, name, access) select $1, id, $3, case when shared then '1' end from projects where id = $2
     on conflict (project_id, lower(name)) do update set updated_at = now() returning ${columns}`,
    [createId(), project.id, name],
  );
  const secret = rows[0]!;
  if (secret.name !== name) {
    const why = `there is ${secret.name}, and names may not differ by case only`;
    throw secretError("ERR_SECRET_NAME_INVALID", "set", { name, why });
  }
  return secret;
}

/** Once the manifest is locked, by the first version's writing: before, others may be adding theirs. Throws ERR_SECRET_LIMIT. */
export async function checkCount(client: Queryable, project: Project, name: SecretName): Promise<void> {
  const { rows } = await client.query<{ count: number }>(
    "select count(*)::int as count from secrets where project_id = $1",
    [project.id],
  );
  const { count } = rows[0]!;
  if (count <= secretsMax) return;
  throw secretError("ERR_SECRET_LIMIT", "create", { name, why: `there are ${count - 1}, ${secretsMax} are allowed` });
}

/**
 * What a secret has: of its version in use, or of an earlier one. Opened also when only the policy is wanted: one that was
 * changed in the database must not be sealed anew by the next who sets a value. Throws ERR_SECRET_TAMPERED,
 * ERR_SECRET_UNKNOWN, ERR_SECRET_VERSION_UNKNOWN, ERR_SECRET_DESTROYED.
 */
export async function openStored(
  client: Queryable,
  master: MasterKey,
  wanted: { project: Project; name: SecretName; version?: number | undefined; action: string },
): Promise<{ value: string; policy: SecretPolicy; version: number; maskable: boolean; sealedAt: number }> {
  const { project, name, version, action } = wanted;
  const [stored] = await readVersions(client, { projectId: project.id, names: [name], version });
  if (stored === undefined)
    throw secretError("ERR_SECRET_UNKNOWN", action, { name, why: "there is none of this name" });
  if (stored.dataKeyId === null && version !== undefined)
    throw secretError("ERR_SECRET_VERSION_UNKNOWN", action, { name, why: `it has no version ${version}` });
  if (stored.destroyed)
    throw secretError("ERR_SECRET_DESTROYED", action, {
      name,
      why: `the value of version ${stored.version} was destroyed`,
    });
  const refuse = (why: string): StepvaultError =>
    secretError("ERR_SECRET_TAMPERED", action, { name, why: `${why}; set its value and its policy anew` });
  if (version !== undefined) {
    // Of an earlier version the manifest has the number alone: that it is this secret's, the one in use proves.
    const [current] = await readVersions(client, { projectId: project.id, names: [name] });
    if (current?.secretId !== stored.secretId) throw refuse("it was replaced meanwhile");
    await proveVersion(master, current, refuse);
  }
  const opened = await openVersion(master, stored, refuse);
  return { ...opened, version: stored.version, maskable: stored.maskable };
}

/**
 * Whether a version is readable and a later one was sealed, perhaps with the same value. Asks the rows too: a manifest from
 * before it said so knows it only after the secret's next change.
 */
export async function wasSealedSince(
  client: Queryable,
  { project, name, opened }: { project: Project; name: SecretName; opened: Awaited<ReturnType<typeof openStored>> },
): Promise<boolean> {
  if (opened.policy.sealed) return false;
  const rows = (await readEntries(client, project.id, name)).get(name);
  return opened.version < Math.max(opened.sealedAt, rows?.history.sealedAt ?? 0);
}

const versionMax = 2_147_483_647;

/** A version as somebody names it. Throws ERR_SECRET_VERSION_UNKNOWN for what the database could not even compare. */
export function checkVersionNumber(version: number, { name, action }: { name: SecretName; action: string }): void {
  if (Number.isInteger(version) && version >= 1 && version <= versionMax) return;
  throw secretError("ERR_SECRET_VERSION_UNKNOWN", action, { name, why: "what was given is no version" });
}

/** What is no name is not repeated in the message: somebody may have pasted a value in its place. */
export function parseSecretName(name: string): SecretName {
  const parsed = secretNameSchema.safeParse(name);
  if (parsed.success) return parsed.data;
  throw new StepvaultError(
    "ERR_SECRET_NAME_INVALID",
    `Cannot use the secret's name of ${name.length} characters: it must be ${parsed.error.issues[0]?.message ?? "a name"}`,
  );
}

export function secretError(
  code: ErrorCode,
  action: string,
  { name, why }: { name: string; why: string },
): StepvaultError {
  return new StepvaultError(code, `Cannot ${action} the secret ${name}: ${why}`);
}
