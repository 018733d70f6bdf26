/**
 * Organizations, projects and their members, for who may: each change is authorized and audited. tenancy.ts and members.ts
 * have the rows.
 */
import { StepvaultError } from "../../protocol/error.ts";
import type { NetworkPolicy } from "../../protocol/job.ts";
import type { OrganizationRole, ProjectRole } from "../../protocol/roles.ts";
import { appendAudit } from "../audit/audit.ts";
import { provideProjectKey } from "../encryption/data-keys.ts";
import type { SecretContext } from "../secrets/context.ts";
import * as people from "./members.ts";
import { type ActContext, perform, permit } from "../audit/perform.ts";
import * as rows from "./tenancy.ts";

/** Throws ERR_NAME_INVALID, and ERR_FORBIDDEN for people and keys: who gets an organization is the deployment's matter. */
async function createOrganization(context: ActContext, name: string): Promise<rows.Organization> {
  requireOperator(context, "create an organization");
  return await context.database.transaction(async (client) => {
    const organization = await rows.createOrganization(client, name);
    await context.withAuditKey(client, organization.id, async (key) => {
      await appendAudit(client, key, {
        organizationId: organization.id,
        class: "management",
        event: "organization.create",
        outcome: "success",
        actor: context.actor,
        target: [{ type: "organization", id: organization.id, name }],
      });
    });
    return organization;
  });
}

/** All organizations, oldest first. Throws ERR_FORBIDDEN for people and keys. */
async function listOrganizations(context: ActContext): Promise<rows.Organization[]> {
  requireOperator(context, "list all organizations");
  return await rows.listOrganizations(context.database);
}

/**
 * Makes a project with its key, which is bound to the organization: without one nothing proves that it may have what is the
 * organization's. Throws ERR_NAME_INVALID, and what `authorize` throws.
 */
async function createProject(
  context: SecretContext,
  { organizationId, name }: { organizationId: string; name: string },
): Promise<rows.Project> {
  const act = { action: "project.create", place: { organizationId }, event: "project.create" } as const;
  return await perform(context, act, async (client) => {
    const project = await rows.createProject(client, organizationId, name);
    await provideProjectKey(client, context.master, project);
    return { result: project, target: [{ type: "project", id: project.id, name }] };
  });
}

/** Throws what `authorize` throws. */
async function getProject(context: ActContext, projectId: string): Promise<rows.Project> {
  await permit(context, { action: "project.read", place: { projectId }, event: "project.get" });
  return await rows.getProject(context.database, projectId);
}

/** The organization's projects that whoever asks has a part in, oldest first. Throws what `authorize` throws. */
async function listProjects(context: ActContext, organizationId: string): Promise<rows.Project[]> {
  const { actor, database } = context;
  await permit(context, { action: "organization.read", place: { organizationId }, event: "project.list" });
  let own: "all" | readonly string[] = "all";
  if (actor.kind === "key") own = actor.projects;
  if (actor.kind === "person") own = await people.listProjectsOf(database, { organizationId, personId: actor.id });
  return await rows.listProjects(database, organizationId, own);
}

/** Sets what every step of the project may reach at most. Throws ERR_NETWORK_POLICY_INVALID, what `authorize` throws. */
async function setProjectNetwork(
  context: ActContext,
  { projectId, network }: { projectId: string; network: NetworkPolicy | null },
): Promise<rows.Project> {
  const act = { action: "project.manage", place: { projectId }, event: "project.network.set" } as const;
  return await perform(context, act, async (client) => {
    const project = await rows.setProjectNetwork(client, projectId, network);
    const rules = Array.isArray(network) ? network.length : null;
    return { result: project, details: { rules, policy: typeof network === "string" ? network : null } };
  });
}

/** Sets all of the project's limits. Throws ERR_PROJECT_LIMITS_INVALID, what `authorize` throws. */
async function setProjectLimits(
  context: ActContext,
  { projectId, limits }: { projectId: string; limits: rows.ProjectLimits },
): Promise<rows.Project> {
  const act = { action: "project.manage", place: { projectId }, event: "project.limits.set" } as const;
  return await perform(context, act, async (client) => {
    const project = await rows.setProjectLimits(client, projectId, limits);
    return { result: project, details: { ...project.limits } };
  });
}

/** Adds a person, or changes their name and role. Throws ERR_MEMBER_LAST_OWNER, ERR_NAME_INVALID, what `authorize` throws. */
async function setOrganizationMember(
  context: ActContext,
  member: { organizationId: string; personId: string; name: string; role: OrganizationRole },
): Promise<void> {
  const { organizationId, personId, role } = member;
  const place = { organizationId };
  const before = await people.roleOf(context.database, member);
  // An owner is made and unmade by owners.
  const owners = role === "owner" || before === "owner";
  const action = owners ? "organization.owners.manage" : "organization.members.manage";
  const target = [{ type: "person", id: personId }];
  await perform(context, { action, place, event: "member.set", target }, async (client) => {
    await people.setOrganizationMember(client, { ...member, ...(owners ? {} : { unlessOwner: true }) });
    return { result: undefined, details: { role } };
  });
}

/** Takes a person out of the organization and all its projects. Throws ERR_MEMBER_UNKNOWN, ERR_MEMBER_LAST_OWNER, what `authorize` throws. */
async function removeOrganizationMember(
  context: ActContext,
  member: { organizationId: string; personId: string },
): Promise<void> {
  const place = { organizationId: member.organizationId };
  const owner = (await people.roleOf(context.database, member)) === "owner";
  const action = owner ? "organization.owners.manage" : "organization.members.manage";
  const target = [{ type: "person", id: member.personId }];
  await perform(context, { action, place, event: "member.remove", target }, async (client) => {
    await people.removeOrganizationMember(client, { ...member, ...(owner ? {} : { unlessOwner: true }) });
    return { result: undefined };
  });
}

/** Adds a member of the organization to a project, or changes their role. Throws ERR_MEMBER_UNKNOWN, what `authorize` throws. */
async function setProjectMember(
  context: ActContext,
  member: { projectId: string; personId: string; role: ProjectRole; canCreateAssets?: boolean },
): Promise<void> {
  const place = { projectId: member.projectId };
  const target = [{ type: "person", id: member.personId }];
  const act = { action: "project.members.manage", place, event: "project-member.set", target } as const;
  await perform(context, act, async (client) => {
    await people.setProjectMember(client, member);
    return { result: undefined, details: { role: member.role, canCreateAssets: member.canCreateAssets ?? false } };
  });
}

/** Throws ERR_MEMBER_UNKNOWN, and what `authorize` throws. */
async function removeProjectMember(
  context: ActContext,
  member: { projectId: string; personId: string },
): Promise<void> {
  const place = { projectId: member.projectId };
  const target = [{ type: "person", id: member.personId }];
  const act = { action: "project.members.manage", place, event: "project-member.remove", target } as const;
  await perform(context, act, async (client) => {
    await people.removeProjectMember(client, member);
    return { result: undefined };
  });
}

async function listOrganizationMembers(
  context: ActContext,
  organizationId: string,
): Promise<people.OrganizationMember[]> {
  await permit(context, { action: "organization.read", place: { organizationId }, event: "member.list" });
  return await people.listOrganizationMembers(context.database, organizationId);
}

async function listProjectMembers(context: ActContext, projectId: string): Promise<people.ProjectMember[]> {
  await permit(context, { action: "project.read", place: { projectId }, event: "project-member.list" });
  return await people.listProjectMembers(context.database, projectId);
}

/** Everybody who may use the project's secrets in steps, and by which of their roles. Throws what `authorize` throws. */
async function listBuilders(
  context: ActContext,
  projectId: string,
): Promise<{ personId: string; name: string; by: string }[]> {
  await permit(context, { action: "secret.list", place: { projectId }, event: "builder.list" });
  return await people.listBuilders(context.database, projectId);
}

function requireOperator({ actor }: ActContext, action: string): void {
  if (actor.kind === "system") return;
  throw new StepvaultError("ERR_FORBIDDEN", `Cannot ${action}: it takes the operator`);
}

export const tenancyActions = {
  createOrganization,
  listOrganizations,
  createProject,
  getProject,
  listProjects,
  setProjectNetwork,
  setProjectLimits,
  setOrganizationMember,
  removeOrganizationMember,
  setProjectMember,
  removeProjectMember,
  listOrganizationMembers,
  listProjectMembers,
  listBuilders,
} as const;
