/**
 * The frame of everything that somebody asks for: is it allowed, then the change and its audit event in one transaction,
 * so that there is neither without the other. What only reads asks `permit` alone. A denial is recorded too, where the
 * place is one that the actor may know of, whether a role or the work itself refused.
 */
import type { Queryable } from "../../database/server.ts";
import type { Action } from "../../protocol/roles.ts";
import type { Actor } from "../tenancy/actor.ts";
import { appendAudit, type AuditClass, type AuditEntry } from "./audit.ts";
import { decide, type Permission, type Place } from "../tenancy/authorize.ts";
import { type AuditContext, type Denial, recordDenial } from "./denials.ts";

export interface ActContext extends AuditContext {
  readonly actor: Actor;
  /** Runs each change in its transaction, once it is allowed; may refuse it. */
  readonly around?: Around | undefined;
}

export type Around = <T>(client: Queryable, change: () => Promise<T>) => Promise<T>;

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
  const permission = await permit(context, act);
  try {
    return await context.database.transaction(async (client) => {
      const change = async (): Promise<T> => {
        const { result, ...more } = await work(client, permission);
        await recordSuccess(context, client, { permission, act, more });
        return result;
      };
      return await (context.around === undefined ? change() : context.around(client, change));
    });
  } catch (error) {
    await recordDenial(context, error, denialOf(context, act, permission));
    throw error;
  }
}

/** Whether the actor may; leaves an event when not. Throws what `authorize` throws. */
export async function permit(context: ActContext, act: Act): Promise<Permission> {
  const { permission, refusal } = await decide(context.database, context.actor, act.action, act.place);
  if (refusal === undefined) return permission;
  await recordDenial(context, refusal, denialOf(context, act, permission));
  throw refusal;
}

function denialOf({ actor }: ActContext, { event, target, action }: Act, permission: Permission): Denial {
  return { ...permission, class: "authorization", event, actor, target, details: { action } };
}

async function recordSuccess(
  context: ActContext,
  client: Queryable,
  { permission, act, more }: { permission: Permission; act: Act; more: Pick<AuditEntry, "target" | "details"> },
): Promise<void> {
  const { organizationId, projectId } = permission;
  const entry: AuditEntry = {
    organizationId,
    projectId,
    class: act.class ?? "management",
    event: act.event,
    actor: context.actor,
    outcome: "success",
    ...more,
    target: more.target ?? act.target,
  };
  await context.withAuditKey(client, organizationId, async (key) => await appendAudit(client, key, entry));
}
