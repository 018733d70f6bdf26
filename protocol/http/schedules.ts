/** Schedules as the HTTP API takes and shows them. Imports nothing of ours beyond protocol/. */
import { z } from "zod";
import { jobSchema } from "../job.ts";
import { givenId, moment, pageOf, shownId, textSchema } from "./common.ts";

export const scheduleParams = z.strictObject({ projectId: givenId, scheduleId: givenId });

export const scheduleInputSchema = z
  .strictObject({
    name: textSchema({ charactersMax: 200 }),
    cron: z.string().min(1).max(200).describe("Minute, hour, day of month, month, day of week"),
    timeZone: z.string().min(1).max(100).default("UTC").describe("An IANA name such as Europe/Zurich"),
    job: jobSchema.omit({ projectId: true, runId: true, runAt: true, delayMs: true, after: true }),
    enabled: z.boolean().default(true),
  })
  .meta({
    id: "ScheduleInput",
    examples: [
      {
        name: "Every morning",
        cron: "0 7 * * 1-5",
        timeZone: "Europe/Zurich",
        job: { step: { language: "javascript", code: "return new Date().toISOString()" } },
      },
    ],
  });

export const scheduleSchema = z
  .object({
    id: shownId,
    projectId: shownId,
    name: z.string(),
    cron: z.string(),
    timeZone: z.string(),
    job: z.any().meta({ description: "As it was given" }),
    enabled: z.boolean(),
    nextAt: moment,
    lastDueAt: moment.nullable(),
    lastRunId: shownId.nullable(),
    lastErrorCode: z.string().nullable().describe("Why the last submission was refused"),
    createdBy: z.object({ kind: z.string(), id: z.string() }),
    createdAt: moment,
    updatedAt: moment,
  })
  .meta({ id: "Schedule" });
export const schedulePage = pageOf(scheduleSchema, "SchedulePage");
