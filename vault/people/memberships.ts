/**
 * What somebody has a part in: the organizations of a person with their roles, and whether a project that a caller names is
 * one of theirs. Who may do what in it is for `authorize` to decide. Changes nothing and leaves no event.
 */
import type { OrganizationRole } from "../../protocol/roles.ts";
import { decide } from "../tenancy/authorize.ts";
import type { PeopleContext } from "./people-context.ts";

export interface Membership {
  readonly organizationId: string;
  readonly name: string;
  readonly role: OrganizationRole;
}

/** The organizations of whoever acts, oldest first; none for who is no person. */
export async function listMemberships({ database, actor }: PeopleContext): Promise<Membership[]> {
  if (actor.kind !== "person") return [];
  const { rows } = await database.query<Membership>(
    `select o.id as "organizationId", o.name, m.role from organization_members m
     join organizations o on o.id = m.organization_id where m.person_id = $1 order by o.created_at, o.id`,
    [actor.id],
  );
  return rows;
}

/**
 * The id of a project as it is stored, when whoever acts has a part in it. Throws ERR_PROJECT_UNKNOWN, the same for one that
 * is not there.
 */
export async function locateProject({ database, actor }: PeopleContext, projectId: string): Promise<string> {
  // Any action: a refusal of it is no answer to this question, and it is not recorded.
  const { permission } = await decide(database, actor, "project.read", { projectId });
  return permission.projectId!;
}
