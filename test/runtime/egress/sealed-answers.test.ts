/**
 * What comes back from a host that got a sealed secret, and where its redirects lead: the value is masked in whatever form
 * the server sends it, and no redirect carries it off. Method as in sealed.test.ts.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  attempt,
  expectNothingOf,
  sealedValue,
  type SealedWorld,
  securityOf,
  startSealedWorld,
} from "../../helpers/sealed.ts";
import { spellingNames } from "../../helpers/upstream.ts";

let world: SealedWorld;
beforeAll(async () => {
  world = await startSealedWorld();
});
afterAll(async () => await world.close());
afterEach(() => world.reset());

/** Header bytes as Node gives them: one character each. */
const latin = (text: string): string => Buffer.from(text, "latin1").toString("latin1");

describe("an answer of an approved host", () => {
  const send = "headers: { authorization: 'Bearer ' + <<secrets.key>> }";
  test.each(spellingNames)("has the value masked, spelled as %s", async (as) => {
    const code = `const r = await fetch(params.approved + "/spelled?as=" + encodeURIComponent(${JSON.stringify(as)}), { ${send} });
      return Array.from(await r.bytes(), (b) => b.toString(16).padStart(2, "0")).join("")`;
    const ascii = "Tv9qZr7wL2x4yHpBn5Ks8Dm3";
    const result = await world.run(code, world.sealed({}, ascii));
    expect(world.approved.take()[0]!.headers["authorization"]).toBe(`Bearer ${ascii}`);
    const body = Buffer.from(result.output as string, "hex");
    expect(body.toString("latin1").replaceAll("\0", "")).toContain("[REDACTED:key]");
    expectNothingOf(ascii, [body.toString("latin1"), body.toString("utf16le")]);
  });
  test.each(["gzip", "deflate", "br", "zstd", "gzip, br"])(
    "is read and masked when it is compressed by %s",
    async (as) => {
      const code = `const r = await fetch(params.approved + "/coded?as=" + encodeURIComponent(${JSON.stringify(as)}), { ${send} }); return await r.text()`;
      expect((await world.run(code)).output).toBe("<<[REDACTED:key]>>");
    },
  );
  test("is withheld when it is compressed in a way that is not known", async () => {
    const result = await world.run(attempt(`fetch(params.approved + "/coded?as=x-unknown", { ${send} })`));
    expect(result.output).toEqual(["ERR_EGRESS_FAILED", expect.stringContaining("cannot be searched")]);
  });
  test("is masked in its head: status, headers, cookies", async () => {
    const code = `const r = await fetch(params.approved + "/in-head", { ${send} }); return [r.statusText, r.headers.get("x-echo"), r.headers.getSetCookie()]`;
    const { output } = await world.run(code, world.sealed({}, "Tv9qZr7wL2x4yHpBn5Ks8Dm3"));
    expect(output).toEqual([
      "OK [REDACTED:key]",
      "[REDACTED:key]",
      ["a=[REDACTED:key]", expect.stringContaining("[REDACTED:key]")],
    ]);
  });
  test("is masked although it comes byte by byte", async () => {
    expect(
      (await world.run(`return await (await fetch(params.approved + "/byte-by-byte", { ${send} })).text()`)).output,
    ).toBe("<[REDACTED:key]>");
  });
  test("cannot be asked for in parts, each too short to be masked", async () => {
    const code = `return await (await fetch(params.approved, { headers: { authorization: <<secrets.key>>, Range: "bytes=0-3", "If-Range": "x", "Accept-Encoding": "x-unknown" } })).json()`;
    const { output } = await world.run(code);
    const { headers } = output as unknown as { headers: Record<string, string> };
    expect(headers).not.toHaveProperty("range");
    expect(headers).not.toHaveProperty("if-range");
    expect(headers["accept-encoding"]).toBe("gzip, deflate, br, zstd");
  });
  test("arrives event by event, as the server sends them", async () => {
    const code = `const r = await fetch(params.approved + "/events", { ${send} }); const times = []; let text = "";
      for await (const chunk of r.body) { const before = text.split("\\n\\n").length; text += new TextDecoder().decode(chunk);
        if (text.split("\\n\\n").length > before) times.push(Date.now()) }
      return [text, times.at(-1) - times[0]]`;
    const { output } = await world.run(code);
    const [text, ms] = output as [string, number];
    expect(text.match(/REDACTED:key/g)).toHaveLength(3);
    expect(ms).toBeGreaterThan(500);
  });
  test("arrives while the server pauses, although it ends as the value begins", async () => {
    const code = `const r = await fetch(params.approved + "/pauses", { ${send} }); const parts = [];
      for await (const chunk of r.body) parts.push([Date.now(), new TextDecoder().decode(chunk)]);
      return parts.filter(([at]) => at < parts.at(-1)[0] - 300).map(([, text]) => text).join("")`;
    expect((await world.run(code)).output).toBe("part k");
  });
  test("that tells how the value begins, tells that: guesses are bounded by the limits of requests", async () => {
    const code = `let hit = 0; for (const c of "abkc") hit += (await fetch(params.approved + "/starts-with?p=" + c, { headers: { authorization: <<secrets.key>> } })).status === 200; return hit`;
    expect((await world.run(code)).output).toBe(1);
    expect((await world.run(code, world.sealed(), { limits: { requestsMax: 3 } })).code).toBe("ERR_LIMIT_REQUESTS");
  });
});

describe("a redirect", () => {
  const go = (to: string, more = "", status = 302): string =>
    `fetch(params.approved + "/redirect?status=${status}&to=" + encodeURIComponent(${to}), { headers: { authorization: "Bearer " + <<secrets.key>>, "x-any": <<secrets.key>>, "x-keep": "1" }, ${more} })`;
  test("within the origin carries the value on", async () => {
    const result = await world.run(attempt(go('"/next"')));
    expect(result.output).toEqual([200, expect.stringContaining('"x-keep":"1"')]);
    expect(world.approved.take().map(({ headers }) => headers["authorization"])).toEqual([
      `Bearer ${latin(sealedValue)}`,
      `Bearer ${latin(sealedValue)}`,
    ]);
    expectNothingOf(sealedValue, [result.output, result.events]);
  });
  test("to another origin drops every field that held it", async () => {
    const result = await world.run(attempt(go("params.other")));
    expect(result.output).toEqual([200, expect.any(String)]);
    const [sent] = world.other.take();
    expect(sent!.headers).toMatchObject({ "x-keep": "1" });
    for (const name of ["authorization", "x-any"]) expect(sent!.headers).not.toHaveProperty(name);
    expect(sent!.text).not.toContain("sealed_");
    expectNothingOf(sealedValue, sent);
  });
  test("that repeats the request elsewhere leaves out a body that held it", async () => {
    await world.run(
      attempt(
        `fetch(params.approved + "/redirect?status=307&to=" + encodeURIComponent(params.other), { method: "POST", body: JSON.stringify({ k: <<secrets.key>> }) })`,
      ),
    );
    expect(world.approved.take()[0]!.body).toBe(JSON.stringify({ k: sealedValue }));
    const [sent] = world.other.take();
    expect(sent).toMatchObject({ method: "POST", body: "" });
    expectNothingOf(sealedValue, sent);
  });
  test("out of the encryption is refused", async () => {
    const result = await world.run(
      attempt(go("params.plain")),
      world.sealed({ hosts: ["*.test", `approved.test:${world.approved.port}`, `approved.test:${world.plain.port}`] }),
    );
    expect(result.output).toEqual(["ERR_SEALED_REFUSED", expect.stringContaining("without encryption")]);
    expect(securityOf(result)).toMatchObject([{ reason: "redirect", secrets: ["key"] }]);
    expect(world.plain.take()).toEqual([]);
  });
  test("that carries the value off in its own address is not followed", async () => {
    const result = await world.run(attempt(go('params.other + "/?stolen=CREDENTIAL"')));
    expect(result.output).toEqual(["ERR_EGRESS_GUARD", expect.any(String)]);
    expect(securityOf(result)).toMatchObject([{ action: "blocked", reason: "host", secrets: ["key"] }]);
    expect(world.other.take()).toEqual([]);
    expectNothingOf(sealedValue, [result.output, result.events]);
  });
  test.each([
    "https://CREDENTIAL.test/",
    "https://CREDENTIAL.approved.test:1/",
    "https://CREDENTIAL@other.test/",
    "credential-CREDENTIAL:x",
  ])("to %s is told without the value that its address has become", async (to) => {
    const ascii = "Tv9qZr7wL2x4yHpBn5Ks8Dm3";
    const result = await world.run(attempt(go(JSON.stringify(to))), world.sealed({}, ascii));
    expect(result.output).toEqual([expect.stringMatching(/^ERR_(EGRESS|SEALED)_/), expect.any(String)]);
    const said = JSON.stringify([result.output, result.events]).toLowerCase();
    expect(said).not.toContain(ascii.toLowerCase());
  });
  test("within the origin that carries it in its address shows the step that address masked", async () => {
    const ascii = "Tv9qZr7wL2x4yHpBn5Ks8Dm3";
    const code = `return (await ${go('"/next?k=CREDENTIAL"')}).url`;
    const result = await world.run(code, world.sealed({}, ascii));
    expect(world.approved.take().map(({ url }) => url)).toContain(`/next?k=${ascii}`);
    expect(result.output).toMatch(/\/next\?k=\[REDACTED:key\]$/);
    expectNothingOf(ascii, result.events);
  });
  test("that is handed to the step has its address masked", async () => {
    const code = `const r = await ${go('params.other + "/?stolen=CREDENTIAL"', 'redirect: "manual"')}; return r.headers.get("location")`;
    const { output } = await world.run(code);
    expect(output).toMatch(/stolen=\[REDACTED:key\]$/);
  });
});
