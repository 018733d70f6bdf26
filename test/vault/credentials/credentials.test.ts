/**
 * Setting, switching, removing and listing credentials. Goal: one slot per integration and level, changed only by those who
 * may and past the gates; of a replaced or removed value nothing is left; no value in a list, an event or an error. Real
 * PostgreSQL and keys. What somebody with the database does is in credential-manifest.test.ts.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { integrations } from "../../../protocol/integrations.ts";
import { contextFor } from "../../../vault/audit/acting.ts";
import { type Actor, operator } from "../../../vault/tenancy/actor.ts";
import { listAudit } from "../../../vault/audit/audit.ts";
import type { Place } from "../../../vault/tenancy/authorize.ts";
import {
  type CredentialContext,
  listCredentials,
  removeCredential,
  setCredential,
  switchCredential,
} from "../../../vault/credentials/credentials.ts";
import { explainCredential, listEffective, resolveCredential } from "../../../vault/credentials/effective.ts";
import { type Gates, setEditorsManage, setStanding } from "../../../vault/credentials/gates.ts";
import { type MasterKey, openMasterKey } from "../../../vault/encryption/master-key.ts";
import { setOrganizationMember, setProjectMember } from "../../../vault/tenancy/members.ts";
import { createOrganization, createProject } from "../../../vault/tenancy/tenancy.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";

const off: Gates = { planGate: false, rolloutGate: false };
const on: Gates = { planGate: true, rolloutGate: true };
const value = "hunter2-hunter2";

let temporary: Temporary;
let master: MasterKey;
let organizationId: string;
let projectId: string;
let organization: Place;
let project: Place;

beforeAll(async () => {
  temporary = await openTemporary();
  master = await openMasterKey(temporary.database, temporary.config);
});
afterAll(async () => {
  master.close();
  await temporary.dispose();
});

beforeEach(async () => {
  const { database } = temporary;
  organizationId = (await createOrganization(database, "Acme")).id;
  projectId = (await createProject(database, organizationId, "Support")).id;
  [organization, project] = [{ organizationId }, { projectId }];
  for (const role of ["owner", "admin", "member"] as const)
    await setOrganizationMember(database, { organizationId, personId: role, name: role, role });
  for (const role of ["admin", "editor", "member", "viewer"] as const) {
    const personId = `project ${role}`;
    await setOrganizationMember(database, { organizationId, personId, name: personId, role: "member" });
    await setProjectMember(database, { projectId, personId, role, canCreateAssets: true });
  }
});

function as(who: string | Actor = operator, gates = off): CredentialContext {
  const actor: Actor = typeof who === "string" ? { kind: "person", id: who } : who;
  return { ...contextFor(temporary.database, master, actor), master, gates };
}

async function set(place: Place, who?: string | Actor, gates = off): Promise<number> {
  return await setCredential(as(who, gates), { place, integration: "openai", fields: { api_key: value } });
}

async function failureOf(work: Promise<unknown>): Promise<Error & { code: string }> {
  return await work.then(
    () => expect.unreachable("it should have failed"),
    (error: unknown) => error as Error & { code: string },
  );
}

const forbidden = (roles: RegExp): object => ({ code: "ERR_FORBIDDEN", message: expect.stringMatching(roles) });

describe("a slot", () => {
  test("requirement 1: is one per integration and level, and saving again replaces what it holds", async () => {
    await expect(set(organization)).resolves.toBe(1);
    await expect(set(project)).resolves.toBe(1);
    const before = await ciphertexts();
    await expect(set(organization)).resolves.toBe(2);
    expect(await listCredentials(as(), organization)).toMatchObject([
      { integration: "openai", level: "organization", version: 2, disabled: false, fields: [{ name: "api_key" }] },
    ]);
    expect(await listCredentials(as(), project)).toMatchObject([{ level: "project", version: 1 }]);
    const after = await ciphertexts();
    expect(after).toHaveLength(2);
    expect(before.filter((old) => after.includes(old))).toHaveLength(1);
  });

  test("takes values written at once one after the other", async () => {
    const versions = await Promise.all(Array.from({ length: 8 }, async () => await set(organization)));
    expect(versions.sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test("that is removed is gone with its value, and removing it again is an error", async () => {
    await set(project);
    await removeCredential(as(), { place: project, integration: "openai" });
    expect(await ciphertexts()).toEqual([]);
    await expect(listCredentials(as(), project)).resolves.toEqual([]);
    const again = { place: project, integration: "openai" };
    const unknown = { code: "ERR_CREDENTIAL_UNKNOWN", message: expect.stringContaining("the project has none") };
    await expect(removeCredential(as(), again)).rejects.toMatchObject(unknown);
    await expect(switchCredential(as(), { ...again, enabled: true })).rejects.toMatchObject(unknown);
  });

  test("uses the number of a version once, also after the one with it was removed", async () => {
    await set(project);
    await set(project);
    await removeCredential(as(), { place: project, integration: "openai" });
    await expect(set(project)).resolves.toBe(3);
  });

  async function ciphertexts(): Promise<string[]> {
    const { rows } = await temporary.database.query<{ text: string }>(
      "select encode(ciphertext, 'hex') as text from credentials where organization_id = $1",
      [organizationId],
    );
    return rows.map(({ text }) => text);
  }
});

describe("gates", () => {
  const planRequired = { code: "ERR_PLAN_REQUIRED", message: expect.stringContaining("plan enterprise") };
  const pending = { code: "ERR_ROLLOUT_PENDING", message: expect.stringContaining("not rolled out") };

  test("requirement 2: an organization's credential needs the plan enterprise, where the plan gate is on", async () => {
    await expect(set(organization, "owner", on)).rejects.toMatchObject(planRequired);
    await setStanding(as(), { organizationId, plan: "team", rolledOut: true });
    await expect(set(organization, "owner", on)).rejects.toMatchObject(planRequired);
    await expect(set(project, "owner", on)).resolves.toBe(1);
    await setStanding(as(), { organizationId, plan: "enterprise" });
    await expect(set(organization, "owner", on)).resolves.toBe(1);
  });

  test("requirement 2: the plan gate is a switch, and off it asks for nothing", async () => {
    await expect(set(organization, "owner", off)).resolves.toBe(1);
  });

  test("requirement 3: an enterprise organization that is not rolled out is refused with a reason of its own", async () => {
    await setStanding(as(), { organizationId, plan: "enterprise" });
    await expect(set(organization, "owner", on)).rejects.toMatchObject(pending);
    const planOnly = { planGate: true, rolloutGate: false };
    await expect(set(organization, "owner", planOnly)).resolves.toBe(1);
    const switchOn = { place: organization, integration: "openai", enabled: true };
    await expect(switchCredential(as(operator, on), switchOn)).rejects.toMatchObject(pending);
    await setStanding(as(), { organizationId, rolledOut: true });
    await expect(set(organization, "owner", on)).resolves.toBe(2);
  });

  test("stand where the operator put them: no owner gives their organization a plan", async () => {
    await expect(setStanding(as("owner"), { organizationId, plan: "enterprise" })).rejects.toMatchObject(
      forbidden(/takes the operator/),
    );
  });

  test("do not keep anybody from switching off and removing", async () => {
    await set(organization);
    await switchCredential(as(operator, on), { place: organization, integration: "openai", enabled: false });
    await removeCredential(as(), { place: organization, integration: "openai" });
    await expect(listCredentials(as(), organization)).resolves.toEqual([]);
  });
});

describe("who may", () => {
  test("requirement 4: only owners and admins of the organization set its credentials", async () => {
    await expect(set(organization, "owner")).resolves.toBe(1);
    await expect(set(organization, "admin")).resolves.toBe(2);
    for (const who of ["member", "project admin", "project editor"])
      await expect(set(organization, who)).rejects.toMatchObject(forbidden(/it takes owner, organization admin/));
    await expect(removeCredential(as("member"), { place: organization, integration: "openai" })).rejects.toMatchObject(
      forbidden(/./),
    );
    const [denial] = await listAudit(temporary.database, { organizationId, limit: 1 });
    expect(denial).toMatchObject({ event: "credential.remove", outcome: "denied", actor: { id: "member" } });
  });

  test("requirement 8: owners and admins of the organization, and admins and editors of the project set a project's", async () => {
    for (const who of ["owner", "admin", "project admin", "project editor"])
      await expect(set(project, who)).resolves.toBeGreaterThan(0);
    for (const who of ["project member", "project viewer"])
      await expect(set(project, who)).rejects.toMatchObject(forbidden(/project admin, editor/));
    await expect(set(project, "member")).rejects.toMatchObject({ code: "ERR_PROJECT_UNKNOWN" });
    const request = { projectId, integration: "openai" };
    await expect(explainCredential(as("project viewer"), request)).resolves.toMatchObject({
      winner: { version: 4 },
    });
    await expect(resolveCredential(as("project viewer"), request)).rejects.toMatchObject(forbidden(/builder/));
  });

  test("requirement 8: a deployment can take a project's credentials from editors", async () => {
    await setEditorsManage(as("admin"), { organizationId, allowed: false });
    const denied = forbidden(/your role is editor; it takes owner, organization admin, project admin/);
    await expect(set(project, "project editor")).rejects.toMatchObject(denied);
    const place = { place: project, integration: "openai" };
    const scopes = ["manage:secrets"] as const;
    const key: Actor = { kind: "key", id: createId(), organizationId, projects: "all", scopes };
    await expect(set(project, key)).rejects.toMatchObject(forbidden(/project admin/));
    await expect(set(project, "project admin")).resolves.toBe(1);
    await expect(removeCredential(as("project editor"), place)).rejects.toMatchObject(denied);
    await expect(switchCredential(as("project editor"), { ...place, enabled: false })).rejects.toMatchObject(denied);
    await expect(setEditorsManage(as("project editor"), { organizationId, allowed: true })).rejects.toMatchObject(
      forbidden(/./),
    );
    await setEditorsManage(as("owner"), { organizationId, allowed: true });
    await expect(set(project, "project editor")).resolves.toBe(2);
  });

  test("another tenant's ids and ids of nothing answer alike, whatever is asked", async () => {
    await set(organization);
    await set(project);
    await setEditorsManage(as(), { organizationId, allowed: false });
    const { id: elsewhere } = await createOrganization(temporary.database, "Other");
    const stranger = { organizationId: elsewhere, personId: "stranger", name: "Stranger", role: "owner" } as const;
    await setOrganizationMember(temporary.database, stranger);
    const answers = async (place: Place): Promise<string[]> => {
      const context = as("stranger", on);
      const request = { place, integration: "openai" };
      const works: Promise<unknown>[] = [
        set(place, "stranger", on),
        removeCredential(context, request),
        switchCredential(context, { ...request, enabled: false }),
        listCredentials(context, place),
      ];
      if ("projectId" in place) {
        works.push(resolveCredential(context, { ...place, integration: "openai" }));
        works.push(explainCredential(context, { ...place, integration: "openai" }));
        works.push(listEffective(context, place.projectId));
      } else works.push(setEditorsManage(context, { ...place, allowed: true }));
      const failures = await Promise.all(works.map(failureOf));
      const id = "projectId" in place ? place.projectId : place.organizationId;
      return failures.map(({ code, message }) => `${code} ${message.replace(id, "ID")}`);
    };
    expect(await answers(organization)).toEqual(await answers({ organizationId: createId() }));
    expect(await answers(project)).toEqual(await answers({ projectId: createId() }));
  });
});

describe("switching", () => {
  test("requirement 5: setting switches on; switched off a credential is stored and not usable", async () => {
    const request = { projectId, integration: "openai" };
    const slot = { place: project, integration: "openai" };
    await set(project);
    await switchCredential(as("project editor"), { ...slot, enabled: false });
    await expect(listCredentials(as(), project)).resolves.toMatchObject([{ disabled: true, version: 1 }]);
    await expect(resolveCredential(as(), request)).rejects.toMatchObject({
      code: "ERR_CREDENTIAL_DISABLED",
      message: expect.stringContaining("its value stays stored until it is removed"),
    });
    await switchCredential(as(), { ...slot, enabled: true });
    const { secret } = await resolveCredential(as(), request);
    expect(secret.get("api_key")?.expose()).toBe(value);
    await switchCredential(as(), { ...slot, enabled: false });
    await set(project);
    await expect(listCredentials(as(), project)).resolves.toMatchObject([{ disabled: false, version: 2 }]);
  });
});

describe("what can be stored", () => {
  test.each(["salesforce", "google-drive"])(
    "requirement 11: no shared credential of %s, which works by OAuth",
    async (id) => {
      const refused = {
        code: "ERR_OAUTH_NOT_SHAREABLE",
        message: expect.stringMatching(/users connect their own account, or a service account/),
      };
      const fields = { token: value };
      for (const place of [organization, project])
        await expect(setCredential(as(), { place, integration: id, fields })).rejects.toMatchObject(refused);
      await expect(resolveCredential(as(), { projectId, integration: id })).rejects.toMatchObject(refused);
    },
  );

  test("requirement 22: a model credential is configured once, at the organization", async () => {
    await set(organization, "admin");
    const [credential] = await listCredentials(as("member"), organization);
    expect(credential).toMatchObject({ integration: "openai", level: "organization" });
    expect(integrations.get("openai")).toMatchObject({ class: "model" });
  });

  const serviceAccount = JSON.stringify({ type: "service_account", private_key: "-----BEGIN…".replace("…", "") });
  const models: [string, Record<string, string>][] = [
    ...["openai", "anthropic", "gemini", "xai", "deepseek", "mistral", "perplexity"].map(
      (id): [string, Record<string, string>] => [id, { api_key: value }],
    ),
    ["bedrock", { access_key_id: "AKIAEXAMPLE123456", secret_access_key: value, region: "eu-central-1" }],
    ["vertex-ai", { project: "acme-models", location: "europe-west4", service_account: serviceAccount }],
    ["portkey", { base_url: "https://api.portkey.ai/v1", api_key: value, virtual_key: "virtual-hunter" }],
    ["litellm", { base_url: "http://litellm.internal:4000", api_key: value }],
  ];

  test.each(models)(
    "requirement 23: the catalogue has %s, and its fields come back as they were",
    async (id, fields) => {
      expect(integrations.get(id)).toMatchObject({ class: "model", oauth: false });
      // An id in any case is the same project, whose value opens.
      await setCredential(as(), { place: { projectId: projectId.toUpperCase() }, integration: id, fields });
      const { clear, secret } = await resolveCredential(as(), { projectId, integration: id });
      const exposed = [...secret].map(([name, hidden]) => [name, hidden.expose()]);
      expect(Object.fromEntries([...clear, ...exposed])).toEqual(fields);
    },
  );

  test("requirement 23: the catalogue has no other model provider", () => {
    const listed = [...integrations.values()].filter((entry) => entry.class === "model").map(({ id }) => id);
    expect(listed).toEqual(models.map(([id]) => id));
  });

  test("requirement 24: each provider is set, replaced and removed on its own", async () => {
    const ids = async (): Promise<[string, number][]> =>
      (await listCredentials(as(), organization)).map(({ integration, version }) => [integration, version]);
    for (const integration of ["openai", "anthropic", "anthropic", "mistral"])
      await setCredential(as(), { place: organization, integration, fields: { api_key: value } });
    await removeCredential(as(), { place: organization, integration: "openai" });
    expect(await ids()).toEqual([
      ["anthropic", 2],
      ["mistral", 1],
    ]);
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    ["openai", {}, /api_key must be 8 to 4,096 visible ASCII characters/],
    ["openai", { api_key: "hunter2" }, /api_key must be/],
    ["openai", { api_key: `${value}\n` }, /api_key must be/],
    ["openai", { api_key: `${value} ${value}` }, /api_key must be/],
    ["openai", { api_key: 12_345_678 }, /api_key must be/],
    ["openai", { api_key: value, hunter2: value }, /1 of its fields are unknown; there are api_key/],
    ["openai", JSON.parse(`{"api_key":"${value}","__proto__":"${value}"}`), /1 of its fields are unknown/],
    [
      "bedrock",
      { access_key_id: value, region: value },
      /access_key_id .*; secret_access_key .*; region must be a region/,
    ],
    ["litellm", { base_url: `https://${value}@a.b`, api_key: "another-key" }, /base_url must be .* without user/],
    ["litellm", { base_url: `https://a.b/${value.toUpperCase()}`, api_key: value }, /base_url is shown to people/],
    [
      "vertex-ai",
      { project: "acme-models", location: "global", service_account: value },
      /service_account must be a JSON/,
    ],
    ["twilio", { account_sid: value, auth_token: value }, /account_sid must be AC and 32/],
  ])("of the right form alone: %s %j", async (integration, fields, rule) => {
    const given = fields as Record<string, string>;
    const failure = await failureOf(setCredential(as(), { place: project, integration, fields: given }));
    expect(failure).toMatchObject({ code: "ERR_CREDENTIAL_INVALID", message: expect.stringMatching(rule) });
    expect(failure.message).not.toMatch(/hunter2/i);
    await expect(listCredentials(as(), project)).resolves.toEqual([]);
  });

  test.each(["hunter2", "__proto__", "OpenAI", ""])("for no integration that there is not: %j", async (integration) => {
    const failure = await failureOf(setCredential(as(), { place: project, integration, fields: {} }));
    expect(failure).toMatchObject({ code: "ERR_INTEGRATION_UNKNOWN", message: expect.not.stringContaining("hunter2") });
  });
});

describe("what is shown", () => {
  test("of a credential are its clear fields; no event, list or print has a value of a secret one", async () => {
    const fields = { access_key_id: "AKIAHUNTER2HUNTER2", secret_access_key: value, region: "eu-central-1" };
    await setCredential(as("owner"), { place: organization, integration: "bedrock", fields });
    const listed = await listCredentials(as("member"), organization);
    const shown = [{ name: "access_key_id" }, { name: "secret_access_key" }, { name: "region", value: "eu-central-1" }];
    expect(listed).toMatchObject([{ fields: shown }]);
    await setCredential(as("owner"), { place: project, integration: "bedrock", fields });
    const resolved = await resolveCredential(as(), { projectId, integration: "bedrock" });
    const events = await listAudit(temporary.database, { organizationId, limit: 10 });
    expect(events).toMatchObject([
      { event: "credential.resolve", class: "data-access", projectId, details: { level: "project" } },
      { event: "credential.set", class: "management", projectId, target: [{ name: "bedrock", version: 1 }] },
      { event: "credential.set", actor: { kind: "person", id: "owner" }, target: [{ name: "bedrock", version: 1 }] },
    ]);
    const printed = [listed, events, [...resolved.secret], String([...resolved.secret.values()])];
    expect(JSON.stringify(printed)).not.toMatch(/hunter2/i);
  });
});
