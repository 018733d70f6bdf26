/**
 * Who may do what. Goal: the table in protocol/roles.ts is what is enforced, for every action and every role; a denial says
 * which role would do; and what somebody has no part in answers like what is not there.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { type Action, actions, type Capacity, type KeyScope, keyScopes } from "../../../protocol/roles.ts";
import { type Actor, operator } from "../../../vault/tenancy/actor.ts";
import { authorize } from "../../../vault/tenancy/authorize.ts";
import { listBuilders, setOrganizationMember, setProjectMember } from "../../../vault/tenancy/members.ts";
import { createOrganization, createProject } from "../../../vault/tenancy/tenancy.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";

let temporary: Temporary;
let organizationId: string;
let projectId: string;
let otherProjectId: string;

/** One person per capacity, by its name. */
const people: Record<
  Capacity,
  { organization: "owner" | "admin" | "member"; project?: "admin" | "editor" | "member" | "viewer" }
> = {
  owner: { organization: "owner" },
  "organization admin": { organization: "admin" },
  "organization member": { organization: "member" },
  "project admin": { organization: "member", project: "admin" },
  editor: { organization: "member", project: "editor" },
  builder: { organization: "member", project: "member" },
  member: { organization: "member", project: "member" },
  viewer: { organization: "member", project: "viewer" },
};

beforeAll(async () => {
  temporary = await openTemporary();
  const { database } = temporary;
  organizationId = (await createOrganization(database, "Acme")).id;
  const other = await createOrganization(database, "Other");
  projectId = (await createProject(database, organizationId, "Support")).id;
  otherProjectId = (await createProject(database, other.id, "Theirs")).id;
  for (const [capacity, { organization, project }] of Object.entries(people)) {
    await setOrganizationMember(database, { organizationId, personId: capacity, name: capacity, role: organization });
    if (project === undefined) continue;
    const canCreateAssets = capacity === "builder";
    await setProjectMember(database, { projectId, personId: capacity, role: project, canCreateAssets });
  }
});
afterAll(async () => await temporary.dispose());

const person = (id: string): Actor => ({ kind: "person", id });
const key = (
  scopes: readonly KeyScope[],
  projects: "all" | string[] = "all",
  organization = organizationId,
): Actor => ({
  kind: "key",
  id: createId(),
  organizationId: organization,
  projects,
  scopes,
});

/** `allowed`, or the code of the refusal. */
async function answer(actor: Actor, action: Action, place: Parameters<typeof authorize>[3]): Promise<string> {
  return await authorize(temporary.database, actor, action, place).then(
    () => "allowed",
    (error: { code: string }) => error.code,
  );
}

const isOfOrganization = (action: Action): boolean =>
  action.startsWith("organization.") || action === "project.create" || action === "audit.read";

describe.each(Object.keys(actions) as Action[])("%s", (action) => {
  test.each(Object.keys(people) as Capacity[])("by a person who is %s", async (capacity) => {
    const place = isOfOrganization(action) ? { organizationId } : { projectId };
    // In its organization a person has their role there, whatever they are in its projects.
    const held =
      isOfOrganization(action) && people[capacity].organization === "member" ? "organization member" : capacity;
    const allowed = (actions[action].allowed as readonly Capacity[]).includes(held);
    const hidden = !isOfOrganization(action) && capacity === "organization member";
    expect(await answer(person(capacity), action, place)).toBe(
      allowed && !hidden ? "allowed" : hidden ? "ERR_PROJECT_UNKNOWN" : "ERR_FORBIDDEN",
    );
  });
  test("by keys of each scope", async () => {
    const place = isOfOrganization(action) ? { organizationId } : { projectId };
    for (const scope of keyScopes) {
      const allowed = (actions[action].scopes as readonly KeyScope[]).includes(scope);
      expect([scope, await answer(key([scope]), action, place)]).toEqual([
        scope,
        allowed ? "allowed" : "ERR_FORBIDDEN",
      ]);
    }
  });
  test("by the deployment itself", async () => {
    expect(await answer(operator, action, isOfOrganization(action) ? { organizationId } : { projectId })).toBe(
      "allowed",
    );
  });
});

describe("what somebody has no part in", () => {
  test("answers like what is not there: another tenant's project, an id that nobody has", async () => {
    for (const actor of [person("owner"), person("nobody"), key(["admin"])]) {
      const failures = await Promise.all(
        [otherProjectId, createId()].map(
          async (id) =>
            await authorize(temporary.database, actor, "secret.list", { projectId: id }).then(
              () => "allowed",
              (error: { code: string; message: string }) => [error.code, error.message.replace(id, "ID")],
            ),
        ),
      );
      expect(failures[0]).toEqual(["ERR_PROJECT_UNKNOWN", "Cannot find the project ID: no such id"]);
      expect(failures[1]).toEqual(failures[0]);
    }
  });
  test("requirement 29: a key reaches the projects that it covers and nothing outside", async () => {
    expect(await answer(key(["admin"], [projectId]), "run.read", { projectId })).toBe("allowed");
    expect(await answer(key(["admin"], [otherProjectId]), "run.read", { projectId })).toBe("ERR_PROJECT_UNKNOWN");
    expect(await answer(key(["admin"], [projectId]), "organization.read", { organizationId })).toBe(
      "ERR_ORGANIZATION_UNKNOWN",
    );
    expect(await answer(key(["admin"], "all", createId()), "run.read", { projectId })).toBe("ERR_PROJECT_UNKNOWN");
  });
});

test("a denial says which roles and scopes would do", async () => {
  await expect(authorize(temporary.database, person("viewer"), "secret.write", { projectId })).rejects.toMatchObject({
    code: "ERR_FORBIDDEN",
    message:
      "Cannot change a secret: your role is viewer; it takes owner, organization admin, project admin, editor, builder, or a key with the scope manage:secrets or admin",
  });
});

test("requirement 18: one can see who has builder access to a project, and by which role", async () => {
  expect(await listBuilders(temporary.database, projectId)).toEqual(
    ["builder", "editor", "organization admin", "owner", "project admin"].map((capacity) => ({
      personId: capacity,
      name: capacity,
      by: capacity,
    })),
  );
});
