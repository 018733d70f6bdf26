/**
 * Two gates before an organization's own credentials, plan and rollout, and one switch that takes credentials from editors.
 * Gates are settings of the deployment, off by default; where an organization stands is in the database. They hold when a
 * credential is set or switched on and again when it is used, so that an organization that loses its plan keeps its values
 * and cannot use them.
 */
import type { Queryable } from "../../database/server.ts";
import { type ErrorCode, StepvaultError } from "../../protocol/error.ts";
import type { Action } from "../../protocol/roles.ts";
import type { Place } from "../tenancy/authorize.ts";
import { type ActContext, perform, permit } from "../audit/perform.ts";
import { parseId } from "../tenancy/tenancy.ts";

/** Which gates the deployment has; one that is off lets everybody pass. */
export interface Gates {
  readonly planGate: boolean;
  readonly rolloutGate: boolean;
}

export type Plan = "free" | "team" | "enterprise";
const planRequired: Plan = "enterprise";

/** Where an organization stands. */
export interface Standing {
  readonly plan: Plan;
  readonly rolledOut: boolean;
}

export type ClosedGate = "plan" | "rollout";

/** The first gate that an organization does not pass: without the plan, the rollout does not matter yet. */
export function findClosedGate({ planGate, rolloutGate }: Gates, standing: Standing): ClosedGate | undefined {
  if (planGate && standing.plan !== planRequired) return "plan";
  if (rolloutGate && !standing.rolledOut) return "rollout";
  return undefined;
}

/** Why a gate is closed, as the end of a message. */
export const gateReasons: Readonly<Record<ClosedGate, { code: ErrorCode; why: string }>> = {
  plan: { code: "ERR_PLAN_REQUIRED", why: `credentials of an organization need the plan ${planRequired}` },
  rollout: {
    code: "ERR_ROLLOUT_PENDING",
    why: "credentials of an organization are not rolled out to this one yet",
  },
};

/** Throws ERR_PLAN_REQUIRED or ERR_ROLLOUT_PENDING; `action` is for the message. */
export async function checkGates(
  database: Queryable,
  gates: Gates,
  { organizationId, action }: { organizationId: string; action: string },
): Promise<void> {
  const { rows } = await database.query<Standing>(
    `select plan, rolled_out as "rolledOut" from organization_credential_settings where organization_id = $1`,
    [organizationId],
  );
  const closed = findClosedGate(gates, rows[0] ?? { plan: "free", rolledOut: false });
  if (closed === undefined) return;
  const { code, why } = gateReasons[closed];
  throw new StepvaultError(code, `Cannot ${action}: ${why}`);
}

/**
 * What the deployment grants an organization; what is not given stays. Throws ERR_FORBIDDEN for people and keys, owners too: nobody
 * gives themselves a plan. ERR_ORGANIZATION_UNKNOWN.
 */
export async function setStanding(
  context: ActContext,
  { organizationId, plan, rolledOut }: { organizationId: string } & Partial<Standing>,
): Promise<void> {
  const act = { action: "organization.manage", place: { organizationId }, event: "organization.standing.set" } as const;
  await perform(context, act, async (client, permission) => {
    if (context.actor.kind !== "system")
      throw new StepvaultError(
        "ERR_FORBIDDEN",
        "Cannot change an organization's plan or rollout: it takes the operator",
      );
    await client.query(
      `insert into organization_credential_settings (organization_id, plan, rolled_out)
       values ($1, coalesce($2, 'free'), coalesce($3, false))
       on conflict (organization_id) do update set
         plan = coalesce($2, organization_credential_settings.plan),
         rolled_out = coalesce($3, organization_credential_settings.rolled_out)`,
      [permission.organizationId, plan ?? null, rolledOut ?? null],
    );
    return { result: undefined, details: { plan: plan ?? null, rolledOut: rolledOut ?? null } };
  });
}

/** Whether editors may change credentials in the organization's projects. Throws what `authorize` throws. */
export async function setEditorsManage(
  context: ActContext,
  { organizationId, allowed }: { organizationId: string; allowed: boolean },
): Promise<void> {
  const place = { organizationId };
  const act = { action: "organization.credentials.manage", place, event: "credential_editors.switch" } as const;
  await perform(context, act, async (client, permission) => {
    await client.query(
      `insert into organization_credential_settings (organization_id, editors_manage) values ($1, $2)
       on conflict (organization_id) do update set editors_manage = $2`,
      [permission.organizationId, allowed],
    );
    return { result: undefined, details: { allowed } };
  });
}

export interface CredentialSettings extends Standing {
  readonly planGate: boolean;
  readonly rolloutGate: boolean;
  /** The first gate that the organization does not pass. */
  readonly closedGate: ClosedGate | null;
  /** Whether editors may change credentials in its projects. */
  readonly editorsManage: boolean;
}

/** Where an organization stands before the deployment's gates, and what it decided itself. Throws what `authorize` throws. */
export async function readCredentialSettings(
  context: ActContext & { readonly gates: Gates },
  organizationId: string,
): Promise<CredentialSettings> {
  const { database, gates } = context;
  const act = { action: "organization.credentials.read", event: "credential_settings.get" } as const;
  const permission = await permit(context, { ...act, place: { organizationId } });
  const { rows } = await database.query<Standing & { editorsManage: boolean }>(
    `select plan, rolled_out as "rolledOut", editors_manage as "editorsManage" from organization_credential_settings
     where organization_id = $1`,
    [permission.organizationId],
  );
  const stored = rows[0] ?? { plan: "free", rolledOut: false, editorsManage: true };
  const { planGate, rolloutGate } = gates;
  return { ...stored, planGate, rolloutGate, closedGate: findClosedGate(gates, stored) ?? null };
}

/**
 * The action that changing credentials in a place takes. Taken from editors, it is the one that project admins may and
 * editors may not, for keys too: whoever may make keys could otherwise make one that may. A place that is not there is
 * left to `authorize`.
 */
export async function manageAction(database: Queryable, place: Place): Promise<Action> {
  if ("organizationId" in place) return "organization.credentials.manage";
  const { rows } = await database.query<{ editorsManage: boolean }>(
    `select s.editors_manage as "editorsManage" from projects p join organization_credential_settings s using (organization_id)
     where p.id = $1`,
    [parseId(place.projectId, "project")],
  );
  return (rows[0]?.editorsManage ?? true) ? "project.credentials.manage" : "project.manage";
}
