/**
 * Where client libraries lose keys: prints, absolute addresses, addresses with a token, serialized keys, and errors that
 * say nothing, so that people print the request. Goal: none of these here. Method: real servers on loopback, of which one
 * plays the thief and must never be asked; everything that is printed while a request fails is caught.
 */
import { inspect } from "node:util";
import { afterEach, describe, expect, test, vi } from "vitest";
import { Client, setDefaultBaseUrl } from "../../client/client.ts";
import { agentId, clientOf, codeOf, json, newEmbedKey, newServerKey, project, requestFailure } from "./server.ts";
import { serverKey, startServer } from "./server.ts";

const random = serverKey.slice(6, -6);

afterEach(() => vi.restoreAllMocks());

describe("a failed request", () => {
  test("prints nothing, whatever it fails by", async () => {
    const printed: string[] = [];
    const note = (...what: unknown[]): boolean => printed.push(inspect(what)) > 0;
    for (const name of ["log", "info", "warn", "error", "debug", "trace", "dir"] as const)
      vi.spyOn(console, name).mockImplementation(note);
    for (const stream of [process.stdout, process.stderr]) vi.spyOn(stream, "write").mockImplementation(note);
    const refusing = await startServer((response) => json(response, { code: "ERR_FORBIDDEN" }, 403));
    const broken = await startServer((response) => response.destroy());
    const silent = await startServer(() => undefined);
    const wordy = await startServer((response) => response.end("no JSON"));
    const codes = [
      await codeOf(clientOf(refusing.url).request({ path: "/v1/x" })),
      await codeOf(clientOf(broken.url, { retriesMax: 0 }).request({ path: "/v1/x" })),
      await codeOf(clientOf(silent.url, { attemptTimeMsMax: 50, retriesMax: 0 }).request({ path: "/v1/x" })),
      await codeOf(clientOf(wordy.url).request({ path: "/v1/x" })),
      await codeOf(clientOf(wordy.url).request({ path: "x" })),
    ];
    vi.restoreAllMocks();
    expect(codes).toEqual([
      "ERR_FORBIDDEN",
      "ERR_CLIENT_NETWORK",
      "ERR_CLIENT_TIMEOUT",
      "ERR_CLIENT_ANSWER",
      "ERR_CLIENT_REQUEST",
    ]);
    expect(printed).toEqual([]);
  });

  test("is an error without the key, also when the platform's own error quotes the request", async () => {
    const quoting = async (url: string, init: RequestInit): Promise<Response> => {
      const headers = [...new Headers(init.headers)].join();
      throw Object.assign(new TypeError(`${url} ${headers}`), { init, cause: { code: headers } });
    };
    const error = await requestFailure(clientOf("http://127.0.0.1:9", { fetch: quoting, retriesMax: 0 }), {
      path: "/v1/x",
    });
    expect(inspect(error, { depth: 9, showHidden: true }) + error.stack).not.toContain(random);
    expect(error.message).toBe("Cannot GET /v1/x: no whole answer from http://127.0.0.1:9; attempts: 1");
  });

  test("is an error without the key, also when the server sends it back, cut up or not", async () => {
    const header = `${project}:${serverKey}`;
    const hidden = `${serverKey.slice(0, 9)}\u0000\u200b${serverKey.slice(9)}`;
    const escaped = JSON.stringify({ detail: header }).replace(serverKey, serverKey.replace("_", String.raw`\u005f`));
    const bodies = [
      JSON.stringify({ detail: header, title: header, code: serverKey, requestId: header }),
      JSON.stringify({ detail: hidden, errors: [{ pointer: header, detail: hidden }, header, null] }),
      escaped,
      header,
    ];
    const server = await startServer((response, number) => {
      response.writeHead(400, { "x-request-id": header, "x-echo": header });
      response.end(bodies[number - 1]);
    });
    for (const body of bodies) {
      const error = await requestFailure(clientOf(server.url), { path: "/v1/x" });
      expect([error.status, body.length > 0]).toEqual([400, true]);
      const shown = inspect(error, { depth: 9, showHidden: true }) + JSON.stringify(error);
      expect(shown).toContain(newServerKey().hint);
      expect(shown).not.toContain(random.slice(3));
    }
  });

  test("says what the server said, and not only its status", async () => {
    const problem = {
      type: "about:blank",
      title: "Bad request",
      status: 400,
      detail: "The limit wallTimeMsMax is 5 figures too large",
      code: "ERR_JOB_INVALID",
      requestId: "req_17",
      errors: [{ pointer: "/limits/wallTimeMsMax", detail: "at most 300000" }],
    };
    const server = await startServer((response) => json(response, problem, 400));
    const error = await requestFailure(clientOf(server.url), { path: "/v1/runs" });
    const { type: _, ...kept } = problem;
    expect(error).toMatchObject({ name: "StepvaultApiError", ...kept });
    expect(error.message).toBe(`Cannot GET /v1/runs: 400, ERR_JOB_INVALID, ${problem.detail} (request req_17)`);
  });

  test("cannot move a terminal's cursor or fill a log with what the server wrote", async () => {
    const detail = `\u001b[2J\u009b31m\u202e\r\n${"x".repeat(60_000)}`;
    const server = await startServer((response) => json(response, { detail, code: `E${"\n".repeat(9)}` }, 400));
    const error = await requestFailure(clientOf(server.url), { path: "/v1/x" });
    expect(error.message).toMatch(/^Cannot GET \/v1\/x: 400, E, \[2J31mx+…$/);
    expect(error.message.length).toBeLessThan(2_100);
  });
});

describe("the key", () => {
  const elsewhere = [
    "//HOST/v1/x",
    "http://HOST/v1/x",
    "/\\HOST/v1/x",
    "\\\\HOST/v1/x",
    "@HOST/v1/x",
    ":80@HOST/v1/x",
    ".HOST/v1/x",
    "/\t/HOST/v1/x",
    "\n//HOST/v1/x",
    " //HOST",
    "http:HOST",
    "",
    "v1/x",
    "data:,x",
  ];

  test.each(elsewhere)("does not leave for another server by the path %j", async (pattern) => {
    const thief = await startServer();
    const server = await startServer();
    for (const prefix of ["", "/base", "/base/"]) {
      const client = clientOf(server.url + prefix);
      const path = pattern.replace("HOST", thief.url.slice("http://".length));
      expect(await codeOf(client.request({ path }))).toBe("ERR_CLIENT_REQUEST");
    }
    expect([thief.arrived, server.arrived]).toEqual([[], []]);
  });

  test.each([
    "/v1/../admin",
    "/v1/%2e%2E/admin",
    "/v1/./x",
    "/v1/x?admin=1",
    "/v1/x#y",
    "/v1/ü",
    "/v1/a b",
    "/v1\\..\\x",
  ])("is not used for what somebody's input makes of the path: %j", async (path) => {
    const server = await startServer();
    expect(await codeOf(clientOf(`${server.url}/base`).request({ path }))).toBe("ERR_CLIENT_REQUEST");
    expect(server.arrived).toEqual([]);
  });

  test("does not follow a redirect, to wherever it leads", async () => {
    const thief = await startServer();
    for (const status of [301, 302, 303, 307, 308]) {
      const server = await startServer((response, number) => {
        const location = number === 1 ? `${thief.url}/v1/x` : "/v1/y";
        response.writeHead(status, { location }).end("moved");
      });
      for (let count = 1; count <= 2; count += 1)
        expect(await codeOf(clientOf(server.url).request({ path: "/v1/x" }))).toBe("ERR_CLIENT_REDIRECT");
      expect(server.arrived).toHaveLength(2);
    }
    expect(thief.arrived).toEqual([]);
  });

  test("is in the Authorization header and nowhere else of what arrives, of either kind of key", async () => {
    const server = await startServer();
    for (const key of [newServerKey(), newEmbedKey()]) {
      const client = new Client(key, { baseUrl: server.url });
      await client.request({ path: "/v1/runs/1/events", query: { after: 5, stream: true } });
      await client.request({ method: "POST", path: "/v1/runs", body: { agentId }, idempotencyKey: "once" });
    }
    const secrets = [random, (newEmbedKey().toJSON() as { key: string }).key.slice(6, -6)];
    expect(server.arrived).toHaveLength(4);
    for (const { url, headers, body } of server.arrived) {
      const { authorization, ...others } = headers;
      expect(secrets.some((secret) => authorization?.includes(secret))).toBe(true);
      expect(secrets.filter((secret) => (url + JSON.stringify(others) + body).includes(secret))).toEqual([]);
    }
  });

  test("is refused in an address or another header, however it is encoded", async () => {
    const server = await startServer();
    const client = clientOf(server.url);
    const encoded = serverKey
      .split("")
      .map((character) => `%${character.codePointAt(0)?.toString(16)}`)
      .join("");
    const requests = [
      { path: `/v1/stream/${serverKey}` },
      { path: `/v1/stream/${encoded}` },
      { path: "/v1/stream", query: { token: serverKey } },
      { path: "/v1/stream", query: { token: encoded } },
      { path: "/v1/stream", query: { [serverKey]: 1 } },
      { path: "/v1/stream", headers: { "x-api-key": `Bearer ${serverKey}` } },
    ];
    for (const request of requests) expect(await codeOf(client.request(request))).toBe("ERR_CLIENT_REQUEST");
    expect(server.arrived).toEqual([]);
  });

  test("goes to https only, or to loopback", async () => {
    const refused = [
      "http://api.example.com",
      "http://127.0.0.1.example.com",
      "http://localhost.example.com",
      "http://192.168.0.1",
      "http://[::2]",
      "http://0.0.0.0",
      "ftp://127.0.0.1",
      "https://user:password@api.example.com",
      "https://@api.example.com",
      "https://api.example.com?x=1",
      "https://api.example.com#x",
      "https:\\\\api.example.com",
      "api.example.com",
      "file:///etc",
      "",
    ];
    for (const baseUrl of refused) {
      expect(await codeOf(() => clientOf(baseUrl))).toBe("ERR_CLIENT_INVALID");
      expect(await codeOf(() => setDefaultBaseUrl(baseUrl))).toBe("ERR_CLIENT_INVALID");
    }
    const taken = ["https://api.example.com/base/", "http://localhost:3000", "http://127.8.0.1", "http://[::1]:80"];
    expect(taken.map((baseUrl) => new URL(clientOf(baseUrl).baseUrl).protocol)).toHaveLength(taken.length);
  });

  test("stays when a script of the page pollutes Object.prototype", async () => {
    const thief = await startServer();
    const server = await startServer();
    const client = clientOf(server.url);
    const pollution = { baseUrl: thief.url, headers: { authorization: "x" }, method: "DELETE", path: "/v1/z" };
    Object.assign(Object.prototype, pollution);
    try {
      await client.request({ path: "/v1/x" });
      expect(new Client(newServerKey()).baseUrl).not.toContain(thief.url);
    } finally {
      for (const name of Object.keys(pollution)) Reflect.deleteProperty(Object.prototype, name);
    }
    expect(server.arrived.map(({ method, url }) => `${method} ${url}`)).toEqual(["GET /v1/x"]);
    expect(thief.arrived).toEqual([]);
  });
});
