/**
 * Goal: the root key is changed without a value being touched and without a moment in which something does not open, also
 * when the process that does it is killed anywhere. Real PostgreSQL, key files and processes.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { once } from "node:events";
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import type { SearchOptions } from "../../helpers/no-values.ts";
import { createOrganization, createProject, resolveSecrets, setSecret } from "../../helpers/vault.ts";

let temporary: Temporary;
let dataDir: string;
let search: SearchOptions | undefined;
const vaults: Vault[] = [];
const projects: string[] = [];

beforeEach(async () => {
  temporary = await openTemporary();
  ({ dataDir } = temporary.config);
  search = undefined;
  const vault = await open();
  projects.length = 0;
  for (let index = 0; index < 12; index += 1) {
    const organization = await createOrganization(vault, "Acme");
    const project = await createProject(vault, organization.id, "Support");
    await setSecret(vault, project.id, "KEY", `the value of ${project.id}`);
    projects.push(project.id);
  }
});

afterEach(async () => {
  for (const vault of vaults.splice(0)) vault.close();
  await temporary.dispose(search);
});

/** The vault with the key files that are there now. */
async function open(): Promise<Vault> {
  const vault = await openVault(temporary.database, temporary.config);
  vaults.push(vault);
  return vault;
}

async function giveNextKey(): Promise<void> {
  await writeFile(join(dataDir, "master.key.next"), randomBytes(32).toString("base64"), { mode: 0o600 });
}

/** What an operator does at the end. */
async function keepNextKeyOnly(): Promise<void> {
  await rename(join(dataDir, "master.key.next"), join(dataDir, "master.key"));
}

async function expectAllReadable(vault: Vault): Promise<void> {
  for (const project of projects) {
    const [value] = await resolveSecrets(vault, project, [{ name: "KEY" }]);
    expect(value!.expose()).toBe(`the value of ${project}`);
  }
}

async function rowsOf(table: string): Promise<unknown[]> {
  return (await temporary.database.query(`select * from ${table} order by 1`)).rows;
}

async function statesOfKeys(): Promise<string[]> {
  const { rows } = await temporary.database.query<{ state: string }>("select state from master_keys order by state");
  return rows.map(({ state }) => state);
}

describe("a rotation in stages", () => {
  test("leaves everything readable after each and touches no keys but organizations' and the deployment's own", async () => {
    const before = [await rowsOf("secret_versions"), await rowsOf("data_keys"), await rowsOf("secret_manifests")];
    await giveNextKey();
    const vault = await open();
    const states: string[][] = [];
    for (const step of [
      async () => await vault.stageRootKey(),
      async () => await vault.promoteRootKey(),
      async () =>
        expect(await vault.rewrapKeys({ batch: 5 })).toEqual({
          organizationKeys: 12,
          projectKeys: 0,
          deploymentKeys: 1,
        }),
      async () =>
        expect(await vault.rewrapKeys({ batch: 5 })).toEqual({
          organizationKeys: 0,
          projectKeys: 0,
          deploymentKeys: 0,
        }),
      async () => await vault.retireRootKey(),
    ]) {
      await step();
      states.push(await statesOfKeys());
      await expectAllReadable(vault);
      await expectAllReadable(await open());
    }
    expect(states).toEqual([
      ["active", "staged"],
      ["active", "retained"],
      ["active", "retained"],
      ["active", "retained"],
      ["active"],
    ]);
    expect([await rowsOf("secret_versions"), await rowsOf("data_keys"), await rowsOf("secret_manifests")]).toEqual(
      before,
    );
    await keepNextKeyOnly();
    await expectAllReadable(await open());
  });

  test("refuses each step out of its turn", async () => {
    const early = await open();
    const refused = { code: "ERR_KEY_ROTATION" };
    await expect(early.stageRootKey()).rejects.toMatchObject({
      ...refused,
      message: expect.stringContaining("no next"),
    });
    await expect(early.promoteRootKey()).rejects.toMatchObject(refused);
    await expect(early.retireRootKey()).rejects.toMatchObject(refused);
    await giveNextKey();
    const vault = await open();
    await expect(vault.stageRootKey()).resolves.toBe(await vault.stageRootKey());
    await expect(vault.retireRootKey()).rejects.toMatchObject(refused);
    await expect(early.promoteRootKey()).rejects.toMatchObject(refused);
    await vault.promoteRootKey();
    await expect(vault.promoteRootKey()).rejects.toMatchObject(refused);
    await expect(vault.stageRootKey()).rejects.toMatchObject(refused);
    await expect(vault.retireRootKey()).rejects.toMatchObject({
      ...refused,
      message: "Cannot retire the root key: 13 key(s) are still wrapped under it",
    });
  });

  test("replaces a key that was staged and not promoted by another one", async () => {
    await giveNextKey();
    await (await open()).stageRootKey();
    await giveNextKey();
    const vault = await open();
    await vault.stageRootKey();
    await expect(statesOfKeys()).resolves.toEqual(["active", "staged"]);
    await vault.promoteRootKey();
    await expectAllReadable(vault);
  });

  test("is noticed at the start when the key before is gone too early", async () => {
    await giveNextKey();
    const vault = await open();
    await vault.stageRootKey();
    await vault.promoteRootKey();
    await keepNextKeyOnly();
    // The key before is gone, which is what this is about.
    search = { unreadable: true };
    await expect(open()).rejects.toMatchObject({
      code: "ERR_MASTER_KEY_INVALID",
      message: expect.stringContaining("13 key(s) are still wrapped under the one before it"),
    });
  });

  test("does not go unnoticed by a process that was not given the next key", async () => {
    const without = await open();
    await giveNextKey();
    const vault = await open();
    await vault.stageRootKey();
    await vault.promoteRootKey();
    await expectAllReadable(without);
    await vault.rewrapKeys({ batch: 100 });
    await expect(resolveSecrets(without, projects[0]!, [{ name: "KEY" }])).rejects.toMatchObject({
      code: "ERR_MASTER_KEY_INVALID",
    });
  });

  test("goes on with a lost next key until it is promoted", async () => {
    await giveNextKey();
    await (await open()).stageRootKey();
    await rm(join(dataDir, "master.key.next"));
    await expectAllReadable(await open());
  });
});

/** A rotation in a process of its own, before its first step. */
async function startRotation(): Promise<{ child: ChildProcess; done: Promise<boolean> }> {
  const script = fileURLToPath(import.meta.resolve("./rotate-keys.ts"));
  const child = spawn(process.execPath, [script, dataDir], { stdio: ["ignore", "pipe", "inherit"] });
  const lines: string[] = [];
  const reader = createInterface(child.stdout).on("line", (line) => lines.push(line));
  const done = once(child, "close").then(() => lines.includes("done"));
  await Promise.race([once(reader, "line"), done]);
  return { child, done };
}

test("a rotation killed at random and started again ends, and nobody who resolves or writes meanwhile notices", async () => {
  let kills = 0;
  for (let round = 0; round < 3; round += 1) {
    await giveNextKey();
    const vault = await open();
    const state = { done: false };
    const work = Promise.all([
      (async () => {
        while (!state.done) await expectAllReadable(vault);
      })(),
      (async () => {
        while (!state.done) {
          // New organizations' keys, some of them under the key that is about to go.
          const organization = await createOrganization(vault, "Later");
          const project = await createProject(vault, organization.id, "Later");
          await setSecret(vault, project.id, "KEY", `the value of ${project.id}`);
          projects.push(project.id);
          // Each is read again and again: many more would make this a test of patience.
          await delay(200);
        }
      })(),
    ]);
    for (;;) {
      const { child, done } = await startRotation();
      const killed = kills < (round + 1) * 4;
      if (killed) {
        await delay(randomInt(0, 60));
        child.kill("SIGKILL");
        kills += 1;
      }
      await done;
      await expectAllReadable(await open());
      if (killed) continue;
      // A new organization may have got its key under the old one just before it was promoted.
      await vault.rewrapKeys({ batch: 3 });
      break;
    }
    state.done = true;
    await work;
    // The last process has done it, unless such a key was in its way.
    await vault.retireRootKey().catch(() => {});
    await expect(statesOfKeys()).resolves.toEqual(["active"]);
    await keepNextKeyOnly();
    await expectAllReadable(await open());
  }
  expect(kills).toBe(12);
}, 180_000);
