/**
 * Goal: what was read from an outside source saves questions, bridges a source that is away, and is over in time, at once when
 * the source says so; a source that is away keeps few runs waiting. The source is a local server that speaks KV version 2 as
 * documented, over real connections.
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { createSources } from "../../../vault/sources/kv-source.ts";
import { placeOf, pointer, scope, sibling, useKvWorld, value } from "./kv-world.ts";

const world = useKvWorld();

describe("the token of an outside source", () => {
  test("is read anew at each call, so that it can be renewed", async () => {
    const sources = await world.open({}, { ageMsMax: 0 });
    await writeFile(join(world.folder, "token"), "hvs.expired");
    expect(await world.failure(sources)).toMatchObject({ code: "ERR_SECRET_SOURCE_DENIED" });
    await writeFile(join(world.folder, "token"), world.kv.token);
    await expect(sources.read(pointer, scope)).resolves.toBe(value);
  });

  test.each([
    ["is not there", undefined, /its tokenFile gives ENOENT$/],
    ["is empty", "\n", /its tokenFile holds no token$/],
    ["would end its header", "hvs.leaked\r\nx-vault-namespace: root", /its tokenFile holds no token$/],
    ["is a whole page", "leaked".repeat(2_000), /its tokenFile holds no token$/],
  ])("that %s is an error, also for what was read before", async (_, text, why) => {
    const sources = await world.open({}, { ageMsMax: 0 });
    await sources.read(pointer, scope);
    await rm(join(world.folder, "token"));
    if (text !== undefined) await writeFile(join(world.folder, "token"), text);
    const error = await world.failure(sources);
    expect(error).toMatchObject({ code: "ERR_SECRET_SOURCE_UNAVAILABLE", message: expect.stringMatching(why) });
    expect(world.kv.asked).toHaveLength(1);
  });
});

describe("what was read from an outside source", () => {
  test("answers for as long as it is young, and is read again after", async () => {
    const sources = await world.open({}, { ageMsMax: 300 });
    for (let run = 0; run < 5; run += 1) await sources.read(pointer, scope);
    expect(world.kv.asked).toHaveLength(1);
    world.kv.put(placeOf(scope), { api_key: "the next one" });
    await delay(400);
    await expect(sources.read(pointer, scope)).resolves.toBe("the next one");
  });

  test("is kept for each field and version apart", async () => {
    const sources = await world.open();
    world.kv.put(placeOf(scope), { api_key: "the second" });
    await expect(sources.read(pointer, scope)).resolves.toBe("the second");
    await expect(sources.read({ ...pointer, version: 1 }, scope)).resolves.toBe(value);
    await expect(sources.read({ ...pointer, version: 1, field: "other" }, scope)).resolves.toBe("another value");
  });

  test("is asked for once by all who want it at the same time, and separately for each project", async () => {
    const sources = await world.open();
    world.kv.put(placeOf(sibling), { api_key: "the sibling's" });
    const { promise, resolve } = Promise.withResolvers<void>();
    world.kv.gate = promise;
    const reads = Array.from(
      { length: 20 },
      async (_, index) => await sources.read(pointer, index < 10 ? scope : sibling),
    );
    await expect.poll(() => world.kv.asked.length).toBe(2);
    resolve();
    const expected = Array.from({ length: 20 }, (_, index) => (index < 10 ? value : "the sibling's"));
    await expect(Promise.all(reads)).resolves.toEqual(expected);
    expect(world.kv.asked).toHaveLength(2);
  });

  test("that failed is tried again by the next one", async () => {
    const sources = await world.open();
    world.kv.misbehaviour = { status: 500 };
    await Promise.all([world.failure(sources), world.failure(sources)]);
    world.kv.misbehaviour = undefined;
    await expect(sources.read(pointer, scope)).resolves.toBe(value);
    expect(world.kv.asked).toHaveLength(2);
  });

  test.each<[string, () => Promise<unknown>]>([
    ["its port is closed", async () => await world.kv.close()],
    ["it is sealed", async () => void (world.kv.misbehaviour = { status: 503 })],
    ["it is silent", async () => void (world.kv.misbehaviour = { stalls: "silent" })],
    ["it is a standby", async () => void (world.kv.misbehaviour = { status: 473 })],
    [
      "it redirects",
      async () => void (world.kv.misbehaviour = { status: 307, headers: { location: "http://127.0.0.1:1" } }),
    ],
  ])("bridges a source that is away, for a bounded time: %s", async (_, goAway) => {
    const sources = await world.open({}, { ageMsMax: 0, staleMsMax: 1_000, callMsMax: 200 });
    await sources.read(pointer, scope);
    await goAway();
    await expect(sources.read(pointer, scope)).resolves.toBe(value);
    await delay(1_100);
    expect(await world.failure(sources)).toMatchObject({ code: "ERR_SECRET_SOURCE_UNAVAILABLE" });
  });

  test.each<[string, () => void, string]>([
    ["denied", () => (world.kv.allowed = ["none"]), "ERR_SECRET_SOURCE_DENIED"],
    ["deleted", () => world.kv.remove(placeOf(scope), "deleted"), "ERR_SECRET_SOURCE_MISSING"],
    ["without the field", () => world.kv.put(placeOf(scope), {}), "ERR_SECRET_SOURCE_MISSING"],
    ["no text any more", () => world.kv.put(placeOf(scope), { api_key: 1 }), "ERR_SECRET_VALUE_INVALID"],
    ["answered with nonsense", () => (world.kv.misbehaviour = { body: "<html>" }), "ERR_SECRET_SOURCE_UNAVAILABLE"],
  ])(
    "is over at once when it is %s there, and does not come back when the source goes away",
    async (_, change, code) => {
      const sources = await world.open({}, { ageMsMax: 0 });
      await sources.read(pointer, scope);
      change();
      expect(await world.failure(sources)).toMatchObject({ code });
      world.kv.misbehaviour = { status: 503 };
      expect(await world.failure(sources)).toMatchObject({ code: "ERR_SECRET_SOURCE_UNAVAILABLE" });
    },
  );
});

describe("an outside source that is away", () => {
  test("makes a few runs wait and then none, until it is asked again", async () => {
    const sources = await world.open({}, { callMsMax: 100, pauseMs: 500, failuresMax: 3 });
    world.kv.misbehaviour = { stalls: "silent" };
    for (let run = 0; run < 3; run += 1) expect((await world.failure(sources)).message).toMatch(/no answer in 100 ms$/);
    const start = performance.now();
    for (let run = 0; run < 20; run += 1) expect((await world.failure(sources)).message).toMatch(/3 times in a row/);
    expect(performance.now() - start).toBeLessThan(400);
    expect(world.kv.asked).toHaveLength(3);
    world.kv.misbehaviour = undefined;
    await delay(600);
    await expect(sources.read(pointer, scope)).resolves.toBe(value);
  });

  test("is not feigned by a project whose own pointers fail", async () => {
    const sources = await world.open();
    world.kv.put(placeOf(sibling, "large"), { f: "x".repeat(4_200_000) });
    for (const change of [{ path: "large", field: "f" }, { path: "none" }]) {
      for (let run = 0; run < 4; run += 1) await world.failure(sources, change, sibling);
      expect((await world.failure(sources, change, sibling)).message).not.toContain("in a row");
    }
    await expect(sources.read(pointer, scope)).resolves.toBe(value);
  });
});

describe("closing the outside sources", () => {
  test("ends what is under way, and gives nothing afterwards", async () => {
    const sources = await world.open({}, { callMsMax: 30_000 });
    await sources.read({ ...pointer, field: "other" }, scope);
    world.kv.misbehaviour = { stalls: "silent" };
    const waiting = world.failure(sources);
    await expect.poll(() => world.kv.asked.length).toBe(2);
    sources.close();
    expect((await waiting).message).toMatch(/this process is stopping$/);
    world.kv.misbehaviour = undefined;
    expect((await world.failure(sources, { field: "other" })).code).toBe("ERR_SECRET_SOURCE_UNAVAILABLE");
  });
});

describe("a list of outside sources that cannot be used", () => {
  test.each([
    ["is not there", undefined, /FILE gives ENOENT$/],
    ["is no JSON", "leaked", /FILE is wrong: the whole: Invalid input: expected object/],
    ["has a certificate file without one", { caFile: "CA" }, /the caFile of corp holds no certificate$/],
    ["has no certificate file", { caFile: "/nowhere" }, /the caFile of corp gives ENOENT$/],
  ])("stops the start: it %s", async (_, content, why) => {
    const secretSourcesFile = join(world.folder, "sources.json");
    const ca = join(world.folder, "ca.pem");
    await writeFile(ca, "leaked");
    const tokenFile = join(world.folder, "token");
    const entry = {
      name: "corp",
      type: "kv2",
      address: "https://localhost",
      mount: "s",
      prefix: "{projectId}",
      tokenFile,
    };
    if (typeof content === "string") await writeFile(secretSourcesFile, content);
    if (typeof content === "object") {
      const caFile = content.caFile.replace("CA", ca);
      await writeFile(secretSourcesFile, JSON.stringify({ sources: [{ ...entry, caFile }] }));
    }
    const error: unknown = await createSources({ secretSourcesFile }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "ERR_CONFIG_INVALID", message: expect.stringMatching(why) });
    expect(inspect(error)).not.toContain("leaked");
  });
});
