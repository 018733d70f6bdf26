/**
 * A whole Stepvault in one process: database, vault, queue, sandbox and, when asked, a worker. The commands and the
 * tests start it here, so that there is one order of starting and one of stopping.
 */
import { hostname } from "node:os";
import path from "node:path";
import { type Database, openDatabase } from "../database/connection.ts";
import type { Config } from "../protocol/config.ts";
import { createId } from "../protocol/ids.ts";
import type { JobInput, RunResult } from "../protocol/job.ts";
import { readJavaScriptPackages } from "../runtime/javascript-packages.ts";
import { Sandbox } from "../runtime/sandbox.ts";
import { openQueue, type RunQueue, type RunWorker } from "../runs/queue.ts";
import { RunStore } from "../runs/store.ts";
import { submitRun } from "../runs/submit.ts";
import { openVault, type Vault } from "../vault/vault.ts";
import { keepLeases } from "./leases.ts";
import { createServiceLog, type ServiceLog } from "./log.ts";
import { processJob } from "./runner.ts";

/** Longer than any run may take, so that waiting ends even when a worker never comes. */
const resultTimeMsMax = 20 * 60_000;

export class Service {
  readonly config: Config;
  readonly database: Database;
  readonly vault: Vault;
  readonly store: RunStore;
  readonly queue: RunQueue;
  readonly log: ServiceLog;
  #sandbox: Sandbox;
  #worker: RunWorker | undefined;
  #closing = false;
  #leases: { stop(): void } | undefined;

  private constructor(config: Config, parts: { database: Database; vault: Vault; queue: RunQueue; log: ServiceLog }) {
    this.config = config;
    this.database = parts.database;
    this.vault = parts.vault;
    this.queue = parts.queue;
    this.log = parts.log;
    this.store = new RunStore(parts.database);
    this.#sandbox = new Sandbox({
      cacheDir: path.join(config.dataDir, "cache"),
      hostsIdleMax: config.hostsIdleMax,
      egressOpen: config.egressOpen,
      javascriptPackages:
        config.javascriptPackages === undefined ? undefined : readJavaScriptPackages(config.javascriptPackages),
    });
  }

  /** Opens everything that a process needs; runs no jobs yet. */
  static async open(config: Config, log: ServiceLog = createServiceLog(config.logLevel)): Promise<Service> {
    const database = await openDatabase(config, log.logger);
    try {
      const vault = await openVault(database, config);
      const queue = await openQueue(config, database);
      return new Service(config, { database, vault, queue, log });
    } catch (error) {
      await database.close();
      throw error;
    }
  }

  /** Starts taking jobs. Resolves once a run would start at once. */
  async startWorker(): Promise<void> {
    await this.#sandbox.warmUp();
    const parts = {
      database: this.database,
      vault: this.vault,
      store: this.store,
      sandbox: this.#sandbox,
      log: this.log,
      limitMaxima: this.config.limitMaxima,
      workerId: `${hostname()}/${process.pid}/${createId()}`,
      queueName: this.queue.name,
      runsUnderWay: new Set<string>(),
    };
    this.#worker = this.queue.process(async (job) => await processJob(parts, job), {
      concurrency: this.config.workerConcurrency,
      onError: (error) => {
        // While closing, the database ends connections that the queue still listens on: that is no fault.
        this.log.logger[this.#closing ? "debug" : "error"]({ err: error }, "the queue reports an error");
      },
    });
    await this.#worker.ready();
    this.#leases = keepLeases(this.store, parts);
    this.log.logger.info(
      { queue: this.queue.name, backend: this.queue.backend, concurrency: this.config.workerConcurrency },
      "worker started",
    );
  }

  /** Submits a run and gives its id. */
  async submit(job: JobInput): Promise<string> {
    return await submitRun(this.store, this.queue, job);
  }

  /** The result of a submitted run, once it has ended. */
  async result(runId: string, timeoutMs: number = resultTimeMsMax): Promise<RunResult> {
    const told = await this.queue.waitForResult(runId, timeoutMs);
    // The queue's copy has lost the order of object keys on PostgreSQL; a job that was no run has only that one.
    return (await this.store.result(runId)) ?? told;
  }

  /** Takes no more jobs, lets running ones end, and closes everything. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#worker?.close();
    this.#leases?.stop();
    await this.#sandbox.close();
    await this.queue.close();
    await this.database.close();
  }
}
