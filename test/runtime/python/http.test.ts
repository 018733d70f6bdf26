/**
 * Requests from synchronous Python: what the standard library's clients send and understand, over the broker. Method: a
 * real server on loopback that the operator has opened.
 */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { openTestSandbox, runStep } from "../../helpers/sandbox.ts";

let server: Server;
let sandbox: Sandbox;
let port: number;
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
  sandbox = openTestSandbox([`127.0.0.1:${port}`]);
});
afterAll(async () => {
  server.close();
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
