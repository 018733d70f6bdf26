/**
 * What is wrong with a text of secrets: everything at once, each by line or entry and rule, never by what stands there, as
 * somebody may have pasted a key anywhere. Names are told by their length. Knows neither of the formats.
 */
import { type ErrorCode, StepvaultError } from "../../protocol/error.ts";

export interface SecretsFault {
  /** `line 3` of `.env` lines, `entry 3` of JSON, `text` for the whole. */
  readonly place: string;
  readonly code: ErrorCode;
  readonly rule: string;
}

/** An entry as it was read, before its name, value and policy are looked at. */
export interface WrittenEntry {
  readonly name: string;
  readonly value: string;
  readonly place: string;
  /** The fields that stood beside the value. */
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface WrittenText {
  readonly written: readonly WrittenEntry[];
  readonly faults: readonly SecretsFault[];
}

const faultsShownMax = 10;

/** Nothing when there is none. Throws a single fault under its own code, several as ERR_SECRETS_TEXT_INVALID. */
export function throwSecretsFaults(faults: readonly SecretsFault[], action: string): void {
  const [only] = faults;
  if (only === undefined) return;
  const told = faults.slice(0, faultsShownMax).map(({ place, rule }) => `${place}: ${rule}`);
  if (faults.length === 1) throw new StepvaultError(only.code, `Cannot ${action}: ${told.join("")}`);
  const more = faults.length - told.length;
  if (more > 0) told.push(`and ${more} more`);
  throw new StepvaultError("ERR_SECRETS_TEXT_INVALID", `Cannot ${action}: ${faults.length} faults: ${told.join("; ")}`);
}
