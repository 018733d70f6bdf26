/**
 * Who may do what: one table of actions, each with the roles that may and the key scope that suffices. Everything that
 * asks for permission asks this table, by vault/tenancy/authorize.ts; docs/roles.md is generated from it. Imports nothing of ours.
 */

/** Roles of people: in an organization, and in one of its projects. A builder is a member who can create assets. */
export const organizationRoles = ["owner", "admin", "member"] as const;
export type OrganizationRole = (typeof organizationRoles)[number];
export const projectRoles = ["admin", "editor", "member", "viewer"] as const;
export type ProjectRole = (typeof projectRoles)[number];

/** What a role allows, as the table names it: `owner` and `organization admin` of the organization, the rest of a project. */
export const capacities = [
  "owner",
  "organization admin",
  "organization member",
  "project admin",
  "editor",
  "builder",
  "member",
  "viewer",
] as const;
export type Capacity = (typeof capacities)[number];

/** What a platform key may be allowed to do. */
export const keyScopes = ["trigger", "read:runs", "manage:secrets", "admin"] as const;
export type KeyScope = (typeof keyScopes)[number];

interface ActionEntry {
  /** What is done, for messages and docs: "Cannot <meaning>". */
  readonly meaning: string;
  readonly allowed: readonly Capacity[];
  /** Keys of these scopes may too; none: people alone. */
  readonly scopes: readonly KeyScope[];
}

const organizationAdmins = ["owner", "organization admin"] as const;
const projectAdmins = [...organizationAdmins, "project admin"] as const;
const editors = [...projectAdmins, "editor"] as const;
const builders = [...editors, "builder"] as const;
const readers = [...builders, "member", "viewer"] as const;

export const actions = {
  "organization.read": {
    meaning: "see the organization",
    allowed: [...organizationAdmins, "organization member"],
    scopes: ["admin"],
  },
  "organization.manage": { meaning: "change the organization", allowed: organizationAdmins, scopes: ["admin"] },
  "organization.members.manage": {
    meaning: "change who is in the organization",
    allowed: organizationAdmins,
    scopes: [],
  },
  "organization.owners.manage": { meaning: "change who owns the organization", allowed: ["owner"], scopes: [] },
  "organization.credentials.read": {
    meaning: "see the organization's credentials",
    allowed: [...organizationAdmins, "organization member"],
    scopes: ["admin"],
  },
  "organization.credentials.manage": {
    meaning: "change the organization's credentials",
    allowed: organizationAdmins,
    scopes: ["admin"],
  },
  "organization.secrets.list": {
    meaning: "see the organization's secrets",
    allowed: organizationAdmins,
    scopes: ["admin"],
  },
  "organization.secrets.write": {
    meaning: "change a secret of the organization",
    allowed: organizationAdmins,
    scopes: ["admin"],
  },
  "organization.secrets.destroy": {
    meaning: "destroy a secret of the organization",
    allowed: organizationAdmins,
    scopes: ["admin"],
  },
  "organization.secrets.reveal": {
    meaning: "see the value of a secret of the organization",
    allowed: organizationAdmins,
    scopes: [],
  },
  "organization.keys.manage": { meaning: "change the organization's keys", allowed: organizationAdmins, scopes: [] },
  "project.create": { meaning: "create a project", allowed: organizationAdmins, scopes: ["admin"] },
  "project.read": { meaning: "see the project", allowed: readers, scopes: ["read:runs", "manage:secrets", "admin"] },
  "project.manage": { meaning: "change the project", allowed: projectAdmins, scopes: ["admin"] },
  "project.members.manage": { meaning: "change who is in the project", allowed: projectAdmins, scopes: [] },
  "project.credentials.manage": {
    meaning: "change the project's credentials",
    allowed: editors,
    scopes: ["manage:secrets", "admin"],
  },
  "project.keys.read": { meaning: "see the project's keys", allowed: builders, scopes: ["admin"] },
  "project.keys.manage": { meaning: "change the project's keys", allowed: editors, scopes: [] },
  "secret.list": { meaning: "see the secrets", allowed: builders, scopes: ["manage:secrets", "admin"] },
  "secret.reference": { meaning: "use secrets in steps", allowed: builders, scopes: ["trigger", "admin"] },
  "secret.write": { meaning: "change a secret", allowed: builders, scopes: ["manage:secrets", "admin"] },
  "secret.destroy": { meaning: "destroy a secret", allowed: projectAdmins, scopes: ["admin"] },
  "secret.reveal": { meaning: "see a secret's value", allowed: projectAdmins, scopes: [] },
  "step.read": { meaning: "see the steps", allowed: readers, scopes: ["read:runs", "admin"] },
  "step.write": { meaning: "change a step", allowed: builders, scopes: ["admin"] },
  "run.trigger": { meaning: "start a run", allowed: builders, scopes: ["trigger", "admin"] },
  "run.read": { meaning: "see runs", allowed: readers, scopes: ["read:runs", "admin"] },
  "leak.search": { meaning: "look for a leaked value", allowed: organizationAdmins, scopes: [] },
  "audit.read": { meaning: "see the audit log", allowed: organizationAdmins, scopes: ["admin"] },
} as const satisfies Record<string, ActionEntry>;

export type Action = keyof typeof actions;
