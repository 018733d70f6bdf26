/**
 * Gives a project's held runs to the queue: those whose time has come and that need no other run, as many as the project may
 * have at once. Under a lock on the project, so that two processes together do not give too many.
 */
import type { Database } from "../database/connection.ts";
import type { RunQueue } from "./queue.ts";
import { nextTurn } from "./turns.ts";

const runsMax = 500;

/** Gives how many runs the queue got. A run that the queue did not take is found again by runs/sweep.ts. */
export async function dispatchHeld(
  { database, queue }: { database: Database; queue: RunQueue },
  projectId: string,
): Promise<number> {
  const runs = await database.transaction(async (client) => {
    // Behind a process that is frozen with the lock nobody waits for long: the runs stay held, and are found again.
    await client.query("set local lock_timeout = '2s'");
    const { rows: projects } = await client.query<{ max: number | null }>(
      "select runs_at_once_max as max from projects where id = $1 for no key update",
      [projectId],
    );
    // By a statement of its own: it must see what the last holder of the lock did.
    const { rows } = await client.query<{ runId: string; turn: number }>(
      `with base as (${nextTurn("$1")}),
       room as (
         -- Counted apart, as each has an index of its own.
         select least(${runsMax}, coalesce($2::int
           - (select count(*) from runs where project_id = $1 and status = 'running')
           - (select count(*) from runs where project_id = $1 and status = 'queued' and dispatched_at is not null),
         ${runsMax})) as runs
       ),
       next as (
         select id, row_number() over (order by coalesce(run_at, created_at), id) as place from runs
         where project_id = $1 and status = 'queued' and dispatched_at is null and waits_for = 0
           and coalesce(run_at, created_at) <= now()
         order by coalesce(run_at, created_at), id limit (select greatest(0, runs) from room)
       )
       update runs set dispatched_at = now(), turn = base.turn + next.place - 1 from next, base where runs.id = next.id
       returning runs.id as "runId", runs.turn::float8 as turn`,
      [projectId, projects[0]?.max ?? null],
    );
    return rows;
  });
  await queue.add(runs.map((run) => ({ ...run, projectId })));
  return runs.length;
}
