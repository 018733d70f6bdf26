/** A worker that dies in the middle of a run, for real: the run ends once, as crashed, and nothing is left over. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { JobInput } from "../../protocol/job.ts";
import { hostsOf } from "../helpers/processes.ts";
import { openTestService, type TestService } from "../helpers/service.ts";

let vault: TestService;
beforeAll(async () => {
  vault = await openTestService({}, { worker: false });
});
afterAll(async () => await vault.close());

function startWorkerProcess(): ChildProcess {
  const main = path.join(import.meta.dirname, "../../cli/main.ts");
  const env = { STEPVAULT_DATA_DIR: vault.folder, STEPVAULT_LOG_LEVEL: "info", PATH: process.env["PATH"] };
  return spawn(process.execPath, [main, "start"], { env, stdio: ["ignore", "ignore", "pipe"] });
}

test("a run whose worker is killed ends as crashed, once, and its host dies with it (proc-02)", async () => {
  const job: JobInput = {
    projectId: vault.projectId,
    step: {
      language: "javascript",
      code: "for (;;);",
      limits: { wallTimeMsMax: 180_000, cpuTimeMsMax: 180_000 },
    },
  };
  const first = startWorkerProcess();
  const runId = await vault.service.submit(job);
  await expect.poll(async () => (await vault.events(runId)).length, { timeout: 30_000 }).toBeGreaterThan(0);
  const hosts = hostsOf(first.pid ?? 0);
  expect(hosts.length).toBeGreaterThan(0);
  first.kill("SIGKILL");
  await once(first, "exit");
  await expect.poll(() => hosts.filter((pid) => existsSync(`/proc/${pid}`)), { timeout: 5_000 }).toEqual([]);

  const second = startWorkerProcess();
  const result = await vault.service.result(vault.projectId, runId, 110_000);
  expect(result).toMatchObject({ status: "crashed", error: { code: "ERR_WORKER_LOST", fault: "system" } });
  const events = await vault.events(runId);
  expect(events.map(({ kind }) => kind)).toEqual(["started", "error", "finished"]);
  second.kill("SIGTERM");
  const [code] = (await once(second, "exit")) as [number | null];
  expect(code).toBe(0);
}, 180_000);

test("a run whose end could not be recorded is ended although its worker lives", async () => {
  const worker = await openTestService();
  try {
    const code = "await new Promise((r) => setTimeout(r, 500)); return 1";
    const runId = await worker.service.submit({ projectId: worker.projectId, step: { language: "javascript", code } });
    await expect.poll(async () => (await worker.events(runId)).length, { timeout: 10_000 }).toBeGreaterThan(0);
    // Away for longer than a worker tries again.
    await worker.service.database.query("alter table run_events rename to run_events_away");
    await expect.poll(() => worker.log.join(""), { timeout: 40_000 }).toContain("could not be recorded");
    await worker.service.database.query("alter table run_events_away rename to run_events");
    await expect
      .poll(async () => (await worker.service.store.get(worker.projectId, runId))?.result, { timeout: 60_000 })
      .toMatchObject({ status: "crashed", error: { code: "ERR_WORKER_LOST" } });
  } finally {
    await worker.close();
  }
}, 120_000);
