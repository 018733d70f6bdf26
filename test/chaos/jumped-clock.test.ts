/**
 * A worker whose clock was an hour ahead put jobs back until "in a second": by everybody else's clock that is an hour. They are
 * woken: those of runs that are due by the database's clock, and those that were last taken at a time that is still to come.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { RunWorker } from "../../runs/queue.ts";
import { restoreLost } from "../../runs/sweep.ts";
import { backends, javascript, openBackend, type OpenedBackend } from "../runs/backends.ts";

const hourMs = 3_600_000;

describe.each(backends)("jobs that were put back by a clock that was ahead, on %s", (backend) => {
  let stepvault: OpenedBackend;
  let worker: RunWorker | undefined;
  let times = 0;
  beforeAll(async () => {
    stepvault = await openBackend(backend, {}, { worker: false });
  });
  afterEach(async () => {
    vi.useRealTimers();
    await worker?.close();
  });
  afterAll(async () => await stepvault.close());

  /** A worker that puts every job back for this long; how often one of them comes is counted. */
  async function putBackFor(againMs: number, counted: string): Promise<void> {
    times = 0;
    const putBack = async ({ id }: { id: string }): Promise<{ againMs: number }> => {
      if (id === counted) times += 1;
      return { againMs };
    };
    worker = stepvault.service.queue.process(putBack, { concurrency: 1, onError: () => {} });
    await worker.ready();
  }
  const begun = async (count: number): Promise<void> => await expect.poll(() => times, { timeout: 10_000 }).toBe(count);
  const look = async (): Promise<void> => {
    const { database, queue } = stepvault.service;
    await database.query("update runs set dispatched_at = now() - interval '31 seconds'");
    await restoreLost({ database, queue });
  };

  test(`come when their runs are due, and not before (${backend})`, async () => {
    const { service, projectId } = stepvault;
    const runId = await service.submit({ projectId, step: javascript("return 1") });
    await putBackFor(hourMs, runId);
    await begun(1);
    await look();
    await begun(2);
    await service.database.query("update runs set run_at = now() + interval '1 hour' where id = $1", [runId]);
    await look();
    await sleep(500);
    expect(times).toBe(2);
    await service.database.query("update runs set status = 'cancelled', ended_at = now() where id = $1", [runId]);
  });

  test(`come although no run is known of yet (${backend})`, async () => {
    const { queue } = stepvault.service;
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + hourMs });
    await putBackFor(1_000, "own");
    await queue.addRaw("own", { projectId: stepvault.projectId, step: javascript("return 1") });
    await begun(1);
    await sleep(200);
    vi.useRealTimers();
    await sleep(2_000);
    expect(times).toBe(1);
    await look();
    await expect.poll(() => times, { timeout: 10_000 }).toBeGreaterThan(1);
  });
});

/** Over Redis the server itself ends locks, by its own clock. */
describe("jobs that a worker took whose clock was ahead, on postgres", () => {
  let stepvault: OpenedBackend;
  let worker: RunWorker;
  const seen: string[] = [];
  beforeAll(async () => {
    stepvault = await openBackend("postgres", {}, { worker: false });
  });
  afterAll(async () => {
    await worker.close();
    await stepvault.close();
  });

  test("are free again although that worker is dead, its lock would last for an hour and nobody would look before", async () => {
    const { database, queue } = stepvault.service;
    await queue.addRaw("locked", { projectId: stepvault.projectId, step: javascript("return 1") });
    await database.query(
      `update bullmq.job set state = 'active', lock_token = 'gone',
         locked_until_ms = extract(epoch from now() + interval '1 hour') * 1000 where id = 'locked'`,
    );
    // It was also the last to look for such jobs, by its clock.
    await database.query(
      `insert into bullmq.meta (queue, field, value)
       values ($1, 'stalled-check', (extract(epoch from now() + interval '1 hour') * 1000)::bigint::text)
       on conflict (queue, field) do update set value = excluded.value`,
      [queue.name],
    );
    const look = async ({ id }: { id: string }): Promise<{ againMs: number }> => {
      seen.push(id);
      return { againMs: hourMs };
    };
    worker = queue.process(look, { concurrency: 1, onError: () => {} });
    await worker.ready();
    await restoreLost({ database, queue });
    // BullMQ marks such a job at one look and frees it at the next one.
    await expect.poll(() => seen, { timeout: 40_000 }).toContain("locked");
  }, 60_000);

  test("that cannot be put back come again, and do not end as failed", async () => {
    const { database, queue } = stepvault.service;
    await database.query("alter function bullmq.move_to_delayed rename to move_to_delayed_away");
    await queue.addRaw("odd", { projectId: stepvault.projectId, step: javascript("return 1") });
    await expect.poll(() => seen, { timeout: 10_000 }).toContain("odd");
    await sleep(500);
    await database.query("alter function bullmq.move_to_delayed_away rename to move_to_delayed");
    expect(await queue.look("odd")).toBeUndefined();
    await expect.poll(() => seen.filter((id) => id === "odd").length, { timeout: 60_000 }).toBeGreaterThan(1);
  }, 90_000);
});
