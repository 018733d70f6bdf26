/**
 * Secrets over HTTP, with a real vault, in a project and in an organization alike. Goal: each route does what it says, versions
 * are compared where it says so, wrong input is told by its place, and no answer holds a value but that of `reveal`. `call`
 * searches every answer for values.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTenants, type Tenants } from "./tenants.ts";

let world: Tenants;
beforeAll(async () => {
  world = await openTenants();
});
afterAll(async () => await world.close());

interface Stored {
  readonly name: string;
  readonly version: number;
}
interface Shown extends Stored {
  readonly [field: string]: unknown;
}
interface Page<Item> {
  readonly data: Item[];
  readonly pagination: { readonly cursor?: string; readonly hasMore: boolean };
}

let names = 0;
/** A name that no other test uses. */
const newName = (): string => `KEY_${(names += 1)}`;

describe.each(["inProject", "inOrganization"] as const)("a secret over HTTP, %s", (place) => {
  const at = (name: string, more = ""): string => `${world[place]}/secrets/${name}${more}`;
  const show = async (name: string): Promise<Shown> => (await world.call<Shown>("GET", at(name))).body;
  const put = async (name: string, value = world.newValue(), headers = {}): Promise<number> =>
    (await world.call<Stored>("PUT", at(name), { body: { value }, headers })).status;
  const reveal = async (name: string, body: unknown = {}): Promise<string> =>
    (await world.call<{ value: string }>("POST", at(name, "/reveal"), { body, holdsValue: true })).body.value;

  test("is made, changed, shown without its value and revealed with it", async () => {
    const [name, first, second] = [newName(), world.newValue(), world.newValue()];
    const made = await world.call<Stored>("PUT", at(name), {
      body: { value: first, description: "for billing", tags: ["billing"], expiresAt: "2099-01-01T00:00:00+01:00" },
    });
    expect(made).toMatchObject({ status: 201, etag: '"1"', body: { name, version: 1 } });
    const again = await world.call<Stored>("PUT", at(name), { body: { value: second, endUnusedHours: 24 } });
    expect(again).toMatchObject({ status: 200, etag: '"2"', body: { name, version: 2 } });
    const shown = await world.call<Shown>("GET", at(name));
    expect(shown).toMatchObject({
      status: 200,
      etag: '"2"',
      body: {
        name,
        version: 2,
        level: place === "inProject" ? "project" : "organization",
        inherited: false,
        description: "for billing",
        tags: ["billing"],
        expiresAt: "2098-12-31T23:00:00.000Z",
        policy: { sealed: false, hosts: [] },
        tampered: false,
      },
    });
    expect(await reveal(name)).toBe(second);
    expect(await reveal(name, { version: 1 })).toBe(first);
    const { data } = (await world.call<Page<Shown>>("GET", `${world[place]}/secrets`)).body;
    expect(data).toContainEqual(shown.body);
  });

  test("expires in a year that answers can be written with, or is refused, and lists stay as they were", async () => {
    const name = newName();
    for (const expiresAt of ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+00:01", "0000-06-01T00:00:00Z"]) {
      const { status, body } = await world.call("PUT", at(name), { body: { value: world.newValue(), expiresAt } });
      const detail = "must be in the years 1 to 9999 of UTC";
      expect([status, body]).toMatchObject([400, { errors: [{ pointer: "/body/expiresAt", detail }] }]);
    }
    const last = "9999-12-31T23:59:59.999Z";
    await world.call("PUT", at(name), { body: { value: world.newValue(), expiresAt: last } });
    expect((await show(name))["expiresAt"]).toBe(last);
    expect((await world.call("GET", `${world.inProject}/secrets`)).status).toBe(200);
  });

  test("changes only at the version that If-Match names, and is made only where there is none", async () => {
    const name = newName();
    const onlyNew = { "if-none-match": "*" };
    expect(await put(name, undefined, { "if-match": '"1"' })).toBe(412);
    expect(await put(name, undefined, onlyNew)).toBe(201);
    const refused = await world.call("PUT", at(name), { body: { value: world.newValue() }, headers: onlyNew });
    expect(refused).toMatchObject({ status: 412, etag: null, body: { code: "ERR_SECRET_VERSION_CONFLICT" } });
    expect(await put(name, undefined, { "if-match": '"1"' })).toBe(200);
    expect(await put(name, undefined, { "if-match": '"1"' })).toBe(412);
    const stale = { "if-match": '"1"' };
    const policy = { sealed: true, hosts: ["https://api.example.com"] };
    expect((await world.call("PUT", at(name, "/policy"), { body: policy, headers: stale })).status).toBe(412);
    expect((await world.call("POST", at(name, "/rollback"), { body: { toVersion: 1 }, headers: stale })).status).toBe(
      412,
    );
    expect(await show(name)).toMatchObject({ version: 2 });
    const current = { "if-match": '"2"' };
    const done = await world.call("POST", at(name, "/rollback"), { body: { toVersion: 1 }, headers: current });
    expect(done).toMatchObject({ status: 200, etag: '"3"', body: { name, version: 3 } });
  });

  test("is stored once by many who found it at the same version", async () => {
    const name = newName();
    await put(name);
    const statuses = await Promise.all(
      Array.from({ length: 8 }, async () => await put(name, undefined, { "if-match": '"1"' })),
    );
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(statuses.filter((status) => status === 412)).toHaveLength(7);
    expect(await show(name)).toMatchObject({ version: 2 });
  });

  test("is not changed on a condition that cannot be heeded", async () => {
    const name = newName();
    await put(name);
    const before = await show(name);
    const value = world.newValue();
    for (const headers of [
      { "if-match": "*" },
      { "if-match": '"1", "2"' },
      { "if-match": 'W/"1"' },
      { "if-match": "1" },
      { "if-match": '"0"' },
      { "if-none-match": '"1"' },
      { "if-match": '"1"', "if-none-match": "*" },
      { "if-match": "" },
    ] as Record<string, string>[]) {
      const answer = await world.call("PUT", at(name), { body: { value }, headers });
      expect([headers, answer.status]).toEqual([headers, 400]);
      expect(answer.body.errors?.[0]?.pointer).toMatch(/^\/headers\/if-(none-)?match$/);
    }
    for (const [method, path, body] of [
      ["PATCH", "", { description: "x" }],
      ["DELETE", "", undefined],
      ["POST", "/disable", undefined],
      ["POST", "/enable", undefined],
      ["POST", "/restore", undefined],
      ["POST", "/destroy", { versions: "all" }],
      ["POST", "/reveal", {}],
    ] as const) {
      const answer = await world.call(method, at(name, path), { body, headers: { "if-match": '"1"' } });
      expect([path, answer.status]).toEqual([path, 400]);
    }
    expect(await show(name)).toEqual(before);
  });

  test("gets another policy as its next version, and a sealed one is shown to nobody", async () => {
    const name = newName();
    await put(name);
    const policy = { sealed: true, hosts: ["https://api.example.com"], places: { headers: ["X-Key"] } };
    const sealed = await world.call<Stored>("PUT", at(name, "/policy"), { body: policy });
    expect(sealed).toMatchObject({ status: 200, etag: '"2"', body: { name, version: 2 } });
    expect(await show(name)).toMatchObject({ policy: { ...policy, places: { headers: ["x-key"], basic: true } } });
    for (const version of [1, 2]) {
      const answer = await world.call("POST", at(name, "/reveal"), { body: { version } });
      expect(answer).toMatchObject({ status: 403, body: { code: "ERR_SECRET_SEALED" } });
    }
    const opened = await world.call("PUT", at(name, "/policy"), { body: { sealed: false } });
    expect(opened).toMatchObject({ status: 400, body: { code: "ERR_SECRET_POLICY_INVALID" } });
  });

  test("is described, switched off and on, deleted, restored and destroyed", async () => {
    const [name, value] = [newName(), world.newValue()];
    await put(name, value);
    const done = async (method: string, more: string, body?: unknown): Promise<void> => {
      const answer = await world.call(method, at(name, more), { body });
      expect([more, answer.status, answer.text]).toEqual([more, 204, ""]);
    };
    await done("PATCH", "", { description: "new", tags: [], rotationDays: 30, expiresAt: null });
    expect(await show(name)).toMatchObject({ description: "new", tags: [], rotationDays: 30, version: 1 });
    await done("POST", "/disable");
    expect(await show(name)).toMatchObject({ disabled: true });
    await done("POST", "/enable");
    await done("DELETE", "");
    expect(await show(name)).toMatchObject({ deleted: true, disabled: false });
    expect(await world.call("DELETE", at(name))).toMatchObject({ status: 404, body: { code: "ERR_SECRET_UNKNOWN" } });
    await done("POST", "/restore");
    expect(await reveal(name)).toBe(value);
    await put(name);
    const one = await world.call("POST", at(name, "/destroy"), { body: { versions: [1] } });
    expect(one).toMatchObject({ status: 200, body: { name, destroyed: [1] } });
    expect(await world.call("POST", at(name, "/reveal"), { body: { version: 1 } })).toMatchObject({ status: 409 });
    const all = await world.call("POST", at(name, "/destroy"), { body: { versions: "all" } });
    expect(all).toMatchObject({ status: 200, body: { name, destroyed: [2] } });
    expect((await world.call("GET", at(name))).status).toBe(404);
    const { data } = (
      await world.call<Page<{ name: string; version: number; projectId?: string; signed: object }>>(
        "GET",
        `${world[place]}/secrets-tombstones?name=${name}`,
      )
    ).body;
    expect(data.map(({ version }) => version)).toEqual([2, 1]);
    const { projectId } = world;
    expect(data.map((one) => one.projectId)).toEqual(
      place === "inProject" ? [projectId, projectId] : [undefined, undefined],
    );
    expect(data[0]!.signed).toMatchObject({ purpose: "stepvault tombstone 1" });
  });

  test("is never destroyed whole by a request that forgot to say what", async () => {
    const name = newName();
    await put(name);
    for (const body of [{}, { versions: [] }, { versions: null }, { versions: "1" }, undefined])
      expect((await world.call("POST", at(name, "/destroy"), { body })).status).toBe(400);
    expect(await show(name)).toMatchObject({ name, version: 1 });
  });

  test("tells its versions, uses, who can act with it and who depends on it", async () => {
    const name = newName();
    for (let count = 0; count < 3; count += 1) await put(name);
    const first = (await world.call<Page<Stored>>("GET", at(name, "/versions?limit=2"))).body;
    expect(first.data).toMatchObject([{ version: 3, current: true, createdBy: { kind: "system" } }, { version: 2 }]);
    const { cursor } = first.pagination;
    const second = (await world.call<Page<Stored>>("GET", at(name, `/versions?limit=2&cursor=${cursor}`))).body;
    expect(second).toMatchObject({ data: [{ version: 1, current: false }], pagination: { hasMore: false } });
    await world.call("PATCH", at(name), { body: place === "inOrganization" ? { access: "all" } : { tags: ["x"] } });
    const { vault } = world.store;
    const { projectId } = world;
    const runId = "01890000-0000-7000-8000-000000000001";
    await vault.secrets.use({ projectId, runId, references: [{ name }] });
    const uses = (await world.call<Page<object>>("GET", at(name, "/uses?version=3"))).body;
    expect(uses).toMatchObject({ data: [{ version: 3, projectId, uses: 1, lastRunId: runId }] });
    expect((await world.call<Page<object>>("GET", at(name, "/uses?version=1"))).body.data).toEqual([]);
    expect((await world.call<Page<object>>("GET", at(name, "/uses?since=2099-01-01T00:00:00Z"))).body.data).toEqual([]);
    const access = (
      await world.call<{ people: { personId: string }[]; projectIds: string[] }>("GET", at(name, "/access"))
    ).body;
    expect(access.projectIds).toContain(projectId);
    expect(access.people.map(({ personId }) => personId)).toEqual(expect.arrayContaining(["builder", "owner"]));
    expect(access.people.map(({ personId }) => personId)).not.toContain("viewer");
    const dependents = await world.call("GET", at(name, "/dependents?days=7"));
    expect(dependents.body).toMatchObject({ steps: [], uses: [{ version: 3 }], fallback: false });
    const verdict = await world.call("POST", `${world[place]}/secrets-verify`);
    expect(verdict).toMatchObject({ status: 200, body: { changed: [], removed: [], unproven: false } });
  });

  test("is listed when nobody uses it, and when its reminder is due", async () => {
    const name = newName();
    await put(name);
    const listed = async (path: string): Promise<string[]> =>
      (await world.call<Page<Shown>>("GET", `${world[place]}/${path}`)).body.data.map((one) => one.name);
    expect(await listed("secrets-unused?days=0&limit=100")).toContain(name);
    expect(await listed("secrets-unused?days=1&limit=100")).not.toContain(name);
    await world.call("PATCH", at(name), { body: { rotationDays: 1 } });
    expect(await listed("secrets-stale?limit=100")).not.toContain(name);
    await world.store.temporary.database.query(
      "update secret_versions set created_at = now() - interval '2 days' where secret_id = (select id from secrets where name = $1 and project_id = $2)",
      [name, place === "inProject" ? world.projectId : await world.hiddenProject()],
    );
    expect(await listed("secrets-stale?limit=100")).toContain(name);
  });

  test("answers wrong input with the place of each fault and nothing of what was given", async () => {
    const name = newName();
    const canary = world.newValue();
    const cases: [string, string, unknown, string][] = [
      ["PUT", "", {}, "/body"],
      ["PUT", "", { value: canary, source: { source: "a", path: "b", field: "c" } }, "/body"],
      ["PUT", "", { value: [canary] }, "/body/value"],
      ["PUT", "", { value: "" }, "/body/value"],
      ["PUT", "", { value: canary.repeat(4_000) }, "/body/value"],
      ["PUT", "", { value: canary, [canary]: 1 }, "/body"],
      ["PUT", "", { value: canary, expiresAt: canary }, "/body/expiresAt"],
      ["PUT", "", { value: canary, policy: { hosts: [`${canary} is no rule`] } }, "/body/policy/hosts/0"],
      ["PUT", "", { value: canary, policy: { source: { source: "a", path: "b", field: "c" } } }, "/body/policy"],
      ["PUT", "", { value: canary, endUnusedHours: 0 }, "/body/endUnusedHours"],
      ["PATCH", "", {}, "/body"],
      ["PATCH", "", { value: canary }, "/body"],
      ["PATCH", "", { access: [canary] }, "/body/access/0"],
      ["PUT", "/policy", { roles: [canary] }, "/body/roles/0"],
      ["POST", "/rollback", { toVersion: 0 }, "/body/toVersion"],
      ["POST", "/reveal", { version: 2 ** 31 }, "/body/version"],
      ["POST", "/disable", { value: canary }, "/body"],
      ["GET", "/uses?version=x", undefined, "/query/version"],
      ["GET", `/dependents?days=${canary}`, undefined, "/query/days"],
    ];
    for (const [method, more, body, pointer] of cases) {
      const answer = await world.call(method, at(name, more), { body });
      expect([method, more, pointer, answer.status]).toEqual([method, more, pointer, 400]);
      expect(answer.body.errors?.map((error) => error.pointer)).toContain(pointer);
    }
    // What the vault refuses is told without the value too.
    for (const body of [
      { value: canary, description: `holds ${canary}` },
      { value: canary, tags: [canary] },
      { value: canary, policy: { sealed: true } },
      { value: "\ud800" },
    ])
      expect((await world.call("PUT", at(name), { body })).status).toBe(400);
    expect((await world.call("GET", at(name))).status).toBe(404);
  });

  test("has a name by the rule, and what was pasted instead is not repeated", async () => {
    const pasted = [world.newValue(), `${world.newValue()}%2F..`, "1KEY", "a.b", "%F0%9F%8E%88", "x".repeat(129)];
    for (const name of pasted) {
      for (const [method, more, body] of [
        ["GET", "", undefined],
        ["PUT", "", { value: "any-value" }],
        ["DELETE", "", undefined],
        ["POST", "/reveal", {}],
        ["GET", "/versions", undefined],
      ] as const) {
        const answer = await world.call(method, at(name, more), { body });
        expect([name.slice(0, 6), answer.status]).toEqual([name.slice(0, 6), 400]);
        expect(answer.body.errors).toMatchObject([{ pointer: "/path/secretName" }]);
      }
    }
  });
});
