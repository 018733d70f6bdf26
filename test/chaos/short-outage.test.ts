/** A database that is away just when a run asks for its secrets: nothing has happened yet, so the run waits and does not fail. */
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
