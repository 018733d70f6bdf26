/**
 * Denials in the audit log: which refusals are told, and how often. The same denial of the same one within a minute is one
 * event; how often it came again is counted in the database and told by the next, so that a flood neither fills the log,
 * nor waits for the organization's chain, nor takes the connections of others. A count that no later denial asks for is
 * dropped after 30 days. What is told of a denial never changes what whoever was denied is answered.
 */
import type { Queryable, Transactional } from "../../database/server.ts";
import { type ErrorCode, StepvaultError } from "../../protocol/error.ts";
import { appendAudit, type AuditEntry } from "./audit.ts";
import { digest } from "../encryption/crypto.ts";
import { JoinedCalls } from "./joined-calls.ts";

/** What it takes to write events. */
export interface AuditContext {
  readonly database: Queryable & Transactional;
  /** Runs work with an organization's audit key, which is zeroed afterwards. */
  withAuditKey<T>(client: Queryable, organizationId: string, work: (key: Buffer) => Promise<T>): Promise<T>;
  /** Told of a denial that could not be recorded, as the answer does not say so. */
  onDenialLost?: ((error: unknown) => void) | undefined;
}

/**
 * The refusals that are denials: whoever asked was understood, and a rule of the organization or the deployment says no. Not
 * here is what was mistyped, is not there or is in a state that anybody would be told of (`ERR_KEY_ROTATED`,
 * `ERR_MEMBER_LAST_OWNER`), and what is not the asker's fault, such as `ERR_SECRET_TAMPERED`.
 */
const denialCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  // A role or a scope is missing.
  "ERR_FORBIDDEN",
  // What the organization pays for and was given.
  "ERR_PLAN_REQUIRED",
  "ERR_ROLLOUT_PENDING",
  // Reaching from a project for what is its organization's.
  "ERR_KEY_INHERITED",
  "ERR_CREDENTIAL_NOT_INHERITED",
  "ERR_SECRET_NOT_GRANTED",
  // Reaching past what somebody switched off, ended or kept private.
  "ERR_CREDENTIAL_DISABLED",
  "ERR_KEY_REVOKED",
  "ERR_AGENT_PRIVATE",
  // What a policy says of a value.
  "ERR_SECRET_NOT_ALLOWED",
  "ERR_SECRET_SEALED",
  "ERR_OAUTH_NOT_SHAREABLE",
  // Of presented keys alone.
  "ERR_KEY_EXPIRED",
  "ERR_KEY_PARENT",
  "ERR_KEY_BROWSER",
  "ERR_KEY_BUDGET",
  // Of presented sign-in links alone.
  "ERR_SIGN_IN_LINK_INVALID",
]);

export type Denial = Omit<AuditEntry, "outcome" | "reason">;

/** Of each database, what is being recorded now. */
const recording = new WeakMap<object, JoinedCalls>();

/** Records an error when it is a denial. Never throws: whoever was denied gets their own error. */
export async function recordDenial(context: AuditContext, error: unknown, denial: Denial): Promise<void> {
  if (!(error instanceof StepvaultError && denialCodes.has(error.code))) return;
  const entry: AuditEntry = { ...denial, outcome: "denied", reason: error.code };
  const what = digest([entry.actor.kind, entry.actor.id, entry.event, error.code]);
  const joined = recording.get(context.database) ?? new JoinedCalls();
  recording.set(context.database, joined);
  try {
    const name = `${entry.organizationId} ${what.toString("hex")}`;
    await joined.call(name, async (times) => await record(context, { entry, what, times }));
  } catch (why) {
    context.onDenialLost?.(why);
  }
}

/** In a transaction of its own: of what was denied, nothing is left to be in one with. */
async function record(
  context: AuditContext,
  { entry, what, times }: { entry: AuditEntry; what: Buffer; times: number },
): Promise<void> {
  await context.database.transaction(async (client) => {
    const suppressedRepeats = await countDenials(client, { organizationId: entry.organizationId, what, times });
    if (suppressedRepeats === undefined) return;
    const details = suppressedRepeats === 0 ? entry.details : { ...entry.details, suppressedRepeats };
    await context.withAuditKey(
      client,
      entry.organizationId,
      async (key) => await appendAudit(client, key, { ...entry, details }),
    );
  });
}

/**
 * Undefined when the same was recorded within the last minute; else how often it came again since. Another process that
 * counts the same waits for this one's transaction: if its event is not written, that one's is the first.
 */
async function countDenials(
  client: Queryable,
  { organizationId, what, times }: { organizationId: string; what: Buffer; times: number },
): Promise<number | undefined> {
  const row = [organizationId, what];
  // A new row has no event yet; one that is there is locked.
  const { rows } = await client.query<{ repeats: number; recent: boolean }>(
    `insert into audit_denials as d (organization_id, digest, recorded_at) values ($1, $2, '-infinity')
     on conflict (organization_id, digest) do update set repeats = d.repeats
     returning repeats::float8, recorded_at between now() - interval '1 minute' and now() + interval '1 minute' as recent`,
    row,
  );
  const { repeats, recent } = rows[0]!;
  const update = recent ? "repeats = repeats + $3" : "repeats = $3, recorded_at = now()";
  await client.query(`update audit_denials set ${update} where organization_id = $1 and digest = $2`, [
    ...row,
    recent ? times : times - 1,
  ]);
  if (recent) return undefined;
  await forgetOldDenials(client);
  return repeats;
}

/** Rows are no more than the events of 30 days: each new one costs an event, and takes up to 100 old ones away. */
async function forgetOldDenials(client: Queryable): Promise<void> {
  await client.query(
    `delete from audit_denials where ctid = any(
       array(select ctid from audit_denials where recorded_at < now() - interval '30 days'
             order by recorded_at limit 50 for update skip locked)
       || array(select ctid from audit_denials where recorded_at < now() - interval '1 minute' and repeats = 0
                order by recorded_at limit 50 for update skip locked))`,
  );
}
