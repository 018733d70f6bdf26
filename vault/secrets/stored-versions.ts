/**
 * Reading a project's secrets as the rows have them, with what proves them: the project's key and its manifest, all in one
 * statement and therefore of one moment, whatever is written meanwhile. Nothing read here is to be believed before
 * versions.ts compared it. Decrypts keys and no value.
 */
import type { Queryable } from "../../database/server.ts";
import { SealBrokenError } from "../encryption/crypto.ts";
import {
  columnsOfProjectKey,
  isOldFormat,
  joinOfProjectKey,
  projectKeyOf,
  type ProjectKeyRow,
  unwrapProjectKey,
  type WrappedProjectKey,
} from "../encryption/data-keys.ts";
import {
  columnsOfState,
  type Manifest,
  openManifest,
  type StateRow,
  type StoredManifest,
} from "../encryption/manifest.ts";
import type { MasterKey } from "../encryption/master-key.ts";

export interface StoredProject {
  readonly id: string;
  readonly organizationId: string;
  /** It holds the organization's own secrets. */
  readonly shared: boolean;
  readonly key: WrappedProjectKey | undefined;
  readonly manifest: StoredManifest | undefined;
}

/** A secret with its current version, or with the one that was asked for. */
export interface StoredVersion extends StateRow {
  readonly project: StoredProject;
  readonly secretId: string;
  readonly name: string;
  readonly version: number;
  /** The number of the version in use. */
  readonly current: number;
  readonly destroyed: boolean;
  readonly maskable: boolean;
  /** The proof that a project may use an organization's secret, when it was asked for one. */
  readonly grantMac: Buffer | null;
  readonly ciphertext: Buffer | null;
  readonly policy: string | null;
  readonly dataKeyId: string | null;
  readonly wrappedKey: Buffer | null;
}

type Row = ProjectKeyRow &
  Omit<StoredVersion, "project" | "secretId"> & {
    readonly shared: boolean;
    readonly projectId: string;
    readonly organizationId: string;
    readonly secretId: string | null;
    readonly counter: string | null;
    readonly entries: string | null;
    readonly mac: Buffer | null;
  };

/** What to read of a project. */
export interface Wanted {
  readonly projectId: string;
  readonly names: readonly string[];
  /** Another version than the one in use. */
  readonly version?: number | undefined;
  /** The project whose grants to an organization's secrets are wanted too. */
  readonly grantsTo?: string | undefined;
}

/** The project, and its secrets of these names; a name that it does not have is left out. */
export async function readProjectVersions(
  database: Queryable,
  { projectId, names, version, grantsTo }: Wanted,
): Promise<{ project: StoredProject; versions: StoredVersion[] } | undefined> {
  // The manifest is the largest part by far: it comes with one row only.
  const first = "row_number() over () = 1";
  // Each name is looked up by itself: the planner reckons with the average project, and would read all of a large one.
  const { rows } = await database.query<Row>(
    `select p.id as "projectId", p.organization_id as "organizationId", p.shared, ${columnsOfProjectKey},
            case when ${first} then m.counter end as counter, case when ${first} then m.entries end as entries,
            case when ${first} then m.mac end as mac,
            s.id as "secretId", s.name, coalesce($3, s.current_version) as version, s.current_version as current,
            ${columnsOfState}, g.mac as "grantMac", v.destroyed_at is not null as destroyed, v.maskable, v.ciphertext, v.policy, v.data_key_id as "dataKeyId",
            v.wrapped_key as "wrappedKey"
     from projects p
     ${joinOfProjectKey}
     left join secret_manifests m on m.project_id = p.id
     left join unnest($2::text[]) as wanted (name) on true
     left join lateral (select * from secrets where project_id = p.id and name = wanted.name limit 1) s on true
     left join secret_versions v on v.secret_id = s.id and v.version = coalesce($3, s.current_version)
     left join secret_grants g on g.secret_id = s.id and g.project_id = $4
     where p.id = $1`,
    [projectId, names, version ?? null, grantsTo ?? null],
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  const manifest = rows.map(manifestOf).find((found) => found !== undefined);
  const { projectId: id, organizationId, shared } = row;
  const project = { id, organizationId, shared, key: projectKeyOf(row), manifest };
  const versions = rows.flatMap(({ secretId, ...version }) =>
    secretId === null ? [] : [{ ...version, secretId, project }],
  );
  return { project, versions };
}

function manifestOf({ counter, entries, mac }: Row): StoredManifest | undefined {
  return counter === null || entries === null || mac === null ? undefined : { counter, entries, mac };
}

/** The project's secrets of these names; a name that it does not have is left out. */
export async function readVersions(database: Queryable, wanted: Wanted): Promise<StoredVersion[]> {
  return (await readProjectVersions(database, wanted))?.versions ?? [];
}

/** A project whose key is at hand. */
export interface OpenProject {
  readonly keyId: string;
  readonly key: Buffer;
  /** None in a project from before there were manifests. */
  readonly manifest: Manifest | undefined;
}

/** Runs `work` with the project's key and manifest. Throws SealBrokenError, ERR_MASTER_KEY_INVALID, ERR_KMS_UNAVAILABLE. */
export async function withOpenProject<T>(
  master: MasterKey,
  project: StoredProject,
  work: (project: OpenProject) => T | Promise<T>,
): Promise<T> {
  if (project.key === undefined) throw new SealBrokenError();
  const key = await unwrapProjectKey(master, project, project.key);
  try {
    return await work({ keyId: project.key.id, key, manifest: provenManifest(project, project.key, key) });
  } finally {
    key.fill(0);
  }
}

/** A project gets both with its first write: a key in the format of now and a manifest. One without the other was put back. */
function provenManifest(project: StoredProject, wrapped: WrappedProjectKey, key: Buffer): Manifest | undefined {
  if (!isOldFormat(wrapped)) return openManifest({ project, keyId: wrapped.id, key }, project.manifest);
  if (project.manifest !== undefined) throw new SealBrokenError();
  return undefined;
}
