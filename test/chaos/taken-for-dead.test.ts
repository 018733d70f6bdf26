/**
 * A worker that others take for dead while they cannot take its runs over yet: what it then stops ends as the fault that it is,
 * or is tried again, and never as if somebody had cancelled it.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { openTestService, type TestService } from "../helpers/service.ts";

let stepvault: TestService;
beforeAll(async () => {
  stepvault = await openTestService({ STEPVAULT_WORKER_CONCURRENCY: "2" });
});
afterAll(async () => await stepvault.close());

test("runs of a worker that is taken for dead are not cancelled", async () => {
  const { service, projectId } = stepvault;
  const code = 'console.log("begun"); await new Promise((go) => setTimeout(go, params.ms)); return 7';
  const step = { language: "javascript", code } as const;
  const plain = await service.submit({ projectId, step, params: { ms: 20_000 } });
  const again = await service.submit({
    projectId,
    step: { ...step, retry: { attemptsMax: 2, backoffMs: 0 } },
    params: { ms: 8_000 },
  });
  for (const runId of [plain, again])
    await expect.poll(async () => (await stepvault.events(runId)).length, { timeout: 20_000 }).toBeGreaterThan(1);
  await service.database.query("update workers set ended_at = now()");
  expect(await service.result(projectId, plain, 30_000)).toMatchObject({
    status: "crashed",
    error: { code: "ERR_WORKER_LOST", fault: "system" },
  });
  expect(await service.result(projectId, again, 40_000)).toMatchObject({ status: "succeeded", output: 7 });
  expect((await stepvault.events(again)).map(({ kind }) => kind)).toContain("retry");
}, 90_000);
