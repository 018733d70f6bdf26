/**
 * The signed list of a project's secrets, credentials and switches of inheritance: which version of each is current, a digest
 * of its row, and its state; what is not listed is not there. A row that is put back as it once was still opens under its keys, and is not what
 * the list says. One row per project, read and signed as a whole: a thousand secrets are some 80 KB, and any structure that
 * reads less has to prove that what it does not read is unchanged.
 *
 * The counter grows with every change. Whoever puts back all rows of a project together with an old list cannot be
 * noticed from inside: for that, keep manifestHead() somewhere else and compare.
 */
import { timingSafeEqual } from "node:crypto";
import type { Queryable } from "../../database/server.ts";
import { readCredentialEntries, type RowEntry } from "../credentials/credential-entries.ts";
import { authenticate, deriveKey, digest, SealBrokenError, withKey } from "./crypto.ts";

/** Whose manifest, and the key that signs it. */
export interface ManifestOwner {
  readonly project: { readonly id: string; readonly organizationId: string };
  readonly keyId: string;
  readonly key: Buffer;
}

export interface StoredManifest {
  readonly counter: string;
  readonly entries: string;
  readonly mac: Buffer;
}

export interface ManifestEntry {
  readonly version: number;
  readonly state: SecretState;
  readonly history: SecretHistory;
  readonly digest: string;
}

/** What of a secret, and not of one of its versions, decides whether it is used. */
export interface SecretState {
  readonly disabled: boolean;
  readonly deleted: boolean;
  /** ISO 8601; null: never. */
  readonly expiresAt: string | null;
  /** Of an organization's secret: which projects may use it, as in the table `secrets`. */
  readonly access: string | null;
  /** Versions whose keys were destroyed: a row with such a key was put back. */
  readonly destroyed: readonly number[];
}

/** What decides which earlier versions are gone back to. */
export interface SecretHistory {
  /** The latest version that was sealed, or 0: a readable one before it may hold the same value. */
  readonly sealedAt: number;
  /** The first version that is known: what is older was in rows that somebody put back. */
  readonly since: number;
}

/** Of earlier versions the rows are deleted when a new one comes, and the manifest says nothing of them. */
export const versionsKept = 100;

const plainState: SecretState = { disabled: false, deleted: false, expiresAt: null, access: null, destroyed: [] };
const plainHistory: SecretHistory = { sealedAt: 0, since: 1 };

/** By the secret's name, or by one of credential-entries.ts. */
export type Manifest = Map<string, ManifestEntry>;

/** What stands in a version's row; the ciphertext by its own digest, so that the database can compute it. */
export interface VersionRow {
  readonly secretId: string;
  readonly version: number;
  readonly dataKeyId: string | null;
  readonly policy: string | null;
  readonly wrappedKey: Buffer | null;
  readonly ciphertextDigest: Buffer | null;
}

const absent = Buffer.of(0);
const present = Buffer.of(1);

export function digestOfVersion(row: VersionRow): string {
  const optional = [row.dataKeyId, row.policy, row.wrappedKey, row.ciphertextDigest].flatMap((part) =>
    part === null ? [absent] : [present, part],
  );
  return digest(["version", row.secretId, String(row.version), ...optional]).toString("base64url");
}

/** Throws SealBrokenError when there is none, or it is not the one that was signed. */
export function openManifest(owner: ManifestOwner, stored: StoredManifest | undefined): Manifest {
  if (stored === undefined || !timingSafeEqual(sign(owner, stored), digestLength(stored.mac))) {
    throw new SealBrokenError();
  }
  const parts = decodeEntries(stored.entries);
  const manifest: Manifest = new Map();
  for (let at = 0; at < parts.length; at += 4) {
    const [name, version, state, entryDigest] = parts.slice(at, at + 4) as [string, string, string, string];
    manifest.set(name, { version: Number(version), ...decodeState(state), digest: entryDigest });
  }
  return manifest;
}

/**
 * The first manifest of a project, of its secrets as they are now. Rows of credentials and switches are not taken over: all
 * that Stepvault writes are listed from the first, so whatever is there already came past it.
 */
export async function createManifest(client: Queryable, owner: ManifestOwner): Promise<void> {
  await writeManifest(client, owner, {
    counter: 1n,
    manifest: await readSecretEntries(client, owner.project.id, null),
  });
}

export async function writeManifest(
  client: Queryable,
  owner: ManifestOwner,
  { counter, manifest }: { counter: bigint; manifest: Manifest },
): Promise<void> {
  const sorted = [...manifest].sort(([a], [b]) => (a < b ? -1 : 1));
  const entries = encodeEntries(
    sorted.flatMap(([name, entry]) => [name, String(entry.version), encodeState(entry), entry.digest]),
  );
  const mac = sign(owner, { counter: String(counter), entries });
  await client.query(
    `insert into secret_manifests (project_id, counter, entries, mac) values ($1, $2, $3, $4)
     on conflict (project_id) do update set counter = excluded.counter, entries = excluded.entries, mac = excluded.mac`,
    [owner.project.id, String(counter), entries, mac],
  );
}

/** The entries that the rows of a project would have; of one secret when its name is given. */
export async function readEntries(client: Queryable, projectId: string, name: string | null = null): Promise<Manifest> {
  const entries = await readSecretEntries(client, projectId, name);
  if (name !== null) return entries;
  const others = await readCredentialEntries(client, projectId);
  return new Map([...entries, ...others.map((row): [string, ManifestEntry] => [row.name, plainEntry(row)])]);
}

/** The entry of a row that has neither history nor any state but being switched off. */
export function plainEntry({ version, disabled, digest: rowDigest }: Omit<RowEntry, "name">): ManifestEntry {
  return { version, state: { ...plainState, disabled }, history: plainHistory, digest: rowDigest };
}

async function readSecretEntries(client: Queryable, projectId: string, name: string | null): Promise<Manifest> {
  const { rows } = await client.query<
    VersionRow & StateRow & { name: string; destroyed: number[] | null; sealedAt: number | null }
  >(
    `select s.name, s.id as "secretId", s.current_version as version, ${columnsOfState}, h.destroyed, h."sealedAt",
            v.data_key_id as "dataKeyId", v.policy, v.wrapped_key as "wrappedKey",
            sha256(v.ciphertext) as "ciphertextDigest"
     from secrets s left join secret_versions v on v.secret_id = s.id and v.version = s.current_version
     left join lateral (
       select array_agg(d.version order by d.version)
                filter (where d.destroyed_at is not null and d.version > s.current_version - $3) as destroyed,
              max(d.version) filter (where starts_with(d.policy, '{"sealed":true')) as "sealedAt"
       from secret_versions d where d.secret_id = s.id) h on true
     where s.project_id = $1 and s.current_version > 0 and ($2::text is null or s.name = $2)`,
    [projectId, name, versionsKept],
  );
  return new Map(
    rows.map((row) => {
      const state = stateOf(row, row.destroyed ?? []);
      const history = { ...plainHistory, sealedAt: row.sealedAt ?? 0 };
      return [row.name, { version: row.version, state, history, digest: digestOfVersion(row) }];
    }),
  );
}

/** The digest of one version's row of a secret; undefined when there is no such row. */
export async function readDigest(
  client: Queryable,
  projectId: string,
  { name, version }: { name: string; version: number },
): Promise<string | undefined> {
  const { rows } = await client.query<VersionRow>(
    `select v.secret_id as "secretId", v.version, v.data_key_id as "dataKeyId", v.policy, v.wrapped_key as "wrappedKey",
            sha256(v.ciphertext) as "ciphertextDigest"
     from secret_versions v join secrets s on s.id = v.secret_id
     where s.project_id = $1 and s.name = $2 and v.version = $3`,
    [projectId, name, version],
  );
  return rows[0] && digestOfVersion(rows[0]);
}

/** A secret's state as a row has it; `columnsOfState` selects it, where `s` is the secret. */
export interface StateRow extends Omit<SecretState, "expiresAt" | "destroyed"> {
  readonly expiresAt: Date | null;
}

export const columnsOfState = `s.disabled_at is not null as disabled, s.deleted_at is not null as deleted,
  s.expires_at as "expiresAt", s.access`;

export function stateOf(
  { disabled, deleted, expiresAt, access }: StateRow,
  destroyed: readonly number[] = [],
): SecretState {
  return { disabled, deleted, expiresAt: expiresAt === null ? null : timeText(expiresAt), access, destroyed };
}

/** PostgreSQL has times that no Date is, such as infinity: written past Stepvault, they are unlike every other. */
function timeText(time: Date): string {
  return time instanceof Date && !Number.isNaN(time.getTime()) ? time.toISOString() : "no time";
}

/** Short for what most are: the manifest is read whole for every run. */
function encodeState({ state, history }: Pick<ManifestEntry, "state" | "history">): string {
  const { disabled, deleted, expiresAt, access, destroyed } = state;
  const { sealedAt, since } = history;
  if (!deleted && expiresAt === null && access === null && destroyed.length === 0 && sealedAt === 0 && since === 1)
    return disabled ? "disabled" : "enabled";
  return JSON.stringify({
    ...(disabled && { disabled }),
    ...(deleted && { deleted }),
    ...(expiresAt !== null && { expiresAt }),
    ...(access !== null && { access }),
    ...(destroyed.length > 0 && { destroyed }),
    ...(sealedAt > 0 && { sealedAt }),
    ...(since > 1 && { since }),
  });
}

function decodeState(text: string): Pick<ManifestEntry, "state" | "history"> {
  if (!text.startsWith("{")) return { state: { ...plainState, disabled: text === "disabled" }, history: plainHistory };
  const { sealedAt = 0, since = 1, ...state } = JSON.parse(text) as Partial<SecretState & SecretHistory>;
  return { state: { ...plainState, ...state }, history: { sealedAt, since } };
}

function sign({ project, keyId, key }: ManifestOwner, stored: Pick<StoredManifest, "counter" | "entries">): Buffer {
  return withKey(deriveKey(key, "manifest"), (signKey) =>
    authenticate(signKey, ["manifest", project.organizationId, project.id, keyId, stored.counter, stored.entries]),
  );
}

const macBytes = 32;

/** timingSafeEqual() throws at other lengths. */
function digestLength(mac: Buffer): Buffer {
  return mac.length === macBytes ? mac : Buffer.alloc(macBytes);
}

/** Each part with its length before it. Text and not bytes: PostgreSQL sends bytes at twice their size. */
function encodeEntries(parts: readonly string[]): string {
  return parts.map((part) => `${part.length}:${part}`).join("");
}

/** What encodeEntries() made; only of a text that was proven. */
function decodeEntries(text: string): string[] {
  const parts: string[] = [];
  for (let at = 0; at < text.length;) {
    const start = text.indexOf(":", at) + 1;
    const end = start + Number(text.slice(at, start - 1));
    parts.push(text.slice(start, end));
    at = end;
  }
  return parts;
}
