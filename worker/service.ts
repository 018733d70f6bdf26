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
import { detectLayers, requireLayers } from "../runtime/layers.ts";
import { Sandbox } from "../runtime/sandbox.ts";
import { openQueue, type RunQueue, type RunWorker } from "../runs/queue.ts";
import { RunStore } from "../runs/store.ts";
import { type NewStep, type SavedStep, saveStep } from "../runs/steps.ts";
import { submitRun } from "../runs/submit.ts";
import { waitForRun } from "../runs/wait.ts";
import { type Actor, operator } from "../vault/tenancy/actor.ts";
import { requireReferences, type StepCheck } from "../vault/secrets/explain.ts";
import { openVault, type Vault } from "../vault/vault.ts";
import { watchCancels } from "./cancels.ts";
import { checkStep, type StepToCheck } from "./check-step.ts";
import { endUnusedVersions } from "./unused-versions.ts";
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
  #cancels: { stop(): void } | undefined;
  #unused: { stop(): void } | undefined;

  private constructor(config: Config, parts: { database: Database; vault: Vault; queue: RunQueue; log: ServiceLog }) {
    this.config = config;
    this.database = parts.database;
    this.vault = parts.vault;
    this.queue = parts.queue;
    this.log = parts.log;
    this.store = new RunStore(parts.database);
    this.#sandbox = new Sandbox({
      cacheDir: path.join(config.dataDir, "cache"),
      ...config.hosts,
      memoryBytesMax: config.limitMaxima.memoryBytesMax,
      egress: config.egress,
      onFault: (error) => this.log.logger.error({ err: error }, "a sandbox host is not there"),
      javascriptPackages: config.javascriptPackages,
      pythonPackages: config.pythonPackages,
    });
  }

  /** Opens everything that a process needs; runs no jobs yet. */
  static async open(config: Config, log: ServiceLog = createServiceLog(config.logLevel)): Promise<Service> {
    const database = await openDatabase(config, log.logger);
    try {
      const vault = await openVault(database, config, {
        onDenialLost: (error) => log.logger.error({ err: error }, "a denial could not be recorded in the audit log"),
      });
      const queue = await openQueue(config, database);
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
    const parts = {
      database: this.database,
      vault: this.vault.as({ kind: "system", id: "worker" }),
      store: this.store,
      sandbox: this.#sandbox,
      log: this.log,
      limitMaxima: this.config.limitMaxima,
      workerId: `${hostname()}/${process.pid}/${createId()}`,
      queueName: this.queue.name,
      runsUnderWay: new Map<string, AbortController>(),
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
    this.#cancels = watchCancels(this.store, parts);
    this.#unused = endUnusedVersions(parts);
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
    return await submitRun(this.store, this.queue, job);
  }

  /**
   * Saves a step as the next version of it, or as a new one, for who may; with `checked` only one whose references would
   * resolve. Throws ERR_STEP_REFERENCES, what `checkStep` throws, and what `authorize` and `saveStep` of runs/ throw.
   */
  async saveStep(
    { checked = false, ...step }: Omit<NewStep, "by"> & { checked?: boolean },
    author: Actor = operator,
  ): Promise<SavedStep> {
    await this.vault.as(author).authorize("step.write", { projectId: step.projectId });
    if (checked) requireReferences(await this.checkStep(step, author));
    return await saveStep(this.database, { ...step, by: { kind: author.kind, id: author.id } });
  }

  /** Whether a step could run if it was saved now: which of its references to secrets would fail, and why. */
  async checkStep(step: StepToCheck, author: Actor = operator): Promise<StepCheck> {
    const { vault, config } = this;
    return await checkStep({ sandbox: this.#sandbox, vault, limitMaxima: config.limitMaxima }, step, author);
  }

  /** The result of a run of this project, once it has ended. Throws ERR_RUN_UNKNOWN, also for another project's run. */
  async result(projectId: string, runId: string, timeoutMs: number = resultTimeMsMax): Promise<RunResult> {
    return await waitForRun(this.store, this.queue, { projectId, runId, timeoutMs });
  }

  /** Asks for the end of a queued or running run. False when the project has no such run, or it has ended. */
  async cancel(projectId: string, runId: string): Promise<boolean> {
    return await this.store.requestCancel(projectId, runId);
  }

  /** Takes no more jobs, lets running ones end, and closes everything. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#worker?.close();
    this.#leases?.stop();
    this.#cancels?.stop();
    this.#unused?.stop();
    await this.#sandbox.close();
    await this.queue.close();
    await this.database.close();
    this.vault.close();
  }
}
