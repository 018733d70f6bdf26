/**
 * Goal: the search that ends every test with a database finds what it is there for, wherever it lies and however it is
 * written, names the place and not the value, and finds nothing else. Method: one value is planted after another.
 */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import { withKey } from "../../vault/encryption/crypto.ts";
import { findOrganizationKey, unwrapOrganizationKey } from "../../vault/encryption/organization-keys.ts";
import { generateKey } from "../../vault/platform-keys/key-format.ts";
import { openMasterKey } from "../../vault/encryption/master-key.ts";
import { openVault, type Vault } from "../../vault/vault.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";
import { ByteSearch, needlesOfText, piecesOf } from "./byte-search.ts";
import { expectNoValues, searchForValues } from "./no-values.ts";
import { openTestService } from "./service.ts";
import { createOrganization, createProject, setSecret } from "./vault.ts";

const canary = "c4n+ry/Wk27Xq=Pz \"9ü'& 🔑 Lm3";
const earlier = "e4rlier-Rt6Yh2Vb8Nm";
const shared = "sh4red-Gf7Dj3Sk9Wq";
const inCredential = "sk-cr3dential-Hn5Bv1Cx4Zl";
const ofOrganization = "sk-0rganization-Jm4Tc7Qs2Yx";

let temporary: Temporary;
let vault: Vault;
let organizationId: string;
let projectId: string;

beforeAll(async () => {
  temporary = await openTemporary();
  const { database, config } = temporary;
  vault = await openVault(database, config);
  organizationId = (await createOrganization(vault, "Acme")).id;
  projectId = (await createProject(vault, organizationId, "Support")).id;
  await setSecret(vault, projectId, "KEY", earlier);
  await setSecret(vault, projectId, "KEY", canary);
  await vault.secrets.set({ place: { organizationId }, name: "SHARED", value: shared });
  const fields = { api_key: inCredential };
  await vault.credentials.set({ place: { projectId }, integration: "openai", fields });
  await vault.credentials.set({
    place: { organizationId },
    integration: "anthropic",
    fields: { api_key: ofOrganization },
  });
});

afterAll(async () => {
  vault.close();
  await temporary.dispose();
});

/** What a search says while `text` stands in an organization's name. */
async function messageWith(text: string): Promise<string> {
  const id = createId();
  await temporary.database.query("insert into organizations (id, name) values ($1, $2)", [id, text.slice(0, 200)]);
  try {
    return await messageOf();
  } finally {
    await temporary.database.query("delete from organizations where id = $1", [id]);
  }
}

async function messageOf(): Promise<string> {
  return await expectNoValues(temporary.database, temporary.config).then(
    () => "nothing",
    (error: unknown) => (error as Error).message,
  );
}

test("a vault that is used as it should be holds nothing, and all of it was searched for", async () => {
  const searched = await searchForValues(temporary.database, temporary.config);
  expect(searched).toMatchObject({ found: [], values: 5, unopened: 0 });
  // Root, organization, project and the shared one; some columns of each table.
  expect(searched.keys).toBeGreaterThanOrEqual(4);
  expect(searched.places).toBeGreaterThan(100);
});

describe("a value is found", () => {
  test.each([
    ["the current version of a project's secret", canary, "version 2 of the secret KEY of a project"],
    ["an earlier version", earlier, "version 1 of the secret KEY of a project"],
    ["an organization's own secret", shared, "version 1 of the secret SHARED of an organization"],
    ["a credential's field", inCredential, "of the credential of openai"],
    ["a field of an organization's credential", ofOrganization, "of the credential of anthropic"],
  ])("when it is %s", async (_, value, label) => {
    const message = await messageWith(`left: ${value}.`);
    expect(message).toContain(`${label} in stepvault.organizations.name`);
    expect(message).not.toContain(value);
  });

  test.each<[string, (value: string) => string]>([
    ["as JSON", (value) => JSON.stringify({ value })],
    ["as JSON in JSON", (value) => JSON.stringify(JSON.stringify([value]))],
    [
      "with what is not ASCII escaped",
      (value) => JSON.stringify(value).replaceAll("ü", "\\u00fc").replaceAll("🔑", "\\ud83d\\udd11"),
    ],
    ["in a URL", (value) => `https://host.test/?key=${encodeURIComponent(value)}`],
    ["in a form", (value) => new URLSearchParams({ value }).toString()],
    ["in base64", (value) => Buffer.from(value).toString("base64")],
    ["in base64 after one byte", (value) => Buffer.from(`:${value}:`).toString("base64")],
    ["in base64 after two bytes", (value) => Buffer.from(`::${value}:`).toString("base64")],
    ["in base64 for URLs", (value) => Buffer.from(value).toString("base64url")],
    ["as JSON in base64", (value) => Buffer.from(JSON.stringify({ a: value })).toString("base64")],
    ["in hex", (value) => Buffer.from(value).toString("hex")],
    ["in large hex", (value) => Buffer.from(value).toString("hex").toUpperCase()],
    ["without the blanks around it", (value) => value.trim()],
  ])("written %s", async (_, write) => {
    for (const text of [canary, earlier]) expect(await messageWith(write(text))).toContain("secret KEY");
  });

  test.each([
    ["text", "text", canary],
    ["json", "json", JSON.stringify({ a: [canary] })],
    ["jsonb", "jsonb", JSON.stringify({ [canary]: 1 })],
    ["bytea", "bytea", Buffer.from(`\0\u0001${canary}`)],
    ["list", "text[]", ["other", canary]],
    ["list of bytes", "bytea[]", [Buffer.from(canary)]],
  ])("in a column of %s, of any schema", async (name, type, value) => {
    const { database } = temporary;
    await database.query("create schema if not exists planted");
    await database.query(`create table planted."In ${name}" ("A column" ${type})`);
    await database.query(`insert into planted."In ${name}" values ($1)`, [value]);
    try {
      expect(await messageOf()).toContain(`secret KEY of a project in planted."In ${name}".A column`);
    } finally {
      await database.query("drop schema planted cascade");
    }
  });

  for (const backend of ["PostgreSQL", "Redis"] as const) {
    test(`in a job of the queue on ${backend}, and in the log, when a service is closed`, async () => {
      const settings = backend === "Redis" ? { STEPVAULT_REDIS_URL: inject("redisUrl") } : {};
      const stepvault = await openTestService({ ...settings, STEPVAULT_REGION: "au" }, { worker: false });
      const { service, projectId } = stepvault;
      await setSecret(service.vault, projectId, "KEY", canary);
      const jobId = createId();
      const step = { language: "javascript", code: "return 1" };
      await service.queue.addRaw(jobId, { projectId, step, params: { pasted: `${canary}\0` } });
      service.log.logger.info(`told the log ${canary}`);
      try {
        const message = await stepvault.close().catch((error: unknown) => (error as Error).message);
        expect(message).toMatch(
          backend === "Redis" ? /secret KEY of a project in Redis, hash/ : /in bullmq\.\w+\.data/,
        );
        expect(message).toContain("secret KEY of a project in the service's log");
      } finally {
        if (backend === "Redis") await removeJob(jobId);
      }
    });

    test(`in a run that was submitted and waits, and not in its job on ${backend}`, async () => {
      const settings = backend === "Redis" ? { STEPVAULT_REDIS_URL: inject("redisUrl") } : {};
      const stepvault = await openTestService({ ...settings, STEPVAULT_REGION: "au" }, { worker: false });
      const { service, projectId } = stepvault;
      await setSecret(service.vault, projectId, "KEY", canary);
      const step = { language: "javascript", code: "return 1" } as const;
      const runId = await service.submit({ projectId, step, params: { pasted: canary } });
      try {
        const message = await stepvault.close().catch((error: unknown) => (error as Error).message);
        expect(message).toMatch(/in stepvault\.runs\.job/);
        expect(message).not.toMatch(/in Redis|in bullmq/);
      } finally {
        if (backend === "Redis") await removeJob(runId);
      }
    });
  }
});

describe("a key is found", () => {
  test.each(["sk", "sk-org", "ek"])("when it is a platform key that begins with %s-", async (prefix) => {
    const kind = { sk: "project", "sk-org": "organization", ek: "embed" }[prefix] as
      | "project"
      | "organization"
      | "embed";
    const key = generateKey(kind, "eu");
    expect(await messageWith(`called with ${key}!`)).toContain("a platform key in stepvault.organizations.name");
    expect(await messageWith(JSON.stringify({ key }))).not.toContain(key);
    // No more than a hint of one may be shown.
    expect(await messageWith(`called with ${key.slice(0, -4)}`)).toBe("nothing");
  });

  test("when it is the root key, as bytes or as its file has it", async () => {
    const text = (await readFile(join(temporary.config.dataDir, "master.key"), "utf8")).trim();
    const hex = Buffer.from(text, "base64").toString("hex");
    for (const found of [text, hex]) expect(await messageWith(found)).toContain("the root key in");
  });

  test("when it is an organization's or a project's", async () => {
    const { database, config } = temporary;
    const master = await openMasterKey(database, config);
    const wrapped = await findOrganizationKey(database, organizationId);
    const text = withKey(await unwrapOrganizationKey(master, organizationId, wrapped!), (key) =>
      key.toString("base64"),
    );
    master.close();
    expect(await messageWith(text)).toContain(`the key of the organization ${organizationId} in`);
  });
});

describe("the search at the end", () => {
  test("fails the disposing of a database, which is gone all the same", async () => {
    const other = await openTemporary();
    const own = await openVault(other.database, other.config);
    const { id } = await createOrganization(own, canary);
    await setSecret(own, (await createProject(own, id, "Support")).id, "KEY", canary);
    own.close();
    await expect(other.dispose()).rejects.toThrow("secret KEY of a project in stepvault.organizations.name");
    expect(existsSync(other.config.dataDir)).toBe(false);
  });

  test("opens a database again that was closed", async () => {
    const other = await openTemporary();
    const own = await openVault(other.database, other.config);
    const { id } = await createOrganization(own, canary);
    await setSecret(own, (await createProject(own, id, "Support")).id, "KEY", canary);
    own.close();
    await other.database.close();
    await expect(other.dispose()).rejects.toThrow("stepvault.organizations.name");
  });

  test("passes over what a test exempts, and over nothing else", async () => {
    const { database, config } = temporary;
    const key = generateKey("project", "us");
    const texts = { "a page": `${canary} and ${key}` };
    const { found } = await searchForValues(database, config, { texts });
    expect(found).toEqual(["version 2 of the secret KEY of a project in a page", "a platform key in a page"]);
    await expectNoValues(database, config, { texts, ignore: [canary, key] });
    await expect(expectNoValues(database, config, { texts, ignore: [canary] })).rejects.toThrow("a platform key");
    await expect(expectNoValues(database, config, { texts, ignore: [key, "c4n"] })).rejects.toThrow("secret KEY");
  });

  test("fails for a lost root key unless the test says that it is lost, and then still finds keys", async () => {
    const { database, config } = temporary;
    const lost = { masterKey: randomBytes(32).toString("base64") };
    await expect(expectNoValues(database, config, { keys: lost })).rejects.toMatchObject({
      code: "ERR_MASTER_KEY_INVALID",
    });
    const texts = { "a page": generateKey("embed", "au") };
    await expectNoValues(database, config, { keys: lost, unreadable: true });
    await expect(expectNoValues(database, config, { keys: lost, unreadable: true, texts })).rejects.toThrow(
      "a platform key",
    );
  });

  test("counts what was tampered with and searches for the rest", async () => {
    const { database, config } = temporary;
    // Done twice, it is as it was.
    const flip =
      "update secret_versions set ciphertext = set_byte(ciphertext, 20, get_byte(ciphertext, 20) # 1) where version = 2";
    await database.query(flip);
    const texts = { "a page": `${canary} ${shared}` };
    const searched = await searchForValues(database, config, { texts });
    await database.query(flip);
    expect(searched).toMatchObject({ unopened: 1, values: 4 });
    expect(searched.found).toEqual(["version 1 of the secret SHARED of an organization in a page"]);
  });
});

test("the byte search finds what a plain search finds", () => {
  const letters = (count: number): Buffer => Buffer.from(randomBytes(count).map((byte) => 97 + (byte % 3)));
  let hits = 0;
  for (let round = 0; round < 200; round++) {
    const content = letters(400);
    const needles = Array.from({ length: 40 }, (_, index) => ({
      bytes: letters(4 + (index % 5)),
      label: String(index),
    }));
    const plain = needles.filter(({ bytes }) => content.includes(bytes)).map(({ label }) => label);
    expect(new ByteSearch(needles).find(content).sort()).toEqual(plain.sort());
    hits += plain.length;
  }
  expect(hits).toBeGreaterThan(100);
});

test("pieces find a value that a compressed page has only parts of", () => {
  const content = Buffer.from(`a page's\u0001bytes ${earlier.slice(2, 11)}\u0000${earlier.slice(14)} and on`);
  expect(new ByteSearch(needlesOfText(earlier, "whole")).find(content)).toEqual([]);
  expect(new ByteSearch(piecesOf(earlier, "a piece")).find(content)).toEqual(["a piece"]);
});

async function removeJob(runId: string): Promise<void> {
  const redis = new Redis(inject("redisUrl"));
  const keys = await redis.keys("bull:stepvault-au:*");
  await redis.del(...keys.filter((key) => key.endsWith(runId)));
  redis.disconnect();
}
