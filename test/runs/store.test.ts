/** Runs in a real PostgreSQL: each change of state happens once, whoever tries, and events keep their order. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import type { RunEventBody, RunResult } from "../../protocol/job.ts";
import type { Redacted } from "../../protocol/redacted.ts";
import { EventWriter } from "../../runs/event-writer.ts";
import { RunStore } from "../../runs/store.ts";
import { createOrganization, createProject } from "../../vault/tenancy/tenancy.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";

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

const usage = { queueMs: 0, wallMs: 0, cpuMs: 0, memoryPeakBytes: 0, stdoutBytes: 0, logEntries: 0, requests: 0 };
/** The tests stand in for the redactor. */
const mark = <T>(value: T): Redacted<T> => value as Redacted<T>;
const succeeded = (runId: string): Redacted<RunResult> =>
  mark({ runId, status: "succeeded", output: "nul \0 🎈 \ud800", usage, redactions: [] });

async function newRun(): Promise<string> {
  const id = createId();
  await store.create({ id, projectId, language: "python", stepId: null, labels: { agentId: "a" } });
  return id;
}

describe("a run's state", () => {
  test("goes from queued to running to its end, and its result comes back as it was", async () => {
    const id = await newRun();
    expect((await store.get(projectId, id))?.status).toBe("queued");
    expect(await store.claim(id, "worker")).toEqual({ state: "claimed" });
    expect((await store.get(projectId, id))?.status).toBe("running");
    expect(await store.finish(id, succeeded(id), [])).toBe(true);
    expect(await store.get(projectId, id)).toMatchObject({
      status: "succeeded",
      result: succeeded(id),
      labels: { agentId: "a" },
    });
  });
  test("is claimed by one of many workers", async () => {
    const id = await newRun();
    const claims = await Promise.all(Array.from({ length: 8 }, async (_, i) => await store.claim(id, `worker ${i}`)));
    expect(claims.filter(({ state }) => state === "claimed")).toHaveLength(1);
  });
  test("ends once, with the first result", async () => {
    const id = await newRun();
    await store.claim(id, "worker");
    const ends = await Promise.all([store.finish(id, succeeded(id), []), store.finish(id, succeeded(id), [])]);
    expect(ends.toSorted()).toEqual([false, true]);
    expect(await store.claim(id, "other")).toMatchObject({ state: "ended", result: { status: "succeeded" } });
  });
  test("is held while its worker answers for it, and lost afterwards", async () => {
    const id = await newRun();
    await store.claim(id, "living");
    expect(await store.claim(id, "other")).toEqual({ state: "held" });
    await temporary.database.query("update runs set lease_until = now() - interval '1 second' where id = $1", [id]);
    expect((await store.listLost()).map((lost) => lost.id)).toContain(id);
    expect(await store.claim(id, "other")).toEqual({ state: "lost", nextSeq: 0 });
    await store.renewLeases("living", []);
    expect(await store.claim(id, "other")).toMatchObject({ state: "lost" });
    await store.renewLeases("other", [id]);
    expect(await store.claim(id, "other")).toMatchObject({ state: "lost" });
    await store.renewLeases("living", [id]);
    expect(await store.claim(id, "other")).toEqual({ state: "held" });
    await store.finish(id, succeeded(id), []);
    expect((await store.listLost()).map((lost) => lost.id)).not.toContain(id);
  });
  test("is created once, and only in a project that exists", async () => {
    const id = await newRun();
    await store.create({ id, projectId, language: "javascript", stepId: null, labels: {} });
    expect((await store.get(projectId, id))?.labels).toEqual({ agentId: "a" });
    const orphan = store.create({ id: createId(), projectId: createId(), language: null, stepId: null, labels: {} });
    await expect(orphan).rejects.toMatchObject({ code: "ERR_PROJECT_UNKNOWN" });
  });
  test("is not seen from another project", async () => {
    const id = await newRun();
    expect(await store.get(createId(), id)).toBeUndefined();
    expect(await store.listEvents(createId(), id)).toEqual([]);
  });
  test("cannot be created in one project under the id of a run of another", async () => {
    const id = await newRun();
    const organization = await createOrganization(temporary.database, "Other");
    const other = await createProject(temporary.database, organization.id, "Other");
    const stolen = store.create({ id, projectId: other.id, language: null, stepId: null, labels: {} });
    await expect(stolen).rejects.toMatchObject({ code: "ERR_PROJECT_UNKNOWN" });
  });
});

describe("a run's events", () => {
  test("keep their order and numbers without gaps, printed text joined", async () => {
    const id = await newRun();
    const writer = new EventWriter(store, id);
    await writer.write(mark<RunEventBody>({ kind: "started" }));
    for (let i = 0; i < 50; i++) await writer.write(mark<RunEventBody>({ kind: "stdout", text: `line ${i} \0\n` }));
    await writer.write(mark<RunEventBody>({ kind: "log", level: "info", message: "done" }));
    const last = await writer.end([mark<RunEventBody>({ kind: "finished", status: "succeeded" })]);
    await store.finish(id, succeeded(id), last);
    const events = await store.listEvents(projectId, id);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i));
    expect(events.map(({ kind }) => kind)).toEqual(["started", "stdout", "log", "finished"]);
    expect(events[1]).toMatchObject({ text: Array.from({ length: 50 }, (_, i) => `line ${i} \0\n`).join("") });
  });
  test("are not written twice by a repeated call", async () => {
    const id = await newRun();
    const event = { seq: 0, time: new Date(), body: mark<RunEventBody>({ kind: "started" }) };
    await store.appendEvents(id, [event]);
    await store.appendEvents(id, [event]);
    expect(await store.listEvents(projectId, id)).toHaveLength(1);
  });
  test("are written within a moment, without a flush", async () => {
    const id = await newRun();
    await new EventWriter(store, id).write(mark<RunEventBody>({ kind: "started" }));
    await expect.poll(async () => (await store.listEvents(projectId, id)).length, { timeout: 2_000 }).toBe(1);
  });
  test("are not taken once the run has ended", async () => {
    const id = await newRun();
    await store.finish(id, succeeded(id), []);
    await store.appendEvents(id, [{ seq: 9, time: new Date(), body: mark<RunEventBody>({ kind: "started" }) }]);
    expect(await store.listEvents(projectId, id)).toEqual([]);
  });
  test("survive a database that is away for a moment", async () => {
    const id = await newRun();
    const writer = new EventWriter(store, id);
    await temporary.database.query("alter table run_events rename to run_events_away");
    setTimeout(() => void temporary.database.query("alter table run_events_away rename to run_events"), 300);
    await writer.write(mark<RunEventBody>({ kind: "started" }));
    await writer.flush();
    expect(await store.listEvents(projectId, id)).toHaveLength(1);
  });
  test("make the writer wait once much is pending, and a failure shows", async () => {
    const writer = new EventWriter(store, createId());
    const large = mark<RunEventBody>({ kind: "log", level: "info", message: "x".repeat(300_000) });
    await expect(writer.write(large)).rejects.toMatchObject({ code: "ERR_DATABASE" });
  });
});
