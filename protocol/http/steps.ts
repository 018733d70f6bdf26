/** Saved steps as the HTTP API takes and shows them. Imports nothing of ours beyond protocol/. */
import { z } from "zod";
import { adHocStepSchema, languages, networkPolicySchema, retrySchema } from "../job.ts";
import { jsonObjectSchema, jsonSchema } from "../json.ts";
import { stepLimitsSchema } from "../limits.ts";
import { givenId, moment, pageOf, pageQuery, shownId, textSchema } from "./common.ts";

export const stepParams = z.strictObject({ projectId: givenId, stepId: givenId });
const versionNumber = z.coerce
  .number()
  .int()
  .min(1)
  .max(2 ** 31 - 1);
export const stepVersionParams = z.strictObject({ ...stepParams.shape, version: versionNumber });

/** JSON of which nothing is known but its size. */
const jsonObject = jsonObjectSchema.refine(
  (value) => JSON.stringify(value).length <= 65_536,
  "JSON of at most 65536 characters",
);

export const stepInputSchema = z
  .strictObject({
    name: textSchema({ charactersMax: 200 }),
    description: textSchema({ charactersMax: 2_000 })
      .optional()
      .describe("What it does, for those who may call it, models too"),
    paramsSchema: jsonObject
      .optional()
      .describe("A JSON Schema of its params, for those who call it; nothing is checked by it"),
    step: adHocStepSchema,
    checked: z
      .boolean()
      .default(false)
      .describe("Whether to save it only if every reference to a secret would resolve"),
    publish: z.boolean().default(false).describe("Whether to publish the version at once"),
  })
  .meta({
    id: "StepInput",
    examples: [{ name: "Count letters", step: { language: "javascript", code: "return params.text.length" } }],
  });

export const savedStepSchema = z.object({ id: shownId, version: z.int() }).meta({ id: "SavedStep" });

export const stepSchema = z
  .object({
    id: shownId,
    projectId: shownId,
    name: z.string(),
    description: z.string().nullable(),
    language: z.enum(languages),
    version: z.int().describe("The newest"),
    publishedVersion: z.int().nullable().describe("The one that runs when none is named; null: the newest does"),
    createdAt: moment,
    updatedAt: moment,
  })
  .meta({ id: "Step" });
export const stepPage = pageOf(stepSchema, "StepPage");

export const stepListQuery = z.strictObject({
  ...pageQuery.shape,
  published: z.stringbool().optional().describe("Only those that are published"),
});

export const stepVersionSchema = z
  .object({
    id: shownId,
    version: z.int(),
    name: z.string(),
    description: z.string().nullable(),
    paramsSchema: z.record(z.string(), z.any()).nullable(),
    language: z.enum(languages),
    code: z.string(),
    inputs: z.record(z.string(), z.any()).nullable(),
    limits: stepLimitsSchema.nullable(),
    network: networkPolicySchema.nullable(),
    retry: retrySchema.nullable(),
    createdAt: moment,
    createdBy: z.object({ kind: z.string(), id: z.string() }).nullable(),
  })
  .meta({ id: "StepVersion" });
export const stepVersionPage = pageOf(stepVersionSchema, "StepVersionPage");

export const publishSchema = z
  .strictObject({
    version: z
      .int()
      .min(1)
      .max(2 ** 31 - 1)
      .nullable()
      .describe("null: none is published any more"),
  })
  .meta({ id: "Publication" });

export const stepTestSchema = z
  .strictObject({
    version: z
      .int()
      .min(1)
      .max(2 ** 31 - 1)
      .optional(),
    params: jsonSchema.optional(),
  })
  .meta({ id: "StepTest" });

export const stepCheckInput = z.strictObject({ step: adHocStepSchema, id: givenId.optional() }).meta({
  id: "StepCheckInput",
});
export const stepCheckSchema = z
  .object({
    references: z.int().describe("How many references to secrets the step has"),
    failures: z.array(
      z.object({
        name: z.string(),
        line: z.int().optional(),
        column: z.int().optional(),
        code: z.string(),
        why: z.string(),
      }),
    ),
    summary: z.string().describe("Empty when nothing would fail"),
  })
  .meta({ id: "StepCheck" });
