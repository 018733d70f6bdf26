/**
 * The leak drill: what was found somewhere is told for what it is, within the organization that asks and nowhere else, without
 * opening anything, and is ended in one step. Real PostgreSQL, through the vault.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { saveStep } from "../../../runs/steps.ts";
import { generateKey, scannerPattern } from "../../../vault/platform-keys/key-format.ts";
import { setOrganizationMember, setProjectMember } from "../../../vault/tenancy/members.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import {
  createOrganization,
  createProject,
  deleteSecret,
  disableSecret,
  resolveSecrets,
  setSecret,
} from "../../helpers/vault.ts";

const leaked = "sk_live_51Hx/Zq+7&=%leaked";
let temporary: Temporary;
let vault: Vault;
let organizationId: string;
let projectId: string;
let otherId: string;

beforeAll(async () => {
  temporary = await openTemporary();
  vault = await openVault(temporary.database, temporary.config);
});
afterAll(async () => {
  vault.close();
  await temporary.dispose();
});
beforeEach(async () => {
  organizationId = (await createOrganization(vault, "Acme")).id;
  projectId = (await createProject(vault, organizationId, "Support")).id;
  otherId = (await createProject(vault, organizationId, "Sales")).id;
});

const find = async (text: string): ReturnType<Vault["leaks"]["find"]> =>
  await vault.leaks.find({ organizationId, text });

describe("a value that was found", () => {
  test("is told wherever the organization has it: secret and version, who could read it, which runs used it", async () => {
    const { database } = temporary;
    for (const personId of ["owner", "builder", "viewer"]) {
      const role = personId === "owner" ? "owner" : "member";
      await setOrganizationMember(database, { organizationId, personId, name: `Name of ${personId}`, role });
    }
    await setProjectMember(database, { projectId, personId: "builder", role: "member", canCreateAssets: true });
    await setProjectMember(database, { projectId, personId: "viewer", role: "viewer" });
    await setSecret(vault, projectId, "STRIPE", leaked);
    const runId = createId();
    await vault.secrets.use({ projectId, references: [{ name: "STRIPE" }], runId, caller: "agent-7" });
    await setSecret(vault, projectId, "STRIPE", "another value by now");
    await setSecret(vault, otherId, "PAYMENTS", ` ${leaked}\n`, { sealed: true, hosts: ["api.stripe.com"] });
    await vault.secrets.set({ place: { organizationId }, name: "SHARED", value: leaked, access: "all" });
    const { secrets, credentials, keys } = await find(leaked);
    expect([credentials, keys]).toEqual([[], []]);
    const byName = new Map(secrets.map((secret) => [secret.name, secret]));
    expect(byName.get("STRIPE")).toMatchObject({
      place: { projectId },
      version: 1,
      inForce: false,
      sealed: false,
      readers: [
        { personId: "builder", by: "builder" },
        { personId: "owner", by: "owner" },
      ],
      revealedTo: ["owner", "organization admin", "project admin"],
      uses: [{ lastRunId: runId, caller: "agent-7", uses: 1 }],
    });
    expect(byName.get("PAYMENTS")).toMatchObject({
      inForce: true,
      sealed: true,
      readers: [],
      revealedTo: [],
      uses: [],
    });
    expect(byName.get("SHARED")).toMatchObject({ place: { organizationId }, inForce: true });
  });

  test.each([
    ["as it is", leaked],
    ["in quotes", `"${leaked}"`],
    ["in a .env file", `# config\nPORT=80\nexport STRIPE='${leaked}'\n`],
    ["in JSON", JSON.stringify({ a: [1, { key: leaked }] })],
    ["in a log line", `2026-11-21 error: request with ${leaked} failed`],
    ["in a header", `Authorization: Bearer ${leaked}`],
    ["in a query", `https://example.com/pay?key=${encodeURIComponent(leaked)}&x=1`],
    ["in Basic authorization", `Authorization: Basic ${Buffer.from(`user:${leaked}`).toString("base64")}`],
    ["in base64", Buffer.from(leaked).toString("base64")],
    ["in base64url", Buffer.from(leaked).toString("base64url")],
    ["in hexadecimal", Buffer.from(leaked).toString("hex")],
    ["in YAML", `stripe:\n  key: ${leaked}\n`],
  ])("is found %s", async (_, text) => {
    await setSecret(vault, projectId, "STRIPE", leaked);
    expect((await find(text)).secrets).toMatchObject([{ name: "STRIPE", version: 1, inForce: true }]);
  });

  test("is not told to another organization, nor one that was destroyed, nor a part of one", async () => {
    await setSecret(vault, projectId, "STRIPE", leaked);
    const strangers = (await createOrganization(vault, "Strangers")).id;
    expect((await vault.leaks.find({ organizationId: strangers, text: leaked })).secrets).toEqual([]);
    expect((await find(leaked.slice(0, -1))).secrets).toEqual([]);
    await vault.secrets.destroy({ place: { projectId }, name: "STRIPE", versions: [1] });
    expect((await find(leaked)).secrets).toEqual([]);
  });

  test("is told as no longer in force when it is switched off, deleted or expired", async () => {
    for (const name of ["OFF", "DELETED"]) await setSecret(vault, projectId, name, leaked);
    const expiresAt = new Date(Date.now() + 60_000);
    await vault.secrets.set({ place: { projectId }, name: "EXPIRED", value: leaked, expiresAt });
    await disableSecret(vault, projectId, "OFF");
    await deleteSecret(vault, projectId, "DELETED");
    const now = new Date(Date.now() + 120_000);
    const { secrets } = await vault.leaks.find({ organizationId, text: leaked, now });
    expect(secrets.map(({ name, inForce }) => [name, inForce])).toEqual([
      ["DELETED", false],
      ["EXPIRED", false],
      ["OFF", false],
    ]);
  });

  test("is told of a credential, of a project and of the organization", async () => {
    const fields = { api_key: "an-openai-key-that-leaked" };
    await vault.credentials.set({ place: { organizationId }, integration: "openai", fields });
    await vault.credentials.set({ place: { projectId }, integration: "openai", fields });
    await vault.credentials.set({ place: { projectId: otherId }, integration: "anthropic", fields });
    await vault.credentials.switch({ place: { projectId }, integration: "openai", enabled: false });
    expect((await find("OPENAI_API_KEY=an-openai-key-that-leaked")).credentials).toEqual([
      { integration: "anthropic", place: { projectId: otherId }, level: "project", version: 1, inForce: true },
      { integration: "openai", place: { organizationId }, level: "organization", version: 1, inForce: true },
      { integration: "openai", place: { projectId }, level: "project", version: 1, inForce: false },
    ]);
  });

  test("that has no fingerprint is counted, as nothing is known of it", async () => {
    await setSecret(vault, projectId, "STRIPE", leaked);
    await temporary.database.query("update secret_versions set fingerprint = null");
    expect(await find(leaked)).toMatchObject({ secrets: [], unknownVersions: expect.any(Number) });
    expect((await find(leaked)).unknownVersions).toBeGreaterThan(0);
  });

  test("opens nothing: also values that cannot be opened any more are told", async () => {
    await setSecret(vault, projectId, "STRIPE", leaked);
    await temporary.database.query(
      "update secret_versions set ciphertext = 'x', wrapped_key = 'x' where secret_id in (select id from secrets where project_id = $1)",
      [projectId],
    );
    expect((await find(leaked)).secrets).toMatchObject([{ name: "STRIPE" }]);
  });
});

describe("a platform key that was found", () => {
  const forever = { scopes: ["trigger"], expiry: "none" } as const;

  test("is told with who made it, its last use and the embed keys that die with it, also in the middle of a text", async () => {
    const { key, metadata } = await vault.keys.createForProject({ projectId, name: "CI", ...forever });
    const organizationKey = await vault.keys.createForOrganization({
      organizationId,
      name: "All",
      access: "all",
      ...forever,
    });
    const { actor } = await vault.keys.check({ key });
    const step = { language: "javascript", code: "return 1" } as const;
    const { id: stepId } = await saveStep(temporary.database, { projectId, name: "Step", step });
    const agent = await vault.agents.create({ projectId, kind: "agent", name: "Bot", public: true, stepIds: [stepId] });
    const embed = await vault.as(actor).embedKeys.create({ projectId, agentId: agent.id });
    const { keys } = await find(`curl -H "Authorization: ${key}" # or ${organizationKey.key}, ${embed.key}.`);
    expect(keys).toHaveLength(3);
    expect(keys).toContainEqual({
      id: metadata.id,
      kind: "key",
      place: { projectId },
      hint: metadata.hint,
      name: "CI",
      inForce: true,
      createdBy: { kind: "system", id: "operator" },
      lastUsedAt: expect.any(Date),
      children: 1,
    });
    expect(keys).toContainEqual(
      expect.objectContaining({ id: organizationKey.metadata.id, place: { organizationId }, children: 0 }),
    );
    expect(keys).toContainEqual(expect.objectContaining({ id: embed.metadata.id, kind: "embed key" }));
  });

  test("of another organization, or of none, is nothing", async () => {
    const stranger = await createOrganization(vault, "Strangers");
    const theirs = await createProject(vault, stranger.id, "Theirs");
    const { key } = await vault.keys.createForProject({ projectId: theirs.id, name: "CI", ...forever });
    expect((await find(`${key} ${generateKey("project", "us")}`)).keys).toEqual([]);
  });

  test("is found by the published pattern, and ordinary text is not", () => {
    for (const kind of ["project", "organization", "embed"] as const) {
      const key = generateKey(kind, "eu");
      expect(`key="${key}";`.match(new RegExp(scannerPattern, "g"))).toEqual([key]);
    }
    expect("sk-us_short sk_live_51H ek-xx_0000 task-us_0".match(new RegExp(scannerPattern, "g"))).toBeNull();
  });
});

describe("ending a leak", () => {
  test("revokes keys with their children, switches credentials off and gives secrets a new value, in one step", async () => {
    const { key, metadata } = await vault.keys.createForProject({
      projectId,
      name: "CI",
      scopes: ["trigger"],
      expiry: "none",
    });
    await setSecret(vault, projectId, "STRIPE", leaked, { hosts: ["api.stripe.com"] });
    await setSecret(vault, otherId, "OLD", leaked);
    await setSecret(vault, otherId, "OLD", "rotated before");
    const fields = { api_key: leaked };
    await vault.credentials.set({ place: { projectId }, integration: "openai", fields });
    const text = `STRIPE='${leaked}'\nKEY=${key}`;
    const { ended } = await vault.leaks.end({ organizationId, text, replacement: "the new value" });
    expect(ended.map(({ type, done }) => [type, done])).toEqual([
      ["key", "revoked"],
      ["credential", "switched off"],
      ["secret", "rotated"],
      ["secret", "nothing to do"],
    ]);
    await expect(vault.keys.check({ key })).rejects.toMatchObject({ code: "ERR_KEY_REVOKED" });
    const [value] = await resolveSecrets(vault, projectId, [{ name: "STRIPE" }]);
    expect([value?.expose(), value?.policy.hosts]).toEqual(["the new value", ["api.stripe.com"]]);
    expect((await resolveSecrets(vault, otherId, [{ name: "OLD" }]))[0]?.expose()).toBe("rotated before");
    const again = await vault.leaks.end({ organizationId, text });
    expect(new Set(again.ended.map(({ done }) => done))).toEqual(new Set(["nothing to do"]));
    const events = await vault.audit.list({ organizationId, limit: 20 });
    expect(events.map(({ event }) => event)).toEqual(
      expect.arrayContaining(["leak.search", "key.revoked", "credential.disable", "secret.set"]),
    );
    expect(events.find(({ event }) => event === "key.revoked")?.target).toMatchObject([{ id: metadata.id }]);
    expect(JSON.stringify(events)).not.toMatch(/sk_live_51Hx|sk-us_[0-9A-Za-z]{49}/);
  });

  test("without a new value switches secrets off, and one that fails does not keep the others", async () => {
    await setSecret(vault, projectId, "FIRST", leaked);
    await setSecret(vault, otherId, "SECOND", leaked);
    await temporary.database.query("update secret_manifests set entries = entries || '0:' where project_id = $1", [
      projectId,
    ]);
    const { ended } = await vault.leaks.end({ organizationId, text: leaked });
    expect(ended).toMatchObject([{ done: "nothing to do", error: "ERR_SECRET_TAMPERED" }, { done: "switched off" }]);
    await expect(resolveSecrets(vault, otherId, [{ name: "SECOND" }])).rejects.toMatchObject({
      code: "ERR_SECRET_DISABLED",
    });
  });
});

describe("who looks for a leak", () => {
  test("is an owner or admin of the organization, and each search is in the log, without what was looked for", async () => {
    const { database } = temporary;
    for (const [personId, role] of [
      ["owner", "owner"],
      ["builder", "member"],
    ] as const) {
      await setOrganizationMember(database, { organizationId, personId, name: personId, role });
    }
    await setProjectMember(database, { projectId, personId: "builder", role: "admin" });
    await setSecret(vault, projectId, "STRIPE", leaked);
    const as = (id: string): Vault["leaks"] => vault.as({ kind: "person", id }).leaks;
    await expect(as("builder").find({ organizationId, text: leaked })).rejects.toMatchObject({ code: "ERR_FORBIDDEN" });
    expect((await as("owner").find({ organizationId, text: leaked })).secrets).toHaveLength(1);
    const [found, denied] = await vault.audit.list({ organizationId, limit: 2 });
    expect(found).toMatchObject({ event: "leak.search", outcome: "success", details: { found: 1 } });
    expect(denied).toMatchObject({ event: "leak.search", outcome: "denied", actor: { id: "builder" } });
    expect(JSON.stringify([found, denied])).not.toContain("sk_live");
  });

  test.each([
    ["nothing", " \n"],
    ["too much", "x".repeat(256 * 1024 + 1)],
    ["too many words", Array.from({ length: 21_000 }, (_, index) => `word${index}`).join(" ")],
  ])("is refused %s, and told the figures alone", async (_, text) => {
    const error = await find(text).catch((failure: Error & { code: string }) => failure);
    expect(error).toMatchObject({ code: "ERR_LEAK_TEXT_INVALID" });
    expect((error as Error).message).not.toMatch(/xxx|word1/);
  });
});
