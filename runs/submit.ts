/**
 * Submitting runs: one statement records them as queued, with their turns, and those whose time has come are given to the
 * queue. What is recorded is accepted: should the queue be away, or this process die, runs/sweep.ts gives it to the queue
 * later. Submitting twice with one id is submitting once; something else under the same id is an error.
 */
import { createHash } from "node:crypto";
import type { Database } from "../database/connection.ts";
import type { Queryable } from "../database/server.ts";
import { StepvaultError } from "../protocol/error.ts";
import { createId } from "../protocol/ids.ts";
import { type Job, type JobInput, parseJob } from "../protocol/job.ts";
import { dispatchHeld } from "./dispatch.ts";
import type { RunQueue } from "./queue.ts";
import { nextTurn } from "./turns.ts";

/** Who asked for a run. */
export interface Submitter {
  readonly kind: "system" | "person" | "key" | "schedule";
  readonly id: string;
}

export interface SubmittedRun {
  readonly runId: string;
  /** False when a run with this id had been submitted before. */
  readonly created: boolean;
}

export interface SubmitParts {
  readonly database: Database;
  readonly queue: RunQueue;
  /** Told when the queue did not take a run; the run is accepted all the same. */
  readonly onQueueError?: ((error: unknown) => void) | undefined;
}

const batchRunsMax = 1_000;
/** Runs of a project that wait for their turn. */
const waitingRunsMax = 100_000;

/**
 * Submits a run. Throws ERR_JOB_INVALID, ERR_LANGUAGE_UNKNOWN, ERR_LIMIT_PAYLOAD, ERR_PROJECT_UNKNOWN, ERR_RUN_CONFLICT,
 * ERR_RUN_UNKNOWN for a run that it needs, ERR_PROJECT_RATE, ERR_PROJECT_FULL.
 */
export async function submitRun(parts: SubmitParts, input: JobInput, by?: Submitter): Promise<SubmittedRun> {
  const [run] = await submitRuns(parts, [input], by);
  return run!;
}

/** Submits up to 1,000 runs of one project, all or none. Throws what `submitRun` throws. */
export async function submitRuns(
  parts: SubmitParts,
  inputs: readonly JobInput[],
  by?: Submitter,
): Promise<SubmittedRun[]> {
  if (inputs.length < 1 || inputs.length > batchRunsMax) {
    const why = `it has ${inputs.length} runs, 1 to ${batchRunsMax} are allowed`;
    throw new StepvaultError("ERR_JOB_INVALID", `Cannot submit the batch: ${why}`);
  }
  const jobs = inputs.map(parseJob);
  const projectId = jobs[0]!.projectId;
  if (jobs.some((job) => job.projectId !== projectId))
    throw new StepvaultError("ERR_JOB_INVALID", "Cannot submit the batch: its runs are of several projects");
  const runs = jobs.map((job) => ({ id: job.runId ?? createId(), job }));
  const distinct = withoutRepeats(runs);
  const recorded = await recordRuns(parts.database, distinct, { projectId, by });
  await giveToQueue(parts, projectId, recorded);
  const firsts = new Set<unknown>(distinct);
  return runs.map((run) => ({ runId: run.id, created: firsts.has(run) && recorded.has(run.id) }));
}

/** The runs of a batch, each once. Throws ERR_RUN_CONFLICT for two requests under one id. */
function withoutRepeats<T extends RunToRecord>(runs: readonly T[]): T[] {
  const byId = Map.groupBy(runs, ({ id }) => id);
  return [...byId].map(([id, same]) => {
    if (same.length > 1 && new Set(same.map(({ job }) => digestOf(job).toString("hex"))).size > 1) throw conflict(id);
    return same[0]!;
  });
}

/** A run as it was recorded: whether the queue is to have it, and its turn there. */
export interface RecordedRun {
  readonly turn: number;
  readonly dispatched: boolean;
  /** It needs nothing and waits for no time; when it is not dispatched, its project has no room. */
  readonly ready: boolean;
  /** Nobody else is to run before it. */
  readonly first: boolean;
}

interface RunToRecord {
  readonly id: string;
  readonly job: Job;
  /** The job of an orchestrator that added it by itself. */
  readonly queueJobId?: string | undefined;
}

/** Records runs of one project as queued; gives those that were not there before. */
export async function recordRuns(
  database: Database,
  runs: readonly RunToRecord[],
  { projectId, by }: { projectId: string; by?: Submitter | undefined },
): Promise<Map<string, RecordedRun>> {
  const needs = runs.flatMap(({ id, job }) => needsOf(id, job));
  requireOrder(needs);
  if (needs.length === 0 && runs.length === 1) {
    const recorded = await insertRuns(database, runs, { projectId, by, needs, countedAlone: false });
    if (recorded !== undefined) return recorded;
  }
  // One that is refused takes the others with it.
  return await database.transaction(async (client) => {
    // Who submits at the same time waits, and counts what was taken here. Before any run is locked, as in runs/dispatch.ts.
    await client.query("select from projects where id = $1 and runs_per_minute_max is not null for no key update", [
      projectId,
    ]);
    if (needs.length > 0) await countNeeds(client, projectId, { needs, own: new Set(runs.map(({ id }) => id)) });
    const recorded = (await insertRuns(client, runs, { projectId, by, needs, countedAlone: true }))!;
    if (needs.length === 0) return recorded;
    await client.query(
      `insert into run_needs (run_id, name, needed_run_id)
       select * from unnest($1::uuid[], $2::text[], $3::uuid[]) as n (run_id, name, needed) where n.run_id = any($4)
       on conflict do nothing`,
      [...transpose(needs), [...recorded.keys()]],
    );
    return recorded;
  });
}

interface Need {
  readonly runId: string;
  readonly name: string;
  readonly neededId: string;
  /** Whether there is something to wait for; set by `countNeeds`. */
  open: boolean;
}

function needsOf(runId: string, { after = {} }: Job): Need[] {
  return Object.entries(after).map(([name, neededId]) => ({ runId, name, neededId, open: true }));
}

/** Runs that wait for one another in a circle would wait for ever. Only those of one batch can. Throws ERR_JOB_INVALID. */
function requireOrder(needs: readonly Need[]): void {
  let left = needs;
  for (;;) {
    const waiting = new Set(left.map(({ runId }) => runId));
    const next = left.filter(({ neededId }) => waiting.has(neededId));
    if (next.length === 0) return;
    if (next.length === left.length)
      throw new StepvaultError(
        "ERR_JOB_INVALID",
        "Cannot submit the runs: some of them wait for one another in a circle",
      );
    left = next;
  }
}

/** Locks the runs that are needed, so that none ends unseen, and marks those that have ended. Throws ERR_RUN_UNKNOWN. */
async function countNeeds(
  client: Queryable,
  projectId: string,
  { needs, own }: { needs: readonly Need[]; own: ReadonlySet<string> },
): Promise<void> {
  const needed = [...new Set(needs.map(({ neededId }) => neededId))];
  const { rows } = await client.query<{ id: string; ended: boolean }>(
    `select id, ended_at is not null as ended from runs where id = any($1) and project_id = $2 order by id for share`,
    [needed, projectId],
  );
  const ended = new Map(rows.map((row) => [row.id, row.ended]));
  const unknown = needed.filter((id) => !ended.has(id) && !own.has(id)).length;
  if (unknown > 0)
    throw new StepvaultError("ERR_RUN_UNKNOWN", `Cannot submit the run: ${unknown} run(s) that it needs are not there`);
  for (const need of needs) need.open = ended.get(need.neededId) !== true;
}

interface Insertion {
  readonly projectId: string;
  readonly by: Submitter | undefined;
  readonly needs: readonly Need[];
  /** Nobody else submits runs of the project meanwhile, if its runs per minute are bounded. */
  readonly countedAlone: boolean;
}

/**
 * Records runs of a project with their turns, as far as its limits allow. $1 is the project, $2 to $11 are a list per column,
 * $12 and $13 who asked, and $14 whether some of the runs wait for something, so that those which do are to be counted.
 * Without $15 nothing is recorded of a project whose runs per minute are bounded.
 */
const insertStatement = `with project as (
   select id, runs_at_once_max is not null as limited, runs_per_minute_max as rate from projects where id = $1 and not shared
 ),
 recent as (
   select case when project.rate is null then null else
     (select count(*) from runs where project_id = $1 and created_at > now() - interval '1 minute') end as runs
   from project
 ),
 -- What was submitted before is free: whoever sends a request again must learn that it was taken.
 -- One id after the other: "not exists" would be planned as a join that may read all runs.
 new as (select count(*) as runs from unnest($2::uuid[]) as n (id) where (select r.id from runs r where r.id = n.id) is null),
 base as (${nextTurn("$1")}),
 first as (select coalesce(min(turn), 0) as turn from runs where status = 'queued' and dispatched_at is not null),
 held as (
   select case when $14 or (select limited from project) then
     -- Apart, as each has an index of its own; together they would be looked for among all runs of the project.
     (select count(*) from (select from runs where project_id = $1 and status = 'queued' and dispatched_at is null
                            and waits_for = 0 limit ${waitingRunsMax}) as h) +
     (select count(*) from (select from runs where project_id = $1 and status = 'queued' and dispatched_at is null
                            and waits_for > 0 limit ${waitingRunsMax}) as h) else 0 end as runs
 ),
 allowed as (
   select project.*, base.turn as base,
          new.runs > 0 and coalesce(recent.runs + new.runs > project.rate, false) as fast, first.turn as first,
          new.runs > 0 and base.turn - first.turn + held.runs + new.runs > ${waitingRunsMax} as full
   from project, recent, new, base, first, held
 ),
 written as (
   insert into runs (id, project_id, status, language, step_id, labels, job, request_digest, queue_job_id, run_at, waits_for,
                     turn, dispatched_at, submitted_by_kind, submitted_by)
   select n.id, allowed.id, 'queued', n.language, n.step_id, n.labels, n.job, n.digest, n.queue_job_id, t.run_at, n.waits_for,
          allowed.base + n.place - 1,
          case when not allowed.limited and n.waits_for = 0 and coalesce(t.run_at <= now(), true) then now() end, $12, $13
   from allowed, unnest($2::uuid[], $3::text[], $4::uuid[], $5::json[], $6::json[], $7::bytea[], $8::text[],
                        $9::timestamptz[], $10::float8[], $11::int[])
          with ordinality as n (id, language, step_id, labels, job, digest, queue_job_id, at, delay_ms, waits_for, place),
        lateral (select coalesce(n.at, now() + n.delay_ms * interval '1 millisecond') as run_at) as t
   where not allowed.fast and not allowed.full and (allowed.rate is null or $15)
   on conflict (id) do nothing
   returning id, turn::float8 as turn, dispatched_at is not null as dispatched,
             waits_for = 0 and coalesce(run_at <= now(), true) as ready
 )
 select allowed.fast, allowed.full, allowed.rate is not null and not $15 as "uncounted", written.*, written.turn <= allowed.first as first from allowed left join written on true`;

/** Undefined when the project's runs per minute are bounded, and are to be counted alone. */
async function insertRuns(
  client: Queryable,
  runs: readonly RunToRecord[],
  { projectId, by, needs, countedAlone }: Insertion,
): Promise<Map<string, RecordedRun> | undefined> {
  const open = Map.groupBy(
    needs.filter((need) => need.open),
    ({ runId }) => runId,
  );
  const digests = runs.map(({ job }) => digestOf(job));
  const { rows } = await client.query<InsertRow>(insertStatement, [
    projectId,
    runs.map(({ id }) => id),
    runs.map(({ job }) => ("language" in job.step ? job.step.language : null)),
    runs.map(({ job }) => ("id" in job.step ? job.step.id : null)),
    runs.map(({ job }) => JSON.stringify(job.labels ?? {})),
    runs.map(({ job }) => JSON.stringify(job)),
    digests,
    runs.map(({ queueJobId }) => queueJobId ?? null),
    runs.map(({ job }) => job.runAt ?? null),
    runs.map(({ job }) => job.delayMs ?? null),
    runs.map(({ id }) => open.get(id)?.length ?? 0),
    by?.kind ?? null,
    by?.id ?? null,
    runs.some(({ job }) => job.after !== undefined || job.runAt !== undefined || job.delayMs !== undefined),
    countedAlone,
  ]);
  const [first] = rows;
  if (first === undefined) throw unknownProject(projectId);
  if (first.fast)
    throw new StepvaultError(
      "ERR_PROJECT_RATE",
      "Cannot submit the run: the project's runs of this minute are used up",
    );
  if (first.uncounted) return undefined;
  if (first.full)
    throw new StepvaultError(
      "ERR_PROJECT_FULL",
      `Cannot submit the run: the project would have more than ${waitingRunsMax} runs that wait`,
    );
  const recorded = new Map(rows.filter(({ id }) => id !== null).map((row) => [row.id!, row]));
  const missing = runs.flatMap(({ id }, index) => (recorded.has(id) ? [] : [{ id, digest: digests[index]! }]));
  if (missing.length > 0) await requireSame(client, projectId, missing);
  return recorded;
}

interface InsertRow extends RecordedRun {
  readonly id: string | null;
  readonly fast: boolean;
  readonly full: boolean;
  readonly uncounted: boolean;
}

/** Runs that were there already must be of this project, and the same request. Throws ERR_PROJECT_UNKNOWN, ERR_RUN_CONFLICT. */
async function requireSame(
  client: Queryable,
  projectId: string,
  runs: readonly { id: string; digest: Buffer }[],
): Promise<void> {
  const { rows } = await client.query<{ id: string; digest: Buffer | null }>(
    "select id, request_digest as digest from runs where id = any($1) and project_id = $2",
    [runs.map(({ id }) => id), projectId],
  );
  const digests = new Map(rows.map(({ id, digest }) => [id, digest]));
  for (const { id, digest } of runs) {
    const before = digests.get(id);
    if (before === undefined) throw unknownProject(projectId);
    if (before !== null && !before.equals(digest)) throw conflict(id);
  }
}

function conflict(id: string): StepvaultError {
  return new StepvaultError("ERR_RUN_CONFLICT", `Cannot submit the run: the id ${id} is that of another request`);
}

function unknownProject(projectId: string): StepvaultError {
  return new StepvaultError(
    "ERR_PROJECT_UNKNOWN",
    `Cannot create the run: there is no project ${projectId}, or the run id is in use`,
  );
}

function digestOf(job: Job): Buffer {
  const { runId: _runId, ...request } = job;
  return createHash("sha256").update(JSON.stringify(request)).digest();
}

function transpose(needs: readonly Need[]): string[][] {
  return [needs.map(({ runId }) => runId), needs.map(({ name }) => name), needs.map(({ neededId }) => neededId)];
}

async function giveToQueue(
  parts: SubmitParts,
  projectId: string,
  recorded: ReadonlyMap<string, RecordedRun>,
): Promise<void> {
  const now = [...recorded].filter(([, { dispatched }]) => dispatched);
  try {
    await parts.queue.add(now.map(([runId, { turn }]) => ({ projectId, runId, turn })));
    if ([...recorded.values()].some(({ dispatched, ready }) => ready && !dispatched))
      await dispatchHeld(parts, projectId);
  } catch (error) {
    parts.onQueueError?.(error);
  }
}
