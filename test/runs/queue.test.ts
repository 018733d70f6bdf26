/**
 * The queue's contract, one body for both backends: PostgreSQL (embedded) and a real Redis. And what is particular to
 * Redis: which servers are refused.
 */
import type { Pool, PoolClient } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../database/connection.ts";
import { createId } from "../../protocol/ids.ts";
import type { RunResult } from "../../protocol/job.ts";
import { decodePayload, encodePayload } from "../../runs/payload.ts";
import { openQueue, type QueuedRun, type RunJob, type RunQueue } from "../../runs/queue.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";
import { type RedisServers, startSingleRedis } from "../helpers/redis-servers.ts";
import { jobResult } from "../helpers/service.ts";
import { backends, usage } from "./backends.ts";

let temporary: Temporary;
let redis: RedisServers;
beforeAll(async () => {
  temporary = await openTemporary();
  redis = await startSingleRedis();
});
afterAll(async () => {
  await temporary.dispose();
  await redis.stop();
});

const succeed = (job: RunJob): { result: RunResult } => ({
  result: { runId: job.id, status: "succeeded", output: job.data as never, usage, redactions: [] },
});
const runOf = (turn = 0, runId = createId()): QueuedRun => ({ projectId: createId(), runId, turn });

for (const backend of backends) {
  describe(`queue on ${backend}`, () => {
    let queue: RunQueue;
    beforeAll(async () => {
      queue = await openQueue(
        { region: "eu", redisUrl: backend === "redis" ? redis.url : undefined },
        temporary.database,
      );
    });
    afterAll(async () => await queue.close());

    /** Works until `work` is over, and gives the jobs in the order in which they came. */
    async function working(
      work: (seen: readonly RunJob[]) => Promise<void>,
      process: (job: RunJob) => ReturnType<typeof succeed> | { againMs: number } = succeed,
    ): Promise<RunJob[]> {
      const seen: RunJob[] = [];
      const worker = queue.process(
        async (job) => {
          seen.push(job);
          return await Promise.resolve(process(job));
        },
        { concurrency: 1, onError: () => {} },
      );
      await worker.ready();
      await work(seen);
      await worker.close();
      return seen;
    }

    /** Of a run whose job has ended nothing stays in the queue. */
    async function gone(runId: string): Promise<void> {
      const look = async (): Promise<string> =>
        await queue.look(runId).then(
          () => "there",
          (error: unknown) => (error as Error).message,
        );
      await expect.poll(look, { timeout: 20_000 }).toMatch(/not in the queue/);
    }

    test(`is named after the region and knows its backend (${backend})`, () => {
      expect([queue.name, queue.backend]).toEqual(["stepvault-eu", backend]);
    });

    test(`a run reaches a worker as its ids, and nothing else of it is in the queue (${backend})`, async () => {
      const run = runOf();
      await queue.add([run]);
      const seen = await working(async () => await gone(run.runId));
      expect(seen.map(({ id, data }) => [id, data])).toEqual([
        [run.runId, { projectId: run.projectId, runId: run.runId }],
      ]);
    });

    test(`a payload of any text comes to a worker and its result back as they are (${backend})`, async () => {
      const payload = { text: 'NUL \0, lone \ud800, quote ", 🎈', escaped: "\\u0000" };
      const jobId = createId();
      await queue.addRaw(jobId, payload);
      await working(async () => {
        expect(await jobResult(queue, jobId)).toEqual(succeed({ id: jobId, data: payload } as never).result);
      });
    });

    test(`a run that is added twice is there once (${backend})`, async () => {
      const [twice, last] = [runOf(), runOf()];
      await queue.add([twice]);
      await queue.add([twice, last]);
      const seen = await working(async () => await gone(last.runId));
      expect(seen.map(({ id }) => id)).toEqual([twice.runId, last.runId]);
    });

    test(`runs come by their turns, and in the order of their coming within one (${backend})`, async () => {
      const runs = [runOf(7), runOf(2), runOf(2), runOf(0), runOf(5)];
      for (const run of runs) await queue.add([run]);
      await queue.setTurn(runs[0]!.runId, 1);
      // The same turn leaves it before those that came later.
      await queue.setTurn(runs[1]!.runId, 2);
      expect(await queue.countWaiting()).toBe(5);
      const seen = await working(async () => {
        for (const { runId } of runs) await gone(runId);
      });
      expect(seen.map(({ id }) => id)).toEqual([3, 0, 1, 2, 4].map((i) => runs[i]!.runId));
      await queue.setTurn(createId(), 3);
    });

    test(`a job that is to come again does, and at once when it is woken (${backend})`, async () => {
      const [soon, woken] = [createId(), createId()];
      await queue.addRaw(soon, {});
      await queue.addRaw(woken, {});
      const times = new Map<string, number>();
      const began = performance.now();
      await working(
        async (seen) => {
          await expect.poll(() => seen.length).toBeGreaterThanOrEqual(2);
          await queue.wake(woken);
          await jobResult(queue, woken);
          expect(performance.now() - began).toBeLessThan(20_000);
          await jobResult(queue, soon);
          await queue.wake(woken);
          await queue.wake(createId());
        },
        (job) => {
          const time = (times.get(job.id) ?? 0) + 1;
          times.set(job.id, time);
          return time > 1 ? succeed(job) : { againMs: job.id === soon ? 300.25 : 3_600_000 };
        },
      );
      expect([...times.values()]).toEqual([2, 2]);
    });

    test(`runs that it has lost, or has ended with, are given to it again, and others left alone (${backend})`, async () => {
      const [there, lost, done, kept] = [runOf(), runOf(), runOf(), runOf()];
      await queue.add([done]);
      // As an orchestrator adds it: its end stays in the queue.
      await queue.addRaw(kept.runId, {});
      await working(async () => {
        await gone(done.runId);
        await jobResult(queue, kept.runId);
      });
      await queue.add([there]);
      const runs = [there, lost, done, kept];
      expect(await queue.restore(runs)).toBe(3);
      expect(await queue.restore(runs)).toBe(0);
      const seen = await working(async () => {
        for (const { runId } of runs) await gone(runId);
      });
      expect(seen.map(({ id }) => id).toSorted()).toEqual(runs.map(({ runId }) => runId).toSorted());
    });

    test(`a look tells a job's result, that it has failed, that it goes on, or that there is none (${backend})`, async () => {
      const [failing, waiting] = [createId(), createId()];
      await queue.addRaw(failing, {});
      await working(
        async () => {
          await expect(jobResult(queue, failing)).rejects.toThrow("ERR_DATABASE: Cannot record the end");
        },
        () => {
          throw new Error("ERR_DATABASE: Cannot record the end");
        },
      );
      await queue.addRaw(waiting, {});
      expect(await queue.look(waiting)).toBeUndefined();
      await expect(queue.look(createId())).rejects.toMatchObject({ code: "ERR_INTERNAL" });
      await working(async () => void (await jobResult(queue, waiting)));
    });

    test(`closing a worker waits for the job that runs (${backend})`, async () => {
      let ended = false;
      const started = Promise.withResolvers<void>();
      const worker = queue.process(
        async (job) => {
          started.resolve();
          await new Promise((resolve) => setTimeout(resolve, 200));
          ended = true;
          return succeed(job);
        },
        { concurrency: 1, onError: () => {} },
      );
      await queue.add([runOf()]);
      await started.promise;
      await worker.close();
      expect(ended).toBe(true);
    });
  });
}

test("a job whose end PostgreSQL refuses once comes again, and does not count as failed", async () => {
  const { database } = temporary;
  const refuse = "create function public.refuse_once() returns trigger language plpgsql as";
  await database.query("create sequence public.ends");
  await database.query(
    `${refuse} $$ begin if nextval('public.ends') = 1 then raise exception 'not now'; end if; return new; end $$`,
  );
  const queue = await openQueue({ region: "us", redisUrl: undefined }, database);
  await database.query(
    `create trigger refuse_once before update on bullmq.job for each row when (new.state = 'completed' and new.queue = 'stepvault-us')
     execute function public.refuse_once()`,
  );
  await queue.addRaw("own", { n: 1 });
  const seen: string[] = [];
  const count = async (job: RunJob): Promise<{ result: RunResult }> => {
    seen.push(job.id);
    return await Promise.resolve(succeed(job));
  };
  const worker = queue.process(count, { concurrency: 1, onError: () => {} });
  await expect.poll(async () => await queue.look("own"), { timeout: 60_000 }).toBeDefined();
  expect(await queue.look("own")).toMatchObject({ value: { status: "succeeded" } });
  expect(seen).toEqual(["own", "own"]);
  await worker.close();
  await queue.close();
}, 90_000);

test("a queue whose PostgreSQL goes away while it is opened is none, and not one that never takes a job", async () => {
  const { database } = temporary;
  let pool: Pool | undefined;
  const createPool: Database["createPool"] = (options) => {
    pool = database.createPool(options);
    const connect = pool.connect.bind(pool) as () => Promise<PoolClient>;
    let connections = 0;
    // The first is for the migrations.
    pool.connect = (async () => {
      connections += 1;
      if (connections > 1) throw new Error("connect ECONNREFUSED");
      return await connect();
    }) as Pool["connect"];
    return pool;
  };
  const opened = openQueue({ region: "eu", redisUrl: undefined }, { createPool } as Database);
  await expect(opened).rejects.toMatchObject({ code: "ERR_DATABASE" });
  expect(pool).toMatchObject({ ended: true });
});

describe("Redis servers that are refused", () => {
  test("one that may evict keys, saying why", async () => {
    const [node] = redis.nodes;
    const admin = redis.client(node!);
    await admin.config("SET", "maxmemory-policy", "allkeys-lru");
    try {
      await expect(openQueue({ region: "us", redisUrl: redis.url }, temporary.database)).rejects.toMatchObject({
        code: "ERR_REDIS_EVICTION",
        message: expect.stringContaining("maxmemory-policy is allkeys-lru"),
      });
    } finally {
      await admin.config("SET", "maxmemory-policy", "noeviction");
      admin.disconnect();
    }
  });

  test("one that does not answer, without its URL in the message", async () => {
    const refused = openQueue({ region: "us", redisUrl: "redis://user:hunter2@127.0.0.1:1" }, temporary.database);
    await expect(refused).rejects.toMatchObject({ code: "ERR_REDIS", message: expect.not.stringContaining("hunter2") });
  });
});

describe("payload encoding", () => {
  test("leaves a payload alone that PostgreSQL can hold", () => {
    const payload = { a: "\\u0000 \\\\ud800 🎈" };
    expect(encodePayload(payload)).toBe(payload);
  });
  test.each(["\0", "\\\0", "\ud800", "x\udfff"])("brings %j back as it was", (text) => {
    const encoded = encodePayload({ text });
    expect(encoded).toHaveProperty("encoding");
    expect(decodePayload(JSON.parse(JSON.stringify(encoded)))).toEqual({ text });
  });
});
