/**
 * One change of one secret: authorized, made and audited in one transaction. What the change is, is its caller's.
 */
import type { Queryable } from "../../database/server.ts";
import type { Permission, Place } from "../tenancy/authorize.ts";
import { holderOf, type SecretContext, secretAction } from "./context.ts";
import { perform } from "../audit/perform.ts";
import { parseSecretName, type SecretRow } from "./secret-rows.ts";
import type { Project } from "../tenancy/tenancy.ts";

/** A secret as somebody names it: of a project, or of an organization. */
export interface SecretAt {
  readonly place: Place;
  readonly name: string;
}

/** What a change came to, for its event. */
interface Changed<T> {
  readonly result: T;
  readonly secret: Pick<SecretRow, "id">;
  readonly version?: number;
  readonly details?: Readonly<Record<string, string | number | boolean | null>>;
}

/** Authorizes, makes and audits one change of one secret, in one transaction. */
export async function changeSecret<T>(
  context: SecretContext,
  {
    place,
    name,
    event,
    action = "secret.write",
  }: SecretAt & { event: string; action?: "secret.write" | "secret.destroy" },
  work: (client: Queryable, at: { project: Project; permission: Permission }) => Promise<Changed<T>>,
): Promise<T> {
  const target = { type: "secret", name: parseSecretName(name) };
  const act = { action: secretAction(action, place), place, event, target: [target] };
  return await perform(context, act, async (client, permission) => {
    const project = await holderOf(client, permission);
    const { result, secret, version, details } = await work(client, { project, permission });
    return {
      result,
      target: [{ ...target, id: secret.id, ...(version !== undefined && { version }) }],
      ...(details && { details }),
    };
  });
}
