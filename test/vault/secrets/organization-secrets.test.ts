/**
 * An organization's own secrets, as its projects meet them. Goal: the nearer one counts whatever its state and gives way only
 * when it is deleted, and a grant reaches exactly the projects that it names. Attacks are SQL statements, as of somebody who
 * holds the database and no key. Real PostgreSQL.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { openSecretsWorld, type SecretsWorld } from "./secrets-world.ts";

let world: SecretsWorld;
let support: string;
let sales: string;
let spare: string;
/** A name of its own for each test. */
let name: string;
let count = 0;

beforeAll(async () => {
  world = await openSecretsWorld();
  [support, sales, spare] = world.projects;
});
afterAll(async () => await world.dispose());
beforeEach(() => (name = `KEY_${(count += 1)}`));

const hour = 3_600_000;
const at = (place: { projectId: string } | { organizationId: string } = { projectId: support }) => ({ place, name });
const own = async (value = "of the project"): Promise<number> => await world.set({ projectId: support }, name, value);
const shared = async (access: "all" | string[] = "all", value = "of the organization"): Promise<number> =>
  await world.set(world.organization, name, value, { access });
const organizations = (): ReturnType<typeof at> => at(world.organization);

describe("the nearer one", () => {
  test("wins, for its own project only, and its destruction as a whole makes the other effective", async () => {
    await shared();
    expect(await world.ways(support, name)).toBe("of the organization");
    await own();
    expect([await world.ways(support, name), await world.ways(sales, name)]).toEqual([
      "of the project",
      "of the organization",
    ]);
    await world.vault.secrets.destroy(at());
    expect(await world.ways(support, name)).toBe("of the organization");
  });

  test.each<[string, string, () => Promise<unknown>, Date?]>([
    [
      "is switched off",
      "ERR_SECRET_DISABLED",
      async () => await world.vault.secrets.switch({ ...at(), enabled: false }),
    ],
    [
      "is expired",
      "ERR_SECRET_EXPIRED",
      async () => await world.vault.secrets.change({ ...at(), expiresAt: new Date(Date.now() + hour) }),
      new Date(Date.now() + 2 * hour),
    ],
    ["is destroyed", "ERR_SECRET_DESTROYED", async () => await world.vault.secrets.destroy({ ...at(), versions: [1] })],
    [
      "is for another step",
      "ERR_SECRET_NOT_ALLOWED",
      async () => await world.vault.secrets.setPolicy({ ...at(), policy: { steps: [createId()] } }),
    ],
    [
      "was changed in the database",
      "ERR_SECRET_TAMPERED",
      async () =>
        await world.sql(
          "update secrets set updated_at = now(), current_version = 7 where name = $1 and access is null",
          name,
        ),
    ],
    [
      "was made to look deleted",
      "ERR_SECRET_TAMPERED",
      async () => await world.sql("update secrets set deleted_at = now() where name = $1 and access is null", name),
    ],
    [
      "was made to look like the organization's",
      "ERR_SECRET_TAMPERED",
      async () => await world.sql("update secrets set access = 'all' where name = $1 and access is null", name),
    ],
    [
      "was removed in the database",
      "ERR_SECRET_TAMPERED",
      async () => await world.sql("delete from secrets where name = $1 and access is null", name),
    ],
    [
      "has a policy of a Stepvault to come",
      "ERR_SECRET_TAMPERED",
      async () =>
        await world.sql(
          "update secret_versions set policy = '{\"moon\":true}' where secret_id = (select id from secrets where name = $1 and access is null)",
          name,
        ),
    ],
  ])("counts also when it %s", async (_, code, change, now) => {
    await shared();
    await own();
    await change();
    expect(await world.ways(support, name, { now })).toBe(code);
    expect(await world.ways(sales, name, { now })).toBe("of the organization");
    const { candidates } = await world.vault.secrets.explain({ projectId: support, name, now });
    expect(candidates.map(({ level, state }) => [level, state])[1]).toEqual(["organization", "shadowed"]);
  });

  test("gives way once it is deleted, and is back when it is restored", async () => {
    await shared();
    await own();
    await world.vault.secrets.delete(at());
    expect(await world.ways(support, name)).toBe("of the organization");
    await world.vault.secrets.restore(at());
    expect(await world.ways(support, name)).toBe("of the project");
  });

  test("that gave way leaves the error to the one that counts", async () => {
    await shared();
    await own();
    await world.vault.secrets.delete(at());
    await world.vault.secrets.switch({ ...organizations(), enabled: false });
    expect(await world.ways(support, name)).toBe("ERR_SECRET_DISABLED");
    await world.vault.secrets.delete(organizations());
    expect(await world.ways(support, name)).toBe("ERR_SECRET_DELETED");
  });

  test("by an alias of chains is the project's before the organization's", async () => {
    await shared();
    expect(await world.ways(support, `chains_${name}`)).toBe("of the organization");
    await own();
    expect(await world.ways(support, `chains_${name}`)).toBe("of the project");
    await world.set(world.organization, `chains_${name}`, "of the very name", { access: "all" });
    expect([await world.ways(support, `chains_${name}`), await world.ways(sales, `chains_${name}`)]).toEqual([
      "of the project",
      "of the very name",
    ]);
  });

  test("is not skipped when the project's key was taken away", async () => {
    const projectId = (await world.vault.tenancy.createProject({ ...world.organization, name: "Robbed" })).id;
    await shared();
    await world.set({ projectId }, name, "of the project");
    await world.sql("delete from secrets where project_id = $1", projectId);
    await world.sql("delete from data_keys where project_id = $1", projectId);
    expect(await world.come(projectId, name)).toBe("ERR_SECRET_TAMPERED");
  });
});

describe("a grant", () => {
  const codes = async (): Promise<string[]> => [
    await world.ways(support, name),
    await world.ways(sales, name),
    await world.ways(spare, name),
  ];
  const [yes, no] = ["of the organization", "ERR_SECRET_NOT_GRANTED"];

  test("is none at first, then to selected projects, to all, and taken away again", async () => {
    await world.set(world.organization, name, "of the organization");
    expect(await codes()).toEqual([no, no, no]);
    await world.vault.secrets.change({ ...organizations(), access: [support, sales.toUpperCase()] });
    expect(await codes()).toEqual([yes, yes, no]);
    await world.vault.secrets.change({ ...organizations(), access: "all" });
    expect(await codes()).toEqual([yes, yes, yes]);
    const later = (await world.vault.tenancy.createProject({ ...world.organization, name: "Later" })).id;
    expect(await world.come(later, name)).toBe(yes);
    await world.vault.secrets.change({ ...organizations(), access: [spare] });
    expect(await codes()).toEqual([no, no, yes]);
    await world.vault.secrets.change({ ...organizations(), access: [] });
    expect(await codes()).toEqual([no, no, no]);
  });

  test("stays through new values, rollback, deletion and restoring, and goes with the secret", async () => {
    await shared([support]);
    await world.set(world.organization, name, "rotated");
    expect(await world.ways(support, name)).toBe("rotated");
    await world.vault.secrets.rollback({ ...organizations(), toVersion: 1 });
    await world.vault.secrets.delete(organizations());
    expect(await world.ways(support, name)).toBe("ERR_SECRET_DELETED");
    await world.vault.secrets.restore(organizations());
    expect(await codes()).toEqual([yes, no, no]);
    await world.vault.secrets.destroy(organizations());
    expect(await world.ways(support, name)).toBe("ERR_SECRET_UNKNOWN");
    await world.set(world.organization, name, "made anew");
    expect(await codes()).toEqual([no, no, no]);
  });

  test("decides what a project's list shows, marked as inherited", async () => {
    const shown = async (projectId: string): Promise<string[]> =>
      (await world.vault.secrets.list({ place: { projectId } })).flatMap((row) =>
        row.name === name ? [`${row.level} ${row.inherited}`] : [],
      );
    await shared([support]);
    await own();
    expect([await shown(support), await shown(sales)]).toEqual([["project false", "organization true"], []]);
    await world.vault.secrets.delete(organizations());
    expect(await shown(support)).toEqual(["project false"]);
  });

  test.each([
    ["another organization's project", () => [world.foreignProject]],
    ["the project that holds the organization's own", async () => [await world.hidden()]],
    ["a project that is not there", () => [createId()]],
    ["what is no id", () => ["hunter2-hunter2"]],
  ])("to %s is refused, and nothing is changed", async (_, ids) => {
    await shared([support]);
    const work = world.vault.secrets.change({ ...organizations(), access: await ids() });
    await expect(work).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_(SECRET_METADATA_INVALID|PROJECT_UNKNOWN)$/),
      message: expect.not.stringContaining("hunter2"),
    });
    expect(await codes()).toEqual([yes, no, no]);
  });

  test("is nothing that a project's own secret could have", async () => {
    await own();
    const work = world.vault.secrets.change({ ...at(), access: "all" });
    await expect(work).rejects.toMatchObject({ code: "ERR_SECRET_METADATA_INVALID" });
  });

  test("takes who may change the organization's secrets: a project's builder may neither grant nor see", async () => {
    await shared([support]);
    const builder = world.as("builder");
    for (const work of [
      async () => await builder.secrets.change({ ...organizations(), access: "all" }),
      async () => await builder.secrets.list({ place: world.organization }),
      async () => await builder.secrets.reveal(organizations()),
      async () => await builder.secrets.set({ ...organizations(), value: "taken over" }),
    ])
      await expect(work()).rejects.toMatchObject({ code: "ERR_FORBIDDEN" });
    expect(await codes()).toEqual([yes, no, no]);
  });
});

describe("another organization's secret", () => {
  test("never resolves, is in no list, and its name is not told", async () => {
    await world.set(world.foreign, name, "of the others", { access: "all" });
    expect(await world.ways(world.foreignProject, name)).toBe("of the others");
    expect(await world.ways(support, name)).toBe("ERR_SECRET_UNKNOWN");
    const { candidates } = await world.vault.secrets.explain({ projectId: support, name });
    expect(candidates.map(({ state }) => state)).not.toContain("not granted");
    const listed = await world.vault.secrets.list({ place: { projectId: support } });
    expect(listed.map((row) => row.name)).not.toContain(name);
  });
});

describe("rows changed in the database", () => {
  const secretOf = (which: string): string => `(select s.id from secrets s join projects p on p.id = s.project_id
    where p.shared and p.organization_id = '${which}' and s.name = $1)`;
  let mine: string;
  let theirs: string;
  beforeAll(() => {
    mine = secretOf(world.organization.organizationId);
    theirs = secretOf(world.foreign.organizationId);
  });

  test("a grant copied to another project, another secret or another organization's is worth nothing, and in no list", async () => {
    await shared([support]);
    const other = `${name}_OTHER`;
    await world.set(world.organization, other, "of the other", { access: [spare] });
    await world.set(world.foreign, name, "of the others", { access: [world.foreignProject] });
    const copy = `insert into secret_grants (secret_id, project_id, mac)`;
    await world.sql(`${copy} select secret_id, $2, mac from secret_grants where secret_id = ${mine}`, name, sales);
    await world.sql(
      `${copy} select ${mine.replace("$1", "$2")}, project_id, mac from secret_grants where secret_id = ${mine} and project_id = $3`,
      name,
      other,
      support,
    );
    await world.sql(
      `${copy} select ${theirs}, project_id, mac from secret_grants where secret_id = ${mine} and project_id = $2`,
      name,
      support,
    );
    expect([await world.ways(sales, name), await world.ways(support, other), await world.ways(support, name)]).toEqual([
      "ERR_SECRET_NOT_GRANTED",
      "ERR_SECRET_NOT_GRANTED",
      "of the organization",
    ]);
    const names = async (projectId: string): Promise<string[]> =>
      (await world.vault.secrets.list({ place: { projectId } }))
        .map((row) => row.name)
        .filter((one) => one.startsWith(name));
    expect([await names(support), await names(sales)]).toEqual([[name], []]);
  });

  test("a grant that was taken away is not had back by its row, nor by its row and its list's number", async () => {
    await shared([support]);
    const keep = "select g.*, s.access from secret_grants g join secrets s on s.id = g.secret_id";
    const { rows } = await world.database.query<Record<string, unknown>>(`${keep} where s.id = ${mine}`, [name]);
    await world.vault.secrets.change({ ...organizations(), access: [] });
    const { secret_id: secretId, mac, access } = rows[0]!;
    await world.sql(
      "insert into secret_grants (secret_id, project_id, mac) values ($1, $2, $3)",
      secretId,
      support,
      mac,
    );
    expect(await world.ways(support, name)).toBe("ERR_SECRET_NOT_GRANTED");
    await world.sql("update secrets set access = $2 where id = $1", secretId, access);
    expect(await world.ways(support, name)).toBe("ERR_SECRET_TAMPERED");
    await world.sql("update secrets set access = 'all' where id = $1", secretId);
    expect([await world.ways(support, name), await world.ways(spare, name)]).toEqual([
      "ERR_SECRET_TAMPERED",
      "ERR_SECRET_TAMPERED",
    ]);
  });

  test("a forged grant of every length is worth nothing", async () => {
    await shared([]);
    for (const mac of ["", "00", "ff".repeat(32), "00".repeat(64)]) {
      await world.sql(
        `insert into secret_grants (secret_id, project_id, mac) values (${mine}, $2, decode($3, 'hex'))
         on conflict (secret_id, project_id) do update set mac = excluded.mac`,
        name,
        support,
        mac,
      );
      expect(await world.come(support, name)).toBe("ERR_SECRET_NOT_GRANTED");
    }
  });

  test("the flag of the project that holds them makes no project's secrets the organization's, nor the other way round", async () => {
    await shared([]);
    const hidden = await world.hidden();
    const victim = `${name}_VICTIM`;
    await world.set({ projectId: sales }, victim, "of sales alone");
    const flag = async (id: string, on: boolean): Promise<void> =>
      await world.sql("update projects set shared = $2 where id = $1", id, on);
    await flag(hidden, false);
    try {
      expect(await world.come(hidden, name)).toBe("ERR_SECRET_TAMPERED");
      await flag(sales, true);
      expect(await world.come(support, victim)).toBe("ERR_SECRET_TAMPERED");
      await world.sql("update secrets set access = 'all' where project_id = $1 and name = $2", sales, victim);
      expect(await world.come(support, victim)).toBe("ERR_SECRET_TAMPERED");
    } finally {
      await world.sql("update secrets set access = null where project_id = $1", sales);
      await flag(sales, false);
      await flag(hidden, true);
    }
    expect(await world.come(sales, victim)).toBe("of sales alone");
  });

  test("a project moved to another organization gets none of that one's", async () => {
    await world.set(world.foreign, name, "of the others", { access: "all" });
    const projectId = (await world.vault.tenancy.createProject({ ...world.organization, name: "Moved" })).id;
    await world.set({ projectId }, "ANY", "value");
    await world.sql("update projects set organization_id = $2 where id = $1", projectId, world.foreign.organizationId);
    expect(await world.come(projectId, name)).toBe("ERR_SECRET_TAMPERED");
  });

  test("a manifest of the organization's that is gone gives nothing, and so does its key", async () => {
    await world.set(world.foreign, name, "of the others", { access: "all" });
    const id = `(select id from projects where organization_id = $1 and shared)`;
    await world.sql(`delete from secret_manifests where project_id = ${id}`, world.foreign.organizationId);
    expect(await world.come(world.foreignProject, name)).toBe("ERR_SECRET_TAMPERED");
  });
});
