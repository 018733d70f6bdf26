/** Who lives and who does not, by beats that others watch with their own clocks; no time of another machine is compared. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../database/connection.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { createId } from "../../protocol/ids.ts";
import { RunStore } from "../../runs/store.ts";
import { recordRuns } from "../../runs/submit.ts";
import { beatMs, WorkerWatch } from "../../runs/workers.ts";
import { createOrganization, createProject } from "../../vault/tenancy/tenancy.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";

let temporary: Temporary;
let projectId: string;
beforeAll(async () => {
  temporary = await openTemporary();
  const organization = await createOrganization(temporary.database, "Test");
  projectId = (await createProject(temporary.database, organization.id, "Test")).id;
});
afterAll(async () => await temporary.dispose());

const watch = (): WorkerWatch => new WorkerWatch(temporary.database);

async function runOf(workerId: string): Promise<string> {
  const id = createId();
  await recordRuns(temporary.database, [{ id, job: { projectId, step: { language: "python" as const, code: "1" } } }], {
    projectId,
  });
  await new RunStore(temporary.database).claim(projectId, id, workerId);
  return id;
}

/** Looks from one time until just before another, as often as a worker does, and gives all that were found gone. */
async function lookFrom(observer: WorkerWatch, fromMs: number, endMs: number): Promise<string[]> {
  const gone: string[] = [];
  for (let atMs = fromMs; atMs < endMs; atMs += beatMs) gone.push(...(await observer.listGone("other", atMs)));
  return gone;
}

test("a worker that beats lives, however late the beats and whatever the clocks say", async () => {
  const [one, other] = [createId(), watch()];
  const worker = watch();
  await worker.begin(one);
  for (let atMs = 0; atMs < 200_000; atMs += 30_000) {
    expect(await worker.beat(one)).toBe(true);
    expect(await lookFrom(other, atMs, atMs + 30_000)).not.toContain(one);
  }
  await temporary.database.query("update workers set started_at = '1970-01-01', beat = beat - 2 where id = $1", [one]);
  expect(await other.listGone("other", 210_000)).not.toContain(one);
});

test("one that is silent for half a minute is gone, and is told so at its next beat", async () => {
  const [silent, other] = [createId(), watch()];
  await watch().begin(silent);
  const runId = await runOf(silent);
  expect(await lookFrom(other, 0, 30_000)).not.toContain(silent);
  expect(await other.listGone("other", 29_999)).not.toContain(silent);
  expect(await other.listGone("other", 30_000)).toContain(silent);
  expect(await watch().beat(silent)).toBe(false);
  // Others hear of it at once for as long as it holds runs.
  expect(await watch().listGone("third", 0)).toContain(silent);
  await new RunStore(temporary.database).takeOver(silent, "third");
  expect(await watch().listGone("third", 0)).not.toContain(silent);
  expect(await new RunStore(temporary.database).listHeld("third")).toEqual([runId]);
});

test("an observer that has slept itself gives everybody half a minute anew", async () => {
  const [worker, observer] = [createId(), watch()];
  await watch().begin(worker);
  await observer.listGone("other", 0);
  expect(await lookFrom(observer, 3_600_000, 3_630_000)).not.toContain(worker);
  expect(await observer.listGone("other", 3_630_000)).toContain(worker);
});

test("while PostgreSQL is away nobody can beat: of that time nothing counts as silence, and a look that fails is none", async () => {
  let away = false;
  const query = async (text: string, values: unknown[]): Promise<unknown> => {
    if (away) throw new StepvaultError("ERR_DATABASE", "Cannot run a statement: PostgreSQL is away");
    return await temporary.database.query(text, values);
  };
  const [worker, observer] = [createId(), new WorkerWatch({ query } as Database)];
  await watch().begin(worker);
  await observer.listGone("other", 0);
  away = true;
  for (let atMs = 5_000; atMs <= 35_000; atMs += beatMs)
    await expect(observer.listGone("other", atMs)).rejects.toMatchObject({ code: "ERR_DATABASE" });
  away = false;
  expect(await lookFrom(observer, 36_000, 66_000)).not.toContain(worker);
  expect(await observer.listGone("other", 66_000)).toContain(worker);
});

test("one look that fails does not make the others begin anew", async () => {
  const [worker, observer] = [createId(), watch()];
  await watch().begin(worker);
  await lookFrom(observer, 0, 15_000);
  await lookFrom(observer, 20_500, 30_000);
  expect(await observer.listGone("other", 30_500)).toContain(worker);
});

test("one that has said its end is no longer waited for, and its runs are found at once", async () => {
  const worker = createId();
  await watch().begin(worker);
  await runOf(worker);
  await watch().end(worker);
  expect(await watch().listGone("other", 0)).toContain(worker);
});

test("only those that ended long ago and hold nothing are forgotten", async () => {
  const [old, holding, young] = [createId(), createId(), createId()];
  for (const id of [old, holding, young]) await watch().begin(id);
  await runOf(holding);
  for (const id of [old, holding, young]) await watch().end(id);
  await temporary.database.query("update workers set ended_at = now() - interval '8 days' where id = any($1)", [
    [old, holding],
  ]);
  await watch().tidy();
  const { rows } = await temporary.database.query<{ id: string }>("select id from workers where id = any($1)", [
    [old, holding, young],
  ]);
  expect(new Set(rows.map(({ id }) => id))).toEqual(new Set([holding, young]));
});
