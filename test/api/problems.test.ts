/** Everything that goes wrong is a problem with a code, on every path that a request can take, and repeats nothing of it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { defineRoute, type Route } from "../../api/route.ts";
import { problemSchema } from "../../protocol/http/common.ts";
import { codesWithoutOneStatus, httpStatusOf } from "../../protocol/http/statuses.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { startApi, type TestApi } from "./api.ts";
import { sendBytes } from "./wire.ts";

const marker = "hunter2-marker";
const echo = z.strictObject({ count: z.int().max(5), labels: z.record(z.string(), z.string()).optional() });
const base = { summary: "x", tag: "x", access: "principal" } as const;

const routes: readonly Route[] = [
  defineRoute({
    ...base,
    method: "POST",
    path: "/v1/echo",
    operationId: "echo",
    body: echo,
    responses: { 200: echo },
    handler: async ({ body }) => body,
  }),
  defineRoute({
    ...base,
    method: "GET",
    path: "/v1/wrong",
    operationId: "wrong",
    responses: { 200: z.object({ count: z.int() }) },
    handler: async () => ({ count: marker as unknown as number }),
  }),
  defineRoute({
    ...base,
    method: "GET",
    path: "/v1/text",
    operationId: "text",
    responses: { 200: z.object({ count: z.int() }) },
    handler: async () => marker as unknown as { count: number },
  }),
  defineRoute({
    ...base,
    method: "GET",
    path: "/v1/more",
    operationId: "more",
    responses: { 200: z.object({ count: z.int() }) },
    handler: async () => ({ count: 1, extra: marker }),
  }),
  defineRoute({
    ...base,
    method: "GET",
    path: "/v1/throws/:what",
    operationId: "throws",
    params: z.object({ what: z.string() }),
    responses: { 200: z.object({}) },
    handler: async ({ params }) => {
      if (params.what === "bug") throw new TypeError(`cannot read ${marker}`);
      if (params.what === "text")
        throw Object.assign(new StepvaultError("ERR_DATABASE", "x", { cause: { code: "22P05" } }));
      throw new StepvaultError("ERR_DATABASE", "Cannot run a statement: PostgreSQL answers 42P01, table inner", {
        cause: Object.assign(new Error(`near "${marker}"`), { code: "42P01" }),
      });
    },
  }),
];

let api: TestApi;
beforeAll(async () => {
  api = await startApi(undefined, { routes });
});
afterAll(async () => {
  await api.api.close();
});

async function problem(response: Response): Promise<z.output<typeof problemSchema>> {
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const body = z.strictObject(problemSchema.shape).parse(await response.json());
  expect(body.status).toBe(response.status);
  expect(body.requestId).toBe(response.headers.get("x-request-id"));
  expect(body.instance).toBe(`urn:stepvault:request:${body.requestId}`);
  return body;
}

const postEcho = async (
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Promise<Response> => await api.request("/v1/echo", { method: "POST", body, headers });

describe("statuses", () => {
  test("every error code has one HTTP status", () => {
    expect(codesWithoutOneStatus()).toEqual([]);
    expect(httpStatusOf("ERR_KEY_REGION")).toBe(421);
    expect(httpStatusOf("ERR_NEW" as "ERR_INTERNAL")).toBe(500);
  });
});

describe("what a caller gets wrong", () => {
  test("places of the body are named by pointer, values and unknown names are not", async () => {
    const response = await postEcho(JSON.stringify({ count: 9, [marker]: marker, labels: { [marker]: 1 } }));
    expect(response.status).toBe(400);
    const body = await problem(response);
    expect(body.code).toBe("ERR_REQUEST_INVALID");
    expect(body.errors).toEqual([
      { pointer: "/body/count", detail: "must be at most 5" },
      { pointer: "/body/labels", detail: "must be string" },
      { pointer: "/body", detail: "has 1 field(s) that the schema does not know" },
    ]);
    expect(JSON.stringify(body)).not.toContain(marker);
  });

  test.each([
    ["no JSON", `{"count": ${marker}`],
    ["half a character", new Uint8Array([0x22, 0xc3, 0x22])],
    ["a list that is too deep", "[".repeat(100_000) + "]".repeat(100_000)],
    ["a prototype", '{"count":1,"__proto__":{"labels":1}}'],
    ["nothing at all", ""],
    ["a number beyond all bounds", '{"count":1e999}'],
  ])("a body that is %s is refused with 400", async (_, bytes) => {
    const response = await postEcho(bytes);
    expect(response.status).toBe(400);
    const body = await problem(response);
    expect(body.code).toBe("ERR_REQUEST_INVALID");
    expect(JSON.stringify(body)).not.toContain(marker);
  });

  test("a body is as deep as every later step can walk", async () => {
    const nested = (depth: number): string => `${"[".repeat(depth)}${"]".repeat(depth)}`;
    expect((await problem(await postEcho(nested(200)))).errors).toEqual([
      { pointer: "/body", detail: "must be object" },
    ]);
    expect((await problem(await postEcho(nested(201)))).detail).toBe(
      "Cannot read the body: it is nested deeper than 200",
    );
  });

  test("a body that is too large, of another type or compressed has its own code", async () => {
    const small = await startApi(undefined, { routes, settings: { STEPVAULT_API_BODY_BYTES_MAX: "1024" } });
    const large = await small.request("/v1/echo", { method: "POST", body: `"${"x".repeat(2_000)}"` });
    expect([large.status, (await problem(large)).code]).toEqual([413, "ERR_BODY_TOO_LARGE"]);
    const head = "POST /v1/echo HTTP/1.1\r\nhost: x\r\nauthorization: operator\r\ncontent-type: application/json\r\n";
    const chunked = await sendBytes(
      small.port,
      `${head}transfer-encoding: chunked\r\n\r\n800\r\n${"x".repeat(2048)}\r\n0\r\n\r\n`,
    );
    expect(chunked.status).toBe(413);
    await small.api.close();
    const form = await postEcho("count=1", { "content-type": "application/x-www-form-urlencoded" });
    expect([form.status, (await problem(form)).code]).toEqual([415, "ERR_BODY_TYPE"]);
    const zipped = await postEcho('{"count":1}', { "content-encoding": "gzip" });
    expect([zipped.status, (await problem(zipped)).code]).toEqual([415, "ERR_BODY_TYPE"]);
  });

  test("an unknown path is 404, a wrong method 405 with what is allowed", async () => {
    const path = await api.request(`/v1/${marker}`);
    expect([path.status, (await problem(path)).code]).toEqual([404, "ERR_ROUTE_UNKNOWN"]);
    const method = await api.request("/v1/throws/x", { method: "DELETE" });
    expect([method.status, (await problem(method)).code]).toEqual([405, "ERR_METHOD_UNKNOWN"]);
    expect(method.headers.get("allow")).toBe("GET, HEAD");
    const odd = await sendBytes(api.port, "PROPFIND /v1/echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    expect([odd.status, odd.headers["allow"]]).toEqual([405, "POST"]);
  });

  test("an unknown field of the query is refused, and a body where none is taken", async () => {
    const query = await api.request(`/v1/more?${marker}=1`);
    expect(query.status).toBe(400);
    expect((await problem(query)).errors?.[0]?.pointer).toBe("/query");
    const nul = await api.request("/v1/throws/a%00b");
    expect(nul.status).toBe(400);
    const half = await api.request("/v1/throws/%ff");
    expect([half.status, (await problem(half)).code]).toEqual([400, "ERR_REQUEST_INVALID"]);
  });

  test("who is nobody gets 401 before their body is read", async () => {
    const response = await api.request("/v1/echo", { method: "POST", body: "{", as: "" });
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toBe('Bearer realm="stepvault"');
    expect((await problem(response)).code).toBe("ERR_UNAUTHENTICATED");
  });

  test("text that PostgreSQL cannot hold is the caller's fault", async () => {
    expect((await api.request("/v1/throws/text")).status).toBe(400);
  });
});

describe("what the service gets wrong", () => {
  test.each(["/v1/wrong", "/v1/text", "/v1/throws/bug"])(
    "%s is a 500 of which nothing is shown or logged",
    async (path) => {
      const before = api.log.length;
      const response = await api.request(path);
      expect(response.status).toBe(500);
      const body = await problem(response);
      expect(body.code).toBe("ERR_INTERNAL");
      const lines = api.log.slice(before).join("\n");
      expect(lines).toContain(body.requestId);
      expect(lines).toMatch(/"error".*frames/);
      expect(lines + JSON.stringify(body)).not.toContain(marker);
    },
  );

  test("a fault of the database is a 503 with the code's meaning, and its state is in the log", async () => {
    const response = await api.request("/v1/throws/database");
    const body = await problem(response);
    expect([body.status, body.code]).toEqual([503, "ERR_DATABASE"]);
    expect(body.detail).not.toMatch(/42P01|inner/);
    expect(api.log.join("\n")).toContain("42P01");
    expect(api.log.join("\n")).not.toContain(marker);
  });

  test("fields that the answer's schema does not know stay inside", async () => {
    expect(await (await api.request("/v1/more")).json()).toEqual({ count: 1 });
  });
});

describe("bytes that are no request", () => {
  const good = "GET /v1/more HTTP/1.1\r\nauthorization: operator\r\n";
  test.each([
    ["noise", "\0\x01\x02 noise\r\n\r\n", 400],
    ["a method that there is not", "FROB / HTTP/1.1\r\nhost: x\r\n\r\n", 400],
    ["HTTP/2 without asking", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
    ["TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
    ["no host", `${good}\r\n`, 400],
    ["two hosts", `${good}host: a\r\nhost: b\r\n\r\n`, 400],
    ["two credentials", `${good}host: a\r\nauthorization: person eve\r\n\r\n`, 400],
    ["two lengths", `POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n1`, 400],
    [
      "a length and chunks",
      `POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n`,
      400,
    ],
    ["an odd expectation", `${good}host: x\r\nexpect: the-unexpected\r\n\r\n`, 400],
    ["a tunnel", "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n", 400],
    ["a huge head", `${good}host: x\r\nx: ${"x".repeat(20_000)}\r\n\r\n`, 431],
    ["too many headers", `${good}host: x\r\n${"a: b\r\n".repeat(120)}\r\n`, 431],
  ])("%s gets a problem and no more", async (_, bytes, status) => {
    const answer = await sendBytes(api.port, Buffer.from(bytes, "latin1"));
    expect(answer.status).toBe(status);
    expect(answer.headers["content-type"]).toBe("application/problem+json");
    expect(problemSchema.parse(JSON.parse(answer.body)).status).toBe(status);
  });
});
