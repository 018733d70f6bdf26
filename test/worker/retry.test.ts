/** Steps that declare another attempt: after which ends they have it, how often, after how long, and when never. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RunEvent, RunResult, StepInput } from "../../protocol/job.ts";
import { backends, javascript, openBackend, type OpenedBackend } from "../runs/backends.ts";

for (const backend of backends) {
  describe(`a step that may be tried again, on ${backend}`, () => {
    let stepvault: OpenedBackend;
    beforeAll(async () => {
      stepvault = await openBackend(backend, { STEPVAULT_WORKER_CONCURRENCY: "2" });
    });
    afterAll(async () => await stepvault?.close());

    const failure = { attemptsMax: 3, backoffMs: 0, on: "failure" } as const;
    const run = async (step: StepInput): Promise<RunResult> => await stepvault.run({ step });
    const told = async (runId: string): Promise<string[]> =>
      (await stepvault.events(runId)).map((event: RunEvent) =>
        event.kind === "started" ? `started ${event.attempt ?? 1}` : event.kind,
      );

    test(`is, as often as it says, and ends with the last attempt's error (${backend})`, async () => {
      const result = await run(javascript("console.log('once'); throw new Error('no')", { retry: failure }));
      expect(result).toMatchObject({ status: "failed", error: { code: "ERR_STEP_THREW" } });
      expect(await told(result.runId)).toEqual([
        "started 1",
        "log",
        "retry",
        "started 2",
        "log",
        "retry",
        "started 3",
        "log",
        "error",
        "finished",
      ]);
      const events = await stepvault.events(result.runId);
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i));
      expect(events[2]).toMatchObject({ kind: "retry", attempt: 1, delayMs: 0, error: { code: "ERR_STEP_THREW" } });
      expect(await stepvault.service.runs.get(stepvault.projectId, result.runId)).toMatchObject({ attempt: 3 });
    });

    test(`waits twice as long before each attempt (${backend})`, async () => {
      const result = await run(javascript("throw new Error('no')", { retry: { ...failure, backoffMs: 400 } }));
      const events = await stepvault.events(result.runId);
      const delays = events.flatMap((event) => (event.kind === "retry" ? [event.delayMs] : []));
      expect(delays).toEqual([400, 800]);
      const times = events.flatMap(({ kind, time }) =>
        kind === "started" || kind === "retry" ? [Date.parse(time)] : [],
      );
      expect(times[2]! - times[1]!).toBeGreaterThanOrEqual(390);
      expect(times[4]! - times[3]!).toBeGreaterThanOrEqual(790);
    });

    test(`is for limits too where it says so, and for neither when it speaks of the system alone (${backend})`, async () => {
      const limits = { wallTimeMsMax: 200 };
      const twice = await run(javascript("for (;;);", { limits, retry: { ...failure, attemptsMax: 2 } }));
      expect([twice.status, (await told(twice.runId)).filter((kind) => kind === "retry").length]).toEqual([
        "timed_out",
        1,
      ]);
      for (const code of ["throw new Error('no')", "for (;;);"]) {
        const once = await run(javascript(code, { limits, retry: { attemptsMax: 3, backoffMs: 0 } }));
        expect(await told(once.runId)).not.toContain("retry");
      }
    });

    test(`is not when it was rejected before it began (${backend})`, async () => {
      const result = await run(javascript("return <<secrets.none>>", { retry: failure }));
      expect(result).toMatchObject({ status: "rejected", error: { code: "ERR_SECRET_UNKNOWN" } });
      expect(await told(result.runId)).toEqual(["error", "finished"]);
    });

    test(`is not once it is cancelled, in an attempt or between two (${backend})`, async () => {
      const { service, projectId } = stepvault;
      const running = await service.submit({
        projectId,
        step: javascript("await new Promise((r) => setTimeout(r, 30000))", { retry: failure }),
      });
      await expect.poll(async () => await told(running), { timeout: 20_000 }).toContain("started 1");
      await service.cancel(projectId, running);
      expect(await service.result(projectId, running, 10_000)).toMatchObject({ status: "cancelled" });
      expect(await told(running)).toEqual(["started 1", "error", "finished"]);
      const between = await service.submit({
        projectId,
        step: javascript("throw new Error('no')", { retry: { ...failure, backoffMs: 3_600_000 } }),
      });
      await expect.poll(async () => await told(between), { timeout: 20_000 }).toContain("retry");
      await service.cancel(projectId, between);
      expect(await service.result(projectId, between, 10_000)).toMatchObject({ status: "cancelled" });
      expect(await told(between)).toEqual(["started 1", "retry", "error", "finished"]);
    });

    test(`runs the version that it began with, and goes by what that one says (${backend})`, async () => {
      const { service, projectId } = stepvault;
      const save = async (step: StepInput, id?: string): Promise<string> =>
        (await service.steps.save({ projectId, id, name: "Changing", step })).id;
      const again = { ...failure, attemptsMax: 2, backoffMs: 1_500 };
      const retried = await save(javascript("throw new Error('one')", { retry: again }));
      const slow = "await new Promise((r) => setTimeout(r, 1500)); throw new Error('one')";
      const once = await save(javascript(slow));
      const [first, second] = [
        await service.submit({ projectId, step: { id: retried } }),
        await service.submit({ projectId, step: { id: once } }),
      ];
      await expect.poll(async () => await told(first), { timeout: 20_000 }).toContain("retry");
      await expect.poll(async () => await told(second), { timeout: 20_000 }).toContain("started 1");
      await save(javascript("return 'two'"), retried);
      await save(javascript("return 'two'", { retry: again }), once);
      expect(await service.result(projectId, first, 20_000)).toMatchObject({ status: "failed" });
      expect(await told(first)).toEqual(["started 1", "retry", "started 2", "error", "finished"]);
      expect(await service.result(projectId, second, 20_000)).toMatchObject({ status: "failed" });
      expect(await told(second)).toEqual(["started 1", "error", "finished"]);
    });

    test(`is by a saved step's own word, and its need is met by the attempt that succeeds (${backend})`, async () => {
      const { service, projectId } = stepvault;
      const code = "if (Date.now() < params.from) throw new Error('not yet'); return 'done'";
      const step = javascript(code, { retry: { attemptsMax: 10, backoffMs: 1_000, on: "failure" } });
      const { id } = await service.steps.save({ projectId, name: "Flaky", step });
      const first = await service.submit({ projectId, step: { id }, params: { from: Date.now() + 6_000 } });
      const next = await service.submit({ projectId, step: javascript("return steps.first"), after: { first } });
      expect(await service.result(projectId, next, 30_000)).toMatchObject({ status: "succeeded", output: "done" });
      expect((await told(first)).at(-1)).toBe("finished");
      expect(await told(first)).toContain("retry");
    });
  });
}
