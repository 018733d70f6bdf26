/**
 * An embed key from its making to a page that uses it. Goal: a page of the key's origins starts the agent's step and follows the
 * run, over the connections that browsers allow, and no other page or step. Method: a whole Stepvault; the bundle in a context
 * that is a page to it, whose `fetch` keeps the rules of CORS: it asks first, and hides what it may not read.
 */
import vm from "node:vm";
import { build } from "esbuild";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type * as Library from "../../client/client.ts";
import { Client, Key } from "../../client/client.ts";
import { type ApiService, openApiService } from "../helpers/api.ts";

const origin = "https://shop.example";
let whole: ApiService;
let stepId: string;
/** What a server would put into the page. */
let stored: string;
let bundle: string;

beforeAll(async () => {
  whole = await openApiService({ STEPVAULT_API_CORS_ORIGINS: `${origin},https://other.example` });
  const baseUrl = whole.api.address;
  const [admin, trigger] = await Promise.all(
    (["admin", "trigger"] as const).map(async (scope) => await whole.key([scope])),
  );
  const keyOf = (text = ""): Key => new Key({ key: text, region: "us", project: whole.projectId });
  const owner = new Client(keyOf(admin), { baseUrl });
  const code = 'console.log("hello"); return params.text.length';
  const saved = await owner.steps.create({ name: "Count", step: { language: "javascript", code }, publish: true });
  stepId = saved.id;
  const agent = await owner.call("createAgent", {
    body: { kind: "agent", name: "Shop", public: true, stepIds: [stepId] },
  });
  const key = await Key.generateEmbedKey({ parent: keyOf(trigger), agentId: agent.id, origins: [origin] }, { baseUrl });
  stored = JSON.stringify(key);
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("../../client/client.ts", import.meta.url))],
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
afterAll(async () => await whole.close());

const simpleHeaders = new Set(["accept", "accept-language", "content-language"]);

/** A page's `fetch`: with its Origin, and what CORS makes of that. */
function pageFetch(from: string): Library.Fetch {
  return async (url, init) => {
    const headers = new Headers(init.headers);
    const asked = [...headers.keys()].filter((name) => !simpleHeaders.has(name));
    const preflight = await fetch(url, {
      method: "OPTIONS",
      headers: {
        origin: from,
        "access-control-request-method": init.method ?? "GET",
        "access-control-request-headers": asked.join(","),
      },
    });
    const allowed = (preflight.headers.get("access-control-allow-headers") ?? "").toLowerCase().split(/, */);
    const methods = (preflight.headers.get("access-control-allow-methods") ?? "").split(/, */);
    const isAllowed =
      preflight.ok &&
      [from, "*"].includes(preflight.headers.get("access-control-allow-origin") ?? "") &&
      asked.every((name) => allowed.includes(name)) &&
      methods.includes(init.method ?? "GET");
    if (!isAllowed) throw new TypeError("Failed to fetch");
    headers.set("origin", from);
    headers.set("sec-fetch-mode", "cors");
    return await fetch(url, { ...init, headers });
  };
}

function openPage(from = origin): Library.Client {
  const globals = { AbortController, Headers, TextDecoder, URL, clearTimeout, crypto, performance, setTimeout };
  const page = { ...globals, window: {}, document: {}, fetch: pageFetch(from) };
  const { Client, Key } = vm.runInNewContext(`${bundle}; stepvault`, page) as typeof Library;
  return new Client(new Key(JSON.parse(stored) as Library.KeyFields), { baseUrl: whole.api.address, retriesMax: 0 });
}

describe("a page with an embed key", () => {
  test("starts its agent's step and follows it to the result", async () => {
    const client = openPage();
    const stream = client.runs.stream({ step: { id: stepId }, params: { text: "four" } });
    const kinds: string[] = [];
    for await (const { kind } of stream) kinds.push(kind);
    expect([kinds[0], kinds.at(-1)]).toEqual(["started", "finished"]);
    expect(kinds).toContain("log");
    expect(await stream.result()).toMatchObject({ status: "succeeded", output: 4 });
    expect(await client.runs.submitAndWait({ step: { id: stepId }, params: { text: "" } })).toMatchObject({
      output: 0,
    });
  });

  test("goes on behind the last event that it saw", async () => {
    const client = openPage();
    const stream = client.runs.stream({ step: { id: stepId }, params: { text: "" } });
    const numbers: number[] = [];
    for await (const { seq } of stream) numbers.push(seq);
    const rest: number[] = [];
    for await (const { seq } of client.runs.stream(stream.runId, { after: 0 })) rest.push(seq);
    expect(rest).toEqual(numbers.slice(1));
  });

  test("names its conversations by the key's prefix only", async () => {
    const client = openPage();
    const job = { step: { id: stepId }, params: { text: "" } };
    const own = `${client.key.taskPrefix}one`;
    const { runId } = await client.runs.submit({ ...job, labels: { conversationId: own } });
    expect((await client.runs.get(runId)).labels).toMatchObject({ conversationId: own });
    await expect(client.runs.submit({ ...job, labels: { conversationId: "other" } })).rejects.toMatchObject({
      status: 403,
    });
  });

  test("runs no code of its own, no other step, and sees no run of others", async () => {
    const { runs, steps } = openPage();
    const code = { language: "javascript", code: "return 1" } as const;
    await expect(runs.submit({ step: code })).rejects.toMatchObject({ status: 403 });
    await expect(runs.submit({ step: { id: whole.projectId } })).rejects.toMatchObject({ name: "StepvaultApiError" });
    const { runId } = await whole.run({ step: code });
    const follow = async (): Promise<void> => {
      for await (const _ of runs.stream(runId)) break;
    };
    await expect(follow()).rejects.toMatchObject({ status: 404, code: "ERR_RUN_UNKNOWN" });
    await expect(steps.create({ name: "x", step: code })).rejects.toMatchObject({ name: "StepvaultApiError" });
  });

  test("of another origin is refused by the key, and of an origin that the API does not list by the browser", async () => {
    const job = { step: { id: stepId }, params: { text: "" } };
    await expect(openPage("https://other.example").runs.submit(job)).rejects.toMatchObject({
      name: "StepvaultApiError",
    });
    await expect(openPage("https://evil.example").runs.submit(job)).rejects.toMatchObject({
      code: "ERR_CLIENT_NETWORK",
    });
  });
});
