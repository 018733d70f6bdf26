/**
 * People in organizations and projects, and their roles. A person is a member of a project only as a member of its
 * organization; owners and admins of the organization have a part in every project without being listed there. An
 * organization always keeps an owner. Callers authorize, audit and have the transaction.
 */
import type { Queryable } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import {
  actions,
  type Capacity,
  type OrganizationRole,
  organizationRoles,
  type ProjectRole,
  projectRoles,
} from "../../protocol/roles.ts";
import { capacitiesOf } from "./authorize.ts";
import { getProject, parseId } from "./tenancy.ts";

export interface OrganizationMember {
  readonly personId: string;
  readonly name: string;
  readonly role: OrganizationRole;
  readonly createdAt: Date;
}

export interface ProjectMember {
  readonly personId: string;
  readonly name: string;
  readonly role: ProjectRole;
  readonly canCreateAssets: boolean;
  readonly createdAt: Date;
}

const textCharactersMax = 200;

/** A change that was allowed for who is no owner: it is not made to one who became an owner meanwhile. */
interface UnlessOwner {
  readonly unlessOwner?: boolean;
}

/** Adds a person to an organization, or changes their name and role. Throws ERR_MEMBER_LAST_OWNER, ERR_NAME_INVALID. */
export async function setOrganizationMember(
  client: Queryable,
  member: { organizationId: string; personId: string; name: string; role: OrganizationRole } & UnlessOwner,
): Promise<void> {
  const { organizationId, personId, name, role } = member;
  checkPersonId(personId);
  checkText(name, "the person's name");
  checkRole(role, organizationRoles);
  await lockOrganization(client, organizationId);
  await refuseOwner(client, member);
  await client.query(
    `insert into organization_members (organization_id, person_id, name, role) values ($1, $2, $3, $4)
     on conflict (organization_id, person_id) do update set name = $3, role = $4`,
    [organizationId, personId, name, role],
  );
  await checkOwners(client, organizationId);
}

/** Takes a person out of an organization and of all its projects. Throws ERR_MEMBER_UNKNOWN, ERR_MEMBER_LAST_OWNER. */
export async function removeOrganizationMember(
  client: Queryable,
  member: { organizationId: string; personId: string } & UnlessOwner,
): Promise<void> {
  const { organizationId, personId } = member;
  await lockOrganization(client, organizationId);
  await refuseOwner(client, member);
  const { rowCount } = await client.query(
    "delete from organization_members where organization_id = $1 and person_id = $2",
    [organizationId, personId],
  );
  if (rowCount !== 1) throw unknownMember("organization");
  await checkOwners(client, organizationId);
}

/** A person's role in an organization; undefined for who is not in it. */
export async function roleOf(
  database: Queryable,
  { organizationId, personId }: { organizationId: string; personId: string },
): Promise<OrganizationRole | undefined> {
  const { rows } = await database.query<{ role: OrganizationRole }>(
    "select role from organization_members where organization_id = $1 and person_id = $2",
    [parseId(organizationId, "organization"), personId],
  );
  return rows[0]?.role;
}

async function refuseOwner(
  client: Queryable,
  member: { organizationId: string; personId: string } & UnlessOwner,
): Promise<void> {
  if (member.unlessOwner !== true || (await roleOf(client, member)) !== "owner") return;
  throw new StepvaultError("ERR_FORBIDDEN", "Cannot change who owns the organization: the person has become an owner");
}

/** The projects of an organization that a person has a part in, by id. */
export async function listProjectsOf(
  database: Queryable,
  { organizationId, personId }: { organizationId: string; personId: string },
): Promise<string[]> {
  const { rows } = await database.query<{ id: string }>(
    `select p.id from project_members m join projects p on p.id = m.project_id
     where m.person_id = $2 and p.organization_id = $1 and not p.shared
     union
     select p.id from organization_members o join projects p on p.organization_id = o.organization_id
     where o.organization_id = $1 and o.person_id = $2 and o.role <> 'member' and not p.shared`,
    [parseId(organizationId, "organization"), personId],
  );
  return rows.map(({ id }) => id);
}

/** Adds a member of the organization to a project, or changes their role. Throws ERR_MEMBER_UNKNOWN, ERR_PROJECT_UNKNOWN. */
export async function setProjectMember(
  database: Queryable,
  {
    projectId,
    personId,
    role,
    canCreateAssets = false,
  }: { projectId: string; personId: string; role: ProjectRole; canCreateAssets?: boolean },
): Promise<void> {
  checkRole(role, projectRoles);
  const project = await getProject(database, projectId);
  const { rowCount } = await database.query(
    `insert into project_members (project_id, organization_id, person_id, role, can_create_assets)
     select $1, organization_id, person_id, $4, $5 from organization_members where organization_id = $2 and person_id = $3
     on conflict (project_id, person_id) do update set role = $4, can_create_assets = $5`,
    [project.id, project.organizationId, personId, role, canCreateAssets],
  );
  if (rowCount !== 1) throw unknownMember("organization");
}

/** Throws ERR_MEMBER_UNKNOWN. */
export async function removeProjectMember(
  database: Queryable,
  { projectId, personId }: { projectId: string; personId: string },
): Promise<void> {
  const { rowCount } = await database.query("delete from project_members where project_id = $1 and person_id = $2", [
    parseId(projectId, "project"),
    personId,
  ]);
  if (rowCount !== 1) throw unknownMember("project");
}

/** By name. */
export async function listOrganizationMembers(
  database: Queryable,
  organizationId: string,
): Promise<OrganizationMember[]> {
  const { rows } = await database.query<OrganizationMember>(
    `select person_id as "personId", name, role, created_at as "createdAt" from organization_members
     where organization_id = $1 order by name, person_id`,
    [parseId(organizationId, "organization")],
  );
  return rows;
}

/** Those who are listed in the project itself, by name. */
export async function listProjectMembers(database: Queryable, projectId: string): Promise<ProjectMember[]> {
  const { rows } = await database.query<ProjectMember>(
    `select m.person_id as "personId", o.name, m.role, m.can_create_assets as "canCreateAssets", m.created_at as "createdAt"
     from project_members m join organization_members o using (organization_id, person_id)
     where m.project_id = $1 order by o.name, m.person_id`,
    [parseId(projectId, "project")],
  );
  return rows;
}

/** Everybody who may use the project's secrets in steps, and by which of their roles: the people a secret is shared with. */
export async function listBuilders(
  database: Queryable,
  projectId: string,
): Promise<{ personId: string; name: string; by: string }[]> {
  const project = await getProject(database, projectId);
  const builders = await readBuilders(database, {
    projectIds: [project.id],
    among: actions["secret.reference"].allowed,
  });
  return builders.map(({ personId, name, by }) => ({ personId, name, by }));
}

/** Who holds one of these roles, once for each of the projects, by name. */
export async function readBuilders(
  database: Queryable,
  asked: { projectIds: readonly string[]; among: readonly Capacity[]; limit?: number },
): Promise<{ projectId: string; personId: string; name: string; by: Capacity }[]> {
  const { rows } = await database.query<{
    projectId: string;
    personId: string;
    name: string;
    organizationRole: OrganizationRole | null;
    projectRole: ProjectRole | null;
    canCreateAssets: boolean | null;
  }>(
    // Person by person: the members of a large organization are many, and those of its projects few.
    `select p.id as "projectId", o.person_id as "personId", o.name, nullif(o.role, 'member') as "organizationRole",
            m.role as "projectRole", m.can_create_assets as "canCreateAssets"
     from projects p
     cross join lateral (
       select person_id from organization_members where organization_id = p.organization_id and role <> 'member'
       union select person_id from project_members where project_id = p.id) who
     join lateral (
       select * from organization_members
       where organization_id = p.organization_id and person_id = who.person_id limit 1) o on true
     left join lateral (
       select * from project_members where project_id = p.id and person_id = who.person_id limit 1) m on true
     where p.id = any($1)
     order by o.name, o.person_id, p.created_at, p.id limit $2`,
    [asked.projectIds, asked.limit ?? null],
  );
  return rows.flatMap(({ projectId, personId, name, ...roles }) => {
    const by = capacitiesOf(roles).find((capacity) => asked.among.includes(capacity));
    return by === undefined ? [] : [{ projectId, personId, name, by }];
  });
}

/** One after the other, so that of two owners who leave at once one stays. */
async function lockOrganization(client: Queryable, organizationId: string): Promise<void> {
  const { rowCount } = await client.query("select from organizations where id = $1 for update", [
    parseId(organizationId, "organization"),
  ]);
  if (rowCount !== 1)
    throw new StepvaultError("ERR_ORGANIZATION_UNKNOWN", `Cannot find the organization ${organizationId}: no such id`);
}

async function checkOwners(client: Queryable, organizationId: string): Promise<void> {
  const { rows } = await client.query<{ members: number; owners: number }>(
    `select count(*)::int as members, count(*) filter (where role = 'owner')::int as owners
     from organization_members where organization_id = $1`,
    [organizationId],
  );
  const { members, owners } = rows[0]!;
  if (owners > 0 || members === 0) return;
  throw new StepvaultError(
    "ERR_MEMBER_LAST_OWNER",
    `Cannot leave the organization ${organizationId} without an owner: it has ${members} other members`,
  );
}

function checkRole<Role extends string>(role: Role, roles: readonly Role[]): void {
  if (roles.includes(role)) return;
  throw new StepvaultError("ERR_ROLE_UNKNOWN", `Cannot give the role: it is not one of ${roles.join(", ")}`);
}

/** Throws ERR_NAME_INVALID for what can be no person's id. */
export function checkPersonId(personId: string): void {
  checkText(personId, "the person's id");
}

function checkText(text: string, what: string): void {
  const characters = Array.from(text).length;
  if (characters >= 1 && characters <= textCharactersMax && text.isWellFormed() && !text.includes("\0")) return;
  throw new StepvaultError(
    "ERR_NAME_INVALID",
    `Cannot use ${what}: it has ${characters} characters, 1 to ${textCharactersMax} of Unicode text without NUL are allowed`,
  );
}

function unknownMember(where: "organization" | "project"): StepvaultError {
  return new StepvaultError("ERR_MEMBER_UNKNOWN", `Cannot find the person: no member of this ${where}`);
}
