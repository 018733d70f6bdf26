/**
 * Runs and their events in PostgreSQL. A run goes queued → running → one final state, and each step on that way is one
 * statement that says which state it starts from, so that of two workers only one can make it. Takes only redacted data.
 */
import type { Database } from "../database/connection.ts";
import { StepvaultError } from "../protocol/error.ts";
import type { FinalStatus, Json, Language, RunEvent, RunEventBody, RunResult, RunStatus } from "../protocol/job.ts";
import { runStatuses } from "../protocol/job.ts";
import type { Redacted } from "../protocol/redacted.ts";

export interface NewRun {
  readonly id: string;
  readonly projectId: string;
  readonly language: Language | null;
  readonly stepId: string | null;
  readonly labels: Record<string, string>;
}

export interface Run {
  readonly id: string;
  readonly projectId: string;
  readonly status: RunStatus;
  readonly labels: Record<string, string>;
  readonly createdAt: Date;
  readonly result: RunResult | null;
}

export interface StoredEvent {
  readonly seq: number;
  readonly time: Date;
  readonly body: Redacted<RunEventBody>;
}

interface RunRow {
  id: string;
  project_id: string;
  status: RunStatus;
  labels: Record<string, string> | null;
  created_at: Date;
  result: RunResult | null;
}

/**
 * Whether a worker may run a run. `claimed`: yes. `ended`: no, here is its result. `held`: no, a worker that lives runs it.
 * `lost`: no, the worker that ran it is gone; it must be ended. `cancelled`: no, and it must be ended.
 */
export type Claim =
  | { state: "claimed" }
  | { state: "ended"; result: RunResult }
  | { state: "held" }
  | { state: "cancelled" }
  | { state: "lost"; nextSeq: number };

/** A worker that has not renewed its leases for this long is taken for dead. */
const leaseSeconds = 30;

const finalStatuses: ReadonlySet<string> = new Set(runStatuses);

export class RunStore {
  #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Records a run as queued; false when it exists already. Throws ERR_PROJECT_UNKNOWN. */
  async create(run: NewRun): Promise<boolean> {
    const { rowCount } = await this.#database.query(
      `insert into runs (id, project_id, status, language, step_id, labels)
       select $1, p.id, 'queued', $3, $4, $5 from projects p where p.id = $2 and not p.shared
       on conflict (id) do nothing`,
      [run.id, run.projectId, run.language, run.stepId, JSON.stringify(run.labels)],
    );
    if (rowCount === 1) return true;
    if ((await this.get(run.projectId, run.id)) === undefined) {
      throw new StepvaultError(
        "ERR_PROJECT_UNKNOWN",
        `Cannot create the run: there is no project ${run.projectId}, or the run id is in use`,
      );
    }
    return false;
  }

  /** Takes a run for a worker. */
  async claim(runId: string, workerId: string): Promise<Claim> {
    const { rowCount } = await this.#database.query(
      `update runs set status = 'running', worker_id = $2, started_at = now(), lease_until = now() + $3 * interval '1 second'
       where id = $1 and status = 'queued' and cancel_requested_at is null`,
      [runId, workerId, leaseSeconds],
    );
    return rowCount === 1 ? { state: "claimed" } : await this.#look(runId);
  }

  async #look(runId: string): Promise<Exclude<Claim, { state: "claimed" }>> {
    const { rows } = await this.#database.query<{
      status: string;
      result: RunResult | null;
      held: boolean;
      cancelled: boolean;
      nextSeq: number;
    }>(
      `select status, result, coalesce(lease_until > now(), false) as held,
              status = 'queued' and cancel_requested_at is not null as cancelled,
              (select coalesce(max(seq) + 1, 0) from run_events where run_id = $1)::int as "nextSeq"
       from runs where id = $1`,
      [runId],
    );
    const row = rows[0];
    if (row?.result && finalStatuses.has(row.status)) return { state: "ended", result: row.result };
    if (row?.cancelled) return { state: "cancelled" };
    return row?.held ? { state: "held" } : { state: "lost", nextSeq: row?.nextSeq ?? 0 };
  }

  /** Says that a worker still answers for these runs of its own. */
  async renewLeases(workerId: string, runIds: readonly string[]): Promise<void> {
    if (runIds.length === 0) return;
    await this.#database.query(
      `update runs set lease_until = now() + $3 * interval '1 second'
       where id = any($2) and worker_id = $1 and status = 'running'`,
      [workerId, runIds, leaseSeconds],
    );
  }

  /** Runs whose worker no longer answers for them, at most 100. */
  async listLost(): Promise<{ id: string; nextSeq: number }[]> {
    const { rows } = await this.#database.query<{ id: string; nextSeq: number }>(
      `select r.id, (select coalesce(max(seq) + 1, 0) from run_events where run_id = r.id)::int as "nextSeq"
       from runs r where r.status = 'running' and r.lease_until < now() order by r.lease_until limit 100`,
    );
    return rows;
  }

  /** Asks for a run's end; the workers see to it. False when the project has no such run, or it has ended. */
  async requestCancel(projectId: string, runId: string): Promise<boolean> {
    const { rowCount } = await this.#database.query(
      `update runs set cancel_requested_at = coalesce(cancel_requested_at, now())
       where id = $1 and project_id = $2 and ended_at is null`,
      [runId, projectId],
    );
    return rowCount === 1;
  }

  /** Runs whose end was asked for and has not come, at most 1,000. */
  async listCancelRequested(): Promise<{ id: string; status: "queued" | "running" }[]> {
    const { rows } = await this.#database.query<{ id: string; status: "queued" | "running" }>(
      `select id, status from runs where cancel_requested_at is not null and ended_at is null
       order by cancel_requested_at limit 1000`,
    );
    return rows;
  }

  /** Appends events in their order. A repeated call changes nothing, and a run that has ended takes no more. */
  async appendEvents(runId: string, events: readonly StoredEvent[]): Promise<void> {
    if (events.length === 0) return;
    await this.#database.query(
      `insert into run_events (run_id, seq, time, kind, body)
       select $1, e.seq, e.time, e.kind, e.body
       from unnest($2::int[], $3::timestamptz[], $4::text[], $5::json[]) as e (seq, time, kind, body)
       where not exists (select from runs where id = $1 and ended_at is not null)
       on conflict (run_id, seq) do nothing`,
      [
        runId,
        events.map(({ seq }) => seq),
        events.map(({ time }) => time),
        events.map(({ body }) => body.kind),
        events.map(({ body }) => JSON.stringify(body)),
      ],
    );
  }

  /**
   * Ends a run, once, with its last events in the same transaction. False when it had ended before, or was in a state
   * other than those given.
   */
  async finish(
    runId: string,
    result: Redacted<RunResult>,
    lastEvents: readonly StoredEvent[],
    from: readonly ("queued" | "running")[] = ["queued", "running"],
  ): Promise<boolean> {
    return await this.#database.transaction(async (client) => {
      const { rowCount } = await client.query(
        "update runs set status = $2, result = $3, ended_at = now() where id = $1 and status = any($4)",
        [runId, result.status satisfies FinalStatus, JSON.stringify(result), from],
      );
      if (rowCount !== 1) return false;
      for (const { seq, time, body } of lastEvents) {
        await client.query(
          "insert into run_events (run_id, seq, time, kind, body) values ($1, $2, $3, $4, $5) on conflict (run_id, seq) do nothing",
          [runId, seq, time, body.kind, JSON.stringify(body)],
        );
      }
      return true;
    });
  }

  /** One run of a project; undefined when the project has no such run. */
  async get(projectId: string, runId: string): Promise<Run | undefined> {
    const { rows } = await this.#database.query<RunRow>(
      "select id, project_id, status, labels, created_at, result from runs where id = $1 and project_id = $2",
      [runId, projectId],
    );
    const row = rows[0];
    if (row === undefined) return undefined;
    const { id, status, result } = row;
    return { id, projectId: row.project_id, status, labels: row.labels ?? {}, createdAt: row.created_at, result };
  }

  /** Events of a run from number `from` on, in order, at most `limit`. */
  async listEvents(projectId: string, runId: string, { from = 0, limit = 1_000 } = {}): Promise<RunEvent[]> {
    const { rows } = await this.#database.query<{ seq: number; time: Date; body: RunEventBody & Record<string, Json> }>(
      `select e.seq, e.time, e.body from run_events e join runs r on r.id = e.run_id
       where e.run_id = $1 and r.project_id = $2 and e.seq >= $3 order by e.seq limit $4`,
      [runId, projectId, from, limit],
    );
    return rows.map(({ seq, time, body }) => ({ runId, seq, time: time.toISOString(), ...body }));
  }
}
