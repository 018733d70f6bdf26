/** What went wrong, as a code and a message for whoever called: nothing of an unexpected error's own text, which may quote. */
import { StepvaultApiError, StepvaultClientError } from "../client/client.ts";
import { type ErrorCode, errorCodes, StepvaultError, toStepvaultError } from "../protocol/error.ts";

/** Any thrown thing as an error with a code of docs/errors.md. */
export function failureOf(error: unknown): StepvaultError {
  if (error instanceof StepvaultClientError) return new StepvaultError(error.code, error.message);
  if (!(error instanceof StepvaultApiError)) return toStepvaultError(error);
  const { code, status, detail, title } = error;
  const known = code !== undefined && Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : "ERR_CLIENT_ANSWER";
  return new StepvaultError(known, detail ?? title ?? `Cannot use the API's answer: its status is ${status}`);
}

/** Whether the key is good for nothing here any more, and not only for a while. */
export function isRefusal(error: unknown): boolean {
  return error instanceof StepvaultApiError && [401, 403, 404].includes(error.status);
}
