/**
 * Forgets runs that have ended: after their project's days, and the oldest of a project that keeps more bytes than it may. What
 * is older than anybody keeps goes by dropping whole partitions of events. In small statements, by one process at a time.
 */
import type { Database } from "../database/connection.ts";
import { oneByOne } from "./one-by-one.ts";
import { dropPartition, listPartitions, makePartitions } from "./partitions.ts";

const pauseMinutes = 50;
const runsPerStatement = 500;
/** What a run takes beside its events. */
const runBytes = 1_000;
const lastId = "ffffffff-ffff-ffff-ffff-ffffffffffff";

interface Days {
  /** For which runs are kept of projects that say nothing. */
  readonly days: number;
  readonly signal?: AbortSignal;
}

export interface Forgotten {
  readonly runs: number;
  readonly partitions: number;
}

/** Makes partitions ahead and forgets what is old, if no process has in the last hour. Throws ERR_DATABASE. */
export async function maintainRuns(database: Database, options: Days): Promise<Forgotten | undefined> {
  const { rowCount } = await database.query(
    `insert into maintenance (name, begun_at) values ('retention', now())
     on conflict (name) do update set begun_at = now()
     where maintenance.begun_at < now() - $1 * interval '1 minute' or maintenance.begun_at > now()`,
    [pauseMinutes],
  );
  if (rowCount !== 1) return undefined;
  await makePartitions(database);
  return await forgetRuns(database, options);
}

/** Throws ERR_DATABASE, once all projects and days have been looked at. */
export async function forgetRuns(database: Database, { days, signal }: Days): Promise<Forgotten> {
  const { rows } = await database.query<Project>(
    `select id, (now() - coalesce(retention_days, $1) * interval '1 day')::text as before, retention_bytes_max as "bytesMax"
     from projects where exists (select from runs where project_id = projects.id)`,
    [days],
  );
  let runs = 0;
  let partitions = 0;
  try {
    await oneByOne(rows, async (project) => (runs += await forgetOf(database, project)), signal);
  } finally {
    partitions = await dropOldPartitions(database, days);
  }
  return { runs, partitions };
}

interface Project {
  readonly id: string;
  readonly before: string;
  readonly bytesMax: string | null;
}

async function forgetOf(database: Database, { id, before, bytesMax }: Project): Promise<number> {
  const runs = await forgetUpTo(database, id, { createdAt: before, endedBefore: before });
  const full = bytesMax === null ? undefined : await newestOver(database, id, bytesMax);
  return full === undefined ? runs : runs + (await forgetUpTo(database, id, full));
}

/** A project's runs that go: those that were made up to a time, and ended before one. */
interface Old {
  readonly createdAt: string;
  /** The last one of that time, as all runs of a batch have the same. */
  readonly id?: string;
  readonly endedBefore?: string;
}

/** The newest run that a project has no room for; undefined when all have room. */
async function newestOver(database: Database, projectId: string, bytesMax: string): Promise<Old | undefined> {
  const { rows } = await database.query<{ createdAt: string; id: string }>(
    `select created_at::text as "createdAt", id
     from (
       select created_at, id, sum(events_bytes + ${runBytes}) over (order by created_at desc, id desc) as total
       from runs where project_id = $1
     ) as kept
     where total > $2 order by created_at desc, id desc limit 1`,
    [projectId, bytesMax],
  );
  return rows[0];
}

async function forgetUpTo(database: Database, projectId: string, upTo: Old): Promise<number> {
  const { createdAt, id = lastId, endedBefore = "infinity" } = upTo;
  const old = `select id, day from runs where project_id = $1 and (created_at, id) <= ($2, $3) and ended_at < $4`;
  const oldest = `order by created_at limit ${runsPerStatement}`;
  const which = [projectId, createdAt, id, endedBefore];
  for (let runs = 0; ;) {
    const { rows } = await database.query<{ day: string }>(
      `select distinct day::text from (${old} ${oldest}) as oldest`,
      which,
    );
    if (rows.length === 0) return runs;
    const { rowCount } = await database.query({
      text: `with old as (${old} and day = any($5::date[]) ${oldest} for update skip locked),
             events as (delete from run_events e using old
                        where e.run_day = any($5::date[]) and e.run_day = old.day and e.run_id = old.id)
             delete from runs using old where runs.id = old.id`,
      values: [...which, rows.map(({ day }) => day)],
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
