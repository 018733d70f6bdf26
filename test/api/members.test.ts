/** People of organizations and projects over HTTP: who may see and change whom, and lists that lose nobody. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { absentId, type Answer, type Callers, expectAlike, expectForbidden, openCallers } from "./callers.ts";

let callers: Callers;
let ofOrganization: string;
let ofProject: string;
beforeAll(async () => {
  callers = await openCallers();
  ofOrganization = `/v1/organizations/${callers.organizationId}/members`;
  ofProject = `/v1/projects/${callers.projectId}/members`;
});
afterAll(async () => await callers.close());

const put = async (path: string, body: unknown, as?: string): Promise<Answer> =>
  await callers.call("PUT", path, { body, ...(as === undefined ? {} : { as }) });

async function namesIn(path: string, limit: number, between?: (page: number) => Promise<void>): Promise<string[]> {
  const names: string[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < 50; page += 1) {
    const query = new URLSearchParams({ limit: String(limit), ...(cursor === undefined ? {} : { cursor }) });
    const { body } = await callers.call("GET", `${path}?${query.toString()}`);
    names.push(...(body.data as { personId: string }[]).map(({ personId }) => personId));
    ({ cursor } = body.pagination as { cursor?: string });
    expect(body.pagination.hasMore).toBe(cursor !== undefined);
    if (cursor === undefined) return names;
    await between?.(page);
  }
  throw new Error("the list does not end");
}

describe("members of an organization over HTTP", () => {
  test("an admin adds a person, changes their role and takes them out", async () => {
    expect((await put(`${ofOrganization}/ida%40acme`, { name: "Ida", role: "member" }, "person admin")).status).toBe(
      204,
    );
    await put(`${ofOrganization}/ida%40acme`, { name: "Ida B", role: "admin" }, "person admin");
    const { body } = await callers.call("GET", ofOrganization);
    expect(body.data).toContainEqual({
      personId: "ida@acme",
      name: "Ida B",
      role: "admin",
      createdAt: expect.any(String) as string,
    });
    expect((await callers.call("DELETE", `${ofOrganization}/ida%40acme`, { as: "person admin" })).status).toBe(204);
    const gone = await callers.call("DELETE", `${ofOrganization}/ida%40acme`, { as: "person admin" });
    expect([gone.status, gone.body.code]).toEqual([404, "ERR_MEMBER_UNKNOWN"]);
  });

  test("only an owner makes an owner, and the last one stays", async () => {
    await expectForbidden(
      ["person admin"],
      async (as) => await put(`${ofOrganization}/admin`, { name: "A", role: "owner" }, as),
    );
    await expectForbidden(
      ["person admin"],
      async (as) => await put(`${ofOrganization}/owner`, { name: "O", role: "member" }, as),
    );
    await expectForbidden(
      ["person admin"],
      async (as) => await callers.call("DELETE", `${ofOrganization}/owner`, { as }),
    );
    const last = await callers.call("DELETE", `${ofOrganization}/owner`);
    expect([last.status, last.body.code]).toEqual([409, "ERR_MEMBER_LAST_OWNER"]);
  });

  test("members and keys of any scope change nobody", async () => {
    const own = await callers.vault.keys.createForOrganization({
      organizationId: callers.organizationId,
      access: "all",
      name: "CI",
      scopes: ["admin"],
      expiry: "none",
    });
    for (const role of ["member", "owner"])
      await expectForbidden(
        ["person editor", `Bearer ${own.key}`],
        async (as) => await put(`${ofOrganization}/mallory`, { name: "M", role }, as),
      );
    expect(await namesIn(ofOrganization, 100)).not.toContain("mallory");
    // To see them is what an admin's key may.
    expect((await callers.call("GET", ofOrganization, { as: `Bearer ${own.key}` })).status).toBe(200);
  });

  test("an organization's people are shown to nobody outside, who learns not even that it is there", async () => {
    await expectAlike(
      [callers.foreignOrganizationId, absentId],
      async (id) => await callers.call("GET", `/v1/organizations/${id}/members`),
    );
    await expectAlike(
      [callers.organizationId, absentId],
      async (id) =>
        await callers.call("PUT", `/v1/organizations/${id}/members/eve`, {
          as: "person eve",
          body: { name: "Eve", role: "owner" },
        }),
    );
  });

  test("a member with a wrong role or name is refused by pointer, and what was sent is not repeated", async () => {
    const { status, text, body } = await put(`${ofOrganization}/x`, { name: "", role: "hunter2", hunter2: 1 });
    expect(status).toBe(400);
    expect(text).not.toContain("hunter2");
    expect(body.errors.map(({ pointer }: { pointer: string }) => pointer).sort()).toEqual([
      "/body",
      "/body/name",
      "/body/role",
    ]);
  });

  test("pages of people hold each once by name, whoever leaves meanwhile", async () => {
    const ids = ["p1", "p2", "p3", "p4", "p5", "p6"];
    for (const id of ids) await put(`${ofOrganization}/${id}`, { name: `zz ${id}`, role: "member" });
    const names = await namesIn(ofOrganization, 2);
    expect(names.filter((id) => ids.includes(id))).toEqual(ids);
    expect(new Set(names).size).toBe(names.length);
    const before = names.indexOf("p2");
    const left: string[] = [];
    // Right after the page that ends with somebody, that person is taken out.
    const after = await namesIn(ofOrganization, before + 1, async (page) => {
      if (page > 0) return;
      left.push("p2");
      await callers.call("DELETE", `${ofOrganization}/p2`);
    });
    expect(left).toEqual(["p2"]);
    expect(after).toEqual(names);
    expect((await callers.call("GET", `${ofOrganization}?cursor=WzAsIngiXQ`)).body.code).toBe("ERR_CURSOR_INVALID");
  });
});

describe("members of a project over HTTP", () => {
  test("a project admin makes a member of the organization a builder, who is then told of as one", async () => {
    const as = "person project-admin";
    expect((await put(`${ofProject}/outsider`, { role: "member" }, as)).status).toBe(204);
    const buildersOf = async (): Promise<unknown[]> =>
      (await callers.call("GET", `/v1/projects/${callers.projectId}/builders`, { as })).body.data as unknown[];
    expect(await buildersOf()).not.toContainEqual(expect.objectContaining({ personId: "outsider" }));
    await put(`${ofProject}/outsider`, { role: "member", canCreateAssets: true }, as);
    expect(await buildersOf()).toContainEqual({ personId: "outsider", name: "outsider", by: "builder" });
    expect(await buildersOf()).toContainEqual({ personId: "owner", name: "owner", by: "owner" });
    const { body } = await callers.call("GET", ofProject, { as: "person viewer" });
    expect(body.data).toContainEqual(
      expect.objectContaining({ personId: "outsider", role: "member", canCreateAssets: true }),
    );
    expect((await callers.call("DELETE", `${ofProject}/outsider`, { as })).status).toBe(204);
  });

  test("who is not in the organization is not put into a project of it", async () => {
    const { status, body } = await put(`${ofProject}/stranger`, { role: "viewer" });
    expect([status, body.code]).toEqual([404, "ERR_MEMBER_UNKNOWN"]);
  });

  test("editors, builders and keys with the scope admin change nobody in a project, not even themselves", async () => {
    const key = await callers.keyWith("admin", "trigger", "read:runs", "manage:secrets");
    for (const who of ["editor", "builder", "viewer"])
      await expectForbidden(
        ["person editor", "person builder", "person viewer", key],
        async (as) => await put(`${ofProject}/${who}`, { role: "admin" }, as),
      );
    await expectForbidden(
      ["person editor", key],
      async (as) => await callers.call("DELETE", `${ofProject}/viewer`, { as }),
    );
    await expectForbidden(
      ["person viewer", "person member"],
      async (as) => await callers.call("GET", `/v1/projects/${callers.projectId}/builders`, { as }),
    );
  });

  test("a project's people are shown to nobody outside of it", async () => {
    for (const path of ["members", "builders"])
      await expectAlike(
        [callers.otherProjectId, callers.foreignProjectId, absentId],
        async (id) => await callers.call("GET", `/v1/projects/${id}/${path}`, { as: "person editor" }),
      );
  });
});
