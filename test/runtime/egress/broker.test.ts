/**
 * The egress broker against real servers on loopback, from the outside and through steps: what may leave, what is
 * refused and by which rule, how redirects are followed, and that every request leaves a record.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { NetworkPolicy, RequestRecord } from "../../../protocol/job.ts";
import type { Limits } from "../../../protocol/limits.ts";
import { Connections } from "../../../runtime/egress/connections.ts";
import { EgressBroker } from "../../../runtime/egress/broker.ts";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { defaultLimits, openTestSandbox, runStep } from "../../helpers/sandbox.ts";

let first: Server;
let second: Server;
let base: string;
let other: string;
let open: string[];
let sandbox: Sandbox;
const connections = new Connections();

/** Requests to /at-once that are under way, and the most there were. */
let now = 0;
let most = 0;

function answer(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? "/", "http://local");
  const status = Number(url.searchParams.get("status") ?? 200);
  const to = url.searchParams.get("to");
  if (to !== null) return void response.writeHead(status, { location: to }).end();
  if (url.pathname === "/gzip")
    return void response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync("z".repeat(200_000)));
  if (url.pathname === "/at-once") {
    most = Math.max(most, ++now);
    return void setTimeout(() => {
      now -= 1;
      response.end();
    }, 30);
  }
  if (url.pathname === "/large") return void response.end(Buffer.alloc(5_000_000, 97));
  if (url.pathname === "/slow") return void setTimeout(() => response.end("late"), 5_000).unref();
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks).toString("latin1");
    response.writeHead(status, { "content-type": "application/json", "x-two": ["a", "b"] });
    response.end(JSON.stringify({ method: request.method, path: request.url, headers: request.headers, body }));
  });
}

async function listen(): Promise<Server> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

beforeAll(async () => {
  [first, second] = [await listen(), await listen()];
  const ports = [first, second].map((server) => (server.address() as AddressInfo).port);
  open = ports.map((port) => `127.0.0.1:${port}`);
  [base, other] = open.map((pair) => `http://${pair}`) as [string, string];
  sandbox = openTestSandbox(open);
});
afterAll(async () => {
  await sandbox.close();
  await connections.close();
  for (const server of [first, second]) server.closeAllConnections();
  for (const server of [first, second]) server.close();
});

function openBroker(policy: NetworkPolicy, limits: Limits, records: RequestRecord[], pairs = open): EgressBroker {
  return new EgressBroker({
    policy,
    open: pairs,
    own: [],
    nameServers: [],
    limits,
    connections,
    projectId: "project",
    onEvent: (event) => void (event.kind === "request" && records.push(event)),
  });
}

async function toArray<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

interface Asked {
  url: string;
  method?: string;
  headers?: [string, string][];
  body?: string;
  redirect?: "follow" | "error" | "manual";
}

async function send(
  { url, method = "GET", headers = [], body, redirect = "follow" }: Asked,
  policy: NetworkPolicy = "open",
  limits = defaultLimits,
) {
  const records: RequestRecord[] = [];
  const broker = openBroker(policy, limits, records);
  const request = {
    url,
    method,
    headers,
    redirect,
    ...(body === undefined ? {} : { body: Buffer.from(body, "latin1").toString("base64") }),
  };
  const { head: response, body: parts } = await broker.request(request, AbortSignal.timeout(10_000));
  const text = Buffer.concat(await toArray(parts)).toString();
  return {
    response,
    records,
    text,
    json: () => JSON.parse(text) as { method: string; path: string; headers: Record<string, string>; body: string },
  };
}

describe("addresses", () => {
  test.each([
    "http://2130706433:1/",
    "http://0x7f.1:1/",
    "http://0177.0.0.1:1/",
    "http://127.1:1/",
    "http://１２７.0.0.1:1/",
    "http://localhost:1/",
    "http://[::ffff:7f00:1]:1/",
    "http://[::1]:1/",
    "http://169.254.169.254/latest/",
    "http://0/",
  ])("%s is refused before anything is sent", async (url) => {
    await expect(send({ url })).rejects.toMatchObject({ code: "ERR_EGRESS_REFUSED" });
  });
  test("an opened pair is that port alone", async () => {
    await expect(send({ url: "http://127.0.0.1:1/" })).rejects.toMatchObject({ code: "ERR_EGRESS_REFUSED" });
    expect((await send({ url: `${base}/` })).response.status).toBe(200);
  });
});

describe("policy", () => {
  const allowed = async (policy: NetworkPolicy): Promise<boolean> =>
    await send({ url: `${base}/` }, policy).then(
      () => true,
      () => false,
    );
  test("none lets nothing pass, open lets it pass, a list lets its hosts pass", async () => {
    expect(await allowed("none")).toBe(false);
    expect(await allowed("open")).toBe(true);
    expect(await allowed([open[0]!])).toBe(true);
    // Without a port a rule means the default one.
    expect(await allowed(["127.0.0.1"])).toBe(false);
    expect(await allowed([`http://${open[0]}`])).toBe(true);
    expect(await allowed([`https://${open[0]}`])).toBe(false);
    expect(await allowed(["127.0.0.1:1"])).toBe(false);
    expect(await allowed([`GET ${open[0]}`])).toBe(true);
    expect(await allowed([`POST ${open[0]}`])).toBe(false);
    expect(await allowed(["example.com", "*.example.com"])).toBe(false);
  });
  test("other schemes and credentials in a URL are refused", async () => {
    await expect(send({ url: "file:///etc/passwd" })).rejects.toMatchObject({ code: "ERR_EGRESS_REFUSED" });
    await expect(send({ url: base.replace("//", "//user:pw@") })).rejects.toMatchObject({ code: "ERR_EGRESS_REFUSED" });
  });
});

describe("requests", () => {
  test("carry method, headers and body bytes, but no header that is the broker's own", async () => {
    const { json, records, response, text } = await send({
      url: `${base}/p?q=1`,
      method: "PUT",
      headers: [
        ["x-key", "v1"],
        ["Host", "evil"],
        ["Transfer-Encoding", "chunked"],
        ["content-length", "3"],
      ],
      body: "\x00\xffbytes",
    });
    const echo = json();
    expect(echo).toMatchObject({ method: "PUT", path: "/p?q=1", body: "\x00\xffbytes" });
    expect(echo.headers).toMatchObject({ "x-key": "v1", host: open[0], "content-length": "7" });
    expect(response.headers.filter(([name]) => name === "x-two")).toEqual([
      ["x-two", "a"],
      ["x-two", "b"],
    ]);
    expect(records).toEqual([
      {
        kind: "request",
        method: "PUT",
        host: open[0],
        path: "/p?q=1",
        rule: "open",
        status: 200,
        bytesSent: 7,
        bytes: Buffer.byteLength(text),
        headersMs: expect.any(Number),
        ms: expect.any(Number),
        secrets: [],
      },
    ]);
  });
  test("an answer is decompressed, and its limit counts decompressed bytes", async () => {
    expect((await send({ url: `${base}/gzip` })).text).toHaveLength(200_000);
    const small = { ...defaultLimits, responseBytesMax: 199_999 };
    await expect(send({ url: `${base}/gzip` }, "open", small)).rejects.toMatchObject({
      code: "ERR_LIMIT_RESPONSE_BYTES",
    });
  });
  test("a refused connection is told by its kind, and recorded", async () => {
    const records: RequestRecord[] = [];
    const sent = openBroker("open", defaultLimits, records, ["127.0.0.1:2"]).request(
      { url: "http://127.0.0.1:2/", method: "GET", headers: [], redirect: "follow" },
      AbortSignal.timeout(5_000),
    );
    await expect(sent).rejects.toMatchObject({
      code: "ERR_EGRESS_FAILED",
      message: expect.stringContaining("ECONNREFUSED"),
    });
    expect(records).toMatchObject([{ status: null }]);
  });
});

describe("redirects", () => {
  test("are followed with every check repeated", async () => {
    const { json, records, response } = await send({ url: `${base}/?status=302&to=/next` });
    expect([json().path, response.redirected, records.length]).toEqual(["/next", true, 2]);
    await expect(send({ url: `${base}/?status=302&to=http://169.254.169.254/` })).rejects.toMatchObject({
      code: "ERR_EGRESS_REFUSED",
    });
    await expect(
      send({ url: `${base}/?status=302&to=${encodeURIComponent(other)}` }, [open[0]!]),
    ).rejects.toMatchObject({ code: "ERR_EGRESS_REFUSED" });
  });
  test("to another origin lose authorization and cookies, and keep the rest", async () => {
    const headers: [string, string][] = [
      ["authorization", "Bearer k"],
      ["cookie", "c=1"],
      ["x-keep", "1"],
    ];
    const echo = (await send({ url: `${base}/?status=307&to=${encodeURIComponent(`${other}/`)}`, headers })).json();
    expect(echo.headers).toMatchObject({ "x-keep": "1" });
    expect(echo.headers).not.toHaveProperty("authorization");
    expect(echo.headers).not.toHaveProperty("cookie");
  });
  test.each([
    [303, "PUT", "GET", ""],
    [302, "POST", "GET", ""],
    [307, "POST", "POST", "body"],
    [308, "PUT", "PUT", "body"],
  ])("%i after %s is a %s", async (status, method, then, body) => {
    const echo = (await send({ url: `${base}/?status=${status}&to=/next`, method, body: "body" })).json();
    expect([echo.method, echo.body]).toEqual([then, body]);
  });
  test("are handed out or refused when the step asks so, and endless ones end", async () => {
    expect((await send({ url: `${base}/?status=302&to=/x`, redirect: "manual" })).response.status).toBe(302);
    await expect(send({ url: `${base}/?status=302&to=/x`, redirect: "error" })).rejects.toMatchObject({
      code: "ERR_EGRESS_FAILED",
    });
    const loop = encodeURIComponent(`${base}/?status=302&to=`);
    await expect(send({ url: `${base}/?status=302&to=${loop}` })).rejects.toMatchObject({ code: "ERR_EGRESS_FAILED" });
  });
});

describe("steps", () => {
  test("fetch sends and reads JSON, forms and bytes", async () => {
    const code = `const r = await fetch(params.base + "/x", { method: "post", headers: { "X-Key": "k" }, body: new URLSearchParams({ a: "ä b" }) });
      const j = await r.json();
      const bytes = await (await fetch(params.base + "/y", { method: "POST", body: new Uint8Array([0, 255]) })).json();
      return [r.ok, r.status, r.headers.get("Content-Type"), j.method, j.headers["x-key"], j.headers["content-type"], j.body, bytes.body]`;
    const { output, events } = await runStep(sandbox, "javascript", code, { params: { base } });
    expect(output).toEqual([
      true,
      200,
      "application/json",
      "POST",
      "k",
      "application/x-www-form-urlencoded;charset=UTF-8",
      "a=%C3%A4+b",
      "\0ÿ",
    ]);
    expect(events.filter(({ kind }) => kind === "request")).toHaveLength(2);
  });
  test("requests of one run go out a few at a time", async () => {
    const code = 'return (await Promise.all(Array.from({ length: 20 }, () => fetch(params.base + "/at-once")))).length';
    expect((await runStep(sandbox, "javascript", code, { params: { base } })).output).toBe(20);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(defaultLimits.requestsAtOnceMax);
  });
  test("a response of several megabytes arrives whole", async () => {
    const code = 'return (await (await fetch(params.base + "/large")).text()).length';
    expect((await runStep(sandbox, "javascript", code, { params: { base } })).output).toBe(5_000_000);
  });
  test("an uncaught failure of fetch has the place of the call, and no frame of ours", async () => {
    const { outcome } = await runStep(sandbox, "javascript", '\n  await fetch("http://10.0.0.1/")');
    expect("error" in outcome && outcome.error).toMatchObject({
      position: { line: 2, column: 9 },
      guestStack: expect.not.stringContaining("prelude"),
    });
  });
  test("urllib honours a timeout and gives decompressed bodies without their old headers", async () => {
    const code = `import urllib.request, urllib.error, time
r = urllib.request.urlopen(params["base"] + "/gzip")
headers = [r.headers["content-encoding"], r.headers["content-length"], len(r.read())]
t = time.time()
try:
    urllib.request.urlopen(params["base"] + "/slow", timeout=0.2)
except urllib.error.URLError as error:
    return [headers, isinstance(error.reason, TimeoutError), time.time() - t < 2]`;
    expect((await runStep(sandbox, "python", code, { params: { base } })).output).toEqual([
      [null, null, 200_000],
      true,
      true,
    ]);
  });
  test("a refused fetch is an error that the step can catch by its code", async () => {
    const { output } = await runStep(
      sandbox,
      "javascript",
      'try { await fetch("http://10.0.0.1/") } catch (e) { return [e instanceof TypeError, e.code] }',
    );
    expect(output).toEqual([true, "ERR_EGRESS_REFUSED"]);
  });
  test("an aborted fetch rejects at once", async () => {
    const code =
      'const c = new AbortController(); setTimeout(() => c.abort(), 50); try { await fetch(params.base + "/slow", { signal: c.signal }) } catch (e) { return e.name }';
    const { output, outcome } = await runStep(sandbox, "javascript", code, { params: { base } });
    expect(output).toBe("AbortError");
    expect(outcome.usage.wallMs).toBeLessThan(3_000);
  });
  test("urllib.request works without await: JSON, errors, redirects, headers", async () => {
    const code = `import json, urllib.request, urllib.error
base = params["base"]
request = urllib.request.Request(base + "/x", data=b"\\x00\\xff", headers={"X-Key": "k"}, method="PUT")
with urllib.request.urlopen(request) as response:
    echo = json.load(response)
    kind = response.headers["content-type"]
try:
    urllib.request.urlopen(base + "/?status=404")
except urllib.error.HTTPError as error:
    missing = [error.code, json.load(error)["method"]]
redirected = urllib.request.urlopen(base + "/?status=302&to=/next")
try:
    urllib.request.urlopen("http://10.0.0.1/")
except urllib.error.URLError as error:
    refused = "ERR_EGRESS_REFUSED" in str(error.reason)
opener = urllib.request.build_opener()
return [echo["method"], echo["headers"]["x-key"], echo["body"], kind, missing, redirected.url.endswith("/next"), refused, opener.open(base).status]`;
    const { output } = await runStep(sandbox, "python", code, { params: { base } });
    expect(output).toEqual(["PUT", "k", "\0ÿ", "application/json", [404, "GET"], true, true, 200]);
  });
  test("pyfetch works with await", async () => {
    const code =
      'from pyodide.http import pyfetch\nr = await pyfetch(params["base"] + "/p")\nreturn [r.status, (await r.json())["path"]]';
    expect((await runStep(sandbox, "python", code, { params: { base } })).output).toEqual([200, "/p"]);
  });
  test("requests are allowed up to their limit", async () => {
    const code = "for (let i = 0; i < params.n; i++) await fetch(params.base); return 1";
    expect(
      (await runStep(sandbox, "javascript", code, { params: { base, n: 2 }, limits: { requestsMax: 2 } })).output,
    ).toBe(1);
    expect(
      (await runStep(sandbox, "javascript", code, { params: { base, n: 3 }, limits: { requestsMax: 2 } })).code,
    ).toBe("ERR_LIMIT_REQUESTS");
  });
  test("a request body over its limit ends the run", async () => {
    const code = 'await fetch(params.base, { method: "POST", body: "x".repeat(101) }); return 1';
    expect(
      (await runStep(sandbox, "javascript", code, { params: { base }, limits: { requestBytesMax: 100 } })).code,
    ).toBe("ERR_LIMIT_REQUEST_BYTES");
  });
});
