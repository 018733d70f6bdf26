/**
 * Forgets runs that have ended: after their project's days, and the oldest of a project that keeps more bytes than it may. What
 * is older than anybody keeps goes by dropping whole partitions of events. In small statements, by one process at a time.
 */
import type { Database } from "../database/connection.ts";
import { dropPartition, listPartitions, makePartitions } from "./partitions.ts";

const pauseMinutes = 50;
const runsPerStatement = 500;
/** What a run takes beside its events. */
const runBytes = 1_000;

export interface Forgotten {
  readonly runs: number;
  readonly partitions: number;
}

/** Makes partitions ahead and forgets what is old, if no process has in the last hour. Throws ERR_DATABASE. */
export async function maintainRuns(database: Database, { days }: { days: number }): Promise<Forgotten | undefined> {
  const { rowCount } = await database.query(
    `insert into maintenance (name, begun_at) values ('retention', now())
     on conflict (name) do update set begun_at = now()
     where maintenance.begun_at < now() - $1 * interval '1 minute' or maintenance.begun_at > now()`,
    [pauseMinutes],
  );
  if (rowCount !== 1) return undefined;
  await makePartitions(database);
  return await forgetRuns(database, { days });
}

/** `days`: of projects that say nothing. Throws ERR_DATABASE. */
export async function forgetRuns(database: Database, { days }: { days: number }): Promise<Forgotten> {
  const { rows } = await database.query<{ id: string; before: string; bytesMax: string | null }>(
    `select id, (now() - coalesce(retention_days, $1) * interval '1 day')::text as before, retention_bytes_max as "bytesMax"
     from projects where exists (select from runs where project_id = projects.id)`,
    [days],
  );
  let runs = 0;
  for (const { id, before, bytesMax } of rows) {
    runs += await forgetBefore(database, id, before);
    const full = bytesMax === null ? undefined : await tooOld(database, id, bytesMax);
    if (full !== undefined) runs += await forgetBefore(database, id, full);
  }
  return { runs, partitions: await dropOldPartitions(database, days) };
}

/** The time before which a project's runs are more than it may keep; undefined when all have room. */
async function tooOld(database: Database, projectId: string, bytesMax: string): Promise<string | undefined> {
  const { rows } = await database.query<{ before: string }>(
    `select (created_at + interval '1 microsecond')::text as before
     from (
       select created_at, sum(events_bytes + ${runBytes}) over (order by created_at desc, id desc) as total
       from runs where project_id = $1
     ) as kept
     where total > $2 order by created_at desc limit 1`,
    [projectId, bytesMax],
  );
  return rows[0]?.before;
}

async function forgetBefore(database: Database, projectId: string, before: string): Promise<number> {
  const old = `select id, day from runs where project_id = $1 and created_at < $2 and ended_at is not null`;
  const oldest = `order by created_at limit ${runsPerStatement}`;
  for (let runs = 0; ;) {
    const { rows } = await database.query<{ day: string }>(
      `select distinct day::text from (${old} ${oldest}) as oldest`,
      [projectId, before],
    );
    if (rows.length === 0) return runs;
    const { rowCount } = await database.query({
      text: `with old as (${old} and day = any($3::date[]) ${oldest} for update skip locked),
             events as (delete from run_events e using old
                        where e.run_day = any($3::date[]) and e.run_day = old.day and e.run_id = old.id)
             delete from runs using old where runs.id = old.id`,
      values: [projectId, before, rows.map(({ day }) => day)],
    });
    runs += rowCount ?? 0;
    if (rowCount !== runsPerStatement) return runs;
  }
}

/** Days of which no project keeps a run any more. */
async function dropOldPartitions(database: Database, days: number): Promise<number> {
  const { rows } = await database.query<{ keeps: string }>(
    `select ((now() at time zone 'utc')::date - greatest($1, (select max(retention_days) from projects)) - 1)::text as keeps`,
    [days],
  );
  let dropped = 0;
  for (const day of await listPartitions(database)) {
    if (day >= rows[0]!.keeps) break;
    const { rowCount } = await database.query("select from runs where day = $1 limit 1", [day]);
    if (rowCount !== 0) continue;
    await dropPartition(database, day);
    dropped += 1;
  }
  return dropped;
}
