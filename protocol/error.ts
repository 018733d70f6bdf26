/**
 * The one shape of every error that leaves a part of Stepvault: a stable code, whose fault it is, and a message that
 * names the action, the object and the figures, never a value or source text. Codes live in one table, so that
 * docs/errors.md, HTTP statuses and tests all read the same list. Imports nothing of ours
 * beyond this folder.
 */
import type { Fault } from "./error-entry.ts";
import { runErrors } from "./run-errors.ts";
import { vaultErrors } from "./vault-errors.ts";

export type { Fault } from "./error-entry.ts";

/** Every code, once. */
export const errorCodes = { ...runErrors, ...vaultErrors };

export type ErrorCode = keyof typeof errorCodes;

/** Where in the step's code an error lies: line from 1, column from 1, in UTF-16 units of the line. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface StepvaultErrorOptions {
  readonly position?: Position | undefined;
  /** The guest's stack, user frames only; a run redacts it before it is stored. */
  readonly guestStack?: string | undefined;
  readonly cause?: unknown;
}

/** An error with a stable `code` and `fault`. `message` is "Cannot <action> <object>: <figures>", never a value. */
export class StepvaultError extends Error {
  readonly code: ErrorCode;
  readonly fault: Fault;
  readonly position: Position | undefined;
  readonly guestStack: string | undefined;

  constructor(code: ErrorCode, message: string, options: StepvaultErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "StepvaultError";
    this.code = code;
    this.fault = errorCodes[code].fault;
    this.position = options.position;
    this.guestStack = options.guestStack;
  }
}

/** Any thrown thing as a StepvaultError: itself, or ERR_INTERNAL with the original as `cause` and nothing of its text. */
export function toStepvaultError(error: unknown): StepvaultError {
  if (error instanceof StepvaultError) return error;
  return new StepvaultError("ERR_INTERNAL", "Cannot finish: an unexpected error; see the service's log", {
    cause: error,
  });
}
