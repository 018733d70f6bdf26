/**
 * A database that is away just when a run asks for its secrets: nothing has happened yet, so the run waits and does not fail.
 * And one that is away for a while as a run ends: what the step did and gave is not lost.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openTestService, type TestService } from "../helpers/service.ts";
import { setSecret } from "../helpers/vault.ts";

let stepvault: TestService;
beforeAll(async () => {
  stepvault = await openTestService();
});
afterAll(async () => await stepvault.close());

test("a run whose use of secrets cannot be recorded for a moment begins once it can", async () => {
  const { service, projectId } = stepvault;
  const { database } = service;
  await setSecret(service.vault, projectId, "short_outage", "outage-1b7f0c52d9");
  await database.query("alter table secret_uses rename to secret_uses_away");
  const code = 'return "<<secrets.short_outage>>".length';
  const runId = await service.submit({ projectId, step: { language: "javascript", code } });
  await sleep(1_500);
  expect(await service.runs.get(projectId, runId)).toMatchObject({ status: "running" });
  await database.query("alter table secret_uses_away rename to secret_uses");
  expect(await service.result(projectId, runId, 30_000)).toMatchObject({ status: "succeeded", output: 17 });
});

test("a run that ends while nothing can be written for a quarter of a minute keeps its end", async () => {
  const { service, projectId } = stepvault;
  const { database } = service;
  const code = 'await new Promise((r) => setTimeout(r, 500)); console.log("done"); return 7';
  const runId = await service.submit({ projectId, step: { language: "javascript", code } });
  await expect.poll(async () => (await stepvault.events(runId)).length, { timeout: 10_000 }).toBeGreaterThan(0);
  await database.query("alter table run_events rename to run_events_away");
  await sleep(15_000);
  await database.query("alter table run_events_away rename to run_events");
  expect(await service.result(projectId, runId, 30_000)).toMatchObject({ status: "succeeded", output: 7 });
  const kinds = (await stepvault.events(runId)).map(({ kind }) => kind);
  expect(kinds).toEqual(["started", "log", "output", "finished"]);
}, 60_000);
