/** What a project may use and how long it keeps runs, as the HTTP API takes and shows it. Imports nothing of ours beyond protocol/. */
import { z } from "zod";

const figure = (max: number, what: string): z.ZodNullable<z.ZodInt> =>
  z.int().min(1).max(max).nullable().describe(`${what}; null: what holds in the whole deployment`);

const limits = {
  runsAtOnceMax: figure(1_000_000, "Runs that are with workers at the same time; others wait"),
  runsPerMinuteMax: figure(1_000_000, "Runs that may be submitted in a minute"),
  retentionDays: figure(3_650, "Days that ended runs and their events are kept"),
  retentionBytesMax: figure(Number.MAX_SAFE_INTEGER, "Bytes of events of ended runs; the oldest go first"),
};

export const projectLimitsSchema = z.object(limits).meta({ id: "ProjectLimits" });
export const projectLimitsInput = z.strictObject(limits).meta({
  id: "ProjectLimitsInput",
  examples: [{ runsAtOnceMax: 10, runsPerMinuteMax: 600, retentionDays: 90, retentionBytesMax: null }],
});
