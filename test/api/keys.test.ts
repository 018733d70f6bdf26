/**
 * Platform keys over HTTP. Goal: a key is in the answer of what made it, once, whatever is sent again, and nobody makes,
 * prolongs or changes one without the right to. Method: real keys through the real authenticator; everything that was
 * answered and logged is searched for them.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { absentId, type Answer, type Callers, expectAlike, expectForbidden, openCallers } from "./callers.ts";

let callers: Callers;
let ofProject: string;
let ofOrganization: string;
/** Every key that was given out. */
const issued: string[] = [];
beforeAll(async () => {
  callers = await openCallers();
  ofProject = `/v1/projects/${callers.projectId}/keys`;
  ofOrganization = `/v1/organizations/${callers.organizationId}/keys`;
});
afterAll(async () => await callers.close());
afterEach(() => callers.requireShownOnce(issued));

const newKey = { name: "CI", scopes: ["trigger"], expiry: "none" };
const forAll = { ...newKey, access: "all" };

async function post(path: string, body?: unknown, more: { as?: string; again?: string } = {}): Promise<Answer> {
  const { as = path.includes("/organizations/") ? "person admin" : "person editor", again } = more;
  const headers = again === undefined ? {} : { "idempotency-key": again };
  const answer = await callers.call("POST", path, { as, body, headers });
  if (answer.status === 201) issued.push(answer.body.key as string);
  return answer;
}
async function make(
  path = ofProject,
  body: unknown = path === ofProject ? newKey : forAll,
): Promise<{ id: string; key: string }> {
  const { status, body: made } = await post(path, body);
  expect(status).toBe(201);
  return { id: made.metadata.id as string, key: made.key as string };
}
const listed = async (path = ofProject, as = "person admin"): Promise<Record<string, unknown>[]> =>
  (await callers.call("GET", `${path}?limit=100`, { as })).body.data as Record<string, unknown>[];
const own = async (key: string): Promise<Answer> => await callers.call("GET", "/v1/key", { as: `Bearer ${key}` });

describe("a project's keys over HTTP", () => {
  test("an editor makes one, which is answered once with a place to find it and works at once", async () => {
    const answer = await post(ofProject, { ...newKey, expiry: { days: 30 } });
    const { key, metadata } = answer.body;
    expect([answer.status, answer.headers.get("cache-control")]).toEqual([201, "no-store"]);
    expect(key).toMatch(/^sk-us_[0-9A-Za-z]{49}$/);
    expect(answer.headers.get("location")).toBe(`${ofProject}/${metadata.id}`);
    const found = await callers.call("GET", answer.headers.get("location")!, { as: "person builder" });
    expect(found.body).toEqual({ ...metadata, lastUsedAt: null });
    expect(found.body).toMatchObject({ name: "CI", scopes: ["trigger"], access: "project", state: "active" });
    expect(Date.parse(metadata.expiresAt as string) - Date.parse(metadata.createdAt as string)).toBe(30 * 86_400_000);
    expect((await own(key as string)).body).toEqual({
      id: metadata.id,
      kind: "project",
      organizationId: callers.organizationId,
      projects: [callers.projectId],
      scopes: ["trigger"],
      region: "us",
      hint: metadata.hint,
      expiresAt: metadata.expiresAt,
      rotated: false,
    });
  });

  test("it is changed, revoked and deleted, and stops when it is revoked", async () => {
    const { id, key } = await make();
    const as = "person editor";
    const changed = await callers.call("PATCH", `${ofProject}/${id}`, {
      as,
      body: { name: "New", scopes: ["read:runs"] },
    });
    expect(changed.body).toMatchObject({ id, name: "New", scopes: ["read:runs"], expiresAt: null });
    expect((await own(key)).body.scopes).toEqual(["read:runs"]);
    expect((await callers.call("POST", `${ofProject}/${id}/revoke`, { as })).status).toBe(204);
    const refused = await own(key);
    expect([refused.status, refused.body.code]).toEqual([401, "ERR_KEY_REVOKED"]);
    expect((await listed()).find((entry) => entry["id"] === id)).toMatchObject({ state: "revoked" });
    expect((await callers.call("DELETE", `${ofProject}/${id}`, { as })).status).toBe(204);
    expect((await listed()).find((entry) => entry["id"] === id)).toBeUndefined();
    expect((await callers.call("GET", `${ofProject}/${id}`, { as })).body.code).toBe("ERR_KEY_ID_UNKNOWN");
  });

  test("a rotated key works on for its grace and says when it ends, and has one successor", async () => {
    const { id, key } = await make();
    const rotated = await post(`${ofProject}/${id}/rotate`, { graceDays: 7, expiry: { days: 60 } });
    expect([rotated.status, rotated.body.metadata.rotatedFrom]).toEqual([201, id]);
    const old = await own(key);
    expect([old.status, old.body.rotated]).toEqual([200, true]);
    expect(old.headers.get("sunset")).toBe(new Date(old.body.expiresAt as string).toUTCString());
    expect((await own(rotated.body.key as string)).headers.get("sunset")).toBeNull();
    const second = await post(`${ofProject}/${id}/rotate`, { graceDays: 7, expiry: "none" });
    expect([second.status, second.body.code]).toEqual([409, "ERR_KEY_ROTATED"]);
    await post(`${ofProject}/${rotated.body.metadata.id}/rotate`, { graceDays: 0, expiry: "none" });
    expect((await own(rotated.body.key as string)).body.code).toBe("ERR_KEY_EXPIRED");
  });

  test("builders see keys and make none; members see none; no key makes, rotates or ends one", async () => {
    const { id } = await make();
    const admin = await callers.keyWith("admin", "trigger", "read:runs", "manage:secrets");
    const before = (await listed()).length;
    const others = ["person builder", "person member", "person viewer", admin];
    await expectForbidden(others, async (as) => await post(ofProject, { ...newKey, scopes: ["admin"] }, { as }));
    await expectForbidden(
      others,
      async (as) => await post(`${ofProject}/${id}/rotate`, { graceDays: 0, expiry: "none" }, { as }),
    );
    await expectForbidden(others, async (as) => await post(`${ofProject}/${id}/revoke`, undefined, { as }));
    await expectForbidden(others, async (as) => await callers.call("DELETE", `${ofProject}/${id}`, { as }));
    await expectForbidden(
      others,
      async (as) => await callers.call("PATCH", `${ofProject}/${id}`, { as, body: { scopes: ["admin"] } }),
    );
    await expectForbidden(
      ["person member", await callers.keyWith("trigger", "read:runs", "manage:secrets")],
      async (as) => await callers.call("GET", ofProject, { as }),
    );
    expect((await listed(ofProject, "person builder")).length).toBe(before + 1);
  });

  test("a key of another project, of another organization and one that is not there answer alike", async () => {
    const { keys } = callers.vault;
    const wanted = { name: "CI", scopes: ["trigger"], expiry: "none" } as const;
    const other = await keys.createForProject({ projectId: callers.otherProjectId, ...wanted });
    const foreign = await keys.createForProject({ projectId: callers.foreignProjectId, ...wanted });
    const ids = [other.metadata.id, foreign.metadata.id, absentId];
    await expectAlike(ids, async (id) => await callers.call("GET", `${ofProject}/${id}`, { as: "person editor" }));
    await expectAlike(ids, async (id) => await post(`${ofProject}/${id}/revoke`));
    await expectAlike(ids, async (id) => await post(`${ofProject}/${id}/rotate`, { graceDays: 0, expiry: "none" }));
    await expectAlike(
      [callers.otherProjectId, callers.foreignProjectId, absentId],
      async (id) => await post(`/v1/projects/${id}/keys`, newKey),
    );
    expect(await keys.check({ key: other.key })).toMatchObject({ actor: { kind: "key" } });
  });

  test("a wrong request for a key names each place and repeats nothing", async () => {
    const { status, text, body } = await post(ofProject, {
      name: "",
      scopes: ["hunter2"],
      expiry: "hunter2",
      hunter2: "",
    });
    expect(status).toBe(400);
    expect(text).not.toContain("hunter2");
    const pointers = (body.errors as { pointer: string }[]).map(({ pointer }) => pointer).sort();
    expect(pointers).toEqual(["/body", "/body/expiry", "/body/name", "/body/scopes/0"]);
    const { id } = await make();
    for (const change of [{}, { access: "all" }, { expiry: "none" }])
      expect((await callers.call("PATCH", `${ofProject}/${id}`, { body: change })).status).toBe(400);
  });
});

describe("an organization's keys over HTTP", () => {
  test("a project lists those that cover it, and neither changes nor rotates nor ends them", async () => {
    const { id, key } = await make(ofOrganization);
    const selected = await make(ofOrganization, { ...newKey, access: [callers.otherProjectId] });
    const inProject = await listed(ofProject, "person editor");
    expect(inProject).toContainEqual(expect.objectContaining({ id, inherited: true, access: "all" }));
    expect(inProject.map((entry) => entry["id"])).not.toContain(selected.id);
    expect(await listed(ofOrganization)).toContainEqual(
      expect.objectContaining({ id: selected.id, access: "selected", projectIds: [callers.otherProjectId] }),
    );
    for (const answer of [
      await callers.call("PATCH", `${ofProject}/${id}`, { as: "person editor", body: { scopes: ["admin"] } }),
      await post(`${ofProject}/${id}/rotate`, { graceDays: 0, expiry: "none" }),
      await post(`${ofProject}/${id}/revoke`),
      await callers.call("DELETE", `${ofProject}/${id}`, { as: "person editor" }),
    ])
      // 409: it is there, and inherited.
      expect([answer.status, answer.body.code]).toEqual([409, "ERR_KEY_INHERITED"]);
    expect((await own(key)).body).toMatchObject({ kind: "organization", projects: "all" });
    expect((await own(selected.key)).body.projects).toEqual([callers.otherProjectId]);
  });

  test("its access is changed in the organization, to its own projects only", async () => {
    const { id, key } = await make(ofOrganization);
    const as = "person admin";
    const change = async (access: unknown): Promise<Answer> =>
      await callers.call("PATCH", `${ofOrganization}/${id}`, { as, body: { access } });
    expect((await change([callers.projectId])).body.projectIds).toEqual([callers.projectId]);
    const sales = await callers.call("GET", `/v1/projects/${callers.otherProjectId}`, { as: `Bearer ${key}` });
    expect(sales.status).toBe(404);
    for (const access of [[callers.foreignProjectId], [absentId]])
      expect((await change(access)).body.code).toBe("ERR_KEY_INVALID");
    expect((await change([])).body.errors[0].pointer).toBe("/body/access");
  });

  test("project admins and keys do not make one, and another organization answers like none", async () => {
    const wanted = { organizationId: callers.organizationId, access: "all", name: "CI", expiry: "none" } as const;
    const { key } = await callers.vault.keys.createForOrganization({ ...wanted, scopes: ["admin"] });
    await expectForbidden(
      ["person project-admin", "person editor", `Bearer ${key}`],
      async (as) => await post(ofOrganization, forAll, { as }),
    );
    await expectForbidden(
      ["person project-admin", `Bearer ${key}`],
      async (as) => await callers.call("GET", ofOrganization, { as }),
    );
    await expectAlike(
      [callers.foreignOrganizationId, absentId],
      async (id) => await post(`/v1/organizations/${id}/keys`, forAll),
    );
  });

  test("its policy rules over keys of projects too, and is shown to its people", async () => {
    const path = `/v1/organizations/${callers.organizationId}/key-policy`;
    const set = async (body: unknown, as = "person admin"): Promise<Answer> =>
      await callers.call("PUT", path, { as, body });
    const policy = { expiryRequired: true, expiryDaysMax: 30 };
    expect((await callers.call("GET", path, { as: "person editor" })).body).toEqual({
      expiryRequired: false,
      expiryDaysMax: null,
    });
    expect((await set(policy)).body).toEqual(policy);
    expect((await callers.call("GET", path, { as: "person editor" })).body).toEqual(policy);
    for (const expiry of ["none", { days: 31 }, { date: new Date(Date.now() + 40 * 86_400_000).toISOString() }]) {
      const { status, body } = await post(ofProject, { ...newKey, expiry });
      expect([status, body.code]).toEqual([400, "ERR_KEY_EXPIRY_INVALID"]);
    }
    expect((await post(ofProject, { ...newKey, expiry: { days: 30 } })).status).toBe(201);
    await expectForbidden(
      ["person project-admin", "person editor"],
      async (as) => await set({ expiryRequired: false, expiryDaysMax: null }, as),
    );
    expect((await set({ expiryRequired: true, expiryDaysMax: 6 })).body.errors[0].pointer).toBe("/body/expiryDaysMax");
    await set({ expiryRequired: false, expiryDaysMax: null });
    await expectAlike(
      [callers.foreignOrganizationId, absentId],
      async (id) => await callers.call("GET", `/v1/organizations/${id}/key-policy`),
    );
  });
});

describe("a request for a key that is sent again", () => {
  const count = async (): Promise<number> => (await listed()).length;

  test("makes nothing, and is told what the first one made", async () => {
    const before = await count();
    const first = await post(ofProject, newKey, { again: "order-1" });
    const second = await post(ofProject, newKey, { again: "order-1" });
    expect([second.status, second.body.code]).toEqual([409, "ERR_ALREADY_DONE"]);
    expect(second.headers.get("location")).toBe(first.headers.get("location"));
    expect(second.body.detail).toContain(first.body.metadata.id);
    expect(await count()).toBe(before + 1);
  });

  test("at the same time makes one key, more often than there are connections to the database", async () => {
    const before = await count();
    const answers = await Promise.all(
      Array.from({ length: 12 }, async () => await post(ofProject, newKey, { again: "order-2" })),
    );
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([
      201,
      ...Array.from({ length: 11 }, () => 409),
    ]);
    expect(new Set(answers.map(({ headers }) => headers.get("location"))).size).toBe(1);
    expect(await count()).toBe(before + 1);
  });

  test("with the header of another request is refused, unless that was for another route", async () => {
    const more = { again: "order-3", as: "person admin" };
    const { body: first } = await post(ofProject, newKey, more);
    for (const [path, body] of [
      [ofProject, { ...newKey, scopes: ["admin"] }],
      [`/v1/projects/${callers.otherProjectId}/keys`, newKey],
    ] as const) {
      const other = await post(path, body, more);
      expect([other.status, other.body.code]).toEqual([409, "ERR_IDEMPOTENCY_KEY_USED"]);
      expect(other.text).not.toContain(first.metadata.id);
    }
    const rotate = async (): Promise<Answer> =>
      await post(`${ofProject}/${first.metadata.id}/rotate`, { graceDays: 0, expiry: "none" }, more);
    const rotated = await rotate();
    expect(rotated.status).toBe(201);
    const repeated = await rotate();
    expect([repeated.body.code, repeated.headers.get("location")]).toEqual([
      "ERR_ALREADY_DONE",
      `${ofProject}/${rotated.body.metadata.id}`,
    ]);
  });

  test("by somebody else is their own, and tells nothing of the first", async () => {
    const first = await post(ofProject, newKey, { again: "order-4" });
    const other = await post(ofProject, newKey, { again: "order-4", as: "person project-admin" });
    expect([first.status, other.status]).toEqual([201, 201]);
    const outsider = await post(ofProject, newKey, { again: "order-4", as: "person outsider" });
    expect([outsider.status, outsider.body.code]).toEqual([404, "ERR_PROJECT_UNKNOWN"]);
  });

  test("after it was refused is carried out once nothing stands against it", async () => {
    const path = `/v1/organizations/${callers.organizationId}/key-policy`;
    const policy = async (expiryRequired: boolean): Promise<Answer> =>
      await callers.call("PUT", path, { body: { expiryRequired, expiryDaysMax: null } });
    await policy(true);
    expect((await post(ofProject, newKey, { again: "order-5" })).status).toBe(400);
    await policy(false);
    expect((await post(ofProject, newKey, { again: "order-5" })).status).toBe(201);
    expect((await post(ofProject, newKey, { again: "order-5" })).status).toBe(409);
  });

  test("by who lost the right to it meanwhile is forbidden, and shows no id", async () => {
    const { tenancy } = callers.vault;
    const member = { projectId: callers.projectId, personId: "outsider" };
    await tenancy.setProjectMember({ ...member, role: "editor" });
    const first = await post(ofProject, newKey, { again: "order-6", as: "person outsider" });
    await tenancy.setProjectMember({ ...member, role: "viewer" });
    const second = await post(ofProject, newKey, { again: "order-6", as: "person outsider" });
    expect([second.status, second.text.includes(first.body.metadata.id as string)]).toEqual([403, false]);
    await tenancy.removeProjectMember(member);
  });

  test("is a new one after a day, and old ones are forgotten", async () => {
    await post(ofProject, newKey, { again: "order-7" });
    const { database } = callers.temporary;
    await database.query("update idempotent_requests set created_at = now() - interval '25 hours'");
    expect((await post(ofProject, newKey, { again: "order-7" })).status).toBe(201);
    const { rows } = await database.query<{ count: number }>("select count(*)::int as count from idempotent_requests");
    expect(rows[0]!.count).toBe(1);
  });

  test("is kept as digests: neither header nor request nor key is in its row", async () => {
    await post(ofProject, { ...newKey, name: "hunter2name" }, { again: "hunter2header" });
    const { rows } = await callers.temporary.database.query("select * from idempotent_requests");
    expect(rows.length).toBeGreaterThan(0);
    expect(JSON.stringify(rows)).not.toMatch(/hunter2|sk-/);
    expect(JSON.stringify(rows.map((row) => Object.values(row).map(String)))).not.toMatch(/hunter2|sk-/);
  });
});

test("only who uses a key is shown one of their own", async () => {
  const { status, body } = await callers.call("GET", "/v1/key", { as: "person owner" });
  expect([status, body.code]).toEqual([403, "ERR_FORBIDDEN"]);
});

test("a key with its every scope, presented from a browser, is refused before any route", async () => {
  const as = await callers.keyWith("admin");
  const { status, body } = await callers.call("GET", "/v1/key", { as, headers: { origin: "https://shop.example" } });
  expect([status, body.code]).toEqual([403, "ERR_KEY_BROWSER"]);
});
