/**
 * Servers and steps that use the corners of HTTP to get a sealed value past the search of answers, or a value past the
 * search of requests. Method as in sealed.test.ts.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Readable } from "node:stream";
import { StepvaultError } from "../../../protocol/error.ts";
import { readResponse } from "../../../runtime/egress/response.ts";
import { createRedactor } from "../../../redaction/redactor.ts";
import { secretPolicySchema } from "../../../protocol/secret-policy.ts";
import { SecretValue } from "../../../protocol/secret.ts";
import { prepareEgress } from "../../../worker/run-egress.ts";
import { runStep } from "../../helpers/sandbox.ts";
import { attempt, type SealedWorld, startSealedWorld } from "../../helpers/sealed.ts";

const value = "Tv9qZr7wL2x4yHpBn5Ks8Dm3";
const send = "headers: { authorization: 'Bearer ' + <<secrets.key>> }";

let world: SealedWorld;
beforeAll(async () => {
  world = await startSealedWorld();
});
afterAll(async () => await world.close());
afterEach(() => world.reset());

describe("an answer", () => {
  test("of status 205 is decompressed and searched like others, although it should have no body", async () => {
    const code = `const r = await fetch(params.approved + "/odd-status?status=205", { ${send} }); return [r.status, await r.text()]`;
    const { output } = await world.run(code, world.sealed({}, value));
    expect(output).toEqual([205, expect.not.stringContaining(value)]);
    const python = `import urllib.request
r = urllib.request.urlopen(urllib.request.Request(params["approved"] + "/odd-status?status=205", headers={"Authorization": "Bearer <<secrets.key>>"}))
return r.read().decode("latin-1")`;
    expect((await world.run(python, world.sealed({}, value), { language: "python" })).output).toBe("<[REDACTED:key]>");
  });
  test.each([206, 226])("of status %i, which is a part of one, is withheld", async (status) => {
    const call = `fetch(params.approved + "/odd-status?status=${status}", { ${send} })`;
    expect((await world.run(attempt(call), world.sealed({}, value))).output).toEqual([
      "ERR_EGRESS_FAILED",
      expect.stringContaining("a part of one"),
    ]);
  });
  test("cannot be asked for in parts by the other headers that mean it", async () => {
    const code = `return await (await fetch(params.approved, { headers: { authorization: <<secrets.key>>, "Request-Range": "bytes=0-3", "A-IM": "range" } })).json()`;
    const { output } = await world.run(code, world.sealed({}, value));
    const { headers } = output as unknown as { headers: Record<string, string> };
    expect(Object.keys(headers)).not.toEqual(expect.arrayContaining([expect.stringMatching(/^(request-range|a-im)$/)]));
  });
  test.each([
    ["upper case", "k7Qp2Zx9Lm4Tv8Rw&s3a"],
    ["entities", "k7qp2zx9"],
    ["unicode escapes", "k7qp2zx9lm4"],
    ["url", "k7qp2zx9lm4"],
  ])("spelled as %s is masked behind a placeholder that the step wrote itself", async (as, short) => {
    const code = `const bodies = []; for (const before of ["", "[REDACTED:key]", "[REDACTED"])
      bodies.push(await (await fetch(params.approved + "/spelled-behind?as=" + encodeURIComponent(${JSON.stringify(as)}), { method: "POST", body: before + <<secrets.key>> })).text()); return bodies`;
    const { output } = await world.run(code, world.sealed({}, short));
    expect(output).toEqual(["[REDACTED:key]", "[REDACTED:key][REDACTED:key]", "[REDACTED[REDACTED:key]"]);
  });
  test("has a value beyond ASCII masked in a header, as bytes of either kind", async () => {
    const umlauts = "Schlüssel-äöü-9qZr7wL2x4";
    const code = `const r = await fetch(params.approved + "/in-head-as-utf8", { ${send} }); return r.headers.get("x-echo")`;
    const { output } = await world.run(code, world.sealed({}, umlauts));
    expect(output).toBe("[REDACTED:key]");
  });
  test("of a short value gives no longer piece of it than half", async () => {
    const { output } = await world.run(
      `return await (await fetch(params.approved + "/spelled?as=the%20first%20half", { ${send} })).text()`,
      world.sealed({}, "k7Qp2Zx9"),
    );
    expect(output).not.toContain("k7Qp2");
  });
  test("that breaks off has its error masked too, as its host's name may hold the value", async () => {
    const body = Readable.from([Buffer.from("begun")]);
    const parts = readResponse(new URL("https://a.test"), body, {
      filter: undefined,
      responseBytesMax: 2,
      onError: (error) => new StepvaultError("ERR_EGRESS_FAILED", `masked: ${(error as StepvaultError).code}`),
      onEnd: () => {},
    });
    await expect(parts.next()).rejects.toThrow("masked: ERR_LIMIT_RESPONSE_BYTES");
  });
  test("that names very many encodings costs nothing", async () => {
    const server = await startSealedWorld();
    const call = `fetch(params.approved + "/coded?as=many")`;
    const before = process.memoryUsage().rss;
    const { output } = await server.run(attempt(call), server.sealed({}, value));
    await server.close();
    expect(output).toEqual(["ERR_EGRESS_FAILED", expect.stringContaining("cannot be searched")]);
    expect(process.memoryUsage().rss - before).toBeLessThan(80_000_000);
  });
});

describe("a request", () => {
  test("with a placeholder in a header's name is refused", async () => {
    const call = "fetch(params.approved, { headers: { ['x-' + <<secrets.key>>]: '1' } })";
    expect((await world.run(attempt(call), world.sealed({}, value))).output).toEqual([
      "ERR_SEALED_REFUSED",
      expect.stringContaining("name of a header"),
    ]);
  });
  test("keeps the other bytes of basic credentials, whatever they are", async () => {
    const call =
      "fetch(params.approved, { headers: { authorization: 'Basic ' + btoa('\xff\xfe:' + <<secrets.key>>) } })";
    await world.run(attempt(call), world.sealed({}, value));
    const [sent] = world.approved.take();
    expect(Buffer.from(sent!.headers["authorization"]!.slice(6), "base64").toString("latin1")).toBe(
      `\xff\xfe:${value}`,
    );
  });
  test("of large headers counts as what is sent", async () => {
    const code = `for (let i = 0; i < 5; i++) await fetch(params.approved, { headers: Object.fromEntries([1, 2, 3].map((n) => ["x-" + n, "x".repeat(5_000)])) })`;
    const result = await world.run(code, world.sealed({}, value), { limits: { uploadBytesMax: 60_000 } });
    expect(result.code).toBe("ERR_LIMIT_UPLOAD_BYTES");
  });
  test("that redirects have sent again counts each time", async () => {
    const code = `const loop = (n) => params.approved + "/redirect?status=307&to=" + encodeURIComponent(n === 0 ? "/end" : loop(n - 1));
      await fetch(loop(4), { method: "POST", body: "x".repeat(20_000) })`;
    const result = await world.run(code, world.sealed({}, value), { limits: { uploadBytesMax: 50_000 } });
    expect(result.code).toBe("ERR_LIMIT_UPLOAD_BYTES");
  });
});

describe("the search of a request", () => {
  const policy = (hosts: string[]) => secretPolicySchema.parse({ hosts });
  const find = async (text: string, secrets: SecretValue[]): Promise<readonly string[]> => {
    const redactor = createRedactor(secrets.map((secret) => ({ name: secret.name, value: secret.expose() })));
    const { egress } = prepareEgress(secrets, redactor);
    return await egress.find(Buffer.from(text), new AbortController().signal);
  };
  test("names every secret of one value, and those whose value another's holds", async () => {
    const free = new SecretValue("free", value, policy([]));
    const bound = new SecretValue("bound", value, policy(["a.test"]));
    const url = new SecretValue("database_url", `postgres://u:${value}@db/x`, policy([]));
    expect(await find(`key=${value}`, [free, bound])).toEqual(["free", "bound"]);
    expect(await find(`url=postgres://u:${value}@db/x`, [url, bound])).toEqual(["database_url", "bound"]);
  });
  test("finds pieces of a sealed value, and short ones everywhere", async () => {
    const sealed = (secret: string) =>
      new SecretValue("key", secret, secretPolicySchema.parse({ sealed: true, hosts: ["a.test"] }));
    expect(await find(`x${value.slice(0, 14)}y`, [sealed(value)])).toEqual(["key"]);
    expect(await find("abpassword1cd", [sealed("password1")])).toEqual(["key"]);
  });
  test("gives way to other work, and ends when the request is aborted", async () => {
    const secret = new SecretValue("key", value, policy([]));
    const redactor = createRedactor([{ name: "key", value }]);
    const { egress } = prepareEgress([secret], redactor);
    const abort = new AbortController();
    let turns = 0;
    const ticking = setInterval(() => ++turns === 3 && abort.abort(), 1);
    await expect(egress.find(Buffer.alloc(64 * 1024 * 1024, "ab cd "), abort.signal)).rejects.toThrow(/abort/i);
    clearInterval(ticking);
    expect(turns).toBeGreaterThanOrEqual(3);
  });
  test("goes on while a step sends small compressed pieces, with which the worker could be held up", async () => {
    const code = `const unit = Uint8Array.from(atob("H4sIAAAAAAACA+3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA"), (c) => c.charCodeAt(0));
      const body = new Uint8Array(1_000_000); for (let i = 0; i + unit.length <= body.length; i += unit.length) body.set(unit, i);
      return (await fetch(params.plain.replace("approved.test", "127.0.0.1"), { method: "POST", body }).catch((e) => e)).code`;
    let longestMs = 0;
    let last = performance.now();
    const ticking = setInterval(() => {
      longestMs = Math.max(longestMs, performance.now() - last);
      last = performance.now();
    }, 5);
    const secrets = { key: new SecretValue("key", value) };
    await runStep(world.sandbox, "javascript", `<<secrets.key>>; ${code}`, { params: world.params, secrets });
    clearInterval(ticking);
    expect(longestMs).toBeLessThan(1_500);
  });
});
