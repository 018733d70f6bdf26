/**
 * Keeps a project's manifest true to its rows: called in the transaction of every change to them, once per secret and after
 * its change; credentials.ts and inheritance.ts make theirs while it is locked. Nothing is taken over but what that change
 * was: a row or a state that somebody else put back stays wrong.
 */
import type { Queryable, Transactional } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { SealBrokenError } from "./crypto.ts";
import { findProjectKey, isOldFormat, type ProjectIds, provideProjectKey, unwrapProjectKey } from "./data-keys.ts";
import {
  type Manifest,
  type ManifestEntry,
  type ManifestOwner,
  openManifest,
  readDigest,
  readEntries,
  type SecretState,
  type StoredManifest,
  versionsKept,
  writeManifest,
} from "./manifest.ts";
import type { MasterKey } from "./master-key.ts";
import { findSharedProject, getProject, parseId, provideSharedProject } from "../tenancy/tenancy.ts";

/** What of a secret's state a change may have been; destroyed versions are named. */
export type ChangedState = Exclude<keyof SecretState, "destroyed">;

export interface ManifestChange {
  readonly project: ProjectIds;
  readonly name: string;
  /** The version that was just written; without it the secret's state changed, or it is gone. */
  readonly version?: number;
  /** What of the secret's state the change was. */
  readonly changed?: readonly ChangedState[];
  /** Versions that the change destroyed. */
  readonly destroyed?: readonly number[];
  /** The secret was taken for a new one, which has the plain policy: one that is listed may have had another. */
  readonly fresh?: boolean;
  /** The change took the whole secret away: its row may be missing. */
  readonly removed?: boolean;
}

/**
 * Brings the entry of one secret up to date, and waits for others who change the project. A transaction that changes
 * several secrets calls it for all of them at its end: the manifest stays locked. Throws ERR_SECRET_TAMPERED.
 */
export async function updateManifest(client: Queryable, master: MasterKey, change: ManifestChange): Promise<void> {
  const { project, name, removed = false } = change;
  await changeManifest(client, master, project, async ({ manifest }) => {
    const before = manifest.get(name);
    const now = (await readEntries(client, project.id, name)).get(name);
    // A row that somebody hid is not taken for one that is gone.
    if (now === undefined && !removed) throw refusal(name);
    if (now === undefined) manifest.delete(name);
    else manifest.set(name, await nextEntry(client, change, { before, now }));
  });
}

/**
 * Locks a project's manifest until the transaction ends, and writes it as `work` leaves it. The key is zeroed afterwards.
 * Throws ERR_SECRET_TAMPERED.
 */
export async function changeManifest<T>(
  client: Queryable,
  master: MasterKey,
  project: ProjectIds,
  work: (open: { readonly key: Buffer; readonly manifest: Manifest }) => Promise<T>,
): Promise<T> {
  return await withOwner(client, master, project, async (owner) => {
    const stored = await lockManifest(client, project.id);
    const manifest = openManifest(owner, stored);
    const result = await work({ key: owner.key, manifest });
    await writeManifest(client, owner, { counter: BigInt(stored!.counter) + 1n, manifest });
    return result;
  });
}

async function nextEntry(
  client: Queryable,
  { project, name, version, fresh = false, changed = [], destroyed = [] }: ManifestChange,
  { before, now }: { before: ManifestEntry | undefined; now: ManifestEntry },
): Promise<ManifestEntry> {
  let { sealedAt, since } = before?.history ?? { sealedAt: 0, since: 1 };
  let gone: readonly number[] = [...(before?.state.destroyed ?? []), ...destroyed];
  if (version === undefined) {
    const same = before?.digest === now.digest || destroyed.includes(now.version);
    if (before?.version !== now.version || !same) throw refusal(name);
  } else {
    if (now.version !== version || (fresh && before !== undefined)) throw refusal(name);
    // A value that is given whole makes a row true that somebody put back, and not what came with it.
    const known = before === undefined ? version === 1 : await isKnown(client, project.id, { name, before });
    if (!known) [sealedAt, since, gone] = [0, version, now.state.destroyed];
  }
  const taken = Object.fromEntries(changed.map((field) => [field, now.state[field]]));
  const ended = new Set(gone.filter((old) => old > now.version - versionsKept));
  return {
    ...now,
    state: { ...(before ?? now).state, ...taken, destroyed: [...ended].sort((a, b) => a - b) },
    history: { sealedAt: Math.max(sealedAt, now.history.sealedAt), since },
  };
}

/** Whether the version that was the current one is still as it was listed. */
async function isKnown(
  client: Queryable,
  projectId: string,
  { name, before }: { name: string; before: ManifestEntry },
): Promise<boolean> {
  return (await readDigest(client, projectId, { name, version: before.version })) === before.digest;
}

function refusal(name: string): StepvaultError {
  return new StepvaultError(
    "ERR_SECRET_TAMPERED",
    `Cannot change the secret ${name}: its row is not the one that the project's manifest has; set its value and its policy anew`,
  );
}

/**
 * Signs a project's rows as they are now, after part of a backup was restored on purpose. Whatever somebody put back becomes
 * true: look at the rows first. Throws ERR_PROJECT_UNKNOWN, ERR_SECRET_TAMPERED.
 */
export async function rebuildManifest(database: Transactional, master: MasterKey, holder: Holder): Promise<void> {
  await database.transaction(async (client) => {
    // An organization's credentials may have been restored without the project that lists them.
    const project =
      typeof holder === "string"
        ? await getProject(client, holder)
        : await provideSharedProject(client, holder.organizationId);
    await withOwner(client, master, project, async (owner) => {
      const stored = await lockManifest(client, project.id);
      const manifest: Manifest = await readEntries(client, project.id);
      await writeManifest(client, owner, { counter: BigInt(stored?.counter ?? 0) + 1n, manifest });
    });
  });
}

/** Whose manifest: a project's, or that of an organization's own secrets. */
export type Holder = string | { readonly organizationId: string };

async function findHolder(client: Queryable, holder: Holder): Promise<ProjectIds | undefined> {
  if (typeof holder === "string") return await getProject(client, holder);
  return await findSharedProject(client, parseId(holder.organizationId, "organization"));
}

/** What to keep outside the database: a later head has a higher counter, and the same counter has the same mac. */
export interface ManifestHead {
  readonly counter: bigint;
  readonly mac: string;
}

/**
 * The manifest in short; undefined while it has none. Rows and manifest put back together to one older
 * state are consistent, and only a copy of this that is kept elsewhere tells. Throws ERR_PROJECT_UNKNOWN,
 * ERR_SECRET_TAMPERED.
 */
export async function manifestHead(
  database: Queryable,
  master: MasterKey,
  holder: Holder,
): Promise<ManifestHead | undefined> {
  const project = await findHolder(database, holder);
  if (project === undefined) return undefined;
  const key = await findProjectKey(database, project);
  // Reading does not move a project of the old format.
  if (key === undefined || isOldFormat(key)) return undefined;
  return await withOwner(database, master, project, async (owner) => {
    const stored = await readManifest(database, project.id);
    openManifest(owner, stored);
    return { counter: BigInt(stored!.counter), mac: stored!.mac.toString("base64url") };
  });
}

/** Runs `work` with the key of a project, which is zeroed afterwards. Throws ERR_SECRET_TAMPERED. */
export async function withProjectKey<T>(
  client: Queryable,
  master: MasterKey,
  project: ProjectIds,
  work: (key: Buffer) => T | Promise<T>,
): Promise<T> {
  return await withOwner(client, master, project, async ({ key }) => await work(key));
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
