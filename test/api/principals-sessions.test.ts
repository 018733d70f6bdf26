/**
 * Signing in over HTTP. Goal: a session is its browser's alone, no other page makes use of it, and its token is in no URL,
 * log or answer. Method: the whole API on loopback over a real vault, asked as a browser would ask for own and other pages.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createAuthenticator } from "../../api/principal.ts";
import { ownOriginOf, requireOwnPage, sessionCookie } from "../../api/principals/own-origin.ts";
import { signInLink } from "../../api/principals/sign-in-page.ts";
import { openPeople, type People } from "../vault/people/people-world.ts";
import { startApi, type TestApi } from "./api.ts";

let people: People;
let api: TestApi;
let own: ReturnType<typeof ownOriginOf>;

beforeAll(async () => {
  people = await openPeople();
  const { vault } = people;
  const { authenticate } = createAuthenticator({ vault, oidc: undefined, ownOrigin: () => own });
  api = await startApi({ temporary: people, vault, dispose: async () => {} }, { authenticate });
  own = ownOriginOf({ publicUrl: undefined, host: "127.0.0.1", port: api.port });
});
afterAll(async () => {
  await api.api.close();
  await people.close();
});

const link = async (personId = "ada"): Promise<string> => await people.link(personId, new Date());
const json = { "content-type": "application/json" };

async function signIn(token: string, headers: Record<string, string> = {}): Promise<Response> {
  const sent = { ...json, origin: api.url, "sec-fetch-site": "same-origin", ...headers };
  const body = JSON.stringify({ token });
  return await fetch(`${api.url}/v1/sessions`, { method: "POST", headers: sent, body });
}

async function cookieOf(personId = "ada"): Promise<string> {
  const response = await signIn(await link(personId));
  expect(response.status).toBe(201);
  return response.headers.get("set-cookie")!.split(";")[0]!;
}

async function ask(cookie: string, headers: Record<string, string> = {}, method = "GET"): Promise<Response> {
  return await fetch(`${api.url}/v1/session`, { method, headers: { cookie, ...headers } });
}

const codeIn = async (response: Response): Promise<unknown> => ((await response.json()) as { code: unknown }).code;

describe("a sign-in", () => {
  test("gives a cookie that no script reads and no other site gets, and no token beside it", async () => {
    const response = await signIn(await link());
    expect(response.status).toBe(201);
    const cookie = response.headers.get("set-cookie")!;
    expect(cookie).toMatch(/^stepvault=[0-9A-Za-z]{43}; Path=\/; Max-Age=604800; HttpOnly; SameSite=Strict$/);
    const text = await response.text();
    expect(text).not.toContain(cookie.slice(10, 53));
    expect(JSON.parse(text)).toMatchObject({ personId: "ada" });
  });

  test("says who asks from then on, with their roles", async () => {
    const body = (await (await ask(await cookieOf("bob"))).json()) as object;
    expect(body).toMatchObject({
      actor: { kind: "person", id: "bob" },
      via: "session",
      organizations: [{ organizationId: people.organizationIds[0], name: "Acme", role: "member" }],
    });
  });

  test("with a link that was used is refused as a problem, and sets nothing", async () => {
    const token = await link();
    await signIn(token);
    const response = await signIn(token);
    expect([response.status, response.headers.get("set-cookie")]).toEqual([401, null]);
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({ code: "ERR_SIGN_IN_LINK_INVALID" });
    expect(text).not.toContain(token);
  });

  test.each([
    { origin: "https://evil.example" },
    { origin: "null" },
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
  ])("by a page of another site is refused, and leaves the link: %j", async (headers) => {
    const token = await link();
    const response = await signIn(token, headers);
    expect([response.status, await codeIn(response)]).toEqual([403, "ERR_CROSS_SITE"]);
    expect((await signIn(token)).status).toBe(201);
  });

  test("as a form is refused, and leaves the link", async () => {
    const token = await link();
    const form = { method: "POST", body: new URLSearchParams({ token }), headers: { origin: api.url } };
    expect((await fetch(`${api.url}/v1/sessions`, form)).status).toBeGreaterThanOrEqual(400);
    expect((await signIn(token)).status).toBe(201);
  });

  test("works once for two browsers at the same time", async () => {
    const token = await link();
    const statuses = await Promise.all([1, 2, 3, 4].map(async () => (await signIn(token)).status));
    expect(statuses.filter((status) => status === 201)).toHaveLength(1);
    expect(statuses.filter((status) => status === 401)).toHaveLength(3);
  });

  test("never keeps the session that was put into the browser before, and ends it", async () => {
    const planted = await cookieOf("bob");
    const response = await signIn(await link("ada"), { cookie: planted });
    const fresh = response.headers.get("set-cookie")!.split(";")[0]!;
    expect(fresh).not.toBe(planted);
    expect((await ask(planted)).status).toBe(401);
    const chosen = `stepvault=${"a".repeat(43)}`;
    expect((await signIn(await link("ada"), { cookie: chosen })).headers.get("set-cookie")).not.toContain(chosen);
    expect((await ask(chosen)).status).toBe(401);
    expect(((await (await ask(fresh)).json()) as { actor: unknown }).actor).toMatchObject({ id: "ada" });
  });
});

describe("a session's cookie", () => {
  test.each([
    { origin: "https://evil.example" },
    { origin: "null" },
    { origin: "http://127.0.0.1:1" },
    { origin: "http://localhost" },
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
    { origin: "https://evil.example", "sec-fetch-site": "same-origin" },
  ])("from another page is refused, for reading too: %j", async (headers) => {
    const cookie = await cookieOf();
    for (const method of ["GET", "DELETE"]) {
      const response = await ask(cookie, headers, method);
      expect([response.status, await codeIn(response)]).toEqual([403, "ERR_CROSS_SITE"]);
    }
    expect((await ask(cookie)).status).toBe(200);
  });

  test("changes nothing unless the request says that it came from an own page", async () => {
    const cookie = await cookieOf();
    for (const headers of [{}, { "sec-fetch-site": "none" }])
      expect((await ask(cookie, headers as Record<string, string>, "DELETE")).status).toBe(403);
    expect((await ask(cookie, { "sec-fetch-site": "same-origin" }, "DELETE")).status).toBe(204);
  });

  test.each(["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", ""])(
    "sends nothing but JSON: %j",
    async (type) => {
      const headers = { cookie: await cookieOf(), origin: api.url, "content-type": type };
      const response = await fetch(`${api.url}/v1/organizations`, { method: "POST", headers, body: '{"name":"x"}' });
      expect([response.status, await codeIn(response)]).toEqual([403, "ERR_CROSS_SITE"]);
    },
  );

  test("works under each name of loopback, at its own port", async () => {
    const cookie = await cookieOf();
    expect((await ask(cookie, { origin: `http://localhost:${api.port}` })).status).toBe(200);
    expect((await ask(cookie, { origin: api.url, "sec-fetch-site": "same-origin" })).status).toBe(200);
  });

  test("beside another of its name is refused, in whatever order", async () => {
    const [mine, tossed] = [await cookieOf("ada"), await cookieOf("bob")];
    for (const both of [`${mine}; ${tossed}`, `${tossed}; ${mine}`, `${mine}; stepvault=`, `${mine};${mine}`]) {
      const response = await ask(both);
      expect([response.status, await codeIn(response)]).toEqual([400, "ERR_CREDENTIAL_AMBIGUOUS"]);
    }
  });

  test("is of no use after signing out, which takes it out of the browser", async () => {
    const cookie = await cookieOf();
    const response = await ask(cookie, { origin: api.url }, "DELETE");
    expect([response.status, response.headers.get("set-cookie")]).toEqual([
      204,
      "stepvault=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict",
    ]);
    const refused = await ask(cookie);
    expect([refused.status, await codeIn(refused)]).toEqual([401, "ERR_UNAUTHENTICATED"]);
  });

  test("lists a person's sessions and ends all of them at once", async () => {
    const [one, two] = [await cookieOf("bob"), await cookieOf("bob")];
    const sent = { headers: { cookie: one, origin: api.url } };
    const list = (await (await fetch(`${api.url}/v1/sessions`, sent)).json()) as { data: { personId: string }[] };
    expect(list.data.length).toBeGreaterThanOrEqual(2);
    expect(new Set(list.data.map(({ personId }) => personId))).toEqual(new Set(["bob"]));
    expect((await fetch(`${api.url}/v1/sessions`, { ...sent, method: "DELETE" })).status).toBe(204);
    expect([(await ask(one)).status, (await ask(two)).status]).toEqual([401, 401]);
  });
});

describe("where tokens do not go", () => {
  test("one in a query is refused, and in no line of the log", async () => {
    const token = await link();
    const cookie = await cookieOf();
    const session = cookie.split("=")[1]!;
    for (const query of [`access_token=${session}`, `token=${token}`, `stepvault=${session}`]) {
      const response = await fetch(`${api.url}/v1/session?${query}`);
      expect(response.status).toBeGreaterThanOrEqual(400);
    }
    await ask(cookie);
    await signIn(token);
    const log = api.log.join("\n");
    expect(log).toContain("/v1/session");
    expect(log).not.toContain(token);
    expect(log).not.toContain(session);
  });

  test("a flood of guesses is held up", async () => {
    const flooded = await startApi(
      { temporary: people, vault: people.vault, dispose: async () => {} },
      {
        authenticate: createAuthenticator({ vault: people.vault, oidc: undefined, ownOrigin: () => own }).authenticate,
      },
    );
    try {
      const statuses = [];
      for (let count = 0; count < 80; count += 1) {
        const cookie = `stepvault=${String(count).padStart(43, "a")}`;
        statuses.push((await fetch(`${flooded.url}/v1/session`, { headers: { cookie } })).status);
      }
      expect(new Set(statuses)).toEqual(new Set([401, 429]));
    } finally {
      await flooded.api.close();
    }
  });
});

describe("where a session can be kept", () => {
  const at = (publicUrl: string | undefined, host = "127.0.0.1") => ownOriginOf({ publicUrl, host, port: 8484 });

  test("behind TLS the cookie is the host's own", () => {
    const secure = at("https://vault.example/api/", "0.0.0.0");
    expect(secure).toEqual({ origins: ["https://vault.example"], cookieName: "__Host-stepvault", secure: true });
    expect(sessionCookie(secure!, { token: "t", timeMsMax: 60_000 })).toBe(
      "__Host-stepvault=t; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure",
    );
  });

  test.each(["0.0.0.0", "::", "192.0.2.1", "vault.example", "127.0.0.1.example"])(
    "without TLS on %s there is none",
    async (host) => {
      expect(at(undefined, host)).toBeUndefined();
      const { authenticate } = createAuthenticator({
        vault: people.vault,
        oidc: undefined,
        ownOrigin: () => at(undefined, host),
      });
      const cookie = (await people.session("ada", new Date())).token;
      const head = { headers: { cookie: `stepvault=${cookie}` }, method: "GET", url: "/", ip: "127.0.0.1" };
      await expect(authenticate(head)).rejects.toMatchObject({ code: "ERR_UNAUTHENTICATED" });
    },
  );

  test("a sign-in where none can be kept says so, and leaves the link", async () => {
    const open = await startApi(
      { temporary: people, vault: people.vault, dispose: async () => {} },
      { settings: { STEPVAULT_API_HOST: "0.0.0.0" } },
    );
    try {
      const token = await link();
      const body = JSON.stringify({ token });
      const url = `http://127.0.0.1:${open.port}/v1/sessions`;
      expect(await codeIn(await fetch(url, { method: "POST", headers: json, body }))).toBe("ERR_SIGN_IN_OFF");
      expect((await signIn(token)).status).toBe(201);
    } finally {
      await open.api.close();
    }
  });

  test("an own page is one of the same scheme, name and port", () => {
    const head = (origin: string) => ({ headers: { origin }, method: "GET", url: "/", ip: "::1" });
    const secure = at("https://vault.example")!;
    expect(() => requireOwnPage(secure, head("https://vault.example"))).not.toThrow();
    for (const origin of [
      "http://vault.example",
      "https://vault.example:8443",
      "https://VAULT.example",
      "https://vault.example.evil",
      "https://sub.vault.example",
      "https://vault.example, https://vault.example",
      "",
    ])
      expect(() => requireOwnPage(secure, head(origin))).toThrow("Origin");
  });
});

describe("the sign-in page", () => {
  test("runs its own script and nothing else, and stays out of caches, frames and referrers", async () => {
    const response = await fetch(`${api.url}/sign-in`);
    const policy = response.headers.get("content-security-policy")!;
    expect(response.status).toBe(200);
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|\*|https?:|data:/);
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(response.headers.get("referrer-policy")).toBe("no-referrer");
    const html = await response.text();
    const [script] = /(?<=<script>)[\s\S]*?(?=<\/script>)/.exec(html)!;
    const hash = Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from(script))).toString("base64");
    expect(policy).toContain(`script-src 'sha256-${hash}'`);
    expect(html).not.toMatch(/ on\w+=|<script [^>]*src|https?:\/\//);
  });

  test("a link has its token where no server sees it", () => {
    const url = new URL(signInLink("https://vault.example", "secret"));
    expect([url.pathname, url.search, url.hash]).toEqual(["/sign-in", "", "#secret"]);
  });

  test("its script takes the token from the address bar before it sends it, and pasted links too", async () => {
    const page = await runPage(`#${"a".repeat(43)}`);
    expect(page.did).toEqual([
      ["replaceState", "/sign-in"],
      ["fetch", "v1/sessions", { token: "a".repeat(43) }],
    ]);
    const pasted = await runPage("");
    expect(pasted.did).toEqual([]);
    pasted.submit(` ${signInLink(api.url, "b".repeat(43))} `);
    expect(pasted.did).toEqual([["fetch", "v1/sessions", { token: "b".repeat(43) }]]);
  });
});

/** Runs the page's script with as much of a page as it uses. */
async function runPage(hash: string): Promise<{ did: unknown[]; submit(text: string): void }> {
  const html = await (await fetch(`${api.url}/sign-in`)).text();
  const [script] = /(?<=<script>)[\s\S]*?(?=<\/script>)/.exec(html)!;
  const did: unknown[] = [];
  const listeners: Record<string, (event: unknown) => void> = {};
  const listen = (name: string, listener: (event: unknown) => void): void => void (listeners[name] = listener);
  const input = { value: "" };
  const parts = { form: { addEventListener: listen, hidden: false }, input, "[role=status]": { textContent: "" } };
  const page = {
    document: { querySelector: (selector: keyof typeof parts) => parts[selector] },
    window: { addEventListener: listen },
    location: { hash, pathname: "/sign-in" },
    history: { replaceState: (_state: unknown, _title: string, url: string) => did.push(["replaceState", url]) },
    fetch: async (url: string, { body }: { body: string }) => {
      did.push(["fetch", url, JSON.parse(body)]);
      return { ok: true };
    },
  };
  // oxlint-disable-next-line typescript/no-implied-eval -- the page's own script, which a browser would run.
  new Function(...Object.keys(page), script)(...Object.values(page));
  return {
    did,
    submit(text) {
      input.value = text;
      listeners["submit"]!({ preventDefault: () => {} });
    },
  };
}
