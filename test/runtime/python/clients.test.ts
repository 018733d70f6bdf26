/**
 * The packages requests and httpx in a step, over the broker. Goal: they do what they do elsewhere, as far as the broker
 * allows, and what they cannot do is an error of theirs. Method: wheels made from two releases of Debian, which hold both
 * lines of urllib3, in real hosts against real servers; the same behaviours with each client.
 */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Json } from "../../../protocol/job.ts";
import { findPackageFiles, writeLock } from "../../../runtime/packages.ts";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { startNameServer, type TestNameServer } from "../../helpers/name-server.ts";
import { openTestSandbox, runStep, type StepRun } from "../../helpers/sandbox.ts";
import { startUpstream, testCaFile, type Upstream } from "../../helpers/upstream.ts";
import { events, type PartsServer, startPartsServer } from "./server.ts";
import { debianWheels, writeCertifi } from "./wheel.ts";

/** Which versions a release has, and what these need. */
const releases = [
  { release: "bookworm", urllib3: "1.26", httpx: "0.23", more: ["six", "sniffio", "rfc3986"] },
  { release: "trixie", urllib3: "2.3", httpx: "0.28", more: [] },
];

/**
 * Each client behind the same functions: `open_client` gives one with cookies of its own, `send` asks with it, or with a
 * new one, and follows redirects, `streamed` makes a body in pieces, `lines` and `pieces` read a response as it arrives;
 * and the kinds of its errors.
 */
const clients: Record<string, string> = {
  requests: `import requests
from requests import RequestException as Failed, Timeout, ConnectionError as Refused
def open_client(verify=True, cert=None):
    client = requests.Session(); client.verify, client.cert = verify, cert
    return client
async def send(method, url, client=None, **options):
    return (client or open_client()).request(method, url, **options)
def streamed(body): return {"data": iter(body)}
async def lines(url):
    with requests.get(url, stream=True, timeout=5) as response:
        for line in response.iter_lines(): yield line.decode()
async def pieces(url):
    with requests.get(url, stream=True, timeout=5) as response:
        for piece in response.iter_content(7919): yield piece`,
  "httpx.Client": `import httpx
from httpx import HTTPError as Failed, TimeoutException as Timeout, ConnectError as Refused
def open_client(**wishes): return httpx.Client(follow_redirects=True, **wishes)
async def send(method, url, client=None, **options):
    return (client or open_client()).request(method, url, **options)
def streamed(body): return {"content": iter(body)}
async def lines(url):
    with httpx.stream("GET", url, timeout=5) as response:
        for line in response.iter_lines(): yield line.rstrip("\\n")
async def pieces(url):
    with httpx.stream("GET", url, timeout=5) as response:
        for piece in response.iter_bytes(7919): yield piece`,
  "httpx.AsyncClient": `import httpx
from httpx import HTTPError as Failed, TimeoutException as Timeout, ConnectError as Refused
def open_client(**wishes): return httpx.AsyncClient(follow_redirects=True, **wishes)
async def send(method, url, client=None, **options):
    return await (client or open_client()).request(method, url, **options)
def streamed(body):
    async def pieces():
        for piece in body: yield piece
    return {"content": pieces()}
async def lines(url):
    async with httpx.AsyncClient() as client, client.stream("GET", url, timeout=5) as response:
        async for line in response.aiter_lines(): yield line.rstrip("\\n")
async def pieces(url):
    async with httpx.AsyncClient() as client, client.stream("GET", url, timeout=5) as response:
        async for piece in response.aiter_bytes(7919): yield piece`,
};

let folder: string;
let server: PartsServer;
let upstream: Upstream;
let names: TestNameServer;
const sandboxes = new Map<string, Sandbox>();

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "stepvault-clients-"));
  [server, upstream] = await Promise.all([startPartsServer(), startUpstream()]);
  names = await startNameServer((name) => (name.endsWith(".test") ? ["127.0.0.1"] : undefined));
  const open = [`127.0.0.1:${server.port}`, `approved.test:${upstream.port}`, `wrong.test:${upstream.port}`];
  const egress = { open, own: [], nameServers: [names.address], caFile: testCaFile };
  for (const { release, more } of releases) {
    const packages = path.join(folder, release);
    debianWheels(packages, ["requests", "urllib3", "chardet", "idna", "httpx", ...more], { release });
    writeCertifi(packages);
    writeLock(packages, findPackageFiles(packages));
    const cacheDir = path.join(folder, "cache");
    sandboxes.set(release, openTestSandbox([], 1, { cacheDir, pythonPackages: packages, egress }));
  }
});
afterAll(async () => {
  await Promise.all([...sandboxes.values()].map(async (sandbox) => await sandbox.close()));
  names.close();
  server.close();
  upstream.close();
  rmSync(folder, { recursive: true, force: true });
});

async function run(release: string, code: string): Promise<StepRun & { output: Json }> {
  const tls = (host: string): string => `https://${host}.test:${upstream.port}`;
  const params = { base: `http://127.0.0.1:${server.port}`, tls: tls("approved"), wrong: tls("wrong") };
  const whole = `base, tls, wrong = params["base"], params["tls"], params["wrong"]\n${code}`;
  const run = await runStep(sandboxes.get(release)!, "python", whole, { params });
  if ("error" in run.outcome) throw run.outcome.error;
  return run as StepRun & { output: Json };
}

const cases = releases.flatMap(({ release }) => Object.keys(clients).map((client) => ({ release, client })));

describe.each(cases)("$client of $release", ({ release, client }) => {
  const step = async (code: string): Promise<Json> => (await run(release, `${clients[client]}\n${code}`)).output;

  test("sends JSON, forms, files, parameters, headers and credentials", async () => {
    const code = `async def sent(method, **options):
    echo = (await send(method, base + "/echo", **options)).json()
    return [echo["method"], echo["url"], echo["body"], echo["headers"].get("content-type"), echo["headers"].get("authorization"), echo["headers"].get("x-given")]
answer = await send("GET", base + "/echo")
upload = await sent("POST", **streamed([b"ab", b"cd"]))
files = await sent("POST", files={"f": ("a.txt", b"abc")}, data={"k": "v"})
return [[answer.status_code, answer.headers["x-answer"]], upload[2], await sent("POST", json={"a": "b"}), await sent("PUT", data={"a": "ä b"}),
    [part in files[2] for part in ('name="k"', 'filename="a.txt"', "abc")] + [files[3].split(";")[0]],
    await sent("DELETE", params={"q": "ä"}, headers={"X-Given": "t"}, auth=("user", "pass"))]`;
    expect(await step(code)).toEqual([
      [200, "1"],
      "abcd",
      ["POST", "/echo", expect.stringMatching(/^\{"a": ?"b"\}$/), "application/json", null, null],
      ["PUT", "/echo", "a=%C3%A4+b", "application/x-www-form-urlencoded", null, null],
      [true, true, true, "multipart/form-data"],
      ["DELETE", "/echo?q=%C3%A4", "", null, "Basic dXNlcjpwYXNz", "t"],
    ]);
  });

  test("follows redirects itself, and the broker checks each hop", async () => {
    const code = `${clients[client]}
answer = await send("POST", base + "/moved?to=/echo&status=303", data={"a": "b"})
try: await send("GET", base + "/moved?to=http://10.0.0.1/")
except Refused as error: refused = str(error)
return [answer.json()["method"], [one.status_code for one in answer.history], str(answer.url), "ERR_EGRESS_REFUSED" in refused]`;
    const { output, events: told } = await run(release, code);
    expect(output).toEqual(["GET", [303], `http://127.0.0.1:${server.port}/echo`, true]);
    const requests = told.filter((event) => event.kind === "request");
    expect(requests.map(({ method, path: asked, rule }) => [method, asked, rule])).toEqual([
      ["POST", "/moved?to=/echo&status=303", "open"],
      ["GET", "/echo", "open"],
      ["GET", "/moved?to=http://10.0.0.1/", "open"],
      ["GET", "/", null],
    ]);
  });

  test("keeps cookies as long as its session", async () => {
    const code = `session = open_client()
await send("GET", base + "/cookies", session)
return [(await send("GET", base + "/echo", one)).json()["headers"].get("cookie") for one in (session, None)]`;
    expect(await step(code)).toEqual(["a=1; b=2", null]);
  });

  test("fails with errors of its own, which hold the broker's text", async () => {
    const code = `async def failed(kind, url, **options):
    try: (await send("GET", url, **options)).raise_for_status()
    except kind as error: return str(error) if isinstance(error, Failed) else "another"
import time
began = time.time()
slow = await failed(Timeout, base + "/slow?ms=3000", timeout=0.2)
return [slow is not None and time.time() - began < 2, await failed(Refused, "https://169.254.169.254/"), await failed(Failed, base + "/broken"), await failed(Failed, base + "/broken?length=1"), await failed(Failed, base + "/missing")]`;
    expect(await step(code)).toEqual([
      true,
      expect.stringMatching(/169\.254\.169\.254: .*ERR_EGRESS_REFUSED/),
      expect.stringContaining("ERR_EGRESS_FAILED"),
      expect.stringContaining("ERR_EGRESS_FAILED"),
      expect.stringContaining("404"),
    ]);
  });

  test("gives what a server sends as it arrives, and ends a response that is left", async () => {
    const code = `got = []
async for line in lines(base + "/paced?key=k"):
    got.append(line); await send("GET", base + "/next?key=k")
endless = lines(base + "/endless?key=k")
got.append(await anext(endless)); await endless.aclose()
got.append((await send("GET", base + "/closed?key=k")).text)
return got`;
    expect(await step(code)).toEqual([...events, "more", "closed"]);
  });

  test("gives large bodies whole, however they are sent", async () => {
    const code = `import hashlib
found = []
for kind in ("chunked", "length", "gzip"):
    whole = hashlib.sha256()
    async for piece in pieces(base + "/large?as=" + kind): whole.update(piece)
    found.append(whole.hexdigest())
return found`;
    const hash = createHash("sha256").update(server.large).digest("hex");
    expect(await step(code)).toEqual([hash, hash, hash]);
  });

  test("asks over TLS, which is the broker's: less is not possible, and more is refused", async () => {
    const code = `import os
open("own.pem", "w").close()
async def said(url=tls, environment={}, **wishes):
    os.environ.update(environment)
    try: return (await send("GET", url, open_client(**wishes))).status_code
    except OSError as error: return str(error)
    except Failed as error: return str(error)
return [await said(), await said(verify=False), await said(wrong), await said(wrong, verify=False), await said(cert="own.pem"),
    await said(verify="own.pem"), await said(environment={"HTTPS_PROXY": "http://10.0.0.1:1"})]`;
    const wrongName = expect.stringContaining("ERR_TLS_CERT_ALTNAME_INVALID");
    expect(await step(code)).toEqual([
      200,
      200,
      wrongName,
      wrongName,
      expect.stringContaining("a step cannot present a client certificate"),
      expect.stringContaining("a step cannot choose certificate authorities"),
      expect.stringContaining("a step cannot reach the network through a proxy"),
    ]);
  });
});

describe.each(releases)("httpx.AsyncClient of $release alone", ({ release, httpx }) => {
  test("asks several times at once, without blocking the step", async () => {
    const code = `import asyncio, httpx, time
ticks = []
async def tick():
    while True: ticks.append(1); await asyncio.sleep(0.02)
async with httpx.AsyncClient() as client:
    await client.get(base + "/echo")
    began, ticking = time.time(), asyncio.ensure_future(tick())
    answers = await asyncio.gather(*(client.get(base + "/slow?ms=200") for _ in range(5)))
    ticking.cancel()
return [httpx.__version__, [answer.text for answer in answers], time.time() - began < 0.7, len(ticks) > 3]`;
    const slow = Array<string>(5).fill("slow");
    expect((await run(release, code)).output).toEqual([expect.stringMatching(`^${httpx}`), slow, true, true]);
  });

  test("ends the request of a task that is cancelled, before its answer and within", async () => {
    const code = `import asyncio, httpx
async def read(client, path):
    async with client.stream("GET", base + path) as response:
        async for piece in response.aiter_raw(): pass
async with httpx.AsyncClient() as client:
    for path in ("/hanging?key=k", "/endless?key=k"):
        task = asyncio.ensure_future(read(client, path))
        await asyncio.sleep(0.2); task.cancel()
        assert (await client.get(base + "/closed?key=k")).text == "closed"
        assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    try: await client.request("GET", base, content=b"body")
    except httpx.LocalProtocolError as error: return str(error)`;
    expect((await run(release, code)).output).toContain("sends no body with GET");
  });

  test("is also found where Pyodide's own build of httpx looks", async () => {
    const code = `import httpx
from httpx._transports.jsfetch import AsyncJavascriptFetchTransport, JavascriptFetchTransport
async with httpx.AsyncClient(transport=AsyncJavascriptFetchTransport()) as client:
    return [(await client.get(base)).status_code, httpx.Client(transport=JavascriptFetchTransport()).get(base).status_code]`;
    expect((await run(release, code)).output).toEqual([200, 200]);
  });
});

describe.each(releases)("urllib3 of $release", ({ release, urllib3 }) => {
  test("is changed in its connections alone", async () => {
    const code = `import urllib3, warnings
warnings.simplefilter("error")
pool = urllib3.PoolManager(cert_reqs="CERT_NONE")
answer = pool.request("GET", base + "/moved?to=/echo")
paced, got = pool.request("GET", base + "/paced?key=k", preload_content=False), []
for piece in paced.stream():
    got.append(piece.decode().rstrip()); pool.request("GET", base + "/next?key=k")
def said(go):
    try: return go()
    except urllib3.exceptions.HTTPError as error: return f"{type(error).__name__}: {error}"
class Socks(urllib3.connection.HTTPConnection):
    def _new_conn(self): raise AssertionError
socks = urllib3.HTTPConnectionPool("127.0.0.1", 80); socks.ConnectionCls = Socks
return [urllib3.__version__, answer.status, got, pool.request("GET", tls).status,
    said(lambda: pool.request("GET", base + "/slow?ms=3000", timeout=urllib3.Timeout(connect=5, read=0.2), retries=False)),
    said(lambda: socks.request("GET", "/", retries=False)), said(lambda: urllib3.PoolManager(assert_fingerprint="00" * 20).request("GET", tls, retries=False)),
    said(lambda: urllib3.ProxyManager("http://10.0.0.1:1").request("GET", base, retries=False))]`;
    expect((await run(release, code)).output).toEqual([
      expect.stringMatching(`^${urllib3.replace(".", "\\.")}\\.`),
      200,
      events,
      200,
      expect.stringMatching(/^ReadTimeoutError/),
      expect.stringContaining("through a proxy of its own"),
      expect.stringContaining("a step cannot choose how a server's name is checked"),
      expect.stringContaining("through a proxy of its own"),
    ]);
  });
});

test("without the packages their names are as unknown as any other", async () => {
  const plain = openTestSandbox([], 0);
  const code = `said = []
for name in ("requests", "httpx", "urllib3", "httpx._transports.default", "urllib3.contrib.emscripten", "_stepvault_httpx"):
    try: __import__(name)
    except ModuleNotFoundError as error: said.append(error.name)
return said`;
  const { output } = await runStep(plain, "python", code);
  await plain.close();
  expect(output).toEqual(["requests", "httpx", "urllib3", "httpx", "urllib3", "_stepvault_httpx"]);
});
