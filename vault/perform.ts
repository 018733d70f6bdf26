/**
 * The frame of every change that somebody asks for: is it allowed, then the change and its audit event in one transaction,
 * so that there is neither without the other. A denial is recorded too, where the place is one that the actor may know of.
 */
import type { Queryable, Transactional } from "../database/server.ts";
import { StepvaultError } from "../protocol/error.ts";
import type { Action } from "../protocol/roles.ts";
import type { Actor } from "./actor.ts";
import { appendAudit, type AuditClass, type AuditEntry } from "./audit.ts";
import { authorize, type Permission, type Place } from "./authorize.ts";

export interface ActContext {
  readonly database: Queryable & Transactional;
  readonly actor: Actor;
  /** Runs work with an organization's audit key, which is zeroed afterwards. */
  withAuditKey<T>(client: Queryable, organizationId: string, work: (key: Buffer) => Promise<T>): Promise<T>;
}

export interface Act {
  readonly action: Action;
  readonly place: Place;
  /** `thing.done`, such as `secret.set`. */
  readonly event: string;
  readonly class?: AuditClass;
  readonly target?: AuditEntry["target"];
}

/** What came of it, and what the event tells beyond what was known before. */
export interface Done<T> {
  readonly result: T;
  readonly target?: AuditEntry["target"];
  readonly details?: AuditEntry["details"];
}

/** Throws what `authorize` and the work throw; nothing is changed then. */
export async function perform<T>(
  context: ActContext,
  act: Act,
  work: (client: Queryable, permission: Permission) => Promise<Done<T>>,
): Promise<T> {
  let permission: Permission;
  try {
    permission = await authorize(context.database, context.actor, act.action, act.place);
  } catch (error) {
    if (error instanceof StepvaultError && error.code === "ERR_FORBIDDEN") await recordDenial(context, act);
    throw error;
  }
  return await context.database.transaction(async (client) => {
    const { result, target, details } = await work(client, permission);
    await record(context, client, { permission, act, outcome: "success", target, details });
    return result;
  });
}

async function recordDenial(context: ActContext, act: Act): Promise<void> {
  // Whoever was denied has a part in the place, so it is there, and the deployment itself may look at it.
  const permission = await authorize(context.database, { kind: "system", id: "audit" }, act.action, act.place);
  await context.database.transaction(
    async (client) => await record(context, client, { permission, act, outcome: "denied", reason: act.action }),
  );
}

async function record(
  context: ActContext,
  client: Queryable,
  {
    permission,
    act,
    ...more
  }: { permission: Permission; act: Act } & Pick<AuditEntry, "outcome" | "reason" | "target" | "details">,
): Promise<void> {
  const { organizationId, projectId } = permission;
  const entry: AuditEntry = {
    organizationId,
    projectId,
    class: more.outcome === "denied" ? "authorization" : (act.class ?? "management"),
    event: act.event,
    actor: context.actor,
    ...more,
    target: more.target ?? act.target,
  };
  await context.withAuditKey(client, organizationId, async (key) => await appendAudit(client, key, entry));
}
