/**
 * Requests from synchronous Python: what the standard library's clients send and understand, over the broker, and that
 * they give what has arrived, no more and no less. Method: real servers on loopback that the operator has opened, of which
 * one sends on only when it is asked to.
 */
import { createHash, randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { openTestSandbox, runStep } from "../../helpers/sandbox.ts";
import { events, type PartsServer, startPartsServer } from "./server.ts";

let server: Server;
let sandbox: Sandbox;
let port: number;
let parts: PartsServer;
beforeAll(async () => {
  server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => (body += text));
    request.on("end", () => {
      if (request.url === "/moved") response.writeHead(302, { location: "/here" });
      else response.writeHead(request.url === "/missing" ? 404 : 200, { "x-answer": "1" });
      response.end(JSON.stringify([request.method, request.url, body, request.headers["x-given"] ?? null]));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ({ port } = server.address() as AddressInfo);
  parts = await startPartsServer();
  sandbox = openTestSandbox([`127.0.0.1:${port}`, `127.0.0.1:${parts.port}`]);
});
afterAll(async () => {
  server.close();
  parts.close();
  await sandbox.close();
});

async function outputOf(code: string): Promise<unknown> {
  const { output, outcome, text } = await runStep(sandbox, "python", code, { params: port });
  if ("error" in outcome) throw outcome.error;
  return [output, text];
}

describe("http.client", () => {
  test("sends bodies, whole and in chunks, and reads answers, without following redirects", async () => {
    const code = `import http.client, json
r, c = [], http.client.HTTPConnection("127.0.0.1", params, timeout=5)
c.request("POST", "/a?b=1", body="hällo".encode(), headers={"X-Given": "t"}); a = c.getresponse()
r.append([a.status, a.reason, a.getheader("x-answer"), json.loads(a.read())])
c.request("POST", "/c", body=(x for x in (b"ab", b"cd")), encode_chunked=True); r.append(json.loads(c.getresponse().read()))
c.request("GET", "/moved"); a = c.getresponse(); r.append([a.status, a.getheader("location"), len(a.read()) > 0])
c.request("HEAD", "/"); a = c.getresponse(); r.append([a.status, len(a.read())])
return r`;
    expect(await outputOf(code)).toEqual([
      [
        [200, "OK", "1", ["POST", "/a?b=1", "hällo", "t"]],
        ["POST", "/c", "abcd", null],
        [302, "/here", true],
        [200, 0],
      ],
      "",
    ]);
  });
  test("passes the broker's checks: a private address, a host that is smuggled in, a tunnel", async () => {
    const code = `import http.client
def tried(make, path="/", **headers):
    try: c = make(); c.request("GET", path, headers=headers); return c.getresponse().status
    except OSError as error: return str(error).split("[")[-1]
def tunnel():
    c = http.client.HTTPConnection("127.0.0.1", params); c.set_tunnel("10.0.0.1"); return c
return [tried(lambda: http.client.HTTPConnection("10.0.0.1")), tried(lambda: http.client.HTTPSConnection("169.254.169.254")),
    tried(lambda: http.client.HTTPConnection("127.0.0.1", params), "@10.0.0.1/"), tried(lambda: http.client.HTTPConnection("127.0.0.1", params), Host="10.0.0.1"), tried(tunnel)]`;
    const refused = "ERR_EGRESS_REFUSED]";
    expect(await outputOf(code)).toEqual([
      [
        refused,
        refused,
        expect.stringMatching(/ERR_EGRESS_(REFUSED|FAILED)\]/),
        200,
        "a step cannot reach the network through a proxy of its own",
      ],
      "",
    ]);
  });
});

test("urllib, open_url and pyfetch reach the same server", async () => {
  const code = `import urllib.request, urllib.error, pyodide.http
base = f"http://127.0.0.1:{params}"
r = [urllib.request.urlopen(base + "/moved").url.endswith("/here"), "GET" in pyodide.http.open_url(base).read(), (await pyodide.http.pyfetch(base)).status]
try: urllib.request.urlopen(base + "/missing")
except urllib.error.HTTPError as error: r.append(error.code)
return r`;
  expect(await outputOf(code)).toEqual([[true, true, 200, 404], ""]);
});

test("the timeout that a step sets for all sockets holds", async () => {
  const code = `import socket, urllib.request
socket.setdefaulttimeout(0.2)
try: urllib.request.urlopen(params + "/slow?ms=3000")
except OSError as error: return isinstance(error.reason, TimeoutError)`;
  expect((await runStep(sandbox, "python", code, { params: `http://127.0.0.1:${parts.port}` })).output).toBe(true);
});

/** The output of a step that asks the server of parts by `get(path)`, with either client. */
async function read(client: string, code: string, seed = 0): Promise<unknown> {
  const clients: Record<string, string> = {
    urllib: "return urllib.request.urlopen(urllib.request.Request(base + path, method=method), timeout=5)",
    "http.client":
      "c = http.client.HTTPConnection(base[7:], timeout=5); c.request(method, path); return c.getresponse()",
  };
  const params = { base: `http://127.0.0.1:${parts.port}`, seed };
  const whole = `import http.client, urllib.request
base, seed = params["base"], params["seed"]
def get(path, method="GET"):
    ${clients[client]}
${code}`;
  const { output, outcome } = await runStep(sandbox, "python", whole, { params });
  if ("error" in outcome) throw outcome.error;
  return output;
}

describe.each(["urllib", "http.client"])("a response of %s", (client) => {
  const lines = events.map((event) => `${event}\n`);

  test.each([
    ["readline", "response.readline()"],
    ["iteration", "next(iter(response))"],
    ["read of as many bytes", "response.read(8)"],
    ["read1", "response.read1()"],
    ["read1 of more bytes", "response.read1(1000)"],
    ["readinto", "(lambda b: b[:response.readinto(b)])(bytearray(8))"],
  ])("gives by %s what the server has sent so far", async (_, take) => {
    const code = `got = []
for kind in ("", "&length=1"):
    with get("/paced?key=k" + kind) as response:
        for i in range(4):
            got.append(bytes(${take}).decode()); get("/next?key=k").read()
        got.append(response.read().decode())
return got`;
    expect(await read(client, code)).toEqual([...lines, "", ...lines, ""]);
  });

  test("is whole, whatever the sizes in which it is read", async () => {
    const code = `import hashlib, random
chance = random.Random(seed)
def into(response, size):
    piece = bytearray(size)
    return piece[:response.readinto(piece)]
ways = [lambda r, size: r.read(size), lambda r, size: r.read1(size), lambda r, size: r.readline(size), into]
def some(response): return chance.choice(ways)(response, int(10 ** chance.uniform(0, 5.5)))
found = []
for kind in ("chunked", "length", "gzip") * 2:
    whole, response = hashlib.sha256(), get("/large?as=" + kind)
    while piece := some(response): whole.update(piece)
    found.append(whole.hexdigest())
return found`;
    const seed = randomInt(2 ** 31);
    const hash = createHash("sha256").update(parts.large).digest("hex");
    expect(await read(client, code, seed), `seed ${seed}`).toEqual(Array<string>(6).fill(hash));
  });

  test("that is closed or forgotten before its end ends the request", async () => {
    const code = `def left(leave):
    response = get("/endless?key=k"); response.readline(); leave(response); del response
    return get("/closed?key=k").read().decode()
return [left(lambda response: response.close()), left(lambda response: None)]`;
    expect(await read(client, code)).toEqual(["closed", "closed"]);
  });

  test("that breaks off is an error that says so, each time that it is read, and never a shorter one", async () => {
    const code = `def broken(kind, take):
    response, said = get("/broken" + kind), []
    assert response.readline() == b"some\\n"
    for _ in range(2):
        try: said.append(repr(take(response)))
        except ConnectionError as error: said.append(str(error).split(" ")[-1])
    return said
return [broken(kind, take) for kind in ("", "?length=1") for take in (lambda r: r.read(), lambda r: r.read(50), lambda r: r.readline())]`;
    const failed = "[ERR_EGRESS_FAILED]";
    expect(await read(client, code)).toEqual(Array.from({ length: 6 }, () => [failed, failed]));
  });

  test("to HEAD keeps the length that a body would have", async () => {
    const code = 'r = get("/large?as=length", "HEAD")\nreturn [r.getheader("content-length"), len(r.read())]';
    expect(await read(client, code)).toEqual(["3000000", 0]);
  });
});

test("what a step wishes of TLS and of a proxy is refused where the broker would do less", async () => {
  const code = `import os, ssl, urllib.request
def said(wish, **options):
    try: wish(ssl.create_default_context(**options))
    except OSError as error: return str(error)
def ask(context): return urllib.request.urlopen("https://10.0.0.1/", context=context)
def newest(context): context.minimum_version = ssl.TLSVersion.TLSv1_3; return ask(context)
def unchecked(context): context.check_hostname = False; context.verify_mode = ssl.CERT_NONE; return ask(context)
def proxy(context): urllib.request.build_opener(urllib.request.ProxyHandler({params: "http://10.0.0.1:1"})).open(params + "://example.com/")
open("own.pem", "w").close()
said_all = [said(ask), said(unchecked), said(newest), said(lambda context: context.load_cert_chain("own.pem")), said(ask, cafile="own.pem"), said(ask, cadata="own")]
for params in ("http", "https"): said_all.append(said(proxy))
return said_all`;
  const refused = expect.stringContaining("ERR_EGRESS_REFUSED");
  const tls = (what: string): unknown => expect.stringContaining(`a step cannot ${what}`);
  expect(await outputOf(code)).toEqual([
    [
      refused,
      refused,
      tls("demand more than TLS 1.2"),
      tls("present a client certificate"),
      tls("choose certificate authorities"),
      tls("choose certificate authorities"),
      tls("reach the network through a proxy"),
      tls("reach the network through a proxy"),
    ],
    "",
  ]);
});
