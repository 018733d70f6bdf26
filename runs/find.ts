/**
 * Reading runs: one, or a project's newest ones page by page. Reads only, and always with the project's id: a run of another
 * project is as one that does not exist.
 */
import type { Database } from "../database/connection.ts";
import { StepvaultError } from "../protocol/error.ts";
import { idSchema } from "../protocol/ids.ts";
import type { Language, RunResult, RunStatus } from "../protocol/job.ts";

export interface RunSummary {
  readonly id: string;
  readonly projectId: string;
  readonly status: RunStatus;
  readonly language: Language | null;
  readonly stepId: string | null;
  readonly labels: Record<string, string>;
  readonly attempt: number;
  readonly createdAt: Date;
  readonly runAt: Date | null;
  readonly startedAt: Date | null;
  readonly endedAt: Date | null;
  readonly cancelRequestedAt: Date | null;
  readonly submittedBy: { readonly kind: string; readonly id: string } | null;
}

export interface Run extends RunSummary {
  readonly result: RunResult | null;
}

export interface RunFilter {
  readonly status?: readonly RunStatus[] | undefined;
  readonly stepId?: string | undefined;
  /** Names and values; a run has all of them. */
  readonly labels?: readonly (readonly [name: string, value: string])[] | undefined;
  readonly createdAfter?: Date | undefined;
  readonly createdBefore?: Date | undefined;
  readonly submittedBy?: string | undefined;
}

/** Where a page begins: after the run with this time, in microseconds since 1970 as PostgreSQL counts them, and this id. */
export interface RunPosition {
  readonly createdUs: number;
  readonly id: string;
}

export interface RunPage {
  readonly runs: RunSummary[];
  /** Where the next page begins; undefined when there is none. */
  readonly next: RunPosition | undefined;
}

const summary = `id, project_id as "projectId", status, language, step_id as "stepId", coalesce(labels, '{}') as labels,
  attempt, created_at as "createdAt", run_at as "runAt", started_at as "startedAt", ended_at as "endedAt",
  cancel_requested_at as "cancelRequestedAt",
  case when submitted_by is not null then json_build_object('kind', submitted_by_kind, 'id', submitted_by) end as "submittedBy"`;

/** One run of a project. Throws ERR_RUN_UNKNOWN. */
export async function getRun(database: Database, projectId: string, runId: string): Promise<Run> {
  // What is no id may be anything, also a value: PostgreSQL's error would quote it.
  const ids = [projectId, runId].every((id) => idSchema.safeParse(id).success);
  const { rows } = ids
    ? await database.query<Run>(`select ${summary}, result from runs where id = $1 and project_id = $2`, [
        runId,
        projectId,
      ])
    : { rows: [] };
  if (rows[0] !== undefined) return rows[0];
  throw new StepvaultError("ERR_RUN_UNKNOWN", "Cannot find the run: the project has no run with this id");
}

/** A project's runs, the newest first. */
export async function listRuns(
  database: Database,
  projectId: string,
  { filter = {}, from, limit }: { filter?: RunFilter; from?: RunPosition | undefined; limit: number },
): Promise<RunPage> {
  const { status, stepId, labels = [], createdAfter, createdBefore, submittedBy } = filter;
  const { rows } = await database.query<RunSummary & { createdUs: number }>(
    `select ${summary}, (extract(epoch from created_at) * 1000000)::float8 as "createdUs" from runs
     where project_id = $1
       and ($2::text[] is null or status = any($2))
       and ($3::uuid is null or step_id = $3)
       and ($4::timestamptz is null or created_at > $4)
       and ($5::timestamptz is null or created_at < $5)
       and ($6::float8 is null or (created_at, id) < (timestamptz 'epoch' + $6 * interval '1 microsecond', $7))
       and ($8::text is null or submitted_by = $8)
       and not exists (select from unnest($9::text[], $10::text[]) as l (name, value) where labels ->> l.name is distinct from l.value)
     order by created_at desc, id desc limit $11`,
    [
      projectId,
      status ?? null,
      stepId ?? null,
      createdAfter ?? null,
      createdBefore ?? null,
      from?.createdUs ?? null,
      from?.id ?? null,
      submittedBy ?? null,
      labels.map(([name]) => name),
      labels.map(([, value]) => value),
      limit + 1,
    ],
  );
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const next = rows.length > limit && last !== undefined ? { createdUs: last.createdUs, id: last.id } : undefined;
  return { runs: page.map(({ createdUs: _createdUs, ...run }) => run), next };
}
