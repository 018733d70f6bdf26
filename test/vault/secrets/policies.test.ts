/**
 * Goal: a secret is used under the policy that it was sealed with or not at all, and a policy that is refused is not
 * repeated. Real PostgreSQL; attacks are SQL statements on the rows, as someone with the database would do them.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { readablePolicy, type SecretPolicy, type SecretPolicyInput } from "../../../protocol/secret-policy.ts";
import { seal, withKey } from "../../../vault/encryption/crypto.ts";
import { provideProjectKey, unwrapProjectKey } from "../../../vault/encryption/data-keys.ts";
import { type MasterKey, openMasterKey } from "../../../vault/encryption/master-key.ts";
import type { Project } from "../../../vault/tenancy/tenancy.ts";
import { updateManifest } from "../../../vault/encryption/update-manifest.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import {
  createOrganization,
  createProject,
  disableSecret,
  listSecrets,
  resolveSecrets,
  setSecret,
  setSecretPolicy,
} from "../../helpers/vault.ts";

const sealed = { sealed: true, hosts: ["https://api.example.com"] } satisfies SecretPolicyInput;
const value = "hunter2-hunter2";

let temporary: Temporary;
let vault: Vault;
let master: MasterKey;
let organizationId: string;
let project: Project;

beforeAll(async () => {
  temporary = await openTemporary();
  vault = await openVault(temporary.database, temporary.config);
  master = await openMasterKey(temporary.database, temporary.config);
  organizationId = (await createOrganization(vault, "Acme")).id;
});

beforeEach(async () => {
  project = await createProject(vault, organizationId, "Support");
});

afterAll(async () => {
  vault.close();
  await temporary.dispose();
});

async function resolve(name: string): Promise<{ value: string; policy: SecretPolicy }> {
  const [secret] = await resolveSecrets(vault, project.id, [{ name, line: 1, column: 1 }]);
  return { value: secret!.expose(), policy: secret!.policy };
}

async function failureOf(work: Promise<unknown>): Promise<Error & { code: string }> {
  return await work.then(
    () => expect.unreachable("it should have failed"),
    (error: unknown) => error as Error & { code: string },
  );
}

async function storedPolicies(name: string): Promise<unknown[]> {
  const { rows } = await temporary.database.query<{ policy: unknown }>(
    `select v.policy from secret_versions v join secrets s on s.id = v.secret_id
     where s.project_id = $1 and s.name = $2 order by v.version`,
    [project.id, name],
  );
  return rows.map((row) => row.policy);
}

/** A version as written out by hand, with the parts that it is sealed with; null is one from before there were policies. */
async function insertVersion(name: string, policy: string | null): Promise<void> {
  const secretId = createId();
  const projectKey = await provideProjectKey(temporary.database, master, project);
  const parts = ["secret value", organizationId, project.id, secretId, name, "1", projectKey.id];
  const context = policy === null ? parts : [...parts, policy];
  const ciphertext = withKey(await unwrapProjectKey(master, project, projectKey), (key) =>
    seal(key, context, Buffer.from(value)),
  );
  await temporary.database.query("insert into secrets (id, project_id, name, current_version) values ($1, $2, $3, 1)", [
    secretId,
    project.id,
    name,
  ]);
  await temporary.database.query(
    `insert into secret_versions (secret_id, version, data_key_id, ciphertext, policy, maskable)
     values ($1, 1, $2, $3, $4, true)`,
    [secretId, projectKey.id, ciphertext, policy],
  );
  await updateManifest(temporary.database, master, { project, name, version: 1 });
}

describe("a secret's policy", () => {
  test.each([{ hosts: [`${value}.example.com`] }, { hosts: ["a.test"], places: { headers: [`x-${value}`] } }])(
    "is refused with the value itself in a field that is shown (%#)",
    async (policy) => {
      const failure = await failureOf(setSecret(vault, project.id, "key", value, policy));
      expect(failure).toMatchObject({ code: "ERR_SECRET_POLICY_INVALID" });
      expect(failure.message).not.toContain(value);
    },
  );
  test("is the readable one when none was ever given", async () => {
    await setSecret(vault, project.id, "KEY", value);
    await expect(resolve("KEY")).resolves.toEqual({ value, policy: readablePolicy });
    await expect(listSecrets(vault, project.id)).resolves.toMatchObject([{ name: "KEY", policy: readablePolicy }]);
  });

  test("comes with the value and in the list as it was given, with its defaults", async () => {
    await setSecret(vault, project.id, "KEY", value, { ...sealed, places: { query: true, headers: ["X-Key"] } });
    const policy = {
      sealed: true,
      hosts: ["https://api.example.com"],
      places: { headers: ["x-key"], basic: true, path: false, query: true, body: false, sign: [] },
      steps: [],
      agents: [],
      roles: [],
    };
    await expect(resolve("KEY")).resolves.toEqual({ value, policy });
    await expect(listSecrets(vault, project.id)).resolves.toMatchObject([{ policy }]);
  });

  test("has one text, whatever the order of its keys, and also when it is the readable one", async () => {
    await setSecret(vault, project.id, "KEY", value, {
      sealed: true,
      hosts: ["a.b"],
      places: { body: true, path: true },
    });
    await setSecret(vault, project.id, "KEY", value, {
      places: { path: true, body: true },
      hosts: ["a.b"],
      sealed: true,
    });
    await setSecret(vault, project.id, "KEY", value, {});
    await setSecret(vault, project.id, "NEW", value);
    const places = `"headers":["authorization","x-api-key"],"basic":true`;
    const restrictions = `"steps":[],"agents":[],"roles":[]`;
    const one = `{"sealed":true,"hosts":["a.b"],"places":{${places},"path":true,"query":false,"body":true,"sign":[]},${restrictions}}`;
    const readable = `{"sealed":false,"hosts":[],"places":{${places},"path":false,"query":false,"body":false,"sign":[]},${restrictions}}`;
    await expect(storedPolicies("KEY")).resolves.toEqual([one, one, readable]);
    await expect(storedPolicies("NEW")).resolves.toEqual([readable]);
  });

  test("is kept by a new value that comes without one", async () => {
    await setSecret(vault, project.id, "KEY", value, sealed);
    await expect(setSecret(vault, project.id, "KEY", "another value")).resolves.toBe(2);
    await expect(resolve("KEY")).resolves.toMatchObject({ value: "another value", policy: sealed });
  });

  test("is replaced by one that comes with a new value, also a sealed one by a readable one", async () => {
    await setSecret(vault, project.id, "KEY", value, sealed);
    await setSecret(vault, project.id, "KEY", "another value", { sealed: false });
    await expect(resolve("KEY")).resolves.toEqual({ value: "another value", policy: readablePolicy });
  });

  test("of a version from before there were policies is the readable one, and can be set", async () => {
    await insertVersion("OLD", null);
    await expect(resolve("OLD")).resolves.toEqual({ value, policy: readablePolicy });
    await expect(listSecrets(vault, project.id)).resolves.toMatchObject([{ policy: readablePolicy }]);
    await setSecretPolicy(vault, project.id, "OLD", sealed);
    await expect(resolve("OLD")).resolves.toMatchObject({ value, policy: sealed });
  });
});

describe("setSecretPolicy()", () => {
  test("keeps the value and gives the next version", async () => {
    await setSecret(vault, project.id, "KEY", value);
    await expect(setSecretPolicy(vault, project.id, "KEY", sealed)).resolves.toBe(2);
    await expect(resolve("KEY")).resolves.toMatchObject({ value, policy: sealed });
    await expect(listSecrets(vault, project.id)).resolves.toMatchObject([{ version: 2, maskable: true }]);
  });

  test("changes hosts and places of a sealed secret, to more and to fewer", async () => {
    await setSecret(vault, project.id, "KEY", value, sealed);
    const more = { sealed: true, hosts: ["a.example.com", "*.example.net"], places: { body: true } };
    await setSecretPolicy(vault, project.id, "KEY", more);
    await expect(resolve("KEY")).resolves.toMatchObject({ value, policy: more });
    await setSecretPolicy(vault, project.id, "KEY", sealed);
    await expect(resolve("KEY")).resolves.toMatchObject({ value, policy: { ...sealed, places: { body: false } } });
  });

  test.each([{}, { sealed: false }, { hosts: ["https://api.example.com"] }])(
    "does not make a sealed secret readable: %j",
    async (policy) => {
      await setSecret(vault, project.id, "KEY", value, sealed);
      await expect(setSecretPolicy(vault, project.id, "KEY", policy)).rejects.toMatchObject({
        code: "ERR_SECRET_POLICY_INVALID",
        message: expect.stringMatching(
          /^Cannot set the policy of the secret KEY: it is sealed, .* value is given again/,
        ),
      });
      await expect(resolve("KEY")).resolves.toMatchObject({ policy: sealed });
      await expect(storedPolicies("KEY")).resolves.toHaveLength(1);
    },
  );

  test("refuses a secret, a project and a name that do not exist, and makes none", async () => {
    const unknown = setSecretPolicy(vault, project.id, "KEY", sealed);
    await expect(unknown).rejects.toMatchObject({ code: "ERR_SECRET_UNKNOWN" });
    await expect(setSecretPolicy(vault, createId(), "KEY", sealed)).rejects.toMatchObject({
      code: "ERR_PROJECT_UNKNOWN",
    });
    await expect(setSecretPolicy(vault, project.id, "a-b", sealed)).rejects.toMatchObject({
      code: "ERR_SECRET_NAME_INVALID",
    });
    await expect(listSecrets(vault, project.id)).resolves.toEqual([]);
  });

  test("at the same time as new values loses neither value nor version", async () => {
    await setSecret(vault, project.id, "KEY", value, sealed);
    const versions = await Promise.all(
      Array.from({ length: 10 }, async (_, index) =>
        index % 2 === 0
          ? await setSecret(vault, project.id, "KEY", `value number ${index}`)
          : await setSecretPolicy(vault, project.id, "KEY", { sealed: true, hosts: [`host-${index}.example.com`] }),
      ),
    );
    expect(versions.sort((a, b) => a - b)).toEqual(Array.from({ length: 10 }, (_, index) => index + 2));
    const last = await resolve("KEY");
    expect(last.value).toMatch(/^value number \d$/);
    expect(last.policy).toMatchObject({ sealed: true, hosts: [expect.stringMatching(/^host-\d\.example\.com$/)] });
  });

  test("leaves a secret that is switched off as it is", async () => {
    await setSecret(vault, project.id, "KEY", value);
    await disableSecret(vault, project.id, "KEY");
    await setSecretPolicy(vault, project.id, "KEY", sealed);
    await expect(resolve("KEY")).rejects.toMatchObject({ code: "ERR_SECRET_DISABLED" });
  });
});

describe("a policy that breaks a rule is refused and not repeated", () => {
  test.each<[string, unknown, string]>([
    ["a key among the hosts", { hosts: ["a.b", "hunter2 key/+="] }, "hosts.1: [METHODS ][scheme://]host[:port]"],
    ["a key for the list of hosts", { hosts: "hunter2" }, "hosts: Invalid input: expected array, received string"],
    ["a key among the headers", { places: { headers: ["hunter2 key"] } }, "places.headers.0: a header's name"],
    ["a key among the algorithms", { places: { sign: ["hunter2"] } }, "places.sign.0: Invalid option"],
    ["a key for a switch", { sealed: "hunter2" }, "sealed: Invalid input: expected boolean, received string"],
    ["a key for a field", { hunter2: true }, "the policy has 1 unknown key(s)"],
    ["a key for a place", { places: { hunter2: true, hunter22: true } }, "places has 2 unknown key(s)"],
    ["a key for a policy", "hunter2", "the policy: Invalid input: expected object, received string"],
    ["nothing for a policy", null, "the policy: Invalid input: expected object, received null"],
    ["a field that is inherited", JSON.parse('{"__proto__":{"sealed":true}}'), "the policy has 1 unknown key(s)"],
    ["sealed without hosts", { sealed: true }, "the policy: a sealed secret needs the hosts that it is for"],
    ["too many hosts", { hosts: Array.from({ length: 101 }, () => "hunter2") }, "hosts: Too big"],
    ["a host too long", { hosts: ["hunter2".repeat(50)] }, "hosts.0: Too big"],
  ])("%s", async (_, policy, rule) => {
    await setSecret(vault, project.id, "KEY", value);
    for (const work of [
      setSecret(vault, project.id, "KEY", value, policy as SecretPolicyInput),
      setSecret(vault, project.id, "NEW", value, policy as SecretPolicyInput),
      setSecretPolicy(vault, project.id, "KEY", policy as SecretPolicyInput),
    ]) {
      const failure = await failureOf(work);
      expect(failure).toMatchObject({ code: "ERR_SECRET_POLICY_INVALID", message: expect.stringContaining(rule) });
      expect(failure.cause).toBeUndefined();
      expect(failure.message).not.toContain("hunter2");
    }
    await expect(listSecrets(vault, project.id)).resolves.toMatchObject([{ name: "KEY", version: 1 }]);
  });

  test("with ten of its faults at most", async () => {
    const hosts = Array.from({ length: 30 }, () => "not a host");
    const { message } = await failureOf(setSecret(vault, project.id, "KEY", value, { hosts }));
    expect(message.match(/hosts\.\d+/g)).toHaveLength(10);
  });
});

describe("a value that is too short to be sealed", () => {
  const short = [
    ["seven characters", "hunter2", 7],
    ["blanks around seven characters", " \n hunter2\t ", 7],
    ["seven characters of two code units each", "🔑🔑🔑🔑🔑🔑🔑", 7],
    ["blanks alone", "            ", 0],
  ] as const;
  const refusal = (characters: number): object => ({
    code: "ERR_SECRET_VALUE_INVALID",
    message: `Cannot set the secret KEY: its value has ${characters} characters, blanks around it aside; a sealed one needs 8`,
  });

  test.each(short)("is refused with a sealed policy: %s", async (_, text, characters) => {
    await expect(setSecret(vault, project.id, "KEY", text, sealed)).rejects.toMatchObject(refusal(characters));
    await expect(listSecrets(vault, project.id)).resolves.toEqual([]);
  });

  test.each(short)("is refused under the policy that is kept: %s", async (_, text, characters) => {
    await setSecret(vault, project.id, "KEY", value, sealed);
    await expect(setSecret(vault, project.id, "KEY", text)).rejects.toMatchObject(refusal(characters));
    await expect(resolve("KEY")).resolves.toMatchObject({ value });
  });

  test.each(short)("is not sealed by a policy alone: %s", async (_, text, characters) => {
    await setSecret(vault, project.id, "KEY", text);
    await expect(setSecretPolicy(vault, project.id, "KEY", sealed)).rejects.toMatchObject(refusal(characters));
    await expect(resolve("KEY")).resolves.toEqual({ value: text, policy: readablePolicy });
  });

  test("has fewer than eight characters: eight are enough", async () => {
    await setSecret(vault, project.id, "KEY", "🔑🔑🔑🔑🔑🔑🔑🔑", sealed);
    await expect(resolve("KEY")).resolves.toMatchObject({ policy: sealed });
  });
});

describe("a policy changed in the database gives ERR_SECRET_TAMPERED and no value", () => {
  /** SQL for the policy of a secret's version; $1 is the project. */
  const policyOf = (name: string, version = 2): string =>
    `(select v.policy from secret_versions v join secrets s on s.id = v.secret_id
      where s.project_id = $1 and s.name = '${name}' and v.version = ${version})`;
  const setPolicy = (name: string, to: string): string =>
    `update secret_versions v set policy = ${to} from secrets s
     where s.id = v.secret_id and s.project_id = $1 and s.name = '${name}' and v.version = s.current_version`;
  const set = (to: string): string => setPolicy("SEALED", to);
  const readable = `'${JSON.stringify(readablePolicy)}'`;

  test.each<[string, string, string]>([
    [
      "a host added",
      "SEALED",
      set(`replace(v.policy, '"https://new.example.com"', '"https://new.example.com","evil.net"')`),
    ],
    ["a host replaced", "SEALED", set("replace(v.policy, 'new.example.com', 'evil.net')")],
    ["a place added", "SEALED", set(`replace(v.policy, '"body":false', '"body":true')`)],
    ["made readable", "SEALED", set(`replace(v.policy, '"sealed":true', '"sealed":false')`)],
    ["the readable policy", "SEALED", set(readable)],
    ["nulled", "SEALED", set("null")],
    ["emptied", "SEALED", set("''")],
    ["no policy at all", "SEALED", set(`'{"sealed":'`)],
    ["a blank added", "SEALED", set("v.policy || ' '")],
    ["the same with other blanks and order", "SEALED", set("v.policy::jsonb::text")],
    ["its own older version's", "SEALED", set(policyOf("SEALED", 1))],
    ["another secret's", "SEALED", set(policyOf("OTHER"))],
    ["a readable secret's hosts taken away", "LISTED", setPolicy("LISTED", readable)],
    ["a readable secret's policy nulled", "LISTED", setPolicy("LISTED", "null")],
    ["a text for one that had none", "OLD", setPolicy("OLD", readable)],
    [
      "two versions' swapped",
      "SEALED",
      `update secret_versions v
       set policy = case v.version when 1 then ${policyOf("SEALED")} else ${policyOf("SEALED", 1)} end
       from secrets s where s.id = v.secret_id and s.project_id = $1 and s.name = 'SEALED'`,
    ],
    [
      "two secrets' swapped",
      "SEALED",
      `update secret_versions v
       set policy = case s.name when 'OTHER' then ${policyOf("SEALED")} else ${policyOf("OTHER")} end
       from secrets s where s.id = v.secret_id and s.project_id = $1 and s.name in ('SEALED', 'OTHER') and v.version = 2`,
    ],
    [
      "its older version's with the ciphertext",
      "SEALED",
      `update secret_versions v set policy = o.policy, ciphertext = o.ciphertext
       from secrets s, secret_versions o
       where s.id = v.secret_id and o.secret_id = s.id and s.project_id = $1 and s.name = 'SEALED'
         and v.version = 2 and o.version = 1`,
    ],
  ])("%s", async (_, name, attack) => {
    await insertVersion("OLD", null);
    await setSecret(vault, project.id, "LISTED", value, { hosts: ["api.example.com"] });
    for (const host of ["https://old.example.com", "https://new.example.com"]) {
      await setSecret(vault, project.id, "SEALED", value, { sealed: true, hosts: [host] });
      await setSecret(vault, project.id, "OTHER", value, { sealed: true, hosts: ["evil.net"], places: { body: true } });
    }
    expect((await temporary.database.query(attack, [project.id])).rowCount).toBeGreaterThan(0);

    const failure = await failureOf(resolve(name));
    expect(failure).toMatchObject({ code: "ERR_SECRET_TAMPERED", position: { line: 1, column: 1 } });
    expect(failure.message).not.toMatch(/hunter2|evil/);
    // Nor is it sealed anew by whoever keeps it; what is given whole mends the secret.
    const tampered = {
      code: "ERR_SECRET_TAMPERED",
      message: expect.stringContaining("set its value and its policy anew"),
    };
    await expect(setSecret(vault, project.id, name, "another value")).rejects.toMatchObject(tampered);
    await expect(setSecretPolicy(vault, project.id, name, sealed)).rejects.toMatchObject(tampered);
    await setSecret(vault, project.id, name, "another value", sealed);
    await expect(resolve(name)).resolves.toMatchObject({ value: "another value", policy: sealed });
  });
});

describe("a stored text that is no policy", () => {
  test("is marked in the list and not shown, and hides no other secret", async () => {
    await setSecret(vault, project.id, "KEY", value);
    await setSecret(vault, project.id, "OTHER", value);
    for (const text of ["", "hunter2", `{"sealed":true,"hosts":[]}`, `{"hunter2":1}`]) {
      await temporary.database.query(
        "update secret_versions set policy = $2 where secret_id in (select id from secrets where project_id = $1 and name = 'KEY')",
        [project.id, text],
      );
      await expect(listSecrets(vault, project.id)).resolves.toMatchObject([
        { name: "KEY", policy: undefined, tampered: true },
        { name: "OTHER", tampered: false },
      ]);
    }
  });

  test("gives no value even when the value was sealed with it", async () => {
    await insertVersion("LATER", `{"sealed":true,"hosts":["a.b"],"later":true}`);
    await expect(resolve("LATER")).rejects.toThrow("its policy is none that this Stepvault knows");
  });
});
