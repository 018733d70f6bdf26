/**
 * Waiting for runs to end, where notifications are lost, the connection that hears them is killed, or the database is away;
 * for many at once, for as long as was said, and for no run of another project.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import type { RunResult } from "../../protocol/job.ts";
import { RunSignal } from "../../runs/run-signal.ts";
import type { LiveFeed } from "../../runs/live-feed.ts";
import type { RunQueue } from "../../runs/queue.ts";
import { RunEnds } from "../../runs/run-ends.ts";
import { Runs } from "../../runs/runs.ts";
import { RunStore } from "../../runs/store.ts";
import { recordRuns } from "../../runs/submit.ts";
import { createOrganization, createProject } from "../../vault/tenancy/tenancy.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";
import { succeeded } from "./backends.ts";

let temporary: Temporary;
let mine: string;
let others: string;
beforeAll(async () => {
  temporary = await openTemporary();
  const organization = await createOrganization(temporary.database, "Test");
  mine = (await createProject(temporary.database, organization.id, "Mine")).id;
  others = (await createProject(temporary.database, organization.id, "Other")).id;
});
afterAll(async () => await temporary.dispose());

let ends: RunEnds;
let runs: Runs;
let signal: RunSignal;
beforeEach(() => {
  ends = new RunEnds(temporary.database);
  signal = new RunSignal(temporary.database);
  runs = new Runs({ database: temporary.database, ends, queue: {} as RunQueue, feed: {} as LiveFeed });
});
afterEach(async () => {
  await ends.close();
  await signal.close();
});

async function newRun(projectId = mine): Promise<string> {
  const id = createId();
  const job = { projectId, step: { language: "python" as const, code: "1" } };
  await recordRuns(temporary.database, [{ id, job }], { projectId });
  return id;
}

/** Ends a run as a worker does; silently, when what tells of it is lost. */
async function end(runId: string, { silently = false } = {}): Promise<void> {
  await new RunStore(temporary.database).finish(succeeded(runId), [], { from: "queued" });
  if (!silently) signal.ended(runId);
}

const wait = async (runId: string, timeoutMs = 20_000, projectId = mine): Promise<RunResult | undefined> =>
  await runs.wait(projectId, runId, { timeoutMs });

const killListener = async (): Promise<number> =>
  (
    await temporary.database.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'stepvault-listener'",
    )
  ).rowCount ?? 0;

describe("a run's end", () => {
  test("is told at once, not at the next look", async () => {
    const times: number[] = [];
    for (let i = 0; i < 8; i += 1) {
      const runId = await newRun();
      const result = wait(runId);
      await sleep(150);
      const endedAt = performance.now();
      await end(runId);
      expect(await result).toEqual(succeeded(runId));
      times.push(performance.now() - endedAt);
    }
    expect(times.toSorted((a, b) => a - b)[4]).toBeLessThan(150);
  });

  test("is told that came before, by an id in capitals too", async () => {
    const runId = await newRun();
    await end(runId, { silently: true });
    expect(await wait(runId)).toEqual(succeeded(runId));
    expect(await wait(runId.toUpperCase())).toEqual(succeeded(runId));
  });

  test("is found within two seconds when its notification is lost", async () => {
    const runId = await newRun();
    const result = wait(runId);
    await sleep(1_500);
    const endedAt = performance.now();
    await end(runId, { silently: true });
    expect(await result).toEqual(succeeded(runId));
    expect(performance.now() - endedAt).toBeLessThan(2_000);
  });

  test("is found though the connection that hears of ends is killed again and again", async () => {
    const runIds = [await newRun(), await newRun()];
    const results = runIds.map(async (runId) => await wait(runId));
    await expect.poll(killListener, { timeout: 5_000 }).toBe(1);
    await end(runIds[0]!);
    expect(await results[0]).toEqual(succeeded(runIds[0]!));
    // There is a new one, and it hears.
    await expect.poll(killListener, { timeout: 5_000 }).toBe(1);
    await sleep(500);
    await end(runIds[1]!);
    expect(await results[1]).toEqual(succeeded(runIds[1]!));
  });

  test("is found when the database could not be read for a while", async () => {
    const runId = await newRun();
    let told = false;
    const ended = ends.wait(runId, AbortSignal.timeout(20_000)).then(() => (told = true));
    await sleep(300);
    await temporary.database.query("alter table runs rename to runs_away");
    await sleep(1_500);
    expect(told).toBe(false);
    await temporary.database.query("alter table runs_away rename to runs");
    await end(runId, { silently: true });
    await ended;
    expect(await wait(runId)).toEqual(succeeded(runId));
  });

  test("is not believed of a notification for another run, or one that is no id", async () => {
    const [runId, other] = [await newRun(), await newRun()];
    let told = false;
    const result = wait(runId).finally(() => (told = true));
    await sleep(300);
    await temporary.database.query("select pg_notify('stepvault_run_ends', $1)", [`${other},sk live,,__proto__`]);
    await sleep(300);
    expect(told).toBe(false);
    await end(runId);
    await result;
  });

  test("reaches each of many who wait, over one connection and few statements, without a warning of Node's", async () => {
    const warnings: string[] = [];
    const warn = ({ message }: Error): void => void warnings.push(message);
    process.on("warning", warn);
    const runIds = await Promise.all(Array.from({ length: 300 }, async () => await newRun()));
    const results = [...runIds, ...runIds].map(async (runId) => await wait(runId));
    await sleep(1_500);
    const { rows } = await temporary.database.query<{ count: number }>(
      "select count(*)::int as count from pg_stat_activity where application_name = 'stepvault-listener'",
    );
    expect(rows[0]!.count).toBe(1);
    for (const runId of runIds) await end(runId);
    expect(await Promise.all(results)).toEqual([...runIds, ...runIds].map((runId) => succeeded(runId)));
    process.off("warning", warn);
    expect(warnings).toEqual([]);
  });

  test("is not waited for beyond the given time, nor beyond the caller's interest", async () => {
    const runId = await newRun();
    for (const ms of [0, 50, 1_300]) {
      const startedAt = performance.now();
      expect(await wait(runId, ms)).toBeUndefined();
      expect(performance.now() - startedAt).toBeGreaterThanOrEqual(ms - 1);
      expect(performance.now() - startedAt).toBeLessThan(ms + 1_000);
    }
    const caller = new AbortController();
    const given = runs.wait(mine, runId, { timeoutMs: 20_000, signal: caller.signal });
    await sleep(100);
    caller.abort();
    expect(await given).toBeUndefined();
    expect(await runs.wait(mine, runId, { timeoutMs: 20_000, signal: AbortSignal.abort() })).toBeUndefined();
    await end(runId);
    expect(await wait(runId)).toEqual(succeeded(runId));
  });

  test("is given up when waiting is closed, at once", async () => {
    const results = [await newRun(), await newRun()].map(async (runId) => await wait(runId));
    await sleep(300);
    const startedAt = performance.now();
    await ends.close();
    expect(await Promise.all(results)).toEqual([undefined, undefined]);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});

describe("a project waits for", () => {
  test("no run of another project, whether it is queued or ended, as if there were none", async () => {
    const runId = await newRun(others);
    const refusals: unknown[] = [];
    const refuse = async (projectId: string, id: string): Promise<void> => {
      refusals.push(await wait(id, 20_000, projectId).catch((error: unknown) => error));
    };
    await refuse(mine, runId);
    await end(runId);
    await refuse(mine, runId);
    await refuse(mine, createId());
    await refuse(createId(), runId);
    await refuse(mine, "sk live key");
    await refuse("sk live key", runId);
    for (const refusal of refusals) expect(refusal).toMatchObject({ code: "ERR_RUN_UNKNOWN", fault: "user" });
    expect(new Set(refusals.map(String)).size).toBe(1);
    expect(String(refusals[0])).not.toContain("sk live");
    expect(await wait(runId, 20_000, others)).toEqual(succeeded(runId));
  });
});
