/**
 * The one function that decides whether somebody may do something, by the table in protocol/roles.ts. Ids decide, never
 * names. What somebody may not even see answers like what is not there.
 */
import type { Queryable } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { type Action, actions, type Capacity, type OrganizationRole, type ProjectRole } from "../../protocol/roles.ts";
import type { Actor, KeyActor } from "./actor.ts";
import { parseId } from "./tenancy.ts";

/** Where something is to be done: in an organization, or in one of its projects. */
export type Place = { readonly organizationId: string } | { readonly projectId: string };

export interface Permission {
  readonly organizationId: string;
  readonly projectId: string | undefined;
}

interface PlaceRow {
  organizationId: string;
  projectId?: string;
  organizationRole: OrganizationRole | null;
  projectRole: ProjectRole | null;
  canCreateAssets: boolean | null;
}

/**
 * Gives where the permission holds. Throws ERR_FORBIDDEN, which says which roles would do, or ERR_PROJECT_UNKNOWN or
 * ERR_ORGANIZATION_UNKNOWN for a place that is not there or that the actor has no part in.
 */
export async function authorize(database: Queryable, actor: Actor, action: Action, place: Place): Promise<Permission> {
  const { permission, refusal } = await decide(database, actor, action, place);
  if (refusal !== undefined) throw refusal;
  return permission;
}

/** Where it would be done, with the ERR_FORBIDDEN when it may not be. Throws for a place as `authorize` does. */
export async function decide(
  database: Queryable,
  actor: Actor,
  action: Action,
  place: Place,
): Promise<{ permission: Permission; refusal?: StepvaultError }> {
  const row = await findPlace(database, actor, place);
  if (row === undefined) throw unknownPlace(place);
  const permission = {
    organizationId: row.organizationId,
    // As the database has it: an id may come in other letters.
    projectId: row.projectId,
  };
  if (actor.kind === "system") return { permission };
  if (actor.kind === "key") {
    if (!covers(actor, permission)) throw unknownPlace(place);
    if (actions[action].scopes.some((scope) => actor.scopes.includes(scope))) return { permission };
    return { permission, refusal: forbidden(action, `the key's scopes are ${actor.scopes.join(", ") || "none"}`) };
  }
  const held = capacitiesOf(row);
  if (held.length === 0) throw unknownPlace(place);
  const allowed: readonly Capacity[] = actions[action].allowed;
  if (held.some((capacity) => allowed.includes(capacity))) return { permission };
  return { permission, refusal: forbidden(action, `your role is ${held.join(", ")}`) };
}

/** What a person's roles amount to in a place. */
export function capacitiesOf(row: Omit<PlaceRow, "organizationId" | "projectId">): Capacity[] {
  const held: Capacity[] = [];
  if (row.organizationRole === "owner") held.push("owner");
  if (row.organizationRole === "admin") held.push("organization admin");
  if (row.organizationRole === "member") held.push("organization member");
  if (row.projectRole === "admin") held.push("project admin");
  if (row.projectRole === "editor") held.push("editor");
  if (row.projectRole === "member") held.push(row.canCreateAssets === true ? "builder" : "member");
  if (row.projectRole === "viewer") held.push("viewer");
  return held;
}

async function findPlace(database: Queryable, actor: Actor, place: Place): Promise<PlaceRow | undefined> {
  const personId = actor.kind === "person" ? actor.id : null;
  if ("organizationId" in place) {
    const { rows } = await database.query<PlaceRow>(
      `select o.id as "organizationId", m.role as "organizationRole", null as "projectRole", null as "canCreateAssets"
       from organizations o left join organization_members m on m.organization_id = o.id and m.person_id = $2
       where o.id = $1`,
      [parseId(place.organizationId, "organization"), personId],
    );
    return rows[0];
  }
  const { rows } = await database.query<PlaceRow>(
    `select p.organization_id as "organizationId", p.id as "projectId", o.role as "organizationRole", m.role as "projectRole",
            m.can_create_assets as "canCreateAssets"
     from projects p
     left join organization_members o on o.organization_id = p.organization_id and o.person_id = $2
     left join project_members m on m.project_id = p.id and m.person_id = $2
     where p.id = $1 and not p.shared`,
    [parseId(place.projectId, "project"), personId],
  );
  const row = rows[0];
  // Being in the organization is no part in each of its projects.
  if (row?.organizationRole === "member") return { ...row, organizationRole: null };
  return row;
}

function covers({ organizationId, projects }: KeyActor, permission: Permission): boolean {
  if (organizationId !== permission.organizationId) return false;
  if (projects === "all") return true;
  return permission.projectId !== undefined && projects.includes(permission.projectId);
}

function unknownPlace(place: Place): StepvaultError {
  if ("projectId" in place)
    return new StepvaultError("ERR_PROJECT_UNKNOWN", `Cannot find the project ${place.projectId}: no such id`);
  return new StepvaultError(
    "ERR_ORGANIZATION_UNKNOWN",
    `Cannot find the organization ${place.organizationId}: no such id`,
  );
}

function forbidden(action: Action, why: string): StepvaultError {
  const { meaning, allowed, scopes } = actions[action];
  const keys = scopes.length === 0 ? "" : `, or a key with the scope ${scopes.join(" or ")}`;
  return new StepvaultError("ERR_FORBIDDEN", `Cannot ${meaning}: ${why}; it takes ${allowed.join(", ")}${keys}`);
}
