/**
 * A queue that forgets everything, or is away, while runs wait: what was accepted is in the database, so every run runs, once.
 * The time after which a run is looked for is shortened by making the rows older, not by another setting.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { restoreLost } from "../../runs/sweep.ts";
import { backends, javascript, openBackend, type OpenedBackend, succeeded } from "./backends.ts";

const runsMax = 200;

for (const backend of backends) {
  describe(`a queue that loses jobs, on ${backend}`, () => {
    let stepvault: OpenedBackend;
    beforeAll(async () => {
      stepvault = await openBackend(backend, { STEPVAULT_WORKER_CONCURRENCY: "4" }, { worker: false });
    });
    afterAll(async () => await stepvault?.close());

    async function forgetAll(): Promise<void> {
      const { service, redis } = stepvault;
      if (redis === undefined) {
        const { rows } = await service.database.query<{ name: string }>(
          "select tablename as name from pg_tables where schemaname = 'bullmq' and tablename not like '%migration%'",
        );
        const names = rows.map(({ name }) => `bullmq."${name}"`).join(", ");
        // Other statements of the queue may hold one of these tables and want the next.
        const truncate = async (): Promise<unknown> => await service.database.query(`truncate ${names}`);
        await truncate().catch(truncate).catch(truncate);
      } else {
        const client = redis.client(redis.nodes[0]!);
        await client.select(1);
        await client.flushall();
        client.disconnect();
      }
    }
    const look = async (): Promise<number> => {
      const { database, queue } = stepvault.service;
      let restored = 0;
      await database.query("update runs set dispatched_at = now() - interval '31 seconds' where status = 'queued'");
      await restoreLost({ database, queue, onRestored: (runs) => (restored += runs) });
      return restored;
    };

    test(`is told the turns of those that it has at another place (${backend})`, async () => {
      const { service, projectId } = stepvault;
      const { database, queue } = service;
      const step = javascript("return 1");
      const runs = await service.runs.submitBatch(Array.from({ length: 4 }, () => ({ projectId, step })));
      const ids = runs.map(({ runId }) => runId);
      // As by a process that died while it counted the turns anew.
      for (const id of ids.slice(0, 2)) await queue.setTurn(id, 1_000_000);
      expect(await look()).toBe(0);
      const seen: string[] = [];
      const worker = queue.process(
        async ({ id }) => {
          seen.push(id);
          return await Promise.resolve({ result: succeeded(id) });
        },
        { concurrency: 1, onError: () => {} },
      );
      await expect.poll(() => seen, { timeout: 20_000 }).toEqual(ids);
      await worker.close();
      await database.query("delete from runs where id = any($1)", [ids]);
    }, 60_000);

    test(`gets them again, and each run runs once (${backend})`, async () => {
      const { service, projectId } = stepvault;
      const step = javascript("return params");
      const runs = await service.runs.submitBatch(
        Array.from({ length: runsMax }, (_, i) => ({ projectId, step, params: i })),
      );
      expect(await look()).toBe(0);
      await forgetAll();
      expect(await service.queue.countWaiting()).toBe(0);
      // Two processes at once: each run is added once all the same.
      await Promise.all([look(), look()]);
      expect(await service.queue.countWaiting()).toBe(runsMax);
      await service.startWorker();
      for (const [i, { runId }] of runs.entries()) {
        expect(await service.result(projectId, runId, 60_000)).toMatchObject({ status: "succeeded", output: i });
        expect((await stepvault.events(runId)).map(({ kind }) => kind)).toEqual(["started", "output", "finished"]);
      }
      expect(await look()).toBe(0);
    }, 120_000);

    test(`in the midst of running: each run ends once (${backend})`, async () => {
      const { service, projectId } = stepvault;
      const step = javascript("await new Promise((r) => setTimeout(r, 30)); return 1");
      const runs = await service.runs.submitBatch(Array.from({ length: 100 }, () => ({ projectId, step })));
      await expect
        .poll(async () => (await stepvault.events(runs[3]!.runId)).length, { timeout: 20_000 })
        .toBeGreaterThan(0);
      await forgetAll();
      await look();
      for (const { runId } of runs) {
        const { status } = await service.result(projectId, runId, 60_000);
        expect(status).toBe("succeeded");
        expect((await stepvault.events(runId)).filter(({ kind }) => kind === "finished")).toHaveLength(1);
      }
    }, 120_000);
  });
}

test("a Redis that is away at the submission gets the run once it is back", async () => {
  const stepvault = await openBackend("redis");
  try {
    const { service, projectId, redis } = stepvault;
    const [node] = redis!.nodes;
    await redis!.kill(node!);
    const startedAt = performance.now();
    const runId = await service.submit({ projectId, step: javascript("return 'late'") });
    expect(performance.now() - startedAt).toBeLessThan(12_000);
    expect(await service.runs.get(projectId, runId)).toMatchObject({ status: "queued" });
    await redis!.restart(node!);
    await service.database.query("update runs set dispatched_at = now() - interval '31 seconds' where id = $1", [
      runId,
    ]);
    expect(await service.result(projectId, runId, 40_000)).toMatchObject({ output: "late" });
    expect((await stepvault.events(runId)).map(({ kind }) => kind)).toEqual(["started", "output", "finished"]);
  } finally {
    await stepvault.close();
  }
}, 120_000);
