/**
 * Sealed secrets, from steps in real hosts against real servers with TLS on loopback. Goal: the value arrives where the
 * policy allows it, in the encoding of its place, and nowhere else; the step never gets it, whatever an approved server
 * does with it. Method: a server that keeps what arrives and echoes it in every way, a second one that is allowed by the
 * network policy and not by the secret's, and a search of all that the step said.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { SecretPolicyInput } from "../../../protocol/secret-policy.ts";
import {
  attempt,
  expectNothingOf,
  sealedValue,
  type SealedWorld,
  securityOf,
  startSealedWorld,
} from "../../helpers/sealed.ts";
import type { Upstream } from "../../helpers/upstream.ts";

let world: SealedWorld;
beforeAll(async () => {
  world = await startSealedWorld();
});
afterAll(async () => await world.close());
afterEach(() => world.reset());

const placeholder = /^sealed_[0-9a-f]{32}$/;

describe("what the step holds", () => {
  test("is a placeholder, of another value in each run and nothing of the secret's", async () => {
    const both = await Promise.all([world.run("return <<secrets.key>>"), world.run("return '<<secrets.key>>'")]);
    expect(both[0].output).toMatch(placeholder);
    expect(both[1].output).toMatch(placeholder);
    expect(both[0].output).not.toBe(both[1].output);
    const python = await world.run("return '<<secrets.key>>'", world.sealed(), { language: "python" });
    expect(python.output).toMatch(placeholder);
  });
  test("is sent as it is when it is forged, or of an earlier run", async () => {
    const old = (await world.run("return <<secrets.key>>")).output;
    const code = `const forged = <<secrets.key>>.replace(/.$/, (c) => (c === "0" ? "1" : "0"));
      for (const key of [forged, params.old]) await fetch(params.approved + "/", { headers: { "x-api-key": key } });`;
    const { code: failure } = await world.run(code, world.sealed(), { params: { ...world.params, old } as never });
    expect(failure).toBeUndefined();
    const sent = world.approved.take().map(({ headers }) => headers["x-api-key"]);
    expect(sent).toEqual([expect.stringMatching(placeholder), old]);
  });
});

describe("an approved host gets the value", () => {
  const url = new URLSearchParams([["", sealedValue]]).toString().slice(1);
  const places: [
    title: string,
    code: string,
    where: (text: ReturnType<Upstream["take"]>[0]) => unknown,
    what: unknown,
  ][] = [
    [
      "in a bearer header",
      "headers: { authorization: `Bearer ${k}` }",
      ({ headers }) => headers["authorization"],
      `Bearer ${latin(sealedValue)}`,
    ],
    ["in a header of its own", "headers: { 'X-Any': k }", ({ headers }) => headers["x-any"], latin(sealedValue)],
    [
      "as a basic password",
      "headers: { authorization: 'Basic ' + btoa('me:' + k) }",
      ({ headers }) => basic(headers),
      `me:${sealedValue}`,
    ],
    [
      "as a basic user",
      "headers: { authorization: 'basic ' + btoa(k + ':') }",
      ({ headers }) => basic(headers),
      `${sealedValue}:`,
    ],
    [
      "in the query",
      "search: '?a=1&key=' + k",
      (one) => new URL(one.url, "http://x").searchParams.get("key"),
      sealedValue,
    ],
    [
      "in the path",
      "path: '/bot' + k + '/send'",
      ({ url: sent }) => decodeURIComponent(sent),
      `/bot${sealedValue}/send`,
    ],
    [
      "in a form",
      "method: 'POST', body: new URLSearchParams({ a: 'ä', key: k })",
      ({ body }) => new URLSearchParams(body).get("key"),
      sealedValue,
    ],
    [
      "in a JSON body",
      "method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ a: { key: `x${k}y` } })",
      ({ body }) => (JSON.parse(body) as { a: { key: string } }).a.key,
      `x${sealedValue}y`,
    ],
    [
      "in JSON that is sent as text",
      "method: 'POST', body: JSON.stringify([k])",
      ({ body }) => JSON.parse(body),
      [sealedValue],
    ],
    ["in plain text", "method: 'POST', body: `ü ${k}.`", ({ body }) => body, `ü ${sealedValue}.`],
    [
      "in XML",
      "method: 'POST', headers: { 'content-type': 'text/xml; charset=utf-8' }, body: `<k>${k}</k>`",
      ({ body }) => body.replaceAll(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code))),
      `<k>${sealedValue}</k>`,
    ],
  ];
  test.each(places)("%s", async (_, options, where, what) => {
    const code = `const k = <<secrets.key>>; const { path = "/", search = "", ...init } = { ${options} };
      return await (await fetch(params.approved + path + search, init)).text()`;
    const result = await world.run(code);
    expect(result.code).toBeUndefined();
    expect(where(world.approved.take()[0]!)).toEqual(what);
    expectNothingOf(sealedValue, [result.output, result.events]);
    expect(url).not.toBe(sealedValue);
  });
  test("in a multipart form, unless its parts could be confused by it", async () => {
    const code = `const form = new FormData(); form.append("key", <<secrets.key>>);
      try { return (await fetch(params.approved, { method: "POST", body: form })).status } catch (e) { return e.code }`;
    expect((await world.run(code, world.sealed({}, "plain-value-0123"))).output).toBe(200);
    expect(world.approved.take()[0]!.body).toContain("\r\n\r\nplain-value-0123\r\n");
    expect((await world.run(code)).output).toBe("ERR_SEALED_REFUSED");
    expect(world.approved.take()).toEqual([]);
  });
  test.each([
    [
      "urllib, header",
      'import urllib.request\nr = urllib.request.Request(params["approved"] + "/", headers={"Authorization": "Bearer <<secrets.key>>"})\nreturn urllib.request.urlopen(r).read().decode()',
    ],
    [
      "urllib, JSON without a type",
      'import json, urllib.request\nreturn urllib.request.urlopen(params["approved"], json.dumps({"k": <<secrets.key>>}).encode()).read().decode()',
    ],
    [
      "http.client",
      'import http.client\nfrom urllib.parse import urlsplit\nc = http.client.HTTPSConnection(urlsplit(params["approved"]).netloc)\nc.request("GET", "/", headers={"X-Api-Key": <<secrets.key>>})\nreturn c.getresponse().read().decode()',
    ],
    [
      "pyfetch",
      'import pyodide.http\nreturn await (await pyodide.http.pyfetch(params["approved"] + "/?k=<<secrets.key>>")).string()',
    ],
  ])("from Python: %s", async (_, code) => {
    const result = await world.run(code, world.sealed({}, "value-of-ascii/+=&"), { language: "python" });
    expect(result.code).toBeUndefined();
    const [sent] = world.approved.take();
    expect(decodeURIComponent(sent!.text)).toContain("value-of-ascii/+=&");
    expect(result.output).toContain("[REDACTED:key]");
    expectNothingOf("value-of-ascii/+=&", [result.output, result.events]);
  });
  test("and the request's record names the secret and shows no value", async () => {
    const result = await world.run("await fetch(params.approved + '/?key=' + <<secrets.key>>)");
    const record = result.events.find(({ kind }) => kind === "request");
    expect(record).toMatchObject({ secrets: ["key"], status: 200, path: expect.stringMatching(/^\/\?key=sealed_/) });
    expect(securityOf(result)).toEqual([]);
  });
});

/** Header bytes as Node gives them: the value's UTF-16 letters are one byte each. */
function latin(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}

function basic(headers: Record<string, string>): string {
  return Buffer.from(headers["authorization"]!.slice(6), "base64").toString();
}

describe("is refused before anything leaves, with a security event,", () => {
  const cases: [title: string, call: string, reason: string, policy?: Partial<SecretPolicyInput>][] = [
    [
      "to a host that is not the secret's",
      "fetch(params.other, { headers: { authorization: 'Bearer ' + <<secrets.key>> } })",
      "host",
    ],
    [
      "to another port of its host",
      "fetch('https://approved.test/', { headers: { 'x-api-key': <<secrets.key>> } })",
      "host",
    ],
    [
      "by a method that is not allowed",
      "fetch(params.approved, { method: 'DELETE', headers: { 'x-api-key': <<secrets.key>> } })",
      "host",
      { hosts: ["GET approved.test", "GET *.test"] },
    ],
    [
      "without encryption",
      "fetch('http://public.test/', { headers: { 'x-api-key': <<secrets.key>> } })",
      "transport",
      { hosts: ["public.test"] },
    ],
    ["as a host", "fetch('https://' + <<secrets.key>> + '.test/')", "place"],
    ["as a host in capitals", "fetch('https://' + <<secrets.key>>.toUpperCase() + '.test/')", "place"],
    [
      "in a header that is not allowed",
      "fetch(params.approved, { headers: { 'user-agent': <<secrets.key>> } })",
      "place",
      { places: {} },
    ],
    [
      "in the query when that is not allowed",
      "fetch(params.approved + '?k=' + <<secrets.key>>)",
      "place",
      { places: {} },
    ],
    ["in the path when that is not allowed", "fetch(params.approved + '/' + <<secrets.key>>)", "place", { places: {} }],
    [
      "in the body when that is not allowed",
      "fetch(params.approved, { method: 'POST', body: <<secrets.key>> })",
      "place",
      { places: {} },
    ],
    [
      "as a password when that is not allowed",
      "fetch(params.approved, { headers: { authorization: 'Basic ' + btoa('a:' + <<secrets.key>>) } })",
      "place",
      { places: { basic: false } },
    ],
    [
      "in a body of unknown kind",
      "fetch(params.approved, { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: <<secrets.key>> })",
      "place",
    ],
  ];
  test.each(cases)("%s", async (_, call, reason, policy) => {
    const hosts = policy?.hosts ?? [`approved.test:${world.approved.port}`];
    const secret = world.sealed({
      ...policy,
      hosts: hosts.map((host) => (host === "GET approved.test" ? `GET approved.test:${world.approved.port}` : host)),
    });
    const result = await world.run(attempt(call), secret);
    expect(result.output).toEqual(["ERR_SEALED_REFUSED", expect.stringContaining("the sealed secret key")]);
    expect(securityOf(result)).toEqual([expect.objectContaining({ action: "blocked", reason, secrets: ["key"] })]);
    expect([...world.approved.take(), ...world.other.take()]).toEqual([]);
    expectNothingOf(sealedValue, [result.output, result.events]);
  });
  test.each(["a\r\nx-evil: 1 and so on", "nul\0inside-it", "euro-€-0123456"])(
    "in a header, of a value that cannot stand there",
    async (odd) => {
      const result = await world.run(
        attempt("fetch(params.approved, { headers: { 'x-a': <<secrets.key>> } })"),
        world.sealed({}, odd),
      );
      expect(result.output).toEqual([
        "ERR_SEALED_REFUSED",
        expect.stringContaining("characters that cannot stand in the header x-a"),
      ]);
      expect(world.approved.take()).toEqual([]);
      expectNothingOf(odd, result.output);
    },
  );
  test.each([
    ["to another host", "params.other + '/'", []],
    ["without encryption", "'http://public.test/'", ["public.test"]],
  ])("%s, also as a value that the step has from elsewhere", async (_, to, more) => {
    const ascii = "Tv9qZr7wL2x4yHpBn5Ks8Dm3";
    const secret = world.sealed({ hosts: [`approved.test:${world.approved.port}`, ...more] }, ascii);
    const call = `fetch(${to} + "?k=" + params.known + (<<secrets.key>> && ""))`;
    const result = await world.run(attempt(call), secret, { params: { ...world.params, known: ascii } });
    expect(result.output).toEqual(["ERR_EGRESS_GUARD", expect.any(String)]);
    expect(securityOf(result)).toMatchObject([{ action: "blocked", secrets: ["key"] }]);
    expect(world.other.take()).toEqual([]);
  });
  test("however the placeholder itself is disguised: what arrives is not the value", async () => {
    const code = `const k = <<secrets.key>>; const codes = [btoa(k), encodeURIComponent(k).replaceAll("s", "%73"), [...k].reverse().join("")];
      for (const text of codes) await fetch(params.other + "/?q=" + text, { method: "POST", body: text });`;
    expect((await world.run(code)).code).toBeUndefined();
    for (const { text } of world.other.take()) expectNothingOf(sealedValue, decodeURIComponent(text));
  });
});
