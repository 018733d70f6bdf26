/**
 * Keeps a project's manifest true to its secrets: called in the transaction of every change to them, after the change and
 * once per secret. Takes nothing over but what that change was: a row that somebody else put back stays wrong.
 */
import type { Queryable, Transactional } from "../database/server.ts";
import { StepvaultError } from "../protocol/error.ts";
import { SealBrokenError } from "./crypto.ts";
import { findProjectKey, isOldFormat, type ProjectIds, provideProjectKey, unwrapProjectKey } from "./data-keys.ts";
import {
  type Manifest,
  type ManifestOwner,
  openManifest,
  readEntries,
  type StoredManifest,
  writeManifest,
} from "./manifest.ts";
import type { MasterKey } from "./master-key.ts";
import { getProject, parseId } from "./tenancy.ts";

export interface ManifestChange {
  readonly project: ProjectIds;
  readonly name: string;
  /** The version that was just written; without it nothing of a secret changed but whether it is there and is on. */
  readonly version?: number;
}

/**
 * Brings the entry of one secret up to date, and waits for others who change the project. A transaction that changes
 * several secrets calls it for all of them at its end: the manifest stays locked. Throws ERR_SECRET_TAMPERED.
 */
export async function updateManifest(client: Queryable, master: MasterKey, change: ManifestChange): Promise<void> {
  const { project, name, version } = change;
  await withOwner(client, master, project, async (owner) => {
    const stored = await lockManifest(client, project.id);
    const manifest = openManifest(owner, stored);
    const before = manifest.get(name);
    const now = (await readEntries(client, project.id, name)).get(name);
    if (now === undefined) manifest.delete(name);
    else if (version === undefined) {
      if (before?.version !== now.version || before.digest !== now.digest) throw refusal(name);
      manifest.set(name, now);
    } else {
      if (now.version !== version) throw refusal(name);
      // A new version does not switch the secret on, whatever its row says by now.
      manifest.set(name, { ...now, disabled: before?.disabled ?? now.disabled });
    }
    await writeManifest(client, owner, { counter: BigInt(stored!.counter) + 1n, manifest });
  });
}

function refusal(name: string): StepvaultError {
  return new StepvaultError(
    "ERR_SECRET_TAMPERED",
    `Cannot change the secret ${name}: its row is not the one that the project's manifest has; set its value and its policy anew`,
  );
}

/**
 * Signs a project's secrets as their rows are now, after part of a backup was restored on purpose. Whatever somebody put
 * back becomes true: look at the rows first. Throws ERR_PROJECT_UNKNOWN, ERR_SECRET_TAMPERED.
 */
export async function rebuildManifest(database: Transactional, master: MasterKey, projectId: string): Promise<void> {
  await database.transaction(async (client) => {
    const project = await getProject(client, projectId);
    await withOwner(client, master, project, async (owner) => {
      const stored = await lockManifest(client, project.id);
      const manifest: Manifest = await readEntries(client, project.id);
      await writeManifest(client, owner, { counter: BigInt(stored?.counter ?? 0) + 1n, manifest });
    });
  });
}

/** What to keep outside the database: a later head has a higher counter, and the same counter has the same mac. */
export interface ManifestHead {
  readonly counter: bigint;
  readonly mac: string;
}

/**
 * The project's manifest in short; undefined while it has none. Rows and manifest put back together to one older
 * state are consistent, and only a copy of this that is kept elsewhere tells. Throws ERR_PROJECT_UNKNOWN,
 * ERR_SECRET_TAMPERED.
 */
export async function manifestHead(
  database: Queryable,
  master: MasterKey,
  projectId: string,
): Promise<ManifestHead | undefined> {
  const project = await getProject(database, parseId(projectId, "project"));
  const key = await findProjectKey(database, project);
  // Reading does not move a project of the old format.
  if (key === undefined || isOldFormat(key)) return undefined;
  return await withOwner(database, master, project, async (owner) => {
    const stored = await readManifest(database, project.id);
    openManifest(owner, stored);
    return { counter: BigInt(stored!.counter), mac: stored!.mac.toString("base64url") };
  });
}

async function withOwner<T>(
  client: Queryable,
  master: MasterKey,
  project: ProjectIds,
  work: (owner: ManifestOwner) => Promise<T>,
): Promise<T> {
  let key: Buffer | undefined;
  try {
    const wrapped = await provideProjectKey(client, master, project);
    key = await unwrapProjectKey(master, project, wrapped);
    return await work({ project, keyId: wrapped.id, key });
  } catch (error) {
    if (!(error instanceof SealBrokenError)) throw error;
    throw new StepvaultError(
      "ERR_SECRET_TAMPERED",
      `Cannot use the project ${project.id}: its key or its manifest is not the one that was stored`,
    );
  } finally {
    key?.fill(0);
  }
}

const columns = "select counter, entries, mac from secret_manifests where project_id = $1";

async function readManifest(client: Queryable, projectId: string): Promise<StoredManifest | undefined> {
  return (await client.query<StoredManifest>(columns, [projectId])).rows[0];
}

async function lockManifest(client: Queryable, projectId: string): Promise<StoredManifest | undefined> {
  return (await client.query<StoredManifest>(`${columns} for update`, [projectId])).rows[0];
}
