/**
 * Goal: with a root key in a key management service, nothing opens without the service, a service that is away ends in time
 * and stops only what was not used lately, and a root key moves from any to any. Each service is a local server that speaks
 * as documented, over real connections; the database is real.
 */
import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Config } from "../../../protocol/config.ts";
import { createId } from "../../../protocol/ids.ts";
import { KmsRootKey } from "../../../vault/encryption/kms.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { configFor, openTemporary, type Temporary } from "../../database/temporary.ts";
import { type KmsService, kmsServiceNames, kmsServices } from "../../helpers/kms-services.ts";
import { createOrganization, createProject, resolveSecrets, setSecret } from "../../helpers/vault.ts";

let temporary: Temporary;
let service: KmsService;
/** What the database was opened with last. */
let keys: Config | undefined;
const vaults: Vault[] = [];
const services: KmsService[] = [];

beforeEach(async () => {
  temporary = await openTemporary();
  keys = undefined;
});

afterEach(async () => {
  for (const vault of vaults.splice(0)) vault.close();
  await temporary.dispose(keys && { keys });
  for (const { server } of services.splice(0)) await server.close();
  vi.unstubAllEnvs();
});

async function start(name: (typeof kmsServiceNames)[number]): Promise<KmsService> {
  const started = await kmsServices[name](temporary.config.dataDir);
  services.push(started);
  return started;
}

async function openWith(settings: Record<string, string> = {}): Promise<Vault> {
  const config = configFor(temporary.config.dataDir, settings);
  const vault = await openVault(temporary.database, config);
  keys = config;
  vaults.push(vault);
  return vault;
}

async function open(settings: Record<string, string> = {}): Promise<Vault> {
  return await openWith({ ...service.settings, ...settings });
}

async function addProject(vault: Vault): Promise<string> {
  const project = await createProject(vault, (await createOrganization(vault, "Acme")).id, "Support");
  await setSecret(vault, project.id, "KEY", "a value in a service");
  return project.id;
}

async function expose(vault: Vault, project: string): Promise<string> {
  const [secret] = await resolveSecrets(vault, project, [{ name: "KEY" }]);
  return secret!.expose();
}

/** All the steps of a rotation to the next key that the vault was given. */
async function rotate(vault: Vault, project: string): Promise<void> {
  await vault.stageRootKey();
  await vault.promoteRootKey();
  await vault.rewrapKeys({ batch: 10 });
  await vault.retireRootKey();
  await expect(expose(vault, project)).resolves.toBe("a value in a service");
}

const context = { rootKeyId: createId(), organizationId: createId(), keyId: createId() };

describe.each(kmsServiceNames)("a vault whose root key is in %s", (name) => {
  beforeEach(async () => {
    service = await start(name);
  });

  test("needs no key file, and opens what another process wrote", async () => {
    const project = await addProject(await open());
    expect(await readdir(temporary.config.dataDir)).not.toContain("master.key");
    await expect(expose(await open(), project)).resolves.toBe("a value in a service");
  });

  test("sends the service ids and keys and no value, and credentials in no URL or body", async () => {
    const { server } = service;
    await addProject(await open());
    expect(server.calls).toContain("encrypt");
    const seen = server.seen.join("\n");
    for (const text of [...server.secrets, "a value", Buffer.from("a value").toString("base64").slice(0, 8), "Acme"]) {
      expect(seen).not.toContain(text);
    }
  });

  test("asks for each organization's key once in a while and not for every run", async () => {
    const project = await addProject(await open());
    const vault = await open();
    service.server.calls.length = 0;
    for (let run = 0; run < 5; run += 1) await expose(vault, project);
    expect(service.server.calls).toEqual(["decrypt"]);
  });

  test("goes on with what it used lately while the service is away, and says what it cannot", async () => {
    const vault = await open();
    const [used, unused] = [await addProject(vault), await addProject(await open())];
    await expose(vault, used);
    service.server.state = "down";
    await expect(expose(vault, used)).resolves.toBe("a value in a service");
    await expect(setSecret(vault, used, "KEY", "another")).resolves.toBe(2);
    await expect(expose(vault, unused)).rejects.toMatchObject({ code: "ERR_KMS_UNAVAILABLE", fault: "system" });
    await expect(open()).rejects.toMatchObject({ code: "ERR_KMS_UNAVAILABLE" });
    service.server.state = "up";
    await expect(expose(vault, unused)).resolves.toBe("a value in a service");
  });

  test("is not opened with another key", async () => {
    await addProject(await open());
    const { source } = service.server;
    service = await start(name);
    await expect(open()).rejects.toMatchObject({ code: "ERR_MASTER_KEY_INVALID" });
    // Nor when the database is made to say that it is this one.
    const rename = "update master_keys set source = $1 where source = $2";
    await temporary.database.query(rename, [service.server.source, source]);
    await expect(open()).rejects.toMatchObject({ code: "ERR_MASTER_KEY_INVALID" });
    await temporary.database.query(rename, [source, service.server.source]);
  });

  test("refuses an organization's key that was changed in the database", async () => {
    const vault = await open();
    const project = await addProject(vault);
    await expose(vault, project);
    await temporary.database.query(
      `update organization_keys set wrapped_key =
         set_byte(wrapped_key, length(wrapped_key) - 9, get_byte(wrapped_key, length(wrapped_key) - 9) # 1)`,
    );
    await expect(expose(vault, project)).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
  });

  test("refuses the key of one organization in the place of another's", async () => {
    const vault = await open();
    const [project] = [await addProject(vault), await addProject(vault)];
    await temporary.database.query(
      `update organization_keys k set wrapped_key = other.wrapped_key
       from organization_keys other where other.id <> k.id and k.organization_id =
         (select organization_id from projects where id = $1)`,
      [project],
    );
    await expect(expose(await open(), project)).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
  });

  test("is reached from a key file, and left again, by a rotation", async () => {
    const project = await addProject(await openWith());
    await rotate(await open(), project);
    service.server.calls.length = 0;
    await expect(expose(await open(), project)).resolves.toBe("a value in a service");
    expect(service.server.calls).toContain("decrypt");
    const next = randomBytes(32).toString("base64");
    await rotate(await open({ STEPVAULT_MASTER_KEY_NEXT: next }), project);
    const back = await openWith({ STEPVAULT_MASTER_KEY: next });
    await expect(expose(back, project)).resolves.toBe("a value in a service");
  });
});

describe("a vault that moves between services", () => {
  const path = ["Transit", "AWS KMS", "Google Cloud KMS", "AWS KMS", "Transit"] as const;

  test("opens everything at each step, and needs the one before it no longer", async () => {
    let current = await start(path[0]);
    const project = await addProject(await openWith(current.settings));
    for (const name of path.slice(1)) {
      const next = await start(name);
      await rotate(await openWith({ ...current.settings, ...asNext(next) }), project);
      await current.server.close();
      services.splice(services.indexOf(current), 1);
      await expect(expose(await openWith(next.settings), project)).resolves.toBe("a value in a service");
      current = next;
    }
  });

  test("is not opened by the next service before all is wrapped there", async () => {
    const [current, next] = [await start("AWS KMS"), await start("Google Cloud KMS")];
    const project = await addProject(await openWith(current.settings));
    const vault = await openWith({ ...current.settings, ...asNext(next) });
    await vault.stageRootKey();
    await vault.promoteRootKey();
    await expect(vault.retireRootKey()).rejects.toMatchObject({ code: "ERR_KEY_ROTATION" });
    await expect(openWith(next.settings)).rejects.toMatchObject({
      code: "ERR_MASTER_KEY_INVALID",
      message: expect.stringMatching(/[1-9]\d* key\(s\) are still wrapped/),
    });
    await expect(expose(vault, project)).resolves.toBe("a value in a service");
  });

  test("is told when two keys are to follow", async () => {
    const [current, next] = [await start("AWS KMS"), await start("Google Cloud KMS")];
    const settings = { ...current.settings, ...asNext(next) };
    const both = openWith({ ...settings, STEPVAULT_MASTER_KEY_NEXT: randomBytes(32).toString("base64") });
    await expect(both).rejects.toMatchObject({
      message: expect.stringContaining("STEPVAULT_KMS_NEXT and a local one"),
    });
  });

  function asNext({ settings }: KmsService): Record<string, string> {
    const { STEPVAULT_KMS, STEPVAULT_KMS_ENDPOINT: endpoint, ...rest } = settings;
    return { ...rest, STEPVAULT_KMS_NEXT: STEPVAULT_KMS!, ...(endpoint && { STEPVAULT_KMS_NEXT_ENDPOINT: endpoint }) };
  }
});

describe("unwrapped keys in memory", () => {
  /** An adapter that keeps what it gave out, to look at it afterwards. */
  async function observed(bounds: { keysMax: number; ageMsMax: number }) {
    const given: Buffer[] = [];
    const inner = (await start("Transit")).adapter();
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
