/**
 * The queue: BullMQ over PostgreSQL when no Redis is configured, over Redis otherwise. The one place that knows which;
 * everything else sees a queue, its workers and its events. Jobs carry the payload of protocol/job.ts and their return
 * value is a redacted RunResult, since BullMQ keeps both in clear text.
 */
import { setTimeout as sleep } from "node:timers/promises";
import {
  createPostgresBackend,
  DelayedError,
  type Job as BullJob,
  type PgPool,
  Queue,
  type QueueBase,
  runMigrations,
  withBackend,
  Worker,
} from "bullmq";
import type { Database } from "../database/connection.ts";
import type { Config } from "../protocol/config.ts";
import { StepvaultError } from "../protocol/error.ts";
import { runJobName, type RunResult } from "../protocol/job.ts";
import { decodePayload, encodePayload } from "./payload.ts";
import { priorityOf } from "./turns.ts";
import { connectToRedis } from "./redis.ts";
import { checkRedis } from "./redis-check.ts";
import { answeringInTime, forgetCommand } from "./redis-failure.ts";

const schema = "bullmq";
/** Ended jobs that an orchestrator waits for in the queue. Of runs that were submitted here nobody does: they are in the database. */
const endedJobsKept = { age: 3_600, count: 10_000 };
/** A worker that does not renew its lock for this long is taken for dead; others look for such jobs that often. */
const lockDurationMs = 20_000;
const stalledIntervalMs = 10_000;
const closeMsMax = 3_000;

/**
 * A result ends the job. `dropped` does so as well: its run gets another job when its time has come. Else the job comes
 * again after that time, with that turn from then on when one is given.
 */
export type JobOutcome =
  | "dropped"
  | { readonly result: RunResult }
  | { readonly againMs: number; readonly turn?: number | undefined };

export type RunProcessor = (job: RunJob) => Promise<JobOutcome>;

/** What a processor sees of a job. */
export interface RunJob {
  readonly id: string;
  readonly name: string;
  readonly data: unknown;
  /** When the job was added, ms since 1970. */
  readonly addedAt: number;
  /** What the jobs have given that this one waited for, in a flow of BullMQ. */
  children(): Promise<unknown[]>;
}

export interface QueuedRun {
  readonly projectId: string;
  readonly runId: string;
  /** Its place among those that wait: runs/turns.ts. */
  readonly turn: number;
}

export type JobEnd = { readonly value: unknown } | { readonly error: Error };

export interface RunQueue {
  readonly name: string;
  readonly backend: "postgres" | "redis";
  /** Whether what is queued outlives a restart of the server that holds it. */
  readonly keepsJobs: boolean;
  /** The servers that hold the queue and that are known by now, as `host:port`, besides those of the settings. */
  servers(): readonly string[];
  /** Adds runs under their ids; a second add with the same id changes nothing. */
  add(runs: readonly QueuedRun[]): Promise<void>;
  /** Adds a payload as it is, under a job id of its own: what an orchestrator with nothing but BullMQ does. */
  addRaw(jobId: string, payload: object): Promise<void>;
  /** Adds runs whose jobs are not there, or have ended although the runs have not, and wakes those that sleep; gives how many it added. */
  restore(runs: readonly QueuedRun[]): Promise<number>;
  setTurn(runId: string, turn: number): Promise<void>;
  /** Has a job come now that was to come again later. */
  wake(jobId: string): Promise<void>;
  /** How a job ended; undefined while it has not. Throws ERR_INTERNAL for one that is not there. */
  look(jobId: string): Promise<JobEnd | undefined>;
  /** Jobs that wait for a worker. */
  countWaiting(): Promise<number>;
  process(processor: RunProcessor, options: { concurrency: number; onError: (error: Error) => void }): RunWorker;
  close(): Promise<void>;
}

export interface RunWorker {
  ready(): Promise<void>;
  /** Takes no more jobs and waits for those that run. */
  close(): Promise<void>;
  isRunning(): boolean;
}

/** Opens the queue of this deployment's region. Throws ERR_REDIS, ERR_REDIS_EVICTION or ERR_DATABASE. */
export async function openQueue(config: Pick<Config, "region" | "redisUrl">, database: Database): Promise<RunQueue> {
  const name = `stepvault-${config.region}`;
  const link = config.redisUrl === undefined ? await linkToPostgres(database) : await linkToRedis(config.redisUrl);
  const queue = new BullRunQueue(name, link);
  try {
    await queue.ready();
  } catch (error) {
    await queue.close();
    throw error;
  }
  return queue;
}

/** By how much the clocks of two machines may differ, and how many of the jobs that sleep longest are looked at each time. */
const clockMsMax = 60_000;
const lateJobsPerLook = 10;

type BullProcessor = (job: BullJob, token?: string) => Promise<object>;

interface Link {
  readonly backend: "postgres" | "redis";
  /** Whether what is queued outlives a restart of the server that holds it. */
  readonly keepsJobs: boolean;
  /** The servers that hold the queue and that are known by now, as `host:port`, besides those of the settings. */
  servers(): readonly string[];
  /** For callers: its methods throw ERR_REDIS where that is the trouble, and do not wait for long. */
  queue(name: string): Queue;
  worker(name: string, processor: BullProcessor, concurrency: number): Worker;
  /** Ends locks that a clock that was ahead has left, and forgets its looks, where the server does not end both by its own. */
  unlockLate?(name: string): Promise<void>;
  close(): Promise<void>;
}

async function linkToPostgres(database: Database): Promise<Link> {
  const pool = database.createPool({ schema, connectionsMax: 20, applicationName: "stepvault-queue" });
  const client = await pool.connect().catch(databaseIsAway);
  try {
    await runMigrations(client, schema);
  } finally {
    client.release();
  }
  const postgres = withBackend(createPostgresBackend);
  const connection = pool as unknown as PgPool;
  return {
    backend: "postgres",
    keepsJobs: true,
    servers: () => [],
    queue: (name) => new postgres.Queue(name, { connection, defaultJobOptions }) as unknown as Queue,
    worker: (name, processor, concurrency) =>
      new postgres.Worker(name, processor, {
        connection,
        concurrency,
        ...locks,
      }) as unknown as Worker,
    async unlockLate(name) {
      // A worker renews its locks all the time: one that lives beyond that is no worker's that could not do so.
      await pool.query(
        `update job set locked_until_ms = 0 where queue = $1 and state = 'active'
         and locked_until_ms > extract(epoch from now()) * 1000 + $2`,
        [name, lockDurationMs + clockMsMax],
      );
      // Nobody looks for the jobs of dead workers before the time at which one looked last, by its own clock.
      await pool.query(
        `delete from meta where queue = $1 and field = 'stalled-check'
         and value::bigint > extract(epoch from now()) * 1000 + $2`,
        [name, clockMsMax],
      );
    },
    close: async () => await pool.end(),
  };
}

function databaseIsAway(error: unknown): never {
  throw new StepvaultError("ERR_DATABASE", "Cannot open the queue: PostgreSQL does not answer", { cause: error });
}

async function linkToRedis(redisUrl: string): Promise<Link> {
  const { address, keepsJobs, servers } = await checkRedis(redisUrl);
  const redis = connectToRedis(address, servers);
  const { prefix } = redis;
  return {
    backend: "redis",
    keepsJobs,
    servers: () => redis.servers(),
    // Its own look at the version is left out, as a queue whose first command fails is of no use ever after.
    queue: (name) =>
      answeringInTime(
        new Queue(name, { connection: redis.askingClient(), prefix, defaultJobOptions, skipVersionCheck: true }),
      ),
    worker: (name, processor, concurrency) =>
      withoutCommands(
        new Worker(name, processor, { connection: redis.workingClient(), prefix, concurrency, ...locks }),
      ),
    close: async () => await Promise.resolve(redis.close()),
  };
}

/** Before anybody else hears of an error, the command that failed is taken out of it: one may hold a password. */
function withoutCommands<T extends QueueBase>(queue: T): T {
  queue.on("error", (error) => void forgetCommand(error));
  return queue;
}

/** Often: a run that is taken for dead ends by runs/store.ts, never by a count of the queue's. */
const stalledCountMax = 1_000;
const locks = { lockDuration: lockDurationMs, stalledInterval: stalledIntervalMs, maxStalledCount: stalledCountMax };
/** To keep ended jobs costs PostgreSQL more than all else that it does with one. */
const defaultJobOptions = { removeOnComplete: true, removeOnFail: true };

class BullRunQueue implements RunQueue {
  readonly name: string;
  readonly backend: "postgres" | "redis";
  readonly keepsJobs: boolean;
  #link: Link;
  #queue: Queue;
  #workers: Worker[] = [];

  constructor(name: string, link: Link) {
    this.name = name;
    this.backend = link.backend;
    this.keepsJobs = link.keepsJobs;
    this.#link = link;
    this.#queue = link.queue(name);
    this.#queue.on("error", () => {}); // The call that failed rejects as well.
  }

  /** BullMQ connects once over PostgreSQL, and keeps a failure for ever: a queue that missed it would take no job again. */
  async ready(): Promise<void> {
    if (this.backend !== "postgres") return;
    await this.#queue.waitUntilReady().catch(databaseIsAway);
  }

  servers(): readonly string[] {
    return this.#link.servers();
  }

  async add(runs: readonly QueuedRun[]): Promise<void> {
    const jobs = runs.map(({ projectId, runId, turn }) => ({
      name: runJobName,
      data: { projectId, runId },
      opts: { jobId: runId, priority: priorityOf(turn) },
    }));
    const [only] = jobs;
    if (jobs.length === 1 && only !== undefined) await this.#queue.add(only.name, only.data, only.opts);
    else if (jobs.length > 0) await this.#queue.addBulk(jobs);
  }

  async addRaw(jobId: string, payload: object): Promise<void> {
    const kept = { removeOnComplete: endedJobsKept, removeOnFail: endedJobsKept };
    await this.#queue.add(runJobName, encodePayload(payload), { jobId, ...kept });
  }

  async restore(runs: readonly QueuedRun[]): Promise<number> {
    const gone: QueuedRun[] = [];
    for (const run of runs) {
      const state = await this.#queue.getJobState(run.runId);
      if (state === "completed" || state === "failed") await this.#queue.remove(run.runId);
      // Its time has come by the database's clock; that of the worker that put it back may have been another one.
      if (state === "delayed") await this.wake(run.runId).catch(() => {}); // It woke by itself meanwhile.
      if (state === "completed" || state === "failed" || state === "unknown") gone.push(run);
    }
    await this.add(gone);
    await this.#freeLate();
    return gone.length;
  }

  /** Frees jobs of a worker whose clock was ahead: they were last taken, or are locked until, a time that is still to come. */
  async #freeLate(): Promise<void> {
    await this.#link.unlockLate?.(this.name);
    for (const job of await this.#queue.getJobs(["delayed"], 0, lateJobsPerLook - 1, false)) {
      const aheadMs = ((job as BullJob | undefined)?.processedOn ?? 0) - Date.now();
      if (aheadMs > clockMsMax) await job.promote().catch(() => {}); // It woke by itself meanwhile.
    }
  }

  async setTurn(runId: string, turn: number): Promise<void> {
    const job = await this.#queue.getJob(runId);
    const priority = priorityOf(turn);
    // The same one again would put it behind all others of that turn.
    if (job !== undefined && job.priority !== priority) await job.changePriority({ priority });
  }

  async wake(jobId: string): Promise<void> {
    const job = await this.#queue.getJob(jobId);
    if (job !== undefined && (await job.isDelayed())) await job.promote();
  }

  async look(jobId: string): Promise<JobEnd | undefined> {
    const state = await this.#queue.getJobState(jobId);
    if (state !== "completed" && state !== "failed" && state !== "unknown") return undefined;
    const job = await this.#queue.getJob(jobId);
    if (job === undefined) throw new StepvaultError("ERR_INTERNAL", "Cannot look at the job: it is not in the queue");
    if (state === "failed") return { error: new Error(job.failedReason) };
    return state === "completed" ? { value: decodePayload(job.returnvalue) } : undefined;
  }

  async countWaiting(): Promise<number> {
    return await this.#queue.getJobCountByTypes("waiting", "prioritized");
  }

  process(
    processor: RunProcessor,
    { concurrency, onError }: { concurrency: number; onError: (error: Error) => void },
  ): RunWorker {
    const process: BullProcessor = async (job, token) => {
      const outcome = await processor({
        id: job.id ?? "",
        name: job.name,
        data: decodePayload(job.data),
        addedAt: job.timestamp,
        // In an order of their own, so that the same job always makes the same request.
        children: async () =>
          Object.entries(await job.getChildrenValues<unknown>())
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([, value]) => decodePayload(value)),
      });
      // From here on it would end as failed only because its end got no answer. Its lock ends instead, it comes again and finds
      // the result.
      job.moveToFailed = async () => await Promise.resolve(undefined);
      if (outcome === "dropped") return {};
      if ("result" in outcome) return encodePayload(outcome.result);
      try {
        if (outcome.turn !== undefined) await job.changePriority({ priority: priorityOf(outcome.turn) });
        // PostgreSQL takes whole milliseconds only, and the job would fail.
        await job.moveToDelayed(Date.now() + Math.ceil(outcome.againMs), token);
      } catch (error) {
        // As an error of the job's it would end the job. Without one its lock ends, and it comes again.
        onError(error as Error);
      }
      throw new DelayedError();
    };
    const worker = this.#link.worker(this.name, process, concurrency);
    worker.on("error", onError);
    this.#workers.push(worker);
    return {
      ready: async () => {
        await worker.waitUntilReady();
      },
      close: async () => await worker.close(),
      isRunning: () => worker.isRunning(),
    };
  }

  async close(): Promise<void> {
    const closing = Promise.all(this.#workers.map(async (worker) => await worker.close())).then(
      async () => await this.#queue.close(),
    );
    // With a server that does not answer nobody could be told goodbye; without its connections all that waits for it fails.
    const closed = new AbortController();
    const late = sleep(closeMsMax, undefined, { signal: closed.signal }).catch(() => {});
    await Promise.race([closing.catch(() => {}), late]);
    closed.abort();
    await this.#link.close();
  }
}
