/**
 * Goal: a pointer of a project gives the value that is in the outside source or the reason why not; never another project's,
 * and never with a word of value or token. The source is a local server that speaks KV version 2 as documented, over real
 * connections.
 */
import { writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { createSources } from "../../../vault/sources/kv-source.ts";
import { type Misbehaviour, startKv2 } from "../../helpers/kv2.ts";
import { testCaFile } from "../../helpers/upstream.ts";
import { placeOf, pointer, scope, sibling, useKvWorld, value } from "./kv-world.ts";

const world = useKvWorld();

describe("a pointer to an outside source", () => {
  test("gives the field below the project's own prefix, and sends the token in a header only", async () => {
    const sources = await world.open();
    await expect(sources.read(pointer, scope)).resolves.toBe(value);
    expect(world.kv.asked).toEqual([`/v1/${placeOf(scope)}`]);
    expect(world.kv.headers).toMatchObject({ "x-vault-token": world.kv.token, "x-vault-request": "true" });
    expect(world.kv.headers).not.toHaveProperty("x-vault-namespace");
  });

  test("asks in the operator's namespace and mount, for the version that it names", async () => {
    const place = `team/a/kv/prod/data/${scope.projectId}/team/stripe`;
    world.kv.put(place, { api_key: "first" });
    world.kv.put(place, { api_key: "second" });
    const sources = await world.open({ namespace: "team/a", mount: "kv/prod", prefix: "{projectId}" });
    await expect(sources.read(pointer, scope)).resolves.toBe("second");
    await expect(sources.read({ ...pointer, version: 1 }, scope)).resolves.toBe("first");
    expect(world.kv.asked.at(-1)).toBe(`/v1/kv/prod/data/${scope.projectId}/team/stripe?version=1`);
    expect(await world.failure(sources, { version: 3 })).toMatchObject({ code: "ERR_SECRET_SOURCE_MISSING" });
  });

  test.each([
    "../SIBLING/team/stripe",
    "..%2fSIBLING/team/stripe",
    "%2e%2e/SIBLING/team/stripe",
    "a/../../SIBLING/team/stripe",
    "../../../../metadata/stepvault/team/stripe",
    "../../../../../other/data/team/stripe",
    "team/stripe?version=1",
    "../../../../../sys/mounts",
  ])("cannot leave the project's part: %s", async (path) => {
    world.kv.put(placeOf(sibling), { api_key: value });
    world.kv.put("other/data/team/stripe", { api_key: value });
    const error = await world.failure(await world.open(), { path: path.replace("SIBLING", sibling.projectId) });
    expect(error).toMatchObject({ code: "ERR_SECRET_SOURCE_INVALID", fault: "user" });
    expect(world.kv.asked).toEqual([]);
  });

  test("cannot leave it by an id that is none", async () => {
    const sources = await world.open();
    world.kv.put(placeOf(sibling), { api_key: value });
    const projectId = `x/../${sibling.projectId}`;
    expect(await world.failure(sources, {}, { ...scope, projectId })).toMatchObject({ code: "ERR_PROJECT_UNKNOWN" });
    expect(await world.failure(sources, {}, { ...scope, organizationId: ".." })).toMatchObject({
      code: "ERR_ORGANIZATION_UNKNOWN",
    });
    expect(world.kv.asked).toEqual([]);
  });

  test("gives no project what another one read, also from what is kept and while the source is away", async () => {
    const sources = await world.open({}, { ageMsMax: 60_000 });
    await sources.read(pointer, scope);
    expect(await world.failure(sources, {}, sibling)).toMatchObject({ code: "ERR_SECRET_SOURCE_MISSING" });
    world.kv.put(placeOf(sibling), { api_key: "the sibling's" });
    await expect(sources.read(pointer, sibling)).resolves.toBe("the sibling's");
    await expect(sources.read(pointer, scope)).resolves.toBe(value);
    world.kv.misbehaviour = { status: 503 };
    const third = { ...scope, projectId: createId() };
    expect(await world.failure(sources, {}, third)).toMatchObject({ code: "ERR_SECRET_SOURCE_UNAVAILABLE" });
  });

  test("to a shared source is kept for each project and organization apart", async () => {
    world.kv.put("secret/data/team/stripe", { api_key: value });
    const sources = await world.open({ prefix: "", shared: true });
    const others = [scope, sibling, { ...scope, organizationId: createId() }];
    for (const where of [...others, ...others]) await expect(sources.read(pointer, where)).resolves.toBe(value);
    expect(world.kv.asked).toHaveLength(3);
  });

  test("to a source that is not listed is an error, and so is any without a list", async () => {
    const unknown = { code: "ERR_SECRET_SOURCE_UNKNOWN", fault: "user" };
    expect(await world.failure(await world.open(), { source: "prod" })).toMatchObject(unknown);
    expect(await world.failure(await createSources({ secretSourcesFile: undefined }))).toMatchObject(unknown);
  });

  test("can be checked without asking the source", async () => {
    const sources = await world.open();
    expect(sources.check(pointer)).toBeUndefined();
    const wrong = { ...pointer, path: "../x" };
    expect(() => sources.check(wrong)).toThrow(expect.objectContaining({ code: "ERR_SECRET_SOURCE_INVALID" }));
    const unlisted = { ...pointer, source: "prod" };
    expect(() => sources.check(unlisted)).toThrow(expect.objectContaining({ code: "ERR_SECRET_SOURCE_UNKNOWN" }));
    expect(world.kv.asked).toEqual([]);
  });
});

describe("what an outside source answers", () => {
  test.each([
    [
      "no such path",
      {},
      { path: "team/none" },
      "ERR_SECRET_SOURCE_MISSING",
      /from the secret source corp: nothing is there$/,
    ],
    [
      "no such version",
      {},
      { version: 9 },
      "ERR_SECRET_SOURCE_MISSING",
      /read version 9 of team\/stripe .* or not this version$/,
    ],
    ["no such field", {}, { field: "none" }, "ERR_SECRET_SOURCE_MISSING", /there without this field$/],
    ["a field of every object", {}, { field: "constructor" }, "ERR_SECRET_SOURCE_MISSING", /without this field$/],
    ["an empty field", { f: "" }, { field: "f" }, "ERR_SECRET_VALUE_INVALID", /0 bytes, 1 to 65536 are allowed$/],
    ["a long field", { f: "é".repeat(32_769) }, { field: "f" }, "ERR_SECRET_VALUE_INVALID", /65538 bytes/],
    ["a number", { f: 7 }, { field: "f" }, "ERR_SECRET_VALUE_INVALID", /no Unicode text$/],
    ["an object", { f: { a: "leaked" } }, { field: "f" }, "ERR_SECRET_VALUE_INVALID", /no Unicode text$/],
    ["half a character", { f: "leaked\ud800" }, { field: "f" }, "ERR_SECRET_VALUE_INVALID", /no Unicode text$/],
  ])("is told apart: %s", async (_, fields, change, code, why) => {
    if (Object.keys(fields).length > 0) world.kv.put(placeOf(scope), fields);
    const error = await world.failure(await world.open(), change);
    expect(error).toMatchObject({ code, fault: "user", message: expect.stringMatching(why) });
  });

  test("may be a value of the largest size, in as many bytes as JSON can make of it", async () => {
    const largest = "\u0001".repeat(65_536);
    world.kv.put(placeOf(scope), { api_key: largest, padding: "x".repeat(900_000) });
    await expect((await world.open()).read(pointer, scope)).resolves.toBe(largest);
  });

  test.each(["deleted", "destroyed"] as const)("tells a version that was %s from one that never was", async (how) => {
    world.kv.remove(placeOf(scope), how);
    const error = await world.failure(await world.open(), { version: 1 });
    expect(error.code).toBe("ERR_SECRET_SOURCE_MISSING");
    expect(error.message).toMatch(new RegExp(`version 1 of team/stripe .*: this version was ${how} there$`));
  });

  test("may be a version that is to be deleted later", async () => {
    world.kv.put(placeOf(scope), { api_key: "until tomorrow" }, new Date(Date.now() + 86_400_000).toISOString());
    await expect((await world.open()).read(pointer, scope)).resolves.toBe("until tomorrow");
  });

  const denied = "ERR_SECRET_SOURCE_DENIED";
  const unavailable = "ERR_SECRET_SOURCE_UNAVAILABLE";
  const json = (body: object): string => JSON.stringify(body);
  const v1 = { data: { api_key: "leaked" } };
  const firstVersion = { data: { data: { api_key: "leaked \xff" }, metadata: { version: 1 } } };
  const otherVersion = { data: { data: { api_key: "leaked" }, metadata: { version: 2 } } };
  test.each<[string, Misbehaviour, string, RegExp]>([
    ["403", { status: 403, body: json({ errors: ["leaked"] }) }, denied, /answers 403: the token/],
    ["sealed", { status: 503, body: json({ errors: ["Vault is sealed"] }) }, unavailable, /it is sealed$/],
    ["maintenance", { status: 503, body: "<html>leaked" }, unavailable, /it answers 503$/],
    ["standby", { status: 429 }, unavailable, /answers 429: a standby/],
    ["disaster recovery", { status: 472 }, unavailable, /answers 472: a standby/],
    ["performance standby", { status: 473 }, unavailable, /answers 473: a standby/],
    ["not initialized", { status: 501 }, unavailable, /answers 501$/],
    ["bad request", { status: 400, body: json({ errors: ["leaked"] }) }, unavailable, /answers 400$/],
    ["no JSON", { body: "leaked" }, unavailable, /none of KV version 2/],
    ["no UTF-8", { body: Buffer.from(json(firstVersion), "latin1") }, unavailable, /none of KV version 2/],
    ["no version", { body: json({ data: { data: { api_key: "leaked" } } }) }, unavailable, /none of KV version 2/],
    ["KV version 1", { body: json(v1) }, unavailable, /none of KV version 2/],
    ["another version", { body: json(otherVersion) }, unavailable, /answers with version 2$/],
    ["too much", { body: Buffer.alloc(4_194_305, " ") }, unavailable, /more than 4194304 bytes$/],
    ["nesting without end", { body: "[".repeat(1_000_000) }, unavailable, /none of KV version 2/],
    ["cut short", { headers: { "content-length": "9" }, body: "" }, unavailable, /cannot be reached|no answer/],
  ])("is told apart by its status and shape: %s", async (_, misbehaviour, code, why) => {
    const sources = await world.open();
    world.kv.misbehaviour = misbehaviour;
    const error = await world.failure(sources, { version: 1 });
    expect(error).toMatchObject({ code, fault: "system", message: expect.stringMatching(why) });
    expect(error.message).toContain("Cannot read version 1 of team/stripe from the secret source corp: ");
  });

  test("is not followed to another server, which would get the token", async () => {
    const trap = await startKv2();
    world.opened.push(trap);
    const sources = await world.open();
    for (const status of [301, 302, 307, 308]) {
      world.kv.misbehaviour = { status, headers: { location: `${trap.address}/v1/${placeOf(scope)}` } };
      expect((await world.failure(sources)).message).toMatch(/redirects are not followed|in a row/);
    }
    expect(trap.asked).toEqual([]);
  });

  test.each(["silent", "drips"] as const)("is waited for no longer than allowed when it %s", async (stalls) => {
    const sources = await world.open({}, { callMsMax: 200 });
    world.kv.misbehaviour = { stalls };
    const start = performance.now();
    expect((await world.failure(sources)).message).toMatch(/no answer in 200 ms$/);
    expect(performance.now() - start).toBeLessThan(2_000);
  });

  test("is had only from a server whose certificate is right, whatever the environment says", async () => {
    const tls = await startKv2({ tls: true });
    world.opened.push(tls);
    tls.put(placeOf(scope), { api_key: value });
    await writeFile(join(world.folder, "token"), tls.token);
    await expect((await world.open({ address: tls.address, caFile: testCaFile })).read(pointer, scope)).resolves.toBe(
      value,
    );
    const before = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      tls.asked.length = 0;
      const public_ = await world.failure(await world.open({ address: tls.address }));
      expect(public_.message).toMatch(/cannot be reached: (UNABLE_TO_VERIFY|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_GET)/);
      const address = tls.address.replace("127.0.0.1", "[::ffff:127.0.0.1]");
      expect((await world.failure(await world.open({ address, caFile: testCaFile }))).message).toMatch(
        /ERR_TLS_CERT_ALTNAME/,
      );
      expect(tls.asked).toEqual([]);
    } finally {
      if (before === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
      else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = before;
    }
  });

  test("may take longer than a connection may", async () => {
    const sources = await world.open({}, { connectMsMax: 100, callMsMax: 10_000 });
    world.kv.gate = delay(300);
    await expect(sources.read(pointer, scope)).resolves.toBe(value);
  });

  test("is not waited for when there is no handshake", async () => {
    const deaf = createServer(() => {});
    await new Promise<void>((resolve) => deaf.listen(0, "127.0.0.1", resolve));
    world.opened.push(deaf);
    const address = `https://127.0.0.1:${(deaf.address() as AddressInfo).port}`;
    const sources = await world.open({ address }, { connectMsMax: 200, callMsMax: 30_000 });
    expect((await world.failure(sources)).message).toMatch(/no connection in 200 ms$/);
  });
});
