/**
 * Whatever workers do with runs, in whatever order and at once: a run has at most one final event and it is the last one, its
 * events are numbered without a gap, and who does not hold it changes nothing. Random histories, against a small model
 * where they happen one after the other, and against these rules alone where they happen together.
 */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import type { RunEventBody } from "../../protocol/job.ts";
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

const event = (seq: number, body: RunEventBody): StoredEvent => ({ seq, time: new Date(), body: mark(body) });
const printed = (seq: number): StoredEvent => event(seq, { kind: "stdout", text: "x" });
const finished = (seq: number): StoredEvent => event(seq, { kind: "finished", status: "succeeded" });

/** A worker's hold of a run, with the number that it would give its next event. */
interface Hold {
  readonly run: ClaimedRun;
  nextSeq: number;
}

interface Worker {
  id: string;
  /** Its latest hold of each run, whether or not it still counts. */
  readonly holds: Map<string, Hold>;
  /** Holds of those that it was before it was taken for dead. */
  readonly zombies: Hold[];
}

interface Model {
  state: "queued" | "running" | "ended";
  holder: string | undefined;
  cancelled: boolean;
  events: number;
}

const operation = fc.record({
  what: fc.constantFrom(
    "claim",
    "append",
    "append",
    "finish",
    "requeue",
    "takeOver",
    "cancel",
    "endCancelled",
    "again",
  ),
  run: fc.nat(1),
  worker: fc.nat(1),
  other: fc.nat(1),
  zombie: fc.boolean(),
});
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

function newWorkers(): Worker[] {
  return [0, 1].map(() => ({ id: createId(), holds: new Map(), zombies: [] }));
}

async function newRuns(): Promise<string[]> {
  const ids = [0, 1].map(() => createId());
  await submitAgain(ids);
  return ids;
}

async function submitAgain(ids: readonly string[]): Promise<number> {
  const runs = ids.map((id) => ({ id, job: { projectId, step: { language: "python" as const, code: "1" } } }));
  return (await recordRuns(temporary.database, runs, { projectId })).size;
}

/** What a worker says of a run: as itself, or as the one that it was before. */
function holdOf(worker: Worker, runId: string, zombie: boolean): Hold | undefined {
  return zombie ? worker.zombies.find(({ run }) => run.id === runId) : worker.holds.get(runId);
}

/** Does it, and gives whether it changed anything. */
async function act(op: Operation, runIds: readonly string[], workers: readonly Worker[]): Promise<boolean> {
  const id = runIds[op.run]!;
  const worker = workers[op.worker]!;
  const hold = holdOf(worker, id, op.zombie);
  switch (op.what) {
    case "again":
      return (await submitAgain([id])) > 0;
    case "claim": {
      const claim = await store.claim(projectId, id, worker.id);
      if (claim.state === "claimed") worker.holds.set(id, { run: claim.run, nextSeq: claim.run.nextSeq });
      return claim.state === "claimed";
    }
    case "append": {
      if (hold === undefined) return false;
      const held = await store.appendEvents(hold.run, [printed(hold.nextSeq), printed(hold.nextSeq + 1)]);
      hold.nextSeq += 2;
      return held;
    }
    case "finish":
      if (hold === undefined) return false;
      return (await store.finish(succeeded(id), [finished(hold.nextSeq)], { from: hold.run })) !== undefined;
    case "requeue":
      if (hold === undefined) return false;
      return await store.requeue(hold.run, [printed(hold.nextSeq)], { delayMs: 0 });
    case "cancel":
      return await store.requestCancel(projectId, id);
    case "endCancelled": {
      const asked = (await store.listCancelRequested()).find((run) => run.id === id && run.status === "queued");
      if (asked === undefined) return false;
      return (await store.finish(succeeded(id), [finished(asked.nextSeq)], { from: "queued" })) !== undefined;
    }
    default: {
      const heir = workers[op.other]!;
      if (heir === worker) return false;
      const taken = await store.takeOver(worker.id, heir.id);
      // What it held counts no more, and it goes on under a new name.
      worker.zombies.unshift(...worker.holds.values());
      worker.holds.clear();
      worker.id = createId();
      for (const run of taken) heir.holds.set(run.id, { run, nextSeq: run.nextSeq });
      return taken.length > 0;
    }
  }
}

/** What it must do, by the model. */
function foresee(op: Operation, runIds: readonly string[], { models, workers }: World): boolean {
  const model = models[op.run]!;
  const worker = workers[op.worker]!;
  const hold = holdOf(worker, runIds[op.run]!, op.zombie);
  const holds = hold !== undefined && model.state === "running" && model.holder === hold.run.workerId;
  switch (op.what) {
    case "again":
      return false;
    case "claim":
      if (model.state !== "queued" || model.cancelled) return false;
      Object.assign(model, { state: "running", holder: worker.id });
      return true;
    case "append":
      if (holds) model.events += 2;
      return holds;
    case "finish":
      if (holds) Object.assign(model, { state: "ended", holder: undefined, events: model.events + 1 });
      return holds;
    case "requeue":
      if (holds) Object.assign(model, { state: "queued", holder: undefined, events: model.events + 1 });
      return holds;
    case "cancel":
      if (model.state !== "ended") model.cancelled = true;
      return model.state !== "ended";
    case "endCancelled":
      if (model.state !== "queued" || !model.cancelled) return false;
      Object.assign(model, { state: "ended", events: model.events + 1 });
      return true;
    default: {
      const heir = workers[op.other]!;
      if (heir === worker) return false;
      const taken = models.filter(({ state, holder }) => state === "running" && holder === worker.id);
      for (const each of taken) each.holder = heir.id;
      return taken.length > 0;
    }
  }
}

interface World {
  readonly models: readonly Model[];
  readonly workers: readonly Worker[];
}

async function checkRules(runIds: readonly string[]): Promise<{ ended: boolean; events: number }[]> {
  return await Promise.all(
    runIds.map(async (id) => {
      const events = await store.listEvents(projectId, id);
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i));
      const ends = events.flatMap(({ kind }, i) => (kind === "finished" ? [i] : []));
      const { rows } = await temporary.database.query<{ ended: boolean }>(
        "select ended_at is not null as ended from runs where id = $1",
        [id],
      );
      const ended = rows[0]!.ended;
      expect(ends).toEqual(ended ? [events.length - 1] : []);
      return { ended, events: events.length };
    }),
  );
}

test("one after the other: each operation changes what it may, and nothing else", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 10, maxLength: 60 }), async (operations) => {
      const [runIds, workers] = [await newRuns(), newWorkers()];
      const models: Model[] = runIds.map(() => ({ state: "queued", holder: undefined, cancelled: false, events: 0 }));
      for (const op of operations) {
        const expected = foresee(op, runIds, { models, workers });
        expect([op.what, await act(op, runIds, workers)]).toEqual([op.what, expected]);
      }
      expect(await checkRules(runIds)).toEqual(
        models.map(({ state, events }) => ({ ended: state === "ended", events })),
      );
    }),
    { numRuns: 100 },
  );
}, 120_000);

test("all at once: one end, no gap, and nothing after the end", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 20, maxLength: 60 }), async (operations) => {
      const [runIds, workers] = [await newRuns(), newWorkers()];
      // The same worker does one thing after the other with a run, as the product does.
      const lanes = Map.groupBy(operations, ({ worker }) => worker);
      await Promise.all(
        [...lanes.values()].map(async (lane) => {
          for (const op of lane) if (op.what !== "takeOver" || !op.zombie) await act(op, runIds, workers);
        }),
      );
      expect(await checkRules(runIds)).toHaveLength(runIds.length);
    }),
    { numRuns: 100 },
  );
}, 120_000);
