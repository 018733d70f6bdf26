/**
 * What went wrong, as application/problem+json: one shape for all of it, from a wrong byte on the socket to a bug. What is
 * told is our own text about the caller's part; of a fault on our side only the code's meaning. Nothing of a request is
 * repeated in an answer.
 */
import { STATUS_CODES } from "node:http";
import type { Problem } from "../protocol/http/common.ts";
import { httpStatusOf } from "../protocol/http/statuses.ts";
import { type ErrorCode, errorCodes, StepvaultError, toStepvaultError } from "../protocol/error.ts";
import { Refusal } from "./refusal.ts";

export const problemType = "application/problem+json";

export interface ProblemAnswer {
  readonly problem: Problem;
  readonly headers: Readonly<Record<string, string>>;
  /** The error that it was made from. */
  readonly error: StepvaultError;
}

/** What HTTP wants besides; how long to wait is a guess where nobody said. */
const headersByStatus: Readonly<Record<number, Record<string, string>>> = {
  401: { "www-authenticate": 'Bearer realm="stepvault"' },
  429: { "retry-after": "5" },
  503: { "retry-after": "1" },
};

/** An answer for anything that was thrown. */
export function problemOf(thrown: unknown, requestId: string): ProblemAnswer {
  const error = known(thrown);
  const status = httpStatusOf(error.code);
  const { errors, headers = {} } = error instanceof Refusal ? error : {};
  return {
    error,
    headers: { ...headersByStatus[status], ...headers },
    problem: {
      type: "about:blank",
      title: STATUS_CODES[status] ?? "Error",
      status,
      detail: status >= 500 ? errorCodes[error.code].meaning : error.message,
      instance: `urn:stepvault:request:${requestId}`,
      code: error.code,
      requestId,
      ...(errors === undefined ? {} : { errors: errors.map(({ pointer, detail }) => ({ pointer, detail })) }),
    },
  };
}

/** What the log gets of an error: no message that we did not write, as it may quote what somebody sent. */
export function loggedOf(error: StepvaultError): Record<string, unknown> {
  const { cause } = error;
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  return {
    code: error.code,
    detail: error.message,
    kind: cause instanceof Error ? cause.name : undefined,
    // SQLSTATEs, errnos and Fastify's codes.
    reason: typeof code === "string" && /^[A-Z0-9_]{1,60}$/.test(code) ? code : undefined,
    frames: framesOf(cause instanceof Error ? cause : error),
  };
}

function framesOf({ stack = "" }: Error): string[] {
  return stack.split("\n").filter((line) => /^ {4}at [^\n]*$/.test(line));
}

const fastifyCodes: Readonly<Record<string, [ErrorCode, string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ["ERR_BODY_TOO_LARGE", "Cannot read the request: its body is too large"],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ["ERR_BODY_TYPE", "Cannot read the request: its body must be application/json"],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [
    "ERR_REQUEST_INVALID",
    "Cannot read the request: its body is not as long as Content-Length says",
  ],
  FST_ERR_BAD_URL: ["ERR_REQUEST_INVALID", "Cannot read the request: its path is not percent-encoded UTF-8"],
  FST_ERR_MAX_PARAM_LENGTH: ["ERR_REQUEST_INVALID", "Cannot read the request: a part of its path is too long"],
};

/** What PostgreSQL says of text that it cannot hold: NUL, and halves of characters in JSON. */
const textStates = new Set(["22021", "22P05"]);

function known(thrown: unknown): StepvaultError {
  if (thrown instanceof StepvaultError)
    return isTextFault(thrown) ? unreadable("it holds text that is not Unicode, or NUL") : thrown;
  const { code, statusCode } = (thrown ?? {}) as { code?: unknown; statusCode?: unknown };
  const entry = typeof code === "string" ? fastifyCodes[code] : undefined;
  if (entry !== undefined) return new Refusal(...entry);
  // What Fastify and Node find wrong with a request itself.
  if (typeof statusCode === "number" && statusCode >= 400 && statusCode < 500) return unreadable("it is malformed");
  return toStepvaultError(thrown);
}

function isTextFault({ code, cause }: StepvaultError): boolean {
  if (code !== "ERR_DATABASE") return false;
  const { code: state } = (cause ?? {}) as { code?: unknown };
  return typeof state === "string" && textStates.has(state);
}

function unreadable(why: string): Refusal {
  return new Refusal("ERR_REQUEST_INVALID", `Cannot read the request: ${why}`);
}
