/** Runs in a real PostgreSQL: each change of state happens once, whoever tries, and events keep their order. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { createId } from "../../protocol/ids.ts";
import type { RunEventBody } from "../../protocol/job.ts";
import { EventWriter } from "../../runs/event-writer.ts";
import { getRun } from "../../runs/find.ts";
import { type ClaimedRun, RunStore, type StoredEvent } from "../../runs/store.ts";
import { recordRuns } from "../../runs/submit.ts";
import { createOrganization, createProject } from "../../vault/tenancy/tenancy.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";
import { mark, succeeded } from "./backends.ts";

let temporary: Temporary;
let store: RunStore;
let projectId: string;
beforeAll(async () => {
  temporary = await openTemporary();
  store = new RunStore(temporary.database);
  const organization = await createOrganization(temporary.database, "Test");
  projectId = (await createProject(temporary.database, organization.id, "Test")).id;
});
afterAll(async () => await temporary.dispose());

const event = (seq: number, body: RunEventBody = { kind: "started" }): StoredEvent => ({
  seq,
  time: new Date(),
  body: mark(body),
});
const last = (seq: number): StoredEvent => event(seq, { kind: "finished", status: "succeeded" });

async function newRun(): Promise<string> {
  const id = createId();
  const job = { projectId, step: { language: "python" as const, code: "1" }, labels: { agentId: "a" } };
  await recordRuns(temporary.database, [{ id, job }], { projectId });
  return id;
}

async function claim(id: string, workerId = "worker"): Promise<ClaimedRun> {
  const claimed = await store.claim(projectId, id, workerId);
  if (claimed.state !== "claimed") throw new Error(`the run is ${claimed.state}`);
  return claimed.run;
}

const claimedRun = async (workerId = "worker"): Promise<ClaimedRun> => await claim(await newRun(), workerId);

describe("a run's state", () => {
  test("goes from queued to running to its end, and its result comes back as it was", async () => {
    const id = await newRun();
    expect((await getRun(temporary.database, projectId, id)).status).toBe("queued");
    expect(await claim(id)).toMatchObject({ id, workerId: "worker", attempt: 1, nextSeq: 0 });
    expect((await getRun(temporary.database, projectId, id)).status).toBe("running");
    const from = { workerId: "worker" };
    expect(await store.finish(succeeded(id), [], { from })).toEqual({ projectId, othersWait: false, queueJobId: null });
    expect(await getRun(temporary.database, projectId, id)).toMatchObject({
      status: "succeeded",
      result: succeeded(id),
      labels: { agentId: "a" },
    });
  });
  test("is claimed by one of many workers", async () => {
    const id = await newRun();
    const claims = await Promise.all(
      Array.from({ length: 8 }, async (_, i) => await store.claim(projectId, id, `worker ${i}`)),
    );
    expect(claims.filter(({ state }) => state === "claimed")).toHaveLength(1);
    expect(claims.filter(({ state }) => state === "held")).toHaveLength(7);
  });
  test("ends once, with the first result", async () => {
    const { id } = await claimedRun();
    const from = { workerId: "worker" };
    const ends = await Promise.all([1, 2, 3].map(async () => await store.finish(succeeded(id), [last(0)], { from })));
    expect(ends.filter((end) => end !== undefined)).toHaveLength(1);
    expect(await store.claim(projectId, id, "other")).toMatchObject({
      state: "ended",
      result: { status: "succeeded" },
    });
    expect(await store.listEvents(projectId, id)).toHaveLength(1);
  });
  test("ends only from the state that is named: not as a waiting one while it runs, nor by another worker", async () => {
    const { id } = await claimedRun("mine");
    expect(await store.finish(succeeded(id), [last(0)], { from: "queued" })).toBeUndefined();
    expect(await store.finish(succeeded(id), [last(0)], { from: { workerId: "other" } })).toBeUndefined();
    expect(await store.listEvents(projectId, id)).toEqual([]);
    const waiting = await newRun();
    expect(await store.finish(succeeded(waiting), [], { from: { workerId: "mine" } })).toBeUndefined();
    expect(await store.finish(succeeded(waiting), [last(0)], { from: "queued" })).toBeDefined();
  });
  test("forgets what it was to run once it has ended", async () => {
    const { id } = await claimedRun();
    await store.finish(succeeded(id), [], { from: { workerId: "worker" } });
    const { rows } = await temporary.database.query("select job from runs where id = $1", [id]);
    expect(rows).toEqual([{ job: null }]);
  });
  test("goes with its events to the worker that takes it over, and the first one can write nothing any more", async () => {
    const first = await claimedRun("gone");
    await store.appendEvents(first, [event(0), event(1, { kind: "stdout", text: "a" })]);
    const [second, ...others] = await store.takeOver("gone", "heir");
    expect(others).toEqual([]);
    expect(second).toMatchObject({ id: first.id, workerId: "heir", nextSeq: 2, attempt: 1 });
    expect(await store.appendEvents(first, [event(2)])).toBe(false);
    expect(await store.requeue(first, [event(2)], { delayMs: 0 })).toBe(false);
    expect(await store.finish(succeeded(first.id), [last(2)], { from: first })).toBeUndefined();
    expect(await store.finish(succeeded(first.id), [last(2)], { from: second! })).toBeDefined();
    expect((await store.listEvents(projectId, first.id)).map(({ seq, kind }) => `${seq} ${kind}`)).toEqual([
      "0 started",
      "1 stdout",
      "2 finished",
    ]);
  });
  test("is not taken over while its worker writes: the heir goes on behind what was written", async () => {
    const first = await claimedRun("writing");
    await temporary.database.transaction(async (client) => {
      expect(await new RunStore(client as never).appendEvents(first, [event(0), event(1)])).toBe(true);
      expect(await store.takeOver("writing", "heir")).toEqual([]);
    });
    expect(await store.takeOver("writing", "heir")).toMatchObject([{ id: first.id, nextSeq: 2 }]);
  });
  test("is taken over once by one of many heirs", async () => {
    const { id } = await claimedRun("dead");
    const taken = await Promise.all([1, 2, 3, 4].map(async (i) => await store.takeOver("dead", `heir ${i}`)));
    expect(taken.flat().map((run) => run.id)).toEqual([id]);
  });
  test("is taken over by name from a worker that has more than are taken at once", async () => {
    const ids = Array.from({ length: 120 }, () => createId());
    await temporary.database.query(
      `insert into runs (id, project_id, status, worker_id, labels, job) select id, $2, 'running', 'busy', '{}', '{}'
       from unnest($1::uuid[]) as id`,
      [ids, projectId],
    );
    const named = [ids[0]!, ids[60]!, ids[119]!];
    const taken = await store.takeOver("busy", "busy", named);
    expect(new Set(taken.map(({ id }) => id))).toEqual(new Set(named));
  });
  test("waits for its next attempt with its events, and not before its time has come", async () => {
    const first = await claimedRun();
    await store.appendEvents(first, [event(0)]);
    expect(await store.requeue(first, [event(1)], { delayMs: 3_600_000 })).toBe(true);
    expect(await store.claim(projectId, first.id, "other")).toEqual({ state: "held" });
    await temporary.database.query("update runs set run_at = now(), dispatched_at = now() where id = $1", [first.id]);
    expect(await claim(first.id, "other")).toMatchObject({ attempt: 2, nextSeq: 2, job: first.job });
  });
  test("takes no part in the turns of others while it waits for its next attempt, and its events count", async () => {
    await temporary.database.query("delete from runs where status = 'queued'");
    const turnOf = async (place: string): Promise<number> => {
      const id = createId();
      const job = { projectId: place, step: { language: "python" as const, code: "1" } };
      return (await recordRuns(temporary.database, [{ id, job }], { projectId: place })).get(id)!.turn;
    };
    const first = await claimedRun();
    for (let i = 0; i < 5; i++) await turnOf(projectId);
    await temporary.database.query("update runs set turn = turn + 100 where status = 'queued'");
    expect(await store.requeue(first, [event(0)], { delayMs: 3_600_000, eventsBytes: 77 })).toBe(true);
    const organization = await createOrganization(temporary.database, "Other");
    expect(await turnOf((await createProject(temporary.database, organization.id, "Other")).id)).toBeGreaterThan(99);
    const { rows } = await temporary.database.query("select events_bytes::int as bytes from runs where id = $1", [
      first.id,
    ]);
    expect(rows).toEqual([{ bytes: 77 }]);
    await temporary.database.query("delete from runs where status = 'queued'");
  });
  test("is not claimed once its end was asked for, and the end goes on where its events stopped", async () => {
    const first = await claimedRun();
    await store.requeue(first, [event(0)], { delayMs: 0 });
    await store.requestCancel(projectId, first.id);
    expect(await store.claim(projectId, first.id, "other")).toEqual({ state: "cancelled", nextSeq: 1 });
  });
  test("is claimed by a job out of its turn only when nobody else is to run before", async () => {
    await temporary.database.query("delete from runs where status = 'queued'");
    const [before, after] = [await newRun(), await newRun()];
    expect(await store.claim(projectId, after, "worker", { inTurn: true })).toEqual({ state: "held" });
    expect(await store.claim(projectId, before, "worker", { inTurn: true })).toMatchObject({ state: "claimed" });
    expect(await store.claim(projectId, after, "worker", { inTurn: true })).toMatchObject({ state: "claimed" });
  });
  test("is not seen from another project, nor claimed or cancelled", async () => {
    const id = await newRun();
    const other = createId();
    await expect(getRun(temporary.database, other, id)).rejects.toMatchObject({ code: "ERR_RUN_UNKNOWN" });
    expect(await store.listEvents(other, id)).toEqual([]);
    expect(await store.claim(other, id, "worker")).toEqual({ state: "unknown" });
    expect(await store.requestCancel(other, id)).toBe(false);
  });
  test("is not recorded as rejected under the id of a run that there is, in any project", async () => {
    const id = await newRun();
    const organization = await createOrganization(temporary.database, "Other");
    const other = await createProject(temporary.database, organization.id, "Other");
    expect(await store.createRejected(other.id, id)).toBe(false);
    expect(await store.createRejected(projectId, id)).toBe(false);
    expect(await store.createRejected(createId(), createId())).toBe(false);
    expect(await store.createRejected(projectId, createId())).toBe(true);
  });
});

describe("a run's events", () => {
  test("keep their order and numbers without gaps, printed text joined", async () => {
    const run = await claimedRun();
    const writer = new EventWriter(store, run);
    await writer.write(mark<RunEventBody>({ kind: "started" }));
    for (let i = 0; i < 50; i++) await writer.write(mark<RunEventBody>({ kind: "stdout", text: `line ${i} \0\n` }));
    await writer.write(mark<RunEventBody>({ kind: "log", level: "info", message: "done" }));
    const lastEvents = await writer.end([mark<RunEventBody>({ kind: "finished", status: "succeeded" })]);
    await store.finish(succeeded(run.id), lastEvents, { from: run });
    const events = await store.listEvents(projectId, run.id);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i));
    expect(events.map(({ kind }) => kind)).toEqual(["started", "stdout", "log", "finished"]);
    expect(events[1]).toMatchObject({ text: Array.from({ length: 50 }, (_, i) => `line ${i} \0\n`).join("") });
  });
  test("are not written twice by a repeated call", async () => {
    const run = await claimedRun();
    const first = event(0);
    expect(await store.appendEvents(run, [first])).toBe(true);
    expect(await store.appendEvents(run, [first])).toBe(true);
    expect(await store.listEvents(projectId, run.id)).toHaveLength(1);
  });
  test("are written within a moment, without a flush", async () => {
    const run = await claimedRun();
    await new EventWriter(store, run).write(mark<RunEventBody>({ kind: "started" }));
    await expect.poll(async () => (await store.listEvents(projectId, run.id)).length, { timeout: 2_000 }).toBe(1);
  });
  test("are not taken once the run has ended", async () => {
    const run = await claimedRun();
    await store.finish(succeeded(run.id), [], { from: run });
    expect(await store.appendEvents(run, [event(9)])).toBe(false);
    expect(await store.listEvents(projectId, run.id)).toEqual([]);
  });
  test("survive a database that is away for a moment", async () => {
    const run = await claimedRun();
    const writer = new EventWriter(store, run);
    await temporary.database.query("alter table run_events rename to run_events_away");
    setTimeout(() => void temporary.database.query("alter table run_events_away rename to run_events"), 300);
    await writer.write(mark<RunEventBody>({ kind: "started" }));
    await writer.flush();
    expect(await store.listEvents(projectId, run.id)).toHaveLength(1);
  });
  test("lose nothing printed after a write that was done and never answered", async () => {
    const run = await claimedRun();
    const print = (text: string): RunEventBody => ({ kind: "stdout", text });
    const writer = new EventWriter(store, run);
    const append = store.appendEvents.bind(store);
    const unanswered = vi.spyOn(store, "appendEvents").mockImplementationOnce(async (...given) => {
      await append(...given);
      throw new Error("no answer");
    });
    await writer.write(mark(print("one ")));
    await expect(writer.flush()).rejects.toThrow("no answer");
    unanswered.mockRestore();
    await writer.write(mark(print("two ")));
    await writer.write(mark(print("three")));
    await writer.flush();
    const events = await store.listEvents(projectId, run.id);
    expect(events.map((event) => [event.seq, event.kind === "stdout" && event.text])).toEqual([
      [0, "one "],
      [1, "two three"],
    ]);
  });
  test("make the writer wait once much is pending, and it hears that the run is not its own any more", async () => {
    const run = await claimedRun("late");
    await store.takeOver("late", "heir");
    const large = mark<RunEventBody>({ kind: "log", level: "info", message: "x".repeat(300_000) });
    await expect(new EventWriter(store, run).write(large)).rejects.toMatchObject({ code: "ERR_WORKER_LOST" });
  });
});
