/** Events by the day of their run's beginning: made ahead, found by that day alone, and right over midnight. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { setTimeout as sleep } from "node:timers/promises";
import { createId } from "../../protocol/ids.ts";
import { DatabaseEventSource } from "../../runs/event-source.ts";
import { dropPartition, listPartitions, makePartitions } from "../../runs/partitions.ts";
import { forgetRuns } from "../../runs/retention.ts";
import { type ClaimedRun, RunStore, type StoredEvent } from "../../runs/store.ts";
import { recordRuns } from "../../runs/submit.ts";
import { createOrganization, createProject } from "../../vault/tenancy/tenancy.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";
import { mark, succeeded } from "./backends.ts";

let temporary: Temporary;
let store: RunStore;
let projectId: string;
let today: string;
beforeAll(async () => {
  temporary = await openTemporary();
  store = new RunStore(temporary.database);
  const organization = await createOrganization(temporary.database, "Test");
  projectId = (await createProject(temporary.database, organization.id, "Test")).id;
  const { rows } = await temporary.database.query<{ day: string }>(
    "select (now() at time zone 'utc')::date::text as day",
  );
  today = rows[0]!.day;
  await makePartitions(temporary.database);
});
afterAll(async () => await temporary.dispose());

const dayOf = (days: number): string => new Date(Date.parse(today) + days * 86_400_000).toISOString().slice(0, 10);
const tableOf = (day: string): string => `run_events_${day.replaceAll("-", "")}`;
const event = (seq: number): StoredEvent => ({ seq, time: new Date(), body: mark({ kind: "stdout", text: "x" }) });

async function claimedRun(day = today): Promise<ClaimedRun> {
  const id = createId();
  const job = { projectId, step: { language: "python" as const, code: "1" } };
  await recordRuns(temporary.database, [{ id, job }], { projectId });
  await temporary.database.query("update runs set day = $2 where id = $1", [id, day]);
  const claim = await store.claim(projectId, id, "worker");
  if (claim.state !== "claimed") throw new Error("not claimed");
  return claim.run;
}

async function runOfDay(day: string): Promise<string> {
  const run = await claimedRun(day);
  await store.appendEvents(run, [event(0), event(1)]);
  await store.finish(succeeded(run.id), [event(2)], { from: run });
  return run.id;
}

async function tablesOf(runId: string): Promise<string[]> {
  const { rows } = await temporary.database.query<{ name: string }>(
    "select distinct tableoid::regclass::text as name from run_events where run_id = $1",
    [runId],
  );
  return rows.map(({ name }) => name);
}

test("there is one for today and for a week to come, and making them again changes nothing", async () => {
  const days = Array.from({ length: 8 }, (_, i) => dayOf(i));
  expect(await listPartitions(temporary.database)).toEqual(days);
  await Promise.all([1, 2, 3].map(async () => await makePartitions(temporary.database)));
  expect(await listPartitions(temporary.database)).toEqual(days);
});

test("processes that start together make each once", async () => {
  for (const day of [5, 6, 7]) await dropPartition(temporary.database, dayOf(day));
  await Promise.all([1, 2, 3, 4].map(async () => await makePartitions(temporary.database)));
  expect(await listPartitions(temporary.database)).toHaveLength(8);
});

test("events are kept with the day of their run, also those that come after midnight", async () => {
  const runId = await runOfDay(today);
  expect(await tablesOf(runId)).toEqual([tableOf(today)]);
  // It began yesterday, for which there is no partition any more.
  const late = await runOfDay(dayOf(-1));
  expect(await tablesOf(late)).toEqual(["run_events_other"]);
  expect((await store.listEvents(projectId, late)).map(({ seq }) => seq)).toEqual([0, 1, 2]);
  const early = await runOfDay(dayOf(1));
  expect(await tablesOf(early)).toEqual([tableOf(dayOf(1))]);
});

test("a day whose events lie elsewhere already is left there, and the others are made all the same", async () => {
  await dropPartition(temporary.database, dayOf(3));
  await dropPartition(temporary.database, dayOf(4));
  const runId = await runOfDay(dayOf(3));
  await makePartitions(temporary.database);
  expect(await listPartitions(temporary.database)).toEqual([0, 1, 2, 4, 5, 6, 7].map(dayOf));
  expect(await store.listEvents(projectId, runId)).toHaveLength(3);
});

test("nothing that is done about a run waits for another day's partition, also once plans are kept", async () => {
  const { database } = temporary;
  const source = new DatabaseEventSource(database);
  const liveThrough = async (): Promise<void> => {
    const id = await runOfDay(today);
    expect((await store.listEvents(projectId, id)).map(({ seq }) => seq)).toEqual([0, 1, 2]);
    expect((await source.read([{ runId: id, from: 1, eventsMax: 9 }]))[0]!.events).toHaveLength(2);
    expect(await source.tips([{ runId: id, from: 2 }])).toEqual([{ runId: id, from: 2, more: true, ended: true }]);
    await database.query(
      "update runs set created_at = now() - interval '40 days', ended_at = now() - interval '40 days' where id = $1",
      [id],
    );
    expect(await forgetRuns(database, { days: 30 })).toEqual({ runs: 1, partitions: 0 });
    expect(await store.listEvents(projectId, id)).toEqual([]);

    const cancelled = await claimedRun();
    await store.appendEvents(cancelled, [event(0), event(1)]);
    expect(await store.takeOver("worker", "heir")).toMatchObject([{ id: cancelled.id, nextSeq: 2 }]);
    expect(await store.requeue({ ...cancelled, workerId: "heir" }, [event(2)], { delayMs: 0 })).toBe(true);
    const again = await store.claim(projectId, cancelled.id, "worker");
    expect(again).toMatchObject({ state: "claimed", run: { attempt: 2, nextSeq: 3 } });
    expect(await store.requeue(cancelled, [event(3)], { delayMs: 0 })).toBe(true);
    await store.requestCancel(projectId, cancelled.id);
    expect(await store.listCancelRequested()).toEqual([{ id: cancelled.id, status: "queued", nextSeq: 4 }]);
    expect(await store.claim(projectId, cancelled.id, "worker")).toEqual({ state: "cancelled", nextSeq: 4 });
    await store.finish(succeeded(cancelled.id), [event(4)], { from: "queued" });
  };
  const others = Promise.withResolvers<void>();
  const locked = database.transaction(async (client) => {
    await client.query(`lock table run_events_other, ${tableOf(dayOf(1))} in access exclusive mode`);
    await others.promise;
  });
  try {
    for (let i = 0; i < 8; i++) await Promise.race([liveThrough(), sleep(5_000).then(() => expect.fail("it waits"))]);
  } finally {
    others.resolve();
    await locked;
  }
});

test("dropping a day takes its events and no others", async () => {
  const [first, second] = [await runOfDay(today), await runOfDay(dayOf(1))];
  await dropPartition(temporary.database, today);
  await dropPartition(temporary.database, today);
  expect(await store.listEvents(projectId, first)).toEqual([]);
  expect(await store.listEvents(projectId, second)).toHaveLength(3);
  await expect(dropPartition(temporary.database, "2026-01-01; drop table runs")).rejects.toThrow("that is no day");
});
