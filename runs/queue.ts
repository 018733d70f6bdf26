/**
 * The queue: BullMQ over PostgreSQL when no Redis is configured, over Redis otherwise. The one place that knows which;
 * everything else sees a queue, its workers and its events. Jobs carry the payload of protocol/job.ts and their return
 * value is a redacted RunResult, since BullMQ keeps both in clear text.
 */
import {
  createPostgresBackend,
  type Job as BullJob,
  type PgPool,
  Queue,
  QueueEvents,
  runMigrations,
  withBackend,
  Worker,
} from "bullmq";
import type { Redis as RedisClient } from "ioredis";
import { Redis } from "ioredis";
import type { Database } from "../database/connection.ts";
import type { Config } from "../protocol/config.ts";
import { StepvaultError } from "../protocol/error.ts";
import { type JobInput, runJobName, type RunResult } from "../protocol/job.ts";
import { type JobEnd, JobWaits } from "./job-waits.ts";

const schema = "bullmq";
/** Finished jobs that the queue keeps, for those who wait for a result there; the run itself is in the database. */
const finishedJobsKept = { age: 3_600, count: 10_000 };
/** A worker that does not renew its lock for this long is taken for dead; others look for such jobs that often. */
const lockDurationMs = 20_000;
const stalledIntervalMs = 10_000;

export type RunProcessor = (job: RunJob) => Promise<RunResult>;

/** What a processor sees of a job. */
export interface RunJob {
  readonly id: string;
  readonly name: string;
  readonly data: unknown;
  /** When the job was added, ms since 1970. */
  readonly addedAt: number;
}

export interface RunQueue {
  readonly name: string;
  readonly backend: "postgres" | "redis";
  /** Adds a run under its id; a second add with the same id changes nothing. */
  add(runId: string, job: JobInput): Promise<void>;
  /** Adds a payload as it is, under a job id of its own: what an orchestrator with nothing but BullMQ does. */
  addRaw(jobId: string, payload: object): Promise<void>;
  /** The result of a run's job, once it has one. Rejects when the queue itself fails or time is up. */
  waitForResult(runId: string, timeoutMs: number): Promise<RunResult>;
  process(processor: RunProcessor, options: { concurrency: number; onError: (error: Error) => void }): RunWorker;
  close(): Promise<void>;
}

export interface RunWorker {
  ready(): Promise<void>;
  /** Takes no more jobs and waits for those that run. */
  close(): Promise<void>;
}

/** Opens the queue of this deployment's region. Throws ERR_REDIS, ERR_REDIS_EVICTION or ERR_DATABASE. */
export async function openQueue(config: Pick<Config, "region" | "redisUrl">, database: Database): Promise<RunQueue> {
  const name = `stepvault-${config.region}`;
  const link = config.redisUrl === undefined ? await linkToPostgres(database) : await linkToRedis(config.redisUrl);
  return new BullRunQueue(name, link);
}

interface Link {
  readonly backend: "postgres" | "redis";
  queue(name: string): Queue;
  events(name: string): QueueEvents;
  worker(name: string, processor: (job: BullJob) => Promise<object>, concurrency: number): Worker;
  close(): Promise<void>;
}

async function linkToPostgres(database: Database): Promise<Link> {
  const pool = database.createPool({ schema, connectionsMax: 20, applicationName: "stepvault-queue" });
  const client = await pool.connect().catch((error: unknown) => {
    throw new StepvaultError("ERR_DATABASE", "Cannot open the queue: PostgreSQL does not answer", { cause: error });
  });
  try {
    await runMigrations(client, schema);
  } finally {
    client.release();
  }
  const postgres = withBackend(createPostgresBackend);
  const connection = pool as unknown as PgPool;
  return {
    backend: "postgres",
    queue: (name) => new postgres.Queue(name, { connection, defaultJobOptions }) as unknown as Queue,
    events: (name) => new postgres.QueueEvents(name, { connection }) as unknown as QueueEvents,
    worker: (name, processor, concurrency) =>
      new postgres.Worker(name, processor, {
        connection,
        concurrency,
        ...locks,
      }) as unknown as Worker,
    close: async () => await pool.end(),
  };
}

async function linkToRedis(redisUrl: string): Promise<Link> {
  const clients: RedisClient[] = [];
  const connect = (): RedisClient => {
    // BullMQ wants a client that waits instead of failing, for its blocking reads.
    const client = new Redis(redisUrl, { maxRetriesPerRequest: null, lazyConnect: true });
    client.on("error", () => {}); // Each queue and worker reports its own; without a listener the process would end.
    clients.push(client);
    return client;
  };
  await checkRedis(redisUrl);
  return {
    backend: "redis",
    queue: (name) => new Queue(name, { connection: connect(), defaultJobOptions }),
    events: (name) => new QueueEvents(name, { connection: connect() }),
    worker: (name, processor, concurrency) =>
      new Worker(name, processor, { connection: connect(), concurrency, ...locks }),
    async close() {
      for (const client of clients) client.disconnect();
    },
  };
}

/** Refuses a Redis that does not answer (ERR_REDIS), or that may throw jobs away when its memory is full. */
export async function checkRedis(redisUrl: string): Promise<void> {
  const client = new Redis(redisUrl, {
    maxRetriesPerRequest: 0,
    lazyConnect: true,
    connectTimeout: 5_000,
    retryStrategy: () => null,
  });
  client.on("error", () => {});
  try {
    await client.connect();
    const policy = /^maxmemory_policy:(\S+)/m.exec(await client.info("memory"))?.[1];
    if (policy !== undefined && policy !== "noeviction") {
      throw new StepvaultError(
        "ERR_REDIS_EVICTION",
        `Cannot use this Redis: its maxmemory-policy is ${policy}, so it may delete jobs; it must be noeviction`,
      );
    }
  } catch (error) {
    if (error instanceof StepvaultError) throw error;
    throw new StepvaultError("ERR_REDIS", "Cannot use the Redis of STEPVAULT_REDIS_URL: it does not answer", {
      cause: error,
    });
  } finally {
    client.disconnect();
  }
}

/** How a payload looks when JSON in PostgreSQL could not hold it. */
interface EncodedPayload {
  readonly encoding: "base64-json";
  readonly text: string;
}

/**
 * PostgreSQL's jsonb, where that backend keeps payloads and results, holds neither NUL nor lone surrogates, and a step
 * may be given and may return both. Such a payload travels as base64, on both backends alike.
 */
export function encodePayload(payload: object): object {
  const json = JSON.stringify(payload);
  // JSON.stringify writes both as escapes, and an escaped backslash before them is an even number of backslashes.
  if (!/(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/i.test(json)) return payload;
  return { encoding: "base64-json", text: Buffer.from(json).toString("base64") } satisfies EncodedPayload;
}

export function decodePayload(payload: unknown): unknown {
  const { encoding, text } = (payload ?? {}) as Partial<EncodedPayload>;
  if (encoding !== "base64-json" || typeof text !== "string") return payload;
  try {
    return JSON.parse(Buffer.from(text, "base64").toString("utf8")) as unknown;
  } catch {
    return payload; // Not one of ours; the schema refuses it.
  }
}

const locks = { lockDuration: lockDurationMs, stalledInterval: stalledIntervalMs };
const defaultJobOptions = { removeOnComplete: finishedJobsKept, removeOnFail: finishedJobsKept };

class BullRunQueue implements RunQueue {
  readonly name: string;
  readonly backend: "postgres" | "redis";
  #link: Link;
  #queue: Queue;
  #events: QueueEvents | undefined;
  #waits = new JobWaits(async (jobId) => await this.#look(jobId));
  #workers: Worker[] = [];

  constructor(name: string, link: Link) {
    this.name = name;
    this.backend = link.backend;
    this.#link = link;
    this.#queue = link.queue(name);
    this.#queue.on("error", () => {}); // The call that failed rejects as well.
  }

  async add(runId: string, job: JobInput): Promise<void> {
    await this.addRaw(runId, { ...job, runId });
  }

  async addRaw(jobId: string, payload: object): Promise<void> {
    await this.#queue.add(runJobName, encodePayload(payload), { jobId });
  }

  async waitForResult(runId: string, timeoutMs: number): Promise<RunResult> {
    this.#events ??= this.#listen();
    // Listening first spares the wait a second. Without it there are still the looks, and these tell what is wrong.
    await this.#events.waitUntilReady().catch(() => {});
    const late = (): Error =>
      new Error(
        `Job wait ${runJobName} timed out before finishing, no finish notification arrived after ${timeoutMs}ms (id=${runId})`,
      );
    return decodePayload(await this.#waits.wait(runId, { timeoutMs, late })) as RunResult;
  }

  #listen(): QueueEvents {
    const events = this.#link.events(this.name);
    events.on("error", () => {});
    events.on("completed", ({ jobId, returnvalue }) => this.#waits.tell(jobId, { value: returnvalue }));
    events.on("failed", ({ jobId, failedReason }) => this.#waits.tell(jobId, { error: new Error(failedReason) }));
    return events;
  }

  /** How a job ended. Its payload may be large, so it is fetched only once it has. */
  async #look(jobId: string): Promise<JobEnd | undefined> {
    const state = await this.#queue.getJobState(jobId);
    if (state !== "completed" && state !== "failed" && state !== "unknown") return undefined;
    const job = await this.#queue.getJob(jobId);
    if (job === undefined) {
      return { error: new StepvaultError("ERR_INTERNAL", "Cannot wait for the run: its job is not in the queue") };
    }
    if (state === "failed") return { error: new Error(job.failedReason) };
    return state === "completed" ? { value: job.returnvalue } : undefined;
  }

  process(
    processor: RunProcessor,
    { concurrency, onError }: { concurrency: number; onError: (error: Error) => void },
  ): RunWorker {
    const process = async (job: BullJob): Promise<object> => {
      const data = decodePayload(job.data);
      return encodePayload(await processor({ id: job.id ?? "", name: job.name, data, addedAt: job.timestamp }));
    };
    const worker = this.#link.worker(this.name, process, concurrency);
    worker.on("error", onError);
    // Who waits in this process need not hear it from the database, where it may get lost.
    worker.on("completed", ({ id }, value: unknown) => this.#waits.tell(id ?? "", { value }));
    this.#workers.push(worker);
    return {
      ready: async () => {
        await worker.waitUntilReady();
      },
      close: async () => await worker.close(),
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map(async (worker) => await worker.close()));
    this.#waits.close(new StepvaultError("ERR_INTERNAL", "Cannot wait for the run: the queue is closed"));
    await this.#events?.close();
    await this.#queue.close();
    await this.#link.close();
  }
}
