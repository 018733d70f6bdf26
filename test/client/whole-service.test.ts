/**
 * The client library against a whole Stepvault. Goal: what the helpers give is what the API does, and a run is submitted once
 * and followed without a gap while connections are cut and the API is restarted. Method: database, queue, worker and API as they
 * are, and a proxy on loopback that cuts.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import type { Api, ListId, OperationId, RunStream } from "../../client/client.ts";
import { Client, Key, type TransportOptions } from "../../client/client.ts";
import { operations } from "../../client/operations.ts";
import { openApi, type OpenApi } from "../../cli/serve.ts";
import { type ApiService, openApiService } from "../helpers/api.ts";
import { upTo } from "./events.ts";
import { type Proxy, startProxy } from "./proxy.ts";

let whole: ApiService;
let key: Key;
beforeAll(async () => {
  whole = await openApiService();
  key = new Key({ key: await whole.key(["admin"]), region: "us", project: whole.projectId });
});
afterAll(async () => await whole.close());

const client = (baseUrl = whole.api.address, options: TransportOptions = {}): Client =>
  new Client(key, { baseUrl, ...options });
const javascript = (code: string): { readonly language: "javascript"; readonly code: string } => ({
  language: "javascript",
  code,
});
/** Prints so many lines, some milliseconds apart. */
const printing = (lines: number, ms: number): Api.RunInput => ({
  step: javascript(
    `for (let i = 0; i < ${lines}; i += 1) { console.log("line", i); await new Promise((r) => setTimeout(r, ${ms})); } return ${lines}`,
  ),
});
async function proxied(): Promise<Proxy> {
  const proxy = await startProxy(whole.api.address);
  onTestFinished(async () => await proxy.close());
  return proxy;
}
async function eventsOf(stream: RunStream): Promise<Api.RunEvent[]> {
  const events: Api.RunEvent[] = [];
  for await (const event of stream) events.push(event);
  return events;
}
async function all<Item>(list: AsyncIterable<Item>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of list) items.push(item);
  return items;
}

describe("client.runs", () => {
  test("submits, waits, and gives the run, its output and its events", async () => {
    const { runs } = client();
    const submitted = await runs.submit({
      step: javascript("console.log('hi'); return params.a * 2"),
      params: { a: 21 },
    });
    expect(submitted).toMatchObject({ created: true });
    const result = await runs.wait(submitted.runId);
    expect(result).toMatchObject({ runId: submitted.runId, status: "succeeded", output: 42 });
    expect(await runs.get(submitted.runId)).toMatchObject({ id: submitted.runId, status: "succeeded", result });
    expect(await runs.output(submitted.runId)).toBe(42);
    const events = await all(runs.events(submitted.runId));
    expect(events.map(({ seq }) => seq)).toEqual(upTo(events.length));
    expect(events.at(-1)).toMatchObject({ kind: "finished", status: "succeeded" });
    expect(await all(runs.events(submitted.runId, { after: 1 }))).toEqual(events.slice(2));
  });

  test("submits and waits in one, also when the step fails: that is a result", async () => {
    const { runs } = client();
    expect(await runs.submitAndWait({ step: javascript("return 1") })).toMatchObject({
      status: "succeeded",
      output: 1,
    });
    const failed = await runs.submitAndWait({ step: javascript("throw new Error('no')") });
    expect(failed).toMatchObject({ status: "failed", error: { code: "ERR_STEP_THREW" } });
    expect(await runs.output(failed.runId)).toBeNull();
  });

  test("submits a batch and lists its runs, page after page, by what they are", async () => {
    const { runs } = client();
    const jobs = upTo(120).map(() => ({ step: javascript("return 1"), delayMs: 3_600_000, labels: { batch: "a:b" } }));
    const submitted = await runs.submitBatch(jobs);
    expect(submitted).toHaveLength(120);
    const listed = await all(runs.list({ label: "batch:a:b", status: ["queued", "running"] }));
    expect(new Set(listed.map(({ id }) => id))).toEqual(new Set(submitted.map(({ runId }) => runId)));
    expect(listed).toHaveLength(120);
    expect(await all(runs.list({ label: "batch:a:b", limit: 3 }))).toHaveLength(3);
    expect(await all(runs.list({ label: "batch:other" }))).toEqual([]);
  });

  test("cancels", async () => {
    const { runs } = client();
    const { runId } = await runs.submit({ step: javascript("await new Promise((r) => setTimeout(r, 20_000))") });
    await expect(runs.output(runId)).rejects.toMatchObject({ name: "StepvaultApiError", status: 409 });
    await runs.cancel(runId);
    expect(await runs.wait(runId)).toMatchObject({ status: "cancelled" });
  });

  test("streams a job from its submission to its result", async () => {
    const stream = client().runs.stream(printing(3, 1));
    const events = await eventsOf(stream);
    expect(events.map(({ seq }) => seq)).toEqual(upTo(events.length));
    expect(events[0]?.kind).toBe("started");
    expect(events.filter(({ kind }) => kind === "log").length).toBeGreaterThan(0);
    expect(events.at(-1)?.kind).toBe("finished");
    expect(await stream.result()).toMatchObject({ runId: stream.runId, status: "succeeded", output: 3 });
    expect(await eventsOf(client().runs.stream(stream.runId))).toEqual(events);
    expect(await eventsOf(client().runs.stream(stream.runId, { after: events.length - 1 }))).toEqual([]);
    expect(await eventsOf(client().runs.stream(stream.runId, { after: events.length - 2 }))).toEqual(events.slice(-1));
  });

  test("cannot follow what is not there", async () => {
    const stream = client().runs.stream("01890a5d-ac96-774b-bcce-b302099a8060");
    await expect(eventsOf(stream)).rejects.toMatchObject({ status: 404, code: "ERR_RUN_UNKNOWN" });
  });
});

describe("connections that break", () => {
  test("lose and double no event of a stream, wherever they are cut", async () => {
    const proxy = await proxied();
    const stream = client(proxy.url).runs.stream(printing(60, 20));
    const seen: Api.RunEvent[] = [];
    for await (const event of stream) {
      seen.push(event);
      // At first in the midst of an event, then all connections at once.
      if (seen.length === 3) proxy.cutAfter(2_000);
      if (seen.length === 25) proxy.cutAfter(Infinity);
      if (seen.length === 30) proxy.cut();
    }
    proxy.cutAfter(Infinity);
    expect(await stream.result()).toMatchObject({ status: "succeeded", output: 60 });
    expect(proxy.count()).toBeGreaterThan(3);
    expect(seen).toEqual(await all(client().runs.events(stream.runId)));
    expect(seen.at(-1)?.kind).toBe("finished");
  });

  test("submit one run, when the answer to the first request is lost", async () => {
    const proxy = await proxied();
    proxy.cutAfter(1);
    const label = { once: "lost" };
    const submitting = client(proxy.url).runs.submitAndWait({ step: javascript("return 1"), labels: label });
    await expect.poll(() => proxy.count()).toBeGreaterThan(1);
    proxy.cutAfter(Infinity);
    expect(await submitting).toMatchObject({ status: "succeeded" });
    expect(await all(client().runs.list({ label: "once:lost" }))).toHaveLength(1);
  });

  test("by a restart of the API keep streams and waits going", async () => {
    const { service } = whole;
    const first: OpenApi = await openApi(service);
    const proxy = await startProxy(first.address);
    const { runs } = client(proxy.url, { retriesMax: 0 });
    const stream = runs.stream(printing(150, 20));
    const waiting = runs.submitAndWait(printing(100, 20));
    const seen: Api.RunEvent[] = [];
    let second: OpenApi | undefined;
    for await (const event of stream) {
      seen.push(event);
      if (seen.length !== 10) continue;
      proxy.point(undefined);
      await first.close();
      setTimeout(() => {
        void (async () => {
          second = await openApi(service);
          proxy.point(second.address);
        })();
      }, 500);
    }
    expect(await waiting).toMatchObject({ status: "succeeded", output: 100 });
    expect(await stream.result()).toMatchObject({ status: "succeeded", output: 150 });
    expect(seen).toEqual(await all(client().runs.events(stream.runId)));
    await proxy.close();
    await second?.close();
  });
});

describe("client.steps", () => {
  test("saves, checks, tests and publishes versions of a step", async () => {
    const { steps, runs } = client();
    const saved = await steps.create({ name: "Double", step: javascript("return params.a * 2") });
    expect(saved.version).toBe(1);
    expect(await steps.createVersion(saved.id, { name: "Triple", step: javascript("return params.a * 3") })).toEqual({
      id: saved.id,
      version: 2,
    });
    expect(await steps.publish(saved.id, 1)).toMatchObject({ publishedVersion: 1, version: 2 });
    expect(await steps.get(saved.id)).toMatchObject({ name: "Triple", publishedVersion: 1, version: 2 });
    expect(await runs.submitAndWait({ step: { id: saved.id }, params: { a: 5 } })).toMatchObject({ output: 10 });
    const { runId } = await steps.test(saved.id, { params: { a: 5 } });
    expect(await runs.wait(runId)).toMatchObject({ output: 15 });
    expect((await all(steps.versions(saved.id))).map(({ version }) => version)).toEqual([2, 1]);
    expect(await all(steps.versions(saved.id, { limit: 1 }))).toHaveLength(1);
    expect(await steps.version(saved.id, 1)).toMatchObject({ version: 1, code: "return params.a * 2" });
    expect((await all(steps.list())).map(({ id }) => id)).toContain(saved.id);
    expect((await all(steps.list({ published: "true" }))).map(({ id }) => id)).toContain(saved.id);
    const check = await steps.check(javascript("return {{secrets.absent_key}}"));
    expect(check).toMatchObject({ references: 1, failures: [{ name: "absent_key" }] });
    expect(await steps.publish(saved.id, null)).toMatchObject({ publishedVersion: null });
  });
});

describe("client.call and client.list", () => {
  test("reach secrets, schedules, keys and agents, with their conditions", async () => {
    const own = client();
    await own.call("setSecret", { secretName: "api_key", body: { value: "value-of-the-key" } });
    const again = own.call("setSecret", {
      secretName: "api_key",
      body: { value: "value-of-the-key" },
      headers: { "if-none-match": "*" },
    });
    await expect(again).rejects.toMatchObject({ status: 412, code: "ERR_SECRET_VERSION_CONFLICT" });
    expect((await all(own.list("listSecrets"))).map(({ name }) => name)).toContain("api_key");
    const schedule = await own.call("createSchedule", {
      body: { name: "Yearly", cron: "0 0 1 1 *", job: { step: javascript("return 1") } },
    });
    expect((await all(own.list("listSchedules"))).map(({ id }) => id)).toEqual([schedule.id]);
    expect(await own.call("getOwnKey")).toMatchObject({ scopes: ["admin"] });
    const body = { name: "CI", scopes: ["trigger"], expiry: "none" } as const;
    await expect(own.call("createProjectKey", { body })).rejects.toMatchObject({ status: 403, code: "ERR_FORBIDDEN" });
    const agent = await own.call("createAgent", { body: { kind: "agent", name: "Shop" } });
    await own.call("changeAgent", { agentId: agent.id, body: { public: true } });
    expect(await all(own.list("listAgents"))).toMatchObject([{ id: agent.id, public: true }]);
    await own.call("deleteSecret", { secretName: "api_key" });
  });

  test("ask for every page that can be listed in a project without a fault of the client's", async () => {
    const own = client();
    const ids = (Object.keys(operations) as OperationId[]).filter((id) => /^GET p\/[^{]*$/.test(operations[id]));
    const lists = ids.filter((id): id is ListId => id.startsWith("list"));
    expect(lists.length).toBeGreaterThan(5);
    for (const id of lists) {
      const listing = all(own.list(id as "listSecrets", { query: { limit: 1 } }));
      // Those that a key may not ask, or that take no limit, are refused by the API itself.
      const outcome = await listing.catch((error: unknown) => (error as { name: string }).name);
      expect([id, Array.isArray(outcome) || outcome === "StepvaultApiError"]).toEqual([id, true]);
    }
  });
});

describe("the client's examples", () => {
  const runExample = async (name: string): Promise<unknown> => {
    const file = fileURLToPath(new URL(`../../docs/examples/${name}`, import.meta.url));
    const running = promisify(execFile)(process.execPath, [file, whole.api.address, "us", whole.projectId], {
      env: { PATH: process.env["PATH"] },
    });
    running.child.stdin?.end(`${await whole.key(["trigger", "admin"])}\n`);
    const { stdout } = await running;
    return JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
  };

  test("stream-client.ts follows a run of its own", async () => {
    expect(await runExample("stream-client.ts")).toEqual({ status: "succeeded", output: "Bern" });
  });

  test("steps-client.ts saves a step and runs it", async () => {
    expect(await runExample("steps-client.ts")).toEqual({ status: "succeeded", output: [5, 4] });
  });
});
