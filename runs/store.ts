/**
 * Runs and their events in PostgreSQL. A run goes queued → running → one final state; each step on that way is one statement
 * that says which state it starts from, and who holds the run, so that of two workers only one can make it and one that was
 * taken for dead writes nothing any more. Takes only redacted data. What reads events is planned anew each time, for the days
 * that are among its values: runs/partitions.ts. docs/runs.md has the states.
 */
import type { Database } from "../database/connection.ts";
import type {
  FinalStatus,
  Json,
  NetworkPolicy,
  RunEvent,
  RunEventBody,
  RunResult,
  RunStatus,
} from "../protocol/job.ts";
import type { Redacted } from "../protocol/redacted.ts";
import { eventBytes } from "./event-source.ts";
import { retryDatabase } from "./retry.ts";

/** A run, and the day that its events are kept by. */
interface RunOfDay {
  readonly id: string;
  readonly day: string;
}

/** A run that a worker holds. */
export interface HeldRun extends RunOfDay {
  readonly workerId: string;
}

export interface ClaimedRun extends HeldRun {
  /** What the project allows all its steps; null when it says nothing. */
  readonly projectNetwork: NetworkPolicy | null;
  /** As it was submitted. */
  readonly job: Json;
  /** 1 for the first. */
  readonly attempt: number;
  /** Of a saved step; the same for all attempts. */
  readonly stepVersion: number | null;
  readonly nextSeq: number;
}

export interface StoredEvent {
  readonly seq: number;
  readonly time: Date;
  readonly body: Redacted<RunEventBody>;
}

/**
 * Whether a worker may run a run. `claimed`: yes. `ended`: no, here is its result. `held`: no, it is not its turn, or
 * another worker runs it. `cancelled`: no, and it must be ended. `unknown`: the project has no such run.
 */
export type Claim =
  | { state: "claimed"; run: ClaimedRun }
  | { state: "ended"; result: RunResult }
  | { state: "held" }
  | { state: "cancelled"; nextSeq: number }
  | { state: "unknown" };

export interface EndedRun {
  readonly projectId: string;
  /** The project lets only so many run at once, or others wait for this one: somebody may be next. */
  readonly othersWait: boolean;
  /** The job of an orchestrator that waits for this run. */
  readonly queueJobId: string | null;
}

export interface EventPage {
  readonly events: RunEvent[];
  readonly hasMore: boolean;
}

interface EventRow {
  seq: number;
  time: Date;
  body: RunEventBody & Record<string, Json>;
  more: boolean;
}

/** From which state a run may end: its worker's, or while it waits. */
type EndsFrom = { readonly workerId: string } | "queued";

const claimed = `status = 'running', worker_id = $3, started_at = coalesce(started_at, now()),
  step_version = case when step_id is not null then coalesce(
    step_version,
    (job -> 'step' ->> 'version')::int,
    (select version from published_steps p where p.step_id = runs.step_id),
    (select max(version) from steps where id = runs.step_id)) end`;

export class RunStore {
  #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Takes a waiting run for a worker; with `inTurn` only when nobody else is to run before it. */
  async claim(
    projectId: string,
    runId: string,
    workerId: string,
    { inTurn = false }: { inTurn?: boolean } = {},
  ): Promise<Claim> {
    const { rows } = await this.#database.query<Omit<ClaimedRun, "workerId" | "nextSeq">>(
      `update runs set ${claimed}
       where ${theRun(
         "$1",
         `project_id = $2 and status = 'queued' and cancel_requested_at is null and dispatched_at is not null
          and coalesce(run_at <= now(), true)
          and (not $4 or turn <= (select min(turn) from runs where status = 'queued' and dispatched_at is not null))`,
       )}
       returning id, day::text, job, attempt, step_version as "stepVersion", ${projectNetwork("runs")}`,
      [runId, projectId, workerId, inTurn],
    );
    const [row] = rows;
    if (row === undefined) return await this.look(projectId, runId);
    // It is this worker's already: what is still to be known of it must not be missed.
    const [nextSeq] = row.attempt === 1 ? [0] : await retryDatabase(async () => await this.#nextSeqs([row]));
    return { state: "claimed", run: { ...row, workerId, nextSeq: nextSeq! } };
  }

  /** What `claim` says of a run that it does not give. */
  async look(projectId: string, runId: string): Promise<Exclude<Claim, { state: "claimed" }>> {
    const { rows } = await this.#database.query<RunOfDay & { result: RunResult | null; cancelled: boolean }>(
      `select id, day::text, result, status = 'queued' and cancel_requested_at is not null as cancelled
       from runs r where ${theRun("$1", "project_id = $2")}`,
      [runId, projectId],
    );
    const [row] = rows;
    if (row === undefined) return { state: "unknown" };
    if (row.result !== null) return { state: "ended", result: row.result };
    if (!row.cancelled) return { state: "held" };
    const [nextSeq] = await this.#nextSeqs([row]);
    return { state: "cancelled", nextSeq: nextSeq! };
  }

  /**
   * Gives the runs of a worker that is gone to another, at most 100; of those named, if some are. Once this is done the first
   * can write nothing of them any more, and their events are all there.
   */
  async takeOver(fromWorkerId: string, workerId: string, runIds?: readonly string[]): Promise<ClaimedRun[]> {
    const taken = await this.#database.query<{ id: string }>(
      `update runs set worker_id = $2
       where id in (
         select id from runs where worker_id = $1 and status = 'running' and ($3::uuid[] is null or id = any($3))
         limit 100 for update skip locked
       )
       returning id`,
      [fromWorkerId, workerId, runIds ?? null],
    );
    if (taken.rows.length === 0) return [];
    const { rows } = await this.#database.query<Omit<ClaimedRun, "workerId" | "nextSeq">>(
      `select id, day::text, job, attempt, step_version as "stepVersion", ${projectNetwork("r")}
       from runs r where id = any($1) and worker_id = $2`,
      [taken.rows.map(({ id }) => id), workerId],
    );
    // By a statement of its own: it must see what the other worker wrote until it lost the runs.
    const nextSeqs = await this.#nextSeqs(rows);
    return rows.map((row, i) => ({ ...row, workerId, nextSeq: nextSeqs[i]! }));
  }

  /** The runs that a worker holds. */
  async listHeld(workerId: string): Promise<string[]> {
    const { rows } = await this.#database.query<{ id: string }>(
      "select id from runs where worker_id = $1 and status = 'running'",
      [workerId],
    );
    return rows.map(({ id }) => id);
  }

  /** Asks for a run's end; the workers see to it. False when the project has no such run, or it has ended. */
  async requestCancel(projectId: string, runId: string): Promise<boolean> {
    const { rowCount } = await this.#database.query(
      `update runs set cancel_requested_at = coalesce(cancel_requested_at, now())
       where ${theRun("$1", "project_id = $2 and ended_at is null")}`,
      [runId, projectId],
    );
    return rowCount === 1;
  }

  /** Runs whose end was asked for and has not come, at most 1,000. */
  async listCancelRequested(): Promise<{ id: string; status: "queued" | "running"; nextSeq: number }[]> {
    const { rows } = await this.#database.query<RunOfDay & { status: "queued" | "running" }>(
      `select id, day::text, status from runs r where cancel_requested_at is not null and ended_at is null
       order by cancel_requested_at limit 1000`,
    );
    const nextSeqs = await this.#nextSeqs(rows);
    return rows.map(({ id, status }, i) => ({ id, status, nextSeq: nextSeqs[i]! }));
  }

  /**
   * Appends events in their order. A repeated call changes nothing. False when the run is not this worker's any more: it has
   * ended, or the worker was taken for dead.
   */
  async appendEvents({ id, workerId }: HeldRun, events: readonly StoredEvent[]): Promise<boolean> {
    if (events.length === 0) return true;
    // The lock makes who takes the run over wait, so that it sees these events.
    const { rows } = await this.#database.query<{ held: boolean }>(
      `with run as (select id, day from runs where ${theRun("$1", "worker_id = $2 and status = 'running'")} for share),
       written as (
         insert into run_events (run_day, run_id, seq, time, kind, body)
         select run.day, run.id, e.seq, e.time, e.kind, e.body
         from run, unnest($3::int[], $4::timestamptz[], $5::text[], $6::json[]) as e (seq, time, kind, body)
         on conflict do nothing
       )
       select exists (select from run) as held`,
      [id, workerId, ...columns(events)],
    );
    return rows[0]?.held === true;
  }

  /**
   * Ends a run, once, with its last events, and lets runs that needed it go on, in one statement. Undefined when it was not
   * in the state given: somebody else has ended it, or holds it.
   */
  async finish(
    result: Redacted<RunResult>,
    lastEvents: readonly StoredEvent[],
    { from, eventsBytes = 0 }: { from: EndsFrom; eventsBytes?: number },
  ): Promise<EndedRun | undefined> {
    const { rows } = await this.#database.query<EndedRun>(
      `with ended as (
         update runs set status = $2, result = $3, ended_at = now(), job = null, events_bytes = events_bytes + $4
         where ${theRun("$1", "status = $5 and ($6::text is null or worker_id = $6)")}
         returning id, day, project_id, queue_job_id
       ),
       written as (
         insert into run_events (run_day, run_id, seq, time, kind, body)
         select ended.day, ended.id, e.seq, e.time, e.kind, e.body
         from ended, unnest($7::int[], $8::timestamptz[], $9::text[], $10::json[]) as e (seq, time, kind, body)
         on conflict do nothing
       ),
       needing as materialized (
         select n.run_id, count(*) as times from run_needs n, ended where n.needed_run_id = ended.id group by n.run_id
       ),
       freed as (
         update runs set waits_for = waits_for - needing.times from needing
         -- Known before the runs are looked at: when nobody needed this one, none is.
         where (select count(*) from needing) > 0 and runs.id = needing.run_id and runs.waits_for > 0
         returning runs.id
       )
       select ended.project_id as "projectId", ended.queue_job_id as "queueJobId",
              exists (select from freed)
                or exists (select from projects p where p.id = ended.project_id and p.runs_at_once_max is not null) as "othersWait"
       from ended`,
      [
        result.runId,
        result.status satisfies FinalStatus,
        JSON.stringify(result),
        eventsBytes,
        from === "queued" ? "queued" : "running",
        from === "queued" ? null : from.workerId,
        ...columns(lastEvents),
      ],
    );
    return rows[0];
  }

  /**
   * Puts a run that its worker holds back among the waiting ones, for another attempt, with the events that tell so. False
   * when the run is not this worker's any more. After a pause it gets a new turn: with its old one it would hold up the turns
   * of all for as long. Without one its job stays in the queue, or is put there again.
   */
  async requeue(
    { id, workerId }: HeldRun,
    events: readonly StoredEvent[],
    { delayMs, eventsBytes = 0 }: { delayMs: number; eventsBytes?: number },
  ): Promise<boolean> {
    const { rowCount } = await this.#database.query(
      `with run as (
         update runs set status = 'queued', attempt = attempt + 1, worker_id = null, events_bytes = events_bytes + $4,
                         dispatched_at = case when $3::float8 = 0 then now() end,
                         run_at = now() + $3::float8 * interval '1 millisecond'
         where ${theRun("$1", "worker_id = $2 and status = 'running'")}
         returning id, day
       ),
       written as (
         insert into run_events (run_day, run_id, seq, time, kind, body)
         select run.day, run.id, e.seq, e.time, e.kind, e.body
         from run, unnest($5::int[], $6::timestamptz[], $7::text[], $8::json[]) as e (seq, time, kind, body)
         on conflict do nothing
       )
       select from run`,
      [id, workerId, delayMs, eventsBytes, ...columns(events)],
    );
    return rowCount === 1;
  }

  /** Records a run that will only be rejected. False when its id is in use, or there is no such project. */
  async createRejected(projectId: string, runId: string): Promise<boolean> {
    const { rowCount } = await this.#database.query(
      `insert into runs (id, project_id, status, labels) select $1, p.id, 'queued', '{}' from projects p
       where p.id = $2 and not p.shared and not exists (select from runs where id = $1)
       on conflict (id) do nothing`,
      [runId, projectId],
    );
    return rowCount === 1;
  }

  /** How the runs that a run needs have ended, by the names that it has for them. */
  async listNeeds(runId: string): Promise<{ name: string; status: RunStatus | null; output: Json | undefined }[]> {
    const { rows } = await this.#database.query<{ name: string; status: RunStatus | null; result: RunResult | null }>(
      // Also those that are not kept any more: they have no status, and count as not succeeded.
      `select n.name, r.status, r.result from run_needs n left join runs r on r.id = n.needed_run_id
       where n.run_id = $1 order by n.name`,
      [runId],
    );
    return rows.map(({ name, status, result }) => ({ name, status, output: result?.output }));
  }

  /** Events of a run from number `from` on, in order, at most `limit`. */
  async listEvents(projectId: string, runId: string, { from = 0, limit = 1_000 } = {}): Promise<RunEvent[]> {
    return (await this.pageOfEvents(projectId, runId, { from, limit })).events;
  }

  /** The same, also of at most `bytesMax` bytes, though of one event at least; and whether there are more. */
  async pageOfEvents(
    projectId: string,
    runId: string,
    { from, limit, bytesMax = null }: { from: number; limit: number; bytesMax?: number | null },
  ): Promise<EventPage> {
    const { rows: runs } = await this.#database.query<{ day: string }>(
      `select day::text from runs where ${theRun("$1", "project_id = $2")}`,
      [runId, projectId],
    );
    const [run] = runs;
    if (run === undefined) return { events: [], hasMore: false };
    const { rows } = await this.#database.query<EventRow>({
      text: `select seq, time, body, more from (
         select seq, time, body, row_number() over w as place, sum(bytes) over w as total,
                lead(seq) over w is not null as more
         from (
           select seq, time, body, octet_length(body::text) + ${eventBytes} as bytes from run_events
           where run_day = $1 and run_id = $2 and seq >= $3 order by seq limit $4::bigint + 1
         ) e
         window w as (order by seq)
       ) p
       where place <= $4 and coalesce(total <= $5::bigint or place = 1, true) order by seq`,
      values: [run.day, runId, from, limit, bytesMax],
    });
    const events = rows.map(({ seq, time, body }) => ({ runId, seq, time: time.toISOString(), ...body }));
    return { events, hasMore: rows.at(-1)?.more === true };
  }

  /** The number of the next event of each. */
  async #nextSeqs(runs: readonly RunOfDay[]): Promise<number[]> {
    if (runs.length === 0) return [];
    const days = runs.map(({ day }) => day);
    const { rows } = await this.#database.query<{ nextSeq: number }>({
      text: `select (select coalesce(max(e.seq), -1) + 1 from run_events e
                     where e.run_day = any($3::date[]) and e.run_day = w.day and e.run_id = w.id)::int as "nextSeq"
             from unnest($1::uuid[], $2::date[]) with ordinality as w (id, day, place) order by place`,
      values: [runs.map(({ id }) => id), days, [...new Set(days)]],
    });
    return rows.map(({ nextSeq }) => nextSeq);
  }
}

/**
 * The run with an id, if it is in a state. "is true" hides the state from PostgreSQL's planner, which would else take an index of
 * waiting or running runs where it knows of none, and keep that plan while thousands come.
 */
function theRun(id: string, state: string): string {
  return `id = ${id} and (${state}) is true`;
}

function projectNetwork(run: string): string {
  return `(select p.network from projects p where p.id = ${run}.project_id) as "projectNetwork"`;
}

function columns(events: readonly StoredEvent[]): unknown[][] {
  return [
    events.map(({ seq }) => seq),
    events.map(({ time }) => time),
    events.map(({ body }) => body.kind),
    events.map(({ body }) => JSON.stringify(body)),
  ];
}
