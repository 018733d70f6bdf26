/** People and their roles: who can be added where, what leaving ends, and that an organization keeps an owner. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import {
  listBuilders,
  listOrganizationMembers,
  listProjectMembers,
  removeOrganizationMember,
  removeProjectMember,
  setOrganizationMember,
  setProjectMember,
} from "../../../vault/tenancy/members.ts";
import { createOrganization, createProject } from "../../../vault/tenancy/tenancy.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";

let temporary: Temporary;
let organizationId: string;
let projectId: string;

beforeAll(async () => {
  temporary = await openTemporary();
});
afterAll(async () => await temporary.dispose());
beforeEach(async () => {
  organizationId = (await createOrganization(temporary.database, "Acme")).id;
  projectId = (await createProject(temporary.database, organizationId, "Support")).id;
  await join("ann", "owner");
});

async function join(personId: string, role: "owner" | "admin" | "member"): Promise<void> {
  const member = { organizationId, personId, name: `Name of ${personId}`, role };
  await temporary.database.transaction(async (client) => await setOrganizationMember(client, member));
}
const leave = async (personId: string): Promise<void> =>
  await temporary.database.transaction(
    async (client) => await removeOrganizationMember(client, { organizationId, personId }),
  );

describe("an organization", () => {
  test("lists its people by name, with the role that they had last", async () => {
    await join("bob", "member");
    await join("bob", "admin");
    const members = await listOrganizationMembers(temporary.database, organizationId);
    expect(members.map(({ personId, role }) => [personId, role])).toEqual([
      ["ann", "owner"],
      ["bob", "admin"],
    ]);
  });
  test("keeps an owner: the last one can neither leave nor become something else", async () => {
    await join("bob", "admin");
    await expect(leave("ann")).rejects.toMatchObject({ code: "ERR_MEMBER_LAST_OWNER" });
    await expect(join("ann", "member")).rejects.toMatchObject({ code: "ERR_MEMBER_LAST_OWNER" });
    await join("bob", "owner");
    await leave("ann");
    expect(await listOrganizationMembers(temporary.database, organizationId)).toHaveLength(1);
  });
  test("keeps one of two owners who leave at once", async () => {
    await join("eve", "member");
    for (let round = 0; round < 20; round++) {
      await Promise.all(["ann", "bob"].map((person) => join(person, "owner")));
      const left = await Promise.allSettled([leave("ann"), leave("bob")]);
      expect(left.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    }
  });
  test.each([
    [{ personId: "", name: "x", role: "member" }, "ERR_NAME_INVALID"],
    [{ personId: "x", name: "\0", role: "member" }, "ERR_NAME_INVALID"],
    [{ personId: "x", name: "x", role: "king" }, "ERR_ROLE_UNKNOWN"],
  ])("refuses %j", async (member, code) => {
    await expect(
      setOrganizationMember(temporary.database, { organizationId, ...member } as never),
    ).rejects.toMatchObject({ code });
  });
  test("that does not exist has no members", async () => {
    const absent = { organizationId: createId(), personId: "x", name: "x", role: "owner" } as const;
    await expect(setOrganizationMember(temporary.database, absent)).rejects.toMatchObject({
      code: "ERR_ORGANIZATION_UNKNOWN",
    });
  });
});

describe("a project", () => {
  const add = async (personId: string, role: "admin" | "editor" | "member" | "viewer", canCreateAssets = false) =>
    await setProjectMember(temporary.database, { projectId, personId, role, canCreateAssets });

  test("takes members of its organization alone", async () => {
    await expect(add("stranger", "admin")).rejects.toMatchObject({ code: "ERR_MEMBER_UNKNOWN" });
    const other = (await createOrganization(temporary.database, "Other")).id;
    await setOrganizationMember(temporary.database, {
      organizationId: other,
      personId: "max",
      name: "Max",
      role: "owner",
    });
    await expect(add("max", "admin")).rejects.toMatchObject({ code: "ERR_MEMBER_UNKNOWN" });
  });
  test("loses a person who leaves the organization", async () => {
    await join("bob", "member");
    await add("bob", "editor");
    await leave("bob");
    expect(await listProjectMembers(temporary.database, projectId)).toEqual([]);
    await join("bob", "member");
    expect(await listProjectMembers(temporary.database, projectId)).toEqual([]);
  });
  test("requirement 15: builders are admins, editors and members who can create assets", async () => {
    for (const [personId, role, assets] of [
      ["p-admin", "admin", false],
      ["p-editor", "editor", false],
      ["p-builder", "member", true],
      ["p-member", "member", false],
      ["p-viewer", "viewer", true],
    ] as const) {
      await join(personId, "member");
      await add(personId, role, assets);
    }
    const builders = await listBuilders(temporary.database, projectId);
    expect(builders.map(({ personId }) => personId)).toEqual(["ann", "p-admin", "p-builder", "p-editor"]);
  });
  test("a person can be taken out of it, once", async () => {
    await join("bob", "member");
    await add("bob", "viewer");
    await removeProjectMember(temporary.database, { projectId, personId: "bob" });
    await expect(removeProjectMember(temporary.database, { projectId, personId: "bob" })).rejects.toMatchObject({
      code: "ERR_MEMBER_UNKNOWN",
    });
  });
});
