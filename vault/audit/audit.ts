/**
 * The audit log: one chain of events per organization, each with a MAC over itself and the one before, so that a change, a
 * removal or another order shows. An event is written in the transaction of what it tells of: there is neither without
 * the other. The head is signed, to be kept elsewhere: against who holds the database and the master key, only a head that
 * they cannot reach helps.
 */
import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign,
  timingSafeEqual,
  verify,
} from "node:crypto";
import type { Queryable } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { createId } from "../../protocol/ids.ts";
import type { Actor } from "../tenancy/actor.ts";
import { deriveKey, withKey } from "../encryption/crypto.ts";

export type AuditClass = "management" | "data-access" | "authentication" | "authorization";

export interface AuditTarget {
  readonly type: string;
  readonly id?: string;
  readonly name?: string;
  readonly version?: number;
}

/** What happened, without values: ids, names and figures. */
export interface AuditEntry {
  readonly organizationId: string;
  readonly projectId?: string | undefined;
  readonly class: AuditClass;
  /** `thing.done`, such as `secret.set`. */
  readonly event: string;
  readonly outcome: "success" | "denied" | "failure";
  readonly reason?: string | undefined;
  readonly actor: Pick<Actor, "kind" | "id">;
  readonly via?: { readonly runId?: string; readonly stepId?: string; readonly keyId?: string } | undefined;
  readonly target?: readonly AuditTarget[] | undefined;
  readonly details?: Readonly<Record<string, string | number | boolean | null>> | undefined;
}

export interface AuditEvent extends Omit<AuditEntry, "organizationId" | "actor"> {
  readonly id: string;
  readonly seq: number;
  readonly time: string;
  readonly actor: { readonly kind: Actor["kind"]; readonly id: string };
}

/** Where a chain ends; `signature` is Ed25519 over the other fields, as `headText` has them. */
export interface AuditHead {
  readonly organizationId: string;
  readonly seq: number;
  readonly hash: string;
  readonly time: string;
  readonly publicKey: string;
  readonly signature: string;
}

export interface AuditVerdict {
  readonly events: number;
  /** The first place where the log is not what was written; undefined when it is. */
  readonly broken?: { readonly seq: number; readonly why: string };
}

const firstHash = Buffer.alloc(32);
const pageSize = 1_000;

/**
 * Appends an event under the organization's audit key. Call it in the transaction of what it tells of; it waits for others of the
 * organization to end.
 */
export async function appendAudit(client: Queryable, auditKey: Buffer, entry: AuditEntry): Promise<void> {
  const { organizationId, actor, ...rest } = entry;
  const head = await lockHead(client, organizationId);
  const seq = Number(head.seq) + 1;
  const time = new Date().toISOString();
  const event: AuditEvent = { id: createId(), seq, time, actor: { kind: actor.kind, id: actor.id }, ...rest };
  const body = JSON.stringify(event);
  const hash = chainHash(auditKey, { organizationId, before: head.hash, body });
  await client.query(
    `with appended as (
       insert into audit_events (organization_id, seq, time, project_id, body, hash) values ($1, $2, $3, $4, $5, $6))
     update audit_heads set seq = $2, hash = $6 where organization_id = $1`,
    [organizationId, seq, time, entry.projectId ?? null, body, hash],
  );
}

/** Where the chain ends, which nobody moves until the transaction ends; made for an organization's first event. */
async function lockHead(client: Queryable, organizationId: string): Promise<{ seq: string; hash: Buffer }> {
  const lock = "select seq, hash from audit_heads where organization_id = $1 for update";
  const { rows } = await client.query<{ seq: string; hash: Buffer }>(lock, [organizationId]);
  if (rows[0] !== undefined) return rows[0];
  await client.query("insert into audit_heads (organization_id, seq, hash) values ($1, 0, $2) on conflict do nothing", [
    organizationId,
    firstHash,
  ]);
  return (await client.query<{ seq: string; hash: Buffer }>(lock, [organizationId])).rows[0]!;
}

export interface AuditQuery {
  readonly organizationId: string;
  readonly projectId?: string | undefined;
  /** The number of the last event that was seen: the ones before it follow. */
  readonly before?: number | undefined;
  readonly limit: number;
}

/** Events of an organization, or of one of its projects, the latest first. */
export async function listAudit(
  database: Queryable,
  { organizationId, projectId, before, limit }: AuditQuery,
): Promise<AuditEvent[]> {
  const { rows } = await database.query<{ body: string }>(
    `select body from audit_events
     where organization_id = $1 and ($2::uuid is null or project_id = $2) and ($3::bigint is null or seq < $3)
     order by seq desc limit $4`,
    [organizationId, projectId ?? null, before ?? null, limit],
  );
  return rows.map(({ body }) => JSON.parse(body) as AuditEvent);
}

/** Where the chain ends now, signed. Keep it where whoever can write to the database cannot. */
export async function signAuditHead(database: Queryable, auditKey: Buffer, organizationId: string): Promise<AuditHead> {
  const { rows } = await database.query<{ seq: string; hash: Buffer }>(
    "select seq, hash from audit_heads where organization_id = $1",
    [organizationId],
  );
  const head = {
    organizationId,
    seq: Number(rows[0]?.seq ?? 0),
    hash: (rows[0]?.hash ?? firstHash).toString("hex"),
    time: new Date().toISOString(),
  };
  const privateKey = signingKey(auditKey);
  const publicKey = createPublicKey(privateKey).export({ type: "spki", format: "der" }).toString("base64");
  const signature = sign(null, Buffer.from(headText(head)), privateKey).toString("base64");
  return { ...head, publicKey, signature };
}

/**
 * Reads the whole chain and tells the first place where it is not what was written. `kept` is a head from earlier: the chain
 * must still lead through it. Throws ERR_AUDIT_HEAD_INVALID for a head that was not signed here.
 */
export async function verifyAudit(
  database: Queryable,
  auditKey: Buffer,
  { organizationId, kept }: { organizationId: string; kept?: AuditHead | undefined },
): Promise<AuditVerdict> {
  if (kept !== undefined) checkHead(kept, auditKey, organizationId);
  let [seq, hash] = [0, firstHash as Buffer];
  for (;;) {
    const { rows } = await database.query<{
      seq: string;
      time: Date;
      project_id: string | null;
      body: string;
      hash: Buffer;
    }>(
      "select seq, time, project_id, body, hash from audit_events where organization_id = $1 and seq > $2 order by seq limit $3",
      [organizationId, seq, pageSize],
    );
    for (const row of rows) {
      if (Number(row.seq) !== seq + 1) return { events: seq, broken: { seq: seq + 1, why: "an event is missing" } };
      const expected = chainHash(auditKey, { organizationId, before: hash, body: row.body });
      if (row.hash.length !== expected.length || !timingSafeEqual(row.hash, expected))
        return { events: seq, broken: { seq: seq + 1, why: "an event was changed, or is not in its place" } };
      if (!columnsFit(row)) return { events: seq, broken: { seq: seq + 1, why: "an event's columns are not its own" } };
      [seq, hash] = [seq + 1, row.hash];
      if (kept?.seq === seq && kept.hash !== hash.toString("hex"))
        return { events: seq, broken: { seq, why: "it is not the event that the kept head names" } };
    }
    if (rows.length < pageSize) break;
  }
  const { rows } = await database.query<{ seq: string; hash: Buffer }>(
    "select seq, hash from audit_heads where organization_id = $1",
    [organizationId],
  );
  const head = rows[0];
  const ended = head === undefined ? seq === 0 : Number(head.seq) === seq && head.hash.equals(hash);
  if (!ended) return { events: seq, broken: { seq: seq + 1, why: "the log does not end where its head says" } };
  if (kept !== undefined && kept.seq > seq)
    return { events: seq, broken: { seq: seq + 1, why: "the log ends before the kept head" } };
  return { events: seq };
}

function columnsFit(row: { seq: string; time: Date; project_id: string | null; body: string }): boolean {
  const event = JSON.parse(row.body) as AuditEvent;
  return (
    event.seq === Number(row.seq) &&
    event.time === row.time.toISOString() &&
    (event.projectId ?? null) === row.project_id
  );
}

function checkHead(head: AuditHead, auditKey: Buffer, organizationId: string): void {
  const publicKey = createPublicKey(signingKey(auditKey));
  const signed = verify(null, Buffer.from(headText(head)), publicKey, Buffer.from(head.signature, "base64"));
  if (signed && head.organizationId === organizationId) return;
  throw new StepvaultError(
    "ERR_AUDIT_HEAD_INVALID",
    "Cannot compare the audit log with the kept head: it was not signed by this deployment for this organization",
  );
}

function headText({
  organizationId,
  seq,
  hash,
  time,
}: Pick<AuditHead, "organizationId" | "seq" | "hash" | "time">): string {
  return JSON.stringify(["stepvault audit head 1", organizationId, seq, hash, time]);
}

function chainHash(
  auditKey: Buffer,
  { organizationId, before, body }: { organizationId: string; before: Buffer; body: string },
): Buffer {
  return withKey(deriveKey(auditKey, "audit"), (key) =>
    createHmac("sha256", key).update(organizationId).update(before).update(body).digest(),
  );
}

/** Ed25519 from a derived seed: the DER around it is fixed (RFC 8410). */
export function signingKey(auditKey: Buffer): KeyObject {
  const seed = deriveKey(auditKey, "audit head");
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
  try {
    return createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  } finally {
    seed.fill(0);
    der.fill(0);
  }
}
