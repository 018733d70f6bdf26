/**
 * Schedules: a run that is submitted at the times of a cron expression. The run of a time has an id made of the schedule and
 * that time, and the schedule moves on after the submission, so that it is submitted once by however many processes, whichever
 * of them die. Times that passed while nobody ran are made up for by one run.
 */
import { CronExpressionParser } from "cron-parser";
import type { Database } from "../database/connection.ts";
import type { Around, Queryable } from "../database/server.ts";
import { type ErrorCode, StepvaultError } from "../protocol/error.ts";
import { createId, hashedId } from "../protocol/ids.ts";
import { type JobInput, parseJob } from "../protocol/job.ts";
import { oneByOne } from "./one-by-one.ts";
import { type SubmitParts, type Submitter, submitRun } from "./submit.ts";

const schedulesMax = 1_000;
const dueMax = 100;

export interface ScheduleInput {
  readonly name: string;
  /** Minute, hour, day of month, month, day of week. */
  readonly cron: string;
  /** An IANA name such as Europe/Zurich. */
  readonly timeZone: string;
  /** Of the schedule's project; without a run id, a time or needs of its own. */
  readonly job: JobInput;
  readonly enabled: boolean;
}

export interface Schedule extends ScheduleInput {
  readonly id: string;
  readonly projectId: string;
  readonly nextAt: Date;
  readonly lastDueAt: Date | null;
  readonly lastRunId: string | null;
  readonly lastErrorCode: ErrorCode | null;
  readonly createdBy: { readonly kind: string; readonly id: string };
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

interface NewSchedule {
  readonly input: ScheduleInput;
  readonly by: Submitter;
  readonly around?: Around<Schedule>;
}

const columns = `id, project_id as "projectId", name, cron, time_zone as "timeZone", job, enabled, next_at as "nextAt",
  last_due_at as "lastDueAt", last_run_id as "lastRunId", last_error_code as "lastErrorCode",
  json_build_object('kind', created_by_kind, 'id', created_by) as "createdBy", created_at as "createdAt", updated_at as "updatedAt"`;

/** Throws ERR_SCHEDULE_INVALID, ERR_PROJECT_UNKNOWN, and what parseJob throws. */
export async function createSchedule(
  database: Database,
  projectId: string,
  { input, by, around = async (_, make) => await make() }: NewSchedule,
): Promise<Schedule> {
  const next = checkSchedule(projectId, input);
  return await database.transaction(
    async (client) => await around(client, async () => await insertSchedule(client, projectId, { input, by, next })),
  );
}

async function insertSchedule(
  client: Queryable,
  projectId: string,
  { input, by, next }: NewSchedule & { next: Date },
): Promise<Schedule> {
  const { name, cron, timeZone, job, enabled } = input;
  const { rows } = await client.query<Schedule>(
    `insert into schedules (id, project_id, name, cron, time_zone, job, enabled, next_at, created_by_kind, created_by)
     select $1, p.id, $3, $4, $5, $6, $7, $8, $9, $10 from projects p
     where p.id = $2 and not p.shared and (select count(*) from schedules where project_id = p.id) < ${schedulesMax}
     returning ${columns}`,
    [createId(), projectId, name, cron, timeZone, JSON.stringify(job), enabled, next, by.kind, by.id],
  );
  if (rows[0] !== undefined) return rows[0];
  const { rowCount } = await client.query("select from projects where id = $1 and not shared", [projectId]);
  if (rowCount === 0)
    throw new StepvaultError("ERR_PROJECT_UNKNOWN", `Cannot make the schedule: there is no project ${projectId}`);
  throw invalid(`the project has ${schedulesMax} already, which is the most`);
}

/** Takes the whole schedule anew. Throws ERR_SCHEDULE_UNKNOWN, and what `createSchedule` throws. */
export async function changeSchedule(
  database: Database,
  projectId: string,
  { scheduleId, input }: { scheduleId: string; input: ScheduleInput },
): Promise<Schedule> {
  const next = checkSchedule(projectId, input);
  const { name, cron, timeZone, job, enabled } = input;
  const { rows } = await database.query<Schedule>(
    `update schedules set name = $3, cron = $4, time_zone = $5, job = $6, enabled = $7, next_at = $8, updated_at = now()
     where project_id = $1 and id = $2 returning ${columns}`,
    [projectId, scheduleId, name, cron, timeZone, JSON.stringify(job), enabled, next],
  );
  return rows[0] ?? unknownSchedule();
}

/** Throws ERR_SCHEDULE_UNKNOWN. */
export async function deleteSchedule(database: Database, projectId: string, scheduleId: string): Promise<void> {
  const { rowCount } = await database.query("delete from schedules where project_id = $1 and id = $2", [
    projectId,
    scheduleId,
  ]);
  if (rowCount !== 1) unknownSchedule();
}

/** Throws ERR_SCHEDULE_UNKNOWN. */
export async function getSchedule(database: Queryable, projectId: string, scheduleId: string): Promise<Schedule> {
  const { rows } = await database.query<Schedule>(
    `select ${columns} from schedules where project_id = $1 and id = $2`,
    [projectId, scheduleId],
  );
  return rows[0] ?? unknownSchedule();
}

/** By id, which is the order of their creation; at most `limit`, after the one named. */
export async function listSchedules(
  database: Database,
  projectId: string,
  { after, limit }: { after?: string | undefined; limit: number },
): Promise<Schedule[]> {
  const { rows } = await database.query<Schedule>(
    `select ${columns} from schedules where project_id = $1 and ($2::uuid is null or id > $2) order by id limit $3`,
    [projectId, after ?? null, limit],
  );
  return rows;
}

/** The functions above, on a database. Whether the caller may is asked before. */
export class Schedules {
  #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async create(...args: Rest<typeof createSchedule>): Promise<Schedule> {
    return await createSchedule(this.#database, ...args);
  }

  async change(...args: Rest<typeof changeSchedule>): Promise<Schedule> {
    return await changeSchedule(this.#database, ...args);
  }

  async delete(...args: Rest<typeof deleteSchedule>): Promise<void> {
    await deleteSchedule(this.#database, ...args);
  }

  async get(...args: Rest<typeof getSchedule>): Promise<Schedule> {
    return await getSchedule(this.#database, ...args);
  }

  async list(...args: Rest<typeof listSchedules>): Promise<Schedule[]> {
    return await listSchedules(this.#database, ...args);
  }
}

type Rest<Function> = Function extends (database: Database, ...rest: infer Rest) => unknown ? Rest : never;

interface DueSchedule extends Schedule {
  readonly now: Date;
}

/** Submits the runs of schedules whose time has come. Throws the first error once all have been looked at. */
export async function submitDue(parts: SubmitParts, signal?: AbortSignal): Promise<void> {
  const { rows } = await parts.database.query<DueSchedule>(
    `select ${columns}, now() as now from schedules where enabled and next_at <= now()
     order by next_at limit ${dueMax}`,
  );
  await oneByOne(rows, async (schedule) => await submitOf(parts, schedule), signal);
}

async function submitOf(parts: SubmitParts, schedule: DueSchedule): Promise<void> {
  const { id, projectId, job, nextAt, cron, timeZone, now } = schedule;
  const runId = hashedId("schedule", id, nextAt.toISOString());
  let refused: ErrorCode | null = null;
  try {
    const labels = { ...job.labels, scheduleId: id };
    await submitRun(parts, { ...job, projectId, runId, labels }, { kind: "schedule", id });
  } catch (error) {
    if (!(error instanceof StepvaultError) || error.fault === "system") throw error;
    refused = error.code;
  }
  await parts.database.query(
    `update schedules set next_at = $3, last_due_at = next_at, last_error_code = $5,
            last_run_id = case when $5::text is null then $4::uuid else last_run_id end
     where id = $1 and next_at = $2`,
    [id, nextAt, nextOf({ cron, timeZone }, nextAt > now ? nextAt : now), runId, refused],
  );
}

/** The next time of a schedule. Throws ERR_SCHEDULE_INVALID. */
function checkSchedule(projectId: string, input: ScheduleInput): Date {
  const { runId, runAt, delayMs, after } = parseJob({ ...input.job, projectId });
  if ([runId, runAt, delayMs, after].some((field) => field !== undefined))
    throw invalid("its job has a run id, a time or needs of its own");
  const characters = Array.from(input.name).length;
  if (characters < 1 || characters > 200 || input.name.includes("\0"))
    throw invalid(`its name has ${characters} characters, 1 to 200 are allowed, and no NUL`);
  // The parser draws it anew each time that it reads the expression; in a name it stands in THU alone.
  if (input.cron.replaceAll(/thu/gi, "").includes("H")) throw invalid("its cron has an H, which is no fixed time");
  if (!isTimeZone(input.timeZone)) throw invalid("its time zone is not an IANA name");
  return nextOf(input, new Date());
}

/** The parser takes more, such as `local`: of whatever machine looks at the schedule. */
function isTimeZone(name: string): boolean {
  // An offset is a time zone to Intl too, and none that has a summer.
  if (!/^[a-z]/i.test(name)) return false;
  try {
    Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

function nextOf({ cron, timeZone }: Pick<ScheduleInput, "cron" | "timeZone">, after: Date): Date {
  // The parser takes seconds too: a run each second is not what anybody wants by one star too many.
  if (cron.length > 200 || cron.trim().split(/\s+/).length !== 5) throw invalid("its cron has not five fields");
  try {
    return CronExpressionParser.parse(cron, { currentDate: after, tz: timeZone }).next().toDate();
  } catch {
    // The parser's error quotes what it read.
    throw invalid("its cron or its time zone cannot be read, or never comes");
  }
}

function invalid(why: string): StepvaultError {
  return new StepvaultError("ERR_SCHEDULE_INVALID", `Cannot save the schedule: ${why}`);
}

function unknownSchedule(): never {
  throw new StepvaultError("ERR_SCHEDULE_UNKNOWN", "Cannot find the schedule: the project has none with this id");
}
