/** The frame that every route hangs in: ids and lines of the log, keys in URLs, headers, origins, limits, and the end. */
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { Counter } from "prom-client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { createMetrics } from "../../api/metrics.ts";
import { failuresPerMinuteMax } from "../../api/rate-limits.ts";
import { defineRoute, type Route } from "../../api/route.ts";
import { startApi, type TestApi } from "./api.ts";
import { sendBytes } from "./wire.ts";

const base = { summary: "x", tag: "x", access: "principal" } as const;
const routes: readonly Route[] = [
  defineRoute({
    ...base,
    method: "GET",
    path: "/v1/things/:thingId",
    operationId: "getThing",
    params: z.object({ thingId: z.string() }),
    query: z.strictObject({ q: z.string().optional() }),
    responses: { 200: z.object({}) },
    handler: async () => ({}),
  }),
  defineRoute({
    ...base,
    method: "GET",
    path: "/v1/endless",
    operationId: "endless",
    responses: { 200: z.string() },
    stream: "text/event-stream",
    handler:
      async ({ signal }) =>
      async (body) =>
        await pipeline(ticks(signal), body),
  }),
  defineRoute({
    ...base,
    method: "POST",
    path: "/v1/slow",
    operationId: "slow",
    idempotent: true,
    responses: { 202: z.object({ key: z.string().optional() }) },
    handler: async ({ idempotencyKey }) => {
      await delay(300);
      return { key: idempotencyKey };
    },
  }),
  defineRoute({
    ...base,
    access: "public",
    method: "GET",
    path: "/v1/open",
    operationId: "open",
    responses: { 200: z.object({ known: z.boolean() }) },
    handler: async ({ principal, vault }) => ({ known: principal !== undefined || vault !== undefined }),
  }),
];

async function* ticks(signal: AbortSignal): AsyncGenerator<string> {
  for (let count = 0; count < 1_000 && !signal.aborted; count += 1) {
    yield `data: ${count}\n\n`;
    await delay(20);
  }
}

let api: TestApi;
beforeAll(async () => {
  api = await startApi(undefined, { routes });
});
afterAll(async () => {
  await api.api.close();
});

describe("request ids and the log", () => {
  test("an id of the caller's is kept, any other is replaced", async () => {
    const given = await api.request("/v1/open", { headers: { "x-request-id": "abc.DEF_1-2" } });
    expect(given.headers.get("x-request-id")).toBe("abc.DEF_1-2");
    for (const odd of ["a b", "x".repeat(101), "a/b", "sk-us_abc"]) {
      const made = await api.request("/v1/open", { headers: { "x-request-id": odd } });
      expect(made.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  test("a line has the pattern, the status and who asked, and nothing that was sent", async () => {
    const before = api.log.length;
    const marker = "hunter2marker";
    const headers = { cookie: `a=${marker}`, "x-request-id": "line-1", "user-agent": marker };
    await api.request(`/v1/things/${marker}?q=${marker}`, { headers, as: "person ann" });
    await api.request(`/v1/nothing/${marker}?q=${marker}`, { headers: { authorization: `Bearer ${marker}` }, as: "" });
    const lines = api.log.slice(before);
    expect(JSON.parse(lines[0]!)).toEqual([
      "info",
      {
        requestId: "line-1",
        method: "GET",
        route: "/v1/things/:thingId",
        status: 200,
        ms: expect.any(Number) as number,
        principal: "person:ann",
      },
      "request",
    ]);
    expect(lines[1]).toMatch(/"route":"none","status":404/);
    expect(lines.join("\n")).not.toContain(marker);
  });
});

describe("a key in a URL", () => {
  const key = "sk-org-eu_0123456789abcdefghijABCDEFGHIJ";
  test.each([
    ["in the query", `/v1/open?key=${key}`],
    ["in the path", `/v1/${key}/x`],
    ["after the project", `/v1/open?authorization=id%3A${key}`],
    ["percent-encoded", `/v1/open?a=%73%6B-us%5Fxyz`],
    ["encoded twice", `/v1/open?a=%2573k-us_xyz`],
    ["encoded five times", `/v1/open?a=%2525252573k-us_xyz`],
    ["encoded more often than anybody would", `/v1/open?a=%${"25".repeat(20)}73k-us_xyz`],
    ["in a path that does not decode", `/v1/%ff/${key}`],
    ["of an embed key", `/healthz?ek-au_1`],
  ])("%s is refused and not logged", async (_, url) => {
    const before = api.log.length;
    const answer = await sendBytes(api.port, `GET ${url} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body)).toMatchObject({ code: "ERR_KEY_IN_URL" });
    expect(answer.text + api.log.slice(before).join("\n")).not.toMatch(/(sk|ek)-|%73|xyz|0123456789/);
  });

  test("what only resembles one is let through", async () => {
    expect((await api.request("/v1/things/task-users_1?q=sk-uk_1")).status).toBe(200);
    expect((await api.request("/v1/things/100%25?q=50%25")).status).toBe(200);
  });
});

test("a stream is not asked for its head alone, and the refusal does not offer that", async () => {
  const head = await api.request("/v1/endless", { method: "HEAD" });
  expect([head.status, head.headers.get("allow")]).toEqual([405, "GET"]);
  expect((await api.request("/v1/open", { method: "HEAD" })).status).toBe(200);
  const post = await api.request("/v1/open", { method: "POST" });
  expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
});

describe("headers", () => {
  test.each(["/v1/open", "/v1/endless"])("data is never framed, sniffed, cached or run (%s)", async (path) => {
    const leaving = new AbortController();
    const { headers } = await api.request(path, { signal: leaving.signal });
    leaving.abort();
    expect(headers.get("content-security-policy")).toBe("default-src 'none';frame-ancestors 'none'");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("x-frame-options")).toBe("DENY");
    expect(headers.get("strict-transport-security")).toBeNull();
    expect(headers.get("x-powered-by")).toBeNull();
  });

  test("strict transport is asked for where the API is reached by https", async () => {
    const https = await startApi(undefined, {
      routes,
      settings: { STEPVAULT_API_PUBLIC_URL: "https://api.example.com/" },
    });
    const { headers } = await https.request("/v1/open");
    expect(headers.get("strict-transport-security")).toMatch(/^max-age=31536000/);
    await https.api.close();
  });

  test("an idempotency key reaches the routes that take one, when it is visible ASCII", async () => {
    const send = async (key: string): Promise<Response> =>
      await api.request("/v1/slow", { method: "POST", headers: { "idempotency-key": key } });
    const good = await send("order-1");
    expect([good.status, await good.json()]).toEqual([202, { key: "order-1" }]);
    expect((await send("a b")).status).toBe(400);
    expect((await send("x".repeat(201))).status).toBe(400);
  });
});

describe("pages of other origins", () => {
  const preflight = async (server: TestApi, origin: string): Promise<Response> =>
    await server.request("/v1/things/a", {
      method: "OPTIONS",
      as: "",
      headers: { origin, "access-control-request-method": "GET", "access-control-request-headers": "authorization" },
    });

  test("none may ask by default", async () => {
    const response = await preflight(api, "https://app.example.com");
    expect(response.status).toBe(405);
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
    const get = await api.request("/v1/open", { headers: { origin: "https://app.example.com" } });
    expect(get.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("a listed one may, without a principal for the preflight and never with cookies", async () => {
    const settings = { STEPVAULT_API_CORS_ORIGINS: "https://app.example.com, http://localhost:3000" };
    const server = await startApi(undefined, { routes, settings });
    const response = await preflight(server, "https://app.example.com");
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-origin")).toBe("https://app.example.com");
    expect(response.headers.get("access-control-allow-credentials")).toBeNull();
    expect(response.headers.get("access-control-allow-headers")).toContain("authorization");
    const refused = await server.request("/v1/things/a", { as: "", headers: { origin: "https://app.example.com" } });
    expect(refused.status).toBe(401);
    expect(refused.headers.get("access-control-allow-origin")).toBe("https://app.example.com");
    expect(refused.headers.get("access-control-expose-headers")).toContain("x-request-id");
    for (const other of ["https://evil.example", "https://app.example.com.evil.example", "null"])
      expect((await preflight(server, other)).headers.get("access-control-allow-origin")).toBeNull();
    await server.api.close();
  });
});

describe("limits", () => {
  test("a principal that asks too often waits, and nobody else does", async () => {
    const server = await startApi(undefined, { routes, settings: { STEPVAULT_API_REQUESTS_PER_MINUTE_MAX: "3" } });
    const ask = async (as: string): Promise<Response> => await server.request("/v1/things/a", { as });
    for (let count = 0; count < 3; count += 1) expect((await ask("person ann")).status).toBe(200);
    const refused = await ask("person ann");
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await refused.json()).toMatchObject({ code: "ERR_RATE_LIMIT" });
    expect((await ask("person bob")).status).toBe(200);
    for (let count = 0; count < 3; count += 1) expect((await server.request("/v1/open", { as: "" })).status).toBe(200);
    expect((await server.request("/v1/open", { as: "" })).status).toBe(429);
    await server.api.close();
  });

  test("trying credentials ends after some, even for a right one, but not for who was known before", async () => {
    let asked = 0;
    const server = await startApi(undefined, { routes });
    const { authenticate } = { authenticate: async (as: string) => await server.request("/v1/things/a", { as }) };
    expect((await authenticate("person ann")).status).toBe(200);
    for (let count = 0; count < failuresPerMinuteMax; count += 1) {
      expect((await authenticate(`guess ${count}`)).status).toBe(401);
      asked += 1;
    }
    expect(asked).toBe(failuresPerMinuteMax);
    expect((await authenticate("guess more")).status).toBe(429);
    expect((await authenticate("person bob")).status).toBe(429);
    expect((await authenticate("person ann")).status).toBe(200);
    await server.api.close();
  });

  test("an address that a caller only claims counts for nothing unless the proxy is trusted", async () => {
    const seen: string[] = [];
    const routesOfIp = [
      defineRoute({
        ...base,
        access: "public",
        method: "GET",
        path: "/v1/ip",
        operationId: "ip",
        responses: { 200: z.object({}) },
        handler: async ({ request }) => {
          seen.push(request.ip);
          return {};
        },
      }),
    ];
    for (const proxy of ["off", "10.0.0.0/8", "loopback"]) {
      const server = await startApi(undefined, { routes: routesOfIp, settings: { STEPVAULT_API_TRUST_PROXY: proxy } });
      await server.request("/v1/ip", { headers: { "x-forwarded-for": "203.0.113.7" } });
      await server.api.close();
    }
    expect(seen).toEqual(["127.0.0.1", "127.0.0.1", "203.0.113.7"]);
  });
});

describe("health and metrics", () => {
  test("readiness names the part that is missing, and nothing of what was thrown", async () => {
    expect(await (await api.request("/healthz", { as: "" })).json()).toEqual({ status: "alive" });
    expect(await (await api.request("/readyz", { as: "" })).json()).toEqual({
      status: "ready",
      parts: { database: { ok: true } },
    });
    const half = await startApi(undefined, {
      routes,
      readiness: async () => ({ database: { ok: true }, queue: { ok: false, reason: "does not answer" } }),
    });
    const response = await half.request("/readyz", { as: "" });
    expect(response.status).toBe(503);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(await response.json()).toMatchObject({
      code: "ERR_NOT_READY",
      parts: { database: { ok: true }, queue: { ok: false, reason: "does not answer" } },
    });
    await half.api.close();
    const broken = await startApi(undefined, {
      routes,
      readiness: async () => await Promise.reject(new Error("password authentication failed for hunter2")),
    });
    const text = await (await broken.request("/readyz", { as: "" })).text();
    expect(text).toContain("ERR_NOT_READY");
    expect(text).not.toContain("hunter2");
    await broken.api.close();
  });

  test("metrics have routes by pattern and what others register, for this machine only", async () => {
    const metrics = createMetrics();
    const runs = new Counter({ name: "stepvault_runs_total", help: "x", registers: [metrics.register] });
    runs.inc();
    const server = await startApi(undefined, { routes, metrics });
    await server.request("/v1/things/hunter2");
    const text = await (await server.request("/metrics", { as: "" })).text();
    expect(text).toMatch(
      /stepvault_http_request_seconds_count\{route="\/v1\/things\/:thingId",method="GET",status="200"\} 1/,
    );
    expect(text).toMatch(/stepvault_runs_total 1/);
    expect(text).not.toContain("hunter2");
    for (const name of ["x-forwarded-for", "forwarded", "via"])
      expect((await server.request("/metrics", { as: "", headers: { [name]: "127.0.0.1" } })).status).toBe(403);
    await server.api.close();
  });

  test("with a token file metrics are for who holds the token", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "stepvault-test-"));
    const file = path.join(folder, "token");
    const server = await startApi(undefined, { routes, settings: { STEPVAULT_METRICS_TOKEN_FILE: file } });
    const ask = async (as: string): Promise<number> => (await server.request("/metrics", { as })).status;
    expect(await ask("Bearer ")).toBe(403);
    writeFileSync(file, "metrics-token-1\n");
    expect([await ask(""), await ask("Bearer metrics-token-2"), await ask("Bearer metrics-token-1")]).toEqual([
      403, 403, 200,
    ]);
    writeFileSync(file, "\n");
    expect([await ask("Bearer "), await ask("Bearer metrics-token-1")]).toEqual([403, 403]);
    await server.api.close();
    await rm(folder, { recursive: true });
  });
});

describe("the end", () => {
  test("requests under way are answered, streams end, and nothing new is taken", async () => {
    const server = await startApi(undefined, { routes });
    const endless = await server.request("/v1/endless", { headers: { "x-request-id": "endless-1" } });
    expect(endless.headers.get("content-type")).toBe("text/event-stream");
    expect(endless.headers.get("x-request-id")).toBe("endless-1");
    const slow = server.request("/v1/slow", { method: "POST" });
    await delay(100);
    const begun = Date.now();
    const closed = server.api.close();
    expect(server.api.close()).toBeInstanceOf(Promise);
    const text = await endless.text();
    expect(text).toContain("data: 0");
    expect((await slow).status).toBe(202);
    await closed;
    expect(Date.now() - begun).toBeLessThan(4_000);
    await expect(server.request("/healthz")).rejects.toThrow("fetch failed");
    expect(server.log.filter((line) => line.includes("endless-1"))).toHaveLength(1);
  });

  test("a request that comes in on an open connection meanwhile is told to go elsewhere", async () => {
    const server = await startApi(undefined, { routes });
    const endless = await server.request("/v1/endless");
    const head = "host: x\r\nauthorization: operator\r\n";
    const both = sendBytes(
      server.port,
      `POST /v1/slow HTTP/1.1\r\n${head}\r\nGET /v1/things/a HTTP/1.1\r\n${head}\r\n`,
      800,
    );
    await delay(100);
    await server.api.close();
    const { text } = await both;
    expect(text).toMatch(/^HTTP\/1\.1 202/);
    await endless.text();
  });

  test("a public route knows nobody, and has no vault", async () => {
    expect(await (await api.request("/v1/open")).json()).toEqual({ known: false });
  });
});
