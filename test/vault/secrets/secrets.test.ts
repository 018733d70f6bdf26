/**
 * Goal: a secret comes back exactly as it was stored, to its own project only, and no change to the stored rows goes
 * unnoticed. Real PostgreSQL; attacks are SQL statements on the rows, as someone with the database would do them.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import {
  createOrganization,
  createProject,
  deleteSecret,
  disableSecret,
  enableSecret,
  listSecrets,
  resolveSecrets,
  setSecret,
} from "../../helpers/vault.ts";

let temporary: Temporary;
let vault: Vault;
let organizationId: string;
let projectId: string;
let otherProjectId: string;

beforeAll(async () => {
  temporary = await openTemporary();
  vault = await openVault(temporary.database, temporary.config);
  organizationId = (await createOrganization(vault, "Acme")).id;
  projectId = (await createProject(vault, organizationId, "Support")).id;
  otherProjectId = (await createProject(vault, organizationId, "Support")).id;
});

afterAll(async () => {
  vault.close();
  await temporary.dispose();
});

async function expose(project: string, ...names: string[]): Promise<string[]> {
  const values = await resolveSecrets(
    vault,
    project,
    names.map((name) => ({ name })),
  );
  return values.map((value) => value.expose());
}

async function failureOf(work: Promise<unknown>): Promise<Error & { code: string }> {
  return await work.then(
    () => expect.unreachable("it should have failed"),
    (error: unknown) => error as Error & { code: string },
  );
}

describe("values", () => {
  test.each([
    ["quotes and backslashes", `'"\`\\\\'; drop table secrets; -- \${x} }} << >>`],
    ["NUL and controls", "a\u0000b\u0001\u001b[31m\r\n\u2028"],
    ["emoji", "🔑👩‍👩‍👧 ünïcödé"],
    ["64 KiB", "x".repeat(65_536)],
    ["64 KiB of four-byte characters", "🔑".repeat(16_384)],
    ["one blank", " "],
    ["a byte order mark", "\ufeffvalue"],
  ])("round-trip: %s", async (_, value) => {
    await setSecret(vault, projectId, "HOSTILE", value);
    const [exposed] = await expose(projectId, "HOSTILE");
    expect(exposed === value).toBe(true);
  });

  test.each([
    ["empty", "", "0 bytes"],
    ["a byte too large", "x".repeat(65_537), "65537 bytes"],
    ["too large in UTF-8", "é".repeat(32_769), "65538 bytes"],
    ["half a surrogate pair", "hunter2\ud83d", "surrogate"],
  ])("are refused when %s, and the message does not repeat them", async (_, value, reason) => {
    const failure = await failureOf(setSecret(vault, projectId, "REFUSED", value));
    expect(failure).toMatchObject({ code: "ERR_SECRET_VALUE_INVALID", message: expect.stringContaining(reason) });
    expect(failure.message).not.toMatch(/hunter2|xxxx|éé/);
    await expect(expose(projectId, "REFUSED")).rejects.toMatchObject({ code: "ERR_SECRET_UNKNOWN" });
  });

  test("say whether redaction can mask them", async () => {
    const project = (await createProject(vault, organizationId, "Masking")).id;
    await setSecret(vault, project, "SHORT", " ab🔑\n");
    await setSecret(vault, project, "LONG", "abc🔑");
    expect((await listSecrets(vault, project)).map(({ name, maskable }) => [name, maskable])).toEqual([
      ["LONG", true],
      ["SHORT", false],
    ]);
  });
});

describe("versions", () => {
  test("of concurrent writes are consecutive, and the last one is resolved", async () => {
    const project = (await createProject(vault, organizationId, "Busy")).id;
    const versions = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => ({
        version: await setSecret(vault, project, "BUSY", `value ${index}`),
        value: `value ${index}`,
      })),
    );
    expect(versions.map(({ version }) => version).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
    const last = versions.find(({ version }) => version === 20);
    await expect(expose(project, "BUSY")).resolves.toEqual([last?.value]);
    expect(await listSecrets(vault, project)).toMatchObject([{ name: "BUSY", version: 20, disabled: false }]);
  });

  test("of different new secrets can be written at once in a new project", async () => {
    const project = (await createProject(vault, organizationId, "New")).id;
    const names = Array.from({ length: 10 }, (_, index) => `NAME_${index}`);
    await Promise.all(names.map(async (name) => await setSecret(vault, project, name, `value of ${name}`)));
    await expect(expose(project, ...names)).resolves.toEqual(names.map((name) => `value of ${name}`));
  });
});

describe("names", () => {
  test("that are the value itself are refused without being repeated", async () => {
    const failure = await failureOf(setSecret(vault, projectId, "sk_live_hunter2", " sk_live_hunter2\n"));
    expect(failure).toMatchObject({ code: "ERR_SECRET_NAME_INVALID", message: expect.not.stringContaining("hunter2") });
    await setSecret(vault, projectId, "SHORT_X", "SHORT_X");
  });

  test.each(["", "1A", "A-B", "A.B", "A B", "Ä", "a".repeat(129), "hunter2!hunter2"])(
    "that break the rule are refused without being repeated: %s",
    async (name) => {
      const failure = await failureOf(setSecret(vault, projectId, name, "value"));
      expect(failure.code).toBe("ERR_SECRET_NAME_INVALID");
      expect(failure.message).not.toContain("hunter2");
    },
  );

  test("keep their case, may not differ by case only, and are looked up exactly", async () => {
    const project = (await createProject(vault, organizationId, "Case")).id;
    await setSecret(vault, project, "Api_Key", "value");
    const failure = await failureOf(setSecret(vault, project, "API_KEY", "other"));
    expect(failure).toMatchObject({ code: "ERR_SECRET_NAME_INVALID", message: expect.stringContaining("Api_Key") });
    await expect(expose(project, "Api_Key")).resolves.toEqual(["value"]);
    await expect(expose(project, "API_KEY")).rejects.toThrow("the closest name is Api_Key");
  });

  test("chains_<name> means <name>, unless a secret has that very name", async () => {
    const project = (await createProject(vault, organizationId, "Chains")).id;
    await setSecret(vault, project, "stripe", "plain");
    const [value] = await resolveSecrets(vault, project, [{ name: "chains_stripe" }]);
    expect([value?.name, value?.expose()]).toEqual(["chains_stripe", "plain"]);
    await setSecret(vault, project, "chains_stripe", "literal");
    await expect(expose(project, "chains_stripe", "stripe")).resolves.toEqual(["literal", "plain"]);
  });
});

describe("resolveSecrets()", () => {
  test("gives one value per distinct name in the order of first mention, and prints none of them", async () => {
    await setSecret(vault, projectId, "FIRST", "value one");
    await setSecret(vault, projectId, "SECOND", "value two");
    const values = await resolveSecrets(vault, projectId, [
      { name: "SECOND" },
      { name: "FIRST", line: 1, column: 2 },
      { name: "SECOND", line: 3, column: 4 },
    ]);
    expect(values.map((value) => [value.name, value.expose()])).toEqual([
      ["SECOND", "value two"],
      ["FIRST", "value one"],
    ]);
    expect(`${JSON.stringify(values)} ${values.join()}`).not.toContain("value");
    await expect(resolveSecrets(vault, projectId, [])).resolves.toEqual([]);
  });

  test("names the missing secret, its place and the closest existing name", async () => {
    await setSecret(vault, projectId, "STRIPE_API_KEY", "value");
    const failure = await failureOf(
      resolveSecrets(vault, projectId, [
        { name: "STRIPE_API_KEY", line: 1, column: 1 },
        { name: "STRIPE_AIP_KEY", line: 3, column: 7 },
      ]),
    );
    expect(failure).toMatchObject({
      code: "ERR_SECRET_UNKNOWN",
      position: { line: 3, column: 7 },
      message:
        "Cannot resolve the secret STRIPE_AIP_KEY at line 3, column 7: the project has no such secret; the closest name is STRIPE_API_KEY",
    });
    await expect(expose(projectId, "nothing_like_any_of_them")).rejects.toThrow(/has no such secret$/);
  });

  test("never gives another project's secret, nor names it", async () => {
    await setSecret(vault, otherProjectId, "ONLY_THERE", "value");
    const failure = await failureOf(expose(projectId, "ONLY_THERE"));
    expect(failure).toMatchObject({ code: "ERR_SECRET_UNKNOWN", message: expect.not.stringContaining("closest") });
  });

  test.each(["not an id; hunter2", createId()])("refuses an unknown project", async (id) => {
    const failure = await failureOf(expose(id, "ANY"));
    expect(failure.code).toBe("ERR_PROJECT_UNKNOWN");
    expect(failure.message).not.toContain("hunter2");
    await expect(setSecret(vault, id, "ANY", "value")).rejects.toMatchObject({ code: "ERR_PROJECT_UNKNOWN" });
    await expect(listSecrets(vault, id)).rejects.toMatchObject({ code: "ERR_PROJECT_UNKNOWN" });
  });

  test("takes the project's id in any case", async () => {
    await setSecret(vault, projectId.toUpperCase(), "UPPER", "value");
    await expect(expose(projectId.toUpperCase(), "UPPER")).resolves.toEqual(["value"]);
  });

  test("refuses a secret that is switched off until it is on again", async () => {
    await setSecret(vault, projectId, "SWITCHED", "value");
    await disableSecret(vault, projectId, "SWITCHED");
    await expect(resolveSecrets(vault, projectId, [{ name: "SWITCHED", line: 2, column: 5 }])).rejects.toMatchObject({
      code: "ERR_SECRET_DISABLED",
      position: { line: 2, column: 5 },
    });
    await enableSecret(vault, projectId, "SWITCHED");
    await expect(expose(projectId, "SWITCHED")).resolves.toEqual(["value"]);
  });

  test("gives nothing of a deleted secret, until it is set again", async () => {
    await setSecret(vault, projectId, "DELETED", "old");
    await deleteSecret(vault, projectId, "DELETED");
    await expect(expose(projectId, "DELETED")).rejects.toMatchObject({ code: "ERR_SECRET_DELETED" });
    await expect(deleteSecret(vault, projectId, "DELETED")).rejects.toMatchObject({ code: "ERR_SECRET_UNKNOWN" });
    await expect(setSecret(vault, projectId, "DELETED", "new")).resolves.toBe(2);
    await expect(expose(projectId, "DELETED")).resolves.toEqual(["new"]);
  });
});

describe("a row changed in the database", () => {
  let project: string;

  async function fresh(): Promise<void> {
    project = (await createProject(vault, organizationId, "Attacked")).id;
    await setSecret(vault, project, "MINE", "the value of mine");
    await setSecret(vault, project, "OTHER", "the first of other");
    await setSecret(vault, project, "OTHER", "the value of other");
    // With its policy: the row from before was deleted past Stepvault, and its policy is not known.
    await setSecret(vault, otherProjectId, "MINE", "the value of the other project", {});
  }

  const versionOf = (parameter: string, name: string, version = "s.current_version"): string =>
    `(select v.ctid from secret_versions v join secrets s on s.id = v.secret_id
      where s.project_id = ${parameter} and s.name = '${name}' and v.version = ${version})`;
  const ciphertextOf = (parameter: string, name: string, version?: string): string =>
    `(select ciphertext from secret_versions where ctid = ${versionOf(parameter, name, version)})`;

  test.each([
    [
      "another secret's ciphertext",
      `update secret_versions set ciphertext = ${ciphertextOf("$1", "OTHER")} where ctid = ${versionOf("$1", "MINE")} and $2::uuid is not null`,
    ],
    [
      "another project's ciphertext",
      `update secret_versions set ciphertext = ${ciphertextOf("$2", "MINE")} where ctid = ${versionOf("$1", "MINE")}`,
    ],
    [
      "another project's ciphertext with its data key",
      `update secret_versions set ciphertext = ${ciphertextOf("$2", "MINE")},
         data_key_id = (select id from data_keys where project_id = $2) where ctid = ${versionOf("$1", "MINE")}`,
    ],
    [
      "another project's wrapped key",
      `update data_keys set wrapped_key = (select wrapped_key from data_keys where project_id = $2) where project_id = $1`,
    ],
    [
      "a truncated tag",
      `update secret_versions set ciphertext = substring(ciphertext from 1 for length(ciphertext) - 12)
       where ctid = ${versionOf("$1", "MINE")} and $2::uuid is not null`,
    ],
    [
      "a flipped bit",
      `update secret_versions set ciphertext = set_bit(ciphertext, 120, 1 - get_bit(ciphertext, 120))
       where ctid = ${versionOf("$1", "MINE")} and $2::uuid is not null`,
    ],
    [
      "another format byte",
      `update secret_versions set ciphertext = set_byte(ciphertext, 0, 2) where ctid = ${versionOf("$1", "MINE")} and $2::uuid is not null`,
    ],
    [
      "an empty ciphertext",
      `update secret_versions set ciphertext = '' where ctid = ${versionOf("$1", "MINE")} and $2::uuid is not null`,
    ],
    [
      "no version at all",
      `delete from secret_versions where ctid = ${versionOf("$1", "MINE")} and $2::uuid is not null`,
    ],
    [
      "a name taken from another secret",
      `with gone as (delete from secrets where project_id = $1 and name = 'MINE')
       update secrets set name = 'MINE2' where project_id = $1 and name = 'OTHER' and $2::uuid is not null`,
    ],
    [
      "a secret moved in from another project",
      `with gone as (update secrets set name = 'GONE' where project_id = $1 and name = 'MINE')
       update secrets set project_id = $1, name = 'MINE2' where project_id = $2 and name = 'MINE'`,
    ],
  ])("%s gives ERR_SECRET_TAMPERED and no value", async (_, attack) => {
    await fresh();
    expect((await temporary.database.query(attack, [project, otherProjectId])).rowCount).toBe(1);
    const name = attack.includes("MINE2") ? "MINE2" : "MINE";
    const failure = await failureOf(resolveSecrets(vault, project, [{ name, line: 1, column: 1 }]));
    expect(failure).toMatchObject({ code: "ERR_SECRET_TAMPERED", position: { line: 1, column: 1 } });
    expect(failure.message).not.toContain("the value");
    await temporary.database.query("delete from secrets where name in ('MINE', 'MINE2')");
  });

  test("an older version's ciphertext in the newer version's row gives ERR_SECRET_TAMPERED", async () => {
    await fresh();
    await temporary.database.query(
      `update secret_versions set ciphertext = ${ciphertextOf("$1", "OTHER", "1")} where ctid = ${versionOf("$1", "OTHER")}`,
      [project],
    );
    await expect(expose(project, "OTHER")).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
  });

  test("a project moved to another organization gives ERR_SECRET_TAMPERED, also for the next write", async () => {
    await fresh();
    const { id } = await createOrganization(vault, "Other");
    await temporary.database.query("update projects set organization_id = $2 where id = $1", [project, id]);
    await expect(expose(project, "OTHER")).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
    await expect(setSecret(vault, project, "OTHER", "value")).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
  });
});

test("a dump of every table holds no value in any plain encoding", async () => {
  const value = "canary-9f8e7d6c5b4a-🔑-canary";
  await setSecret(vault, projectId, "CANARY", value);
  const { rows: tables } = await temporary.database.query<{ name: string }>(
    "select quote_ident(table_name) as name from information_schema.tables where table_schema = 'stepvault'",
  );
  let dump = "";
  for (const { name } of tables) {
    const { rows } = await temporary.database.query<{ row: string }>(`select t::text as row from ${name} t`);
    dump += rows.map(({ row }) => row).join("\n");
  }
  expect(dump).toContain("CANARY");
  const bytes = Buffer.from(value);
  for (const encoding of ["utf8", "base64", "base64url", "hex"] as const) {
    expect(dump.includes(bytes.toString(encoding))).toBe(false);
  }
});

describe("tenancy", () => {
  test("gives organizations and projects by id, in the order of their making; names may repeat", async () => {
    const organization = await createOrganization(vault, "Same name");
    await createOrganization(vault, "Same name");
    const first = await createProject(vault, organization.id, "Same name");
    const second = await createProject(vault, organization.id, "Same name");
    await expect(vault.tenancy.listProjects(organization.id)).resolves.toEqual([first, second]);
    await expect(vault.tenancy.getProject(first.id)).resolves.toEqual(first);
    expect((await vault.tenancy.listOrganizations()).filter(({ name }) => name === "Same name")).toHaveLength(2);
    expect(first.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  });

  test("refuses a project in an organization that does not exist", async () => {
    await expect(createProject(vault, createId(), "Orphan")).rejects.toMatchObject({
      code: "ERR_ORGANIZATION_UNKNOWN",
    });
    await expect(createProject(vault, "Acme", "Orphan")).rejects.toMatchObject({ code: "ERR_ORGANIZATION_UNKNOWN" });
  });
});
