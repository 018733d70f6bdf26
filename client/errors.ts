/**
 * What the client library throws: StepvaultClientError for what fails here, with a code of docs/errors.md, and
 * StepvaultApiError for what the server refuses. Neither keeps the request, its headers or the platform's own error, as
 * any of these may hold the key and errors are logged. Imports nothing.
 */

/** The codes of StepvaultClientError; docs/errors.md has them with all others. */
export const clientErrorCodes = [
  "ERR_KEY_MALFORMED",
  "ERR_KEY_CHECKSUM",
  "ERR_KEY_REGION",
  "ERR_KEY_INVALID",
  "ERR_KEY_BROWSER",
  "ERR_CLIENT_INVALID",
  "ERR_CLIENT_DEFAULT",
  "ERR_CLIENT_REQUEST",
  "ERR_CLIENT_REDIRECT",
  "ERR_CLIENT_NETWORK",
  "ERR_CLIENT_TIMEOUT",
  "ERR_CLIENT_ANSWER",
] as const;
export type ClientErrorCode = (typeof clientErrorCodes)[number];

/** Something that failed before the server answered, or an answer that cannot be used. */
export class StepvaultClientError extends Error {
  readonly code: ClientErrorCode;

  constructor(code: ClientErrorCode, message: string) {
    super(message);
    this.name = "StepvaultClientError";
    this.code = code;
  }
}

/** What the server says of a request that it refused: the fields of RFC 9457 that it gave. */
export interface Problem {
  readonly status: number;
  /** A code of docs/errors.md; undefined when something in front of the server answered. */
  readonly code: string | undefined;
  readonly title: string | undefined;
  readonly detail: string | undefined;
  readonly requestId: string | undefined;
  /** What is wrong with each part of the request, by JSON pointer. */
  readonly errors: readonly { readonly pointer: string | undefined; readonly detail: string | undefined }[];
  /** When to ask again, if the server said so. */
  readonly retryAfterMs: number | undefined;
}

/** An answer with a status of 304 or from 400 on. */
export class StepvaultApiError extends Error implements Problem {
  readonly status: number;
  readonly code: string | undefined;
  readonly title: string | undefined;
  readonly detail: string | undefined;
  readonly requestId: string | undefined;
  readonly errors: Problem["errors"];
  readonly retryAfterMs: number | undefined;

  /** `action` is the method and path of the request. */
  constructor(action: string, problem: Problem) {
    const { status, code, title, detail, requestId, errors, retryAfterMs } = problem;
    const said = [`${status}`, code, detail ?? title].filter((part) => part !== undefined);
    super(`Cannot ${action}: ${said.join(", ")}${requestId === undefined ? "" : ` (request ${requestId})`}`);
    this.name = "StepvaultApiError";
    this.status = status;
    this.code = code;
    this.title = title;
    this.detail = detail;
    this.requestId = requestId;
    this.errors = errors;
    this.retryAfterMs = retryAfterMs;
  }
}
