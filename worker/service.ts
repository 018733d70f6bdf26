/**
 * A whole Stepvault in one process: database, vault, queue, sandbox and, when asked, a worker. The commands and the
 * tests start it here, so that there is one order of starting and one of stopping.
 */
import path from "node:path";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { type Database, openDatabase } from "../database/connection.ts";
import type { Config } from "../protocol/config.ts";
import { StepvaultError } from "../protocol/error.ts";
import { type FinalStatus, type JobInput, requireGivenRunId, type RunResult } from "../protocol/job.ts";
import { detectLayers, requireLayers } from "../runtime/layers.ts";
import { Sandbox } from "../runtime/sandbox.ts";
import { openQueue, type RunQueue, type RunWorker } from "../runs/queue.ts";
import { LiveFeed } from "../runs/live-feed.ts";
import { lookAgain } from "../runs/look-again.ts";
import { makePartitions } from "../runs/partitions.ts";
import { maintainRuns } from "../runs/retention.ts";
import { RunEnds } from "../runs/run-ends.ts";
import { RunSignal } from "../runs/run-signal.ts";
import { Runs } from "../runs/runs.ts";
import { RunStore } from "../runs/store.ts";
import { Schedules, submitDue } from "../runs/schedules.ts";
import { sweepRuns } from "../runs/sweep.ts";
import { WorkerWatch } from "../runs/workers.ts";
import { openVault, type Vault } from "../vault/vault.ts";
import { watchCancels } from "./cancels.ts";
import { checkStep } from "./check-step.ts";
import { Steps } from "./steps.ts";
import { endUnusedVersions } from "./unused-versions.ts";
import { beginWorker, keepAlive, type WorkerIdentity } from "./lost-runs.ts";
import { createServiceLog, type ServiceLog } from "./log.ts";
import { processJob } from "./runner.ts";
import { seldom } from "./seldom.ts";

/** Longer than any run may take, so that waiting ends even when a worker never comes. */
const resultTimeMsMax = 20 * 60_000;
/** Of a worker that stops: for runs that were aborted to end, and then for the queue to be told of it. */
const endMsMax = 15_000;
const queueMsMax = 3_000;
const pollMs = 50;
const answerMsMax = 2_000;
const schedulePauseMs = 1_000;
const queueErrorPauseMs = 5_000;
const retentionPauseMs = 10 * 60_000;

export class Service {
  readonly config: Config;
  readonly database: Database;
  readonly vault: Vault;
  readonly store: RunStore;
  readonly runs: Runs;
  readonly steps: Steps;
  readonly schedules: Schedules;
  readonly queue: RunQueue;
  readonly log: ServiceLog;
  #sandbox: Sandbox;
  #worker: RunWorker | undefined;
  #closing = false;
  #feed: LiveFeed;
  #ends: RunEnds;
  #signal: RunSignal;
  #workers: WorkerWatch;
  #identity: WorkerIdentity = { id: "" };
  #ended = new Map<FinalStatus, number>();
  #runsUnderWay = new Map<string, AbortController>();
  /** What looks again and again, in the order in which it is stopped. */
  #looks: { stop(): Promise<void> | void }[] = [];

  private constructor(config: Config, parts: { database: Database; vault: Vault; queue: RunQueue; log: ServiceLog }) {
    this.config = config;
    this.database = parts.database;
    this.vault = parts.vault;
    this.queue = parts.queue;
    this.log = parts.log;
    this.store = new RunStore(parts.database);
    this.#feed = new LiveFeed(parts.database);
    this.#ends = new RunEnds(parts.database);
    this.#signal = new RunSignal(parts.database);
    this.#workers = new WorkerWatch(parts.database);
    this.runs = new Runs({
      database: parts.database,
      queue: parts.queue,
      feed: this.#feed,
      ends: this.#ends,
      onQueueError: (error) =>
        this.log.logger.warn({ err: error }, "the queue did not take a run; it is tried again until it does"),
    });
    this.#sandbox = new Sandbox({
      cacheDir: path.join(config.dataDir, "cache"),
      ...config.hosts,
      memoryBytesMax: config.limitMaxima.memoryBytesMax,
      egress: {
        ...config.egress,
        // Read anew for each run: a failover brings servers that the settings do not name.
        get own() {
          return [...config.egress.own, ...parts.queue.servers()];
        },
      },
      onFault: (error) => this.log.logger.error({ err: error }, "a sandbox host is not there"),
      javascriptPackages: config.javascriptPackages,
      pythonPackages: config.pythonPackages,
    });
    this.schedules = new Schedules(parts.database);
    this.steps = new Steps({
      ...parts,
      check: async (step, author) =>
        await checkStep({ sandbox: this.#sandbox, vault: this.vault, limitMaxima: config.limitMaxima }, step, author),
    });
  }

  /** Opens everything that a process needs; runs no jobs yet. */
  static async open(config: Config, log: ServiceLog = createServiceLog(config.logLevel)): Promise<Service> {
    const database = await openDatabase(config, log.logger);
    try {
      const vault = await openVault(database, config, {
        onDenialLost: (error) => log.logger.error({ err: error }, "a denial could not be recorded in the audit log"),
      });
      await makePartitions(database);
      const queue = await openQueue(config, database);
      if (!queue.keepsJobs) {
        log.logger.warn(
          "Redis keeps no append-only file (appendonly yes): a restart of it loses the places of queued runs",
        );
      }
      return new Service(config, { database, vault, queue, log });
    } catch (error) {
      await database.close();
      throw error;
    }
  }

  /** Starts taking jobs. Resolves once a run would start at once. */
  async startWorker(): Promise<void> {
    const layers = await detectLayers();
    if (this.config.sandboxLayers === "require") requireLayers(layers);
    await this.#sandbox.warmUp();
    await beginWorker(this.#workers, this.#identity);
    const parts = {
      database: this.database,
      vault: this.vault.as({ kind: "system", id: "worker" }),
      store: this.store,
      queue: this.queue,
      workers: this.#workers,
      worker: this.#identity,
      signal: this.#signal,
      sandbox: this.#sandbox,
      log: this.log,
      limitMaxima: this.config.limitMaxima,
      queueName: this.queue.name,
      runsUnderWay: this.#runsUnderWay,
      ended: this.#ended,
    };
    this.#worker = this.queue.process(async (job) => await processJob(parts, job), {
      concurrency: this.config.workerConcurrency,
      onError: seldom(queueErrorPauseMs, (error, times) => {
        // While closing, the database ends connections that the queue still listens on: that is no fault.
        this.log.logger[this.#closing ? "debug" : "error"]({ err: error, times }, "the queue reports an error");
      }),
    });
    await this.#worker.ready();
    const sweep = sweepRuns({
      ...parts,
      onError: (error, what) => this.log.logger.error({ err: error }, what),
      onRestored: (runs) => this.log.logger.warn({ runs }, "the queue had lost runs; it has them again"),
    });
    const { retentionDays } = this.config;
    const periodic = (
      what: string,
      pauseMs: number,
      look: (signal: AbortSignal) => Promise<unknown>,
    ): { stop(): Promise<void> } =>
      lookAgain(look, { pauseMs, onError: (error) => this.log.logger.error({ err: error }, what) });
    this.#looks = [
      watchCancels(parts),
      endUnusedVersions(parts),
      sweep,
      periodic("schedules could not be looked at", schedulePauseMs, async (signal) => await submitDue(parts, signal)),
      periodic("old runs could not be forgotten", retentionPauseMs, async (signal) => {
        const forgotten = await maintainRuns(this.database, { days: retentionDays, signal });
        if ((forgotten?.runs ?? 0) > 0) this.log.logger.info({ ...forgotten }, "old runs were forgotten");
      }),
      keepAlive(parts),
    ];
    this.log.logger.info(
      {
        queue: this.queue.name,
        backend: this.queue.backend,
        concurrency: this.config.workerConcurrency,
        isolation: this.config.hosts.isolation,
        sandboxLayers: Object.fromEntries(
          layers.states.map(({ name, on, detail }) => [name, on ? detail : `off: ${detail}`]),
        ),
      },
      "worker started",
    );
  }

  /** Submits a run and gives its id. */
  async submit(job: JobInput): Promise<string> {
    requireGivenRunId(job);
    return (await this.runs.submit(job)).runId;
  }

  /** The result of a run of this project, once it has ended. Throws ERR_RUN_UNKNOWN, ERR_RUN_NOT_ENDED when time is up. */
  async result(projectId: string, runId: string, timeoutMs: number = resultTimeMsMax): Promise<RunResult> {
    const result = await this.runs.wait(projectId, runId, { timeoutMs });
    if (result !== undefined) return result;
    throw new StepvaultError(
      "ERR_RUN_NOT_ENDED",
      `Cannot give the run's result: it has not ended within ${timeoutMs} ms`,
    );
  }

  /** Asks for the end of a queued or running run. False when it has ended. Throws ERR_RUN_UNKNOWN. */
  async cancel(projectId: string, runId: string): Promise<boolean> {
    return await this.runs.cancel(projectId, runId);
  }

  /** Whether each part that serving needs is there, with the reason when it is not. Never rejects. */
  async readiness(): Promise<Record<string, { ok: boolean; reason?: string }>> {
    const [database, queue] = await Promise.all([
      answers(async () => await this.database.query("select 1")),
      answers(async () => await this.queue.countWaiting()),
    ]);
    const worker = this.#worker === undefined || this.#worker.isRunning();
    return {
      database: database ? { ok: true } : { ok: false, reason: "PostgreSQL does not answer" },
      queue: queue ? { ok: true } : { ok: false, reason: "the queue does not answer" },
      ...(this.#worker !== undefined && { worker: worker ? { ok: true } : { ok: false, reason: "takes no jobs" } }),
    };
  }

  /** Figures for monitoring. Never rejects. */
  async counts(): Promise<{
    runsEnded: Record<string, number>;
    runsUnderWay: number;
    hosts: ReturnType<Sandbox["pool"]["count"]>;
    viewers: number;
    strayKeys: Record<string, number>;
    queueWaiting: number | undefined;
  }> {
    return {
      runsEnded: Object.fromEntries(this.#ended),
      runsUnderWay: this.#runsUnderWay.size,
      hosts: this.#sandbox.pool.count(),
      viewers: this.#feed.count().viewers,
      strayKeys: Object.fromEntries(this.vault.strayKeys()),
      queueWaiting: await this.queue.countWaiting().catch(() => undefined),
    };
  }

  /**
   * Takes no more jobs, gives running ones the time that the settings allow, or until `hurry` aborts, hands back what is left,
   * and closes everything. Jobs that have not ended by then end as ERR_WORKER_STOPPED, or run again where they may.
   */
  async close({ hurry }: { hurry?: AbortSignal } = {}): Promise<void> {
    this.#closing = true;
    const late = AbortSignal.timeout(this.config.shutdownMsMax);
    const stop = hurry === undefined ? late : AbortSignal.any([hurry, late]);
    const abort = (): void => {
      const why = new StepvaultError("ERR_WORKER_STOPPED", "Cannot finish the run: its worker was stopped");
      for (const run of this.#runsUnderWay.values()) run.abort(why);
    };
    stop.addEventListener("abort", abort);
    if (stop.aborted) abort();
    await this.#closeWorker(stop);
    stop.removeEventListener("abort", abort);
    for (const look of this.#looks) await look.stop();
    if (this.#identity.id !== "") await this.#workers.end(this.#identity.id).catch(() => {});
    await this.#ends.close();
    await this.#feed.close();
    await this.#signal.close();
    await this.#sandbox.close();
    await this.queue.close();
    await this.database.close();
    this.vault.close();
  }

  /**
   * Waits for the worker's runs, and for the queue to hear of their ends; but once the time for these is up and they have ended,
   * not for long for a queue that does not answer: their jobs come again, and then are over.
   */
  async #closeWorker(stop: AbortSignal): Promise<void> {
    if (this.#worker === undefined) return;
    const closed = new AbortController();
    const { signal } = closed;
    const givenUp = async (): Promise<void> => {
      if (!stop.aborted) await once(stop, "abort", { signal });
      for (let waitedMs = 0; this.#runsUnderWay.size > 0 && waitedMs < endMsMax; waitedMs += pollMs)
        await sleep(pollMs, undefined, { signal });
      await sleep(queueMsMax, undefined, { signal });
    };
    const over = givenUp();
    await Promise.race([this.#worker.close(), over]);
    closed.abort();
    await over.catch(() => {});
  }
}

/** Whether something answers within two seconds. */
async function answers(ask: () => Promise<unknown>): Promise<boolean> {
  const late = sleep(answerMsMax, false, { ref: false });
  return await Promise.race([
    ask().then(
      () => true,
      () => false,
    ),
    late,
  ]);
}
