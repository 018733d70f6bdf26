/**
 * Goal: with a root key in a key management service, nothing opens without the service, a service that is away ends in time
 * and stops only what was not used lately, and neither token nor key shows. The service is a local server that speaks
 * Transit as documented, over real connections; the database is real.
 */
import { randomBytes } from "node:crypto";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import { SealBrokenError } from "../../vault/crypto.ts";
import { TransitKms } from "../../vault/kms-transit.ts";
import { KmsRootKey } from "../../vault/kms.ts";
import { openVault, type Vault } from "../../vault/vault.ts";
import { configFor, openTemporary, type Temporary } from "../database/temporary.ts";
import { startTransit, type TransitServer } from "../helpers/transit.ts";

let temporary: Temporary;
let transit: TransitServer;
let tokenFile: string;
const vaults: Vault[] = [];

beforeEach(async () => {
  [temporary, transit] = await Promise.all([openTemporary(), startTransit()]);
  tokenFile = join(temporary.config.dataDir, "token");
  await writeFile(tokenFile, `${transit.token}\n`);
});

afterEach(async () => {
  for (const vault of vaults.splice(0)) vault.close();
  await transit.close();
  await temporary.dispose();
});

async function open(settings: Record<string, string> = {}): Promise<Vault> {
  const kms = { STEPVAULT_KMS: transit.source, STEPVAULT_KMS_TOKEN_FILE: tokenFile };
  const vault = await openVault(temporary.database, configFor(temporary.config.dataDir, { ...kms, ...settings }));
  vaults.push(vault);
  return vault;
}

async function addProject(vault: Vault): Promise<string> {
  const project = await vault.createProject((await vault.createOrganization("Acme")).id, "Support");
  await vault.setSecret(project.id, "KEY", "a value in a service");
  return project.id;
}

async function expose(vault: Vault, project: string): Promise<string> {
  const [secret] = await vault.resolveSecrets(project, [{ name: "KEY" }]);
  return secret!.expose();
}

const context = { rootKeyId: createId(), organizationId: createId(), keyId: createId() };
const adapter = (timeoutMs = 1_000): TransitKms => new TransitKms({ source: transit.source, tokenFile, timeoutMs });

describe("a vault whose root key is in a service", () => {
  test("needs no key file, and opens what another process wrote", async () => {
    const project = await addProject(await open());
    expect(await readdir(temporary.config.dataDir)).not.toContain("master.key");
    await expect(expose(await open(), project)).resolves.toBe("a value in a service");
  });

  test("sends the service ids and keys and no value, and the token in no URL or body", async () => {
    await addProject(await open());
    const seen = transit.seen.join("\n");
    expect(seen).toContain("/v1/transit/encrypt/stepvault");
    for (const text of [transit.token, "a value", Buffer.from("a value").toString("base64").slice(0, 8), "Acme"]) {
      expect(seen).not.toContain(text);
    }
  });

  test("asks for each organization's key once in a while and not for every run", async () => {
    const project = await addProject(await open());
    const vault = await open();
    transit.calls.length = 0;
    for (let run = 0; run < 5; run += 1) await expose(vault, project);
    expect(transit.calls).toEqual(["decrypt"]);
  });

  test("goes on with what it used lately while the service is away, and says what it cannot", async () => {
    const vault = await open();
    const [used, unused] = [await addProject(vault), await addProject(await open())];
    await expose(vault, used);
    transit.state = "sealed";
    await expect(expose(vault, used)).resolves.toBe("a value in a service");
    await expect(vault.setSecret(used, "KEY", "another")).resolves.toBe(2);
    await expect(expose(vault, unused)).rejects.toMatchObject({ code: "ERR_KMS_UNAVAILABLE", fault: "system" });
    await expect(open()).rejects.toMatchObject({ code: "ERR_KMS_UNAVAILABLE" });
    transit.state = "up";
    await expect(expose(vault, unused)).resolves.toBe("a value in a service");
  });

  test("is not opened with another key of the same name", async () => {
    await addProject(await open());
    const other = await startTransit();
    await transit.close();
    transit = other;
    await writeFile(tokenFile, transit.token);
    await expect(open()).rejects.toMatchObject({ code: "ERR_MASTER_KEY_INVALID" });
  });

  test("refuses an organization's key that was changed in the database", async () => {
    const vault = await open();
    const project = await addProject(vault);
    await expose(vault, project);
    await temporary.database.query(
      "update organization_keys set wrapped_key = set_byte(wrapped_key, 20, get_byte(wrapped_key, 20) # 1)",
    );
    await expect(expose(vault, project)).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
  });

  test("is reached from a key file, and left again, by a rotation", async () => {
    const { dataDir } = temporary.config;
    const local = await openVault(temporary.database, configFor(dataDir));
    vaults.push(local);
    const project = await addProject(local);
    const rotate = async (vault: Vault): Promise<void> => {
      await vault.stageRootKey();
      await vault.promoteRootKey();
      await vault.rewrapKeys({ batch: 10 });
      await vault.retireRootKey();
      await expect(expose(vault, project)).resolves.toBe("a value in a service");
    };
    await rotate(await open());
    transit.calls.length = 0;
    await expect(expose(await open(), project)).resolves.toBe("a value in a service");
    expect(transit.calls).toContain("decrypt");
    const next = randomBytes(32).toString("base64");
    await rotate(await open({ STEPVAULT_MASTER_KEY_NEXT: next }));
    const back = await openVault(temporary.database, configFor(dataDir, { STEPVAULT_MASTER_KEY: next }));
    vaults.push(back);
    await expect(expose(back, project)).resolves.toBe("a value in a service");
  });
});

describe("the adapter for Transit", () => {
  test("gives back what it wrapped, to the same context only, also after the key was rotated there", async () => {
    const key = randomBytes(32);
    const blob = await adapter().wrap(key, context);
    expect(blob.toString()).toMatch(/^vault:v1:/);
    transit.rotate();
    await expect(adapter().unwrap(blob, context)).resolves.toEqual(key);
    expect((await adapter().wrap(key, context)).toString()).toMatch(/^vault:v2:/);
    for (const part of ["rootKeyId", "organizationId", "keyId"] as const) {
      await expect(adapter().unwrap(blob, { ...context, [part]: createId() })).rejects.toThrow(SealBrokenError);
    }
    transit.minDecryptionVersion = 2;
    await expect(adapter().unwrap(blob, context)).rejects.toThrow(SealBrokenError);
    await expect(adapter().unwrap(Buffer.from("nothing"), context)).rejects.toThrow(SealBrokenError);
  });

  test("is told healthy only by a service that has the key", async () => {
    await expect(new KmsRootKey(adapter()).health()).resolves.toBeUndefined();
    const other = new TransitKms({ source: `${transit.source}2`, tokenFile });
    await expect(other.health()).rejects.toMatchObject({ message: expect.stringContaining("answers 404") });
    transit.state = "sealed";
    await expect(adapter().health()).rejects.toMatchObject({ message: expect.stringContaining("answers 503") });
  });

  test("ends in time when nobody answers, and repeats neither token nor key", async () => {
    transit.state = "silent";
    const start = performance.now();
    const failure: unknown = await adapter(200)
      .wrap(randomBytes(32), context)
      .catch((error: unknown) => error);
    expect(performance.now() - start).toBeLessThan(2_000);
    expect(failure).toMatchObject({
      code: "ERR_KMS_UNAVAILABLE",
      message: expect.stringMatching(/no answer in 200 ms$/),
    });
    expect(String(failure)).not.toContain(transit.token);
  });

  test.each([
    ["the port is closed", async () => await transit.close(), /ECONNREFUSED/],
    ["the token is another", async () => await writeFile(tokenFile, "hvs.other"), /answers 403/],
    ["the token is gone", async () => await writeFile(tokenFile, "").then(() => void (tokenFile += ".none")), /ENOENT/],
  ])("says why when %s", async (_, before, why) => {
    await before();
    const failure: unknown = await adapter()
      .wrap(randomBytes(32), context)
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "ERR_KMS_UNAVAILABLE", message: expect.stringMatching(why) });
  });

  test("reads a token that was renewed", async () => {
    const kms = adapter();
    await writeFile(tokenFile, "hvs.expired");
    await expect(kms.wrap(randomBytes(32), context)).rejects.toMatchObject({ code: "ERR_KMS_UNAVAILABLE" });
    await writeFile(tokenFile, transit.token);
    await expect(kms.wrap(randomBytes(32), context)).resolves.toBeInstanceOf(Buffer);
  });
});

describe("unwrapped keys in memory", () => {
  /** An adapter that keeps what it gave out, to look at it afterwards. */
  async function observed(bounds: { keysMax: number; ageMsMax: number }) {
    const given: Buffer[] = [];
    const inner = adapter();
    const root = new KmsRootKey(
      {
        source: inner.source,
        health: async () => await inner.health(),
        wrap: async (key, where) => await inner.wrap(key, where),
        unwrap: async (blob, where) => {
          const key = await inner.unwrap(blob, where);
          given.push(key);
          return key;
        },
      },
      bounds,
    );
    const blobs = await Promise.all([1, 2, 3].map(async (fill) => await inner.wrap(Buffer.alloc(32, fill), context)));
    return { root, given, blobs };
  }

  const zeroed = Buffer.alloc(32);

  test("are zeroed when their time is over, and asked for again", async () => {
    const { root, given, blobs } = await observed({ keysMax: 10, ageMsMax: 100 });
    await expect(root.unwrap(blobs[0]!, context)).resolves.toEqual(Buffer.alloc(32, 1));
    await expect(root.unwrap(blobs[0]!, context)).resolves.toEqual(Buffer.alloc(32, 1));
    expect(given).toEqual([Buffer.alloc(32, 1)]);
    await delay(200);
    expect(given).toEqual([zeroed]);
    await expect(root.unwrap(blobs[0]!, context)).resolves.toEqual(Buffer.alloc(32, 1));
    expect(given).toHaveLength(2);
    root.close();
  });

  test("are no more than allowed: the oldest is zeroed, and all are at the end", async () => {
    const { root, given, blobs } = await observed({ keysMax: 2, ageMsMax: 60_000 });
    for (const blob of blobs) (await root.unwrap(blob, context)).fill(0);
    expect(given).toEqual([zeroed, Buffer.alloc(32, 2), Buffer.alloc(32, 3)]);
    root.close();
    expect(given).toEqual([zeroed, zeroed, zeroed]);
  });
});
