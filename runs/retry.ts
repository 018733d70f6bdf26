/** Tries a statement again while PostgreSQL is away: a restart or a failover must not lose a run's end. */
import { setTimeout as sleep } from "node:timers/promises";
import { StepvaultError } from "../protocol/error.ts";

/** A minute in all, besides the time that the tries themselves take. */
const pausesMs = [100, 300, 1_000, 3_000, ...Array.from({ length: 11 }, () => 5_000)];

/** Runs `work`, and again after a pause for as long as it throws ERR_DATABASE; `work` must not mind being repeated. */
export async function retryDatabase<T>(work: () => Promise<T>): Promise<T> {
  for (const pauseMs of pausesMs) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StepvaultError && error.code === "ERR_DATABASE")) throw error;
      await sleep(pauseMs);
    }
  }
  return await work();
}
