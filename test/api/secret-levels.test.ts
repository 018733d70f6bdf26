/**
 * What a project sees of its organization's secrets over HTTP, and what nobody sees: which one a name means, pages of both
 * levels, references that are checked before a step is saved, and the hidden project that holds an organization's secrets.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTenants, plain, type Tenants } from "./tenants.ts";

let world: Tenants;
beforeAll(async () => {
  world = await openTenants();
});
afterAll(async () => await world.close());

const absent = "01890000-0000-7000-8000-000000000000";

interface Page {
  readonly data: { name: string; inherited: boolean; version: number }[];
  readonly pagination: { cursor?: string; hasMore: boolean };
}

const put = async (place: string, name: string, more = {}): Promise<void> => {
  const { status } = await world.call("PUT", `${place}/secrets/${name}`, {
    body: { value: world.newValue(), ...more },
  });
  expect(status).toBeLessThan(300);
};

describe("secrets of both levels over HTTP", () => {
  test("an organization's is inherited where it is granted, and changed in the organization only", async () => {
    await put(world.inOrganization, "SHARED", { access: [world.projectId.toUpperCase()] });
    const here = await world.call<{ inherited: boolean }>("GET", `${world.inProject}/secrets/SHARED`, {
      as: "person builder",
    });
    expect(here).toMatchObject({ status: 200, etag: null, body: { inherited: true, level: "organization" } });
    const there = `/v1/projects/${world.otherProjectId}/secrets/`;
    const [known, unknown] = [await world.call("GET", `${there}SHARED`), await world.call("GET", `${there}ABSENT`)];
    expect(known.status).toBe(404);
    expect(plain(known, "SHARED")).toBe(plain(unknown, "ABSENT"));
    for (const [method, more, body] of [
      ["PATCH", "", { description: "x" }],
      ["DELETE", "", undefined],
      ["POST", "/disable", undefined],
      ["POST", "/reveal", {}],
      ["POST", "/destroy", { versions: "all" }],
      ["GET", "/versions", undefined],
      ["GET", "/uses", undefined],
      ["GET", "/access", undefined],
    ] as const) {
      const answer = await world.call(method, `${world.inProject}/secrets/SHARED${more}`, { body });
      expect([more, answer.status, answer.body.code]).toEqual([more, 404, "ERR_SECRET_UNKNOWN"]);
    }
    const access = await world.call("PATCH", `${world.inOrganization}/secrets/SHARED`, {
      body: { access: [world.foreignProjectId] },
    });
    expect(access).toMatchObject({ status: 400, body: { code: "ERR_SECRET_METADATA_INVALID" } });
  });

  test("a project's own counts before the inherited one, and says so", async () => {
    await put(world.inOrganization, "BOTH", { access: "all" });
    const explain = `${world.inProject}/secrets/BOTH/explain`;
    expect((await world.call("GET", explain)).body).toMatchObject({
      winner: { level: "organization", name: "BOTH", version: 1 },
    });
    await put(world.inProject, "BOTH");
    expect((await world.call("GET", explain, { as: "person builder" })).body).toMatchObject({
      name: "BOTH",
      winner: { level: "project" },
      candidates: [{ state: "in force" }, { level: "organization", state: "shadowed" }],
    });
    const shown = await world.call("GET", `${world.inProject}/secrets/BOTH`);
    expect(shown).toMatchObject({ etag: '"1"', body: { inherited: false } });
    const nothing = await world.call<{ winner?: object }>("GET", `${world.inProject}/secrets/NOWHERE/explain`);
    expect(nothing.status).toBe(200);
    expect(nothing.body.winner).toBeUndefined();
    const half = await world.call("GET", `${explain}?stepVersion=1`);
    expect(half).toMatchObject({ status: 400, body: { errors: [{ pointer: "/query" }] } });
  });

  test("pages hold a project's own by name and then the inherited ones, each once", async () => {
    for (const name of ["P_B", "P_A", "P_C"]) await put(world.inProject, name);
    const seen: string[] = [];
    let cursor: string | undefined;
    for (let pages = 0; pages < 20; pages += 1) {
      const query = cursor === undefined ? "" : `&cursor=${cursor}`;
      const { data, pagination } = (await world.call<Page>("GET", `${world.inProject}/secrets?limit=2${query}`)).body;
      seen.push(...data.map(({ inherited, name }) => `${inherited ? 2 : 1} ${name}`));
      // One that goes before what was shown is on no later page, and one that comes after it is.
      if (pages === 0) for (const name of ["A_FIRST", "P_D"]) await put(world.inProject, name);
      ({ cursor } = pagination);
      if (!pagination.hasMore) break;
    }
    expect(seen).toEqual([...seen].sort());
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual(expect.arrayContaining(["1 P_A", "1 P_B", "1 P_C", "1 P_D", "2 BOTH", "2 SHARED"]));
    expect(seen).not.toContain("1 A_FIRST");
    for (const cursor of ["x", "WzAsMV0", Buffer.from('[2,"A"]').toString("base64url")]) {
      const answer = await world.call("GET", `${world.inProject}/secrets?cursor=${cursor}`);
      expect(answer).toMatchObject({ status: 400, body: { code: "ERR_CURSOR_INVALID" } });
    }
  });

  test("pages of uses hold each once, also where many are of one moment", async () => {
    await put(world.inProject, "USED");
    const { vault, temporary } = world.store;
    const callers = ["a", "b".repeat(200), "c", "d", "e"];
    for (const caller of callers) {
      const runId = "01890000-0000-7000-8000-000000000002";
      await vault.secrets.use({
        projectId: world.projectId,
        runId,
        references: [{ name: "USED" }],
        caller,
      });
    }
    await temporary.database.query("update secret_uses set last_used_at = '2030-01-01T00:00:00Z' where caller <> 'a'");
    const seen: string[] = [];
    let cursor: string | undefined;
    for (let pages = 0; pages < 10; pages += 1) {
      const query = cursor === undefined ? "" : `&cursor=${cursor}`;
      const { body } = await world.call<{ data: { caller: string }[]; pagination: Page["pagination"] }>(
        "GET",
        `${world.inProject}/secrets/USED/uses?limit=1${query}`,
      );
      seen.push(...body.data.map(({ caller }) => caller));
      ({ cursor } = body.pagination);
      if (cursor === undefined) break;
    }
    expect([...seen].sort()).toEqual(callers);
    expect(seen.at(-1)).toBe("a");
  });

  test("references are checked for who would save the step", async () => {
    await put(world.inProject, "FOR_EDITORS", { policy: { roles: ["editor"] } });
    const check = async (as: string): Promise<object> =>
      (
        await world.call<object>("POST", `${world.inProject}/references/check`, {
          as,
          body: { references: [{ name: "FOR_EDITORS", line: 3, column: 1 }, { name: "NOWHERE" }] },
        })
      ).body;
    expect(await check("person editor")).toMatchObject({
      references: 2,
      failures: [{ name: "NOWHERE", code: "ERR_SECRET_UNKNOWN" }],
    });
    expect(await check("person builder")).toMatchObject({
      failures: [{ name: "FOR_EDITORS", line: 3, column: 1, code: "ERR_SECRET_NOT_ALLOWED" }, { name: "NOWHERE" }],
    });
    const pasted = world.newValue();
    const wrong = await world.call("POST", `${world.inProject}/references/check`, {
      body: { references: [{ name: "OK" }, { name: pasted }] },
    });
    expect(wrong).toMatchObject({ status: 400, body: { errors: [{ pointer: "/body/references/1/name" }] } });
  });
});

describe("the hidden project over HTTP", () => {
  const routes = [
    ["GET", "/secrets", undefined],
    ["GET", "/secrets/SHARED", undefined],
    ["PUT", "/secrets/SHARED", { value: "any-value" }],
    ["POST", "/secrets/SHARED/reveal", {}],
    ["POST", "/secrets/SHARED/destroy", { versions: "all" }],
    ["GET", "/secrets/SHARED/explain", undefined],
    ["GET", "/secrets-tombstones", undefined],
    ["POST", "/secrets-verify", undefined],
    ["POST", "/secrets-export", { format: "json" }],
    ["POST", "/secrets-import", { text: "A=b" }],
    ["POST", "/references/check", { references: [{ name: "SHARED" }] }],
  ] as const;

  test("answers the operator, owners and keys like one that is not there", async () => {
    await put(world.inOrganization, "SHARED", { access: "all" });
    const hidden = await world.hiddenProject();
    for (const as of ["operator", "person owner", "organization-key admin"]) {
      for (const [method, path, body] of routes) {
        const ask = async (id: string): Promise<string> => {
          const answer = await world.call(method, `/v1/projects/${id}${path}`, { as, body });
          return `${answer.status} ${plain(answer, id)}`;
        };
        const told = await ask(hidden);
        expect(told).toMatch(/^404 /);
        expect(told).toBe(await ask(absent));
      }
    }
  });

  test("is in no answer about the organization's secrets", async () => {
    await put(world.inOrganization, "TOLD", { access: "all" });
    await put(world.inOrganization, "TOLD");
    await world.call("POST", `${world.inOrganization}/secrets/TOLD/destroy`, { body: { versions: [1] } });
    const runId = "01890000-0000-7000-8000-000000000003";
    await world.store.vault.secrets.use({ projectId: world.projectId, runId, references: [{ name: "TOLD" }] });
    const hidden = await world.hiddenProject();
    const of = world.inOrganization;
    const answers = [
      await world.call("GET", `${of}/secrets`),
      await world.call("GET", `${of}/secrets/TOLD`),
      await world.call("GET", `${of}/secrets/TOLD/versions`),
      await world.call("GET", `${of}/secrets/TOLD/uses`),
      await world.call("GET", `${of}/secrets/TOLD/access`),
      await world.call("GET", `${of}/secrets/TOLD/dependents`),
      await world.call("GET", `${of}/secrets-unused?days=0`),
      await world.call("GET", `${of}/secrets-tombstones`),
      await world.call("POST", `${of}/secrets-verify`),
      await world.call("POST", `${of}/secrets-import`, { body: { text: "TOLD_TOO=something-else", dryRun: true } }),
      await world.call("POST", `${of}/secrets-export`, { body: { format: "json" }, holdsValue: true }),
      await world.call("POST", `${of}/leaks/search`, { body: { text: "something" } }),
      await world.call("GET", `${of}/audit?limit=100`),
      await world.call("GET", `${of}/projects`),
      await world.call("GET", `${world.inProject}/secrets`),
      await world.call("GET", `${world.inProject}/secrets/TOLD/explain`),
    ];
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(answers.map(({ text }) => text.includes(hidden))).toEqual(answers.map(() => false));
    expect(answers.filter(({ text }) => text.includes("TOLD")).length).toBeGreaterThan(8);
  });
});
