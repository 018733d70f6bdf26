/**
 * Which workers live. A worker adds to its beat every few seconds; others, who look all the while and see that a beat has not
 * changed for some time by their own clocks, take it for dead. No two machines' clocks are compared, so none that jumps ends a
 * run. A worker that was taken for dead and lives finds that out at its next beat, and by every write that is refused.
 */
import type { Database } from "../database/connection.ts";

export const beatMs = 5_000;
/** A beat that stays the same for this long is that of a dead worker. */
const silentMsMax = 30_000;
/** Between two looks. After a longer pause, for which one failed look is too short, silence tells nothing. */
const lookPauseMsMax = 12_000;

export class WorkerWatch {
  #database: Database;
  #seen = new Map<string, { beat: string; atMs: number }>();
  #lookedAtMs = -Infinity;
  #jobs = new Map<string, number>();

  constructor(database: Database) {
    this.#database = database;
  }

  async begin(workerId: string): Promise<void> {
    await this.#database.query("insert into workers (id) values ($1) on conflict do nothing", [workerId]);
  }

  /** False when others have taken this worker for dead. */
  async beat(workerId: string): Promise<boolean> {
    const { rowCount } = await this.#database.query(
      "update workers set beat = beat + 1 where id = $1 and ended_at is null",
      [workerId],
    );
    return rowCount === 1;
  }

  async end(workerId: string): Promise<void> {
    await this.#database.query("update workers set ended_at = now() where id = $1 and ended_at is null", [workerId]);
  }

  /** Workers that are gone and may still hold runs, this one not among them. */
  async listGone(workerId: string, nowMs: number = performance.now()): Promise<string[]> {
    const { rows } = await this.#database.query<{ id: string; beat: string; ended: boolean }>(
      `select w.id, w.beat, w.ended_at is not null as ended from workers w
       where w.id <> $1 and (w.ended_at is null or exists (select from runs where worker_id = w.id and status = 'running'))`,
      [workerId],
    );
    // Maybe nobody could beat meanwhile, as while PostgreSQL is away, or this process stood still.
    const anew = nowMs - this.#lookedAtMs > lookPauseMsMax;
    this.#lookedAtMs = nowMs;
    const silent: string[] = [];
    for (const { id, beat, ended } of rows) {
      const seen = this.#seen.get(id);
      if (anew || seen === undefined || seen.beat !== beat) this.#seen.set(id, { beat, atMs: nowMs });
      else if (!ended && nowMs - seen.atMs >= silentMsMax) silent.push(id);
    }
    const known = new Set(rows.map(({ id }) => id));
    for (const id of this.#seen.keys()) if (!known.has(id)) this.#seen.delete(id);
    for (const id of silent) await this.end(id);
    return [...silent, ...rows.filter(({ ended }) => ended).map(({ id }) => id)];
  }

  /**
   * Says that a job of this process claims a run, and runs it if it can, until the release. Several may at once: of one run there
   * may be two jobs.
   */
  hold(runId: string): { release(): void } {
    const change = (by: number): void => {
      const jobs = (this.#jobs.get(runId) ?? 0) + by;
      if (jobs > 0) this.#jobs.set(runId, jobs);
      else this.#jobs.delete(runId);
    };
    change(1);
    return { release: () => change(-1) };
  }

  /** Whether a job of this process has that run, or is claiming it. */
  holds(runId: string): boolean {
    return this.#jobs.has(runId);
  }

  /** Forgets workers that ended long ago. */
  async tidy(): Promise<void> {
    await this.#database.query(
      `delete from workers w where ended_at < now() - interval '7 days'
       and not exists (select from runs where worker_id = w.id and status = 'running')`,
    );
  }
}
