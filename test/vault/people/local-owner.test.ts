/**
 * The first start. Goal: whoever starts a new deployment owns something, exactly once, and an organization that somebody
 * made is never given away. Method: real vaults on one empty database.
 */
import { afterEach, beforeEach, expect, test } from "vitest";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import { codeOf } from "../platform-keys/keys-world.ts";

let temporary: Temporary;
let vault: Vault;
beforeEach(async () => {
  temporary = await openTemporary();
  vault = await openVault(temporary.database, temporary.config);
});
afterEach(async () => {
  vault.close();
  await temporary.dispose();
});

test("a new deployment gets an organization and a project that its local person owns", async () => {
  const { personId, organizationId } = await vault.people.ensureLocalOwner();
  const owner = vault.as({ kind: "person", id: personId });
  expect(await owner.people.memberships()).toEqual([{ organizationId, name: "Default", role: "owner" }]);
  const projects = await owner.tenancy.listProjects(organizationId!);
  expect(projects.map(({ name }) => name)).toEqual(["Default"]);
  const projectId = projects[0]!.id;
  expect(await owner.people.locateProject(projectId.toUpperCase())).toBe(projectId);
  expect(await owner.secrets.set({ place: { projectId }, name: "first", value: "a first value" })).toBe(1);
  const events = await vault.audit.list({ organizationId: organizationId!, limit: 10 });
  expect(
    events
      .map(({ event }) => event)
      .reverse()
      .slice(0, 3),
  ).toEqual(["organization.create", "project.create", "member.set"]);
  expect((await vault.audit.verify({ organizationId: organizationId! })).broken).toBeUndefined();
});

test("starts at once, and later ones, make one organization", async () => {
  const made = await Promise.all([vault.people.ensureLocalOwner(), vault.people.ensureLocalOwner()]);
  expect(made.filter(({ organizationId }) => organizationId !== undefined)).toHaveLength(1);
  expect((await vault.people.ensureLocalOwner()).organizationId).toBeUndefined();
  expect(await vault.tenancy.listOrganizations()).toHaveLength(1);
});

test("an organization that is there is left to its members", async () => {
  await vault.tenancy.createOrganization("Acme");
  const { personId, organizationId } = await vault.people.ensureLocalOwner();
  expect(organizationId).toBeUndefined();
  expect(await vault.as({ kind: "person", id: personId }).people.memberships()).toEqual([]);
});

test("only the operator makes the first organization", async () => {
  const people = vault.as({ kind: "person", id: "local" }).people;
  expect(await codeOf(people.ensureLocalOwner())).toBe("ERR_FORBIDDEN");
  expect(await vault.tenancy.listOrganizations()).toEqual([]);
});
