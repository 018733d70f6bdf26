/**
 * Which credential is in force. Goal: the nearer one wins and shadows, the organization's reaches exactly the projects it
 * should, `explain` tells the truth about each candidate, and a row that was changed in the database gives no value. Random
 * sequences of changes are compared with a model of a few lines. Real PostgreSQL; attacks are SQL statements.
 */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Queryable } from "../../database/server.ts";
import { integrations } from "../../protocol/integrations.ts";
import { operator } from "../../vault/actor.ts";
import type { Place } from "../../vault/authorize.ts";
import {
  type CredentialSealer,
  listCredentials,
  removeCredential,
  type SealPlace,
  setCredential,
  switchCredential,
} from "../../vault/credentials.ts";
import { open, seal } from "../../vault/crypto.ts";
import { effectiveCredential, explainCredential, listEffective, resolveCredential } from "../../vault/effective.ts";
import { setStanding } from "../../vault/gates.ts";
import { switchInheritance } from "../../vault/inheritance.ts";
import type { ActContext } from "../../vault/perform.ts";
import { createOrganization, createProject } from "../../vault/tenancy.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";

const keyOf = ({ organizationId, projectId = "" }: SealPlace): Buffer =>
  createHash("sha256").update(`${organizationId} ${projectId}`).digest();
/** Levels of what was opened, to see that losers are not. */
const opened: string[] = [];
const sealer: CredentialSealer = {
  seal: async (_, place, context, plaintext) => seal(keyOf(place), context, plaintext),
  open: async (_, place, context, blob) => {
    opened.push(place.projectId === undefined ? "organization" : "project");
    return open(keyOf(place), context, blob);
  },
};
const tools = { sealer, gates: { planGate: false, rolloutGate: false } };

let temporary: Temporary;
let context: ActContext;
let organizationId: string;
let projectId: string;
let otherProjectId: string;
let organization: Place;
let project: Place;

beforeAll(async () => {
  temporary = await openTemporary();
  const { database } = temporary;
  context = { database, actor: operator, withAuditKey: async (_c, _id, work) => await work(Buffer.alloc(32, 7)) };
});
afterAll(async () => await temporary.dispose());

beforeEach(async () => {
  organizationId = (await createOrganization(temporary.database, "Acme")).id;
  projectId = (await createProject(temporary.database, organizationId, "Support")).id;
  otherProjectId = (await createProject(temporary.database, organizationId, "Sales")).id;
  [organization, project] = [{ organizationId }, { projectId }];
  opened.length = 0;
});

async function set(place: Place, value: string, integration = "serpapi"): Promise<void> {
  await setCredential(context, tools, { place, integration, fields: { api_key: value } });
}

async function valueIn(id = projectId, integration = "serpapi"): Promise<string | undefined> {
  const { secret } = await resolveCredential(context, tools, { projectId: id, integration });
  return secret.get("api_key")?.expose();
}

async function states(integration = "serpapi", gates = tools.gates): Promise<string[]> {
  const { candidates } = await explainCredential(context, { gates }, { projectId, integration });
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
    await switchCredential(context, tools, { ...slot, enabled: false });
    expect(await states()).toEqual(["project: switched off", "organization: shadowed"]);
    await expect(valueIn()).rejects.toMatchObject({ code: "ERR_CREDENTIAL_DISABLED" });
    await temporary.database.query("update credentials set ciphertext = '' where project_id = $1", [projectId]);
    await switchCredential(context, tools, { ...slot, enabled: true });
    await expect(valueIn()).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
    await removeCredential(context, slot);
    await expect(valueIn()).resolves.toBe("organization-value");
  });

  test("requirement 10: with both set the project's wins, and the other is not opened", async () => {
    await set(organization, "organization-value");
    await set(project, "project-value");
    await expect(valueIn()).resolves.toBe("project-value");
    expect(opened).toEqual(["project"]);
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
    const effective = await effectiveCredential(context, tools, { projectId, integration: "openai" });
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
    await switchCredential(context, tools, { place: organization, integration: "openai", enabled: false });
    expect(await states("openai", gates)).toEqual(["project: absent", "organization: switched off"]);
    await set(project, "project-value", "openai");
    expect(await states("openai", gates)).toEqual(["project: in force", "organization: shadowed"]);
    const { winner, candidates } = await explainCredential(context, tools, { projectId, integration: "openai" });
    expect(winner).toMatchObject({ level: "project", version: 1, fields: [{ name: "api_key" }] });
    expect(candidates[1]?.why).toMatch(/removing that one makes this effective/);
    expect(opened).toEqual([]);
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
    const failure = resolveCredential(context, { sealer, gates }, { projectId, integration: "openai" });
    await expect(failure).rejects.toMatchObject({
      code,
      message: expect.stringMatching(/^Cannot use a credential of/),
    });
    expect(opened).toEqual([]);
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
    const all = await listEffective({ ...context, database }, tools, projectId);
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
      expect(entry).toEqual(await explainCredential(context, tools, { projectId, integration: entry.integration }));
  });
});

describe("a credential changed in the database gives no value", () => {
  // One key for all places: what a value is bound to must do without their keys.
  const key = Buffer.alloc(32, 9);
  const bound: CredentialSealer = {
    seal: async (_client, _place, sealContext, plaintext) => seal(key, sealContext, plaintext),
    open: async (_client, _place, sealContext, blob) => open(key, sealContext, blob),
  };
  const boundTools = { ...tools, sealer: bound };
  const fields = { access_key_id: "AKIAEXAMPLE123456", secret_access_key: "hunter2-hunter2", region: "eu-central-1" };
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
  ])("%s", async (_, sql) => {
    for (const place of [organization, project, { projectId: otherProjectId }])
      await setCredential(context, boundTools, { place, integration: "bedrock", fields });
    const resolve = async (): Promise<unknown> =>
      await resolveCredential(context, boundTools, { projectId, integration: "bedrock" });
    await expect(resolve()).resolves.toMatchObject({ level: "project" });
    const { rowCount } = await temporary.database.query(sql, [projectId, otherProjectId]);
    expect(rowCount).toBe(1);
    const failure = await resolve().catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "ERR_SECRET_TAMPERED", message: expect.not.stringContaining("hunter2") });
  });

  test("nor one that was moved to another integration, project or organization, or set back to what was replaced", async () => {
    const query = async (text: string, ...values: unknown[]): Promise<{ ciphertext?: Buffer }[]> =>
      (await temporary.database.query<{ ciphertext?: Buffer }>(text, values)).rows;
    const slot = { integration: "serpapi", fields: { api_key: "hunter2-hunter2" } };
    const refused = async (id = projectId): Promise<void> => {
      const work = resolveCredential(context, boundTools, { projectId: id, integration: "serpapi" });
      await expect(work).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
    };
    await setCredential(context, boundTools, { place: project, ...slot, integration: "firecrawl" });
    await query("update credentials set integration = 'serpapi' where project_id = $1", projectId);
    await refused();
    await setCredential(context, boundTools, { place: project, ...slot });
    const [replaced] = await query("select ciphertext from credentials where project_id = $1", projectId);
    await setCredential(context, boundTools, { place: project, ...slot });
    await query("update credentials set ciphertext = $2 where project_id = $1", projectId, replaced?.ciphertext);
    await refused();
    await setCredential(context, boundTools, { place: project, ...slot });
    await query("update credentials set project_id = $2 where project_id = $1", projectId, otherProjectId);
    await refused(otherProjectId);
    await query("update credentials set project_id = null where project_id = $1", otherProjectId);
    await refused();
    await setCredential(context, boundTools, { place: organization, ...slot });
    const spare = await createOrganization(temporary.database, "Spare");
    const theirs = await createProject(temporary.database, spare.id, "Theirs");
    await query("update credentials set organization_id = $2 where organization_id = $1", organizationId, spare.id);
    await refused(theirs.id);
  });

  test("and fields that are none are an error in a list too", async () => {
    await set(project, "project-value");
    await temporary.database.query("update credentials set fields = '{' where project_id = $1", [projectId]);
    await expect(listCredentials(context, project)).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
  });
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
        const work = switchCredential(context, tools, { ...slot, enabled: change.enabled });
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
      const all = await listEffective(context, tools, place.projectId);
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
      places.push({ projectId: (await createProject(temporary.database, parent, "Project")).id });
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
    await expect(fc.assert(property, { numRuns: 30 })).resolves.toBeUndefined();
  });
});
