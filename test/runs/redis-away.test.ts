/**
 * One Redis that is not as it was: restarted with its append-only file, demoted to a replica, with another password than at
 * the start. Jobs stay, what waits goes on, and the password is in no line of the log.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { dataPassword, type RedisNode, type RedisServers, startSingleRedis } from "../helpers/redis-servers.ts";
import { openTestService, type TestService } from "../helpers/service.ts";

let redis: RedisServers;
let node: RedisNode;
let stepvault: TestService;
beforeAll(async () => {
  redis = await startSingleRedis();
  const [only] = redis.nodes;
  if (only === undefined) throw new Error("there is no node");
  node = only;
  stepvault = await openTestService({ STEPVAULT_REDIS_URL: redis.url }, { worker: false });
});
afterAll(async () => {
  try {
    await stepvault.close();
  } finally {
    await redis.stop();
  }
});

const step = { language: "javascript", code: "return 7;" } as const;

let working: Promise<void> | undefined;
async function runStep(): Promise<unknown> {
  await (working ??= stepvault.service.startWorker());
  return await stepvault.run({ step }).catch(() => undefined);
}

async function endOf(runId: string): Promise<string | undefined> {
  return (await stepvault.events(runId)).at(-1)?.kind;
}

test("runs that were queued before a kill -9 of Redis run once it is back", async () => {
  const submitted = Array.from(
    { length: 20 },
    async () => await stepvault.service.submit({ projectId: stepvault.projectId, step }),
  );
  const runIds = await Promise.all(submitted);
  await redis.kill(node);
  await redis.restart(node);
  await (working ??= stepvault.service.startWorker());
  await expect
    .poll(async () => await Promise.all(runIds.map(endOf)), { timeout: 45_000 })
    .toEqual(runIds.map(() => "finished"));
  for (const runId of runIds) {
    const kinds = (await stepvault.events(runId)).map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind === "started" || kind === "finished")).toEqual(["started", "finished"]);
  }
});

test("a master that is made a replica refuses what is asked, and is used again once it is a master", async () => {
  const client = redis.client(node);
  await client.call("replicaof", "127.0.0.1", "1");
  const asked = await Promise.allSettled([stepvault.service.queue.addRaw("read-only", {})]);
  expect(asked[0]).toMatchObject({ status: "rejected", reason: { code: "ERR_REDIS" } });
  await client.call("replicaof", "no", "one");
  client.disconnect();
  await expect.poll(runStep, { timeout: 30_000, interval: 300 }).toMatchObject({ status: "succeeded" });
});

test("a server that is frozen, with its connections open, holds up nobody who asks, and is used again once it moves", async () => {
  redis.freeze(node);
  const started = performance.now();
  const asked = await Promise.allSettled([stepvault.service.queue.addRaw("frozen", {})]);
  expect(performance.now() - started).toBeLessThan(12_000);
  expect(asked[0]).toMatchObject({
    reason: { code: "ERR_REDIS", message: expect.stringContaining("does not answer") },
  });
  redis.thaw(node);
  await expect.poll(runStep, { timeout: 45_000, interval: 300 }).toMatchObject({ status: "succeeded" });
});

test("a full memory is an error that says so, and nothing is thrown away for it", async () => {
  const client = redis.client(node);
  await client.select(1);
  const kept = await client.keys("*");
  await client.config("SET", "maxmemory", "1");
  const asked = await Promise.allSettled([stepvault.service.queue.addRaw("too-much", {})]);
  await client.config("SET", "maxmemory", "0");
  expect(asked[0]).toMatchObject({
    reason: { code: "ERR_REDIS", message: expect.stringContaining("its memory is full") },
  });
  expect(await client.keys("*")).toEqual(expect.arrayContaining(kept.filter((key) => !key.includes(":stalled"))));
  client.disconnect();
});

test("a password that Redis no longer takes is in no line of the log, and the worker is back with the old one", async () => {
  await runStep();
  const client = redis.client(node);
  await client.config("SET", "requirepass", "another-word-77c1");
  await client.call("client", "kill", "type", "normal", "skipme", "yes");
  await expect.poll(() => stepvault.log.join(""), { timeout: 10_000 }).toContain("WRONGPASS");
  const asked = await Promise.allSettled([stepvault.service.queue.addRaw("refused", {})]);
  await client.config("SET", "requirepass", dataPassword);
  client.disconnect();
  expect(asked[0]).toMatchObject({ status: "rejected", reason: { code: "ERR_REDIS" } });
  expect(JSON.stringify(asked)).not.toContain(dataPassword);
  expect(stepvault.log.join("")).not.toContain(dataPassword);
  expect(await runStep()).toMatchObject({ status: "succeeded" });
});
