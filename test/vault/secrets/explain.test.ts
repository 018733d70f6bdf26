/**
 * Explaining a reference and checking a step before it is saved. Goal: every state has its reason in words, the nearest first,
 * and neither opens a value nor counts as a use. That no value is opened is seen on rows whose ciphertexts and keys are rubbish
 * that the manifest was made to fit: explaining goes on, and using fails. Real PostgreSQL.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import type { KeyScope } from "../../../protocol/roles.ts";
import { requireReferences } from "../../../vault/secrets/explain.ts";
import type { Vault } from "../../../vault/vault.ts";
import { openSecretsWorld, type SecretsWorld } from "./secrets-world.ts";

let world: SecretsWorld;
let vault: Vault;
let support: string;
let name: string;
let count = 0;

beforeAll(async () => {
  world = await openSecretsWorld();
  vault = world.vault;
  support = world.projects[0];
});
afterAll(async () => await world.dispose());
beforeEach(() => (name = `KEY_${(count += 1)}`));

const hour = 3_600_000;
const own = (): { place: { projectId: string }; name: string } => ({ place: { projectId: support }, name });
const shared = (): { place: { organizationId: string }; name: string } => ({ place: world.organization, name });
const set = async (value = "the value"): Promise<unknown> => await vault.secrets.set({ ...own(), value });
const share = async (access: "all" | string[] = "all"): Promise<unknown> =>
  await vault.secrets.set({ ...shared(), value: "the other value", access });

/** What is told of each candidate. */
async function told(reference = name, now?: Date): Promise<string[]> {
  const { candidates } = await vault.secrets.explain({ projectId: support, name: reference, now });
  return candidates.map(
    ({ level, name: one, state, why }) => `${level} ${one.replace(name, "NAME")}: ${state}: ${why}`,
  );
}

describe("an explanation", () => {
  const absent = "project NAME: absent: the project has no such secret";
  const noneShared = "organization NAME: absent: the organization has no such secret";
  const shadowed = "organization NAME: shadowed: a nearer one has the name, which counts whatever its state";
  const inForce = "it is the nearest one, and usable";

  test("says of a name that nobody has that it is absent at both levels", async () => {
    await vault.secrets.set({ place: world.organization, name: "SOME_OTHER", value: "another" });
    expect(await told()).toEqual([absent, noneShared]);
    const { winner } = await vault.secrets.explain({ projectId: support, name });
    expect(winner).toBeUndefined();
  });

  test("gives the one in force with level, name and version, and the other as shadowed", async () => {
    await share();
    expect(await told()).toEqual([absent, `organization NAME: in force: ${inForce}`]);
    await set();
    await set();
    expect(await told()).toEqual([`project NAME: in force: ${inForce}`, shadowed]);
    const { winner, candidates } = await vault.secrets.explain({ projectId: support, name });
    expect(winner).toEqual({ level: "project", name, version: 2 });
    expect(candidates.map(({ version }) => version)).toEqual([2, 1]);
  });

  const expiry = new Date(Date.now() + hour);
  test.each<[string, string, () => Promise<unknown>]>([
    [
      "switched off",
      "the secret is switched off",
      async () => await vault.secrets.switch({ ...own(), enabled: false }),
    ],
    [
      "expired",
      `it expired at ${expiry.toISOString()}`,
      async () => await vault.secrets.change({ ...own(), expiresAt: expiry }),
    ],
    [
      "destroyed",
      "the value of its version 1 was destroyed",
      async () => await vault.secrets.destroy({ ...own(), versions: [1] }),
    ],
    [
      "not for this step",
      "it is for steps of editor, and of code that is sent along with its run nobody is known to have written it",
      async () => await vault.secrets.setPolicy({ ...own(), policy: { roles: ["editor"] } }),
    ],
    [
      "changed past Stepvault",
      "its row was switched on or off past Stepvault; switch it on or off anew",
      async () => await world.sql("update secrets set disabled_at = now() where name = $1 and access is null", name),
    ],
    [
      "changed past Stepvault",
      "its row was removed",
      async () => await world.sql("delete from secrets where name = $1 and access is null", name),
    ],
  ])("says why a nearer one that is %s counts: %s", async (state, why, change) => {
    await share();
    await set();
    await change();
    expect(await told(name, new Date(expiry.getTime() + 1))).toEqual([`project NAME: ${state}: ${why}`, shadowed]);
  });

  test("says that one expires at its very time, and not before", async () => {
    await set();
    await vault.secrets.change({ ...own(), expiresAt: expiry });
    const states = async (at: number): Promise<string[]> => await told(name, new Date(expiry.getTime() + at));
    expect([(await states(-1))[0], (await states(0))[0]]).toEqual([
      `project NAME: in force: ${inForce}`,
      `project NAME: expired: it expired at ${expiry.toISOString()}`,
    ]);
  });

  test("says why the organization's is none: not granted, deleted, and what gives way comes with it", async () => {
    await share([]);
    const notGranted = "organization NAME: not granted: the organization has it, and it is not granted to this project";
    expect(await told()).toEqual([absent, notGranted]);
    await set();
    await vault.secrets.delete(own());
    const deleted = (level: string): string => `${level} NAME: deleted: it is deleted; restore it, or set it anew`;
    expect(await told()).toEqual([deleted("project"), notGranted]);
    await vault.secrets.delete(shared());
    expect(await told()).toEqual([deleted("project"), deleted("organization")]);
  });

  test("of an alias of chains has both names at both levels, as far as they are there", async () => {
    const alias = `chains_${name}`;
    await share();
    expect(await told(alias)).toEqual([
      "project chains_NAME: absent: the project has no such secret",
      "organization chains_NAME: absent: the organization has no such secret",
      `organization NAME: in force: ${inForce}`,
    ]);
    await set();
    const { winner } = await vault.secrets.explain({ projectId: support, name: alias });
    expect(winner).toMatchObject({ level: "project", name });
  });

  test("is for who may list secrets; to others the project is not there, or it is forbidden", async () => {
    await set();
    const code = async (who: Vault, projectId = support): Promise<string> =>
      await who.secrets.explain({ projectId, name }).then(
        ({ winner }) => winner?.name ?? "none",
        (error: { code: string }) => error.code,
      );
    const key = (scope: KeyScope): Vault =>
      vault.as({ kind: "key", id: createId(), ...world.organization, projects: "all", scopes: [scope] });
    expect(await code(world.as("builder"))).toBe(name);
    expect(await code(world.as("viewer"))).toBe("ERR_FORBIDDEN");
    expect(await code(world.as("stranger"))).toBe("ERR_PROJECT_UNKNOWN");
    expect(await code(world.as("builder"), world.foreignProject)).toBe("ERR_PROJECT_UNKNOWN");
    expect([await code(key("manage:secrets")), await code(key("trigger"))]).toEqual([name, "ERR_FORBIDDEN"]);
    const check = key("trigger").secrets.check({ projectId: support, references: [{ name }] });
    await expect(check).resolves.toMatchObject({ failures: [] });
    await expect(world.as("viewer").secrets.check({ projectId: support, references: [] })).rejects.toMatchObject({
      code: "ERR_FORBIDDEN",
    });
  });

  test("repeats nothing that is no name", async () => {
    await expect(vault.secrets.explain({ projectId: support, name: "hunter2!hunter2" })).rejects.toMatchObject({
      code: "ERR_SECRET_NAME_INVALID",
      message: expect.not.stringContaining("hunter2"),
    });
  });
});

describe("a check of a step's references", () => {
  const check = async (...names: string[]): Promise<{ codes: string[]; summary: string }> => {
    const references = names.map((one, index) => ({ name: one, line: index + 1, column: 3 }));
    const { failures, summary } = await vault.secrets.check({ projectId: support, references });
    return { codes: failures.map(({ code }) => code), summary };
  };

  test("says nothing when all would resolve, and of no reference", async () => {
    await set();
    await share();
    expect(await check(name, `chains_${name}`)).toEqual({ codes: [], summary: "" });
    await expect(vault.secrets.check({ projectId: support, references: [] })).resolves.toEqual({
      references: 0,
      failures: [],
      summary: "",
    });
  });

  test("says in one sentence which will fail, where and why", async () => {
    await set();
    await vault.secrets.switch({ ...own(), enabled: false });
    expect((await check("FINE_NOT", name)).summary).toBe(
      `these 2 references will fail: Cannot resolve the secret FINE_NOT at line 1, column 3: the project has no such secret; ` +
        `Cannot resolve the secret ${name} at line 2, column 3: the secret is switched off`,
    );
    const one = await check(name);
    expect(one.codes).toEqual(["ERR_SECRET_DISABLED"]);
    expect(one.summary).toBe(
      `this reference will fail: Cannot resolve the secret ${name} at line 1, column 3: the secret is switched off`,
    );
  });

  test("counts each name once, at its first place, and tells the closest name", async () => {
    await vault.secrets.set({ place: { projectId: support }, name: "STRIPE_API_KEY", value: "value" });
    const { codes, summary } = await check("STRIPE_AIP_KEY", "STRIPE_AIP_KEY");
    expect(codes).toEqual(["ERR_SECRET_UNKNOWN"]);
    expect(summary).toMatch(/at line 1, .*the closest name is STRIPE_API_KEY$/);
    const { references } = await vault.secrets.check({ projectId: support, references: [{ name }, { name }] });
    expect(references).toBe(1);
  });

  test("is an error for who saves nothing that fails", async () => {
    await set();
    const result = async (reference: string): ReturnType<Vault["secrets"]["check"]> =>
      await vault.secrets.check({ projectId: support, references: [{ name: reference }] });
    const [good, bad] = [await result(name), await result(`${name}_not`)];
    expect(() => requireReferences(good)).not.toThrow();
    expect(() => requireReferences(bad)).toThrow(
      expect.objectContaining({
        code: "ERR_STEP_REFERENCES",
        message: expect.stringMatching(/^Cannot save the step: this reference will fail: /),
      }),
    );
  });
});

describe("explaining and checking", () => {
  const asks = async (): Promise<[string | undefined, number]> => {
    const { winner } = await vault.secrets.explain({ projectId: support, name });
    const { failures } = await vault.secrets.check({ projectId: support, references: [{ name }] });
    return [winner?.level, failures.length];
  };

  test.each([
    ["the project's", "project"],
    ["the organization's", "organization"],
  ] as const)("open no value: %s ciphertexts and keys may be rubbish", async (_, level) => {
    await (level === "project" ? set() : share());
    const id = "(select id from secrets where name = $1)";
    await world.sql(
      `update secret_versions set ciphertext = sha256('rubbish'), wrapped_key = sha256('rubbish') where secret_id = ${id}`,
      name,
    );
    expect(await asks()).toEqual([undefined, 1]);
    // Whatever is in the rows is now what was written.
    await vault.rebuildManifest(level === "project" ? support : world.organization);
    expect(await asks()).toEqual([level, 0]);
    expect(await world.come(support, name)).toBe("ERR_SECRET_TAMPERED");
    await vault.secrets.destroy(level === "project" ? own() : shared());
  });

  test("say of a policy that this Stepvault does not know what using says: that it gives nothing", async () => {
    await set();
    await world.sql(
      `update secret_versions set policy = '{"moon":true}' where secret_id = (select id from secrets where name = $1)`,
      name,
    );
    await vault.rebuildManifest(support);
    expect(await world.ways(support, name)).toBe("ERR_SECRET_TAMPERED");
    expect(await told()).toEqual([
      "project NAME: changed past Stepvault: its policy is none that this Stepvault knows",
      "organization NAME: absent: the organization has no such secret",
    ]);
  });

  test("are no use: neither in the audit log nor in the ledger", async () => {
    await set();
    const before = await vault.audit.list({ ...world.organization, limit: 1 });
    await asks();
    expect(await vault.audit.list({ ...world.organization, limit: 1 })).toEqual(before);
    await expect(vault.secrets.uses(own())).resolves.toEqual([]);
    await world.come(support, name);
    await expect(vault.secrets.uses(own())).resolves.toHaveLength(1);
  });

  test("tell that nothing is proven when the project's manifest is not its own", async () => {
    const projectId = (await vault.tenancy.createProject({ ...world.organization, name: "Broken" })).id;
    await vault.secrets.set({ place: { projectId }, name, value: "value" });
    await world.sql("update secret_manifests set counter = counter + 1 where project_id = $1", projectId);
    const tampered = { code: "ERR_SECRET_TAMPERED" };
    await expect(vault.secrets.explain({ projectId, name })).rejects.toMatchObject(tampered);
    await expect(vault.secrets.check({ projectId, references: [{ name }] })).rejects.toMatchObject(tampered);
    await expect(world.come(projectId, name)).resolves.toBe("ERR_SECRET_TAMPERED");
  });
});
