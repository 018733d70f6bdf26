/**
 * Submitting runs: once per id whoever sends it and however often, all or none of a batch, within the project's limits, and
 * nothing told of other projects. Straight on the database, with a queue that only takes notes.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import type { JobInput } from "../../protocol/job.ts";
import { dispatchHeld } from "../../runs/dispatch.ts";
import type { QueuedRun, RunQueue } from "../../runs/queue.ts";
import { RunStore } from "../../runs/store.ts";
import { submitRun, submitRuns } from "../../runs/submit.ts";
import { dispatchDue, restoreLost } from "../../runs/sweep.ts";
import { createOrganization, createProject } from "../../vault/tenancy/tenancy.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";
import { mark, succeeded, usage } from "./backends.ts";

let temporary: Temporary;
let organizationId: string;
let projectId: string;
let given: QueuedRun[] = [];
let refuse = false;
const queue = {
  add: async (runs: readonly QueuedRun[]) => {
    if (refuse) throw new Error("the queue is away");
    given.push(...runs);
  },
  restore: async () => 0,
} as unknown as RunQueue;
const errors: unknown[] = [];
const parts = () => ({
  database: temporary.database,
  queue,
  onQueueError: (error: unknown) => void errors.push(error),
});

beforeAll(async () => {
  temporary = await openTemporary();
  organizationId = (await createOrganization(temporary.database, "Test")).id;
});
afterAll(async () => await temporary.dispose());
beforeEach(async () => {
  projectId = (await createProject(temporary.database, organizationId, "Test")).id;
  given = [];
  refuse = false;
});

const step = { language: "javascript", code: "return 1" } as const;
const job = (more: Partial<JobInput> = {}): JobInput => ({ projectId, step, ...more });
const countRuns = async (): Promise<number> =>
  (await temporary.database.query("select from runs where project_id = $1", [projectId])).rowCount ?? -1;
const set = async (limit: "runs_at_once_max" | "runs_per_minute_max", value: number | null): Promise<unknown> =>
  await temporary.database.query(`update projects set ${limit} = $2 where id = $1`, [projectId, value]);

/** Runs it to its end as a worker would. */
async function end(runId: string, status: "succeeded" | "failed" = "succeeded"): Promise<void> {
  const store = new RunStore(temporary.database);
  const claim = await store.claim(projectId, runId, "worker");
  expect(claim.state).toBe("claimed");
  const result = mark({ ...succeeded(runId), status });
  expect(await store.finish(result, [], { from: { workerId: "worker" } })).toBeDefined();
}

describe("a run that is submitted again", () => {
  test("is recorded and queued once, also from many at once", async () => {
    const runId = createId();
    const submissions = await Promise.all(
      Array.from({ length: 12 }, async () => await submitRun(parts(), job({ runId }))),
    );
    expect(submissions.filter(({ created }) => created)).toHaveLength(1);
    expect(new Set(submissions.map((run) => run.runId))).toEqual(new Set([runId]));
    expect(given.map((run) => run.runId)).toEqual([runId]);
  });
  test("is the same run in capitals", async () => {
    const runId = createId();
    await submitRun(parts(), job({ runId }));
    expect(await submitRun(parts(), job({ runId: runId.toUpperCase() }))).toEqual({ runId, created: false });
  });
  test("stays ended, and is not queued again", async () => {
    const runId = createId();
    await submitRun(parts(), job({ runId }));
    await end(runId);
    expect(await submitRun(parts(), job({ runId }))).toEqual({ runId, created: false });
    expect(given).toHaveLength(1);
  });
  test.each([
    ["other code", { step: { ...step, code: "return 2" } }],
    ["other params", { params: { a: 1 } }],
    ["another time", { delayMs: 1 }],
    ["other labels", { labels: { agentId: "a" } }],
  ])("with %s is a conflict that shows nothing, before and after its end", async (_, more) => {
    const runId = createId();
    await submitRun(parts(), job({ runId, params: "sk-value" }));
    const refused = { code: "ERR_RUN_CONFLICT", message: expect.not.stringMatching(/sk-value|return/) };
    await expect(submitRun(parts(), job({ runId, ...more }))).rejects.toMatchObject(refused);
    await end(runId);
    await expect(submitRun(parts(), job({ runId, ...more }))).rejects.toMatchObject(refused);
  });
  test("from another project is told what is told of a project that there is not", async () => {
    const runId = createId();
    await submitRun(parts(), job({ runId }));
    const other = (await createProject(temporary.database, organizationId, "Other")).id;
    const messages: string[] = [];
    for (const [as, id] of [
      [other, runId],
      [createId(), runId],
      [createId(), createId()],
    ] as const) {
      const refusal: unknown = await submitRun(parts(), job({ projectId: as, runId: id })).catch(
        (error: unknown) => error,
      );
      expect(refusal).toMatchObject({ code: "ERR_PROJECT_UNKNOWN" });
      messages.push(String(refusal).replace(as, "PROJECT"));
    }
    expect(new Set(messages).size).toBe(1);
  });
  test("is told that it was taken, though the project may submit no more in this minute", async () => {
    await set("runs_per_minute_max", 1);
    const runId = createId();
    await submitRun(parts(), job({ runId }));
    await expect(submitRun(parts(), job())).rejects.toMatchObject({ code: "ERR_PROJECT_RATE", fault: "limit" });
    expect(await submitRun(parts(), job({ runId }))).toEqual({ runId, created: false });
  });
});

test("no more than a project may submit in a minute are taken, however many come at once, alone, together or after others", async () => {
  const { runId: needed } = await submitRun(parts(), job());
  await set("runs_per_minute_max", 10);
  const submissions = Array.from({ length: 30 }, async (_, i) => {
    const jobs = Array.from({ length: 1 + (i % 3) }, () => job(i % 2 === 0 ? {} : { after: { needed } }));
    return jobs.length === 1 ? [await submitRun(parts(), jobs[0]!)] : await submitRuns(parts(), jobs);
  });
  const ends = await Promise.allSettled(submissions);
  const taken = ends.flatMap((end) => (end.status === "fulfilled" ? end.value : []));
  const refusals = ends.flatMap((end) => (end.status === "rejected" ? [(end.reason as { code?: string }).code] : []));
  expect(new Set(refusals)).toEqual(new Set(["ERR_PROJECT_RATE"]));
  expect(1 + taken.length).toBe(await countRuns());
  // A batch that is refused may leave less room than it has runs.
  expect([8, 9, 10]).toContain(await countRuns());
});

describe("a batch of runs", () => {
  test("of a thousand is recorded and queued in its order", async () => {
    const jobs = Array.from({ length: 1_000 }, () => job({ runId: createId() }));
    const runs = await submitRuns(parts(), jobs);
    expect(runs).toEqual(jobs.map(({ runId }) => ({ runId, created: true })));
    const turns = new Map(given.map((run) => [run.runId, run.turn]));
    const first = turns.get(jobs[0]!.runId!)!;
    expect(jobs.map(({ runId }) => turns.get(runId!)! - first)).toEqual(jobs.map((_, i) => i));
  });
  test.each([
    ["no run", () => []],
    ["more than a thousand", () => Array.from({ length: 1_001 }, () => job())],
    ["runs of several projects", () => [job(), job({ projectId: createId() })]],
    ["one that is invalid", () => [job(), job({ step: { language: "python", code: 1 as never } })]],
    ["runs that wait for each other in a circle", () => circle(3)],
    ["a run that waits for itself", () => circle(1)],
  ])("with %s is refused as a whole", async (_, jobs) => {
    await expect(submitRuns(parts(), jobs())).rejects.toMatchObject({ code: "ERR_JOB_INVALID" });
    expect([await countRuns(), given]).toEqual([0, []]);
  });
  test("is refused as a whole when one of its ids is another request's, or another project's", async () => {
    const [mine, theirs] = [createId(), createId()];
    const other = (await createProject(temporary.database, organizationId, "Other")).id;
    await submitRun(parts(), job({ runId: mine }));
    await submitRun(parts(), job({ projectId: other, runId: theirs }));
    const conflict = submitRuns(parts(), [job(), job({ runId: mine, params: 2 }), job()]);
    await expect(conflict).rejects.toMatchObject({ code: "ERR_RUN_CONFLICT" });
    const stolen = submitRuns(parts(), [job(), job({ runId: theirs })]);
    await expect(stolen).rejects.toMatchObject({ code: "ERR_PROJECT_UNKNOWN" });
    expect(await countRuns()).toBe(1);
  });
  test("that names one run twice has it once, and is refused when the two are not the same", async () => {
    const runId = createId();
    await expect(submitRuns(parts(), [job({ runId }), job({ runId, params: 2 })])).rejects.toMatchObject({
      code: "ERR_RUN_CONFLICT",
    });
    expect(await countRuns()).toBe(0);
    const twice = await submitRuns(parts(), [job({ runId }), job({ runId })]);
    expect(twice.map(({ created }) => created)).toEqual([true, false]);
    expect(await countRuns()).toBe(1);
  });
  test("is refused as a whole when it is more than the project may submit in a minute", async () => {
    await set("runs_per_minute_max", 5);
    await submitRuns(parts(), [job(), job(), job()]);
    await expect(submitRuns(parts(), [job(), job(), job()])).rejects.toMatchObject({ code: "ERR_PROJECT_RATE" });
    expect(await countRuns()).toBe(3);
    await submitRuns(parts(), [job(), job()]);
    await temporary.database.query(
      "update runs set created_at = created_at - interval '61 seconds' where project_id = $1",
      [projectId],
    );
    await submitRun(parts(), job());
    expect(await countRuns()).toBe(6);
  });
});

function circle(runs: number): JobInput[] {
  const ids = Array.from({ length: runs }, () => createId());
  return ids.map((runId, i) => job({ runId, after: { before: ids[(i + 1) % runs]! } }));
}

describe("a queue that is away", () => {
  test("refuses no submission: the run is given to it by the next look that finds it back", async () => {
    refuse = true;
    errors.length = 0;
    const { runId } = await submitRun(parts(), job());
    expect(errors).toHaveLength(1);
    await temporary.database.query("update runs set dispatched_at = now() - interval '31 seconds' where id = $1", [
      runId,
    ]);
    const restored: string[] = [];
    const back = {
      ...queue,
      restore: async (runs: readonly QueuedRun[]) => restored.push(...runs.map((run) => run.runId)),
      setTurn: async () => {},
    };
    await restoreLost({ database: temporary.database, queue: back });
    expect(restored).toContain(runId);
  });
});

describe("a project that may run only so many at once", () => {
  const dispatched = async (): Promise<number> =>
    (
      await temporary.database.query(
        "select from runs where project_id = $1 and ended_at is null and (status = 'running' or dispatched_at is not null)",
        [projectId],
      )
    ).rowCount ?? -1;

  test("has never more than that in the queue, however many submit at once, and all run in the end", async () => {
    await set("runs_at_once_max", 3);
    const submissions = Array.from({ length: 20 }, async () => await submitRun(parts(), job()));
    const looks = Array.from({ length: 5 }, async () => await dispatchDue(parts()));
    await Promise.all([...submissions, ...looks]);
    expect(await dispatched()).toBe(3);
    for (let ended = 0; ended < 20; ended += 1) {
      const next = given[ended];
      expect(next).toBeDefined();
      await end(next!.runId);
      await Promise.all([dispatchHeld(parts(), projectId), dispatchHeld(parts(), projectId)]);
      expect(await dispatched()).toBe(Math.min(3, 19 - ended));
    }
    expect(new Set(given.map(({ runId }) => runId)).size).toBe(20);
  });
  test("runs the rest at once when it is let do so", async () => {
    await set("runs_at_once_max", 1);
    await submitRuns(parts(), [job(), job(), job()]);
    expect(given).toHaveLength(1);
    await set("runs_at_once_max", null);
    await dispatchDue(parts());
    expect(given).toHaveLength(3);
  });
});

describe("a run that needs others", () => {
  test("waits for all of them, is queued once, and is not forgotten when one ends while it is submitted", async () => {
    const [a, b] = await submitRuns(parts(), [job(), job()]);
    const after = { a: a!.runId, b: b!.runId };
    const { runId } = await submitRun(parts(), job({ after }));
    await end(a!.runId);
    await dispatchDue(parts());
    expect(given).toHaveLength(2);
    await end(b!.runId, "failed");
    await dispatchDue(parts());
    await dispatchDue(parts());
    expect(given.map((run) => run.runId)).toEqual([a!.runId, b!.runId, runId]);
  });
  test("whose need ends in the moment of its submission goes on with the next look", async () => {
    const { runId: needed } = await submitRun(parts(), job());
    await new RunStore(temporary.database).claim(projectId, needed, "worker");
    let ended: Promise<unknown> = Promise.resolve();
    // Its end waits for the submission's lock and has looked for who needs it before.
    const slow = {
      transaction: async (work: never) =>
        await temporary.database.transaction(async (client) => {
          const query = async (text: string, values: unknown[]): Promise<unknown> => {
            const answer = await client.query(text, values);
            if (text.includes("for share")) {
              ended = new RunStore(temporary.database).finish(mark({ ...succeeded(needed), usage }), [], {
                from: { workerId: "worker" },
              });
              await new Promise((resolve) => setTimeout(resolve, 300));
            }
            return answer;
          };
          return await (work as (client: unknown) => Promise<unknown>)({ query });
        }),
      query: temporary.database.query.bind(temporary.database),
    };
    const waiting = await submitRun({ ...parts(), database: slow as never }, job({ after: { needed } }));
    expect(await ended).toBeDefined();
    await restoreLost(parts());
    await dispatchDue(parts());
    expect(given.map(({ runId }) => runId)).toEqual([needed, waiting.runId]);
  });
  test("is refused when there is no such run, or it is another project's", async () => {
    const other = (await createProject(temporary.database, organizationId, "Other")).id;
    const theirs = await submitRun(parts(), job({ projectId: other }));
    for (const needed of [createId(), theirs.runId]) {
      await expect(submitRun(parts(), job({ after: { needed } }))).rejects.toMatchObject({ code: "ERR_RUN_UNKNOWN" });
    }
    expect(await countRuns()).toBe(0);
  });
  test("is refused under a name that would be lost on its way: it would not wait", async () => {
    const { runId } = await submitRun(parts(), job());
    const after = JSON.parse(`{"__proto__": "${runId}"}`) as Record<string, string>;
    await expect(submitRun(parts(), job({ after }))).rejects.toMatchObject({ code: "ERR_JOB_INVALID" });
  });
});
