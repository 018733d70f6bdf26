/**
 * No project starves another: ten thousand runs of one, which two places of a worker cannot carry out soon, delay a single run of
 * another by no more than a few runs. Counted are the runs that began between its submission and its beginning, by the
 * database's clock, which no load of this machine changes.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import type { QueuedRun } from "../../runs/queue.ts";
import { submitRun, submitRuns } from "../../runs/submit.ts";
import { restoreLost } from "../../runs/sweep.ts";
import { jobResult } from "../helpers/service.ts";
import { createProject } from "../helpers/vault.ts";
import { backends, javascript, openBackend, type OpenedBackend } from "./backends.ts";

const floodRuns = 10_000;
const atOnce = 2;
/** Those that the worker has already, one that has its turn before, and as many again for what is under way. */
const runsBeforeMax = 3 * atOnce + 1;
const step = javascript("await new Promise((r) => setTimeout(r, 20)); return 1");

for (const backend of backends) {
  describe(`a flood of ${floodRuns} runs, on ${backend}`, () => {
    let stepvault: OpenedBackend;
    let otherId: string;
    beforeEach(async () => {
      stepvault = await openBackend(backend, { STEPVAULT_WORKER_CONCURRENCY: String(atOnce) });
      const { vault } = stepvault.service;
      const { organizationId } = await vault.tenancy.getProject(stepvault.projectId);
      otherId = (await createProject(vault, organizationId, "Other")).id;
    });
    afterEach(async () => await stepvault?.close(), 60_000);

    const waiting = async (): Promise<number> =>
      (
        await stepvault.service.database.query("select from runs where project_id = $1 and status = 'queued'", [
          stepvault.projectId,
        ])
      ).rowCount ?? -1;

    /** Submits one run of the other project, and gives how many of the flood began before it. */
    async function single(): Promise<number> {
      const { service } = stepvault;
      const runId = await service.submit({ projectId: otherId, step: javascript("return 1") });
      expect(await service.result(otherId, runId, 120_000)).toMatchObject({ status: "succeeded" });
      const { rows } = await service.database.query<{ before: number }>(
        `select count(*)::int as before from runs r, runs one
         where one.id = $1 and r.project_id = $2 and r.started_at >= one.created_at and r.started_at < one.started_at`,
        [runId, stepvault.projectId],
      );
      return rows[0]!.before;
    }

    test(`submitted in batches delays another's single run by a few runs, also once turns are counted anew (${backend})`, async () => {
      const { service, projectId } = stepvault;
      for (let i = 0; i < floodRuns; i += 1_000)
        await service.runs.submitBatch(Array.from({ length: 1_000 }, () => ({ projectId, step })));
      for (let i = 0; i < 5; i += 1) {
        const before = await single();
        expect(before).toBeLessThanOrEqual(runsBeforeMax);
      }
      expect(await waiting()).toBeGreaterThan(floodRuns / 2);
      await service.database.query("update runs set turn = turn + 1500000 where status = 'queued'");
      await restoreLost(service);
      const { rows } = await service.database.query<{ max: number }>(
        "select max(turn)::int as max from runs where status = 'queued'",
      );
      expect(rows[0]!.max).toBeLessThan(floodRuns + 100);
      expect(await single()).toBeLessThanOrEqual(runsBeforeMax);
    }, 180_000);

    test(`added to the queue directly takes nobody's turn once it is recorded (${backend})`, async () => {
      const { service, projectId } = stepvault;
      const raw = 400;
      const ids = Array.from({ length: raw }, (_, i) => `flood-${i}`);
      await Promise.all(ids.map(async (id) => await service.queue.addRaw(id, { projectId, step })));
      // Until then the raw jobs go first, as the queue has them without a turn; each is only recorded, and few of them run.
      expect(await single()).toBeLessThan(raw / 10);
      const recorded = async (): Promise<number> =>
        (await service.database.query("select from runs where queue_job_id like 'flood-%'")).rowCount ?? -1;
      await expect.poll(recorded, { timeout: 90_000 }).toBe(raw);
      for (let i = 0; i < 3; i += 1) expect(await single()).toBeLessThanOrEqual(runsBeforeMax);
      for (const id of ids) expect(await jobResult(service.queue, id, 120_000)).toMatchObject({ status: "succeeded" });
    }, 180_000);
  });
}

test("two processes that count turns anew at once count them once", async () => {
  const stepvault = await openBackend("postgres", {}, { worker: false });
  try {
    const { database } = stepvault.service;
    const turns = new Map<string, number>();
    const queue = {
      add: async (runs: readonly QueuedRun[]) => runs.forEach(({ runId, turn }) => turns.set(runId, turn)),
      restore: async () => 0,
      setTurn: async (runId: string, turn: number) => void turns.set(runId, turn),
    } as never;
    const job = { projectId: stepvault.projectId, step };
    const runs = await submitRuns(
      { database, queue },
      Array.from({ length: 50 }, () => ({ ...job, runId: createId() })),
    );
    await database.query("update runs set turn = turn + 1000001");
    await Promise.all(Array.from({ length: 6 }, async () => await restoreLost({ database, queue })));
    expect(runs.map(({ runId }) => turns.get(runId))).toEqual(runs.map((_, i) => i));
    const { runId } = await submitRun({ database, queue }, job);
    expect(turns.get(runId)).toBe(50);
  } finally {
    await stepvault.close();
  }
});
