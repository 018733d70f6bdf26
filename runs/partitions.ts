/**
 * The partitions of run_events, one per day of the runs' beginning (UTC, by the database's clock). They are made some days
 * ahead; should that fail, events go to the partition for all other days. Dropping one is how old events go: retention.ts.
 * A statement that reads or deletes events has their days among its values and is planned anew each time: one that
 * learns them from a join, or whose plan is kept, opens and locks the partitions of all days that there are.
 */
import type { Database } from "../database/connection.ts";

const daysAhead = 7;
/** Any fixed number; processes that start together make the partitions one after the other. */
const partitionLock = 7_308_332_045_514_021;

/** Makes the partitions of the days to come that are not there yet. Throws ERR_DATABASE. */
export async function makePartitions(database: Database): Promise<void> {
  const { rows } = await database.query<{ day: string }>(
    `select d::date::text as day from generate_series((now() at time zone 'utc')::date,
       (now() at time zone 'utc')::date + ${daysAhead}, '1 day') as d
     where to_regclass('run_events_' || to_char(d, 'YYYYMMDD')) is null
       and not exists (select from run_events_other where run_day = d::date)`,
  );
  for (const { day } of rows) {
    await database.transaction(async (client) => {
      await client.query("select pg_advisory_xact_lock($1)", [partitionLock]);
      // A viewer that reads must not wait behind us while we wait behind somebody slow.
      await client.query("set local lock_timeout = '2s'");
      await client.query(
        `create table if not exists ${partitionOf(day)} partition of run_events
         for values from ('${day}') to ('${nextDay(day)}')`,
      );
    });
  }
}

/** The days that have a partition of their own, oldest first. */
export async function listPartitions(database: Database): Promise<string[]> {
  const { rows } = await database.query<{ day: string }>(
    `select to_date(right(c.relname, 8), 'YYYYMMDD')::text as day
     from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'run_events'::regclass and c.relname ~ '^run_events_[0-9]{8}$' order by 1`,
  );
  return rows.map(({ day }) => day);
}

/** Throws ERR_DATABASE, also when it is in use for more than two seconds. */
export async function dropPartition(database: Database, day: string): Promise<void> {
  await database.transaction(async (client) => {
    await client.query("set local lock_timeout = '2s'");
    await client.query(`drop table if exists ${partitionOf(day)}`);
  });
}

function partitionOf(day: string): string {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(day)) throw new TypeError("Cannot name the partition: that is no day");
  return `run_events_${day.replaceAll("-", "")}`;
}

function nextDay(day: string): string {
  return new Date(Date.parse(`${day}T00:00:00Z`) + 86_400_000).toISOString().slice(0, 10);
}
