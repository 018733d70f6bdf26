/** The errors that every binding raises about references, in one wording. Imports protocol only. */
import { type Position, StepvaultError } from "../../protocol/error.ts";
import { payloadLimits } from "../../protocol/limits.ts";

/** A reference that stands neither in a string nor as an expression. */
export function referencePositionError(name: string, position: Position): StepvaultError {
  const message = `Cannot bind the reference to secret "${name}": it is neither in a string nor an expression of its own`;
  return new StepvaultError("ERR_REFERENCE_POSITION", message, { position });
}

/** Throws when there are more references than one step may hold. */
export function checkReferenceCount(count: number): void {
  if (count <= payloadLimits.referencesMax) return;
  const figures = `${count} references of at most ${payloadLimits.referencesMax}`;
  throw new StepvaultError("ERR_REFERENCE_COUNT", `Cannot bind the step: ${figures}`);
}

/** The value of a secret; a missing one is an error, never an empty string. */
export function requireValue(values: ReadonlyMap<string, string>, name: string): string {
  const value = values.get(name);
  if (value === undefined) {
    throw new StepvaultError("ERR_SECRET_UNKNOWN", `Cannot bind the secret "${name}": it has no value here`);
  }
  return value;
}
