/** Organizations and projects over HTTP, with a real vault: what a caller sees, and what of others they do not. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openStore, startApi, type TestApi, type TestStore } from "./api.ts";

let store: TestStore;
let api: TestApi;
beforeAll(async () => {
  store = await openStore();
  api = await startApi(store);
});
afterAll(async () => {
  await api.api.close();
  await store.dispose();
});

const json = (value: unknown): string => JSON.stringify(value);
const post = async (path: string, body: unknown, as = "operator"): Promise<Response> =>
  await api.request(path, { method: "POST", body: json(body), as });

async function makeOrganization(name = "Acme"): Promise<string> {
  const { id } = (await (await post("/v1/organizations", { name })).json()) as { id: string };
  return id;
}

describe("organizations over HTTP", () => {
  test("the operator makes one and finds it in the list", async () => {
    const response = await post("/v1/organizations", { name: "Ünïcode 🎈" });
    expect(response.status).toBe(201);
    expect(response.headers.get("cache-control")).toBe("no-store");
    const made = (await response.json()) as { id: string; createdAt: string };
    expect(made).toEqual({ id: made.id, name: "Ünïcode 🎈", createdAt: new Date(made.createdAt).toISOString() });
    const { data } = (await (await api.request("/v1/organizations")).json()) as { data: { id: string }[] };
    expect(data).toContainEqual(made);
  });

  test("pages of a list hold every entry once, also when some are made meanwhile", async () => {
    const ids = [await makeOrganization("a"), await makeOrganization("b"), await makeOrganization("c")];
    const seen: string[] = [];
    let cursor: string | undefined;
    for (let pages = 0; pages < 100; pages += 1) {
      const query = new URLSearchParams({ limit: "2", ...(cursor === undefined ? {} : { cursor }) });
      const page = (await (await api.request(`/v1/organizations?${query.toString()}`)).json()) as {
        data: { id: string }[];
        pagination: { cursor?: string; hasMore: boolean };
      };
      expect(page.data.length).toBeLessThanOrEqual(2);
      seen.push(...page.data.map(({ id }) => id));
      if (pages === 0) ids.push(await makeOrganization("later"));
      ({ cursor } = page.pagination);
      expect(page.pagination.hasMore).toBe(cursor !== undefined);
      if (cursor === undefined) break;
    }
    expect(seen.filter((id) => ids.includes(id))).toEqual(ids);
    expect(new Set(seen).size).toBe(seen.length);
  });

  test("a cursor that no list gave is refused, whatever it holds", async () => {
    const odd = [
      "x",
      "W10",
      Buffer.from('["x"]').toString("base64url"),
      Buffer.from("[1]").toString("base64url"),
      "%00",
    ];
    for (const cursor of odd) {
      const response = await api.request(`/v1/organizations?cursor=${cursor}`);
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({
        errors: [{ pointer: expect.stringMatching(/^\/query/) as string }],
      });
    }
  });

  test("a person may neither list all of them nor make one", async () => {
    const list = await api.request("/v1/organizations", { as: "person ann" });
    expect(list.status).toBe(403);
    expect(await list.json()).toMatchObject({ code: "ERR_FORBIDDEN", status: 403 });
    expect((await post("/v1/organizations", { name: "Mine" }, "person ann")).status).toBe(403);
  });
});

describe("projects over HTTP", () => {
  test("a project is made, read and given a network policy", async () => {
    const organizationId = await makeOrganization();
    const made = await post(`/v1/organizations/${organizationId}/projects`, { name: "Support" });
    expect(made.status).toBe(201);
    const project = (await made.json()) as { id: string };
    expect(project).toMatchObject({ organizationId, name: "Support", network: null });
    const read = await api.request(`/v1/projects/${project.id.toUpperCase()}`);
    expect(await read.json()).toEqual(project);
    const network = ["GET https://api.example.com"];
    const changed = await api.request(`/v1/projects/${project.id}/network`, { method: "PUT", body: json({ network }) });
    expect(await changed.json()).toEqual({ ...project, network });
    const list = await (await api.request(`/v1/organizations/${organizationId}/projects`)).json();
    expect(list).toEqual({ data: [{ ...project, network }], pagination: { hasMore: false } });
  });

  test("what somebody has no part in answers like what is not there", async () => {
    const organizationId = await makeOrganization();
    const made = await post(`/v1/organizations/${organizationId}/projects`, { name: "Secret plans" });
    const { id } = (await made.json()) as { id: string };
    const absent = "01890000-0000-7000-8000-000000000000";
    const bodies = [];
    for (const projectId of [id, absent]) {
      const response = await api.request(`/v1/projects/${projectId}`, { as: "person eve" });
      expect(response.status).toBe(404);
      const { instance, requestId, detail, ...rest } = (await response.json()) as Record<string, string>;
      expect([instance, requestId]).not.toContain(undefined);
      bodies.push({ ...rest, detail: detail?.replace(projectId, "ID") });
    }
    expect(bodies[0]).toEqual(bodies[1]);
  });

  test("a wrong policy is refused with the place of each fault and none of its text", async () => {
    const organizationId = await makeOrganization();
    const made = await post(`/v1/organizations/${organizationId}/projects`, { name: "P" });
    const { id } = (await made.json()) as { id: string };
    const body = json({ network: ["not a rule at all"], hunter2: 1 });
    const response = await api.request(`/v1/projects/${id}/network`, { method: "PUT", body });
    expect(response.status).toBe(400);
    const text = await response.text();
    expect(text).not.toMatch(/hunter2|not a rule/);
    const { errors } = JSON.parse(text) as { errors: { pointer: string; detail: string }[] };
    expect(errors).toContainEqual({ pointer: "/body", detail: "has 1 field(s) that the schema does not know" });
    expect(errors.map(({ pointer }) => pointer)).toContain("/body/network/0");
  });
});
