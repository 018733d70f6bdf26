/**
 * Errors of the API's own making: besides a code and a message they carry the places of the request that are wrong, and
 * headers that belong to the answer. Everything else that is thrown is answered by its code alone.
 */
import { StepvaultError } from "../protocol/error.ts";
import type { ErrorCode } from "../protocol/error.ts";

/** One place of a request that does not match its schema. */
export interface Mismatch {
  /** JSON pointer into { path, query, headers, body }; it holds names of the schema only. */
  readonly pointer: string;
  readonly detail: string;
}

export interface RefusalOptions {
  readonly errors?: readonly Mismatch[];
  readonly headers?: Readonly<Record<string, string>>;
}

export class Refusal extends StepvaultError {
  readonly errors: readonly Mismatch[] | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ErrorCode, message: string, { errors, headers = {} }: RefusalOptions = {}) {
    super(code, message);
    this.errors = errors;
    this.headers = headers;
  }
}
