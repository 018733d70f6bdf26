/** A whole Stepvault in a temporary folder, with one project, for tests that go through the queue. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { inject } from "vitest";
import { parseConfig } from "../../protocol/config.ts";
import type { JobInput, RunEvent, RunResult } from "../../protocol/job.ts";
import { createServiceLog } from "../../worker/log.ts";
import { Service } from "../../worker/service.ts";

export interface TestService {
  readonly service: Service;
  readonly projectId: string;
  readonly folder: string;
  /** Every line of the service's log. */
  readonly log: string[];
  /** Submits a job of the project and waits for its result. */
  run(job: Omit<JobInput, "projectId">): Promise<RunResult>;
  events(runId: string): Promise<RunEvent[]>;
  close(): Promise<void>;
}

export async function openTestService(
  settings: Record<string, string> = {},
  { worker = true } = {},
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
  const organization = await service.vault.createOrganization("Test");
  const { id: projectId } = await service.vault.createProject(organization.id, "Test project");
  if (worker) await service.startWorker();
  return {
    service,
    projectId,
    folder,
    log,
    run: async (job) => await service.result(await service.submit({ projectId, ...job }), 60_000),
    events: async (runId) => await service.store.listEvents(projectId, runId),
    async close() {
      await service.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
