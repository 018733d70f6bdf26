/**
 * A key per project, kept in the database wrapped by its organization's key and bound to the organization, the project, its
 * parent and itself. The keys of versions are wrapped under it, and it signs the project's manifest; unwrapped, it lives as
 * long as one operation and is zeroed by who asked for it. Older rows are wrapped by a root key directly: they are read as
 * they are, and wrapped anew by the first write to the project or by rewrapKeys().
 */
import { randomBytes } from "node:crypto";
import type { Queryable } from "../../database/server.ts";
import { createId } from "../../protocol/ids.ts";
import { deriveKey, keyBytes, open, seal, withKey } from "./crypto.ts";
import { createManifest } from "./manifest.ts";
import type { MasterKey } from "./master-key.ts";
import { provideOrganizationKey, unwrapOrganizationKey, type WrappedOrganizationKey } from "./organization-keys.ts";
import type { Project } from "../tenancy/tenancy.ts";

export type ProjectIds = Pick<Project, "id" | "organizationId">;

export interface WrappedProjectKey {
  readonly id: string;
  readonly wrappedKey: Buffer;
  /** What it is wrapped under: its organization's key, or the root key with this id. */
  readonly parent: WrappedOrganizationKey | { readonly rootKeyId: string };
}

/** A project's key as a row has it; `columnsOfProjectKey` selects it. */
export interface ProjectKeyRow {
  readonly keyId: string | null;
  readonly keyWrapped: Buffer | null;
  readonly keyRootId: string | null;
  readonly organizationKeyId: string | null;
  readonly organizationKeyWrapped: Buffer | null;
  readonly organizationKeyRootId: string | null;
}

/** With `joinOfProjectKey`, where `p` is the project. */
export const columnsOfProjectKey = `k.id as "keyId", k.wrapped_key as "keyWrapped", k.master_key_id as "keyRootId",
  o.id as "organizationKeyId", o.wrapped_key as "organizationKeyWrapped", o.master_key_id as "organizationKeyRootId"`;
export const joinOfProjectKey = `left join data_keys k on k.project_id = p.id
  left join organization_keys o on o.id = k.organization_key_id`;

export function projectKeyOf(row: ProjectKeyRow): WrappedProjectKey | undefined {
  if (row.keyId === null || row.keyWrapped === null) return undefined;
  const key = { id: row.keyId, wrappedKey: row.keyWrapped };
  if (row.keyRootId !== null) return { ...key, parent: { rootKeyId: row.keyRootId } };
  const { organizationKeyId: id, organizationKeyWrapped: wrappedKey, organizationKeyRootId: masterKeyId } = row;
  if (id === null || wrappedKey === null || masterKeyId === null) return undefined;
  return { ...key, parent: { id, wrappedKey, masterKeyId } };
}

/** Whether the key is from before organizations had keys, and the project from before it had a manifest. */
export function isOldFormat(key: WrappedProjectKey): boolean {
  return "rootKeyId" in key.parent;
}

/** The project's key in the format of now, made at its first use together with the project's manifest. */
export async function provideProjectKey(
  client: Queryable,
  master: MasterKey,
  project: ProjectIds,
): Promise<WrappedProjectKey> {
  const existing = await findProjectKey(client, project);
  if (existing !== undefined && !isOldFormat(existing)) return existing;
  // Always before the project's own row is locked: two who lock both in turns would wait for each other.
  const organizationKey = await provideOrganizationKey(client, master, project.organizationId);
  await client.query("select 1 from data_keys where project_id = $1 for update", [project.id]);
  const locked = await findProjectKey(client, project);
  if (locked !== undefined && !isOldFormat(locked)) return locked;
  const id = locked?.id ?? createId();
  const key = locked === undefined ? randomBytes(keyBytes) : await unwrapProjectKey(master, project, locked);
  try {
    const parentKey = await unwrapOrganizationKey(master, project.organizationId, organizationKey);
    const wrappedKey = withKey(parentKey, () =>
      withKey(deriveKey(parentKey, wrapPurpose), (wrapKey) =>
        seal(wrapKey, wrapContext(project, id, organizationKey.id), key),
      ),
    );
    const { rowCount } = await client.query(
      locked === undefined
        ? `insert into data_keys (id, project_id, organization_key_id, wrapped_key) values ($1, $2, $3, $4)
           on conflict (project_id) do nothing`
        : `update data_keys set organization_key_id = $3, master_key_id = null, wrapped_key = $4
           where id = $1 and project_id = $2`,
      [id, project.id, organizationKey.id, wrappedKey],
    );
    if (rowCount === 1) await createManifest(client, { project, keyId: id, key });
  } finally {
    key.fill(0);
  }
  // Another process may have made it first; the statement above has waited for that one.
  return (await findProjectKey(client, project))!;
}

export async function findProjectKey(client: Queryable, project: ProjectIds): Promise<WrappedProjectKey | undefined> {
  const { rows } = await client.query<ProjectKeyRow>(
    `select ${columnsOfProjectKey} from projects p ${joinOfProjectKey} where p.id = $1`,
    [project.id],
  );
  return rows[0] && projectKeyOf(rows[0]);
}

/**
 * The project's key, which the caller zeroes. Throws SealBrokenError, ERR_MASTER_KEY_INVALID, ERR_KMS_UNAVAILABLE.
 */
export async function unwrapProjectKey(
  master: MasterKey,
  project: ProjectIds,
  { id, wrappedKey, parent }: WrappedProjectKey,
): Promise<Buffer> {
  if ("rootKeyId" in parent) {
    const parts = ["data key", project.organizationId, project.id, id, parent.rootKeyId];
    return await master.unwrapOldProjectKey(wrappedKey, parent.rootKeyId, parts);
  }
  const parentKey = await unwrapOrganizationKey(master, project.organizationId, parent);
  return withKey(parentKey, () =>
    withKey(deriveKey(parentKey, wrapPurpose), (wrapKey) =>
      open(wrapKey, wrapContext(project, id, parent.id), wrappedKey),
    ),
  );
}

const wrapPurpose = "wrap project key";

function wrapContext(project: ProjectIds, keyId: string, organizationKeyId: string): string[] {
  return ["project key", project.organizationId, project.id, keyId, organizationKeyId];
}
