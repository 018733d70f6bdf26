/**
 * The outputs of runs that a run waited for, as its step finds them in `steps`: of runs that it named, and of the jobs below
 * it in a flow of BullMQ. One that did not succeed is an error: a step never starts with a part of what it needs.
 */
import { StepvaultError } from "../protocol/error.ts";
import type { Json } from "../protocol/job.ts";

/** Throws ERR_NEED_FAILED. Those without a name are needed, and their outputs are nowhere. */
export function outputsOf(results: readonly unknown[]): Record<string, Json> {
  const outputs: [string, Json][] = [];
  for (const result of results) {
    const { name, status, output } = (result ?? {}) as { name?: unknown; status?: unknown; output?: Json };
    if (status !== "succeeded") {
      const which = typeof name === "string" ? `, ${name},` : "";
      const how = typeof status === "string" && /^[a-z_]{1,30}$/.test(status) ? status : "unknown";
      throw new StepvaultError("ERR_NEED_FAILED", `Cannot start the run: a run that it needs${which} ended as ${how}`);
    }
    if (typeof name === "string") outputs.push([name, output ?? null]);
  }
  // Not by assignment: a name may be `__proto__`.
  return Object.fromEntries(outputs);
}
