/**
 * Workers that die or fall silent in the middle of runs, for real: each run ends once, as crashed, or runs again where its
 * step says so, and a worker that comes back to life writes nothing of what was taken from it.
 */
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { createId } from "../../protocol/ids.ts";
import type { RunEvent, StepInput } from "../../protocol/job.ts";
import { WorkerWatch } from "../../runs/workers.ts";
import { hostsOf } from "../helpers/processes.ts";
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

const limits = { wallTimeMsMax: 180_000, cpuTimeMsMax: 180_000 };
const submit = async (code: string, more: Partial<StepInput> = {}): Promise<string> =>
  await vault.service.submit({
    projectId: vault.projectId,
    step: { language: "javascript", code, limits, ...more },
  });
const begun = async (runId: string): Promise<void> =>
  await expect.poll(async () => (await vault.events(runId)).length, { timeout: 30_000 }).toBeGreaterThan(1);
const told = (events: readonly RunEvent[]): string[] =>
  events.map((event) => (event.kind === "started" ? `started ${event.attempt ?? 1}` : event.kind));
const inOrder = (events: readonly RunEvent[]): void =>
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i));

/** Runs for longer than the test. */
const endless = (name: string): string => `console.log("${name}"); await new Promise((r) => setTimeout(r, 170_000));`;

describe("a worker that is killed", () => {
  test("leaves runs that end as crashed, once, or run again where their steps say so; its hosts die with it (proc-02)", async () => {
    const first = await start({ STEPVAULT_WORKER_CONCURRENCY: "4", STEPVAULT_HOSTS_MAX: "4" });
    const plain = await submit(endless("plain"));
    const again = await submit(endless("again"), { retry: { attemptsMax: 2, backoffMs: 0 } });
    const cancelled = await submit(endless("cancelled"), { retry: { attemptsMax: 2, backoffMs: 0 } });
    for (const runId of [plain, again, cancelled]) await begun(runId);
    const hosts = hostsOf(first.pid);
    expect(hosts.length).toBeGreaterThan(0);
    first.signal("SIGKILL");
    await first.ended;
    await expect.poll(() => hosts.filter((pid) => existsSync(`/proc/${pid}`)), { timeout: 5_000 }).toEqual([]);
    await vault.service.cancel(vault.projectId, cancelled);

    const second = await start();
    expect(await vault.service.result(vault.projectId, plain, 110_000)).toMatchObject({
      status: "crashed",
      error: { code: "ERR_WORKER_LOST", fault: "system" },
    });
    expect(told(await vault.events(plain))).toEqual(["started 1", "log", "error", "finished"]);
    // It has no third attempt: this worker dies as well.
    await expect
      .poll(async () => told(await vault.events(again)), { timeout: 90_000 })
      .toEqual(["started 1", "log", "retry", "started 2", "log"]);
    expect(await vault.service.result(vault.projectId, cancelled, 60_000)).toMatchObject({ status: "cancelled" });
    second.signal("SIGKILL");
    await second.ended;
    const third = await start();
    expect(await vault.service.result(vault.projectId, again, 110_000)).toMatchObject({
      status: "crashed",
      error: { code: "ERR_WORKER_LOST" },
    });
    const events = await vault.events(again);
    inOrder(events);
    expect(told(events)).toEqual(["started 1", "log", "retry", "started 2", "log", "error", "finished"]);
    expect(told(await vault.events(cancelled)).filter((kind) => kind.startsWith("started"))).toHaveLength(1);
    expect(await vault.service.runs.get(vault.projectId, again)).toMatchObject({ attempt: 2, status: "crashed" });
    third.signal("SIGTERM");
    expect(await third.ended).toBe(0);
  }, 300_000);
});

describe("a worker that is stopped for longer than others wait, and goes on", () => {
  test("writes nothing of its runs any more, begins anew, and runs others", async () => {
    const frozen = await start({ STEPVAULT_WORKER_CONCURRENCY: "2" });
    const code =
      'for (let i = 0; i < 1e6; i++) { console.log("tick", i); await new Promise((r) => setTimeout(r, 50)); }';
    const runId = await submit(code);
    await begun(runId);
    frozen.signal("SIGSTOP");
    const heir = await start();
    expect(await vault.service.result(vault.projectId, runId, 110_000)).toMatchObject({
      status: "crashed",
      error: { code: "ERR_WORKER_LOST" },
    });
    const events = await vault.events(runId);
    frozen.signal("SIGCONT");
    await expect.poll(() => frozen.log(), { timeout: 20_000 }).toContain("begins anew");
    await sleep(2_000);
    expect(await vault.events(runId)).toEqual(events);
    inOrder(events);
    expect(events.filter(({ kind }) => kind === "finished")).toHaveLength(1);
    heir.signal("SIGTERM");
    expect(await heir.ended).toBe(0);
    // The run that it had is aborted: its place is free.
    const next = await submit("return 7");
    expect(await vault.service.result(vault.projectId, next, 60_000)).toMatchObject({ status: "succeeded", output: 7 });
    frozen.signal("SIGTERM");
    expect(await frozen.ended).toBe(0);
  }, 240_000);
});

test("a run whose end could not be recorded is ended although its worker lives, one that could not begin as what it is", async () => {
  const worker = await openTestService();
  try {
    const { database, runs, steps } = worker.service;
    const step = { language: "javascript", code: "return 2" } as const;
    const { id: stepId } = await steps.save({ projectId: worker.projectId, name: "Stored", step });
    const code = "await new Promise((r) => setTimeout(r, 3_000)); return 1";
    const runId = await worker.service.submit({ projectId: worker.projectId, step: { language: "javascript", code } });
    await expect.poll(async () => (await worker.events(runId)).length, { timeout: 10_000 }).toBeGreaterThan(0);
    // Away for longer than a worker tries again.
    await database.query("alter table steps rename column code to code_away");
    const unbegun = await worker.service.submit({ projectId: worker.projectId, step: { id: stepId } });
    await expect.poll(async () => (await runs.get(worker.projectId, unbegun)).status).toBe("running");
    await database.query("alter table run_events rename to run_events_away");
    await expect.poll(() => worker.log.join(""), { timeout: 90_000 }).toContain("could not be recorded");
    await expect.poll(() => worker.log.join(""), { timeout: 90_000 }).toContain("by a fault of the system");
    await database.query("alter table run_events_away rename to run_events");
    for (const [id, status, code] of [
      [runId, "crashed", "ERR_WORKER_LOST"],
      [unbegun, "rejected", "ERR_DATABASE"],
    ] as const)
      await expect
        .poll(async () => (await runs.get(worker.projectId, id)).result, { timeout: 60_000 })
        .toMatchObject({ status, error: { code } });
  } finally {
    await worker.close();
  }
}, 180_000);

describe("a worker that lives", () => {
  let alive: TestService;
  beforeAll(async () => {
    alive = await openTestService();
  });
  afterEach(() => vi.restoreAllMocks());
  afterAll(async () => await alive.close());

  const submitHere = async (code: string): Promise<string> =>
    await alive.service.submit({ projectId: alive.projectId, step: { language: "javascript", code, limits } });
  const beats = async (): Promise<number> => {
    const { rows } = await alive.service.database.query<{ beats: number }>(
      "select beat::int as beats from workers where ended_at is null",
    );
    return rows[0]?.beats ?? 0;
  };
  const takeForDead = async (): Promise<unknown> =>
    await alive.service.database.query("update workers set ended_at = now() where ended_at is null");
  const lost = { status: "crashed", error: { code: "ERR_WORKER_LOST" } };

  /** Makes claims give their answer only once `until` resolves. */
  function delayClaims(until: () => Promise<unknown>): void {
    const { store } = alive.service;
    const claim = store.claim.bind(store);
    vi.spyOn(store, "claim").mockImplementation(async (...given) => {
      const answer = await claim(...given);
      if (answer.state === "claimed") await until();
      return answer;
    });
  }

  test("beats while the end of another one's runs takes its time, and after a beat without an answer", async () => {
    const { database, store } = alive.service;
    let goOn = (): void => {};
    const stuck = new Promise<void>((resolve) => (goOn = resolve));
    const takeOver = vi.spyOn(store, "takeOver").mockImplementation(async () => {
      await stuck;
      return [];
    });
    const gone = createId();
    await database.query("insert into workers (id, ended_at) values ($1, now())", [gone]);
    await database.query("insert into runs (id, project_id, status, job, worker_id) values ($1, $2, $3, $4, $5)", [
      createId(),
      alive.projectId,
      "running",
      "{}",
      gone,
    ]);
    try {
      await expect.poll(() => takeOver.mock.calls.length, { timeout: 10_000 }).toBe(1);
      const before = await beats();
      await expect.poll(beats, { timeout: 15_000 }).toBeGreaterThan(before);
      const unanswered = vi.spyOn(WorkerWatch.prototype, "beat").mockReturnValueOnce(new Promise(() => {}));
      await expect.poll(() => unanswered.mock.calls.length, { timeout: 15_000 }).toBeGreaterThan(1);
      expect(takeOver).toHaveBeenCalledTimes(1);
    } finally {
      await database.query("delete from runs where worker_id = $1", [gone]);
      goOn();
    }
  });

  test("runs what it has claimed, however late the answer to the claim", async () => {
    delayClaims(async () => await sleep(12_000));
    const runId = await submitHere("return 1");
    expect(await alive.service.result(alive.projectId, runId, 60_000)).toMatchObject({
      status: "succeeded",
      output: 1,
    });
  });

  test("does not begin what it claimed under the name of a worker that was taken for dead", async () => {
    const append = vi.spyOn(alive.service.store, "appendEvents");
    delayClaims(async () => {
      await takeForDead();
      await expect.poll(beats, { timeout: 30_000 }).toBeGreaterThan(0);
    });
    const runId = await submitHere("await new Promise((r) => setTimeout(r, 500)); return 1");
    expect(await alive.service.result(alive.projectId, runId, 60_000)).toMatchObject(lost);
    await sleep(1_000);
    expect(append).not.toHaveBeenCalled();
  });

  test("aborts also what it claimed while it got its new name", async () => {
    const underWay = async (): Promise<number> => (await alive.service.counts()).runsUnderWay;
    let beginning = false;
    vi.spyOn(WorkerWatch.prototype, "begin").mockImplementationOnce(async function (this: WorkerWatch, workerId) {
      beginning = true;
      await expect.poll(underWay, { timeout: 10_000 }).toBe(1);
      await this.begin(workerId);
    });
    delayClaims(async () => {
      await takeForDead();
      await expect.poll(() => beginning, { timeout: 20_000 }).toBe(true);
    });
    const runId = await submitHere(endless("late"));
    await expect.poll(() => beginning, { timeout: 30_000 }).toBe(true);
    expect(await alive.service.result(alive.projectId, runId, 60_000)).toMatchObject(lost);
    await expect.poll(underWay, { timeout: 10_000 }).toBe(0);
  });
});
