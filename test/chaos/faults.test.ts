/**
 * Each fault once, on purpose, with a load of mixed runs, against real processes: every accepted run ends once, its events are
 * without a gap and in order, viewers see what is stored, no value is anywhere, and runs succeed again without a hand.
 * What lasts longer, and faults at once, are `npm run chaos`.
 */
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { type Deployment, startDeployment } from "./deployment.ts";
import { faults } from "./faults.ts";
import { createRandom } from "./random.ts";
import { kinds } from "./programs.ts";
import { isWell, reportText, Storm } from "./storm.ts";

const testMsMax = 300_000;
const acceptedMin = 30;

/** What is wrong after these faults, each with a burst of every kind of run before it and another one behind it; "" when nothing is. */
async function wrongAfter(deployment: Deployment, names: readonly string[], lastsMs?: number): Promise<string> {
  const storm = new Storm(deployment, createRandom(1));
  const burst = (): void => {
    for (const kind of kinds) storm.load.one(kind);
    for (const kind of ["effect", "effect", "effect with retry", "printing", "quick", "quick"]) storm.load.one(kind);
    storm.load.own();
    storm.load.chain();
  };
  for (const name of names) {
    const why = faults[name]?.missing?.(deployment);
    if (why !== undefined) return `${name} is not to be had here: ${why}`;
    burst();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await storm.hurt(name, lastsMs === undefined ? {} : { lastsMs });
    burst();
  }
  const report = await storm.end();
  if (report.ledger.accepted < acceptedMin) return `only ${report.ledger.accepted} runs were accepted`;
  return isWell(report) ? "" : reportText(report);
}

describe("processes that die, with the queue in PostgreSQL", () => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await startDeployment({ backend: "postgres", cacheDir: inject("cacheDir") });
  });
  afterAll(async () => await deployment.close());

  test(
    "kill -9 of a sandbox host, an API and a worker costs no run",
    async () => {
      expect(await wrongAfter(deployment, ["sandbox host killed", "API killed", "worker killed"])).toBe("");
    },
    testMsMax,
  );
  test(
    "PostgreSQL that is killed, and restarted at once, costs no run",
    async () => {
      expect(await wrongAfter(deployment, ["PostgreSQL killed", "PostgreSQL restarted at once"])).toBe("");
    },
    testMsMax,
  );
  test(
    "PostgreSQL that is slow, silent, cut off, or forgets its connections costs no run",
    async () => {
      expect(
        await wrongAfter(
          deployment,
          [
            "PostgreSQL slow for 15 s",
            "PostgreSQL silent for 20 s",
            "way to PostgreSQL cut for 15 s",
            "connections to PostgreSQL forgotten",
          ],
          4_000,
        ),
      ).toBe("");
    },
    testMsMax,
  );
  test(
    "a full disk costs no run",
    async ({ skip }) => {
      skip(!deployment.disk.bounded, "only root may mount a disk of its own");
      expect(await wrongAfter(deployment, ["disk full for 10 s"], 5_000)).toBe("");
    },
    testMsMax,
  );
  test(
    "a worker whose clock jumps by an hour, ahead and behind, loses no run",
    async ({ skip }) => {
      skip(deployment.workers[0]?.clockFile === undefined, "libfaketime is not installed (Debian: faketime)");
      expect(await wrongAfter(deployment, ["clock an hour ahead", "clock an hour behind"], 5_000)).toBe("");
    },
    testMsMax,
  );
  test(
    "a rolling restart by SIGTERM costs no run",
    async () => {
      expect(await wrongAfter(deployment, ["rolling restart"])).toBe("");
    },
    testMsMax,
  );
});

describe.each([
  ["one Redis with an append-only file", "redis", ["Redis killed", "PostgreSQL killed"]],
  ["a set of Redis with Sentinels", "sentinel", ["Redis master killed, a replica takes over"]],
  ["a Redis Cluster of six", "cluster", ["Redis master killed, a replica takes over"]],
  ["a PostgreSQL that the workers start themselves", "embedded", ["embedded PostgreSQL killed"]],
] as const)("the queue in %s", (_, backend, names) => {
  test(
    "loses no run when it is killed and comes back",
    async () => {
      const deployment = await startDeployment({ backend, workers: 1, apis: 1, cacheDir: inject("cacheDir") });
      try {
        expect(await wrongAfter(deployment, names)).toBe("");
      } finally {
        await deployment.close();
      }
    },
    testMsMax,
  );
});
