/**
 * The requirements on named secrets that are told nowhere else, each under its number: shared/requirements.md has their
 * sentences. Goal: what people are promised holds on the whole way, for runs in both languages. Real service, real runs.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { integrations } from "../../../protocol/integrations.ts";
import type { Language } from "../../../protocol/job.ts";
import type { SecretPolicyInput } from "../../../protocol/secret-policy.ts";
import { saveStep } from "../../../runs/steps.ts";
import type { SecretHint } from "../../../vault/secrets/secret-hints.ts";
import type { Vault } from "../../../vault/vault.ts";
import { textOf } from "../../helpers/sandbox.ts";
import { openTestService, type TestService } from "../../helpers/service.ts";

let stepvault: TestService;
let vault: Vault;
let organizationId: string;
let projectId: string;
let otherProjectId: string;
const languages: Language[] = ["javascript", "python"];

beforeAll(async () => {
  stepvault = await openTestService();
  vault = stepvault.service.vault;
  projectId = stepvault.projectId;
  ({ organizationId } = await vault.tenancy.getProject(projectId));
  otherProjectId = (await vault.tenancy.createProject({ organizationId, name: "Other" })).id;
  for (const [personId, role] of [
    ["owner", "owner"],
    ["editor", "member"],
    ["builder", "member"],
    ["member", "member"],
    ["viewer", "member"],
    ["outsider", "member"],
  ] as const)
    await vault.tenancy.setOrganizationMember({ organizationId, personId, name: `The ${personId}`, role });
  await vault.tenancy.setProjectMember({ projectId, personId: "editor", role: "editor" });
  await vault.tenancy.setProjectMember({ projectId, personId: "builder", role: "member", canCreateAssets: true });
  await vault.tenancy.setProjectMember({ projectId, personId: "member", role: "member" });
  await vault.tenancy.setProjectMember({ projectId, personId: "viewer", role: "viewer" });
  await vault.tenancy.setProjectMember({ projectId: otherProjectId, personId: "outsider", role: "admin" });
});
afterAll(async () => await stepvault.close());

const as = (id: string): Vault => vault.as({ kind: "person", id });
const place = (): { projectId: string } => ({ projectId });
const set = async (name: string, value: string, policy?: SecretPolicyInput): Promise<unknown> =>
  await vault.secrets.set({ place: place(), name, value, policy });

/** Code that gives the length of a text and prints it; both languages take the same templates. */
const lengthOf = (language: Language, text: string): string =>
  language === "python"
    ? `v = "${text}"\nprint(v)\nreturn [len(v), v]`
    : `const v = "${text}"; console.log(v); return [v.length, v]`;

describe.each(languages)("in %s", (language) => {
  test(`requirement 12: a secret is stored encrypted, and agents' steps use it (${language})`, async () => {
    const value = `only-in-memory-${language}-7Qz`;
    const name = `STORED_${language}`;
    await set(name, value);
    const { database } = stepvault.service;
    const { rows } = await database.query<{ row: string; plain: boolean }>(
      `select v::text as row, position(convert_to($2, 'UTF8') in v.ciphertext) > 0 as plain from secret_versions v
       join secrets s on s.id = v.secret_id where s.name = $1`,
      [name, value],
    );
    expect([rows.length, rows[0]?.plain, rows[0]?.row.includes(value)]).toEqual([1, false, false]);
    const code = lengthOf(language, `<<secrets.${name}>>`);
    const { id } = await saveStep(database, { projectId, name: "Of an agent", step: { language, code } });
    await vault.agents.create({ projectId, kind: "agent", name: "Agent", public: false, stepIds: [id] });
    const result = await stepvault.run({ step: { id }, labels: { agentId: "any" } });
    expect(result.output).toEqual([value.length, `[REDACTED:${name}]`]);
  });

  test(`requirement 13: <<secrets.name>>, {{secrets.name}} and the alias chains_name refer to it (${language})`, async () => {
    await set("stripe_key", "sk-0123456789");
    for (const reference of [
      "<<secrets.stripe_key>>",
      "{{secrets.stripe_key}}",
      "<<secrets.chains_stripe_key>>",
      "{{secrets.chains_stripe_key}}",
    ]) {
      const { output, error } = await stepvault.run({ step: { language, code: lengthOf(language, reference) } });
      expect([reference, error?.code, (output as unknown[])[0]]).toEqual([reference, undefined, 13]);
    }
  });

  test(`requirement 16: values are masked in output, logs and errors without anybody asking for it (${language})`, async () => {
    const value = `masked-everywhere-${language}`;
    await set("MASKED", value);
    const reference = "<<secrets.MASKED>>";
    const code =
      language === "python"
        ? `import logging, sys\nk = "${reference}"\nprint(k)\nprint(k, file=sys.stderr)\nlogging.warning("it is %s", k, extra={"field": k})\nif params["fail"]: raise ValueError("about " + k)\nreturn {"k": k, k: 1}`
        : `const k = "${reference}"; console.log(k); console.warn("it is", { field: k }); if (params.fail) throw new Error("about " + k); return { k, [k]: 1 }`;
    for (const fail of [false, true]) {
      const result = await stepvault.run({ step: { language, code }, params: { fail } });
      expect([result.status, result.error?.code]).toEqual(
        fail ? ["failed", "ERR_STEP_THREW"] : ["succeeded", undefined],
      );
      const events = await stepvault.events(result.runId);
      const everything = JSON.stringify([result, events, stepvault.log]);
      expect([everything.includes(value), JSON.stringify(events).includes("[REDACTED:MASKED]")]).toEqual([false, true]);
      expect(textOf(events)).toContain("[REDACTED:MASKED]");
      // The key of an output is masked like its value.
      const told = result.output ?? [result.error?.message];
      expect(Object.values(told as object)[0]).toContain("[REDACTED:MASKED]");
      expect(Object.keys(told as object)).toHaveLength(fail ? 1 : 2);
    }
  });
});

describe("people", () => {
  test("requirement 14: any builder of the project uses, changes and deletes a secret that somebody else stored", async () => {
    await as("editor").secrets.set({ place: place(), name: "OF_THE_EDITOR", value: "first" });
    const builder = as("builder");
    const references = [{ name: "OF_THE_EDITOR" }];
    await expect(builder.secrets.check({ projectId, references })).resolves.toMatchObject({ failures: [] });
    expect((await builder.secrets.list({ place: place() })).map(({ name }) => name)).toContain("OF_THE_EDITOR");
    const by = { kind: "person", id: "builder" } as const;
    const code = lengthOf("javascript", "<<secrets.OF_THE_EDITOR>>");
    const step = await saveStep(stepvault.service.database, {
      projectId,
      name: "Theirs",
      step: { language: "javascript", code },
      by,
    });
    expect((await stepvault.run({ step: { id: step.id } })).output).toEqual([5, "[REDACTED:OF_THE_EDITOR]"]);
    await builder.secrets.set({ place: place(), name: "OF_THE_EDITOR", value: "another" });
    await builder.secrets.delete({ place: place(), name: "OF_THE_EDITOR" });
    await expect(as("editor").secrets.check({ projectId, references })).resolves.toMatchObject({
      failures: [{ code: "ERR_SECRET_DELETED" }],
    });
  });

  test("requirement 15: who is no builder can neither refer to a secret nor see that there is one", async () => {
    await set("BUILDERS_ONLY", "the-value");
    const references = [{ name: "BUILDERS_ONLY" }];
    const codes = async (who: Vault): Promise<string[]> =>
      await Promise.all(
        [
          who.secrets.check({ projectId, references }),
          who.secrets.list({ place: place() }),
          who.secrets.explain({ projectId, name: "BUILDERS_ONLY" }),
        ].map(
          async (work) =>
            await work.then(
              () => "may",
              (error: { code: string }) => error.code,
            ),
        ),
      );
    for (const builder of ["owner", "editor", "builder"])
      expect(await codes(as(builder))).toEqual(["may", "may", "may"]);
    for (const other of ["member", "viewer"])
      expect(await codes(as(other))).toEqual(["ERR_FORBIDDEN", "ERR_FORBIDDEN", "ERR_FORBIDDEN"]);
    for (const stranger of ["outsider", "nobody"])
      expect(new Set(await codes(as(stranger)))).toEqual(new Set(["ERR_PROJECT_UNKNOWN"]));
  });

  test("requirement 17: the risk of sharing is told, in lists and of each secret", async () => {
    await set("RISKY", "the-value");
    const risk = "Any builder of the project can act with all the permissions that this key has, whoever stored it";
    const listed = (await as("builder").secrets.list({ place: place() })).find(({ name }) => name === "RISKY");
    expect(listed?.risk).toBe(risk);
    const access = await as("builder").secrets.access({ place: place(), name: "RISKY" });
    expect(access.risk).toBe(`${risk}: 3 of the organization's people, in 1 of its projects`);
    await set("RISKY", "the-value", { roles: ["editor", "owner"] });
    const narrowed = await as("builder").secrets.access({ place: place(), name: "RISKY" });
    expect(narrowed.risk).toMatch(/^Any editor or owner of the project can .*: 2 of the organization's people/);
    await vault.secrets.set({ place: { organizationId }, name: "RISKY_SHARED", value: "the-value", access: "all" });
    const inherited = (await as("builder").secrets.list({ place: place() })).find(
      ({ name }) => name === "RISKY_SHARED",
    );
    expect(inherited?.risk).toMatch(/^Any builder of any of the organization's projects can act with all/);
  });

  test("requirement 18: one sees which people can act with a secret, and by which of their roles", async () => {
    await set("SEEN", "the-value");
    const at = { place: place(), name: "SEEN" };
    const { people, projectIds, complete } = await as("builder").secrets.access(at);
    expect(people).toEqual(
      ["builder", "editor", "owner"].map((personId) => ({
        personId,
        name: `The ${personId}`,
        in: [{ projectId, by: personId }],
      })),
    );
    expect([projectIds, complete]).toEqual([[projectId], true]);
    await expect(as("viewer").secrets.access(at)).rejects.toMatchObject({ code: "ERR_FORBIDDEN" });
    await expect(as("outsider").secrets.access(at)).rejects.toMatchObject({ code: "ERR_PROJECT_UNKNOWN" });
    await expect(vault.secrets.access({ place: place(), name: "SEEN_NOT" })).rejects.toMatchObject({
      code: "ERR_SECRET_UNKNOWN",
    });
  });

  test("requirement 18: of an organization's secret one sees the people of each project that may use it", async () => {
    const at = { place: { organizationId }, name: "SEEN_SHARED" };
    await vault.secrets.set({ ...at, value: "the-value", access: [otherProjectId] });
    const shown = async (): Promise<Record<string, string[]>> =>
      Object.fromEntries(
        (await as("owner").secrets.access(at)).people.map(({ personId, in: where }) => [
          personId,
          where.map(({ projectId: id, by }) => `${id === projectId ? "first" : "other"} ${by}`),
        ]),
      );
    expect(await shown()).toEqual({ outsider: ["other project admin"], owner: ["other owner"] });
    await vault.secrets.change({ ...at, access: "all" });
    expect(await shown()).toEqual({
      builder: ["first builder"],
      editor: ["first editor"],
      outsider: ["other project admin"],
      owner: ["first owner", "other owner"],
    });
    await expect(as("builder").secrets.access(at)).rejects.toMatchObject({ code: "ERR_FORBIDDEN" });
    // A grant copied in the database makes nobody one of these people.
    await vault.secrets.change({ ...at, access: [otherProjectId] });
    await stepvault.service.database.query(
      "insert into secret_grants select secret_id, $1, mac from secret_grants where project_id = $2",
      [projectId, otherProjectId],
    );
    expect(Object.keys(await shown())).toEqual(["outsider", "owner"]);
    await stepvault.service.database.query("update secrets set access = 'all' where name = $1", [at.name]);
    await expect(as("owner").secrets.access(at)).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
  });

  test("requirement 18: of more projects than are looked at it says that there are more", async () => {
    const { id } = await vault.tenancy.createOrganization("Large");
    for (let index = 0; index < 101; index += 1)
      await vault.tenancy.createProject({ organizationId: id, name: `${index}` });
    await vault.tenancy.setOrganizationMember({ organizationId: id, personId: "boss", name: "Boss", role: "owner" });
    const at = { place: { organizationId: id }, name: "WIDE" };
    await vault.secrets.set({ ...at, value: "the-value", access: "all" });
    const { complete, projectIds, people, risk } = await vault.secrets.access(at);
    expect([complete, projectIds.length, people[0]?.in.length]).toEqual([false, 100, 100]);
    expect(risk).toMatch(/at least 1 of the organization's people, in at least 100 of its projects$/);
  });
});

describe("isolation", () => {
  test.each(languages)(
    "requirement 19: no builder is restricted by default, and another project never has it (%s)",
    async (language) => {
      await vault.secrets.set({ place: { projectId: otherProjectId }, name: "ONLY_THERE", value: "of-the-other" });
      const code = lengthOf(language, "<<secrets.ONLY_THERE>>");
      const here = await stepvault.run({ step: { language, code } });
      expect([here.status, here.error?.code]).toEqual(["rejected", "ERR_SECRET_UNKNOWN"]);
      expect(JSON.stringify(here)).not.toContain("of-the-other");
      const { service } = stepvault;
      const runId = await service.submit({ projectId: otherProjectId, step: { language, code } });
      expect((await service.result(otherProjectId, runId, 60_000)).output).toEqual([12, "[REDACTED:ONLY_THERE]"]);
      const [listed] = await vault.secrets.list({ place: { projectId: otherProjectId } });
      expect(listed?.policy).toMatchObject({ steps: [], agents: [], roles: [], hosts: [] });
    },
  );

  test("requirement 19: a policy goes beyond: on steps, agents and roles it holds for a run too", async () => {
    const code = lengthOf("javascript", "<<secrets.FOR_EDITORS>>");
    await set("FOR_EDITORS", "the-value", { roles: ["editor"] });
    const save = async (id: string): Promise<string> =>
      (
        await saveStep(stepvault.service.database, {
          projectId,
          name: "A step",
          step: { language: "javascript", code },
          by: { kind: "person", id },
        })
      ).id;
    expect((await stepvault.run({ step: { id: await save("editor") } })).status).toBe("succeeded");
    const refused = await stepvault.run({ step: { id: await save("builder") } });
    expect([refused.status, refused.error?.code]).toEqual(["rejected", "ERR_SECRET_NOT_ALLOWED"]);
  });
});

describe("hints", () => {
  const hints = async (
    name: string,
    at: Parameters<Vault["secrets"]["access"]>[0]["place"] = place(),
  ): Promise<SecretHint["id"][]> => (await vault.secrets.access({ place: at, name })).hints.map(({ id }) => id);
  const inAYear = (): Date => new Date(Date.now() + 365 * 86_400_000);

  test("requirement 20: each best practice is told where it applies, and not where it is followed", async () => {
    await set("PLAIN", "the-value");
    expect(await hints("PLAIN")).toEqual(["narrow-scope", "seal", "expiry"]);
    await vault.secrets.change({ place: place(), name: "PLAIN", expiresAt: inAYear() });
    expect(await hints("PLAIN")).toEqual(["narrow-scope", "seal"]);
    await set("PLAIN", "the-value", { sealed: true, hosts: ["https://api.example.com"], roles: ["editor"] });
    expect(await hints("PLAIN")).toEqual([]);
  });

  test("requirement 20: per-user OAuth is preferred where an integration has it, by name, tag or host", async () => {
    await set("SALESFORCE_TOKEN", "the-value");
    await set("CRM", "the-value", { hosts: ["https://acme.my.salesforce.com"] });
    await vault.secrets.set({ place: place(), name: "FILES", value: "the-value", tags: ["google drive"] });
    await set("SLACK_TOKEN", "the-value");
    for (const name of ["SALESFORCE_TOKEN", "CRM", "FILES"]) expect(await hints(name)).toContain("per-user-oauth");
    expect(await hints("SLACK_TOKEN")).not.toContain("per-user-oauth");
    const { hints: told } = await vault.secrets.access({ place: place(), name: "CRM" });
    expect(told.map(({ text }) => text).join("\n")).toMatch(
      /with Salesforce users can connect their own account[^]*Seal it: now/,
    );
  });

  test("requirement 20: a project of its own where many people can act with it, or selected projects", async () => {
    const at = { organizationId };
    await vault.secrets.set({ place: at, name: "EVERYWHERE", value: "the-value", access: "all" });
    expect(await hints("EVERYWHERE", at)).toContain("separate-project");
    await vault.secrets.change({ place: at, name: "EVERYWHERE", access: [projectId] });
    expect(await hints("EVERYWHERE", at)).not.toContain("separate-project");
    const crowded = (await vault.tenancy.createProject({ organizationId, name: "Crowded" })).id;
    await vault.secrets.set({ place: { projectId: crowded }, name: "CROWD", value: "the-value" });
    expect(await hints("CROWD", { projectId: crowded })).not.toContain("separate-project");
    for (const personId of ["editor", "builder", "member", "viewer", "outsider"])
      await vault.tenancy.setProjectMember({ projectId: crowded, personId, role: "editor" });
    expect(await hints("CROWD", { projectId: crowded })).toContain("separate-project");
  });
});

describe("kinds", () => {
  test("requirement 21: a shared key and a per-user OAuth connection are told apart wherever integrations are listed", async () => {
    for (const { kind, oauth, fields, id } of integrations.values())
      expect([id, kind, fields.length === 0]).toEqual([id, oauth ? "per-user" : "shared", oauth]);
    const kinds = [...integrations.values()].map(({ kind }) => kind);
    expect(new Set(kinds)).toEqual(new Set(["shared", "per-user"]));
    const { credentials } = vault;
    await credentials.set({ place: place(), integration: "serpapi", fields: { api_key: `key-${createId()}` } });
    expect(await credentials.list(place())).toMatchObject([{ integration: "serpapi", kind: "shared" }]);
    const effective = await credentials.listEffective(projectId);
    expect(effective.map(({ kind }) => kind)).toEqual(
      effective.map(({ integration }) => integrations.get(integration)?.kind),
    );
    const perUser = { place: place(), integration: "salesforce", fields: { api_key: "any-key" } };
    await expect(credentials.set(perUser)).rejects.toMatchObject({ code: "ERR_OAUTH_NOT_SHAREABLE" });
  });
});
