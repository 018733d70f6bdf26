/**
 * The sealer of credentials. Goal: what was sealed for one slot opens for that slot alone, whatever a manifest says, and goes on
 * opening while the root key is changed. Method: every part of what it is bound to is exchanged; then real PostgreSQL, key
 * files and SQL statements, with manifests signed anew, so that nothing but the seals is left to refuse.
 */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { contextFor } from "../../../vault/audit/acting.ts";
import { operator } from "../../../vault/tenancy/actor.ts";
import type { Place } from "../../../vault/tenancy/authorize.ts";
import { openCredential, sealCredential, type SealedRow } from "../../../vault/credentials/credential-sealer.ts";
import { type CredentialContext, setCredential } from "../../../vault/credentials/credentials.ts";
import { deriveKey, SealBrokenError } from "../../../vault/encryption/crypto.ts";
import { resolveCredential } from "../../../vault/credentials/effective.ts";
import { type MasterKey, openMasterKey } from "../../../vault/encryption/master-key.ts";
import { promoteRootKey, retireRootKey, rewrapKeys, stageRootKey } from "../../../vault/encryption/root-rotation.ts";
import { createOrganization } from "../../../vault/tenancy/tenancy.ts";
import { rebuildManifest } from "../../../vault/encryption/update-manifest.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import { createProvenProject } from "../../helpers/vault.ts";

const secret = { api_key: "hunter2-hunter2", spare: "ключ 🔑" };
const row: SealedRow = {
  organizationId: createId(),
  projectId: createId(),
  integration: "openai",
  version: 3,
  fields: '[{"name":"api_key"}]',
};

describe("a sealed credential", () => {
  const key = randomBytes(32);
  const sealed = sealCredential(key, row, secret);

  test("opens under its key for its row, and is another text each time", () => {
    expect(openCredential(key, row, sealed)).toEqual(secret);
    expect(sealCredential(key, row, secret)).not.toEqual(sealed);
    expect(sealed.toString("latin1")).not.toContain("hunter2");
  });

  test.each<[string, Partial<SealedRow>]>([
    ["another organization", { organizationId: createId() }],
    ["another project", { projectId: createId() }],
    ["its organization", { projectId: null }],
    ["another integration", { integration: "anthropic" }],
    ["another version", { version: 2 }],
    ["other fields", { fields: '[{"name":"api_key","value":"x"}]' }],
    ["the same fields in another spelling", { fields: '[{"name": "api_key"}]' }],
  ])("does not open for %s", (_, other) => {
    expect(() => openCredential(key, { ...row, ...other }, sealed)).toThrow(SealBrokenError);
  });

  test("does not open as a project's when it is an organization's", () => {
    const shared = sealCredential(key, { ...row, projectId: null }, secret);
    expect(openCredential(key, { ...row, projectId: null }, shared)).toEqual(secret);
    expect(() => openCredential(key, row, shared)).toThrow(SealBrokenError);
  });

  test("is under a key of its purpose alone", () => {
    for (const wrong of [randomBytes(32), deriveKey(key, "seal credential"), deriveKey(key, "manifest")])
      expect(() => openCredential(wrong, row, sealed)).toThrow(SealBrokenError);
  });

  test.each([
    ["nothing", Buffer.alloc(0)],
    ["its beginning", sealed.subarray(0, -1)],
    ["one with a bit turned", Buffer.from(sealed.map((byte, at) => (at === 20 ? byte ^ 1 : byte)))],
  ])("does not open from %s", (_, blob) => {
    expect(() => openCredential(key, row, blob)).toThrow(SealBrokenError);
  });
});

describe("in the database", () => {
  const gates = { planGate: false, rolloutGate: false };
  let temporary: Temporary;
  let master: MasterKey;
  let organizationId: string;
  let projectId: string;
  let otherProjectId: string;
  /** Once it was changed. */
  let rootKey: string | undefined;

  beforeAll(async () => {
    temporary = await openTemporary();
    master = await openMasterKey(temporary.database, temporary.config);
  });
  afterAll(async () => {
    master.close();
    await temporary.dispose({ keys: { masterKey: rootKey } });
  });
  beforeEach(async () => {
    const { database } = temporary;
    organizationId = (await createOrganization(database, "Acme")).id;
    projectId = (await createProvenProject(database, master, { organizationId, name: "Support" })).id;
    otherProjectId = (await createProvenProject(database, master, { organizationId, name: "Sales" })).id;
  });

  const context = (keys = master): CredentialContext => ({
    ...contextFor(temporary.database, keys, operator),
    master: keys,
    gates,
  });
  const set = async (place: Place, integration: string, fields: Record<string, string>): Promise<unknown> =>
    await setCredential(context(), { place, integration, fields });
  const valueIn = async (id: string, integration = "serpapi", keys = master): Promise<string | undefined> => {
    const { secret: fields } = await resolveCredential(context(keys), { projectId: id, integration });
    return fields.get("api_key")?.expose();
  };
  const rebuildAll = async (): Promise<void> => {
    for (const holder of [projectId, otherProjectId, { organizationId }])
      await rebuildManifest(temporary.database, master, holder);
  };

  const bedrock = { access_key_id: "AKIAEXAMPLE123456", secret_access_key: "hunter2-hunter2", region: "eu-central-1" };
  const update = (assignments: string): string =>
    `update credentials c set ${assignments} where c.project_id = $1 and c.integration = 'bedrock' and $2::uuid is not null`;
  const copyOf = (condition: string): string =>
    `update credentials c set fields = o.fields, version = o.version, ciphertext = o.ciphertext from credentials o
     where c.project_id = $1 and c.integration = 'bedrock' and o.integration = 'bedrock' and ${condition}`;

  test.each([
    ["a shown field", update("fields = replace(fields, 'eu-central-1', 'eu-central-2')")],
    ["the spelling of the fields", update("fields = fields || ' '")],
    [
      "a secret field with a value",
      update(`fields = replace(fields, '"secret_access_key"', '"secret_access_key","value":"x"')`),
    ],
    ["no fields", update("fields = '[]'")],
    ["fields that are none", update("fields = 'null'")],
    ["fields that are no JSON", update("fields = ''")],
    ["another version", update("version = version + 1")],
    ["a flipped bit", update("ciphertext = set_bit(ciphertext, 120, 1 - get_bit(ciphertext, 120))")],
    ["no ciphertext", update("ciphertext = ''")],
    [
      "the organization's",
      copyOf("o.organization_id = c.organization_id and o.project_id is null and $2::uuid is not null"),
    ],
    ["another project's", copyOf("o.project_id = $2")],
  ])("gives no value for %s, not even when the manifest was signed anew", async (_, sql) => {
    for (const place of [{ organizationId }, { projectId }, { projectId: otherProjectId }])
      await set(place, "bedrock", bedrock);
    const resolve = async (): Promise<unknown> =>
      await resolveCredential(context(), { projectId, integration: "bedrock" });
    await expect(resolve()).resolves.toMatchObject({ level: "project" });
    const { rowCount } = await temporary.database.query(sql, [projectId, otherProjectId]);
    expect(rowCount).toBe(1);
    const refused = { code: "ERR_SECRET_TAMPERED", message: expect.not.stringContaining("hunter2") };
    await expect(resolve()).rejects.toMatchObject(refused);
    await rebuildAll();
    await expect(resolve()).rejects.toMatchObject(refused);
  });

  test("gives no value when the keys of two projects were exchanged", async () => {
    for (const id of [projectId, otherProjectId])
      await set({ projectId: id }, "serpapi", { api_key: "the-value-of-it" });
    await temporary.database.query(
      `update data_keys set wrapped_key = (select wrapped_key from data_keys where project_id = $2) where project_id = $1`,
      [projectId, otherProjectId],
    );
    await expect(valueIn(projectId)).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
    const again = set({ projectId }, "serpapi", { api_key: "the-value-of-it" });
    await expect(again).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
  });

  test("goes on being usable at each level while the root key is changed", async () => {
    const { database } = temporary;
    await set({ organizationId }, "serpapi", { api_key: "of-the-organization" });
    await set({ projectId }, "serpapi", { api_key: "of-the-project" });
    rootKey = randomBytes(32).toString("base64");
    const rotating = await openMasterKey(database, { ...temporary.config, masterKeyNext: rootKey });
    for (const step of [
      async () => await stageRootKey(database, rotating),
      async () => await promoteRootKey(database, rotating),
      async () => await rewrapKeys(database, rotating, { batch: 2 }),
      async () => await retireRootKey(database),
    ]) {
      await step();
      expect(await valueIn(projectId, "serpapi", rotating)).toBe("of-the-project");
      expect(await valueIn(otherProjectId, "serpapi", rotating)).toBe("of-the-organization");
    }
    master.close();
    master = rotating;
  });
});
