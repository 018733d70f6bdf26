/**
 * Random keys of the deployment itself: peppers, with which platform keys are digested. Each is kept in the database wrapped
 * by a root key and bound to its purpose, its version, itself and that root key. Old versions stay, as keys that were
 * digested with them still work; a lost one is an error and never replaced. Knows nothing of platform keys but which
 * versions their rows name.
 */
import { randomBytes } from "node:crypto";
import type { Queryable, Transactional } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { createId } from "../../protocol/ids.ts";
import { keyBytes, SealBrokenError } from "../encryption/crypto.ts";
import type { Pepper } from "./key-format.ts";
import type { MasterKey } from "../encryption/master-key.ts";
import type { WrapContext } from "../encryption/root-key.ts";

interface WrappedDeploymentKey {
  readonly id: string;
  readonly purpose: string;
  readonly version: number;
  readonly masterKeyId: string;
  readonly wrappedKey: Buffer;
}

const columns = `id, purpose, version, master_key_id as "masterKeyId", wrapped_key as "wrappedKey"`;

/** Any fixed number; processes that make a version at once take turns. */
const versionLock = 7_308_332_045_514_014;

/**
 * The deployment's peppers, the latest for new keys; the first is made at the first use. `forgetPeppers` zeroes them. Throws
 * ERR_SECRET_TAMPERED for one that is missing or not the one that was made, ERR_MASTER_KEY_INVALID, ERR_KMS_UNAVAILABLE.
 */
export async function openPeppers(database: Queryable & Transactional, master: MasterKey): Promise<Pepper> {
  const wrapped = await readPeppers(database);
  if (wrapped.length > 0) return await unwrapPeppers(master, wrapped);
  await database.transaction(async (client) => {
    await client.query("select pg_advisory_xact_lock($1)", [versionLock]);
    // Another process may have made it while this one waited.
    if ((await readPeppers(client)).length === 0) await insertPepper(client, master, 1);
  });
  return await unwrapPeppers(master, await readPeppers(database));
}

/**
 * Makes another pepper, for the keys that are made from now on. Other processes refuse those until they open the peppers
 * anew. Throws what `openPeppers` throws.
 */
export async function addPepper(database: Queryable & Transactional, master: MasterKey): Promise<Pepper> {
  // Nothing is built on peppers that do not open.
  forgetPeppers(await openPeppers(database, master));
  await database.transaction(async (client) => {
    await client.query("select pg_advisory_xact_lock($1)", [versionLock]);
    await insertPepper(client, master, (await readPeppers(client)).length + 1);
  });
  return await openPeppers(database, master);
}

export function forgetPeppers({ key, earlier = [] }: Pepper): void {
  for (const one of [{ key }, ...earlier]) one.key.fill(0);
}

/** Wraps up to `batch` keys of the deployment anew that are not under the root key in use, and gives their number. */
export async function rewrapDeploymentKeys(client: Queryable, master: MasterKey, batch: number): Promise<number> {
  const rootKeyId = await master.activeId(client);
  const { rows } = await client.query<WrappedDeploymentKey>(
    `select ${columns} from deployment_keys where master_key_id <> $1 order by id limit $2 for update`,
    [rootKeyId, batch],
  );
  for (const row of rows) {
    const key = await master.unwrap(row.wrappedKey, contextOf(row));
    try {
      const { masterKeyId, wrappedKey } = await master.wrap(client, key, {
        organizationId: placeOf(row),
        keyId: row.id,
      });
      await client.query("update deployment_keys set master_key_id = $2, wrapped_key = $3 where id = $1", [
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

/** All there are, the latest first. A key whose pepper is gone would be unknown from now on, and nobody be told why. */
async function readPeppers(client: Queryable): Promise<WrappedDeploymentKey[]> {
  // Asked first: a pepper that is added meanwhile is then found below.
  const { rows: used } = await client.query<{ version: number }>(
    `select coalesce(max(version), 0) as version from (select max(pepper_version) as version from platform_keys
       union all select max(pepper_version) from embed_keys) as used`,
  );
  const { rows } = await client.query<WrappedDeploymentKey>(
    `select ${columns} from deployment_keys where purpose = 'pepper' order by version desc`,
  );
  const latest = Math.max(used[0]?.version ?? 0, rows[0]?.version ?? 0);
  if (latest === rows.length) return rows;
  const why = `${rows.length} of ${latest} peppers are stored, and keys may have been made with each`;
  throw new StepvaultError("ERR_SECRET_TAMPERED", `Cannot open the deployment's peppers: ${why}`);
}

async function insertPepper(client: Queryable, master: MasterKey, version: number): Promise<void> {
  const [id, purpose, key] = [createId(), "pepper", randomBytes(keyBytes)];
  try {
    const { masterKeyId, wrappedKey } = await master.wrap(client, key, {
      organizationId: placeOf({ purpose, version }),
      keyId: id,
    });
    await client.query(
      "insert into deployment_keys (id, purpose, version, master_key_id, wrapped_key) values ($1, $2, $3, $4, $5)",
      [id, purpose, version, masterKeyId, wrappedKey],
    );
  } finally {
    key.fill(0);
  }
}

async function unwrapPeppers(master: MasterKey, wrapped: readonly WrappedDeploymentKey[]): Promise<Pepper> {
  const opened: { version: number; key: Buffer }[] = [];
  try {
    for (const row of wrapped) opened.push({ version: row.version, key: await unwrapPepper(master, row) });
  } catch (error) {
    for (const { key } of opened) key.fill(0);
    throw error;
  }
  const [latest, ...earlier] = opened;
  return { ...latest!, earlier };
}

async function unwrapPepper(master: MasterKey, row: WrappedDeploymentKey): Promise<Buffer> {
  try {
    return await master.unwrap(row.wrappedKey, contextOf(row));
  } catch (error) {
    if (!(error instanceof SealBrokenError)) throw error;
    const why = "what is stored is not the one that was made";
    throw new StepvaultError("ERR_SECRET_TAMPERED", `Cannot open the deployment's pepper ${row.version}: ${why}`);
  }
}

function contextOf(row: WrappedDeploymentKey): WrapContext {
  return { rootKeyId: row.masterKeyId, organizationId: placeOf(row), keyId: row.id };
}

/** Stands where an organization's key has the organization's id, and is no id. */
function placeOf({ purpose, version }: Pick<WrappedDeploymentKey, "purpose" | "version">): string {
  return `deployment ${purpose} ${version}`;
}
