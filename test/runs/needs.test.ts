/**
 * Runs that wait, for a time or for other runs, with a real worker on both backends of the queue: they begin when they may, find
 * the outputs of those that they needed, and do not begin when one of these did not succeed.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import type { JobInput, RunResult } from "../../protocol/job.ts";
import { backends, javascript, openBackend, type OpenedBackend } from "./backends.ts";

for (const backend of backends) {
  describe(`a run that waits, on ${backend}`, () => {
    let stepvault: OpenedBackend;
    beforeAll(async () => {
      stepvault = await openBackend(backend);
    });
    afterAll(async () => await stepvault?.close());

    const submit = async (code: string, more: Partial<JobInput> = {}): Promise<string> =>
      await stepvault.service.submit({ projectId: stepvault.projectId, step: javascript(code), ...more });
    const result = async (runId: string): Promise<RunResult> =>
      await stepvault.service.result(stepvault.projectId, runId, 30_000);
    const timesOf = async (runId: string) => await stepvault.service.runs.get(stepvault.projectId, runId);

    test(`for a while begins after it, and not much later (${backend})`, async () => {
      const runIds = [
        await submit("return 1", { delayMs: 1_500 }),
        await submit("return 2", { runAt: new Date(Date.now() + 1_500).toISOString() }),
      ];
      for (const runId of runIds) {
        expect((await result(runId)).status).toBe("succeeded");
        const { createdAt, startedAt } = await timesOf(runId);
        const waitedMs = startedAt!.getTime() - createdAt.getTime();
        expect(waitedMs).toBeGreaterThanOrEqual(1_400);
        expect(waitedMs).toBeLessThan(5_000);
      }
    });

    test(`for a time that has passed begins at once (${backend})`, async () => {
      const runId = await submit("return 3", { runAt: "2020-01-01T00:00:00+02:00" });
      expect(await result(runId)).toMatchObject({ status: "succeeded", output: 3 });
    });

    test(`for a while is cancelled in it, and never begins (${backend})`, async () => {
      const runId = await submit("return 1", { delayMs: 1_200 });
      expect(await stepvault.service.cancel(stepvault.projectId, runId)).toBe(true);
      expect(await result(runId)).toMatchObject({ status: "cancelled" });
      await sleep(1_800);
      expect((await stepvault.events(runId)).map(({ kind }) => kind)).toEqual(["error", "finished"]);
    });

    test(`for others finds their outputs in steps, over a diamond of them submitted at once (${backend})`, async () => {
      const [top, left, right, bottom] = [createId(), createId(), createId(), createId()];
      const of = (runId: string, code: string, after?: Record<string, string>): JobInput => ({
        projectId: stepvault.projectId,
        step: javascript(code),
        runId,
        ...(after === undefined ? {} : { after }),
      });
      await stepvault.service.runs.submitBatch([
        of(bottom, "return [steps.left, steps.right, Object.keys(steps).sort()]", { left: left, right: right }),
        of(left, "return steps.top + 1", { top: top }),
        of(right, "return steps.top + 2", { top: top }),
        of(top, "return 10"),
      ]);
      expect(await result(bottom)).toMatchObject({ status: "succeeded", output: [11, 12, ["left", "right"]] });
      const [one, last] = [await timesOf(top), await timesOf(bottom)];
      expect(last.startedAt!.getTime()).toBeGreaterThanOrEqual(one.endedAt!.getTime());
    });

    test(`for one that has ended begins at once; what the caller gives itself stands before it (${backend})`, async () => {
      const needed = await submit("return { list: [1, 'two'] }");
      await result(needed);
      const runId = await submit("return steps", { after: { a: needed, b: needed }, steps: { b: "mine", c: 1 } });
      expect((await result(runId)).output).toEqual({ a: { list: [1, "two"] }, b: "mine", c: 1 });
    });

    test(`for names that mean something to JavaScript gets outputs and nothing else (${backend})`, async () => {
      const needed = await submit("return 5");
      const after = { constructor: needed, toString: needed, hasOwnProperty: needed };
      const code =
        "return [steps.constructor, steps.toString, steps.hasOwnProperty, ({}).toString === 5, Object.keys(steps).sort()]";
      expect((await result(await submit(code, { after }))).output).toEqual([5, 5, 5, false, Object.keys(after).sort()]);
    });

    test(`for one that fails, is rejected or is cancelled is rejected itself, and so are those behind it (${backend})`, async () => {
      const failing = await submit("await new Promise((r) => setTimeout(r, 300)); throw new Error('sk-in-message')");
      const rejected = await submit("return <<secrets.none>>");
      const cancelled = await submit("return 1", { delayMs: 60_000 });
      for (const [needed, how] of [
        [failing, "failed"],
        [rejected, "rejected"],
        [cancelled, "cancelled"],
      ] as const) {
        const next = await submit("return 1", { after: { first: needed } });
        const last = await submit("return 1", { after: { second: next } });
        if (needed === cancelled) await stepvault.service.cancel(stepvault.projectId, cancelled);
        const told = await result(next);
        expect(told).toMatchObject({ status: "rejected", error: { code: "ERR_NEED_FAILED" } });
        expect(told.error?.message).toBe(`Cannot start the run: a run that it needs, first, ended as ${how}`);
        expect(await result(last)).toMatchObject({ status: "rejected", error: { code: "ERR_NEED_FAILED" } });
        expect((await stepvault.events(last)).map(({ kind }) => kind)).toEqual(["error", "finished"]);
      }
    });

    test(`for one that is no longer kept is rejected: no step starts with a part of what it needs (${backend})`, async () => {
      const needed = await submit("return 1");
      await result(needed);
      const runId = await submit("return steps", { after: { needed }, delayMs: 700 });
      await stepvault.service.database.query("delete from runs where id = $1", [needed]);
      expect(await result(runId)).toMatchObject({ status: "rejected", error: { code: "ERR_NEED_FAILED" } });
    });
  });
}
