/** What the API shows of runs is what the rest of the program calls so: schemas and types are compared by the compiler. */
import { expect, expectTypeOf, test } from "vitest";
import type { z } from "zod";
import { batchSchema, runEventSchema, runInputSchema, runResultSchema } from "../../protocol/http/runs.ts";
import { createId, hashedId } from "../../protocol/ids.ts";
import type { RunEvent, RunResult } from "../../protocol/job.ts";

test("a run's result and events are those of the job's contract", () => {
  expectTypeOf<z.output<typeof runEventSchema>["kind"]>().toEqualTypeOf<RunEvent["kind"]>();
  expectTypeOf<RunEvent>().toExtend<z.input<typeof runEventSchema>>();
  expectTypeOf<RunResult>().toExtend<z.input<typeof runResultSchema>>();
  expectTypeOf<z.output<typeof runResultSchema>["usage"]>().toEqualTypeOf<RunResult["usage"]>();
  // What the compiler has seen holds for what is there, too.
  const event = { runId: crypto.randomUUID(), seq: 0, time: new Date().toISOString(), kind: "started" };
  expect(runEventSchema.parse(event)).toEqual(event);
  const usage = { queueMs: 0, wallMs: 0, cpuMs: 0, memoryPeakBytes: 0, stdoutBytes: 0, logEntries: 0, requests: 0 };
  const result = { runId: event.runId, status: "succeeded", output: [1], usage, redactions: [] };
  expect(runResultSchema.parse(result)).toEqual(result);
});

test("a caller's run id is none that Stepvault could make for somebody else, and may be needed all the same", () => {
  const step = { language: "javascript", code: "" };
  const made = hashedId("schedule", createId(), new Date().toISOString());
  for (const runId of [createId(), crypto.randomUUID(), "6ba7b810-9dad-51d1-80b4-00c04fd430c8"])
    expect(runInputSchema.parse({ step, runId, after: { made } })).toMatchObject({ runId, after: { made } });
  for (const runId of [made, made.toUpperCase()]) {
    const refused = [
      runInputSchema.safeParse({ step, runId }).error,
      batchSchema.safeParse({ runs: [{ step, runId }] }).error,
    ];
    for (const error of refused)
      expect(error?.issues.map(({ path, message }) => [path.at(-1), message])).toEqual([
        ["runId", "a UUID of another version than 8, which Stepvault gives to runs that come without an id"],
      ]);
  }
});

test("a batch of more runs than are allowed is refused unread", () => {
  const step = { language: "javascript", code: "" };
  expect(batchSchema.parse({ runs: Array.from({ length: 1_000 }, () => ({ step })) }).runs).toHaveLength(1_000);
  const runs = Array.from({ length: 1_001 }, () => ({ step: 1 }));
  expect(batchSchema.safeParse({ runs }).error?.issues).toMatchObject([{ path: ["runs"], code: "too_big" }]);
});
