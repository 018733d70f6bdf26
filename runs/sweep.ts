/**
 * Looks after runs that wait, a few times a second in every process that has the queue: gives held runs to the queue once
 * their time has come, and gives those that the queue has lost to it again, so that a Redis that forgot, or a process that died
 * between two steps, costs time and no run. Each look is an index range and safe to be made by many at once.
 */
import type { Database } from "../database/connection.ts";
import { dispatchHeld } from "./dispatch.ts";
import { lookAgain } from "./look-again.ts";
import { oneByOne } from "./one-by-one.ts";
import type { QueuedRun, RunQueue } from "./queue.ts";
import { turnMax } from "./turns.ts";

const tickMs = 500;
const restorePauseMs = 5_000;
/** The queue has had a run for this long and no worker took it: is it still there? */
const unclaimedMs = 30_000;
const restoresMax = 500;
const turnsAtOnce = 50;

const heldRuns = "status = 'queued' and dispatched_at is null and waits_for = 0";

interface SweepParts {
  readonly database: Database;
  readonly queue: RunQueue;
  readonly onError: (error: unknown, what: string) => void;
  readonly onRestored?: (runs: number) => void;
}

/** Starts looking; gives what stops it, once the look that is under way has ended. */
export function sweepRuns(parts: SweepParts): { stop(): Promise<void> } {
  const looks = [
    lookAgain(async (signal) => await dispatchDue(parts, signal), {
      pauseMs: tickMs,
      onError: (error) => parts.onError(error, "held runs could not be given to the queue"),
    }),
    lookAgain(async () => await restoreLost(parts), {
      pauseMs: restorePauseMs,
      onError: (error) => parts.onError(error, "waiting runs could not be looked at"),
    }),
  ];
  return {
    async stop() {
      await Promise.all(looks.map(async (look) => await look.stop()));
    },
  };
}

/** Gives held runs to the queue whose time has come. */
export async function dispatchDue(parts: Pick<SweepParts, "database" | "queue">, signal?: AbortSignal): Promise<void> {
  const { rows } = await parts.database.query<{ id: string }>(
    // From project to project by the index, however many runs each of them holds.
    `with recursive held as (
       (select project_id as id from runs where ${heldRuns} order by project_id limit 1)
       union all
       select (select project_id from runs where ${heldRuns} and project_id > held.id order by project_id limit 1)
       from held where held.id is not null
     )
     select id from held
     where exists (select from runs where ${heldRuns} and project_id = held.id and coalesce(run_at, created_at) <= now())`,
  );
  await oneByOne(rows, async ({ id }) => await dispatchHeld(parts, id), signal);
}

/** Gives runs to the queue again that it should have and has not, and their turns where it has other ones. */
export async function restoreLost(parts: Pick<SweepParts, "database" | "queue" | "onRestored">): Promise<void> {
  const { database, queue } = parts;
  for (let full = true; full;) {
    const { rows } = await database.query<QueuedRun>(
      `update runs set dispatched_at = now()
       where id in (
         select id from runs
         where status = 'queued' and dispatched_at < now() - $1 * interval '1 millisecond' and coalesce(run_at <= now(), true)
         order by dispatched_at limit ${restoresMax} for update skip locked
       )
       returning id as "runId", project_id as "projectId", turn::float8 as turn`,
      [unclaimedMs],
    );
    const restored = await queue.restore(rows);
    if (restored > 0) parts.onRestored?.(restored);
    await setTurns(queue, rows);
    // Where some were lost there may be more; else the rest has time.
    full = restored > 0 && rows.length === restoresMax;
  }
  await freeForgotten(database);
  await countTurnsAnew(parts);
}

/**
 * Lets runs go on whose needs have all ended. The statement that ends a run does so; it does not see a run that was
 * submitted while it waited for that submission's lock.
 */
async function freeForgotten(database: Database): Promise<void> {
  await database.query(
    `update runs set waits_for = 0
     where status = 'queued' and dispatched_at is null and waits_for > 0 and not exists (
       select from run_needs n join runs needed on needed.id = n.needed_run_id
       where n.run_id = runs.id and needed.ended_at is null)`,
  );
}

/**
 * Turns only grow while there is always somebody who waits: once they are high, all are counted from the first one again.
 * Where two processes do so at once, the second finds them lower than the first one's, and leaves them.
 */
async function countTurnsAnew({ database, queue }: Pick<SweepParts, "database" | "queue">): Promise<void> {
  const { rows } = await database.query<Pick<QueuedRun, "runId" | "turn">>(
    `with first as (select min(turn) as turn from runs where status = 'queued' and dispatched_at is not null)
     update runs set turn = runs.turn - first.turn from first
     where first.turn > ${turnMax} and runs.turn >= first.turn and status = 'queued' and dispatched_at is not null
     returning id as "runId", runs.turn::float8 as turn`,
  );
  await setTurns(queue, rows);
}

/** Tells the queue the turns of runs. A run that it is not told of here, as this process dies, is one that `restoreLost` finds. */
async function setTurns(queue: RunQueue, runs: readonly Pick<QueuedRun, "runId" | "turn">[]): Promise<void> {
  const errors: unknown[] = [];
  for (let i = 0; i < runs.length; i += turnsAtOnce) {
    const some = runs.slice(i, i + turnsAtOnce);
    const told = await Promise.allSettled(some.map(async ({ runId, turn }) => await queue.setTurn(runId, turn)));
    const failed = told.filter((one) => one.status === "rejected");
    errors.push(...failed.map(({ reason }): unknown => reason));
    // One fails whose job ends in this moment; all do where the queue is away.
    if (failed.length === some.length) break;
  }
  if (errors.length > 0) throw errors[0];
}
