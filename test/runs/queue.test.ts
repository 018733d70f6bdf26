/**
 * The queue's contract, one body for both backends: PostgreSQL (embedded) and a real Redis. And what is particular to
 * Redis: which servers are refused.
 */
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { Redis } from "ioredis";
import { createId } from "../../protocol/ids.ts";
import type { RunResult } from "../../protocol/job.ts";
import { decodePayload, encodePayload, openQueue, type RunJob, type RunQueue } from "../../runs/queue.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";

let temporary: Temporary;
beforeAll(async () => {
  temporary = await openTemporary();
});
afterAll(async () => await temporary.dispose());

const usage = { queueMs: 0, wallMs: 0, cpuMs: 0, memoryPeakBytes: 0, stdoutBytes: 0, logEntries: 0, requests: 0 };
const succeed = (job: RunJob): RunResult => ({
  runId: job.id,
  status: "succeeded",
  output: job.data as never,
  usage,
  redactions: [],
});

for (const backend of ["postgres", "redis"] as const) {
  describe(`queue on ${backend}`, () => {
    let queue: RunQueue;
    beforeAll(async () => {
      if (backend === "redis") await clearRedis();
      queue = await openQueue(
        { region: "eu", redisUrl: backend === "redis" ? inject("redisUrl") : undefined },
        temporary.database,
      );
    });
    afterAll(async () => await queue.close());

    test(`is named after the region and knows its backend (${backend})`, () => {
      expect([queue.name, queue.backend]).toEqual(["stepvault-eu", backend]);
    });

    test(`a job reaches a worker and its result comes back (${backend})`, async () => {
      const worker = queue.process(async (job) => succeed(job), { concurrency: 2, onError: () => {} });
      await worker.ready();
      const runId = createId();
      const job = {
        projectId: createId(),
        step: { language: "javascript" as const, code: "1" },
        params: { text: 'NUL \0, lone \ud800, quote ", 🎈', escaped: "\\u0000" },
      };
      await queue.add(runId, job);
      const result = await queue.waitForResult(runId, 10_000);
      expect(result).toEqual({ runId, status: "succeeded", output: { ...job, runId }, usage, redactions: [] });
      await worker.close();
    });

    test(`adding a run twice runs it once (${backend})`, async () => {
      const seen: string[] = [];
      const worker = queue.process(
        async (job) => {
          seen.push(job.id);
          return succeed(job);
        },
        { concurrency: 2, onError: () => {} },
      );
      const [twice, last] = [createId(), createId()];
      const job = { projectId: createId(), step: { language: "python" as const, code: "1" } };
      for (const runId of [twice, twice, last]) await queue.add(runId, job);
      await queue.waitForResult(last, 10_000);
      await queue.add(twice, job);
      await queue.waitForResult(twice, 10_000);
      expect(seen.filter((id) => id === twice)).toHaveLength(1);
      await worker.close();
    });

    test(`closing a worker waits for the job that runs (${backend})`, async () => {
      let ended = false;
      let begun = (): void => {};
      const started = new Promise<void>((resolve) => (begun = resolve));
      const worker = queue.process(
        async (job) => {
          begun();
          await new Promise((resolve) => setTimeout(resolve, 200));
          ended = true;
          return succeed(job);
        },
        { concurrency: 1, onError: () => {} },
      );
      await queue.add(createId(), { projectId: createId(), step: { language: "python", code: "1" } });
      await started;
      await worker.close();
      expect(ended).toBe(true);
    });
  });
}

describe("Redis servers that are refused", () => {
  test("one that may evict keys, saying why", async () => {
    const admin = new Redis(inject("redisUrl"));
    await admin.config("SET", "maxmemory-policy", "allkeys-lru");
    try {
      await expect(openQueue({ region: "us", redisUrl: inject("redisUrl") }, temporary.database)).rejects.toMatchObject(
        {
          code: "ERR_REDIS_EVICTION",
          message: expect.stringContaining("maxmemory-policy is allkeys-lru"),
        },
      );
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

async function clearRedis(): Promise<void> {
  const client = new Redis(inject("redisUrl"));
  const keys = await client.keys("bull:stepvault-eu:*");
  if (keys.length > 0) await client.del(...keys);
  client.disconnect();
}
