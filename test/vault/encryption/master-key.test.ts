/**
 * Goal: a wrong, lost or badly kept master key is noticed at the start, never replaced in silence, and a fresh start
 * makes exactly one. Real PostgreSQL and real files; each test has its own database on the file's one server.
 */
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openVault } from "../../../vault/vault.ts";
import { configFor, openTemporary, type Temporary } from "../../database/temporary.ts";
import { createOrganization, createProject, resolveSecrets, setSecret } from "../../helpers/vault.ts";

const key = Buffer.alloc(32, 7).toString("base64");
const otherKey = Buffer.alloc(32, 8).toString("base64");
let temporary: Temporary;
let dataDir: string;

beforeAll(async () => {
  temporary = await openTemporary();
});

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "stepvault-test-"));
  await temporary.database.query("truncate organizations, master_keys cascade");
});

afterEach(async () => rm(dataDir, { recursive: true, force: true }));
// Each test loses, spoils or exchanges the key.
afterAll(async () => temporary.dispose({ unreadable: true }));

async function openWith(settings: Record<string, string> = {}): ReturnType<typeof openVault> {
  return await openVault(temporary.database, configFor(dataDir, settings));
}

describe("the key file", () => {
  test("is made once, for its owner only, and opens what it sealed", async () => {
    const vault = await openWith();
    const project = await createProject(vault, (await createOrganization(vault, "Acme")).id, "Support");
    await setSecret(vault, project.id, "KEY", "value");
    vault.close();
    const path = join(dataDir, "master.key");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(dataDir)).toEqual(["master.key"]);
    const again = await openWith();
    const [value] = await resolveSecrets(again, project.id, [{ name: "KEY" }]);
    expect(value?.expose()).toBe("value");
    // The same key by the settings is the same key.
    await openWith({ STEPVAULT_MASTER_KEY: (await readFile(path, "utf8")).trim() });
  });

  test("is one for all who start at once on an empty database", async () => {
    const vaults = await Promise.all(Array.from({ length: 4 }, async () => await openWith()));
    const project = await createProject(vaults[0]!, (await createOrganization(vaults[0]!, "Acme")).id, "Support");
    await setSecret(vaults[1]!, project.id, "KEY", "value");
    for (const vault of vaults) {
      const [value] = await resolveSecrets(vault, project.id, [{ name: "KEY" }]);
      expect(value?.expose()).toBe("value");
    }
    expect((await temporary.database.query("select 1 from master_keys")).rowCount).toBe(1);
  });

  test("that is lost is not replaced", async () => {
    await openWith();
    await rm(join(dataDir, "master.key"));
    await expect(openWith()).rejects.toMatchObject({
      code: "ERR_MASTER_KEY_INVALID",
      message: expect.stringMatching(/master\.key is missing$/),
    });
    expect(await readdir(dataDir)).toEqual([]);
  });

  test.each([0o640, 0o604, 0o620, 0o666])("with mode %o is refused", async (mode) => {
    await openWith();
    await chmod(join(dataDir, "master.key"), mode);
    await expect(openWith()).rejects.toMatchObject({
      code: "ERR_MASTER_KEY_INVALID",
      message: expect.stringContaining(`mode 0${mode.toString(8)}`),
    });
  });

  test.each([
    ["empty", ""],
    ["too short", Buffer.alloc(31, 7).toString("base64")],
    ["too long", Buffer.alloc(33, 7).toString("base64")],
    ["not base64", "hunter2 hunter2 hunter2 hunter2 hunter2 hunt"],
  ])("that is %s is refused and not repeated", async (_, content) => {
    await writeFile(join(dataDir, "master.key"), content, { mode: 0o600 });
    const failure: unknown = await openWith().catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "ERR_MASTER_KEY_INVALID", message: expect.stringContaining("32 bytes") });
    expect((failure as Error).message).not.toMatch(/hunter2|Bwc/);
  });

  test("that is not the database's is refused", async () => {
    await openWith({ STEPVAULT_MASTER_KEY: key });
    await writeFile(join(dataDir, "master.key"), otherKey, { mode: 0o600 });
    await expect(openWith()).rejects.toMatchObject({
      code: "ERR_MASTER_KEY_INVALID",
      message: "Cannot use the master key: it is not the one that this database was sealed with",
    });
  });
});

describe("the key from the settings", () => {
  test("needs no file", async () => {
    const vault = await openWith({ STEPVAULT_MASTER_KEY: key });
    vault.close();
    await openWith({ STEPVAULT_MASTER_KEY: key });
    expect(await readdir(dataDir)).toEqual([]);
  });

  test("that is wrong is noticed at the start, and the message has neither key", async () => {
    await openWith({ STEPVAULT_MASTER_KEY: key });
    const failure: unknown = await openWith({ STEPVAULT_MASTER_KEY: otherKey }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "ERR_MASTER_KEY_INVALID" });
    expect((failure as Error).message).not.toMatch(/Bwc|CAgI/);
  });

  test("opens nothing after the check value was exchanged in the database", async () => {
    await openWith({ STEPVAULT_MASTER_KEY: key });
    await temporary.database.query(
      "update master_keys set check_value = set_byte(check_value, 20, get_byte(check_value, 20) # 1)",
    );
    await expect(openWith({ STEPVAULT_MASTER_KEY: key })).rejects.toMatchObject({ code: "ERR_MASTER_KEY_INVALID" });
  });
});
