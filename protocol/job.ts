/**
 * The contract of a run as others see it: the job that asks for it, the events it writes and the result it ends with.
 * The job is also the BullMQ payload that an orchestrator may add by itself, so it is parsed again wherever it is read.
 * It holds names of secrets, never values. Imports nothing of ours beyond this folder.
 */
import { z } from "zod";
import { type ErrorCode, errorCodes, StepvaultError } from "./error.ts";
import { givenRunIdSchema, idSchema } from "./ids.ts";
import { isPlainObject, type Json, jsonObjectSchema, jsonSchema } from "./json.ts";
import { payloadLimits, stepLimitsSchema } from "./limits.ts";
import { networkRuleSchema } from "./network.ts";

export const languages = ["javascript", "typescript", "python"] as const;
export type Language = (typeof languages)[number];

/** What a sandbox host runs. TypeScript becomes JavaScript there. */
export const interpreters = ["javascript", "python"] as const;
export type Interpreter = (typeof interpreters)[number];

export function interpreterOf(language: Language): Interpreter {
  return language === "python" ? "python" : "javascript";
}

export type { Json };

/** `none`, `open` (any public address), or a list of rules: `[METHODS ][scheme://]host[:port]`. */
export const networkPolicySchema = z.union([z.enum(["none", "open"]), z.array(networkRuleSchema).max(100)]);
export type NetworkPolicy = z.infer<typeof networkPolicySchema>;

/** Says that a step may be run again after an attempt that failed, although that one may have had effects. */
export const retrySchema = z.strictObject({
  /** With the first one. */
  attemptsMax: z.int().min(2).max(10),
  /** Before the second attempt; doubles with each one. */
  backoffMs: z.int().min(0).max(3_600_000).default(1_000),
  /** After which ends: `system` is no fault of the step's, such as a worker that died; `failure` is any but a cancellation. */
  on: z.enum(["system", "failure"]).default("system"),
});
export type Retry = z.infer<typeof retrySchema>;

export const adHocStepSchema = z.strictObject({
  language: z.enum(languages),
  code: z.string(),
  inputs: jsonObjectSchema.optional(),
  limits: stepLimitsSchema.optional(),
  network: networkPolicySchema.optional(),
  retry: retrySchema.optional(),
});

/** As large as the database counts. */
const stepVersionSchema = z
  .int()
  .min(1)
  .max(2 ** 31 - 1);
const savedStepSchema = z.strictObject({ id: idSchema, version: stepVersionSchema.optional() });

export type AdHocStep = z.infer<typeof adHocStepSchema>;
/** A step as somebody writes it. */
export type StepInput = z.input<typeof adHocStepSchema>;

/** A year. */
const delayMsMax = 366 * 86_400_000;
const timeRule = "a year from 1 to 9999 (UTC), an offset below 16 hours, and 100 characters at most";
const needNameSchema = z.string().regex(/^[A-Za-z_][A-Za-z0-9_-]{0,99}$/, "1 to 100 letters, digits, _ and -");

/** Labels are looked for in the database, which knows neither NUL nor lone surrogates in what it compares. */
function labelText(charactersMax: number): z.ZodString {
  return z
    .string()
    .max(charactersMax)
    .refine((text) => text.isWellFormed() && !text.includes("\0"), "Unicode text without NUL");
}

/** A record that is not even looked at when it has more entries. */
function fewEntries<Schema extends z.ZodType>(entriesMax: number, record: Schema): Schema {
  const counted = z.preprocess((value, context) => {
    if (isPlainObject(value) && Object.keys(value).length > entriesMax)
      context.addIssue({ code: "custom", message: `an object of at most ${entriesMax} entries` });
    return value;
  }, record);
  return counted as unknown as Schema;
}

/** Whether the database takes it and whoever reads the run can: ISO texts alone have no such bounds. */
function isTime(text: string): boolean {
  const year = new Date(text).getUTCFullYear();
  return year >= 1 && year <= 9999 && text.length <= 100 && !/[+-](?:1[6-9]|2\d):\d\d$/.test(text);
}

export const jobSchema = z.strictObject({
  projectId: idSchema,
  step: z.union([savedStepSchema, adHocStepSchema]),
  params: jsonSchema.optional(),
  steps: jsonObjectSchema.optional(),
  runId: idSchema.optional(),
  labels: fewEntries(100, z.record(labelText(100), labelText(1_000))).optional(),
  /** Under which a job that waits for this one in a flow of BullMQ finds its output in `steps`. */
  name: needNameSchema.optional(),
  /** Not before this time, or this long after the submission. */
  runAt: z.iso.datetime({ offset: true }).refine(isTime, timeRule).optional(),
  delayMs: z.int().min(0).max(delayMsMax).optional(),
  /** Runs that must have succeeded before, by the name under which their outputs are in `steps`. */
  after: fewEntries(100, z.record(needNameSchema, idSchema)).optional(),
  traceparent: z.string().max(200).optional(),
});
export type Job = z.infer<typeof jobSchema>;
/** A job as a caller writes it. */
export type JobInput = z.input<typeof jobSchema>;

/** What the queue has of a run that was submitted: the run itself is in the database. */
export const queuedRunSchema = z.strictObject({ projectId: idSchema, runId: idSchema });

/** The queue's job name for a run. */
export const runJobName = "step";

export const runStatuses = [
  "succeeded",
  "failed",
  "timed_out",
  "out_of_memory",
  "limit_exceeded",
  "cancelled",
  "crashed",
  "rejected",
] as const;
export type FinalStatus = (typeof runStatuses)[number];
export type RunStatus = "queued" | "running" | FinalStatus;

export interface RunError {
  code: ErrorCode;
  fault: "user" | "limit" | "system";
  message: string;
  line?: number;
  column?: number;
  /** The line of the code where it lies, and under it a line with a caret at the column. */
  excerpt?: string;
  stack?: string;
}

export interface Usage {
  queueMs: number;
  wallMs: number;
  cpuMs: number;
  memoryPeakBytes: number;
  stdoutBytes: number;
  logEntries: number;
  requests: number;
}

export interface RedactionCount {
  secret: string;
  count: number;
  forms: Record<string, number>;
}

export interface RunResult {
  runId: string;
  /** The job's own. */
  name?: string;
  status: FinalStatus;
  output?: Json;
  error?: RunError;
  usage: Usage;
  redactions: RedactionCount[];
}

export type LogLevel = "debug" | "info" | "warn" | "error";

/** One request of a step, or one hop of it. */
export interface RequestRecord {
  method: string;
  host: string;
  path: string;
  /** The rule of the step's network policy that allowed it, or "open"; null when it was refused. */
  rule: string | null;
  /** null when no answer came. */
  status: number | null;
  /** Of the request's body. */
  bytesSent: number;
  /** Of the answer's body, as it came over the network. */
  bytes: number;
  /** Until the answer began; null when none came. */
  headersMs: number | null;
  ms: number;
  /** Names of the secrets that it carried, sealed and readable ones. */
  secrets: string[];
}

/** A request in which a secret was to go where its policy does not allow it. */
export interface SecurityRecord {
  /** `blocked`: nothing was sent. `reported`: it was sent, as the operator's settings have it. */
  action: "blocked" | "reported";
  /**
   * `host`: the host is not one of the secret's. `place`: the secret may not stand there. `transport`: the connection is
   * not encrypted. `redirect`: an answer leads a request with a sealed secret astray.
   */
  reason: "host" | "place" | "transport" | "redirect";
  secrets: string[];
  method: string;
  host: string;
}

/** What happened in a run, before it has its number. All text has been redacted. */
export type RunEventBody =
  | { kind: "started"; attempt?: number }
  | { kind: "stdout" | "stderr"; text: string }
  | { kind: "log"; level: LogLevel; message: string; fields?: Json }
  | ({ kind: "request" } & RequestRecord)
  | ({ kind: "security" } & SecurityRecord)
  /** The attempt failed, and another follows after `delayMs`. */
  | { kind: "retry"; attempt: number; delayMs: number; error: RunError }
  | { kind: "output"; output: Json }
  | { kind: "error"; error: RunError }
  | { kind: "finished"; status: FinalStatus };

export type RunEvent = { runId: string; seq: number; time: string } & RunEventBody;

const statuses: Partial<Record<ErrorCode, FinalStatus>> = {
  ERR_LIMIT_WALL_TIME: "timed_out",
  ERR_LIMIT_CPU_TIME: "timed_out",
  ERR_LIMIT_MEMORY: "out_of_memory",
  ERR_LIMIT_PAYLOAD: "rejected",
  ERR_REFERENCE_COUNT: "rejected",
  ERR_RUN_CANCELLED: "cancelled",
  ERR_SANDBOX_CRASHED: "crashed",
  ERR_WORKER_LOST: "crashed",
  ERR_WORKER_STOPPED: "crashed",
  ERR_BRIDGE_PROTOCOL: "crashed",
  ERR_STEP_SYNTAX: "failed",
  ERR_STEP_TYPESCRIPT: "failed",
  ERR_STEP_THREW: "failed",
  ERR_STEP_EXITED: "failed",
  ERR_STEP_STALLED: "failed",
  ERR_OUTPUT_NOT_JSON: "failed",
  ERR_EGRESS_REFUSED: "failed",
  ERR_EGRESS_FAILED: "failed",
  ERR_EGRESS_GUARD: "failed",
  ERR_SEALED_REFUSED: "failed",
  ERR_SIGN_INVALID: "failed",
  ERR_REDACTION_FAILED: "failed",
  ERR_INTERNAL: "failed",
};

/** The final status that an error gives a run. What is not named above is a limit, or was refused before any code ran. */
export function statusOfError(code: ErrorCode): FinalStatus {
  return statuses[code] ?? (errorCodes[code].fault === "limit" ? "limit_exceeded" : "rejected");
}

/**
 * A payload from the queue as a Job. Throws ERR_LANGUAGE_UNKNOWN, ERR_LIMIT_PAYLOAD or ERR_JOB_INVALID; the message
 * lists paths and rules and shows nothing of the payload's values.
 */
export function parseJob(payload: unknown): Job {
  const after = (payload as { after?: unknown } | null)?.after;
  // The schema would leave it out, and the run would begin without waiting for that other one.
  if (typeof after === "object" && after !== null && Object.hasOwn(after, "__proto__"))
    throw new StepvaultError("ERR_JOB_INVALID", "Cannot read the job: after has a name that may not be used");
  const parsed = readPayload(payload);
  if (!parsed.success) {
    if (hasUnknownLanguage(payload)) {
      throw new StepvaultError(
        "ERR_LANGUAGE_UNKNOWN",
        `Cannot run the step: its language is not one of ${languages.join(", ")}`,
      );
    }
    throw new StepvaultError("ERR_JOB_INVALID", `Cannot read the job: ${describeIssues(parsed.error, payload)}`);
  }
  const job = parsed.data;
  if ("code" in job.step) {
    checkSize("step.code", Buffer.byteLength(job.step.code), payloadLimits.codeBytesMax);
    checkSize("step.inputs", jsonBytes(job.step.inputs), payloadLimits.inputsBytesMax);
  }
  checkSize("params", jsonBytes(job.params), payloadLimits.paramsBytesMax);
  checkSize("steps", jsonBytes(job.steps), payloadLimits.stepsBytesMax);
  return job;
}

const givenRunSchema = z.object({ runId: givenRunIdSchema.optional() });

/** Throws ERR_JOB_INVALID for a run id that is not for callers to choose. */
export function requireGivenRunId(job: Pick<JobInput, "runId">): void {
  const parsed = givenRunSchema.safeParse(job);
  if (parsed.success) return;
  throw new StepvaultError("ERR_JOB_INVALID", `Cannot read the job: ${describeIssues(parsed.error, job)}`);
}

/** A step by itself, with the checks that it gets in a job. Throws what parseJob throws. */
export function parseStep(projectId: string, step: StepInput): AdHocStep {
  const parsed = parseJob({ projectId, step });
  if ("code" in parsed.step) return parsed.step;
  throw new StepvaultError("ERR_JOB_INVALID", "Cannot read the step: it has no code of its own");
}

function readPayload(payload: unknown): z.ZodSafeParseResult<Job> {
  try {
    return jobSchema.safeParse(payload);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new StepvaultError("ERR_JOB_INVALID", "Cannot read the job: it is nested too deeply");
  }
}

function hasUnknownLanguage(payload: unknown): boolean {
  const step = (payload as { step?: { language?: unknown } } | null)?.step;
  const language = step?.language;
  return typeof language === "string" && !(languages as readonly string[]).includes(language);
}

/** Paths and rules of what is wrong; never the keys and values that are not of the schema. */
function describeIssues(error: z.ZodError, payload: unknown): string {
  return error.issues
    .flatMap((issue) => chooseBranch(issue, payload))
    .slice(0, 10)
    .map((issue) => {
      const path = issue.path.length === 0 ? "the payload" : issue.path.map(safeKey).join(".");
      if (issue.code === "unrecognized_keys") return `${path} has ${issue.keys.length} unknown key(s)`;
      // Rules of our own say what is right, and nothing of what was given.
      if (issue.code === "custom") return `${path} must be ${issue.message}`;
      if (issue.code === "invalid_type") return `${path} must be of type ${issue.expected}`;
      return `${path}: ${issue.code.replaceAll("_", " ")}`;
    })
    .join("; ");
}

/** Of the shapes that a thing may have, the issues of the one that was meant. */
function chooseBranch(issue: z.core.$ZodIssue, payload: unknown): z.core.$ZodIssue[] {
  if (issue.code !== "invalid_union") return [issue];
  const branch = meantBranch(issue, payload) ?? [];
  return branch.flatMap((inner) => chooseBranch({ ...inner, path: [...issue.path, ...inner.path] }, payload));
}

/** A step is meant as saved when it names an id, else as ad-hoc; of other shapes it is the one that fits furthest. */
function meantBranch(issue: z.core.$ZodIssueInvalidUnion, payload: unknown): z.core.$ZodIssue[] | undefined {
  if (issue.path.join(".") === "step") {
    const step = (payload as { step?: unknown } | null)?.step;
    return issue.errors[typeof step === "object" && step !== null && "id" in step ? 0 : 1];
  }
  const depth = (branch: z.core.$ZodIssue[]): number => Math.max(0, ...branch.map(({ path }) => path.length));
  return [...issue.errors].sort((a, b) => depth(b) - depth(a))[0];
}

/** A path part may itself be a pasted secret: only places in lists and plain identifiers of the schema's kind are shown. */
function safeKey(part: PropertyKey): string {
  return typeof part === "number" || /^[A-Za-z][A-Za-z0-9]{0,19}$/.test(String(part)) ? String(part) : "?";
}

function jsonBytes(value: unknown): number {
  return value === undefined ? 0 : Buffer.byteLength(JSON.stringify(value));
}

function checkSize(what: string, bytes: number, bytesMax: number): void {
  if (bytes <= bytesMax) return;
  throw new StepvaultError(
    "ERR_LIMIT_PAYLOAD",
    `Cannot run the step: ${what} has ${bytes} bytes, at most ${bytesMax} are allowed`,
  );
}
