/**
 * What signing people in needs beside who acts: the deployment's pepper, and the events of each organization that a person
 * is in, as no sign-in is of one organization alone. An event per organization is the price for a log that each of them
 * can read by itself.
 */
import type { Queryable } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { appendAudit, type AuditEntry } from "../audit/audit.ts";
import { recordDenial } from "../audit/denials.ts";
import type { ActContext } from "../audit/perform.ts";
import type { KeyIssuer } from "../platform-keys/keys.ts";

export interface PeopleContext extends ActContext {
  readonly issuer: KeyIssuer;
}

interface SignInEvent {
  readonly personId: string;
  /** `thing.done`, such as `session.create`. */
  readonly event: string;
  readonly target: NonNullable<AuditEntry["target"]>;
  /** Of what the operator did; else the person did it. */
  readonly actor?: AuditEntry["actor"];
}

/** Call it in the transaction of what it tells of. */
export async function recordSignIn(
  context: PeopleContext,
  client: Queryable,
  { personId, event, target, actor = { kind: "person", id: personId } }: SignInEvent,
): Promise<void> {
  for (const organizationId of await organizationsOf(client, personId)) {
    await context.withAuditKey(client, organizationId, async (key) => {
      await appendAudit(client, key, {
        organizationId,
        class: "authentication",
        event,
        outcome: "success",
        actor,
        target,
      });
    });
  }
}

/** Repeats within a minute are one event. Never throws. */
export async function recordRefusedSignIn(
  context: PeopleContext,
  error: unknown,
  { personId, event, target }: SignInEvent,
): Promise<void> {
  const actor = { kind: "person", id: personId } as const;
  try {
    for (const organizationId of await organizationsOf(context.database, personId))
      await recordDenial(context, error, { organizationId, class: "authentication", event, actor, target });
  } catch (why) {
    context.onDenialLost?.(why);
  }
}

/** Throws ERR_FORBIDDEN. */
export function requireOperator({ actor }: PeopleContext, action: string): void {
  if (actor.kind === "system") return;
  throw new StepvaultError("ERR_FORBIDDEN", `Cannot ${action}: it takes the operator`);
}

/** Sessions are a person's own matter, and the operator's. Throws ERR_FORBIDDEN. */
export function requireSelf({ actor }: PeopleContext, personId: string, action: string): void {
  if (actor.kind === "system" || (actor.kind === "person" && actor.id === personId)) return;
  throw new StepvaultError("ERR_FORBIDDEN", `Cannot ${action}: it takes the person or the operator`);
}

/** Always in the same order: transactions that write to several logs must not wait for each other in a circle. */
async function organizationsOf(client: Queryable, personId: string): Promise<string[]> {
  const { rows } = await client.query<{ id: string }>(
    "select organization_id as id from organization_members where person_id = $1 order by organization_id",
    [personId],
  );
  return rows.map(({ id }) => id);
}
