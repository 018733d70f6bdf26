/**
 * The id of a run that is submitted with the header Idempotency-Key: made of the key, who sent it and the project, so that the
 * same request again is the same run, and no table of keys is needed.
 */
import { hashedId } from "../protocol/ids.ts";
import type { Principal } from "./principal.ts";

/** Undefined without a key. `place` is the run's in a batch. */
export function keyedRunId(
  projectId: string,
  { id }: Pick<Principal, "id">,
  ...[key, place = -1]: [string | undefined, number?]
): string | undefined {
  return key === undefined ? undefined : hashedId("run", projectId, id, key, String(place));
}
