/**
 * Credentials over HTTP. Goal: a value goes in and never comes out, and each place's are seen and changed by its own people
 * only. Method: every answer and every line of the log is searched for the values that were sent.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { integrations } from "../../protocol/integrations.ts";
import { absentId, type Answer, type Callers, expectAlike, expectForbidden, openCallers } from "./callers.ts";

let callers: Callers;
let project: string;
let organization: string;
beforeAll(async () => {
  callers = await openCallers();
  project = `/v1/projects/${callers.projectId}`;
  organization = `/v1/organizations/${callers.organizationId}`;
});
afterAll(async () => await callers.close());
afterEach(() => {
  if (/hunter2/.test([...callers.answers, ...callers.api.log].join("\n")))
    throw new Error("a value was answered or logged");
});

const value = (of: string): string => `hunter2-value-of-${of.replaceAll(/[^0-9A-Za-z]/g, "-")}`;
const set = async (
  place: string,
  integration: string,
  as: string,
  fields: Record<string, string> = { api_key: value(as) },
): Promise<Answer> => await callers.call("PUT", `${place}/credentials/${integration}`, { as, body: { fields } });
const listed = async (place: string, as = "person admin"): Promise<Record<string, unknown>[]> =>
  (await callers.call("GET", `${place}/credentials`, { as })).body.data as Record<string, unknown>[];
const effective = async (integration: string, as = "person viewer"): Promise<Answer> =>
  await callers.call("GET", `${project}/credentials/${integration}/effective`, { as });
const inherit = async (path: string, inherits: boolean | null, as = "person editor"): Promise<Answer> =>
  await callers.call("PUT", `${project}/inheritance/${path}`, { as, body: { inherits } });

describe("credentials over HTTP", () => {
  test("the catalogue is shown with the rule of each field and no pattern", async () => {
    const { body } = await callers.call("GET", "/v1/integrations", { as: await callers.keyWith("trigger") });
    expect((body.data as { id: string }[]).map(({ id }) => id)).toEqual([...integrations.keys()]);
    expect((body.data as { id: string }[]).find(({ id }) => id === "openai")).toEqual({
      id: "openai",
      name: "OpenAI",
      class: "model",
      inheritance: "opt_in",
      oauth: false,
      kind: "shared",
      fields: [
        {
          name: "api_key",
          required: true,
          secret: true,
          rule: "8 to 4,096 visible ASCII characters without blanks",
          help: "platform.openai.com, API keys",
        },
      ],
    });
  });

  test("a project's is set, set again, switched off and on, and removed", async () => {
    const fields = { base_url: "https://gateway.example.com/v1", api_key: value("portkey") };
    expect((await set(project, "portkey", "person editor", fields)).body).toEqual({ version: 1 });
    expect((await set(project, "portkey", "person editor", fields)).body).toEqual({ version: 2 });
    const [shown] = await listed(project, "person viewer");
    expect(shown).toMatchObject({
      integration: "portkey",
      level: "project",
      version: 2,
      disabled: false,
      tampered: false,
      fields: [{ name: "base_url", value: "https://gateway.example.com/v1" }, { name: "api_key" }],
    });
    const at = `${project}/credentials/portkey`;
    const as = "person editor";
    expect((await callers.call("PATCH", at, { as, body: { enabled: false } })).status).toBe(204);
    expect((await effective("portkey")).body).toMatchObject({
      winner: null,
      candidates: [{ state: "switched off" }, {}],
    });
    await callers.call("PATCH", at, { as, body: { enabled: true } });
    expect((await effective("portkey")).body.winner).toMatchObject({ level: "project", version: 2 });
    expect((await callers.call("DELETE", at, { as })).status).toBe(204);
    const again = await callers.call("DELETE", at, { as });
    expect([again.status, again.body.code]).toEqual([404, "ERR_CREDENTIAL_UNKNOWN"]);
    expect(await listed(project)).toEqual([]);
  });

  test("an integration's of the organization is in force in its projects until a project has one of its own", async () => {
    await set(organization, "serpapi", "person admin");
    expect((await effective("serpapi")).body).toEqual({
      integration: "serpapi",
      kind: "shared",
      winner: { integration: "serpapi", level: "organization", version: 1, fields: [{ name: "api_key" }] },
      candidates: [
        { level: "project", state: "absent", why: "the project has none" },
        { level: "organization", state: "in force", why: expect.any(String) as string, version: 1 },
      ],
    });
    await set(project, "serpapi", "person project-admin");
    const { body } = await callers.call("GET", `${project}/effective-credentials`, { as: "person viewer" });
    const found = (body.data as { integration: string }[]).find(({ integration }) => integration === "serpapi");
    expect(found).toMatchObject({
      winner: { level: "project" },
      candidates: [{ state: "in force" }, { state: "shadowed" }],
    });
    expect((body.data as unknown[]).length).toBe([...integrations.values()].filter(({ oauth }) => !oauth).length);
    expect(await listed(project)).not.toContainEqual(expect.objectContaining({ level: "organization" }));
  });

  test("a model's of the organization is inherited where the project switched that on, or its provider's switch says so", async () => {
    await set(organization, "openai", "person admin");
    expect((await effective("openai")).body.candidates[1].state).toBe("not inherited");
    expect((await inherit("model", true)).status).toBe(204);
    expect((await effective("openai")).body.winner.level).toBe("organization");
    await inherit("model/openai", false);
    expect((await effective("openai")).body.winner).toBeNull();
    const { body } = await callers.call("GET", `${project}/inheritance`, { as: "person viewer" });
    expect(body).toEqual({
      switches: [
        { class: "model", integration: null, inherits: true, tampered: false },
        { class: "model", integration: "openai", inherits: false, tampered: false },
      ],
    });
    await inherit("model/openai", null);
    expect((await effective("openai")).body.winner.level).toBe("organization");
    for (const path of ["integration", "model/slack"]) {
      const refused = await inherit(path, true);
      expect([refused.status, refused.body.code]).toEqual([409, "ERR_INHERITANCE_FIXED"]);
    }
    expect((await inherit("hunter2class", true)).body.errors[0].pointer).toBe("/path/class");
  });

  test("who may change them is told to who may not", async () => {
    const secrets = await callers.keyWith("manage:secrets");
    const others = ["person builder", "person viewer", await callers.keyWith("trigger", "read:runs")];
    await expectForbidden(others, async (as) => await set(project, "mistral", as));
    await expectForbidden(others, async (as) => await inherit("model", false, as));
    await expectForbidden(others, async (as) => await callers.call("DELETE", `${project}/credentials/serpapi`, { as }));
    await expectForbidden(
      others,
      async (as) => await callers.call("PATCH", `${project}/credentials/serpapi`, { as, body: { enabled: false } }),
    );
    await expectForbidden(
      ["person project-admin", "person editor"],
      async (as) => await set(organization, "mistral", as),
    );
    expect((await set(project, "mistral", secrets)).status).toBe(200);
    expect((await callers.call("GET", `${project}/credentials`, { as: await callers.keyWith("trigger") })).status).toBe(
      403,
    );
  });

  test("an organization takes them from editors, and from keys without the scope admin", async () => {
    const path = `${organization}/credential-settings`;
    const put = async (editorsManage: boolean, as = "person admin"): Promise<Answer> =>
      await callers.call("PUT", path, { as, body: { editorsManage } });
    expect((await put(false)).body).toEqual({
      plan: "free",
      rolledOut: false,
      planGate: false,
      rolloutGate: false,
      closedGate: null,
      editorsManage: false,
    });
    await expectForbidden(
      ["person editor", await callers.keyWith("manage:secrets")],
      async (as) => await set(project, "gemini", as),
    );
    await expectForbidden(["person editor"], async (as) => await inherit("model", false, as));
    expect((await set(project, "gemini", await callers.keyWith("admin"))).status).toBe(200);
    await expectForbidden(["person project-admin", "person editor"], async (as) => await put(true, as));
    expect((await put(true)).body.editorsManage).toBe(true);
    expect((await set(project, "gemini", "person editor")).status).toBe(200);
    expect((await callers.call("GET", path, { as: "person viewer" })).body.editorsManage).toBe(true);
  });

  test("those of places that somebody has no part in answer like those of none", async () => {
    const as = "person editor";
    const ids = [callers.otherProjectId, callers.foreignProjectId, absentId];
    for (const path of ["credentials", "effective-credentials", "inheritance", "credentials/openai/effective"])
      await expectAlike(ids, async (id) => await callers.call("GET", `/v1/projects/${id}/${path}`, { as }));
    await expectAlike(ids, async (id) => await set(`/v1/projects/${id}`, "openai", as));
    await expectAlike(ids, async (id) => await callers.call("DELETE", `/v1/projects/${id}/credentials/openai`, { as }));
    const organizations = [callers.foreignOrganizationId, absentId];
    for (const path of ["credentials", "credential-settings"])
      await expectAlike(organizations, async (id) => await callers.call("GET", `/v1/organizations/${id}/${path}`));
    await expectAlike(organizations, async (id) => await set(`/v1/organizations/${id}`, "openai", "person owner"));
  });

  test("what does not fit is refused by rule, wherever the value was put", async () => {
    const as = "person editor";
    const wrong = await set(project, "openai", as, { api_key: "hunter2 x", hunter2: value("field") });
    expect([wrong.status, wrong.body.code]).toEqual([400, "ERR_CREDENTIAL_INVALID"]);
    expect(wrong.body.detail).toMatch(/api_key must be 8 to .*; 1 of its fields are unknown; there are api_key/);
    const inPath = await set(project, value("path"), as);
    expect([inPath.status, inPath.body.code]).toEqual([404, "ERR_INTEGRATION_UNKNOWN"]);
    const inBody = await callers.call("PUT", `${project}/credentials/openai`, { as, body: { api_key: value("body") } });
    expect((inBody.body.errors as { pointer: string }[]).map(({ pointer }) => pointer)).toEqual([
      "/body/fields",
      "/body",
    ]);
    const number = await callers.call("PUT", `${project}/credentials/openai`, { as, body: { fields: { hunter2: 1 } } });
    expect(number.body.errors[0].pointer).toBe("/body/fields");
    const many = Object.fromEntries(Array.from({ length: 21 }, (_, index) => [`f${index}`, "x"]));
    expect((await set(project, "openai", as, many)).body.errors[0].detail).toBe("must be at most 20 fields");
    const oauth = await set(project, "salesforce", as, {});
    expect([oauth.status, oauth.body.code]).toEqual([403, "ERR_OAUTH_NOT_SHAREABLE"]);
  });
});
