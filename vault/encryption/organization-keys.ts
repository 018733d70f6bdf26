/**
 * A key per organization, kept in the database wrapped by a root key and bound to its organization, to itself and to that
 * root key. The keys of projects are wrapped under it, so that changing the root key touches one row per organization.
 */
import { randomBytes } from "node:crypto";
import type { Queryable } from "../../database/server.ts";
import { createId } from "../../protocol/ids.ts";
import { keyBytes } from "./crypto.ts";
import type { MasterKey } from "./master-key.ts";

export interface WrappedOrganizationKey {
  readonly id: string;
  readonly masterKeyId: string;
  readonly wrappedKey: Buffer;
}

const columns = `id, master_key_id as "masterKeyId", wrapped_key as "wrappedKey"`;

/** The organization's key, made at its first use. */
export async function provideOrganizationKey(
  client: Queryable,
  master: MasterKey,
  organizationId: string,
): Promise<WrappedOrganizationKey> {
  const existing = await findOrganizationKey(client, organizationId);
  if (existing !== undefined) return existing;
  const id = createId();
  const key = randomBytes(keyBytes);
  try {
    const { masterKeyId, wrappedKey } = await master.wrap(client, key, { organizationId, keyId: id });
    await client.query(
      `insert into organization_keys (id, organization_id, master_key_id, wrapped_key) values ($1, $2, $3, $4)
       on conflict (organization_id) do nothing`,
      [id, organizationId, masterKeyId, wrappedKey],
    );
  } finally {
    key.fill(0);
  }
  // Another process may have made it first; the statement above has waited for that one.
  return (await findOrganizationKey(client, organizationId))!;
}

export async function findOrganizationKey(
  client: Queryable,
  organizationId: string,
): Promise<WrappedOrganizationKey | undefined> {
  const { rows } = await client.query<WrappedOrganizationKey>(
    `select ${columns} from organization_keys where organization_id = $1`,
    [organizationId],
  );
  return rows[0];
}

/** The organization's key, which the caller zeroes. Throws SealBrokenError, ERR_MASTER_KEY_INVALID, ERR_KMS_UNAVAILABLE. */
export async function unwrapOrganizationKey(
  master: MasterKey,
  organizationId: string,
  wrapped: WrappedOrganizationKey,
): Promise<Buffer> {
  return await master.unwrap(wrapped.wrappedKey, {
    rootKeyId: wrapped.masterKeyId,
    organizationId,
    keyId: wrapped.id,
  });
}

/** Wraps up to `batch` organization keys anew that are not under the root key in use, and gives their number. */
export async function rewrapOrganizationKeys(client: Queryable, master: MasterKey, batch: number): Promise<number> {
  const rootKeyId = await master.activeId(client);
  const { rows } = await client.query<WrappedOrganizationKey & { organizationId: string }>(
    `select ${columns}, organization_id as "organizationId" from organization_keys
     where master_key_id <> $1 order by id limit $2 for update`,
    [rootKeyId, batch],
  );
  for (const row of rows) {
    const key = await unwrapOrganizationKey(master, row.organizationId, row);
    try {
      const context = { organizationId: row.organizationId, keyId: row.id };
      const { masterKeyId, wrappedKey } = await master.wrap(client, key, context);
      await client.query("update organization_keys set master_key_id = $2, wrapped_key = $3 where id = $1", [
        row.id,
        masterKeyId,
        wrappedKey,
      ]);
    } finally {
      key.fill(0);
    }
  }
  return rows.length;
}
