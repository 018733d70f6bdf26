/**
 * Waiting for results where BullMQ's own word of a job's end does not arrive: on PostgreSQL its row is dropped, on Redis the
 * connection that reads events hears nothing. One queue works and another one waits, as in two processes. And whose runs a
 * project can wait for.
 */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import type { Job, RunResult } from "../../protocol/job.ts";
import type { Redacted } from "../../protocol/redacted.ts";
import { openQueue, type RunJob, type RunQueue, type RunWorker } from "../../runs/queue.ts";
import { RunStore } from "../../runs/store.ts";
import { submitRun } from "../../runs/submit.ts";
import { waitForRun } from "../../runs/wait.ts";
import { createOrganization, createProject } from "../../vault/tenancy/tenancy.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";

const region = "us";
const usage = { queueMs: 0, wallMs: 0, cpuMs: 0, memoryPeakBytes: 0, stdoutBytes: 0, logEntries: 0, requests: 0 };
const succeeded = (runId: string): RunResult => ({
  runId,
  status: "succeeded",
  output: "NUL \0",
  usage,
  redactions: [],
});
const job = (projectId = createId()): Job => ({ projectId, step: { language: "python", code: "1" } });

let temporary: Temporary;
beforeAll(async () => {
  temporary = await openTemporary();
});
afterAll(async () => await temporary.dispose());

for (const backend of ["postgres", "redis"] as const) {
  describe(`a result whose message is lost (${backend})`, () => {
    let working: RunQueue;
    let waiting: RunQueue;
    let worker: RunWorker | undefined;
    let end = (): void => {};
    let proxy: Server | undefined;

    beforeAll(async () => {
      const redisUrl = backend === "redis" ? inject("redisUrl") : undefined;
      if (redisUrl === undefined) await dropEvents();
      else proxy = await startDeafProxy(redisUrl);
      working = await openQueue({ region, redisUrl }, temporary.database);
      const deafUrl = proxy && `redis://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
      waiting = await openQueue({ region, redisUrl: deafUrl }, temporary.database);
    });
    afterEach(async () => {
      end();
      await worker?.close();
      worker = undefined;
    });
    afterAll(async () => {
      await waiting.close();
      await working.close();
      proxy?.close();
    });

    /** Runs jobs, each once `end` is called. */
    async function work(process: (job: RunJob) => RunResult = ({ id }) => succeeded(id)): Promise<void> {
      const gate = Promise.withResolvers<void>();
      end = gate.resolve;
      worker = working.process(
        async (each) => {
          await gate.promise;
          return process(each);
        },
        { concurrency: 50, onError: () => {} },
      );
      await worker.ready();
    }

    test(`arrives within two seconds (${backend})`, async () => {
      await work();
      const runId = createId();
      await working.add(runId, job());
      const result = waiting.waitForResult(runId, 20_000);
      await sleep(1_500);
      end();
      const endedAt = performance.now();
      expect(await result).toEqual(succeeded(runId));
      expect(performance.now() - endedAt).toBeLessThan(2_000);
    });

    test(`arrives as the job's error when the job fails (${backend})`, async () => {
      await work(() => {
        throw new Error("ERR_DATABASE: Cannot record the end");
      });
      const runId = createId();
      await working.add(runId, job());
      const refusal = waiting.waitForResult(runId, 20_000).catch(String);
      await sleep(300);
      end();
      expect(await refusal).toBe("Error: ERR_DATABASE: Cannot record the end");
    });

    test(`arrives when the queue could not be read for a while (${backend})`, async () => {
      await work();
      const runId = createId();
      await working.add(runId, job());
      let told: unknown;
      const result = waiting.waitForResult(runId, 20_000).then(
        (value) => (told = value),
        (error: unknown) => (told = error),
      );
      await sleep(300);
      const mend = await (backend === "postgres" ? breakPostgres() : breakRedis());
      await sleep(1_500);
      await mend();
      expect(told).toBeUndefined();
      end();
      expect(await result).toEqual(succeeded(runId));
    });

    test(`reaches each of many who wait, without a warning of Node's about listeners (${backend})`, async () => {
      const warnings: string[] = [];
      const warn = ({ message }: Error): void => void warnings.push(message);
      process.on("warning", warn);
      await work();
      const runIds = Array.from({ length: 60 }, createId);
      for (const runId of runIds) await working.add(runId, job());
      const results = [...runIds, ...runIds].map(async (runId) => await waiting.waitForResult(runId, 20_000));
      await sleep(1_500);
      end();
      expect(await Promise.all(results)).toEqual([...runIds, ...runIds].map(succeeded));
      process.off("warning", warn);
      expect(warnings).toEqual([]);
    });

    test(`is not waited for beyond the given time, to the last part of a second (${backend})`, async () => {
      await work();
      const runId = createId();
      await working.add(runId, job());
      for (const ms of [0, 50, 1_300]) {
        const startedAt = performance.now();
        const late = `Job wait step timed out before finishing, no finish notification arrived after ${ms}ms (id=${runId})`;
        await expect(waiting.waitForResult(runId, ms)).rejects.toThrow(late);
        expect(performance.now() - startedAt).toBeGreaterThanOrEqual(ms - 1);
        expect(performance.now() - startedAt).toBeLessThan(ms + 1_000);
      }
      end();
      expect(await waiting.waitForResult(runId, 20_000)).toEqual(succeeded(runId));
    });

    test(`is refused for a job that is not in the queue, and one that is taken out of it (${backend})`, async () => {
      const gone = { code: "ERR_INTERNAL", message: expect.stringContaining("not in the queue") };
      await expect(waiting.waitForResult(createId(), 20_000)).rejects.toMatchObject(gone);
      const runId = createId();
      await working.add(runId, job());
      const refusal = waiting.waitForResult(runId, 20_000).catch((error: unknown) => error);
      await sleep(300);
      await (backend === "postgres" ? removeFromPostgres(runId) : removeFromRedis(runId));
      expect(await refusal).toMatchObject(gone);
    });

    test(`is given up when the queue closes, at once (${backend})`, async () => {
      const other = await openQueue(
        { region, redisUrl: backend === "redis" ? inject("redisUrl") : undefined },
        temporary.database,
      );
      const runId = createId();
      await working.add(runId, job());
      const refusal = other.waitForResult(runId, 20_000).catch(String);
      await sleep(300);
      const startedAt = performance.now();
      await other.close();
      expect(await refusal).toContain("the queue is closed");
      expect(performance.now() - startedAt).toBeLessThan(2_000);
    });
  });
}

describe("a project waits for", () => {
  let store: RunStore;
  let queue: RunQueue;
  let mine: string;
  let others: string;
  beforeAll(async () => {
    store = new RunStore(temporary.database);
    queue = await openQueue({ region: "eu", redisUrl: undefined }, temporary.database);
    const organization = await createOrganization(temporary.database, "Test");
    [mine, others] = (await Promise.all(
      ["Mine", "Other"].map(async (name) => (await createProject(temporary.database, organization.id, name)).id),
    )) as [string, string];
  });
  afterAll(async () => await queue.close());

  /** Ends the run that a job's payload names, as the worker does, and answers with its result. */
  async function work(): Promise<RunWorker> {
    const worker = queue.process(
      async ({ id, data }) => {
        const result = succeeded((data as { runId?: string }).runId ?? id) as Redacted<RunResult>;
        await store.finish(result.runId, result, []);
        return result;
      },
      { concurrency: 2, onError: () => {} },
    );
    await worker.ready();
    return worker;
  }
  const wait = async (projectId: string, runId: string, timeoutMs = 20_000): Promise<RunResult> =>
    await waitForRun(store, queue, { projectId, runId, timeoutMs });

  test("its own run, before and after the end, and by an id in capitals", async () => {
    const runId = await submitRun(store, queue, job(mine));
    const before = wait(mine, runId.toUpperCase());
    const worker = await work();
    expect(await before).toEqual(succeeded(runId));
    await worker.close();
    await removeFromPostgres(runId);
    expect(await wait(mine, runId)).toEqual(succeeded(runId));
  });

  test("no run of another project, whether it is queued or ended, as if there were none", async () => {
    const runId = await submitRun(store, queue, job(others));
    const refusals: unknown[] = [];
    const refuse = async (projectId: string, id: string): Promise<void> => {
      refusals.push(await wait(projectId, id).catch((error: unknown) => error));
    };
    await refuse(mine, runId);
    const worker = await work();
    await wait(others, runId);
    await worker.close();
    await refuse(mine, runId);
    await refuse(mine, createId());
    await refuse(createId(), runId);
    await refuse(mine, "sk live key");
    await refuse("sk live key", runId);
    for (const refusal of refusals) expect(refusal).toMatchObject({ code: "ERR_RUN_UNKNOWN", fault: "user" });
    expect(new Set(refusals.map(String)).size).toBe(1);
    expect(String(refusals[0])).not.toContain("sk live");
  });

  test("no result that a job of another project returns under the id of its run", async () => {
    const [runId, theirs] = [createId(), createId()];
    // First in the queue: the job of the run that is then submitted changes nothing.
    await queue.addRaw(runId, { ...job(others), runId: theirs });
    await submitRun(store, queue, { ...job(mine), runId });
    const worker = await work();
    await expect(wait(mine, runId)).rejects.toMatchObject({ code: "ERR_INTERNAL" });
    await worker.close();
  });
});

/** BullMQ publishes into this table and reads from it. */
async function dropEvents(): Promise<void> {
  const { database } = temporary;
  await openQueue({ region, redisUrl: undefined }, database).then(async (queue) => await queue.close());
  await database.query(
    "create function bullmq.drop_row() returns trigger language plpgsql as 'begin return null; end'",
  );
  await database.query(
    `create trigger drop_row before insert on bullmq.event for each row
     when (new.queue = 'stepvault-${region}' and new.event in ('completed', 'failed'))
     execute function bullmq.drop_row()`,
  );
}

/** Passes on everything, except what Redis says to a connection that reads a stream. */
async function startDeafProxy(redisUrl: string): Promise<Server> {
  const { hostname, port } = new URL(redisUrl);
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    let deaf = false;
    client.on("data", (data) => {
      deaf ||= /xread/i.test(data.toString("latin1"));
      upstream.write(data);
    });
    upstream.on("data", (data) => {
      if (!deaf) client.write(data);
    });
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on("error", () => {});
      from.on("close", () => to.destroy());
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

async function breakPostgres(): Promise<() => Promise<void>> {
  await temporary.database.query("alter table bullmq.job rename to job_away");
  return async () => void (await temporary.database.query("alter table bullmq.job_away rename to job"));
}

/** A key of another type: whatever looks into it fails. */
async function breakRedis(): Promise<() => Promise<void>> {
  const key = `bull:stepvault-${region}:completed`;
  const client = new Redis(inject("redisUrl"));
  await client.multi().rename(key, `${key}-away`).set(key, "").exec();
  return async () => {
    await client.multi().del(key).rename(`${key}-away`, key).exec();
    client.disconnect();
  };
}

async function removeFromPostgres(jobId: string): Promise<void> {
  await temporary.database.query("delete from bullmq.job where id = $1", [jobId]);
}

async function removeFromRedis(jobId: string): Promise<void> {
  const client = new Redis(inject("redisUrl"));
  const key = `bull:stepvault-${region}`;
  await client.multi().lrem(`${key}:wait`, 0, jobId).del(`${key}:${jobId}`).exec();
  client.disconnect();
}
