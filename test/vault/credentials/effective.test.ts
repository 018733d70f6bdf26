/**
 * Which credential is in force. Goal: the nearer one wins and shadows, the organization's reaches exactly the projects it
 * should, and `explain` tells the truth about each candidate. Random sequences of changes are compared with a model of a few
 * lines. Real PostgreSQL and keys. What somebody with the database does is in credential-manifest.test.ts.
 */
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../../database/connection.ts";
import type { Queryable } from "../../../database/server.ts";
import { integrations } from "../../../protocol/integrations.ts";
import { contextFor } from "../../../vault/audit/acting.ts";
import { operator } from "../../../vault/tenancy/actor.ts";
import type { Place } from "../../../vault/tenancy/authorize.ts";
import {
  type CredentialContext,
  removeCredential,
  setCredential,
  switchCredential,
} from "../../../vault/credentials/credentials.ts";
import {
  effectiveCredential,
  explainCredential,
  listEffective,
  resolveCredential,
} from "../../../vault/credentials/effective.ts";
import { setStanding } from "../../../vault/credentials/gates.ts";
import { switchInheritance } from "../../../vault/credentials/inheritance.ts";
import { type MasterKey, openMasterKey } from "../../../vault/encryption/master-key.ts";
import { createOrganization } from "../../../vault/tenancy/tenancy.ts";
import { rebuildManifest } from "../../../vault/encryption/update-manifest.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import { createProvenProject } from "../../helpers/vault.ts";

let temporary: Temporary;
let master: MasterKey;
let context: CredentialContext;
let organizationId: string;
let projectId: string;
let otherProjectId: string;
let organization: Place;
let project: Place;

beforeAll(async () => {
  temporary = await openTemporary();
  const { database } = temporary;
  master = await openMasterKey(database, temporary.config);
  const gates = { planGate: false, rolloutGate: false };
  context = { ...contextFor(database, master, operator), master, gates };
});
afterAll(async () => {
  master.close();
  await temporary.dispose();
});

beforeEach(async () => {
  organizationId = (await createOrganization(temporary.database, "Acme")).id;
  projectId = (await createProvenProject(temporary.database, master, { organizationId, name: "Support" })).id;
  otherProjectId = (await createProvenProject(temporary.database, master, { organizationId, name: "Sales" })).id;
  [organization, project] = [{ organizationId }, { projectId }];
});

async function set(place: Place, value: string, integration = "serpapi"): Promise<void> {
  await setCredential(context, { place, integration, fields: { api_key: value } });
}

async function valueIn(id = projectId, integration = "serpapi"): Promise<string | undefined> {
  const { secret } = await resolveCredential(context, { projectId: id, integration });
  return secret.get("api_key")?.expose();
}

/** Makes a value one that does not open, and the manifest one that does not mind. */
async function breakSeal(place: Place): Promise<void> {
  const [column, holder, id] =
    "projectId" in place
      ? ["project_id", place.projectId, place.projectId]
      : ["project_id is null and organization_id", place, place.organizationId];
  await temporary.database.query(`update credentials set ciphertext = 'x' where ${column} = $1`, [id]);
  await rebuildManifest(temporary.database, master, holder);
}

async function states(integration = "serpapi", gates = context.gates): Promise<string[]> {
  const { candidates } = await explainCredential({ ...context, gates }, { projectId, integration });
  return candidates.map(({ level, state }) => `${level}: ${state}`);
}

describe("class integration", () => {
  test("requirement 6: without one of its own every project has the organization's", async () => {
    await set(organization, "organization-value");
    expect([await valueIn(), await valueIn(otherProjectId)]).toEqual(["organization-value", "organization-value"]);
  });

  test("requirement 7: a project's own overrides it, for that project only", async () => {
    await set(organization, "organization-value");
    await set(project, "project-value");
    expect([await valueIn(), await valueIn(otherProjectId)]).toEqual(["project-value", "organization-value"]);
  });

  test("requirement 9: removing the project's makes the organization's effective again, and switching it off does not", async () => {
    await set(organization, "organization-value");
    await set(project, "project-value");
    const slot = { place: project, integration: "serpapi" };
    await switchCredential(context, { ...slot, enabled: false });
    expect(await states()).toEqual(["project: switched off", "organization: shadowed"]);
    await expect(valueIn()).rejects.toMatchObject({ code: "ERR_CREDENTIAL_DISABLED" });
    await breakSeal(project);
    await switchCredential(context, { ...slot, enabled: true });
    await expect(valueIn()).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
    await removeCredential(context, slot);
    await expect(valueIn()).resolves.toBe("organization-value");
  });

  test("requirement 10: with both set the project's wins, and the other is not opened", async () => {
    await set(organization, "organization-value");
    await set(project, "project-value");
    await breakSeal(organization);
    await expect(valueIn()).resolves.toBe("project-value");
    await expect(valueIn(otherProjectId)).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
    await removeCredential(context, { place: organization, integration: "serpapi" });
    await set(organization, "organization-value");
    await expect(valueIn()).resolves.toBe("project-value");
  });
});

describe("class model", () => {
  const inherit = async (id: string): Promise<void> =>
    await switchInheritance(context, { projectId: id, class: "model", inherits: true });

  test("requirement 27: replacing the organization's value reaches every inheriting project at once", async () => {
    await set(organization, "organization-value", "openai");
    await inherit(projectId);
    await inherit(otherProjectId);
    await set(organization, "rotated-value", "openai");
    expect(await valueIn(projectId, "openai")).toBe("rotated-value");
    expect(await valueIn(otherProjectId, "openai")).toBe("rotated-value");
    const effective = await effectiveCredential(context, { projectId, integration: "openai" });
    const fields = [{ name: "api_key" }];
    expect(effective).toEqual({ integration: "openai", level: "organization", version: 2, fields });
  });
});

describe("an explanation", () => {
  const gates = { planGate: true, rolloutGate: true };

  test("gives every candidate a reason, and opens none", async () => {
    expect(await states("openai")).toEqual(["project: absent", "organization: absent"]);
    await set(organization, "organization-value", "openai");
    expect(await states("openai")).toEqual(["project: absent", "organization: not inherited"]);
    await switchInheritance(context, { projectId, class: "model", integration: "openai", inherits: true });
    expect(await states("openai", gates)).toEqual(["project: absent", "organization: plan required"]);
    await setStanding(context, { organizationId, plan: "enterprise" });
    expect(await states("openai", gates)).toEqual(["project: absent", "organization: rollout pending"]);
    await setStanding(context, { organizationId, rolledOut: true });
    expect(await states("openai", gates)).toEqual(["project: absent", "organization: in force"]);
    await switchCredential(context, { place: organization, integration: "openai", enabled: false });
    expect(await states("openai", gates)).toEqual(["project: absent", "organization: switched off"]);
    await set(project, "project-value", "openai");
    expect(await states("openai", gates)).toEqual(["project: in force", "organization: shadowed"]);
    const { winner, candidates } = await explainCredential(context, { projectId, integration: "openai" });
    expect(winner).toMatchObject({ level: "project", version: 1, fields: [{ name: "api_key" }] });
    expect(candidates[1]?.why).toMatch(/removing that one makes this effective/);
    await breakSeal(project);
    await breakSeal(organization);
    expect(await states("openai", gates)).toEqual(["project: in force", "organization: shadowed"]);
  });

  test.each<[string, string, (() => Promise<unknown>)[]]>([
    ["nothing is stored", "ERR_CREDENTIAL_UNKNOWN", []],
    [
      "it is not inherited",
      "ERR_CREDENTIAL_NOT_INHERITED",
      [async () => await set(organization, "the-value", "openai")],
    ],
    ["the plan is lost", "ERR_PLAN_REQUIRED", [shared]],
    ["the rollout is withdrawn", "ERR_ROLLOUT_PENDING", [shared, enterprise]],
  ])("and an error of its own says it to a run: %s", async (_, code, steps) => {
    for (const step of steps) await step();
    const failure = resolveCredential({ ...context, gates }, { projectId, integration: "openai" });
    await expect(failure).rejects.toMatchObject({
      code,
      message: expect.stringMatching(/^Cannot use a credential of/),
    });
  });

  async function shared(): Promise<void> {
    await set(organization, "the-value", "openai");
    await switchInheritance(context, { projectId, class: "model", inherits: true });
  }
  async function enterprise(): Promise<void> {
    await setStanding(context, { organizationId, plan: "enterprise", rolledOut: false });
  }

  test("of all integrations comes with two statements, in the order of the catalogue", async () => {
    await set(organization, "organization-value");
    await set(project, "project-value", "firecrawl");
    let statements = 0;
    const counting: Queryable = {
      query: async (text, values) => {
        statements += 1;
        return await temporary.database.query(text, values);
      },
    };
    const database = { ...counting, transaction: temporary.database.transaction.bind(temporary.database) };
    const all = await listEffective({ ...context, database }, projectId);
    expect(statements).toBe(2);
    expect(all.map(({ integration }) => integration)).toEqual(
      [...integrations.values()].filter(({ oauth }) => !oauth).map(({ id }) => id),
    );
    const winners = all.flatMap(({ winner }) => (winner ? [[winner.integration, winner.level]] : []));
    expect(winners).toEqual([
      ["serpapi", "organization"],
      ["firecrawl", "project"],
    ]);
    for (const entry of all)
      expect(entry).toEqual(await explainCredential(context, { projectId, integration: entry.integration }));
  });
});

test("a credential is resolved with one statement for all that decides and proves", async () => {
  await set(organization, "organization-value");
  const texts: string[] = [];
  const watched = (client: Queryable): Queryable => ({
    query: async (statement, values) => {
      texts.push(typeof statement === "string" ? statement : statement.text);
      return await client.query(statement, values);
    },
  });
  const transaction: Database["transaction"] = async (work) =>
    await temporary.database.transaction(async (client) => await work(watched(client)));
  const database = { ...watched(temporary.database), transaction };
  await resolveCredential({ ...context, database }, { projectId, integration: "serpapi" });
  const tables = /\b(credentials|credential_inheritance|organization_credential_settings|secret_manifests|data_keys)\b/;
  expect(texts.filter((text) => tables.test(text))).toHaveLength(1);
});

describe("after any sequence of changes", () => {
  const ids = ["serpapi", "openai", "anthropic"] as const;
  /** Places 0 and 1 are organizations, 2 to 5 projects: the organization of project p is p % 2. */
  interface Model {
    readonly on: Map<string, boolean>;
    readonly inherits: Map<string, boolean>;
  }
  interface Real {
    readonly places: readonly Place[];
  }
  type Change = { place: number; id: (typeof ids)[number] } & (
    | { kind: "set" }
    | { kind: "remove" }
    | { kind: "switch"; enabled: boolean }
    | { kind: "inherit"; wholeClass: boolean; inherits: boolean | undefined }
  );

  function expected({ on, inherits }: Model, at: number, id: string): string | undefined {
    const own = on.get(`${at} ${id}`);
    if (own !== undefined) return own ? "project" : undefined;
    const reaches = id === "serpapi" || (inherits.get(`${at} ${id}`) ?? inherits.get(`${at} `) ?? false);
    return reaches && on.get(`${at % 2} ${id}`) === true ? "organization" : undefined;
  }

  async function apply(change: Change, { on, inherits }: Model, place: Place): Promise<void> {
    const slot = { place, integration: change.id };
    const name = `${change.place} ${change.id}`;
    switch (change.kind) {
      case "set":
        await set(place, "value-of-the-key", change.id);
        on.set(name, true);
        return;
      case "remove":
        if (!on.delete(name)) await expectUnknown(removeCredential(context, slot));
        else await removeCredential(context, slot);
        return;
      case "switch": {
        const work = switchCredential(context, { ...slot, enabled: change.enabled });
        if (!on.has(name)) return await expectUnknown(work);
        await work;
        on.set(name, change.enabled);
        return;
      }
      case "inherit": {
        if (!("projectId" in place) || change.id === "serpapi") return;
        const integration = change.wholeClass ? undefined : change.id;
        await switchInheritance(context, { ...place, class: "model", integration, inherits: change.inherits });
        const key = `${change.place} ${integration ?? ""}`;
        if (change.inherits === undefined) inherits.delete(key);
        else inherits.set(key, change.inherits);
      }
    }
  }

  async function expectUnknown(work: Promise<void>): Promise<void> {
    await expect(work).rejects.toMatchObject({ code: "ERR_CREDENTIAL_UNKNOWN" });
  }

  async function applyAndCompare(change: Change, model: Model, { places }: Real): Promise<void> {
    await apply(change, model, places[change.place]!);
    for (const [at, place] of places.entries()) {
      if (!("projectId" in place)) continue;
      const all = await listEffective(context, place.projectId);
      const found = ids.map((id) => all.find(({ integration }) => integration === id)?.winner?.level);
      expect(found).toEqual(ids.map((id) => expected(model, at, id)));
    }
  }

  async function makePlaces(): Promise<Place[]> {
    const places: Place[] = [];
    for (const name of ["First", "Second"])
      places.push({ organizationId: (await createOrganization(temporary.database, name)).id });
    for (const at of [2, 3, 4, 5]) {
      const { organizationId: parent } = places[at % 2] as { organizationId: string };
      places.push({
        projectId: (await createProvenProject(temporary.database, master, { organizationId: parent, name: "Project" }))
          .id,
      });
    }
    return places;
  }

  const command = (change: Change): fc.AsyncCommand<Model, Real> => ({
    check: () => true,
    run: async (model, real) => await applyAndCompare(change, model, real),
    toString: () => JSON.stringify(change),
  });

  test("every project has what a small model says", async () => {
    const common = { place: fc.nat(5), id: fc.constantFrom(...ids) };
    const inherits = fc.constantFrom(true, true, false, undefined);
    const setting = fc.record({ kind: fc.constant("set" as const), ...common });
    const removing = fc.record({ kind: fc.constant("remove" as const), ...common });
    const switching = fc.record({ kind: fc.constant("switch" as const), enabled: fc.boolean(), ...common });
    const inheriting = fc.record({
      kind: fc.constant("inherit" as const),
      wholeClass: fc.boolean(),
      inherits,
      ...common,
    });
    const changes = fc.oneof(setting, setting, removing, switching, inheriting);
    const property = fc.asyncProperty(
      fc.commands([changes.map(command)], { maxCommands: 40, size: "max" }),
      async (sequence) => {
        const places = await makePlaces();
        await fc.asyncModelRun(() => ({ model: { on: new Map(), inherits: new Map() }, real: { places } }), sequence);
      },
    );
    await expect(fc.assert(property, { numRuns: 20 })).resolves.toBeUndefined();
  });
});
