/**
 * Who can act with a secret: the builders of each project that may use it, by which of their roles, with the risk in a sentence
 * and hints. Of an organization's secret only so many projects are looked at, and the answer says so. Opens no value; of a row
 * that is not the one that was written nothing is told, as who may use it could be what was changed.
 */
import type { StepvaultError } from "../../protocol/error.ts";
import { actions, type Capacity } from "../../protocol/roles.ts";
import { isGranted } from "./candidates.ts";
import type { SecretContext } from "./context.ts";
import { SealBrokenError } from "../encryption/crypto.ts";
import { readBuilders } from "../tenancy/members.ts";
import { parsePolicyText } from "./policies.ts";
import { hintsFor, riskFor, type SecretHint } from "./secret-hints.ts";
import { accessOf, findSecret } from "./secret-lists.ts";
import { secretError } from "./secret-rows.ts";
import type { SecretAt } from "./secret-change.ts";
import { readVersions, type StoredVersion, withOpenProject } from "./stored-versions.ts";
import { checkListed } from "./versions.ts";

export interface SecretPerson {
  readonly personId: string;
  readonly name: string;
  /** Where, and by which of their roles. */
  readonly in: readonly { readonly projectId: string; readonly by: Capacity }[];
}

export interface SecretAccess {
  /** By name. */
  readonly people: readonly SecretPerson[];
  /** Projects whose steps may use it. */
  readonly projectIds: readonly string[];
  /** Whether these are all the projects and all the people. */
  readonly complete: boolean;
  readonly risk: string;
  readonly hints: readonly SecretHint[];
}

const projectsMax = 100;
const rolesMax = 10_000;
const action = "tell who can act with";

/** Throws ERR_SECRET_UNKNOWN, ERR_SECRET_TAMPERED, and what `authorize` throws. */
export async function secretAccess(context: SecretContext, at: SecretAt): Promise<SecretAccess> {
  const { database } = context;
  const { id, name, project } = await findSecret(context, { ...at, action });
  const [stored] = await readVersions(database, { projectId: project.id, names: [name] });
  const refuse = (why: string): StepvaultError => secretError("ERR_SECRET_TAMPERED", action, { name, why });
  const policy = stored && parsePolicyText(stored.policy);
  if (policy === undefined) throw refuse("its row is none that could have been written");
  const ofProject = "projectId" in at.place;
  const asked = ofProject ? [{ id: project.id, grantMac: null }] : await readProjects(context, stored!);
  const granted = await provenProjects(context, { stored: stored!, asked, ofProject, refuse });
  const projectIds = granted.slice(0, projectsMax);
  const among = actions["secret.reference"].allowed.filter(
    (role) => policy.roles.length === 0 || policy.roles.includes(role),
  );
  const roles = await readBuilders(database, { projectIds, among, limit: rolesMax });
  const people = byPerson(roles);
  const complete = asked.length <= projectsMax && roles.length < rolesMax;
  const { tags } = (await database.query<{ tags: string[] }>("select tags from secrets where id = $1", [id])).rows[0]!;
  const { access, expiresAt } = stored!;
  const level = ofProject ? "project" : "organization";
  const told = { name, level, access: accessOf(access), tags, expiresAt, policy } as const;
  const counts = { people: people.length, projects: projectIds.length, complete };
  return { people, projectIds, complete, risk: riskFor(told, counts), hints: hintsFor(told, counts) };
}

interface Asked {
  readonly id: string;
  readonly grantMac: Buffer | null;
}

/** Projects that an organization's secret may be for, one more than are looked at. */
async function readProjects(
  { database }: SecretContext,
  { project, secretId, access }: StoredVersion,
): Promise<Asked[]> {
  const { rows } = await database.query<Asked>(
    `select p.id, g.mac as "grantMac" from projects p
     left join secret_grants g on g.secret_id = $2 and g.project_id = p.id
     where p.organization_id = $1 and not p.shared and ($3 = 'all' or g.mac is not null)
     order by p.created_at, p.id limit $4`,
    [project.organizationId, secretId, access, projectsMax + 1],
  );
  return rows;
}

/** Those of the projects that may use it, once its row is proven. */
async function provenProjects(
  { master }: SecretContext,
  known: {
    stored: StoredVersion;
    asked: readonly Asked[];
    ofProject: boolean;
    refuse: (why: string) => StepvaultError;
  },
): Promise<string[]> {
  const { stored, asked, ofProject, refuse } = known;
  try {
    return await withOpenProject(master, stored.project, (open) => {
      checkListed(open, stored, refuse);
      return asked
        .filter(({ id, grantMac }) => ofProject || isGranted(open, { ...stored, grantMac }, id))
        .map(({ id }) => id);
    });
  } catch (error) {
    if (error instanceof SealBrokenError) throw refuse("the project's key or its manifest was changed");
    throw error;
  }
}

function byPerson(roles: Awaited<ReturnType<typeof readBuilders>>): SecretPerson[] {
  const people = new Map<string, { personId: string; name: string; in: { projectId: string; by: Capacity }[] }>();
  for (const { projectId, personId, name, by } of roles) {
    const person = people.get(personId) ?? { personId, name, in: [] };
    person.in.push({ projectId, by });
    people.set(personId, person);
  }
  return [...people.values()];
}
