/**
 * The statements of a run's life keep their plans, from when there was next to nothing in the tables. Goal: they read a run and
 * not thousands when many wait, run and have ended meanwhile. Method: rows read, as PostgreSQL counts them.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import type { RunEventBody } from "../../protocol/job.ts";
import { RunStore, type StoredEvent } from "../../runs/store.ts";
import { recordRuns } from "../../runs/submit.ts";
import { createOrganization, createProject } from "../../vault/tenancy/tenancy.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";
import { mark, succeeded } from "./backends.ts";

let temporary: Temporary;
let store: RunStore;
let projectId: string;
beforeAll(async () => {
  temporary = await openTemporary();
  store = new RunStore(temporary.database);
  const organization = await createOrganization(temporary.database, "Acme");
  projectId = (await createProject(temporary.database, organization.id, "Support")).id;
});
afterAll(async () => await temporary.dispose());

function event(seq: number, body: RunEventBody): StoredEvent {
  return { seq, time: new Date(), body: mark(body) };
}

async function live(): Promise<void> {
  const { database } = temporary;
  const runId = createId();
  const job = { projectId, step: { language: "javascript", code: "return 1" } } as const;
  await recordRuns(database, [{ id: runId, job }], { projectId });
  const claim = await store.claim(projectId, runId, "worker");
  if (claim.state !== "claimed") throw new Error(claim.state);
  expect((await store.claim(projectId, runId, "other")).state).toBe("held");
  expect(await store.appendEvents(claim.run, [event(0, { kind: "started" })])).toBe(true);
  const last = event(1, { kind: "finished", status: "succeeded" });
  const ended = await store.finish(succeeded(runId), [last], { from: { workerId: "worker" } });
  expect(ended).toBeDefined();
  expect(await store.listEvents(projectId, runId)).toHaveLength(2);
}

/** Rows and index entries of runs that this connection has read. */
async function rowsRead(): Promise<number> {
  await temporary.database.query("select pg_stat_force_next_flush()");
  const { rows } = await temporary.database.query<{ read: number }>(
    `select (select sum(seq_tup_read + idx_tup_fetch) from pg_stat_user_tables where relname = 'runs')::int
          + (select sum(idx_tup_read) from pg_stat_user_indexes where relname = 'runs')::int as read`,
  );
  return rows[0]!.read;
}

test("a run's statements read that run alone, however many there are meanwhile", async () => {
  for (let i = 0; i < 10; i++) await live();
  for (const status of ["queued", "running", "succeeded"])
    await temporary.database.query(
      `insert into runs (id, project_id, status, labels, turn, worker_id, dispatched_at)
       select gen_random_uuid(), $1, $2, '{}', 1, case when $2 = 'running' then 'other' end, now()
       from generate_series(1, 3000)`,
      [projectId, status],
    );
  const before = await rowsRead();
  for (let i = 0; i < 10; i++) await live();
  expect((await rowsRead()) - before).toBeLessThan(10 * 100);
});
