/**
 * Embed keys over HTTP, from the request that the client library sends to a page that uses the key. Goal: a key reaches the
 * steps of its one public agent from its own pages and nothing else. Method: the client's own `generateEmbedKey`, then
 * requests with real Authorization and Origin headers, as attackers of a page would send them.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Key } from "../../client/key.ts";
import { sendBytes } from "./wire.ts";
import { absentId, type Answer, type Callers, expectAlike, expectForbidden, openCallers } from "./callers.ts";

const origin = "https://shop.example";
let callers: Callers;
let agentId: string;
let workforceId: string;
let privateId: string;
let stepId: string;
/** Of a key with the scope `trigger`. */
let trigger: string;
const issued: string[] = [];

beforeAll(async () => {
  callers = await openCallers();
  stepId = await callers.addStep();
  const make = async (kind: "agent" | "workforce", isPublic: boolean): Promise<string> =>
    (
      await callers.vault.agents.create({
        projectId: callers.projectId,
        kind,
        name: kind,
        public: isPublic,
        stepIds: [stepId],
      })
    ).id;
  agentId = await make("agent", true);
  workforceId = await make("workforce", true);
  privateId = await make("agent", false);
  trigger = await callers.keyWith("trigger");
});
afterAll(async () => await callers.close());
afterEach(() => callers.requireShownOnce(issued));

async function mint(
  more: Record<string, unknown> = {},
  as = trigger,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const body = { agent_id: agentId, project: callers.projectId, ...more };
  const answer = await callers.call("POST", "/v1/agents/get_embed_key", { as, body, headers });
  if (answer.status === 200) issued.push(answer.body.embed_key as string);
  return answer;
}
/** What the key is told of itself, as a page of the origin asks; `null` for no browser. */
const use = async (key: string, from: string | null = origin): Promise<Answer> =>
  await callers.call("GET", "/v1/key", {
    as: `${callers.projectId}:${key}`,
    headers: from === null ? {} : { origin: from, "sec-fetch-site": "cross-site" },
  });
const keysPath = (): string => `/v1/projects/${callers.projectId}/embed-keys`;

describe("making an embed key over HTTP", () => {
  test("the client library makes one for an agent and one for a workforce", async () => {
    const [, key = ""] = trigger.split(":");
    const parent = new Key({ key, region: "us", project: callers.projectId });
    const wanted = {
      parent,
      origins: [origin],
      expiresAt: new Date(Date.now() + 86_400_000),
      requestsMax: 5,
      requestsPerMinuteMax: 5,
    };
    for (const scope of [{ agentId }, { workforceId }, { agentId, workforceId }]) {
      const made = await Key.generateEmbedKey({ ...wanted, ...scope }, { baseUrl: callers.api.url });
      expect(made.isEmbed()).toBe(true);
      const { key: embedKey } = made.toJSON() as { key: string };
      const { body } = await use(embedKey);
      expect(body).toMatchObject({ kind: "embed", projects: [callers.projectId], scopes: [] });
      expect(body.agent).toEqual({
        id: "workforceId" in scope ? workforceId : agentId,
        kind: "workforceId" in scope ? "workforce" : "agent",
        stepIds: [stepId],
        conversationPrefix: made.taskPrefix,
      });
    }
    const { body } = await callers.call("GET", keysPath());
    expect(body.data.at(-1)).toMatchObject({
      origins: [origin],
      requestsMax: 5,
      requestsUsed: 1,
      requestsPerMinuteMax: 5,
    });
  });

  test("is answered with the key and its prefix alone, and leaves earlier keys alone", async () => {
    const first = await mint();
    const second = await mint();
    expect(Object.keys(first.body as object)).toEqual(["embed_key", "conversation_prefix"]);
    expect(first.headers.get("cache-control")).toBe("no-store");
    expect(first.body.conversation_prefix).not.toBe(second.body.conversation_prefix);
    expect([
      (await use(first.body.embed_key as string)).status,
      (await use(second.body.embed_key as string)).status,
    ]).toEqual([200, 200]);
  });

  test("takes the scope trigger or a builder; viewers and embed keys are refused", async () => {
    expect((await mint({}, "person builder")).status).toBe(200);
    expect((await mint({}, await callers.keyWith("admin"))).status).toBe(200);
    const embed = `${callers.projectId}:${(await mint()).body.embed_key}`;
    await expectForbidden(
      ["person viewer", "person member", await callers.keyWith("read:runs", "manage:secrets"), embed],
      async (as) => await mint({}, as),
    );
  });

  test("asks for who calls, unlike the request that it follows", async () => {
    const { status, body } = await mint({}, "");
    expect([status, body.code]).toEqual([401, "ERR_UNAUTHENTICATED"]);
  });

  test("is refused for a private agent; another project's and one that is not there answer alike", async () => {
    const refused = await mint({ agent_id: privateId });
    expect([refused.status, refused.body.code]).toEqual([403, "ERR_AGENT_PRIVATE"]);
    const { id } = await callers.vault.agents.create({
      projectId: callers.otherProjectId,
      kind: "agent",
      name: "Theirs",
      public: true,
      stepIds: [],
    });
    // A workforce is no agent.
    await expectAlike([id, workforceId, absentId], async (one) => await mint({ agent_id: one }));
  });

  test("for a project other than that of the key is refused, and one that is not covered answers like none", async () => {
    const other = await mint({ project: callers.otherProjectId });
    expect([other.status, other.body.errors[0].pointer]).toEqual([400, "/body/project"]);
    const [, key = ""] = trigger.split(":");
    await expectAlike(
      [callers.otherProjectId, callers.foreignProjectId, absentId],
      async (id) => await mint({ project: id }, `Bearer ${key}`),
    );
    expect((await mint({ project: callers.projectId.toUpperCase() })).status).toBe(200);
  });

  test("names each wrong place, and origins with wildcards are no origins", async () => {
    const { status, body } = await mint({
      origins: [],
      requests_max: 0,
      expires_at: "soon",
      workforce_id: workforceId,
    });
    expect(status).toBe(400);
    expect((body.errors as { pointer: string }[]).map(({ pointer }) => pointer).sort()).toEqual([
      "/body",
      "/body/expires_at",
      "/body/origins",
      "/body/requests_max",
    ]);
    for (const wrong of ["https://*.example", "https://shop.example/", "https://SHOP.example", "null", "*"])
      expect((await mint({ origins: [wrong] })).body.code).toBe("ERR_KEY_INVALID");
    const far = new Date(Date.now() + 31 * 86_400_000).toISOString();
    expect((await mint({ expires_at: far })).body.code).toBe("ERR_KEY_EXPIRY_INVALID");
  });

  test("is done once, however often it is sent with its Idempotency-Key", async () => {
    const again = { "idempotency-key": "page-1" };
    const answers = await Promise.all(Array.from({ length: 5 }, async () => await mint({}, trigger, again)));
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 409, 409, 409, 409]);
    const location = answers.find(({ status }) => status === 200)!.headers.get("location");
    expect(new Set(answers.map(({ headers }) => headers.get("location")))).toEqual(new Set([location]));
    const found = await callers.call("GET", location!);
    expect([found.status, found.body.agentId]).toEqual([200, agentId]);
  });
});

describe("using an embed key over HTTP", () => {
  test("works from its own pages and from no other place", async () => {
    const key = (await mint({ origins: [origin] })).body.embed_key as string;
    expect((await use(key)).status).toBe(200);
    for (const from of [
      "https://evil.example",
      "https://shop.example.evil.example",
      "http://shop.example",
      "null",
      null,
    ]) {
      const { status, body } = await use(key, from);
      expect([from, status, body.code]).toEqual([from, 403, "ERR_KEY_BROWSER"]);
    }
  });

  test("reaches nothing of the project but its steps' runs", async () => {
    const key = (await mint()).body.embed_key as string;
    const project = `/v1/projects/${callers.projectId}`;
    const asks: (readonly [string, string, unknown?])[] = [
      ["GET", project],
      ["GET", `${project}/limits`],
      ["GET", `${project}/members`],
      ["GET", `${project}/keys`],
      ["GET", `${project}/embed-keys`],
      ["GET", `${project}/agents`],
      ["GET", `${project}/credentials`],
      ["GET", `${project}/effective-credentials`],
      ["POST", `${project}/keys`, { name: "x", scopes: ["admin"], expiry: "none" }],
      ["PATCH", `${project}/agents/${agentId}`, { public: true }],
      ["PUT", `${project}/credentials/openai`, { fields: { api_key: "another-key" } }],
      ["PUT", `${project}/members/eve`, { role: "admin" }],
    ];
    for (const [method, path, body] of asks) {
      const { status, body: problem } = await callers.call(method, path, {
        as: `Bearer ${key}`,
        body,
        headers: { origin },
      });
      expect([method, path, status, problem.code]).toEqual([method, path, 403, "ERR_FORBIDDEN"]);
    }
    await expectAlike(
      [callers.organizationId, absentId],
      async (id) => await callers.call("GET", `/v1/organizations/${id}/members`, { as: `Bearer ${key}` }),
    );
  });

  test("sends small bodies only and no batch, of which nothing is read else", async () => {
    const key = (await mint()).body.embed_key as string;
    const runs = `/v1/projects/${callers.projectId}/runs`;
    const send = async (path: string, length: string, body = ""): Promise<unknown[]> => {
      const head = [
        `POST ${path} HTTP/1.1`,
        "host: x",
        `authorization: Bearer ${key}`,
        "content-type: application/json",
      ];
      const answer = await sendBytes(callers.api.port, `${[...head, length].join("\r\n")}\r\n\r\n${body}`);
      return [answer.status, JSON.parse(answer.body).code];
    };
    // None of these bodies ever comes.
    for (const length of ["content-length: 1048577", "transfer-encoding: chunked"])
      expect(await send(runs, length)).toEqual([413, "ERR_BODY_TOO_LARGE"]);
    expect(await send(`${runs}/batch`, "content-length: 10")).toEqual([403, "ERR_FORBIDDEN"]);
    const other = `/v1/projects/${callers.otherProjectId}/runs`;
    expect(await send(other, "content-length: 10")).toEqual([404, "ERR_PROJECT_UNKNOWN"]);
    const largest = `{}${" ".repeat(1_048_574)}`;
    expect(await send(runs, "content-length: 1048576", largest)).toEqual([400, "ERR_REQUEST_INVALID"]);
  });

  test("ends with its budget", async () => {
    const key = (await mint({ requests_max: 2 })).body.embed_key as string;
    expect([(await use(key)).status, (await use(key)).status]).toEqual([200, 200]);
    const { status, body } = await use(key);
    expect([status, body.code]).toEqual([429, "ERR_KEY_BUDGET"]);
  });

  test("ends when it is revoked, by its maker or an editor and by nobody else", async () => {
    const made = await mint();
    const key = made.body.embed_key as string;
    const at = made.headers.get("location")!;
    const revoke = async (as: string, path = at): Promise<Answer> =>
      await callers.call("POST", `${path}/revoke`, { as });
    await expectForbidden(
      ["person viewer", "person builder", await callers.keyWith("trigger"), `Bearer ${key}`],
      revoke,
    );
    expect((await use(key)).status).toBe(200);
    expect((await revoke(trigger)).status).toBe(204);
    expect((await use(key)).body.code).toBe("ERR_KEY_REVOKED");
    const listed = await callers.call("GET", at, { as: "person builder" });
    expect(listed.body.revokedAt).not.toBeNull();
    const second = await mint();
    expect((await revoke("person editor", second.headers.get("location")!)).status).toBe(204);
    expect((await use(second.body.embed_key as string)).body.code).toBe("ERR_KEY_REVOKED");
  });

  test("one that is another project's cannot be revoked, and answers like one that is not there", async () => {
    const { id } = await callers.vault.agents.create({
      projectId: callers.otherProjectId,
      kind: "agent",
      name: "Theirs",
      public: true,
      stepIds: [],
    });
    const other = await callers.vault.embedKeys.create({ projectId: callers.otherProjectId, agentId: id });
    const ids = [other.metadata.id, absentId];
    await expectAlike(ids, async (one) => await callers.call("POST", `${keysPath()}/${one}/revoke`));
    await expectAlike(ids, async (one) => await callers.call("GET", `${keysPath()}/${one}`));
    expect(await callers.vault.keys.check({ key: other.key })).toMatchObject({ actor: { kind: "key" } });
  });

  test("ends when its agent becomes private, and with the key that made it", async () => {
    const key = (await mint()).body.embed_key as string;
    const agent = `/v1/projects/${callers.projectId}/agents/${agentId}`;
    await callers.call("PATCH", agent, { body: { public: false } });
    expect((await use(key)).body.code).toBe("ERR_AGENT_PRIVATE");
    await callers.call("PATCH", agent, { body: { public: true } });
    const parent = await callers.call("POST", `/v1/projects/${callers.projectId}/keys`, {
      body: { name: "Parent", scopes: ["trigger"], expiry: { days: 7 } },
    });
    const child = (await mint({}, `${callers.projectId}:${parent.body.key}`)).body.embed_key as string;
    expect((await use(child)).body.expiresAt).toBe(parent.body.metadata.expiresAt);
    await callers.call("DELETE", `/v1/projects/${callers.projectId}/keys/${parent.body.metadata.id}`);
    expect((await use(child)).body.code).toBe("ERR_KEY_PARENT");
  });
});
