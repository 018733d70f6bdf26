/** Old runs are forgotten: by a project's days, by its bytes, and by whole partitions; what has not ended stays. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import { listPartitions } from "../../runs/partitions.ts";
import { forgetRuns, maintainRuns } from "../../runs/retention.ts";
import { createOrganization, createProject } from "../../vault/tenancy/tenancy.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";

let temporary: Temporary;
let organizationId: string;
beforeAll(async () => {
  temporary = await openTemporary();
  organizationId = (await createOrganization(temporary.database, "Test")).id;
});
afterAll(async () => await temporary.dispose());

async function newProject(limits: { days?: number; bytes?: number } = {}): Promise<string> {
  const { id } = await createProject(temporary.database, organizationId, "Test");
  await temporary.database.query("update projects set retention_days = $2, retention_bytes_max = $3 where id = $1", [
    id,
    limits.days ?? null,
    limits.bytes ?? null,
  ]);
  return id;
}

/** A run with two events that began some days ago. */
async function newRun(projectId: string, daysAgo: number, { bytes = 100, ended = true } = {}): Promise<string> {
  const id = createId();
  await temporary.database.query(
    `insert into runs (id, project_id, status, created_at, day, ended_at, dispatched_at, events_bytes)
     select $1, $2, $3, t.at, (t.at at time zone 'utc')::date, case when $4 then t.at end, t.at, $5
     from (select now() - $6 * interval '1 day' as at) t`,
    [id, projectId, ended ? "succeeded" : "running", ended, bytes, daysAgo],
  );
  await temporary.database.query(
    `insert into run_events (run_day, run_id, seq, kind, body)
     select day, id, seq, 'stdout', '{"kind":"stdout","text":"x"}' from runs, generate_series(0, 1) seq where id = $1`,
    [id],
  );
  return id;
}

async function kept(projectId: string): Promise<string[]> {
  const { rows } = await temporary.database.query<{ id: string }>(
    "select id from runs where project_id = $1 order by created_at",
    [projectId],
  );
  return rows.map(({ id }) => id);
}

async function eventsOf(runId: string): Promise<number> {
  return (await temporary.database.query("select from run_events where run_id = $1", [runId])).rowCount ?? 0;
}

test("runs go after their project's days, or the deployment's, with their events; others stay", async () => {
  const [usual, short, long] = [await newProject(), await newProject({ days: 2 }), await newProject({ days: 90 })];
  const runs = new Map<string, string[]>();
  for (const project of [usual, short, long])
    runs.set(project, [await newRun(project, 40), await newRun(project, 5), await newRun(project, 1)]);
  await forgetRuns(temporary.database, { days: 30 });
  expect(await kept(usual)).toEqual(runs.get(usual)!.slice(1));
  expect(await kept(short)).toEqual(runs.get(short)!.slice(2));
  expect(await kept(long)).toEqual(runs.get(long));
  expect(await eventsOf(runs.get(usual)![0]!)).toBe(0);
  expect(await eventsOf(runs.get(long)![0]!)).toBe(2);
});

test("a run that has not ended stays, however old", async () => {
  const project = await newProject({ days: 1 });
  const id = await newRun(project, 100, { ended: false });
  await forgetRuns(temporary.database, { days: 30 });
  expect(await kept(project)).toEqual([id]);
  expect(await eventsOf(id)).toBe(2);
});

test("a project that keeps too many bytes loses its oldest runs, and only these", async () => {
  const project = await newProject({ bytes: 25_000 });
  const ids: string[] = [];
  for (const daysAgo of [5, 4, 3, 2, 1]) ids.push(await newRun(project, daysAgo, { bytes: 9_000 }));
  await forgetRuns(temporary.database, { days: 30 });
  expect(await kept(project)).toEqual(ids.slice(3));
});

test("of a batch, whose runs have one time, no more go than must", async () => {
  const project = await newProject({ bytes: 25_000 });
  const { rows } = await temporary.database.query<{ id: string }>(
    `insert into runs (id, project_id, status, ended_at, events_bytes)
     select gen_random_uuid(), $1, 'succeeded', now(), 9000 from generate_series(1, 10) returning id`,
    [project],
  );
  const ids = rows.map(({ id }) => id).toSorted();
  await forgetRuns(temporary.database, { days: 30 });
  expect((await kept(project)).toSorted()).toEqual(ids.slice(-2));
});

test("a run is kept for its project's days from its end on, with its events, however long it waited before", async () => {
  const { database } = temporary;
  const project = await newProject({ days: 30 });
  const [recent, old] = [await newRun(project, 60), await newRun(project, 60)];
  const end = async (id: string, daysAgo: number): Promise<void> => {
    await database.query("update runs set ended_at = now() - $2 * interval '1 day' where id = $1", [id, daysAgo]);
  };
  await end(recent, 29);
  await end(old, 31);
  await forgetRuns(database, { days: 30 });
  expect(await kept(project)).toEqual([recent]);
  expect([await eventsOf(recent), await eventsOf(old)]).toEqual([2, 0]);
  await end(recent, 31);
  await forgetRuns(database, { days: 30 });
  expect(await kept(project)).toEqual([]);
});

test("thousands of runs go in one look", async () => {
  const project = await newProject({ days: 2 });
  await temporary.database.query(
    `insert into runs (id, project_id, status, created_at, day, ended_at)
     select gen_random_uuid(), $1, 'succeeded', now() - interval '5 days', current_date - 5, now() - interval '4 days' from generate_series(1, 2300)`,
    [project],
  );
  expect((await forgetRuns(temporary.database, { days: 30 })).runs).toBe(2_300);
  expect(await kept(project)).toEqual([]);
});

test("a day that nobody keeps is dropped as a whole, and one that somebody keeps is not", async () => {
  const { database } = temporary;
  const project = await newProject();
  await database.query("update projects set retention_days = null");
  const { rows } = await database.query<{ old: string; young: string }>(
    "select ((now() at time zone 'utc')::date - 60)::text as old, ((now() at time zone 'utc')::date - 10)::text as young",
  );
  const { old, young } = rows[0]!;
  await database.query("delete from runs");
  await database.query("delete from run_events");
  for (const day of [old, young])
    await database.query(
      `create table run_events_${day.replaceAll("-", "")} partition of run_events for values from ('${day}') to ('${day}'::date + 1)`.replace(
        `'${day}'::date + 1`,
        `'${new Date(Date.parse(day) + 86_400_000).toISOString().slice(0, 10)}'`,
      ),
    );
  const [gone, kept10] = [await newRun(project, 60), await newRun(project, 10)];
  expect(await listPartitions(database)).toEqual(expect.arrayContaining([old, young]));
  // It waited for 59 of these days.
  await database.query("update runs set ended_at = now() - interval '1 day' where id = $1", [gone]);
  expect(await forgetRuns(database, { days: 30 })).toEqual({ runs: 0, partitions: 0 });
  expect(await listPartitions(database)).toContain(old);
  expect(await eventsOf(gone)).toBe(2);
  await database.query("update runs set ended_at = created_at where id = $1", [gone]);
  expect(await forgetRuns(database, { days: 30 })).toEqual({ runs: 1, partitions: 1 });
  const left = await listPartitions(database);
  expect(left).not.toContain(old);
  expect(left).toContain(young);
  expect([await eventsOf(gone), await eventsOf(kept10)]).toEqual([0, 2]);
});

test("of many processes one does it, and again an hour later", async () => {
  const { database } = temporary;
  const looks = await Promise.all(Array.from({ length: 5 }, async () => await maintainRuns(database, { days: 30 })));
  expect(looks.filter((look) => look !== undefined)).toHaveLength(1);
  expect(await maintainRuns(database, { days: 30 })).toBeUndefined();
  await database.query("update maintenance set begun_at = now() - interval '1 hour'");
  expect(await maintainRuns(database, { days: 30 })).toBeDefined();
  // A clock that was an hour ahead and is right again must not stop it for an hour.
  await database.query("update maintenance set begun_at = now() + interval '1 hour'");
  expect(await maintainRuns(database, { days: 30 })).toBeDefined();
});
