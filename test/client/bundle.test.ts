/**
 * The client library outside Node. Goal: it needs the web's own APIs and nothing else, so that it runs in browsers, Deno
 * and Bun, and it knows a browser when it is in one. Method: esbuild bundles it for browsers, and the bundle runs in a
 * context of node:vm that has only what is put there, with a real server on loopback; TypeScript checks it with the web's
 * types and without Node's. No browser itself runs here: browser.test.ts.
 */
import { execFile } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import vm from "node:vm";
import { build } from "esbuild";
import { beforeAll, describe, expect, test } from "vitest";
import type * as Library from "../../client/client.ts";
import { begin, eventOf, finishedOf, numbersOf } from "./events.ts";
import { agentId, embedKey, json, project, serverKey, startServer, taskPrefix } from "./server.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const entry = path.join(root, "client/client.ts");
/** Everything beyond the language that the library uses. */
const web = {
  AbortController,
  Headers,
  TextDecoder,
  URL,
  clearTimeout,
  crypto,
  fetch,
  performance,
  setTimeout,
};
const bytesMax = 30_720;

let bundle = "";
beforeAll(async () => {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    platform: "browser",
    target: "es2022",
    format: "iife",
    globalName: "stepvault",
  });
  bundle = outputFiles[0]?.text ?? "";
});

function load(globals: object): typeof Library {
  return vm.runInNewContext(`${bundle}; stepvault`, { ...globals }) as typeof Library;
}

describe("the library", () => {
  test("bundles for browsers without anything of Node, in few bytes", () => {
    expect(bundle).not.toMatch(/node:|\brequire\b|\bBuffer\b|\bprocess\.env\b/);
    expect(Buffer.byteLength(bundle)).toBeLessThan(bytesMax);
    expect(Buffer.byteLength(bundle)).toBeGreaterThan(bytesMax / 4);
  });

  test("works in a context that has nothing but the web's APIs", async () => {
    const answer = { embed_key: embedKey, conversation_prefix: taskPrefix };
    const server = await startServer((response, number) => json(response, answer, number === 1 ? 503 : 200));
    const { Client, createClient, Key } = load(web);
    const baseUrl = server.url;
    const client = createClient({ apiKey: serverKey, region: "eu", project, baseUrl });
    expect((await client.request({ path: "/v1/x" })).body).toEqual(answer);
    const made = await Key.generateEmbedKey({ parent: client.key, agentId }, { baseUrl });
    const restored = new Key(JSON.parse(JSON.stringify(made)) as Library.KeyFields);
    await new Client(restored, { baseUrl }).request({ method: "POST", path: "/v1/runs", body: {} });
    await expect(client.request({ path: "//x" })).rejects.toMatchObject({ code: "ERR_CLIENT_REQUEST" });
    expect(server.arrived.map(({ headers }) => headers.authorization?.slice(-49))).toEqual(
      [serverKey, serverKey, serverKey, embedKey].map((key) => key.slice(-49)),
    );
  });

  test("submits and follows a run in such a context, over a break", async () => {
    const server = await startServer((response, _, { method, headers, body }) => {
      if (method === "POST") return json(response, { ...(JSON.parse(body) as object), result: null }, 202);
      const { runId } = stream;
      const events = [
        { ...eventOf(0), runId },
        { ...finishedOf(1), runId },
      ];
      if (headers["last-event-id"] === undefined) return begin(response, events.slice(0, 1)).end();
      return begin(response, events.slice(1));
    });
    const { createClient } = load(web);
    const { runs } = createClient({ apiKey: serverKey, region: "eu", project, baseUrl: server.url });
    const stream = runs.stream({ step: { id: agentId } });
    expect(await numbersOf(stream)).toEqual([0, 1]);
    expect(server.arrived.map(({ method }) => method)).toEqual(["POST", "GET", "GET"]);
  });

  test("checks with the web's types alone", async () => {
    const tsc = path.join(root, "node_modules/typescript/bin/tsc");
    const options = [
      "--ignoreConfig",
      "--noEmit",
      "--strict",
      "--target",
      "es2022",
      "--lib",
      "es2022,dom,dom.iterable",
    ];
    const modules = ["--module", "nodenext", "--types", "", "--allowImportingTsExtensions"];
    const { stdout } = await promisify(execFile)(process.execPath, [tsc, ...options, ...modules, entry], { cwd: root });
    expect(stdout).toBe("");
  });
});

describe("an sk- key", () => {
  const page = { window: {}, document: {} };
  const places: [string, object, "refused" | "taken"][] = [
    ["a page", page, "refused"],
    ["a web worker", { importScripts: () => undefined }, "refused"],
    ["a page whose bundler brings a process", { ...page, process: { versions: { node: "26.0.0" } } }, "refused"],
    ["a window of Electron", { ...page, process: like(process, { type: "renderer" }) }, "refused"],
    ["Node with a document, as in tests", { ...page, process }, "taken"],
    ["Deno with a window", { ...page, Deno: { version: { deno: "2.9.6" } } }, "taken"],
    ["Bun with a document", { ...page, Bun: { version: "1.4.5" } }, "taken"],
    ["a server without a document", {}, "taken"],
  ];

  test.each(places)("requirement 38: in %s", async (_, globals, expected) => {
    const { createClient, Key } = load({ ...web, ...globals });
    const fields = { key: serverKey, region: "eu", project } as const;
    const tries = [
      () => new Key(fields),
      () => createClient({ apiKey: serverKey, region: "eu", project }),
      // What is stored with a key grants nothing.
      () => new Key(JSON.parse(JSON.stringify({ ...fields, dangerouslyAllowBrowser: true })) as Library.KeyFields),
      () => new Key(fields, { dangerouslyAllowBrowser: "yes" as unknown as boolean }),
    ];
    const codes = tries.map((attempt) => {
      try {
        attempt();
        return "taken";
      } catch (error) {
        return (error as { code?: string }).code;
      }
    });
    expect(codes).toEqual(tries.map(() => (expected === "taken" ? "taken" : "ERR_KEY_BROWSER")));
  });

  test("requirement 38: is taken in a page by an option that is called dangerous, and an embed key without", () => {
    const { createClient, Key } = load({ ...web, ...page });
    const options = { dangerouslyAllowBrowser: true };
    const client = createClient({ apiKey: serverKey, region: "eu", project, ...options });
    expect(client.key.isEmbed()).toBe(false);
    const key = new Key({ key: embedKey, region: "eu", project, agentId, taskPrefix });
    expect(key.isEmbed()).toBe(true);
  });
});

/** The real process with something more, which is still Node's to whoever asks what it is. */
function like(one: object, more: object): object {
  return Object.assign(Object.create(one) as object, more);
}
