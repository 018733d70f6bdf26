/**
 * Stopping workers, as processes: running steps have their time, what is left ends or goes on elsewhere, and under a rolling
 * deploy no run is lost or doubled.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { StepInput } from "../../protocol/job.ts";
import { startSingleRedis } from "../helpers/redis-servers.ts";
import { openTestService, type TestService } from "../helpers/service.ts";
import { startWorker, type WorkerProcess } from "./processes.ts";

let vault: TestService;
const workers: WorkerProcess[] = [];
beforeAll(async () => {
  vault = await openTestService({}, { worker: false });
});
afterAll(async () => {
  for (const worker of workers) worker.signal("SIGKILL");
  await Promise.all(workers.map(async ({ ended }) => await ended));
  await vault.close();
});

async function start(settings: Record<string, string> = {}): Promise<WorkerProcess> {
  const worker = await startWorker(vault, settings);
  workers.push(worker);
  return worker;
}

const submit = async (code: string, more: Partial<StepInput> = {}): Promise<string> =>
  await vault.service.submit({ projectId: vault.projectId, step: { language: "javascript", code, ...more } });
const begun = async (runId: string): Promise<void> =>
  await expect.poll(async () => (await vault.events(runId)).length, { timeout: 30_000 }).toBeGreaterThan(0);
const waits = (ms: number): string => `await new Promise((r) => setTimeout(r, ${ms})); return 1`;

test("a step that runs when its worker is told to stop ends as it would have", async () => {
  const worker = await start();
  const runId = await submit(waits(2_500));
  await begun(runId);
  worker.signal("SIGTERM");
  // A job that it takes before it hears the signal is one of those that may end.
  await sleep(500);
  const later = await submit("return 2");
  expect(await worker.ended).toBe(0);
  expect(await vault.service.runs.get(vault.projectId, runId)).toMatchObject({ status: "succeeded" });
  expect(await vault.service.runs.get(vault.projectId, later)).toMatchObject({ status: "queued" });
  await vault.service.cancel(vault.projectId, later);
}, 120_000);

test("a step that does not end in that time ends as ERR_WORKER_STOPPED, or runs again at another worker", async () => {
  const worker = await start({ STEPVAULT_SHUTDOWN_MS_MAX: "500" });
  const plain = await submit("for (;;);");
  const again = await submit("await new Promise((r) => setTimeout(r, 6000)); return 'again'", {
    retry: { attemptsMax: 2, backoffMs: 0 },
  });
  await begun(plain);
  await begun(again);
  const stoppedAt = performance.now();
  worker.signal("SIGTERM");
  expect(await worker.ended).toBe(0);
  expect(performance.now() - stoppedAt).toBeLessThan(8_000);
  expect(await vault.service.runs.get(vault.projectId, plain)).toMatchObject({
    status: "crashed",
    result: { error: { code: "ERR_WORKER_STOPPED", fault: "system" } },
  });
  expect((await vault.events(again)).map(({ kind }) => kind)).toEqual(["started", "retry"]);
  const next = await start();
  expect(await vault.service.result(vault.projectId, again, 60_000)).toMatchObject({ output: "again" });
  const events = await vault.events(again);
  expect(events.map(({ kind }) => kind)).toEqual(["started", "retry", "started", "output", "finished"]);
  expect(events.map(({ seq }) => seq)).toEqual([0, 1, 2, 3, 4]);
  expect(events[2]).toMatchObject({ attempt: 2 });
  next.signal("SIGTERM");
  expect(await next.ended).toBe(0);
}, 180_000);

test("a second signal stops at once what the first one let go on", async () => {
  const worker = await start();
  const runId = await submit(waits(25_000));
  await begun(runId);
  worker.signal("SIGTERM");
  await sleep(700);
  expect(worker.child.exitCode).toBeNull();
  const hurriedAt = performance.now();
  worker.signal("SIGTERM");
  expect(await worker.ended).toBe(0);
  expect(performance.now() - hurriedAt).toBeLessThan(6_000);
  expect(await vault.service.runs.get(vault.projectId, runId)).toMatchObject({
    status: "crashed",
    result: { error: { code: "ERR_WORKER_STOPPED" } },
  });
}, 120_000);

test("workers that are replaced one after the other under load lose no run and double none", async () => {
  const settings = { STEPVAULT_WORKER_CONCURRENCY: "2" };
  let [old, young] = [await start(settings), await start(settings)];
  const runIds: string[] = [];
  const deployed = new AbortController();
  const load = (async () => {
    while (!deployed.signal.aborted && runIds.length < 1_500) {
      runIds.push(await submit(`await new Promise((r) => setTimeout(r, ${(runIds.length % 5) * 20})); return 1`));
      await sleep(40);
    }
  })();
  for (let replaced = 0; replaced < 3; replaced += 1) {
    old.signal("SIGTERM");
    const next = await start(settings);
    expect(await old.ended).toBe(0);
    [old, young] = [young, next];
  }
  deployed.abort();
  await load;
  expect(runIds.length).toBeGreaterThan(50);
  for (const runId of runIds) {
    expect(await vault.service.result(vault.projectId, runId, 60_000)).toMatchObject({ status: "succeeded" });
    expect((await vault.events(runId)).map(({ kind }) => kind)).toEqual(["started", "output", "finished"]);
  }
  for (const worker of [old, young]) worker.signal("SIGTERM");
  expect(await Promise.all([old.ended, young.ended])).toEqual([0, 0]);
}, 240_000);

test("a queue that does not answer keeps no worker that is told to stop, whether it runs a step or not", async () => {
  const redis = await startSingleRedis();
  const settings = { STEPVAULT_REDIS_URL: redis.url, STEPVAULT_SHUTDOWN_MS_MAX: "1000" };
  const over = await openTestService(settings, { worker: false });
  try {
    const [busy, idle] = [await startWorker(over, settings), await startWorker(over, settings)];
    workers.push(busy, idle);
    const runId = await over.service.submit({
      projectId: over.projectId,
      step: { language: "javascript", code: waits(60_000) },
    });
    await expect.poll(async () => (await over.events(runId)).length, { timeout: 30_000 }).toBeGreaterThan(0);
    for (const node of redis.nodes) redis.freeze(node);
    const stoppedAt = performance.now();
    for (const worker of [busy, idle]) worker.signal("SIGTERM");
    expect(await Promise.all([busy.ended, idle.ended])).toEqual([0, 0]);
    expect(performance.now() - stoppedAt).toBeLessThan(20_000);
    expect(await over.service.runs.get(over.projectId, runId)).toMatchObject({
      status: "crashed",
      result: { error: { code: "ERR_WORKER_STOPPED" } },
    });
  } finally {
    for (const node of redis.nodes) redis.thaw(node);
    await over.close();
    await redis.stop();
  }
}, 120_000);
