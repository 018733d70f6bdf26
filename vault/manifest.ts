/**
 * The signed list of a project's secrets: which version of each is current, a digest of its row, and whether it is switched
 * off; what is not listed was deleted. A row that is put back as it once was still opens under its keys, and is not what
 * the list says. One row per project, read and signed as a whole: a thousand secrets are some 80 KB, and any structure that
 * reads less has to prove that what it does not read is unchanged.
 *
 * The counter grows with every change. Whoever puts back all rows of a project together with an old list cannot be
 * noticed from inside: for that, keep manifestHead() somewhere else and compare.
 */
import { timingSafeEqual } from "node:crypto";
import type { Queryable } from "../database/server.ts";
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
  readonly disabled: boolean;
  readonly digest: string;
}

/** By the secret's name. */
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
    manifest.set(name, { version: Number(version), disabled: state === "disabled", digest: entryDigest });
  }
  return manifest;
}

/** The first manifest of a project, of its secrets as they are now. */
export async function createManifest(client: Queryable, owner: ManifestOwner): Promise<void> {
  await writeManifest(client, owner, { counter: 1n, manifest: await readEntries(client, owner.project.id) });
}

export async function writeManifest(
  client: Queryable,
  owner: ManifestOwner,
  { counter, manifest }: { counter: bigint; manifest: Manifest },
): Promise<void> {
  const sorted = [...manifest].sort(([a], [b]) => (a < b ? -1 : 1));
  const entries = encodeEntries(
    sorted.flatMap(([name, { version, disabled, digest: entryDigest }]) => [
      name,
      String(version),
      disabled ? "disabled" : "enabled",
      entryDigest,
    ]),
  );
  const mac = sign(owner, { counter: String(counter), entries });
  await client.query(
    `insert into secret_manifests (project_id, counter, entries, mac) values ($1, $2, $3, $4)
     on conflict (project_id) do update set counter = excluded.counter, entries = excluded.entries, mac = excluded.mac`,
    [owner.project.id, String(counter), entries, mac],
  );
}

/** The entries that the rows of a project's secrets would have; of one secret when its name is given. */
export async function readEntries(client: Queryable, projectId: string, name: string | null = null): Promise<Manifest> {
  const { rows } = await client.query<VersionRow & { name: string; disabled: boolean }>(
    `select s.name, s.id as "secretId", s.current_version as version, s.disabled_at is not null as disabled,
            v.data_key_id as "dataKeyId", v.policy, v.wrapped_key as "wrappedKey",
            sha256(v.ciphertext) as "ciphertextDigest"
     from secrets s left join secret_versions v on v.secret_id = s.id and v.version = s.current_version
     where s.project_id = $1 and s.current_version > 0 and ($2::text is null or s.name = $2)`,
    [projectId, name],
  );
  return new Map(
    rows.map((row) => [row.name, { version: row.version, disabled: row.disabled, digest: digestOfVersion(row) }]),
  );
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
