/**
 * The ledger: what was promised beside what the database, the loopback server and the viewers have. Everything that must be
 * nought is a list of what was found instead, so that a wrong one names its runs.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Queryable } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import type { RunEvent, RunEventBody, RunResult } from "../../protocol/job.ts";
import type { RunQueue } from "../../runs/queue.ts";
import type { Accepted } from "./load.ts";
import type { Viewed } from "./viewers.ts";

/** A job comes again up to 30 s after its run has ended. */
const ownJobsMsMax = 40_000;

export interface LedgerInput {
  readonly database: Queryable;
  readonly queue: RunQueue;
  readonly accepted: readonly Accepted[];
  readonly tokens: ReadonlySet<string>;
  readonly viewed: readonly Viewed[];
  readonly effects: ReadonlyMap<string, number>;
}

export interface Ledger {
  readonly accepted: number;
  readonly ended: number;
  readonly byStatus: Readonly<Record<string, number>>;
  readonly byError: Readonly<Record<string, number>>;
  readonly events: number;
  readonly effects: number;
  readonly viewers: { readonly viewers: number; readonly connections: number };
  /** What is wrong, by what it is; each list must be empty. */
  readonly wrong: Readonly<Record<WrongKind, readonly string[]>>;
}

const wrongKinds = [
  "lost",
  "doubled",
  "gaps",
  "out of order",
  "seen otherwise",
  "ended otherwise",
  "text lost",
  "own jobs",
] as const;
type WrongKind = (typeof wrongKinds)[number];

interface StoredRun {
  id: string;
  status: string;
  attempt: number;
  token: string | null;
  ended: boolean;
  result: RunResult | null;
}

/** Waits until every run has ended, for so long; gives how many have not. */
export async function quiet(database: Queryable, timeMsMax: number): Promise<number> {
  let left = -1;
  for (const end = performance.now() + timeMsMax; performance.now() < end;) {
    const answer = await database
      .query<{ left: number }>("select count(*)::int as left from runs where ended_at is null")
      .catch(() => undefined);
    left = answer?.rows[0]?.left ?? -1;
    if (left === 0) return 0;
    await sleep(500);
  }
  return left;
}

export async function drawUp(input: LedgerInput): Promise<Ledger> {
  const { database, accepted, tokens, viewed, effects } = input;
  const { rows: runs } = await database.query<StoredRun>(
    `select id, status, attempt, labels ->> 'request' as token, ended_at is not null as ended, result from runs`,
  );
  const wrong = Object.fromEntries(wrongKinds.map((kind) => [kind, [] as string[]])) as Record<WrongKind, string[]>;
  const mine = runs.filter(({ token }) => token !== null && tokens.has(token));
  const events = await eventsOf(database);
  const byId = new Map(runs.map((run) => [run.id, run]));
  const wanted = new Map(accepted.map((run) => [run.runId, run]));
  for (const [token, same] of Map.groupBy(mine, ({ token }) => token ?? ""))
    if (same.length > 1) wrong.doubled.push(`${token} has ${same.length} runs`);
  for (const { runId, kind, jobId } of accepted) {
    if (byId.has(runId)) continue;
    const job = jobId === undefined ? "" : `; its job says ${await statusInTime(input.queue, jobId, 0)}`;
    wrong.lost.push(`${kind} ${runId} is not there${job}`);
  }
  for (const run of runs) {
    const own = events.get(run.id) ?? [];
    if (run.ended) checkEvents(run, own, wrong);
    else wrong.lost.push(`${run.id} is ${run.status}, attempt ${run.attempt}`);
    const asked = wanted.get(run.id);
    if (asked !== undefined) checkEnd({ run, asked, events: own, effects: effects.get(asked.token) ?? 0 }, wrong);
  }
  for (const view of viewed) checkView(view, events.get(view.runId) ?? [], wrong);
  await checkOwnJobs(input, byId, wrong);
  return {
    accepted: accepted.length,
    ended: accepted.filter(({ runId }) => byId.get(runId)?.ended === true).length,
    byStatus: counted(runs.map(({ status }) => status)),
    byError: counted(runs.flatMap(({ result }) => result?.error?.code ?? [])),
    events: [...events.values()].reduce((sum, list) => sum + list.length, 0),
    effects: [...effects.values()].reduce((sum, count) => sum + count, 0),
    viewers: { viewers: viewed.length, connections: viewed.reduce((sum, { connections }) => sum + connections, 0) },
    wrong,
  };
}

/** Whether nothing is wrong. */
export function isClean({ wrong, accepted, ended }: Ledger): boolean {
  return accepted === ended && Object.values(wrong).every((list) => list.length === 0);
}

async function eventsOf(database: Queryable): Promise<Map<string, RunEvent[]>> {
  const { rows } = await database.query<{ runId: string; seq: number; time: Date; body: RunEventBody }>(
    `select run_id as "runId", seq, time, body from run_events order by run_id, seq`,
  );
  const events = rows.map(({ runId, seq, time, body }) => ({ runId, seq, time: time.toISOString(), ...body }));
  return Map.groupBy(events, ({ runId }) => runId);
}

type Wrong = Record<WrongKind, string[]>;

/** Numbered from 0 without a gap; one end, which is the last; attempts one after the other. */
function checkEvents({ id, status, attempt }: StoredRun, events: readonly RunEvent[], wrong: Wrong): void {
  const gap = events.findIndex(({ seq }, at) => seq !== at);
  if (gap !== -1) wrong.gaps.push(`${id} has ${events[gap]?.seq} in the place of ${gap}`);
  const ends = events.filter(({ kind }) => kind === "finished");
  if (ends.length !== 1) (ends.length > 1 ? wrong.doubled : wrong.lost).push(`${id} has ${ends.length} ends`);
  const last = events.at(-1);
  if (last?.kind !== "finished") wrong["out of order"].push(`${id} ends with ${last?.kind ?? "nothing"}`);
  else if (last.status !== status) wrong["ended otherwise"].push(`${id} is ${status}, its event says ${last.status}`);
  let attempts = 0;
  let open = false;
  for (const event of events) {
    if (event.kind === "started") {
      const number = event.attempt ?? 1;
      if (open || number <= attempts) wrong["out of order"].push(`${id} begins attempt ${number} after ${attempts}`);
      attempts = number;
      open = true;
    } else if (event.kind === "retry") open = false;
    else if (!open && !["finished", "error", "output"].includes(event.kind))
      wrong["out of order"].push(`${id} has ${event.kind} outside of an attempt`);
  }
  if (attempts > attempt) wrong.doubled.push(`${id} has begun ${attempts} attempts, and has had ${attempt}`);
}

interface Ended {
  readonly run: StoredRun;
  readonly asked: Accepted;
  readonly events: readonly RunEvent[];
  readonly effects: number;
}

function checkEnd({ run, asked, events, effects }: Ended, wrong: Wrong): void {
  const what = `${asked.kind} ${run.id}`;
  const allowed = asked.effectsMax * run.attempt;
  if (effects > allowed) wrong.doubled.push(`${what} had ${effects} effects in ${run.attempt} attempt(s)`);
  const { result } = run;
  if (result === null || result.error?.fault === "system") return;
  const { status, output, text } = asked.expected;
  if (!status.includes(result.status)) {
    wrong["ended otherwise"].push(
      `${what} is ${result.status}, ${result.error?.code ?? "no error"}: ${result.error?.message ?? ""}`,
    );
    return;
  }
  if (result.status !== "succeeded") return;
  if (output !== undefined && JSON.stringify(result.output) !== JSON.stringify(output))
    wrong["ended otherwise"].push(`${what} has another output`);
  if (asked.effectsMax > 0 && effects === 0) wrong["ended otherwise"].push(`${what} succeeded without its effect`);
  if (text !== undefined && run.attempt === 1 && textOf(events) !== text)
    wrong["text lost"].push(`${what} has ${textOf(events).length} of ${text.length} characters`);
}

function textOf(events: readonly RunEvent[]): string {
  return events
    .map((event) => (event.kind === "stdout" ? event.text : event.kind === "log" ? `${event.message}\n` : ""))
    .join("");
}

/** Each has seen what is there, once and in its order, and all of it once it was told that there is no more. */
function checkView({ runId, events, over }: Viewed, stored: readonly RunEvent[], wrong: Wrong): void {
  const at = events.findIndex((event, place) => canonical(event) !== canonical(stored[place]));
  if (at !== -1) wrong["seen otherwise"].push(`${runId} at ${at}: ${events[at]?.seq} of kind ${events[at]?.kind}`);
  else if (!over) wrong["seen otherwise"].push(`${runId}: no end after ${events.length} of ${stored.length}`);
  else if (events.length !== stored.length)
    wrong["seen otherwise"].push(`${runId}: ${events.length} of ${stored.length} before its end`);
}

function canonical(event: RunEvent | undefined): string {
  return JSON.stringify(Object.entries(event ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** An orchestrator that added a job by itself finds the run's result there, for as long as the queue keeps it. */
async function checkOwnJobs(
  { queue, accepted }: LedgerInput,
  runs: ReadonlyMap<string, StoredRun>,
  wrong: Wrong,
): Promise<void> {
  const end = performance.now() + ownJobsMsMax;
  const own = accepted.flatMap(({ jobId, runId }) => {
    const run = runs.get(runId);
    return jobId === undefined || run === undefined || !run.ended ? [] : [{ jobId, run }];
  });
  for (const { jobId, run } of own) {
    const status = await statusInTime(queue, jobId, end);
    if (status !== run.status && status !== "gone")
      wrong["own jobs"].push(`${jobId} says ${status ?? "nothing"}, its run ${run.id} is ${run.status}`);
  }
}

/** What a job says of its run; undefined when it has not ended by then. */
async function statusInTime(queue: RunQueue, jobId: string, end: number): Promise<string | undefined> {
  for (;;) {
    try {
      const found = await queue.look(jobId);
      if (found !== undefined) return "value" in found ? (found.value as RunResult).status : "failed by itself";
    } catch (error) {
      // A worker whose clock was ahead took it away with the old ones, or a failover lost it; its run is there.
      if (error instanceof StepvaultError && error.code === "ERR_INTERNAL") return "gone";
    }
    if (performance.now() > end) return undefined;
    await sleep(500);
  }
}

function counted(items: readonly string[]): Record<string, number> {
  return Object.fromEntries([...Map.groupBy(items, (item) => item)].map(([item, same]) => [item, same.length]));
}
