/**
 * Who may do what with secrets over HTTP: every route of a project and of an organization, asked by people of every role and
 * keys of every scope. Goal: exactly those of the list get through; a refusal names roles and changes nothing; and who has no
 * part in a place cannot tell it from one that is not there.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTenants, plain, type Tenants } from "./tenants.ts";

let world: Tenants;
beforeAll(async () => {
  world = await openTenants();
});
afterAll(async () => await world.close());

const name = "ROLES_KEY";
const absent = "01890000-0000-7000-8000-000000000000";

const people = ["owner", "organization-admin", "project-admin", "editor", "builder", "member", "viewer"].map(
  (person) => `person ${person}`,
);
const keys = ["key trigger", "key read:runs", "key manage:secrets", "key admin"];
const organizationKeys = ["organization-key trigger,read:runs,manage:secrets", "organization-key admin"];

const admins = ["person owner", "person organization-admin"];
const projectAdmins = [...admins, "person project-admin"];
const builders = [...projectAdmins, "person editor", "person builder"];
const mayWrite = [...builders, "key manage:secrets", "key admin"];

interface Kind {
  readonly project: readonly string[];
  readonly organization: readonly string[];
}
const inOrganization = [...admins, "organization-key admin"];
const write: Kind = { project: [...mayWrite, ...organizationKeys], organization: inOrganization };
const destroy: Kind = {
  project: [...projectAdmins, "key admin", "organization-key admin"],
  organization: inOrganization,
};
const reveal: Kind = { project: projectAdmins, organization: admins };
const reference: Kind = {
  project: [...builders, "key trigger", "key admin", ...organizationKeys],
  organization: [],
};

type Row = readonly [kind: Kind, method: string, path: string, body?: (version: number) => unknown];
const both: readonly Row[] = [
  [write, "GET", "/secrets"],
  [write, "GET", `/secrets/${name}`],
  [write, "PUT", `/secrets/${name}`, () => ({ value: world.newValue() })],
  [write, "PATCH", `/secrets/${name}`, () => ({ description: "x" })],
  [write, "PUT", `/secrets/${name}/policy`, () => ({ sealed: false })],
  [write, "POST", `/secrets/${name}/rollback`, (toVersion) => ({ toVersion })],
  [write, "POST", `/secrets/${name}/disable`],
  [write, "POST", `/secrets/${name}/enable`],
  [write, "DELETE", `/secrets/${name}`],
  [write, "POST", `/secrets/${name}/restore`],
  [destroy, "POST", `/secrets/${name}/destroy`, () => ({ versions: "all" })],
  [reveal, "POST", `/secrets/${name}/reveal`, () => ({})],
  [write, "GET", `/secrets/${name}/versions`],
  [write, "GET", `/secrets/${name}/uses`],
  [write, "GET", `/secrets/${name}/access`],
  [write, "GET", `/secrets/${name}/dependents`],
  [write, "GET", "/secrets-unused"],
  [write, "GET", "/secrets-stale"],
  [write, "GET", "/secrets-tombstones"],
  [write, "POST", "/secrets-verify"],
  [write, "POST", "/secrets-import", () => ({ text: "IMPORTED=imported-value", dryRun: true })],
  [write, "POST", "/secrets-import", () => ({ text: "IMPORTED=imported-value" })],
  [reveal, "POST", "/secrets-export", () => ({ format: "json" })],
];
const projectOnly: readonly Row[] = [
  [write, "GET", `/secrets/${name}/explain`],
  [reference, "POST", "/references/check", () => ({ references: [{ name }] })],
];

async function prepare(place: Tenants["inProject"]): Promise<number> {
  const { vault } = world.store;
  const at = place === world.inProject ? { projectId: world.projectId } : { organizationId: world.organizationId };
  return await vault.secrets.set({ place: at, name, value: world.newValue(), policy: {} });
}

async function state(): Promise<string> {
  const { rows } = await world.store.temporary.database.query(
    "select id, name, current_version, updated_at, disabled_at, deleted_at from secrets order by id",
  );
  return JSON.stringify(rows);
}

async function expectRow(place: "project" | "organization", [kind, method, path, body]: Row): Promise<void> {
  const prefix = place === "project" ? world.inProject : world.inOrganization;
  const askers =
    place === "project" ? [...people, ...keys, ...organizationKeys] : [...people.slice(0, 2), ...organizationKeys];
  for (const as of askers) {
    const version = await prepare(prefix);
    const before = await state();
    const holdsValue = path.endsWith("/reveal") || path === "/secrets-export";
    const may = kind[place].includes(as);
    const answer = await world.call(method, prefix + path, {
      as,
      body: body?.(version),
      holdsValue: may && holdsValue,
    });
    expect([as, method, path, answer.status < 300]).toEqual([as, method, path, may]);
    if (may) continue;
    expect(answer).toMatchObject({ status: 403, body: { code: "ERR_FORBIDDEN" } });
    expect(answer.body.detail).toMatch(/: (your role is|the key's scopes are) .*; it takes owner, organization admin/);
    expect(await state()).toBe(before);
  }
}

const titles = (rows: readonly Row[]): [string, Row][] =>
  rows.map((row, index) => [`${row[1]} ${row[2]}${row[1] === "POST" ? ` #${index}` : ""}`, row]);

describe("who may", () => {
  test.each(titles([...both, ...projectOnly]))("%s in a project", async (_, row) => await expectRow("project", row));
  test.each(titles(both))("%s in an organization", async (_, row) => await expectRow("organization", row));
});

describe("who has no part in it", () => {
  const cases = (): { as: string; real: string; prefix: string; rows: readonly Row[] }[] => {
    const project = { prefix: "/v1/projects/", rows: [...both, ...projectOnly] };
    const organization = { prefix: "/v1/organizations/", rows: both };
    return [
      { as: "person eve", real: world.projectId, ...project },
      { as: "person nobody", real: world.projectId, ...project },
      { as: "person owner", real: world.foreignProjectId, ...project },
      { as: "person project-admin", real: world.otherProjectId, ...project },
      { as: "key admin", real: world.otherProjectId, ...project },
      { as: "organization-key admin", real: world.foreignProjectId, ...project },
      { as: "person eve", real: world.organizationId, ...organization },
      { as: "person owner", real: world.foreignOrganizationId, ...organization },
      { as: "key admin", real: world.organizationId, ...organization },
    ];
  };

  test("gets the same bytes for a place that is there as for one that is not", async () => {
    await prepare(world.inProject);
    await prepare(world.inOrganization);
    const before = await state();
    let compared = 0;
    for (const { as, real, prefix, rows } of cases()) {
      for (const [, method, path, body] of rows) {
        const ask = async (id: string): Promise<string> => {
          const answer = await world.call(method, `${prefix}${id}${path}`, { as, body: body?.(1) });
          return `${answer.status} ${plain(answer, id)}`;
        };
        const told = await ask(real);
        expect([as, path, told]).toEqual([as, path, await ask(absent)]);
        expect([as, path, told.slice(0, 4)]).toEqual([as, path, "404 "]);
        compared += 1;
      }
    }
    expect(compared).toBeGreaterThan(200);
    expect(await state()).toBe(before);
  });

  test("is refused with 403 only where their part is too small", async () => {
    const answer = await world.call("GET", `${world.inOrganization}/secrets`, { as: "person nobody" });
    expect(answer).toMatchObject({ status: 403, body: { code: "ERR_FORBIDDEN" } });
    expect(answer.body.detail).toContain("your role is organization member");
    const withoutScopes = await world.call("GET", `${world.inProject}/secrets`, { as: "key " });
    expect(withoutScopes).toMatchObject({ status: 403 });
    expect(withoutScopes.body.detail).toContain("the key's scopes are none");
  });

  test("learns nothing of a secret of another project by its name", async () => {
    const { vault } = world.store;
    const place = { projectId: world.otherProjectId };
    await vault.secrets.set({ place, name: "ONLY_THERE", value: world.newValue() });
    for (const [, method, path, body] of both) {
      if (!path.includes(name) || method === "PUT") continue;
      const ask = async (other: string): Promise<string> => {
        const answer = await world.call(method, world.inProject + path.replace(name, other), {
          as: "person project-admin",
          body: body?.(1),
        });
        return `${answer.status} ${plain(answer, other)}`;
      };
      expect([path, await ask("ONLY_THERE")]).toEqual([path, await ask("ABSENT_KEY")]);
    }
  });
});
