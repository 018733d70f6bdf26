/** What the table says of one error code: whose fault it is, what happened and how to mend it, for people and for docs. */

/** `user`: the step or its caller can mend it. `limit`: a named limit was reached. `system`: ours, worth an alert. */
export type Fault = "user" | "limit" | "system";

export interface ErrorCodeEntry {
  readonly fault: Fault;
  /** What happened, one sentence, for docs/errors.md. */
  readonly meaning: string;
  /** What to do about it, one sentence, for docs/errors.md. */
  readonly mend: string;
}
