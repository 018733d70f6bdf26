/**
 * Who asks, with platform keys. Goal: one credential stands for one actor, read as strictly as can be, and nobody learns of
 * a project that their key does not cover. Method: a real vault's keys, in every odd way that a header can be written;
 * requests over a real server where Node's own reading of headers matters.
 */
import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Authenticator, createAuthenticator, type Principal } from "../../api/principal.ts";
import { ownOriginOf } from "../../api/principals/own-origin.ts";
import type { RequestHead } from "../../api/principals/request-head.ts";
import { createId } from "../../protocol/ids.ts";
import type { KeyScope } from "../../protocol/roles.ts";
import { codeOf, failureOf } from "../vault/platform-keys/keys-world.ts";
import { openPeople, type People } from "../vault/people/people-world.ts";

let people: People;
let authenticator: Authenticator;
let projectId: string;
let otherProjectId: string;
let foreignProjectId: string;
let key: string;
let organizationKey: string;

beforeAll(async () => {
  people = await openPeople();
  ({ projectId } = people);
  const [organizationId, foreignId] = people.organizationIds;
  const { vault } = people;
  otherProjectId = (await vault.tenancy.createProject({ organizationId, name: "Sales" })).id;
  foreignProjectId = (await vault.tenancy.createProject({ organizationId: foreignId, name: "Theirs" })).id;
  key = await projectKey(["trigger"]);
  const wanted = { organizationId, access: "all", name: "CI", scopes: ["trigger"], expiry: "none" } as const;
  organizationKey = (await vault.keys.createForOrganization(wanted)).key;
  const own = ownOriginOf({ publicUrl: undefined, host: "127.0.0.1", port: 8484 });
  authenticator = createAuthenticator({ vault, oidc: undefined, ownOrigin: () => own });
});
afterAll(async () => {
  authenticator.close();
  await people.close();
});

async function projectKey(scopes: readonly KeyScope[]): Promise<string> {
  return (await people.vault.keys.createForProject({ projectId, name: "CI", scopes, expiry: "none" })).key;
}

const ask = async (headers: RequestHead["headers"], more: Partial<RequestHead> = {}): Promise<Principal> =>
  await authenticator.authenticate({ headers, method: "GET", url: "/v1/x", ip: "127.0.0.1", ...more });
const answer = async (headers: RequestHead["headers"], more: Partial<RequestHead> = {}): Promise<string> =>
  await codeOf(ask(headers, more));

describe("a platform key", () => {
  test("is sent as <project>:<key>, as the client does, or as a bearer", async () => {
    const named = await ask({ authorization: `${projectId}:${key}` });
    expect(named).toMatchObject({ via: "key", projectId, actor: { kind: "key", projects: [projectId] } });
    expect(named.id).toBe(`key:${named.actor.id}`);
    expect(await ask({ authorization: `Bearer ${key}` })).toMatchObject({ via: "key", projectId: undefined });
  });

  test("names a project in any letters, which is told as it is stored", async () => {
    expect((await ask({ authorization: `${projectId.toUpperCase()}:${key}` })).projectId).toBe(projectId);
  });

  test("of an organization reaches each project of it and no other", async () => {
    for (const id of [projectId, otherProjectId])
      expect((await ask({ authorization: `${id}:${organizationKey}` })).projectId).toBe(id);
    expect(await answer({ authorization: `${foreignProjectId}:${organizationKey}` })).toBe("ERR_PROJECT_UNKNOWN");
  });

  test("a project that it does not cover answers like one that is not there, and leaves no event", async () => {
    const before = await people.events();
    const absent = createId();
    const messages = [];
    for (const id of [otherProjectId, foreignProjectId, absent]) {
      const failure = await failureOf(ask({ authorization: `${id}:${key}` }));
      expect(failure.code).toBe("ERR_PROJECT_UNKNOWN");
      messages.push(failure.message.replace(id, "…"));
    }
    expect(new Set(messages).size).toBe(1);
    expect(await people.events()).toEqual(before);
  });

  test("what is no id of a project is not repeated", async () => {
    const failure = await failureOf(ask({ authorization: `hunter2:${key}` }));
    expect(failure.code).toBe("ERR_PROJECT_UNKNOWN");
    expect(failure.message).not.toContain("hunter2");
  });

  test("that was rotated tells when it ends, and nothing else does", async () => {
    const { key: old, metadata } = await people.vault.keys.createForProject({
      projectId,
      name: "Old",
      scopes: ["trigger"],
      expiry: "none",
    });
    expect((await ask({ authorization: `Bearer ${old}` })).endsAt).toBeUndefined();
    await people.vault.keys.rotate({ place: { projectId }, keyId: metadata.id, expiry: "none", graceDays: 1 });
    expect((await ask({ authorization: `Bearer ${old}` })).endsAt).toBeInstanceOf(Date);
  });

  test("that was revoked, is unknown or mistyped is refused by its own code", async () => {
    const { key: gone, metadata } = await people.vault.keys.createForProject({
      projectId,
      name: "Gone",
      scopes: ["trigger"],
      expiry: "none",
    });
    await people.vault.keys.revoke({ place: { projectId }, keyId: metadata.id });
    expect(await answer({ authorization: `Bearer ${gone}` })).toBe("ERR_KEY_REVOKED");
    expect(await answer({ authorization: `Bearer ${key.slice(0, -1)}0` })).toBe("ERR_KEY_CHECKSUM");
    expect(await answer({ authorization: "Bearer nonsense" })).toBe("ERR_KEY_MALFORMED");
  });
});

describe("a key from a browser", () => {
  test.each([
    { origin: "https://shop.example" },
    { origin: "null" },
    { "sec-fetch-site": "same-origin" },
    { "sec-fetch-site": "none" },
  ])("is refused: %j", async (more) => {
    expect(await answer({ authorization: `Bearer ${key}`, ...more })).toBe("ERR_KEY_BROWSER");
  });

  test("what Node's own fetch sends is none", async () => {
    const seen = await headersOver(async (port) => void (await fetch(`http://127.0.0.1:${port}/`)));
    expect(seen.headers["sec-fetch-mode"]).toBe("cors");
    expect(await answer({ ...seen.headers, authorization: `Bearer ${key}` })).toBe("ok");
  });

  test("an embed key works from its origins only, and says what it is for", async () => {
    const { vault } = people;
    const stepId = createId();
    await people.database.query(
      "insert into steps (id, version, project_id, name, language, code) values ($1, 1, $2, 'step', 'javascript', '')",
      [stepId, projectId],
    );
    const wanted = { projectId, name: "Shop", kind: "agent", public: true, stepIds: [stepId] } as const;
    const agent = await vault.agents.create(wanted);
    const origins = ["https://shop.example"];
    const embed = await vault.embedKeys.create({ projectId, agentId: agent.id, origins });
    const authorization = `${projectId}:${embed.key}`;
    expect(await ask({ authorization, origin: "https://shop.example" })).toMatchObject({
      via: "embed",
      projectId,
      embed: { projectId, stepIds: [stepId] },
    });
    for (const origin of ["https://evil.example", "https://shop.example.evil", "null", undefined])
      expect(await answer({ authorization, ...(origin === undefined ? {} : { origin }) })).toBe("ERR_KEY_BROWSER");
    expect(await answer({ authorization: `${otherProjectId}:${embed.key}`, origin: "https://shop.example" })).toBe(
      "ERR_PROJECT_UNKNOWN",
    );
  });
});

describe("a token of an issuer", () => {
  const personId = "https://id.example#ada";
  const withTokens = () =>
    createAuthenticator({
      vault: people.vault,
      oidc: undefined,
      ownOrigin: () => undefined,
      tokens: { check: async () => personId, close: () => {} },
    });
  const head = (authorization: string) => ({ headers: { authorization }, method: "GET", url: "/", ip: "127.0.0.1" });

  test("is a person, who may nothing without a role, and what their role allows with one", async () => {
    const { authenticate } = withTokens();
    const { actor, ...rest } = await authenticate(head("Bearer e30.e30.e30"));
    expect(actor).toEqual({ kind: "person", id: personId });
    expect(rest).toMatchObject({ via: "token", id: `person:${personId}`, projectId: undefined, endsAt: undefined });
    expect(await codeOf(authenticate(head(`${projectId}:e30.e30.e30`)))).toBe("ERR_PROJECT_UNKNOWN");
    const [organizationId] = people.organizationIds;
    await people.vault.tenancy.setOrganizationMember({ organizationId, personId, name: "Ada", role: "admin" });
    expect((await authenticate(head(`${projectId}:e30.e30.e30`))).projectId).toBe(projectId);
    expect(await codeOf(authenticate(head(`${foreignProjectId}:e30.e30.e30`)))).toBe("ERR_PROJECT_UNKNOWN");
  });

  test("a key is never taken for one, and one never for a key", async () => {
    const { authenticate } = withTokens();
    expect((await authenticate(head(`Bearer ${key}`))).via).toBe("key");
    expect(await codeOf(authenticate(head(`Bearer ${key}.`)))).toBe("ok");
    expect((await authenticate(head(`Bearer ${key}.`))).via).toBe("token");
  });
});

describe("what is no one credential", () => {
  test("nothing at all", async () => {
    expect(await answer({})).toBe("ERR_UNAUTHENTICATED");
    expect(await answer({ cookie: "theme=dark" })).toBe("ERR_UNAUTHENTICATED");
  });

  test.each([
    ["no scheme", (k: string) => k],
    ["a scheme in other letters", (k: string) => `bearer ${k}`],
    ["two blanks", (k: string) => `Bearer  ${k}`],
    ["a tab", (k: string) => `Bearer\t${k}`],
    ["a blank behind", (k: string) => `Bearer ${k} `],
    ["a blank before", (k: string) => ` Bearer ${k}`],
    ["a blank behind the colon", (k: string) => `${projectId}: ${k}`],
    ["two colons", (k: string) => `${projectId}::${k}`],
    ["an empty project", (k: string) => `:${k}`],
    ["two in one header", (k: string) => `Bearer ${k}, Bearer ${k}`],
    ["another scheme", (k: string) => `Basic ${Buffer.from(`${projectId}:${k}`).toString("base64")}`],
    ["a NUL", (k: string) => `Bearer ${k}\0`],
    ["letters of another script", (k: string) => `Bеarer ${k}`],
  ])("%s", async (_what, write) => {
    const failure = await failureOf(ask({ authorization: write(key) }));
    expect(failure.code).toBe("ERR_UNAUTHENTICATED");
    expect(failure.message).not.toContain(key);
  });

  test("a key beside a session, whether or not either works", async () => {
    const { token } = await people.session("ada", new Date());
    for (const [authorization, cookie] of [
      [`Bearer ${key}`, `stepvault=${token}`],
      [`Bearer ${key}`, "stepvault="],
      ["nonsense", `theme=dark; stepvault=${token}`],
    ] as const)
      expect(await answer({ authorization, cookie })).toBe("ERR_CREDENTIAL_AMBIGUOUS");
  });

  test("two Authorization headers, of which Node shows one", async () => {
    const seen = await headersOver(async (port) => {
      const socket = connect(port, "127.0.0.1");
      socket.end(
        `GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nAUTHORIZATION: Bearer other\r\nConnection: close\r\n\r\n`,
      );
      await once(socket.resume(), "close");
    });
    expect(seen.headers.authorization).toBe(`Bearer ${key}`);
    expect(await answer(seen.headers, { rawHeaders: seen.rawHeaders })).toBe("ERR_CREDENTIAL_AMBIGUOUS");
  });

  test("a token where no issuer is set", async () => {
    const failure = await failureOf(ask({ authorization: "Bearer e30.e30.e30" }));
    expect(failure).toMatchObject({ code: "ERR_UNAUTHENTICATED", message: expect.stringContaining("no issuer") });
  });
});

/** The headers of one request as a real server has them. */
async function headersOver(send: (port: number) => Promise<void>): Promise<IncomingMessage> {
  const server = createServer((_request, response) => void response.end());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const seen = once(server, "request") as Promise<[IncomingMessage]>;
  await send((server.address() as AddressInfo).port);
  server.closeAllConnections();
  server.close();
  return (await seen)[0];
}
