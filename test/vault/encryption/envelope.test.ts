/**
 * Goal: each layer of keys opens what its own row was made for and nothing else, rows from before there were layers stay
 * readable, and a destroyed key takes its value along. Real PostgreSQL; attacks are SQL statements on the rows.
 */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { deriveKey, open, seal, SealBrokenError } from "../../../vault/encryption/crypto.ts";
import { findProjectKey, unwrapProjectKey } from "../../../vault/encryption/data-keys.ts";
import { type MasterKey, openMasterKey } from "../../../vault/encryption/master-key.ts";
import { provideOrganizationKey, unwrapOrganizationKey } from "../../../vault/encryption/organization-keys.ts";
import type { Project } from "../../../vault/tenancy/tenancy.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { configFor, openTemporary, type Temporary } from "../../database/temporary.ts";
import {
  createOrganization,
  createProject,
  deleteSecret,
  disableSecret,
  enableSecret,
  resolveSecrets,
  setSecret,
} from "../../helpers/vault.ts";

const rootKey = randomBytes(32);
let temporary: Temporary;
let vault: Vault;
let master: MasterKey;
let organizationId: string;
let project: Project;

beforeAll(async () => {
  temporary = await openTemporary();
  const config = configFor(temporary.config.dataDir, { STEPVAULT_MASTER_KEY: rootKey.toString("base64") });
  vault = await openVault(temporary.database, config);
  master = await openMasterKey(temporary.database, config);
});

beforeEach(async () => {
  organizationId = (await createOrganization(vault, "Acme")).id;
  project = await createProject(vault, organizationId, "Support");
});

afterAll(async () => {
  vault.close();
  master.close();
  await temporary.dispose({ keys: { masterKey: rootKey.toString("base64") } });
});

async function expose(name: string, projectId = project.id): Promise<string> {
  const [secret] = await resolveSecrets(vault, projectId, [{ name, line: 1, column: 1 }]);
  return secret!.expose();
}

async function rowOf<Row extends Record<string, unknown>>(sql: string, ...values: unknown[]): Promise<Row> {
  return (await temporary.database.query<Row>(sql, values)).rows[0]!;
}

/** A project's key and a secret as they were written before organizations and versions had keys. */
async function insertOldSecret(name: string, value: string): Promise<void> {
  for (const table of ["secret_manifests", "data_keys"])
    await temporary.database.query(`delete from ${table} where project_id = $1`, [project.id]);
  const { id: rootId } = await rowOf<{ id: string }>("select id from master_keys where state = 'active'");
  const [keyId, secretId, key] = [createId(), createId(), randomBytes(32)];
  const wrapped = seal(deriveKey(rootKey, "wrap"), ["data key", organizationId, project.id, keyId, rootId], key);
  await temporary.database.query(
    "insert into data_keys (id, project_id, master_key_id, wrapped_key) values ($1, $2, $3, $4)",
    [keyId, project.id, rootId, wrapped],
  );
  const context = ["secret value", organizationId, project.id, secretId, name, "1", keyId];
  await temporary.database.query("insert into secrets (id, project_id, name, current_version) values ($1, $2, $3, 1)", [
    secretId,
    project.id,
    name,
  ]);
  await temporary.database.query(
    `insert into secret_versions (secret_id, version, data_key_id, ciphertext, maskable) values ($1, 1, $2, $3, true)`,
    [secretId, keyId, seal(key, context, Buffer.from(value))],
  );
}

describe("a secret from before there were layers", () => {
  test("opens as it stands, and nothing is written by reading it", async () => {
    await insertOldSecret("OLD", "an old value");
    await expect(expose("OLD")).resolves.toBe("an old value");
    await expect(vault.manifestHead(project.id)).resolves.toBeUndefined();
    await expect(rowOf("select organization_key_id from data_keys where project_id = $1", project.id)).resolves.toEqual(
      { organization_key_id: null },
    );
  });

  test("opens after the project's key was wrapped anew by a write, with what stands beside it untouched", async () => {
    await insertOldSecret("OLD", "an old value");
    const sql =
      "select v.* from secret_versions v join secrets s on s.id = v.secret_id where s.name = 'OLD' and s.project_id = $1";
    const before = await rowOf(sql, project.id);
    await setSecret(vault, project.id, "NEW", "a new value");
    await expect(expose("OLD")).resolves.toBe("an old value");
    await expect(expose("NEW")).resolves.toBe("a new value");
    await expect(rowOf(sql, project.id)).resolves.toEqual(before);
    await expect(rowOf("select master_key_id from data_keys where project_id = $1", project.id)).resolves.toEqual({
      master_key_id: null,
    });
  });

  test("is moved by rewrapKeys(), once, and guarded by a manifest from then on", async () => {
    await vault.rewrapKeys({ batch: 100 });
    await insertOldSecret("OLD", "an old value");
    await expect(vault.rewrapKeys({ batch: 1 })).resolves.toMatchObject({ projectKeys: 1 });
    await expect(vault.rewrapKeys({ batch: 1 })).resolves.toEqual({
      projectKeys: 0,
      organizationKeys: 0,
      deploymentKeys: 0,
    });
    await expect(expose("OLD")).resolves.toBe("an old value");
    await temporary.database.query("update secrets set disabled_at = now() where project_id = $1", [project.id]);
    await expect(expose("OLD")).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
  });

  test("is switched, deleted and given a version like any other", async () => {
    await insertOldSecret("OLD", "an old value");
    await disableSecret(vault, project.id, "OLD");
    await expect(expose("OLD")).rejects.toMatchObject({ code: "ERR_SECRET_DISABLED" });
    await enableSecret(vault, project.id, "OLD");
    await expect(expose("OLD")).resolves.toBe("an old value");
    await expect(setSecret(vault, project.id, "OLD", "a newer value")).resolves.toBe(2);
    await expect(expose("OLD")).resolves.toBe("a newer value");
    await deleteSecret(vault, project.id, "OLD");
    await expect(expose("OLD")).rejects.toMatchObject({ code: "ERR_SECRET_DELETED" });
  });
});

describe("every layer", () => {
  test("has a row of its own, with the keys above it by reference and none in clear text", async () => {
    await setSecret(vault, project.id, "KEY", "a value");
    await setSecret(vault, project.id, "KEY", "a value");
    const { rows } = await temporary.database.query<{ root: Buffer; organization: Buffer; version: Buffer }>(
      `select o.wrapped_key as organization, k.wrapped_key as project, v.wrapped_key as version
       from secret_versions v join secrets s on s.id = v.secret_id join data_keys k on k.id = v.data_key_id
       join organization_keys o on o.id = k.organization_key_id join master_keys m on m.id = o.master_key_id
       where s.project_id = $1`,
      [project.id],
    );
    expect(rows).toHaveLength(2);
    // format, nonce, key and tag
    expect(rows.flatMap((row) => Object.values(row)).map((wrapped) => wrapped.length)).toEqual(Array(6).fill(61));
    expect(rows[0]!.version.equals(rows[1]!.version)).toBe(false);
  });

  /** $1 is the project, $2 another of the same organization, $3 one of another organization. */
  const set = (table: string, where: string, from: string): string =>
    `update ${table} set wrapped_key = (${from}) where ${where}`;
  const versionOf = (parameter: string): string =>
    `(select secret_id from secret_versions join secrets on id = secret_id where project_id = ${parameter})`;
  const organizationOf = (parameter: string): string =>
    `(select organization_id from projects where id = ${parameter}::uuid)`;

  test.each([
    [
      "a version's key of another project",
      set(
        "secret_versions",
        `secret_id = ${versionOf("$1")}`,
        `select wrapped_key from secret_versions where secret_id = ${versionOf("$2")} and $3::uuid is not null`,
      ),
    ],
    [
      "a version's key taken away",
      `update secret_versions set wrapped_key = null where secret_id = ${versionOf("$1")} and $2::uuid is not null and $3::uuid is not null`,
    ],
    [
      "a project's key of the same organization",
      set(
        "data_keys",
        "project_id = $1",
        "select wrapped_key from data_keys where project_id = $2 and $3::uuid is not null",
      ),
    ],
    [
      "a project's key of another organization, with the reference to it",
      `update data_keys set (wrapped_key, organization_key_id) =
         (select wrapped_key, organization_key_id from data_keys where project_id = $3 and $2::uuid is not null)
       where project_id = $1`,
    ],
    [
      "an organization's key of another organization",
      set(
        "organization_keys",
        `organization_id = ${organizationOf("$1")}`,
        `select wrapped_key from organization_keys where organization_id = ${organizationOf("$3")} and $2::uuid is not null`,
      ),
    ],
    [
      "the reference to another organization's key",
      `update data_keys set organization_key_id = (select id from organization_keys where organization_id = ${organizationOf("$3")})
       where project_id = $1 and $2::uuid is not null`,
    ],
    [
      "a flipped bit in an organization's key",
      `update organization_keys set wrapped_key = set_bit(wrapped_key, 200, 1 - get_bit(wrapped_key, 200))
       where organization_id = ${organizationOf("$1")} and $2::uuid is not null and $3::uuid is not null`,
    ],
  ])("refuses %s, for reading and for the next write", async (_, attack) => {
    const sibling = await createProject(vault, organizationId, "Sibling");
    const stranger = await createProject(vault, (await createOrganization(vault, "Other")).id, "Stranger");
    for (const { id } of [project, sibling, stranger]) await setSecret(vault, id, "KEY", `the value of ${id}`);
    const { rowCount } = await temporary.database.query(attack, [project.id, sibling.id, stranger.id]);
    expect(rowCount).toBe(1);
    const failure = await expose("KEY").then(
      () => expect.unreachable(),
      (error: unknown) => error as Error,
    );
    expect(failure).toMatchObject({ code: "ERR_SECRET_TAMPERED", position: { line: 1, column: 1 } });
    expect(failure.message).not.toContain("the value");
    await expect(setSecret(vault, project.id, "KEY", "next")).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
    // The manifest aside, the keys themselves do not fit.
    await vault.rebuildManifest(project.id).catch(() => {});
    await expect(expose("KEY")).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
  });

  test("is bound to its own row, even under the right parent", async () => {
    await setSecret(vault, project.id, "KEY", "a value");
    const sibling = await createProject(vault, organizationId, "Sibling");
    const organizationKey = await provideOrganizationKey(temporary.database, master, organizationId);
    const projectKey = (await findProjectKey(temporary.database, project))!;
    const key = await unwrapProjectKey(master, project, projectKey);
    for (const work of [
      async () => await unwrapProjectKey(master, sibling, projectKey),
      async () => await unwrapProjectKey(master, project, { ...projectKey, id: createId() }),
      async () => await unwrapOrganizationKey(master, createId(), organizationKey),
      async () => await unwrapOrganizationKey(master, organizationId, { ...organizationKey, id: createId() }),
    ]) {
      await expect(work()).rejects.toThrow(SealBrokenError);
    }
    const version = await rowOf<{ secret_id: string; wrapped_key: Buffer }>(
      "select v.* from secret_versions v join secrets s on s.id = v.secret_id where s.project_id = $1",
      project.id,
    );
    const openVersionKey = (secretId: string, number: string): Buffer =>
      open(
        deriveKey(key, "wrap version key"),
        ["version key", organizationId, project.id, projectKey.id, secretId, number],
        version.wrapped_key,
      );
    expect(openVersionKey(version.secret_id, "1")).toHaveLength(32);
    expect(() => openVersionKey(version.secret_id, "2")).toThrow(SealBrokenError);
    expect(() => openVersionKey(createId(), "1")).toThrow(SealBrokenError);
  });

  test("refuses a project's key that was put back into the old format to be rid of the manifest", async () => {
    await insertOldSecret("OLD", "an old value");
    const sql = "select * from data_keys where project_id = $1";
    const old = await rowOf<{ id: string; master_key_id: string; wrapped_key: Buffer }>(sql, project.id);
    await setSecret(vault, project.id, "NEW", "a new value");
    await temporary.database.query(
      "update data_keys set organization_key_id = null, master_key_id = $2, wrapped_key = $3 where project_id = $1",
      [project.id, old.master_key_id, old.wrapped_key],
    );
    await expect(expose("OLD")).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
    await expect(expose("NEW")).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
    await temporary.database.query("delete from secret_manifests where project_id = $1", [project.id]);
    await expect(expose("NEW")).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
  });
});

describe("destroying a version", () => {
  async function shred(name: string, version: number): Promise<void> {
    await vault.secrets.destroy({ place: { projectId: project.id }, name, versions: [version] });
  }

  test("leaves nothing of a value that its keys could open, and other versions as they were", async () => {
    await setSecret(vault, project.id, "KEY", "first");
    await setSecret(vault, project.id, "KEY", "second");
    await shred("KEY", 1);
    await expect(
      rowOf(
        "select v.wrapped_key, length(v.ciphertext) as length from secret_versions v join secrets s on s.id = v.secret_id where s.project_id = $1 and v.version = 1",
        project.id,
      ),
    ).resolves.toEqual({ wrapped_key: null, length: 0 });
    await expect(expose("KEY")).resolves.toBe("second");
  });

  test("of the current version says so at the next use, and a copy of its ciphertext does not help", async () => {
    await setSecret(vault, project.id, "KEY", "value");
    const where = "secret_id = (select id from secrets where project_id = $1)";
    const { ciphertext } = await rowOf<{ ciphertext: Buffer }>(
      `select ciphertext from secret_versions where ${where}`,
      project.id,
    );
    await shred("KEY", 1);
    await expect(expose("KEY")).rejects.toMatchObject({ code: "ERR_SECRET_DESTROYED" });
    await temporary.database.query(`update secret_versions set ciphertext = $2, destroyed_at = null where ${where}`, [
      project.id,
      ciphertext,
    ]);
    await vault.rebuildManifest(project.id);
    await expect(expose("KEY")).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
    await setSecret(vault, project.id, "KEY", "another", {});
    await expect(expose("KEY")).resolves.toBe("another");
  });
});
