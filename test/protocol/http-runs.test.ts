/** What the API shows of runs is what the rest of the program calls so: schemas and types are compared by the compiler. */
import { expect, expectTypeOf, test } from "vitest";
import type { z } from "zod";
import { runEventSchema, runResultSchema } from "../../protocol/http/runs.ts";
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
