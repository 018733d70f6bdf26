/**
 * Goal: a row that is put back as it once was gives no value, and no later write makes it true; what cannot be noticed from
 * inside is told by the head. Real PostgreSQL; attacks save rows and put them back, as someone with the database would.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type MasterKey, openMasterKey } from "../../../vault/encryption/master-key.ts";
import type { Project } from "../../../vault/tenancy/tenancy.ts";
import { rebuildManifest } from "../../../vault/encryption/update-manifest.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import {
  createOrganization,
  createProject,
  deleteSecret,
  disableSecret,
  enableSecret,
  resolveSecrets,
  setSecret,
  setSecretPolicy,
} from "../../helpers/vault.ts";

let temporary: Temporary;
let vault: Vault;
let master: MasterKey;
let organizationId: string;
let project: Project;

beforeAll(async () => {
  temporary = await openTemporary();
  vault = await openVault(temporary.database, temporary.config);
  master = await openMasterKey(temporary.database, temporary.config);
  organizationId = (await createOrganization(vault, "Acme")).id;
});

beforeEach(async () => {
  project = await createProject(vault, organizationId, "Support");
  await setSecret(vault, project.id, "OTHER", "the value of other");
  await setSecret(vault, project.id, "KEY", "the first value", { hosts: ["old.example.com"] });
  await setSecret(vault, project.id, "KEY", "the second value", { hosts: ["new.example.com"] });
});

afterAll(async () => {
  vault.close();
  await temporary.dispose();
});

async function expose(name = "KEY"): Promise<string> {
  const [secret] = await resolveSecrets(vault, project.id, [{ name, line: 1, column: 1 }]);
  return secret!.expose();
}

async function run(sql: string): Promise<void> {
  expect((await temporary.database.query(sql, [project.id])).rowCount).toBeGreaterThan(0);
}

async function expectTampered(name = "KEY"): Promise<void> {
  const failure = await expose(name).then(
    () => expect.unreachable("it should have failed"),
    (error: unknown) => error as Error,
  );
  expect(failure).toMatchObject({ code: "ERR_SECRET_TAMPERED", position: { line: 1, column: 1 } });
  expect(failure.message).not.toContain("the value");
}

const tables = {
  secrets: "project_id = $1",
  secret_versions: "secret_id in (select id from secrets where project_id = $1)",
  secret_manifests: "project_id = $1",
};
type Table = keyof typeof tables;
type Saved = Map<Table, Record<string, unknown>[]>;

async function save(...names: Table[]): Promise<Saved> {
  const saved: Saved = new Map();
  for (const name of names) {
    const { rows } = await temporary.database.query(`select * from ${name} where ${tables[name]}`, [project.id]);
    saved.set(name, rows);
  }
  return saved;
}

/** Makes the tables' rows of the project what they were when they were saved. */
async function putBack(saved: Saved): Promise<void> {
  for (const name of [...saved.keys()].reverse()) {
    await temporary.database.query(`delete from ${name} where ${tables[name]}`, [project.id]);
  }
  for (const [name, rows] of saved) {
    for (const row of rows) {
      const columns = Object.keys(row);
      const places = columns.map((_, index) => `$${index + 1}`).join(", ");
      await temporary.database.query(
        `insert into ${name} (${columns.join(", ")}) values (${places})`,
        Object.values(row),
      );
    }
  }
}

const key = "project_id = $1 and name = 'KEY'";
const versionsOfKey = `secret_id = (select id from secrets where ${key})`;

describe("a row put back gives ERR_SECRET_TAMPERED", () => {
  test.each([
    ["the current version set back", `update secrets set current_version = 1 where ${key}`],
    [
      "the current version set back, with the newer one removed",
      `with gone as (delete from secret_versions where ${versionsOfKey} and version = 2)
       update secrets set current_version = 1 where ${key}`,
    ],
    ["an enabled one disabled", `update secrets set disabled_at = now() where ${key}`],
    ["its row removed", `delete from secrets where ${key}`],
    ["its version removed", `delete from secret_versions where ${versionsOfKey} and version = 2`],
    ["a renamed one", `update secrets set name = 'KEY2' where ${key}`],
  ])("%s", async (_, attack) => {
    await run(attack);
    await expectTampered();
    await expect(expose("OTHER")).resolves.toBe("the value of other");
  });

  test("a disabled one enabled", async () => {
    await disableSecret(vault, project.id, "KEY");
    await run(`update secrets set disabled_at = null where ${key}`);
    await expectTampered();
    // What it is to be is said anew.
    await disableSecret(vault, project.id, "KEY");
    await expect(expose()).rejects.toMatchObject({ code: "ERR_SECRET_DISABLED" });
  });

  test("a deleted one", async () => {
    const saved = await save("secrets", "secret_versions");
    await deleteSecret(vault, project.id, "KEY");
    await putBack(saved);
    await expectTampered();
  });

  test("a deleted one, after another of its name was made", async () => {
    const saved = await save("secrets", "secret_versions");
    await deleteSecret(vault, project.id, "KEY");
    await setSecret(vault, project.id, "KEY", "the third value");
    await setSecret(vault, project.id, "KEY", "the fourth value");
    await putBack(saved);
    await expectTampered();
  });

  test("all secrets of the project, without the manifest", async () => {
    const saved = await save("secrets", "secret_versions");
    await setSecret(vault, project.id, "KEY", "the third value");
    await putBack(saved);
    await expectTampered();
  });

  test("a version of the same number, from before somebody had set the secret back", async () => {
    const saved = await save("secrets", "secret_versions");
    await run(
      `with gone as (delete from secret_versions where ${versionsOfKey} and version = 2)
       update secrets set current_version = 1 where ${key}`,
    );
    await expect(setSecret(vault, project.id, "KEY", "the new second value", {})).resolves.toBe(2);
    await expect(expose()).resolves.toBe("the new second value");
    await putBack(saved);
    await expectTampered();
  });

  test("one that would take an alias's turn", async () => {
    await setSecret(vault, project.id, "chains_KEY", "the value of its own");
    await run(`delete from secrets where project_id = $1 and name = 'chains_KEY'`);
    await expectTampered("chains_KEY");
  });
});

describe("a manifest that is not the last one gives ERR_SECRET_TAMPERED for the whole project", () => {
  test.each([
    ["removed", "delete from secret_manifests where project_id = $1"],
    ["with another counter", "update secret_manifests set counter = counter + 1 where project_id = $1"],
    [
      "with a changed entry",
      "update secret_manifests set entries = overlay(entries placing 'X' from 12 for 1) where project_id = $1",
    ],
    ["with an entry cut off", "update secret_manifests set entries = '' where project_id = $1"],
    ["with a short code", "update secret_manifests set mac = substring(mac from 1 for 4) where project_id = $1"],
  ])("%s", async (_, attack) => {
    await run(attack);
    for (const name of ["KEY", "OTHER"]) await expectTampered(name);
    await expect(setSecret(vault, project.id, "KEY", "next", {})).rejects.toMatchObject({
      code: "ERR_SECRET_TAMPERED",
    });
    await expect(vault.manifestHead(project.id)).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
    // Only whoever has looked at the rows can make them true.
    await vault.rebuildManifest(project.id);
    await expect(expose()).resolves.toBe("the second value");
  });

  test("of another project", async () => {
    const other = await createProject(vault, organizationId, "Other");
    await setSecret(vault, other.id, "KEY", "the value of the other");
    await temporary.database.query(
      `update secret_manifests m set (counter, entries, mac) = (o.counter, o.entries, o.mac)
       from secret_manifests o where m.project_id = $1 and o.project_id = $2`,
      [project.id, other.id],
    );
    await expectTampered();
  });

  test("of an older state, for what was changed since", async () => {
    const saved = await save("secret_manifests");
    await setSecret(vault, project.id, "KEY", "the third value");
    await putBack(saved);
    await expectTampered();
  });
});

describe("a later write takes nothing over", () => {
  test("of another secret", async () => {
    await run(`update secrets set current_version = 1 where ${key}`);
    await setSecret(vault, project.id, "OTHER", "another value");
    await disableSecret(vault, project.id, "OTHER");
    await expectTampered();
  });

  test("of the same secret, unless it is given whole", async () => {
    await run(`update secrets set current_version = 1 where ${key}`);
    for (const work of [
      async () => await setSecret(vault, project.id, "KEY", "keeps the policy"),
      async () => await setSecretPolicy(vault, project.id, "KEY", { hosts: ["a.example.com"] }),
      async () => await disableSecret(vault, project.id, "KEY"),
      async () => await enableSecret(vault, project.id, "KEY"),
    ]) {
      await expect(work()).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
    }
    await expectTampered();
    await expect(setSecret(vault, project.id, "KEY", "the whole", {})).resolves.toBe(3);
    await expect(expose()).resolves.toBe("the whole");
  });

  test("does not enable what was disabled", async () => {
    await disableSecret(vault, project.id, "KEY");
    await run(`update secrets set disabled_at = null where ${key}`);
    await setSecret(vault, project.id, "KEY", "the whole", {});
    await expectTampered();
  });

  test("and a secret that was disabled stays so with a new version", async () => {
    await disableSecret(vault, project.id, "KEY");
    await setSecret(vault, project.id, "KEY", "the third value");
    await expect(expose()).rejects.toMatchObject({ code: "ERR_SECRET_DISABLED" });
  });
});

describe("manifestHead()", () => {
  test("begins with the project and counts each change by one", async () => {
    const fresh = await createProject(vault, organizationId, "Fresh");
    await expect(vault.manifestHead(fresh.id)).resolves.toMatchObject({ counter: 1n });
    const before = (await vault.manifestHead(project.id))!;
    await setSecret(vault, project.id, "KEY", "the third value");
    await setSecretPolicy(vault, project.id, "KEY", {});
    await disableSecret(vault, project.id, "KEY");
    await deleteSecret(vault, project.id, "KEY");
    const after = (await vault.manifestHead(project.id))!;
    expect(after.counter - before.counter).toBe(4n);
    expect(after.mac).not.toBe(before.mac);
  });

  test("is all that tells of a project put back whole", async () => {
    const saved = await save("secrets", "secret_versions", "secret_manifests");
    await setSecret(vault, project.id, "KEY", "the third value");
    const kept = (await vault.manifestHead(project.id))!;
    await putBack(saved);
    await expect(expose()).resolves.toBe("the second value");
    expect((await vault.manifestHead(project.id))!.counter).toBeLessThan(kept.counter);
  });

  test("of a rebuilt manifest is a later one", async () => {
    const before = (await vault.manifestHead(project.id))!;
    await rebuildManifest(temporary.database, master, project.id);
    expect((await vault.manifestHead(project.id))!.counter).toBe(before.counter + 1n);
  });

  test("has counted every one of many writes at once", async () => {
    const before = (await vault.manifestHead(project.id))!;
    const names = Array.from({ length: 20 }, (_, index) => `NAME_${index % 10}`);
    await Promise.all(names.map(async (name) => await setSecret(vault, project.id, name, `value of ${name}`, {})));
    await Promise.all([
      ...names.slice(0, 5).map(async (name) => await disableSecret(vault, project.id, name)),
      ...names.slice(5, 10).map(async (name) => await deleteSecret(vault, project.id, name)),
    ]);
    expect((await vault.manifestHead(project.id))!.counter).toBe(before.counter + 30n);
    for (const name of names.slice(0, 5)) {
      await expect(expose(name)).rejects.toMatchObject({ code: "ERR_SECRET_DISABLED" });
      await enableSecret(vault, project.id, name);
      await expect(expose(name)).resolves.toBe(`value of ${name}`);
    }
    for (const name of names.slice(5, 10)) {
      await expect(expose(name)).rejects.toMatchObject({ code: "ERR_SECRET_DELETED" });
    }
  });
});

test("resolving while others write sees each project of one moment", async () => {
  const writer = { done: false };
  const written = (async () => {
    for (let round = 0; round < 40; round += 1) {
      await setSecret(vault, project.id, "KEY", `value ${round}`);
      await disableSecret(vault, project.id, "OTHER");
      await enableSecret(vault, project.id, "OTHER");
    }
  })().finally(() => (writer.done = true));
  const seen = new Set<string>();
  while (!writer.done) {
    seen.add((await expose()).replace(/^value \d+$/, "a later value"));
    seen.add(await expose("OTHER").catch((error: unknown) => (error as { code: string }).code));
  }
  await written;
  seen.delete("the second value");
  expect([...seen].sort()).toEqual(["ERR_SECRET_DISABLED", "a later value", "the value of other"]);
});
