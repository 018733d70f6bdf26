/**
 * What looks after all projects, one after the other: one whose statement fails, or waits behind somebody who is frozen,
 * stops none of the others, and what went wrong is told all the same.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import { oneByOne } from "../../runs/one-by-one.ts";
import type { RunQueue } from "../../runs/queue.ts";
import { forgetRuns } from "../../runs/retention.ts";
import { createSchedule, submitDue } from "../../runs/schedules.ts";
import { submitRuns } from "../../runs/submit.ts";
import { dispatchDue, restoreLost } from "../../runs/sweep.ts";
import { createOrganization, createProject } from "../../vault/tenancy/tenancy.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";
import { javascript } from "./backends.ts";

const step = javascript("return 1");
const by = { kind: "system", id: "test" } as const;

let temporary: Temporary;
let organizationId: string;
/** In the order of their ids. */
let projects: string[];
const turns = new Map<string, number>();
let fails = (_runId: string): boolean => false;
const queue = {
  add: async () => {},
  restore: async () => 0,
  setTurn: async (runId: string, turn: number) => {
    if (fails(runId)) throw new Error("the job has just ended");
    await Promise.resolve(turns.set(runId, turn));
  },
} as unknown as RunQueue;

beforeAll(async () => {
  temporary = await openTemporary();
  organizationId = (await createOrganization(temporary.database, "Test")).id;
});
afterAll(async () => await temporary.dispose());
beforeEach(async () => {
  await temporary.database.query("delete from runs");
  const { database } = temporary;
  projects = [];
  for (const name of ["A", "B", "C"]) projects.push((await createProject(database, organizationId, name)).id);
  projects.sort();
});

const parts = (): { database: Temporary["database"]; queue: RunQueue } => ({ database: temporary.database, queue });

async function projectsOf(condition: string): Promise<string[]> {
  const { rows } = await temporary.database.query<{ id: string }>(
    `select distinct project_id as id from runs where project_id = any($1) and ${condition} order by 1`,
    [projects],
  );
  return rows.map(({ id }) => id);
}

test("held runs go to the queue although a frozen process has locked another project, within seconds", async () => {
  for (const id of projects)
    await temporary.database.query("insert into runs (id, project_id, status, job) values ($1, $2, 'queued', '{}')", [
      createId(),
      id,
    ]);
  const thawed = Promise.withResolvers<void>();
  const locked = Promise.withResolvers<void>();
  const frozen = temporary.database.transaction(async (client) => {
    await client.query("select from projects where id = $1 for no key update", [projects[0]]);
    locked.resolve();
    await thawed.promise;
  });
  try {
    await locked.promise;
    const began = performance.now();
    await expect(dispatchDue(parts())).rejects.toMatchObject({ code: "ERR_DATABASE" });
    expect(performance.now() - began).toBeLessThan(8_000);
    expect(await projectsOf("dispatched_at is not null")).toEqual(projects.slice(1));
  } finally {
    thawed.resolve();
    await frozen;
  }
  await dispatchDue(parts());
  expect(await projectsOf("dispatched_at is not null")).toEqual(projects);
}, 60_000);

test("schedules submit their runs although one that is due before them cannot be read any more", async () => {
  const input = { name: "Often", cron: "*/5 * * * *", timeZone: "UTC", job: { step }, enabled: true };
  for (const [i, projectId] of projects.entries()) {
    const { id } = await createSchedule(temporary.database, projectId, { input: input as never, by });
    await temporary.database.query(
      "update schedules set next_at = date_trunc('minute', now()) - $2 * interval '1 minute' where id = $1",
      [id, 10 - i],
    );
  }
  // As of a Node that knows other time zones than the one that took it.
  await temporary.database.query("update schedules set time_zone = 'Mars/Olympus_Mons' where project_id = $1", [
    projects[0],
  ]);
  await expect(submitDue(parts())).rejects.toMatchObject({ code: "ERR_SCHEDULE_INVALID" });
  expect(await projectsOf("submitted_by_kind = 'schedule'")).toEqual(expect.arrayContaining(projects.slice(1)));
  const { rows } = await temporary.database.query("select id from schedules where next_at <= now()");
  expect(rows).toHaveLength(1);
});

test("old runs are forgotten although those of another project cannot be", async () => {
  const { database } = temporary;
  await database.query(`create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$`);
  // Whichever comes first, those behind it are looked at too.
  for (const stuck of projects) {
    for (const id of projects)
      await database.query(
        `insert into runs (id, project_id, status, created_at, ended_at)
         select $1, $2, 'succeeded', at, at from (select now() - interval '40 days' as at) as t`,
        [createId(), id],
      );
    await database.query(
      `create trigger stuck before delete on runs for each row when (old.project_id = '${stuck}') execute function refuse()`,
    );
    const looked = await forgetRuns(database, { days: 30 }).catch((error: unknown) => error);
    const left = await projectsOf("true");
    await database.query("drop trigger stuck on runs");
    expect(looked).toMatchObject({ code: "ERR_DATABASE" });
    expect(left).toEqual([stuck]);
    await forgetRuns(database, { days: 30 });
  }
});

test("turns that are counted anew are told of each run, though some jobs have just ended", async () => {
  const runs = await submitRuns(
    parts(),
    Array.from({ length: 120 }, () => ({ projectId: projects[0]!, step })),
  );
  const ids = runs.map(({ runId }) => runId);
  await temporary.database.query("update runs set turn = turn + 1500000");
  fails = (runId) => runId === ids[3] || runId === ids[70];
  await expect(restoreLost(parts())).rejects.toThrow("the job has just ended");
  expect(ids.map((id) => turns.get(id))).toEqual(ids.map((id, i) => (fails(id) ? undefined : i)));
  // A queue that takes none is away: it is not asked for each of them.
  let asked = 0;
  await temporary.database.query("update runs set turn = turn + 1500000");
  fails = () => (asked += 1) > 0;
  await expect(restoreLost(parts())).rejects.toThrow("the job has just ended");
  expect(asked).toBeLessThan(ids.length);
  fails = () => false;
});

test("a look that is to stop goes to the end of the project that it is at, and no further", async () => {
  const abort = new AbortController();
  const seen: number[] = [];
  const look = oneByOne(
    [1, 2, 3, 4],
    async (item) => {
      seen.push(item);
      if (item === 2) abort.abort();
      await Promise.reject(new Error(`failed at ${item}`));
    },
    abort.signal,
  );
  await expect(look).rejects.toThrow("failed at 1");
  expect(seen).toEqual([1, 2]);
});
