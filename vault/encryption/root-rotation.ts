/**
 * Changing the root key in stages, while runs go on: stage (register the next key and prove it), promote (new wraps use it,
 * the old one still unwraps), rewrap (in batches, as often as wanted), retire (once nothing is left under the old one). Each
 * step is whole or not at all, and after each the keys that were given open everything. Values are never touched.
 */
import type { Queryable, Transactional } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { SealBrokenError } from "./crypto.ts";
import { type ProjectIds, provideProjectKey } from "./data-keys.ts";
import { rewrapDeploymentKeys } from "../platform-keys/deployment-keys.ts";
import { countWrapped, lockRegisteredKeys, type MasterKey, type RegisteredKey } from "./master-key.ts";
import { rewrapOrganizationKeys } from "./organization-keys.ts";
import type { RootKey } from "./root-key.ts";

/**
 * Registers the next root key, which was given beside the one in use, and gives its id; again the same id when it is
 * already staged. Every process has to have both keys from here on. Throws ERR_KEY_ROTATION, ERR_KMS_UNAVAILABLE.
 */
export async function stageRootKey(database: Transactional, master: MasterKey): Promise<string> {
  return await database.transaction(async (client) => {
    const registered = await lockRegisteredKeys(client);
    const next = master.next;
    if (next === undefined) throw refusal("stage a root key", "no next key is given");
    for (const row of registered) {
      if (!(await master.isRegisteredAs(next, row))) continue;
      if (row.state === "staged") return row.id;
      throw refusal("stage a root key", `the next key is the one that is ${row.state} already`);
    }
    if (byState(registered, "retained")) throw refusal("stage a root key", "the one before it is not retired yet");
    // A key that was staged and never promoted has wrapped nothing.
    await client.query("delete from master_keys where state = 'staged'");
    const id = await master.register(client, next, "staged");
    await prove(next, id);
    return id;
  });
}

/** Makes the staged key the one in use; the one before it is retained. Throws ERR_KEY_ROTATION, ERR_MASTER_KEY_INVALID. */
export async function promoteRootKey(database: Transactional, master: MasterKey): Promise<void> {
  await database.transaction(async (client) => {
    const staged = byState(await lockRegisteredKeys(client), "staged");
    if (staged === undefined) throw refusal("promote a root key", "none is staged");
    const next = master.next;
    if (next === undefined || !(await master.isRegisteredAs(next, staged))) {
      throw refusal("promote a root key", "the next key that is given is not the staged one");
    }
    await prove(next, staged.id);
    await client.query("update master_keys set state = 'retained' where state = 'active'");
    await client.query("update master_keys set state = 'active' where id = $1", [staged.id]);
  });
}

/** A key goes through it and comes back. */
async function prove(key: RootKey, id: string): Promise<void> {
  const probe = Buffer.alloc(32, 1);
  const context = { rootKeyId: id, organizationId: id, keyId: id };
  const back = await key.unwrap(await key.wrap(probe, context), context).catch((error: unknown) => {
    if (error instanceof SealBrokenError) return undefined;
    throw error;
  });
  if (back?.equals(probe) !== true) throw refusal("use the next root key", "what it wraps it does not unwrap");
}

export interface RewrapResult {
  readonly organizationKeys: number;
  readonly projectKeys: number;
  readonly deploymentKeys: number;
}

/**
 * Wraps what is not under the root key in use, `batch` keys in a transaction, until nothing is left, and gives how many it
 * were. Can be stopped at any time, repeated, and run by several at once. Throws ERR_SECRET_TAMPERED.
 */
export async function rewrapKeys(
  database: Queryable & Transactional,
  master: MasterKey,
  { batch }: { batch: number },
): Promise<RewrapResult> {
  let projectKeys = 0;
  for (let found = batch; found > 0;) {
    found = await rewrapOldProjects(database, master, batch);
    projectKeys += found;
  }
  const rewrapAll = async (what: string, rewrap: Rewrap): Promise<number> => {
    let total = 0;
    for (let found = batch; found > 0;) {
      found = await database.transaction(
        async (client) => await orTampered(what, async () => await rewrap(client, master, batch)),
      );
      total += found;
    }
    return total;
  };
  const organizationKeys = await rewrapAll("an organization's key", rewrapOrganizationKeys);
  const deploymentKeys = await rewrapAll("a key of the deployment", rewrapDeploymentKeys);
  return { organizationKeys, projectKeys, deploymentKeys };
}

type Rewrap = (client: Queryable, master: MasterKey, batch: number) => Promise<number>;

/** Moves projects' keys from under a root key to under their organizations', a transaction each. */
async function rewrapOldProjects(
  database: Queryable & Transactional,
  master: MasterKey,
  batch: number,
): Promise<number> {
  const { rows } = await database.query<ProjectIds>(
    `select p.id, p.organization_id as "organizationId" from data_keys k join projects p on p.id = k.project_id
     where k.organization_key_id is null order by k.id limit $1`,
    [batch],
  );
  for (const project of rows) {
    await orTampered(`the key of the project ${project.id}`, async () => {
      await database.transaction(async (client) => await provideProjectKey(client, master, project));
    });
  }
  return rows.length;
}

async function orTampered<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof SealBrokenError)) throw error;
    throw new StepvaultError("ERR_SECRET_TAMPERED", `Cannot wrap ${what}: it is not the one that was stored`);
  }
}

/** Forgets the retained key; from here on it need not be given. Throws ERR_KEY_ROTATION while anything is under it. */
export async function retireRootKey(database: Transactional): Promise<void> {
  await database.transaction(async (client) => {
    const retained = byState(await lockRegisteredKeys(client), "retained");
    if (retained === undefined) throw refusal("retire a root key", "none is retained");
    // Waits for those who wrap under it now, whose rows refer to this one.
    await client.query("select 1 from master_keys where id = $1 for update", [retained.id]);
    const wrapped = await countWrapped(client, retained.id);
    if (wrapped > 0) throw refusal("retire the root key", `${wrapped} key(s) are still wrapped under it`);
    await client.query("delete from master_keys where id = $1", [retained.id]);
  });
}

function byState(registered: readonly RegisteredKey[], state: RegisteredKey["state"]): RegisteredKey | undefined {
  return registered.find((row) => row.state === state);
}

function refusal(action: string, why: string): StepvaultError {
  return new StepvaultError("ERR_KEY_ROTATION", `Cannot ${action}: ${why}`);
}
