/**
 * How the client library sends requests. Goal: what may be repeated is repeated, a bounded number of times, what may not
 * is sent once, and no server can hold a caller up or fill its memory. Method: real servers on loopback that refuse,
 * break off, keep silent or never stop; times are compared with wide margins.
 */
import { getEventListeners } from "node:events";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { StepvaultApiError } from "../../client/errors.ts";
import { clientLimits } from "../../client/settings.ts";
import type { RequestOptions } from "../../client/transport.ts";
import { clientOf, closedUrl, codeOf, failureOf, type Handler, json, requestFailure, startServer } from "./server.ts";

const path = "/v1/x";
const once: RequestOptions = { method: "POST", path, body: {} };
/** Good at the third attempt. */
const thirdTime =
  (spoil: Handler): Handler =>
  (response, number, request) =>
    number < 3 ? spoil(response, number, request) : json(response, { number });

/** Waits between attempts are left to chance: here it is kind. */
const waitShortly = (): void => void vi.spyOn(Math, "random").mockReturnValue(0.02);

afterEach(() => vi.restoreAllMocks());

describe("an answer", () => {
  test("is its status, headers, request id and parsed body", async () => {
    const server = await startServer((response) => {
      response.setHeader("x-request-id", "req_5");
      response.setHeader("etag", '"7"');
      json(response, { a: ["ü"] }, 201);
    });
    const { status, headers, requestId, body } = await clientOf(server.url).request({ ...once, body: { n: 1 } });
    expect([status, headers.get("etag"), requestId, body]).toEqual([201, '"7"', "req_5", { a: ["ü"] }]);
    expect(server.arrived[0]).toMatchObject({ method: "POST", url: path, body: '{"n":1}' });
  });

  test("without a body is undefined", async () => {
    const server = await startServer((response) => response.writeHead(204).end());
    expect((await clientOf(server.url).request({ method: "DELETE", path })).body).toBeUndefined();
    expect((await clientOf(server.url).request({ method: "HEAD", path })).body).toBeUndefined();
  });

  test("comes from below the base URL's path, with a query that is encoded", async () => {
    const server = await startServer();
    const query = { name: "a&b=c/ü", limit: 5, deep: true, absent: undefined };
    await clientOf(`${server.url}/base/`).request({ path: "/v1/a@b:c", query, headers: { "if-match": '"7"' } });
    expect(server.arrived[0]?.url).toBe("/base/v1/a@b:c?name=a%26b%3Dc%2F%C3%BC&limit=5&deep=true");
    expect(server.arrived[0]?.headers["if-match"]).toBe('"7"');
  });

  test("that is no JSON is told by its size, and nothing of it is quoted", async () => {
    const bodies = ["<html>private</html>", '{"private": ', Buffer.from([0x22, 0xff, 0x22])];
    const server = await startServer((response, number) => response.end(bodies[number - 1]));
    for (const body of bodies) {
      const error = await failureOf(clientOf(server.url).request({ path }));
      const message = `Cannot GET /v1/x: the answer cannot be used, its ${body.length} bytes with status 200 are not JSON`;
      expect([error.code, error.message]).toEqual(["ERR_CLIENT_ANSWER", message]);
    }
    expect(server.arrived).toHaveLength(bodies.length);
  });

  test("larger than allowed is not read to its end, compressed or without an end", async () => {
    const text = JSON.stringify("x".repeat(998));
    const bomb = gzipSync(Buffer.alloc(50_000_000, "x"));
    const handlers: Handler[] = [
      (response) => response.end(text),
      (response) => response.writeHead(200, { "content-encoding": "gzip" }).end(bomb),
      (response) => {
        const timer = setInterval(() => response.write("x".repeat(500)), 1);
        response.on("close", () => clearInterval(timer));
      },
    ];
    const server = await startServer((response, number, request) => handlers[number - 1]?.(response, number, request));
    const client = clientOf(server.url, { answerBytesMax: 1_000 });
    expect((await client.request({ path })).body).toHaveLength(998);
    expect(await codeOf(client.request({ path }))).toBe("ERR_CLIENT_ANSWER");
    expect(await codeOf(client.request({ path }))).toBe("ERR_CLIENT_ANSWER");
  });

  test("that refuses at endless length is told by its status", async () => {
    const server = await startServer((response) => {
      response.writeHead(400);
      const timer = setInterval(() => response.write("x".repeat(20_000)), 1);
      response.on("close", () => clearInterval(timer));
    });
    const error = await requestFailure(clientOf(server.url), { path });
    expect([error.message, error.code]).toEqual(["Cannot GET /v1/x: 400", undefined]);
  });
});

describe("a request", () => {
  test.each([429, 502, 503, 504])("is sent again after %s, when that cannot do a thing twice", async (status) => {
    waitShortly();
    const repeatable: RequestOptions[] = [
      { path },
      { method: "PUT", path, body: {} },
      { method: "DELETE", path },
      { ...once, idempotencyKey: "order-17" },
      { ...once, method: "PATCH", idempotencyKey: "order-18" },
    ];
    for (const request of repeatable) {
      const server = await startServer(thirdTime((response) => json(response, {}, status)));
      expect((await clientOf(server.url).request(request)).body).toEqual({ number: 3 });
      const keys = server.arrived.map(({ headers }) => headers["idempotency-key"]);
      expect(keys).toEqual([request.idempotencyKey, request.idempotencyKey, request.idempotencyKey]);
    }
    const unrepeatable: RequestOptions[] = [
      once,
      { ...once, method: "PATCH" },
      { ...once, method: "PUT", repeatable: false },
      { ...once, method: "PUT", repeatable: false, idempotencyKey: "order-19" },
    ];
    for (const request of unrepeatable) {
      const server = await startServer(thirdTime((response) => json(response, {}, status)));
      expect((await requestFailure(clientOf(server.url), request)).status).toBe(status);
      expect(server.arrived).toHaveLength(1);
    }
  });

  test("is sent again when the connection breaks, before the answer or within it", async () => {
    waitShortly();
    const breaks: Handler[] = [
      (response) => response.destroy(),
      (response) => {
        response.writeHead(200, { "content-length": 100 });
        response.write('{"half":', () => response.destroy());
      },
    ];
    for (const spoil of breaks) {
      const server = await startServer(thirdTime(spoil));
      expect((await clientOf(server.url).request({ path })).body).toEqual({ number: 3 });
      const other = await startServer(thirdTime(spoil));
      expect(await codeOf(clientOf(other.url).request(once))).toBe("ERR_CLIENT_NETWORK");
      expect(other.arrived).toHaveLength(1);
    }
  });

  test.each([400, 401, 403, 404, 409, 412, 500])("is sent once when the answer is %s", async (status) => {
    const server = await startServer((response) => json(response, { code: "ERR_X" }, status));
    expect(await requestFailure(clientOf(server.url), { path })).toMatchObject({ status, code: "ERR_X" });
    expect(server.arrived).toHaveLength(1);
  });

  test("is sent a bounded number of times, which the error tells", async () => {
    waitShortly();
    for (const retriesMax of [0, 1, 3]) {
      const refusing = await startServer((response) => json(response, {}, 503));
      const broken = await startServer((response) => response.destroy());
      await failureOf(clientOf(refusing.url, { retriesMax }).request({ path }));
      const error = await failureOf(clientOf(broken.url, { retriesMax }).request({ path }));
      expect(error.message).toContain(`; attempts: ${retriesMax + 1}`);
      expect([refusing.arrived.length, broken.arrived.length]).toEqual([retriesMax + 1, retriesMax + 1]);
    }
  });

  test("names the address and the reason when nobody listens there", async () => {
    const url = await closedUrl();
    const error = await failureOf(clientOf(url, { retriesMax: 0 }).request({ path }));
    expect(error.message).toBe(`Cannot GET /v1/x: no whole answer from ${url} (ECONNREFUSED); attempts: 1`);
  });

  test("waits as long as Retry-After says, in seconds or until a date", async () => {
    for (const after of [() => "1", () => new Date(Date.now() + 1_900).toUTCString()]) {
      const times: number[] = [];
      const server = await startServer((response, number) => {
        times.push(performance.now());
        if (number === 1) response.setHeader("retry-after", after());
        json(response, {}, number === 1 ? 429 : 200);
      });
      await clientOf(server.url).request({ path });
      expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(850);
    }
  });

  test("does not wait longer than it may take: the error says when to ask again", async () => {
    const server = await startServer((response) => {
      response.setHeader("retry-after", "3600");
      json(response, { code: "ERR_KEY_BUDGET" }, 429);
    });
    const error = (await failureOf(clientOf(server.url).request({ path }))) as StepvaultApiError;
    expect([error.code, error.retryAfterMs, server.arrived.length]).toEqual(["ERR_KEY_BUDGET", 3_600_000, 1]);
  });

  test("has not to wait for a Retry-After that is a date that is over", async () => {
    const server = await startServer((response) => {
      json(response.setHeader("retry-after", new Date(0).toUTCString()), {}, 429);
    });
    expect((await requestFailure(clientOf(server.url), once)).retryAfterMs).toBe(0);
  });

  test.each(["0", "-5", "5.5", new Date(0).toUTCString()])(
    "waits as long as usual when Retry-After is %s, and longer each time",
    async (value) => {
      vi.spyOn(Math, "random").mockReturnValue(0.9);
      const times: number[] = [];
      const server = await startServer((response) => {
        times.push(performance.now());
        json(response.setHeader("retry-after", value), {}, 503);
      });
      expect((await requestFailure(clientOf(server.url), { path })).status).toBe(503);
      const waits = times.slice(1).map((time, index) => time - times[index]!);
      expect(waits).toHaveLength(2);
      expect(waits[0]).toBeGreaterThan(400);
      expect(waits[1]).toBeGreaterThan(800);
    },
  );

  test("takes a Retry-After that means nothing for none", async () => {
    for (const value of ["-5", "5.5", "soon", "1e9", "99999999999999999999", ""]) {
      const told = await startServer((response) => json(response.setHeader("retry-after", value), {}, 503));
      expect((await requestFailure(clientOf(told.url), once)).retryAfterMs).toBeUndefined();
      const server = await startServer((response, number) => {
        response.setHeader("retry-after", value);
        json(response, {}, number === 1 ? 503 : 200);
      });
      expect((await clientOf(server.url, { timeMsMax: 5_000 }).request({ path })).status).toBe(200);
    }
  });

  test("waits longer each time, and never exactly as long as another client", async () => {
    const waits: number[] = [];
    const timeouts = vi.spyOn(globalThis, "setTimeout");
    const server = await startServer((response) => json(response, {}, 503));
    const client = clientOf(server.url, { retriesMax: 2, attemptTimeMsMax: 29_999 });
    await Promise.all(Array.from({ length: 20 }, async () => await failureOf(client.request({ path }))));
    for (const [, ms] of timeouts.mock.calls) if (ms !== undefined && ms > 0 && ms < 1_001) waits.push(ms);
    expect(new Set(waits).size).toBeGreaterThan(30);
    expect(Math.max(...waits)).toBeGreaterThan(500);
    expect(Math.min(...waits)).toBeLessThan(250);
  });
});

describe("time", () => {
  const silent: Handler = () => undefined;
  const dripping: Handler = (response) => {
    response.write("[");
    const timer = setInterval(() => response.write(" "), 20);
    response.on("close", () => clearInterval(timer));
  };

  test.each([
    ["says nothing", silent],
    ["never ends its answer", dripping],
  ])("of an attempt ends when the server %s, and another attempt follows", async (_, spoil) => {
    const server = await startServer(thirdTime(spoil));
    const client = clientOf(server.url, { attemptTimeMsMax: 200 });
    expect((await client.request({ path })).body).toEqual({ number: 3 });
    const other = await startServer(spoil);
    const error = await failureOf(clientOf(other.url, { attemptTimeMsMax: 100 }).request(once));
    expect(error.message).toBe("Cannot POST /v1/x: no whole answer within 100 ms; attempts: 1");
    expect([error.code, other.arrived.length]).toEqual(["ERR_CLIENT_TIMEOUT", 1]);
  });

  test("of all attempts together is bounded", async () => {
    const server = await startServer(silent);
    const begin = performance.now();
    const client = clientOf(server.url, { timeMsMax: 400, attemptTimeMsMax: 150, retriesMax: 10 });
    expect(await codeOf(client.request({ path }))).toBe("ERR_CLIENT_TIMEOUT");
    expect(performance.now() - begin).toBeLessThan(2_000);
    expect(server.arrived.length).toBeLessThan(5);
    expect(await codeOf(clientOf(server.url, { timeMsMax: 200 }).request({ path }))).toBe("ERR_CLIENT_TIMEOUT");
    expect(performance.now() - begin).toBeLessThan(4_000);
  });

  test("ends when the caller says so: before, within and between attempts, with the caller's own reason", async () => {
    const reason = new Error("changed my mind");
    const server = await startServer();
    await expect(clientOf(server.url).request({ path, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(server.arrived).toEqual([]);
    const waiting: Handler = (response) => json(response.setHeader("retry-after", "20"), {}, 503);
    for (const [handler, request] of [
      [silent, { path }],
      [silent, once],
      [waiting, { path }],
    ] as const) {
      const controller = new AbortController();
      const other = await startServer(handler);
      const begin = performance.now();
      setTimeout(() => controller.abort(reason), 300);
      await expect(clientOf(other.url).request({ ...request, signal: controller.signal })).rejects.toBe(reason);
      expect(performance.now() - begin).toBeLessThan(3_000);
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(other.arrived).toHaveLength(1);
    }
  });

  test("is not watched any more once the answer is there: no timer and no listener stays", async () => {
    waitShortly();
    const { signal } = new AbortController();
    const [set, cleared] = [vi.spyOn(globalThis, "setTimeout"), vi.spyOn(globalThis, "clearTimeout")];
    const server = await startServer(thirdTime((response) => json(response, {}, 503)));
    await clientOf(server.url, { attemptTimeMsMax: 29_999 }).request({ path, signal });
    const timers = set.mock.calls.flatMap(([, ms], index) => (ms === 29_999 ? [set.mock.results[index]?.value] : []));
    expect(timers).toHaveLength(3);
    expect(cleared.mock.calls.map(([timer]) => timer)).toEqual(expect.arrayContaining(timers));
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});

describe("before anything is sent", () => {
  const circular: Record<string, unknown> = {};
  circular["self"] = circular;
  const wrong: [string, object][] = [
    ["a header that the client sets", { headers: { Authorization: "x" } }],
    ["a cookie", { headers: { cookie: "a=b" } }],
    ["a header with a line break", { headers: { "x-y": "a\r\nauthorization: b" } }],
    ["a header's name with a line break", { headers: { "x\r\ny": "a" } }],
    ["a method of one's own", { method: "TRACE" }],
    ["a method in small letters", { method: "get" }],
    ["an idempotency key with a line break", { idempotencyKey: "a\nb" }],
    ["an idempotency key that is empty", { idempotencyKey: "" }],
    ["a GET with a body", { body: {} }],
    ["a body that is a circle", { method: "POST", body: circular }],
    ["a body that is no data", { method: "POST", body: () => 1 }],
  ];

  test.each(wrong)("%s is refused", async (_, request) => {
    const server = await startServer();
    expect(await codeOf(clientOf(server.url).request({ path, ...request }))).toBe("ERR_CLIENT_REQUEST");
    expect(server.arrived).toEqual([]);
  });

  test("limits out of their bounds are refused", async () => {
    for (const [name, { least, most }] of Object.entries(clientLimits))
      for (const figure of [least - 1, most + 1, Number.NaN, Infinity, 1.5, "5"])
        expect(await codeOf(() => clientOf("https://api.example.com", { [name]: figure }))).toBe("ERR_CLIENT_INVALID");
  });
});
