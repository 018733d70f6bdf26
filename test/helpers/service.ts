/** A whole Stepvault in a temporary folder, with one project, for tests that go through the queue. */
import { setTimeout as sleep } from "node:timers/promises";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { inject } from "vitest";
import { openDatabase } from "../../database/connection.ts";
import { parseConfig } from "../../protocol/config.ts";
import type { JobInput, RunEvent, RunResult } from "../../protocol/job.ts";
import type { RunQueue } from "../../runs/queue.ts";
import { createServiceLog } from "../../worker/log.ts";
import { Service } from "../../worker/service.ts";
import { expectNoValues, type SearchOptions } from "./no-values.ts";
import { createOrganization, createProject } from "./vault.ts";

export interface TestService {
  readonly service: Service;
  readonly projectId: string;
  readonly folder: string;
  /** Every line of the service's log. */
  readonly log: string[];
  /** Submits a job of the project and waits for its result. */
  run(job: Omit<JobInput, "projectId">): Promise<RunResult>;
  events(runId: string): Promise<RunEvent[]>;
  /** Removes it all, and throws when a value or a key was left in the database, the queue or the log. */
  close(): Promise<void>;
}

export async function openTestService(
  settings: Record<string, string> = {},
  { worker = true, search = {} }: { worker?: boolean; search?: SearchOptions } = {},
): Promise<TestService> {
  const folder = mkdtempSync(path.join(tmpdir(), "stepvault-test-"));
  mkdirSync(folder, { recursive: true });
  symlinkSync(inject("cacheDir"), path.join(folder, "cache"));
  const config = parseConfig({
    STEPVAULT_DATA_DIR: folder,
    STEPVAULT_HOSTS_IDLE_MAX: "1",
    STEPVAULT_LOG_LEVEL: "debug",
    ...settings,
  });
  const log: string[] = [];
  const service = await Service.open(
    config,
    createServiceLog(config.logLevel, { write: (line) => void log.push(line) }),
  );
  const organization = await createOrganization(service.vault, "Test");
  const { id: projectId } = await createProject(service.vault, organization.id, "Test project");
  if (worker) await service.startWorker();
  return {
    service,
    projectId,
    folder,
    log,
    run: async (job) => await service.result(projectId, await service.submit({ projectId, ...job }), 60_000),
    events: async (runId) => await service.store.listEvents(projectId, runId),
    async close() {
      // Held open beyond the service, so that what it does last is searched too.
      const database = await openDatabase(config);
      try {
        await service.close();
        await expectNoValues(database, config, { ...search, texts: { "the service's log": log.join("\n") } });
      } finally {
        await database.close();
        rmSync(folder, { recursive: true, force: true });
      }
    },
  };
}

/** What a job of the queue has returned, as an orchestrator sees it that added the job by itself. */
export async function jobResult(queue: RunQueue, jobId: string, timeMsMax = 60_000): Promise<RunResult> {
  for (const end = performance.now() + timeMsMax; performance.now() < end;) {
    const jobEnd = await queue.look(jobId);
    if (jobEnd !== undefined) {
      if ("error" in jobEnd) throw jobEnd.error;
      return jobEnd.value as RunResult;
    }
    await sleep(30);
  }
  throw new Error(`the job has not ended within ${timeMsMax} ms`);
}
