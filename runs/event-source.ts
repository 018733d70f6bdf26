/**
 * Where the live feed reads events: many runs in one statement, each from its own position on, and no page larger than
 * its bounds, so that a thousand viewers cost a few statements and none of them much memory. Knows runs by their id
 * alone: whose they are is checked before anybody follows one. Rests on a run's numbers having no gaps: then each question
 * is about few rows whatever PostgreSQL guesses about a run's length, where an order and a limit may cost it all of them.
 */
import type { Queryable } from "../database/server.ts";
import type { Json, RunEvent, RunEventBody } from "../protocol/job.ts";

/** A page ends with the event that reaches this size; an event is never cut. */
export const pageBytesMax = 128 * 1024;
/** What an event takes beside its body: id, number, time. */
export const eventBytes = 120;

/** A run, and the number of the next event that is wanted of it. */
export interface Position {
  readonly runId: string;
  readonly from: number;
}

/** What to read: at most `eventsMax` events. */
export interface Wanted extends Position {
  readonly eventsMax: number;
}

export interface Page {
  readonly events: readonly RunEvent[];
  readonly bytes: number;
  /** There was no further event when this was read. */
  readonly atEnd: boolean;
}

/** How a run is, seen from a position. */
export interface Tip extends Position {
  /** There is an event at that number. */
  readonly more: boolean;
  /** No event comes any more. Nearly always the last one is `finished`; retention may have taken it away. */
  readonly ended: boolean;
}

export interface EventSource {
  /** A page for each of what is wanted, in the same order. Throws ERR_DATABASE. */
  read(wanted: readonly Wanted[]): Promise<Page[]>;
  /** How runs are; one that is not there is left out. Throws ERR_DATABASE. */
  tips(positions: readonly Position[]): Promise<Tip[]>;
}

interface RunRow {
  id: string;
  /** By which its events are kept. */
  day: string;
  ended: boolean;
}

interface EventRow {
  place: number;
  seq: number;
  time: Date;
  body: RunEventBody & Record<string, Json>;
  bytes: number;
}

/** The events in PostgreSQL. */
export class DatabaseEventSource implements EventSource {
  #database: Queryable;

  constructor(database: Queryable) {
    this.#database = database;
  }

  async read(wanted: readonly Wanted[]): Promise<Page[]> {
    const runs = await this.#runs(wanted);
    const days = wanted.map(({ runId }) => runs.get(runId)?.day ?? null);
    const { rows } = await this.#database.query<EventRow>({
      text: `select w.place::int, e.seq, e.time, e.body, e.bytes
       from unnest($1::uuid[], $2::date[], $3::int[], $4::int[]) with ordinality as w (run_id, day, seq, events_max, place)
       cross join lateral (
         select p.*, sum(p.bytes) over (order by p.seq) - p.bytes as bytes_before
         from (
           select seq, time, body, octet_length(body::text) + $6 as bytes from run_events
           where run_day = any($5::date[]) and run_day = w.day and run_id = w.run_id
             and seq >= w.seq and seq < w.seq::bigint + w.events_max
         ) p
       ) e
       where e.bytes_before < $7
       order by w.place, e.seq`,
      values: [
        wanted.map(({ runId }) => runId),
        days,
        wanted.map(({ from }) => from),
        wanted.map(({ eventsMax }) => eventsMax),
        [...new Set(days)],
        eventBytes,
        pageBytesMax,
      ],
    });
    const byPlace = Map.groupBy(rows, ({ place }) => place);
    return wanted.map((one, i) => toPage(one, byPlace.get(i + 1) ?? []));
  }

  async tips(positions: readonly Position[]): Promise<Tip[]> {
    // First: the last events come together with the end, and so are seen below.
    const runs = await this.#runs(positions);
    const there = positions.filter(({ runId }) => runs.has(runId));
    const days = there.map(({ runId }) => runs.get(runId)!.day);
    const { rows } = await this.#database.query<{ more: boolean }>({
      text: `select exists (
                select from run_events e
                where e.run_day = any($4::date[]) and e.run_day = w.day and e.run_id = w.run_id and e.seq = w.seq
              ) as more
       from unnest($1::uuid[], $2::date[], $3::int[]) with ordinality as w (run_id, day, seq, place) order by place`,
      values: [there.map(({ runId }) => runId), days, there.map(({ from }) => from), [...new Set(days)]],
    });
    return there.map(({ runId, from }, i) => ({ runId, from, ended: runs.get(runId)!.ended, more: rows[i]!.more }));
  }

  async #runs(positions: readonly Position[]): Promise<Map<string, RunRow>> {
    const { rows } = await this.#database.query<RunRow>(
      "select id, day::text, ended_at is not null as ended from runs where id = any($1)",
      [[...new Set(positions.map(({ runId }) => runId))]],
    );
    return new Map(rows.map((row) => [row.id, row]));
  }
}

function toPage({ runId, eventsMax }: Wanted, rows: readonly EventRow[]): Page {
  const bytes = rows.reduce((sum, row) => sum + row.bytes, 0);
  return {
    events: rows.map(({ seq, time, body }) => ({ runId, seq, time: time.toISOString(), ...body })),
    bytes,
    atEnd: rows.length < eventsMax && bytes < pageBytesMax,
  };
}
