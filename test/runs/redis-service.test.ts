/**
 * A whole Stepvault over each kind of Redis: steps run, and go on when servers are killed, frozen, demoted or restarted in
 * their midst. What is counted is in PostgreSQL: every run that was submitted ends, and ends once.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  dataPassword,
  type RedisNode,
  type RedisServers,
  sentinelPassword,
  startClusterRedis,
  startSentinelRedis,
  startSingleRedis,
} from "../helpers/redis-servers.ts";
import { openTestService, type TestService } from "../helpers/service.ts";

const runsUnderWay = 60;
const endTimeMsMax = 45_000;
/** Redis copies what it was told to its replicas a moment later, and what it had not yet copied dies with it. */
const lostMax = 0;

const step = {
  language: "javascript",
  code: "await new Promise((resolve) => setTimeout(resolve, 60)); return 7;",
} as const;

interface Ledger {
  readonly accepted: readonly string[];
  readonly refused: number;
}

/** Submits runs one after the other for as long as `change` takes. */
async function submitDuring(stepvault: TestService, change: () => Promise<void>): Promise<Ledger> {
  const accepted: string[] = [];
  const refusals: unknown[] = [];
  const changing = { over: false };
  const changed = change().finally(() => (changing.over = true));
  while (!changing.over || accepted.length < runsUnderWay) {
    if (accepted.length + refusals.length > 2_000) throw new Error("too many runs");
    const submitted = stepvault.service.submit({ projectId: stepvault.projectId, step });
    await submitted.then((runId) => accepted.push(runId)).catch((error: unknown) => refusals.push(error));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await changed;
  for (const refusal of refusals) expect(refusal).toMatchObject({ code: "ERR_REDIS" });
  return { accepted, refused: refusals.length };
}

/** How often each run has ended, once all have or time is up. */
async function endsOf(stepvault: TestService, runIds: readonly string[]): Promise<{ lost: number; doubled: number }> {
  let ends: number[] = [];
  for (const end = performance.now() + endTimeMsMax; performance.now() < end;) {
    ends = [];
    for (const runId of runIds) {
      const kinds = (await stepvault.events(runId)).map(({ kind }) => kind);
      expect(kinds.slice(0, -1)).not.toContain("finished");
      ends.push(kinds.filter((kind) => kind === "finished").length);
    }
    if (ends.every((count) => count > 0)) break;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  return { lost: ends.filter((count) => count === 0).length, doubled: ends.filter((count) => count > 1).length };
}

async function restartOf(redis: RedisServers): Promise<void> {
  for (const node of redis.nodes) {
    await redis.kill(node);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await redis.restart(node);
  }
}

function expectNoPassword(stepvault: TestService): void {
  const log = stepvault.log.join("");
  for (const word of [dataPassword, sentinelPassword]) {
    for (const written of [word, encodeURIComponent(word), JSON.stringify(word).slice(1, -1)]) {
      expect(log).not.toContain(written);
    }
  }
}

const starts = { single: startSingleRedis, sentinel: startSentinelRedis, cluster: startClusterRedis };

for (const kind of ["single", "sentinel", "cluster"] as const) {
  describe(`a Stepvault over Redis, ${kind}`, () => {
    let redis: RedisServers;
    let stepvault: TestService;
    beforeAll(async () => {
      redis = await starts[kind]();
      stepvault = await openTestService({ STEPVAULT_REDIS_URL: redis.url });
    });
    afterAll(async () => {
      try {
        expectNoPassword(stepvault);
        await stepvault.close();
      } finally {
        await redis.stop();
      }
    });

    test(`runs a step (${kind})`, async () => {
      expect(await stepvault.run({ step })).toMatchObject({ status: "succeeded", output: 7 });
    });

    test(`a server that goes away in the midst of runs: each ends once (${kind})`, async () => {
      const { accepted, refused } = await submitDuring(stepvault, async () => {
        await new Promise((resolve) => setTimeout(resolve, 500));
        await (kind === "single" ? restartOf(redis) : redis.failover());
      });
      const { lost, doubled } = await endsOf(stepvault, accepted);
      expect({ doubled, fewLost: lost <= lostMax, lost, refused }).toMatchObject({ doubled: 0, fewLost: true });
      expect(await stepvault.run({ step })).toMatchObject({ status: "succeeded" });
    }, 120_000);

    test(`what is asked while no server answers fails soon, and all goes on when they are back (${kind})`, async () => {
      for (const node of redis.nodes) await redis.kill(node);
      const started = performance.now();
      const asked = Array.from(
        { length: 5 },
        async (_, at) => await stepvault.service.queue.addRaw(`away-${kind}-${at}`, {}),
      );
      const answers = await Promise.allSettled(asked);
      expect(performance.now() - started).toBeLessThan(12_000);
      for (const answer of answers) {
        expect(answer).toMatchObject({ status: "rejected", reason: { code: "ERR_REDIS" } });
      }
      await Promise.all(redis.nodes.map(async (node) => await redis.restart(node)));
      await runsAgain(stepvault);
    }, 120_000);
  });
}

for (const kind of ["sentinel", "cluster"] as const) {
  test(`a master that is frozen, with its connections open, is left for the replica that takes over (${kind})`, async () => {
    const redis = await starts[kind]();
    const stepvault = await openTestService({ STEPVAULT_REDIS_URL: redis.url });
    try {
      const before = stepvault.service.queue.servers();
      const master = await masterOfQueue(redis);
      redis.freeze(master);
      // Nobody hears that a connection has ended: it is given up by its silence.
      await runsAgain(stepvault);
      const now = await masterOfQueue(redis);
      expect(now.port).not.toBe(master.port);
      expect(stepvault.service.queue.servers()).toEqual(expect.arrayContaining([...before, `127.0.0.1:${now.port}`]));
      expectNoPassword(stepvault);
      redis.thaw(master);
    } finally {
      await stepvault.close();
      await redis.stop();
    }
  }, 120_000);
}

async function runsAgain(stepvault: TestService): Promise<void> {
  await expect
    .poll(async () => await stepvault.run({ step }).catch(() => undefined), { timeout: 60_000, interval: 500 })
    .toMatchObject({ status: "succeeded" });
}

/** The master that holds the queue's keys, by asking each for them. */
async function masterOfQueue(redis: RedisServers): Promise<RedisNode> {
  for (const node of await redis.masters()) {
    const client = redis.client(node);
    const keys = await client.keys("*stepvault-us:*");
    client.disconnect();
    if (keys.length > 0) return node;
  }
  throw new Error("no master holds the queue");
}
