/**
 * Runs as the HTTP API takes and shows them. The schemas of what is shown are the types of job.ts again, in zod, so that the
 * OpenAPI document has them; test/protocol/http-runs.test.ts compares the two. Imports nothing of ours beyond protocol/.
 */
import { z } from "zod";
import { languages, jobSchema, runStatuses, type RunResult } from "../job.ts";
import { givenRunIdSchema } from "../ids.ts";
import { givenId, moment, pageOf, pageQuery, shownId } from "./common.ts";

const faults = ["user", "limit", "system"] as const;
/** Any JSON. Not checked again on its way out, as it may be as deep as JSON can be. */
const json = z.any().meta({ description: "Any JSON" });
const errorCode = z.string().regex(/^ERR_[A-Z0-9_]+$/) as unknown as z.ZodType<NonNullable<RunResult["error"]>["code"]>;

export const runParams = z.strictObject({ projectId: givenId, runId: givenId });

const statuses = ["queued", "running", ...runStatuses] as const;

const runErrorSchema = z
  .object({
    code: errorCode,
    fault: z.enum(faults),
    message: z.string(),
    line: z.int().optional(),
    column: z.int().optional(),
    excerpt: z.string().optional(),
    stack: z.string().optional(),
  })
  .meta({ id: "RunError" });

export const runResultSchema = z
  .object({
    runId: shownId,
    name: z.string().optional(),
    status: z.enum(runStatuses),
    output: json.optional(),
    error: runErrorSchema.optional(),
    usage: z.object({
      queueMs: z.number(),
      wallMs: z.number(),
      cpuMs: z.number(),
      memoryPeakBytes: z.number(),
      stdoutBytes: z.number(),
      logEntries: z.number(),
      requests: z.number(),
    }),
    redactions: z.array(z.object({ secret: z.string(), count: z.number(), forms: z.record(z.string(), z.number()) })),
  })
  .meta({ id: "RunResult", description: "How a run ended; everything in it has been redacted" });

const runSummaryShape = {
  id: shownId,
  projectId: shownId,
  status: z.enum(statuses),
  language: z.enum(languages).nullable(),
  stepId: shownId.nullable(),
  labels: z.record(z.string(), z.string()),
  attempt: z.int(),
  createdAt: moment,
  runAt: moment.nullable().describe("Not before this time"),
  startedAt: moment.nullable(),
  endedAt: moment.nullable(),
  cancelRequestedAt: moment.nullable(),
  submittedBy: z.object({ kind: z.string(), id: z.string() }).nullable(),
};

const runSummarySchema = z.object(runSummaryShape).meta({ id: "RunSummary" });
export const runSchema = z.object({ ...runSummaryShape, result: runResultSchema.nullable() }).meta({ id: "Run" });
export const runPage = pageOf(runSummarySchema, "RunPage");

/** The body of a submission: a job without its project, which is in the path. */
export const runInputSchema = jobSchema
  .omit({ projectId: true })
  .extend({ runId: givenRunIdSchema.optional() })
  .meta({
    id: "RunInput",
    examples: [{ step: { language: "javascript", code: "return params.city.length" }, params: { city: "Bern" } }],
  });

export const batchSchema = z
  .strictObject({ runs: z.array(runInputSchema).min(1).max(1_000) })
  .meta({ id: "RunBatch", description: "Runs that are submitted together, all or none; `after` may name one of them" });

export const submittedSchema = z
  .object({
    runId: shownId,
    created: z.boolean().describe("False when a run with this id was submitted before"),
    status: z.enum(statuses),
    result: runResultSchema.nullable().describe("null while the run has not ended"),
  })
  .meta({ id: "SubmittedRun" });

export const submittedBatchSchema = z
  .object({ runs: z.array(z.object({ runId: shownId, created: z.boolean() })) })
  .meta({ id: "SubmittedBatch" });

const waitSecondsMax = 60;
const seconds = z.coerce.number().int().min(0).max(waitSecondsMax);

export const submitQuery = z.strictObject({
  wait: seconds.default(0).describe("How long to wait for the run's end, seconds"),
});

export const runQuery = z.strictObject({
  wait: seconds.default(0).describe("How long to wait for the run's end, if it has not come, seconds"),
});

/** `label=agentId:x`, as often as needed. */
const labelFilter = z
  .string()
  .regex(/^[^:]{1,100}:[^]{0,1000}$/, "NAME:VALUE")
  .refine((text) => !text.includes("\0"), "text without NUL");
const several = <Item extends z.ZodType>(item: Item): z.ZodUnion<[z.ZodArray<Item>, Item]> =>
  z.union([z.array(item).max(20), item]);

export const runListQuery = z.strictObject({
  ...pageQuery.shape,
  status: several(z.enum(statuses)).optional().describe("Runs in this state; may be given several times"),
  stepId: givenId.optional(),
  label: several(labelFilter).optional().describe("Runs with this label, NAME:VALUE; may be given several times"),
  createdAfter: moment.optional(),
  createdBefore: moment.optional(),
});

export const eventsQuery = z.strictObject({
  after: z
    .string()
    .regex(/^\d{1,10}$/)
    .optional()
    .describe("The number of the last event that was seen; the header Last-Event-ID goes before it"),
});

export const eventPageQuery = z.strictObject({
  after: eventsQuery.shape.after,
  limit: z.coerce.number().int().min(1).max(1_000).default(1_000),
});

const eventShape = { runId: shownId, seq: z.int(), time: z.iso.datetime() };
const requestShape = { method: z.string(), host: z.string() };

export const runEventSchema = z
  .discriminatedUnion("kind", [
    z.object({ ...eventShape, kind: z.literal("started"), attempt: z.int().optional() }),
    z.object({ ...eventShape, kind: z.enum(["stdout", "stderr"]), text: z.string() }),
    z.object({
      ...eventShape,
      kind: z.literal("log"),
      level: z.enum(["debug", "info", "warn", "error"]),
      message: z.string(),
      fields: json.optional(),
    }),
    z.object({
      ...eventShape,
      kind: z.literal("request"),
      ...requestShape,
      path: z.string(),
      rule: z.string().nullable(),
      status: z.number().nullable(),
      bytesSent: z.number(),
      bytes: z.number(),
      headersMs: z.number().nullable(),
      ms: z.number(),
      secrets: z.array(z.string()),
    }),
    z.object({
      ...eventShape,
      kind: z.literal("security"),
      ...requestShape,
      action: z.enum(["blocked", "reported"]),
      reason: z.enum(["host", "place", "transport", "redirect"]),
      secrets: z.array(z.string()),
    }),
    z.object({ ...eventShape, kind: z.literal("retry"), attempt: z.int(), delayMs: z.number(), error: runErrorSchema }),
    z.object({ ...eventShape, kind: z.literal("output"), output: json }),
    z.object({ ...eventShape, kind: z.literal("error"), error: runErrorSchema }),
    z.object({ ...eventShape, kind: z.literal("finished"), status: z.enum(runStatuses) }),
  ])
  .meta({ id: "RunEvent", description: "What happened in a run; all text has been redacted" });

export const eventPageSchema = z
  .object({ data: z.array(runEventSchema), pagination: z.object({ after: z.int().optional(), hasMore: z.boolean() }) })
  .meta({ id: "RunEventPage" });

export const outputSchema = z.object({ output: json }).meta({ id: "RunOutput" });
