/**
 * Speed of whole runs: `npm run bench:runs` prints tables and writes results/runs.md. A JavaScript step from its submission to
 * its final event, beside the least that such a run needs: the same queue and the same writes to the database with a worker that
 * does nothing; and how many runs end in a second, beside the sandbox alone. In turns, in one process, over PostgreSQL and
 * Redis. What viewers see, and what a worker that prints much needs, is in bench/viewers.ts.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseConfig } from "../protocol/config.ts";
import { createId } from "../protocol/ids.ts";
import type { JobInput, RunEventBody, RunResult } from "../protocol/job.ts";
import { limitNames, type Limits, limitTable } from "../protocol/limits.ts";
import type { Redacted } from "../protocol/redacted.ts";
import { openQueue } from "../runs/queue.ts";
import { RunSignal } from "../runs/run-signal.ts";
import { recordRuns } from "../runs/submit.ts";
import { Sandbox } from "../runtime/sandbox.ts";
import { createOrganization, createProject } from "../test/helpers/vault.ts";
import { startSingleRedis } from "../test/helpers/redis-servers.ts";
import { createServiceLog } from "../worker/log.ts";
import { Service } from "../worker/service.ts";
import { measureViewers } from "./viewers.ts";

/** Each host compiles its own code as it gets hot, over some hundred runs. */
const roundsWarm = 5;
const rounds = 5;
const runsPerRound = 60;
const floodRuns = 400;
const atOnce = 6;
const targets = { beyondMsMax: 5, throughputMin: 0.6, viewerMsMax: 50, rssMibMax: 64 };
const code = "return params.n + 1";

type Backend = "postgres" | "redis";

interface Figures {
  readonly backend: Backend;
  readonly whole: readonly number[];
  readonly least: readonly number[];
  readonly runsPerSecond: readonly number[];
  readonly sandboxPerSecond: readonly number[];
}

const usage = { queueMs: 0, wallMs: 0, cpuMs: 0, memoryPeakBytes: 0, stdoutBytes: 0, logEntries: 0, requests: 0 };

async function measure(backend: Backend, redisUrl: string | undefined): Promise<Figures> {
  const folder = mkdtempSync(path.join(tmpdir(), "stepvault-bench-"));
  const config = parseConfig({
    STEPVAULT_DATA_DIR: folder,
    STEPVAULT_WORKER_CONCURRENCY: String(atOnce),
    STEPVAULT_HOSTS_IDLE_MAX: "2",
    ...(redisUrl === undefined ? {} : { STEPVAULT_REDIS_URL: redisUrl }),
  });
  const service = await Service.open(config, createServiceLog("error"));
  const sandbox = new Sandbox({ ...config.hosts, cacheDir: path.join(folder, "cache") });
  const least = await openLeast(service, redisUrl);
  const figures = { backend, whole: [], least: [], runsPerSecond: [], sandboxPerSecond: [] } as {
    backend: Backend;
    whole: number[];
    least: number[];
    runsPerSecond: number[];
    sandboxPerSecond: number[];
  };
  try {
    await service.startWorker();
    const organization = await createOrganization(service.vault, "Bench");
    const { id: projectId } = await createProject(service.vault, organization.id, "Bench");
    const job: JobInput = { projectId, step: { language: "javascript", code }, params: { n: 1 } };
    const whole = async (): Promise<void> => {
      const runId = await service.submit(job);
      const { status } = await service.result(projectId, runId);
      if (status !== "succeeded") throw new Error(`a run ended as ${status}`);
    };
    for (let round = -roundsWarm; round < rounds; round++) {
      const wholeMs = await timesOf(whole, runsPerRound);
      const leastMs = await timesOf(async () => await least.run(job), runsPerRound);
      const perSecond = await flood(service, job);
      const alone = await sandboxFlood(sandbox, projectId);
      if (round < 0) continue;
      figures.whole.push(...wholeMs);
      figures.least.push(...leastMs);
      figures.runsPerSecond.push(perSecond);
      figures.sandboxPerSecond.push(alone);
    }
    return figures;
  } finally {
    await least.close();
    await sandbox.close();
    await service.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The same queue and the same writes, with nothing between them. */
async function openLeast(
  service: Service,
  redisUrl: string | undefined,
): Promise<{ run(job: JobInput): Promise<void>; close(): Promise<void> }> {
  const queue = await openQueue({ region: "eu", redisUrl }, service.database);
  const { store, database, runs } = service;
  const signal = new RunSignal(database);
  const mark = <T>(value: T): Redacted<T> => value as Redacted<T>;
  const worker = queue.process(
    async ({ data }) => {
      const { projectId, runId } = data as { projectId: string; runId: string };
      const claim = await store.claim(projectId, runId, "bench");
      if (claim.state !== "claimed") throw new Error(`a run is ${claim.state}`);
      const result = mark<RunResult>({ runId, status: "succeeded", output: 2, usage, redactions: [] });
      const bodies: RunEventBody[] = [
        { kind: "started" },
        { kind: "output", output: 2 },
        { kind: "finished", status: "succeeded" },
      ];
      const events = bodies.map((body, seq) => ({ seq, time: new Date(), body: mark(body) }));
      await store.finish(result, events, { from: { workerId: "bench" } });
      signal.ended(runId);
      return { result };
    },
    { concurrency: atOnce, onError: () => {} },
  );
  await worker.ready();
  return {
    async run(job) {
      const runId = createId();
      const { projectId } = job;
      const recorded = await recordRuns(database, [{ id: runId, job: job as never }], { projectId });
      await queue.add([{ projectId, runId, turn: recorded.get(runId)?.turn ?? 0 }]);
      await runs.wait(projectId, runId, { timeoutMs: 60_000 });
    },
    async close() {
      await queue.close();
      await signal.close();
    },
  };
}

async function timesOf(run: () => Promise<void>, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const at = performance.now();
    await run();
    times.push(performance.now() - at);
  }
  return times;
}

/** Runs per second of many that are submitted together, to the last one's end. Looks by two short indexes, to cost little. */
async function flood({ runs, database }: Service, job: JobInput): Promise<number> {
  const at = performance.now();
  await runs.submitBatch(Array.from({ length: floodRuns }, () => job));
  for (let all = false; !all;) {
    await sleep(20);
    const { rows } = await database.query<{ all: boolean }>(
      `select not exists (select from runs where status = 'queued' and dispatched_at is not null)
          and not exists (select from runs where status = 'running') as all`,
    );
    all = rows[0]!.all;
  }
  return floodRuns / ((performance.now() - at) / 1_000);
}

async function sandboxFlood(sandbox: Sandbox, projectId: string): Promise<number> {
  const limits = Object.fromEntries(limitNames.map((name) => [name, limitTable[name].default])) as Limits;
  let left = floodRuns;
  const lane = async (): Promise<void> => {
    while (left-- > 0)
      await sandbox.run(
        { projectId, language: "javascript", code, params: { n: 1 }, steps: {}, limits, network: "none" },
        { resolve: async () => ({ values: new Map(), inputs: {} }), onEvent: () => {} },
      );
  };
  const at = performance.now();
  await Promise.all(Array.from({ length: atOnce }, lane));
  return floodRuns / ((performance.now() - at) / 1_000);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

const redis = await startSingleRedis();
const measured = [await measure("postgres", undefined), await measure("redis", redis.url)];
await redis.stop();
const viewers = process.argv.includes("--quick") ? { report: "", p95Ms: 0, rssMib: 0 } : await measureViewers();

const figure = (value: number): string => value.toFixed(value < 10 ? 2 : 0);
const rows = measured.map(({ backend, whole, least, runsPerSecond, sandboxPerSecond }) => {
  const beyond = median(whole) - median(least);
  const ratio = median(runsPerSecond) / median(sandboxPerSecond);
  return { backend, whole: median(whole), least: median(least), beyond, perSecond: median(runsPerSecond), ratio };
});
const report = `# Whole runs

\`npm run bench:runs\`, ${new Date().toISOString().slice(0, 10)}, ${cpus().length} cores of ${cpus()[0]?.model ?? "unknown"}, load ${loadavg()[0]?.toFixed(1)} at the end, Node ${process.version}.

A trivial JavaScript step, warm, from its submission to its final event, as the submitter hears of it; the least is the same
queue and the same writes with a worker that does nothing. Medians of ${rounds * runsPerRound} each, in turns.

| queue | run, ms | least, ms | beyond the least, ms (at most ${targets.beyondMsMax}) | runs per second, ${atOnce} at once | of the sandbox's alone (at least ${targets.throughputMin}) |
| --- | --- | --- | --- | --- | --- |
${rows.map((row) => `| ${row.backend} | ${figure(row.whole)} | ${figure(row.least)} | ${figure(row.beyond)} | ${figure(row.perSecond)} | ${row.ratio.toFixed(2)} |`).join("\n")}

${viewers.report}
`;
process.stdout.write(report);
writeFileSync(path.join(import.meta.dirname, "results/runs.md"), report);
const missed = [
  ...rows.filter(({ beyond }) => beyond > targets.beyondMsMax).map(({ backend }) => `latency on ${backend}`),
  ...rows.filter(({ ratio }) => ratio < targets.throughputMin).map(({ backend }) => `throughput on ${backend}`),
  ...(viewers.p95Ms > targets.viewerMsMax ? ["viewers"] : []),
  ...(viewers.rssMib > targets.rssMibMax ? ["memory"] : []),
];
if (missed.length > 0) {
  process.stderr.write(`missed: ${missed.join(", ")}\n`);
  process.exitCode = 1;
}
