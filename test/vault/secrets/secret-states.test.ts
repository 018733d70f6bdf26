/**
 * Goal: what decides whether a secret is used, and by which projects, cannot be changed in the database: it is refused, listed
 * and named, no change of something else makes it true, and saying anew what it is to be does. Real PostgreSQL; attacks are
 * SQL statements on the rows, as someone with the database would do them.
 */
import { beforeEach, describe, expect, test } from "vitest";
import type { Place } from "../../../vault/tenancy/authorize.ts";
import { createProject } from "../../helpers/vault.ts";
import { useSecretWorld } from "./secret-world.ts";

const world = useSecretWorld();
const [first, second] = ["canary-first-value", "canary-second-value"];
const hour = (hours: number): Date => new Date(Date.now() + hours * 3_600_000);

/** Where the secret of a case is: the project's own, or one of the organization that the project may use. */
type Level = "project" | "organization";
let place: Place;
let name: string;

async function prepare(level: Level): Promise<void> {
  place = level === "project" ? world.place : world.organization;
  name = level === "project" ? "KEY" : `SHARED_${world.projectId.replaceAll("-", "_")}`;
  const access = level === "project" ? undefined : [world.projectId];
  await world.vault.secrets.set({ place, name, value: first, access });
  await world.vault.secrets.set({ place, name, value: second, expiresAt: hour(1) });
  await world.vault.secrets.set({ place, name: "OTHER", value: first });
}

const attack = async (assignment: string): Promise<void> =>
  await world.attack(`update secrets set ${assignment} where name = $1 and (name <> 'KEY' or project_id = $2)`, [
    name,
    world.projectId,
  ]);

async function expectTampered(): Promise<void> {
  expect(await world.codeOf(world.use(name))).toBe("ERR_SECRET_TAMPERED");
  const found = (await world.vault.secrets.list({ place })).filter((secret) => secret.tampered);
  expect(found.map((secret) => secret.name)).toEqual([name]);
  const { changed, removed, unproven } = await world.vault.secrets.verify(place);
  expect({ named: [...changed, ...removed], unproven }).toEqual({ named: [name], unproven: false });
}

async function expectWhole(): Promise<void> {
  expect((await world.vault.secrets.list({ place })).filter(({ tampered }) => tampered)).toEqual([]);
  expect(await world.vault.secrets.verify(place)).toEqual({ changed: [], removed: [], unproven: false });
}

/** Changes of this secret, and one of another; those that would seal something anew may be refused. */
const changes = {
  describe: async () => await world.vault.secrets.change({ place, name, rotationDays: 30 }),
  expire: async () => await world.vault.secrets.change({ place, name, expiresAt: hour(2) }),
  share: async () => await world.vault.secrets.change({ place, name, access: [world.projectId] }),
  disable: async () => await world.vault.secrets.switch({ place, name, enabled: false }),
  enable: async () => await world.vault.secrets.switch({ place, name, enabled: true }),
  delete: async () => await world.vault.secrets.delete({ place, name }),
  restore: async () => await world.vault.secrets.restore({ place, name }),
  destroy: async () => void (await world.vault.secrets.destroy({ place, name, versions: [1] })),
  policy: async () => void (await world.vault.secrets.setPolicy({ place, name, policy: {} })),
  value: async () => void (await world.vault.secrets.set({ place, name, value: second })),
  whole: async () => void (await world.vault.secrets.set({ place, name, value: second, policy: {} })),
  back: async () => void (await world.vault.secrets.rollback({ place, name, toVersion: 1 })),
  another: async () => void (await world.vault.secrets.set({ place, name: "OTHER", value: second })),
};
type Change = keyof typeof changes;

interface Case {
  readonly before?: Change;
  readonly attack: string;
  /** Changes that say what it is to be, each by itself. */
  readonly heals: readonly Change[];
  readonly level?: Level;
}

const cases: readonly (readonly [string, Case])[] = [
  ["deleted", { attack: "deleted_at = now()", heals: ["restore", "whole"] }],
  ["restored", { before: "delete", attack: "deleted_at = null", heals: ["restore"] }],
  ["given more time", { attack: "expires_at = expires_at + interval '1 day'", heals: ["expire"] }],
  ["given less time", { attack: "expires_at = now() - interval '1 day'", heals: ["expire"] }],
  ["given all the time", { attack: "expires_at = null", heals: ["expire"] }],
  ["given a time that never comes", { attack: "expires_at = 'infinity'", heals: ["expire"] }],
  ["given a time that no calendar has", { attack: "expires_at = '290000-01-01'", heals: ["expire"] }],
  ["switched off", { attack: "disabled_at = now()", heals: ["enable"] }],
  ["switched on", { before: "disable", attack: "disabled_at = null", heals: ["enable"] }],
  ["made an organization's", { attack: "access = 'all'", heals: [] }],
  ["set back to its first version", { attack: "current_version = 1", heals: ["whole"] }],
  ["set to a version that is to come", { attack: "current_version = 3", heals: ["whole"] }],
  ["set to no version", { attack: "current_version = 0", heals: ["whole"] }],
  ["given to all projects", { level: "organization", attack: "access = 'all'", heals: ["share"] }],
  ["given to no project any more", { level: "organization", attack: "access = '1'", heals: ["share"] }],
  ["made a project's", { level: "organization", attack: "access = null", heals: ["share"] }],
];

describe("a secret that was, past Stepvault,", () => {
  test.each(cases)("%s is refused, listed and named until that is said anew", async (_, one) => {
    await prepare(one.level ?? "project");
    if (one.before !== undefined) await changes[one.before]();
    await attack(one.attack);
    await expectTampered();
    const others = (Object.keys(changes) as Change[]).filter((change) => !one.heals.includes(change));
    for (const change of others) {
      // Saying the opposite says something of what was attacked as well.
      if (change === "delete" && one.heals.includes("restore")) continue;
      if (change === "disable" && one.heals.includes("enable")) continue;
      const code = await changes[change]().then(
        () => "done",
        (error: unknown) => (error as { code: string }).code,
      );
      expect(code).toMatch(/^(done|ERR_SECRET_(TAMPERED|METADATA_INVALID|UNKNOWN|DELETED|VERSION_UNKNOWN|DESTROYED))$/);
      await expectTampered();
      if (change === "delete" && code === "done") await changes.restore();
    }
    for (const change of one.heals.slice(0, 1)) await changes[change]();
    if (one.heals.length === 0) await attack("access = null");
    await expectWhole();
  });

  test.each(cases.flatMap(([what, one]) => one.heals.map((heal) => [what, heal, one] as const)))(
    "%s is used again after that was said by: %s",
    async (_, heal, one) => {
      await prepare(one.level ?? "project");
      if (one.before !== undefined) await changes[one.before]();
      await attack(one.attack);
      await changes[heal]();
      await expectWhole();
      await expect(world.use(name)).resolves.toBe(second);
    },
  );

  test("marked as destroyed is refused, and an earlier version that was is named", async () => {
    await prepare("project");
    const mark =
      "update secret_versions set destroyed_at = now() where secret_id in (select id from secrets where project_id = $1 and name = 'KEY') and version = ";
    await world.attack(`${mark} 1`);
    expect((await world.vault.secrets.verify(place)).changed).toEqual(["KEY"]);
    await world.attack(`${mark} 2`);
    await expectTampered();
  });

  test("removed comes back with its policy only when that is given", async () => {
    await prepare("project");
    await world.vault.secrets.setPolicy({ place, name, policy: { sealed: true, hosts: ["https://a.example.com"] } });
    await world.attack("delete from secrets where name = 'KEY' and project_id = $1");
    expect(await world.codeOf(changes.value())).toBe("ERR_SECRET_TAMPERED");
    expect((await world.vault.secrets.verify(place)).removed).toEqual(["KEY"]);
    await world.vault.secrets.set({ place, name, value: second, policy: {}, expiresAt: null });
    await expectWhole();
    await expect(world.reveal()).resolves.toBe(second);
  });

  test("hidden is not taken for gone: what is further away does not take its turn", async () => {
    await prepare("project");
    await world.vault.secrets.set({ place: world.organization, name: "KEY", value: first, access: "all" });
    await attack("current_version = 0");
    for (const change of [changes.disable, changes.enable, changes.delete, changes.restore, changes.destroy])
      await change().catch(() => {});
    await world.attack("delete from secrets where name = 'KEY' and project_id = $1");
    expect(await world.codeOf(world.use())).toBe("ERR_SECRET_TAMPERED");
    expect((await world.vault.secrets.verify(place)).removed).toEqual(["KEY"]);
  });
});

describe("a project that may not use an organization's secret", () => {
  let other: string;

  beforeEach(async () => {
    await prepare("organization");
    other = (await createProject(world.vault, world.organizationId, "Other")).id;
  });

  /** Nothing tells of a grant that is not there; one that proves nothing lets nobody in, and is named. */
  async function expectNoUse(): Promise<void> {
    expect(await world.codeOf(world.use(name, { projectId: other }))).toBe("ERR_SECRET_NOT_GRANTED");
    const inherited = await world.vault.secrets.list({ place: { projectId: other } });
    expect(inherited.map((secret) => secret.name)).not.toContain(name);
    await expect(world.use(name)).resolves.toBe(second);
  }

  test.each([
    ["another project's", "select secret_id, $2, mac from secret_grants where project_id = $1"],
    ["no", "select secret_id, $2, '' from secret_grants where project_id = $1"],
    ["32 bytes of", "select secret_id, $2, sha256(mac) from secret_grants where project_id = $1"],
  ])("is not let in by a row with %s proof", async (_, rows) => {
    await world.attack(`insert into secret_grants (secret_id, project_id, mac) ${rows}`, [world.projectId, other]);
    await expectNoUse();
    expect((await world.vault.secrets.verify(place)).changed).toEqual([name]);
    await changes.share();
    await expectWhole();
  });

  test("is not let in by a row of another secret", async () => {
    await world.vault.secrets.change({ place, name: "OTHER", access: [other] });
    await world.attack(
      `insert into secret_grants select s.id, $2, g.mac from secrets s, secret_grants g where s.name = $1 and g.project_id = $2`,
      [name, other],
    );
    await expectNoUse();
    expect((await world.vault.secrets.verify(place)).changed).toEqual([name]);
    await changes.share();
  });

  test("is not let in by its own row from before that was taken away, with or without its list", async () => {
    await world.vault.secrets.change({ place, name, access: [world.projectId, other] });
    await expect(world.use(name, { projectId: other })).resolves.toBe(second);
    const [{ access }] = (await world.sql("select access from secrets where name = $1", [name])) as [
      { access: string },
    ];
    const saved = await world.sql("select * from secret_grants where project_id = $1", [other]);
    await changes.share();
    await world.putBack(new Map([["secret_grants", saved]]));
    await expectNoUse();
    expect((await world.vault.secrets.verify(place)).changed).toEqual([name]);
    // A later list has another number, however often it is made.
    for (let round = 0; round < 5; round += 1) {
      await changes.share();
      await world.putBack(new Map([["secret_grants", saved]]));
      await expectNoUse();
    }
    await attack(`access = '${access}'`);
    for (const projectId of [world.projectId, other])
      expect(await world.codeOf(world.use(name, { projectId }))).toBe("ERR_SECRET_TAMPERED");
    await changes.describe();
    await changes.expire();
    expect(await world.codeOf(world.use(name, { projectId: other }))).toBe("ERR_SECRET_TAMPERED");
    await changes.share();
    await expectWhole();
  });
});
