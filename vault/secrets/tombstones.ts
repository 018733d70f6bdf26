/**
 * Destroying values: the key of a version is deleted, and with it the value is gone in every copy of the ciphertext; a
 * signed tombstone says so. Copies of the key's own row, as in backups and in the database's log, are out of reach until
 * these are gone as well.
 */
import type { Queryable } from "../../database/server.ts";
import type { Actor } from "../tenancy/actor.ts";
import { digest } from "../encryption/crypto.ts";
import { isSigned, signStatement, type SignedStatement } from "../audit/statements.ts";
import type { Project } from "../tenancy/tenancy.ts";

/** What was destroyed, by whom and when; `keyDigest` is SHA-256 of the wrapped key that is no more. */
export interface Tombstone {
  readonly organizationId: string;
  /** Undefined for a secret of the organization: nobody is told of the project that holds it. */
  readonly projectId?: string | undefined;
  readonly secretId: string;
  readonly name: string;
  readonly version: number;
  readonly keyDigest: string;
  readonly by: { readonly kind: Actor["kind"]; readonly id: string };
  readonly time: string;
}

/** Destroys versions of a secret, all when none are named, and gives the numbers of those that were there. */
export async function destroyVersions(
  client: Queryable,
  auditKey: Buffer,
  request: {
    project: Project;
    secret: { readonly id: string; readonly name: string };
    versions?: readonly number[] | undefined;
    actor: Actor;
  },
): Promise<number[]> {
  const { project, secret, versions, actor } = request;
  const projectId = await shownId(client, project.id);
  const { rows } = await client.query<{ version: number; wrappedKey: Buffer | null }>(
    `select version, wrapped_key as "wrappedKey" from secret_versions
     where secret_id = $1 and destroyed_at is null and ($2::int[] is null or version = any($2)) order by version for update`,
    [secret.id, versions ?? null],
  );
  for (const { version, wrappedKey } of rows) {
    await client.query(
      `update secret_versions set destroyed_at = now(), wrapped_key = null, ciphertext = '', fingerprint = null
       where secret_id = $1 and version = $2`,
      [secret.id, version],
    );
    const tombstone: Tombstone = {
      organizationId: project.organizationId,
      projectId,
      secretId: secret.id,
      name: secret.name,
      version,
      keyDigest: digest(["destroyed key", wrappedKey ?? Buffer.alloc(0)]).toString("base64url"),
      by: { kind: actor.kind, id: actor.id },
      time: new Date().toISOString(),
    };
    const body = JSON.stringify(tombstone);
    const { signature } = signStatement(auditKey, tombstonePurpose, body);
    // One that is there already is of a row that was put back, or somebody's own: neither keeps a value from its end.
    await client.query(
      `insert into secret_tombstones (secret_id, version, project_id, organization_id, body, signature)
       values ($1, $2, $3, $4, $5, $6)
       on conflict (secret_id, version) do update set project_id = excluded.project_id,
         organization_id = excluded.organization_id, body = excluded.body, signature = excluded.signature`,
      [secret.id, version, project.id, project.organizationId, body, signature],
    );
  }
  return rows.map(({ version }) => version);
}

const tombstonePurpose = "stepvault tombstone 1";

/** A tombstone with what it takes to check it elsewhere: Ed25519 over `<purpose>\n<body>`. */
export interface SignedTombstone extends Tombstone {
  readonly signed: SignedStatement;
}

/**
 * The tombstones of a project's secrets, or of one of them by its name, the latest first. One that was changed is left out, as
 * one that was removed is: the audit log knows of both.
 */
export async function readTombstones(
  database: Queryable,
  auditKey: Buffer,
  { projectId, name }: { projectId: string; name?: string | undefined },
): Promise<SignedTombstone[]> {
  const { rows } = await database.query<{ body: string; signature: string }>(
    "select body, signature from secret_tombstones where project_id = $1",
    [projectId],
  );
  const { publicKey } = signStatement(auditKey, tombstonePurpose, "");
  const named = await shownId(database, projectId);
  return rows
    .map(({ body, signature }) => ({ purpose: tombstonePurpose, body, publicKey, signature }))
    .filter(isSigned)
    .map((signed) => ({ ...(JSON.parse(signed.body) as Tombstone), signed }))
    .filter((tombstone) => tombstone.projectId === named && (name === undefined || tombstone.name === name))
    .sort((a, b) => (a.time === b.time ? b.version - a.version : a.time < b.time ? 1 : -1));
}

/** What a tombstone has for a project's id. */
async function shownId(client: Queryable, projectId: string): Promise<string | undefined> {
  const { rowCount } = await client.query("select from projects where id = $1 and shared", [projectId]);
  return rowCount === 0 ? projectId : undefined;
}
