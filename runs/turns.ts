/**
 * Whose run is next. A waiting run has a turn, one more than its project's last waiting run and at least that of the run
 * which is first: projects take turns, and ten thousand runs of one delay another's single run by one. That is start-time
 * fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queuing", 1996) with equal weights. The queue gets the turn as a priority.
 */

/** BullMQ's priorities end here; 0 would go ahead of everything. */
const priorityMax = 2_097_151;
/** Beyond this turn all turns are counted from the first one's again; runs/sweep.ts does. */
export const turnMax = 1_000_000;

/** A query for the turn of a project's next run, with the project's id as the parameter named. */
export function nextTurn(projectParameter: string): string {
  const waiting = "status = 'queued' and dispatched_at is not null";
  return `select greatest(
      coalesce((select min(turn) from runs where ${waiting}), 0),
      coalesce((select max(turn) + 1 from runs where ${waiting} and project_id = ${projectParameter}), 0)) as turn`;
}

export function priorityOf(turn: number): number {
  return Math.min(1 + Math.max(0, turn), priorityMax);
}
