/**
 * A data key per project, kept in the database wrapped by the master key and bound to its organization and project.
 * Secrets are sealed under it; unwrapped, it lives as long as one operation and is zeroed.
 */
import { randomBytes } from "node:crypto";
import type { Queryable } from "../database/server.ts";
import { createId } from "../protocol/ids.ts";
import { deriveKey, keyBytes, open, seal, withKey } from "./crypto.ts";
import type { MasterKey } from "./master-key.ts";
import type { Project } from "./tenancy.ts";

export interface WrappedDataKey {
  readonly id: string;
  readonly masterKeyId: string;
  readonly wrappedKey: Buffer;
}

/** The project's data key, made at its first use. */
export async function provideDataKey(client: Queryable, master: MasterKey, project: Project): Promise<WrappedDataKey> {
  const existing = await findDataKey(client, project);
  if (existing !== undefined) return existing;
  const id = createId();
  const wrappedKey = withKey(randomBytes(keyBytes), (dataKey) =>
    withKey(deriveKey(master.key, "wrap"), (wrapKey) => seal(wrapKey, wrapContext(project, id, master.id), dataKey)),
  );
  await client.query(
    `insert into data_keys (id, project_id, master_key_id, wrapped_key) values ($1, $2, $3, $4)
     on conflict (project_id) do nothing`,
    [id, project.id, master.id, wrappedKey],
  );
  // Another process may have made it first; the statement above has waited for that one.
  return (await findDataKey(client, project))!;
}

async function findDataKey(client: Queryable, project: Project): Promise<WrappedDataKey | undefined> {
  const { rows } = await client.query<{ id: string; master_key_id: string; wrapped_key: Buffer }>(
    "select id, master_key_id, wrapped_key from data_keys where project_id = $1",
    [project.id],
  );
  const [row] = rows;
  return row && { id: row.id, masterKeyId: row.master_key_id, wrappedKey: row.wrapped_key };
}

/** Runs `work` with the unwrapped key and zeroes it afterwards. Throws SealBrokenError. */
export function withDataKey<T>(
  master: MasterKey,
  project: Pick<Project, "id" | "organizationId">,
  wrapped: WrappedDataKey,
  work: (dataKey: Buffer) => T,
): T {
  const dataKey = withKey(deriveKey(master.key, "wrap"), (wrapKey) =>
    open(wrapKey, wrapContext(project, wrapped.id, wrapped.masterKeyId), wrapped.wrappedKey),
  );
  return withKey(dataKey, work);
}

function wrapContext(project: Pick<Project, "id" | "organizationId">, keyId: string, masterKeyId: string): string[] {
  return ["data key", project.organizationId, project.id, keyId, masterKeyId];
}
