/**
 * The deployment's own keys. Goal: processes that start at once agree on one pepper, every platform key goes on working when
 * a pepper is added and when the root key is changed, also with kills in between; and a lost or moved row is an error and
 * never a new pepper. Real PostgreSQL, key files and processes; the service with keys is a local server that speaks Transit.
 */
import { spawn } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { once } from "node:events";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Database, openDatabase } from "../../../database/connection.ts";
import { createId } from "../../../protocol/ids.ts";
import { SealBrokenError } from "../../../vault/encryption/crypto.ts";
import { addPepper, forgetPeppers, openPeppers } from "../../../vault/platform-keys/deployment-keys.ts";
import type { Pepper } from "../../../vault/platform-keys/key-format.ts";
import { type MasterKey, openMasterKey } from "../../../vault/encryption/master-key.ts";
import { promoteRootKey, retireRootKey, rewrapKeys, stageRootKey } from "../../../vault/encryption/root-rotation.ts";
import { createOrganization } from "../../../vault/tenancy/tenancy.ts";
import { configFor, openTemporary, type Temporary } from "../../database/temporary.ts";
import type { SearchOptions } from "../../helpers/no-values.ts";
import { startTransit } from "../../helpers/transit.ts";

let temporary: Temporary;
let database: Database;
let search: SearchOptions | undefined;
const masters: MasterKey[] = [];

beforeEach(async () => {
  temporary = await openTemporary();
  ({ database } = temporary);
  search = undefined;
});
afterEach(async () => {
  for (const master of masters.splice(0)) master.close();
  await temporary.dispose(search);
});

async function openMaster(config = temporary.config): Promise<MasterKey> {
  const master = await openMasterKey(database, config);
  masters.push(master);
  return master;
}

const textOf = ({ version, key, earlier = [] }: Pepper): string[] =>
  [{ version, key }, ...earlier].map((one) => `${one.version} ${one.key.toString("hex")}`);
const opened = async (master: MasterKey): Promise<string[]> => textOf(await openPeppers(database, master));
const sql = async (text: string, ...values: unknown[]): Promise<Record<string, unknown>[]> =>
  (await database.query(text, values)).rows;
const giveNextKey = async (): Promise<void> =>
  await writeFile(join(temporary.config.dataDir, "master.key.next"), randomBytes(32).toString("base64"), {
    mode: 0o600,
  });
const tampered = (why: RegExp): object => ({ code: "ERR_SECRET_TAMPERED", message: expect.stringMatching(why) });

/** A platform key whose digest is of a version of the pepper. */
async function insertKey(version: number): Promise<void> {
  const { id: organizationId } = await createOrganization(database, "Acme");
  await sql(
    `insert into platform_keys (id, organization_id, all_projects, name, scopes, region, digest, pepper_version, hint,
       created_by_kind, created_by, created_at) values ($1, $2, true, 'CI', '{trigger}', 'eu', $3, $4, '', 'system', '', now())`,
    createId(),
    organizationId,
    randomBytes(32),
    version,
  );
}

describe("peppers", () => {
  test("are one, made at the first use, for all that start at once", async () => {
    const master = await openMaster();
    const other = await openDatabase(temporary.config);
    // Connections are made when they are needed: without all of them there is no race.
    const slowly = async (one: Database): Promise<unknown> => await one.query("select pg_sleep(0.2)");
    await Promise.all(Array.from({ length: 8 }, async (_, index) => await slowly(index % 2 === 0 ? database : other)));
    const all = await Promise.all(
      Array.from({ length: 12 }, async (_, index) =>
        textOf(await openPeppers(index % 2 === 0 ? database : other, master)),
      ),
    );
    expect(new Set(all.flat()).size).toBe(1);
    expect(all[0]?.[0]).toMatch(/^1 [0-9a-f]{64}$/);
    expect(await opened(await openMaster())).toEqual(all[0]);
    await other.close();
  });

  test("are in the database wrapped only", async () => {
    const { key } = await openPeppers(database, await openMaster());
    const [row] = await sql("select k::text as text, length(wrapped_key) as length from deployment_keys k");
    // format, nonce, key and tag
    expect(row?.["length"]).toBe(61);
    expect(row?.["text"]).not.toContain(key.toString("hex"));
  });

  test("that are added are for new keys, and the earlier ones stay good", async () => {
    const master = await openMaster();
    const first = await opened(master);
    const second = textOf(await addPepper(database, master));
    expect(second.slice(1)).toEqual(first);
    await Promise.all([addPepper(database, master), addPepper(database, master)]);
    const all = await opened(await openMaster());
    expect(all.map((text) => text.split(" ")[0])).toEqual(["4", "3", "2", "1"]);
    expect(all.slice(2)).toEqual(second);
    expect(new Set(all.map((text) => text.split(" ")[1])).size).toBe(4);
  });

  test("are zeroed by who forgets them", async () => {
    const pepper = await addPepper(database, await openMaster());
    forgetPeppers(pepper);
    expect(textOf(pepper)).toEqual([`2 ${"00".repeat(32)}`, `1 ${"00".repeat(32)}`]);
  });
});

describe("an attack on the rows", () => {
  test.each([
    [
      "two versions that changed places",
      `update deployment_keys d set wrapped_key = o.wrapped_key, id = d.id from deployment_keys o where o.version = 3 - d.version`,
    ],
    ["two versions with their ids exchanged", "update deployment_keys set version = 10 - version"],
    [
      "a flipped bit",
      "update deployment_keys set wrapped_key = set_bit(wrapped_key, 200, 1 - get_bit(wrapped_key, 200)) where version = 1",
    ],
    [
      "the key of an organization in its place",
      "update deployment_keys set wrapped_key = (select wrapped_key from organization_keys limit 1), id = (select id from organization_keys limit 1) where version = 1",
    ],
  ])("is an error: %s", async (_, attack) => {
    const master = await openMaster();
    await addPepper(database, master);
    const { id: organizationId } = await createOrganization(database, "Acme");
    const keyId = createId();
    const wrapped = await master.wrap(database, randomBytes(32), { organizationId, keyId });
    await sql(
      "insert into organization_keys values ($1, $2, $3, $4)",
      keyId,
      organizationId,
      wrapped.masterKeyId,
      wrapped.wrappedKey,
    );
    await sql(attack);
    await sql("update deployment_keys set version = version - 7 where version > 2").catch(() => {});
    await expect(opened(master)).rejects.toMatchObject(tampered(/pepper/));
    await expect(addPepper(database, master)).rejects.toMatchObject(tampered(/pepper/));
  });

  test("cannot pass off a pepper as an organization's key, or as one of another purpose or version", async () => {
    const master = await openMaster();
    await openPeppers(database, master);
    const [row] = await sql("select id, master_key_id, wrapped_key from deployment_keys");
    const { id, master_key_id, wrapped_key } = row as { id: string; master_key_id: string; wrapped_key: Buffer };
    const openAs = async (organizationId: string, keyId = id): Promise<Buffer> =>
      await master.unwrap(wrapped_key, { rootKeyId: master_key_id, organizationId, keyId });
    await expect(openAs("deployment pepper 1")).resolves.toHaveLength(32);
    for (const wrong of ["deployment pepper 2", "deployment other 1", createId()])
      await expect(openAs(wrong)).rejects.toThrow(SealBrokenError);
    await expect(openAs("deployment pepper 1", createId())).rejects.toThrow(SealBrokenError);
  });

  test.each([
    ["all are gone", 1, "delete from deployment_keys"],
    ["the latest is gone", 2, "delete from deployment_keys where version = 2"],
    ["the first is gone", 1, "delete from deployment_keys where version = 1"],
  ])("never gets a pepper in the place of one that keys were made with: %s", async (_, used, attack) => {
    const master = await openMaster();
    await addPepper(database, master);
    await insertKey(used);
    await opened(master);
    await sql(attack);
    await expect(opened(master)).rejects.toMatchObject(tampered(/keys may have been made with each/));
    await expect(addPepper(database, master)).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
  });
});

describe("changing the root key", () => {
  test("moves the peppers, and does not end while one is under the key before", async () => {
    const before = textOf(await addPepper(database, await openMaster()));
    await giveNextKey();
    const master = await openMaster();
    await stageRootKey(database, master);
    await promoteRootKey(database, master);
    expect(await opened(master)).toEqual(before);
    await expect(retireRootKey(database)).rejects.toMatchObject({
      code: "ERR_KEY_ROTATION",
      message: "Cannot retire the root key: 2 key(s) are still wrapped under it",
    });
    expect(await rewrapKeys(database, master, { batch: 1 })).toEqual({
      organizationKeys: 0,
      projectKeys: 0,
      deploymentKeys: 2,
    });
    await retireRootKey(database);
    expect(await opened(master)).toEqual(before);
    const { dataDir } = temporary.config;
    await rename(join(dataDir, "master.key.next"), join(dataDir, "master.key"));
    expect(await opened(await openMaster())).toEqual(before);
  });

  test("stops at a pepper that is not the one that was made", async () => {
    await openPeppers(database, await openMaster());
    await giveNextKey();
    const master = await openMaster();
    await stageRootKey(database, master);
    await promoteRootKey(database, master);
    await sql("update deployment_keys set wrapped_key = set_byte(wrapped_key, 20, get_byte(wrapped_key, 20) # 1)");
    await expect(rewrapKeys(database, master, { batch: 10 })).rejects.toMatchObject(tampered(/key of the deployment/));
    await expect(retireRootKey(database)).rejects.toMatchObject({ code: "ERR_KEY_ROTATION" });
  });

  test("killed at random and started again ends with the same peppers, which open all the while", async () => {
    const first = await openMaster();
    for (let version = 2; version <= 8; version += 1) forgetPeppers(await addPepper(database, first));
    const before = await opened(first);
    await giveNextKey();
    const script = fileURLToPath(import.meta.resolve("../encryption/rotate-keys.ts"));
    const rotate = async (killAfterMs?: number): Promise<void> => {
      const child = spawn(process.execPath, [script, temporary.config.dataDir], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const closed = once(child, "close");
      await Promise.race([once(child.stdout, "data"), closed]);
      if (killAfterMs !== undefined) {
        await delay(killAfterMs);
        child.kill("SIGKILL");
      }
      await closed;
    };
    for (let kill = 0; kill < 5; kill += 1) {
      await rotate(randomInt(0, 60));
      expect(await opened(await openMaster())).toEqual(before);
    }
    await rotate();
    expect(await sql("select state from master_keys")).toEqual([{ state: "active" }]);
    expect(await opened(await openMaster())).toEqual(before);
  });
});

test("with a root key in a service the peppers open there only, and go out wrapped in the service's own words", async () => {
  const transit = await startTransit();
  // The service with the root key is gone at the end.
  search = { unreadable: true };
  const { dataDir } = temporary.config;
  const tokenFile = join(dataDir, "token");
  await writeFile(tokenFile, transit.token);
  const config = configFor(dataDir, { STEPVAULT_KMS: transit.source, STEPVAULT_KMS_TOKEN_FILE: tokenFile });
  const before = textOf(await addPepper(database, await openMaster(config)));
  expect(await opened(await openMaster(config))).toEqual(before);
  const [row] = await sql("select convert_from(wrapped_key, 'utf8') as text from deployment_keys where version = 1");
  expect(row?.["text"]).toMatch(/^vault:v1:/);
  const cold = await openMaster(config);
  transit.state = "down";
  await expect(opened(cold)).rejects.toMatchObject({ code: "ERR_KMS_UNAVAILABLE" });
  transit.state = "up";
  await sql(
    "update deployment_keys d set wrapped_key = o.wrapped_key from deployment_keys o where o.version = 3 - d.version",
  );
  await expect(opened(await openMaster(config))).rejects.toMatchObject(tampered(/pepper/));
  await transit.close();
});
