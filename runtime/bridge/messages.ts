/**
 * Every message between the worker and a sandbox host, one schema each. The worker treats what a host sends as hostile:
 * a guest may have taken the host over, so each message is parsed, and what does not fit ends the run.
 */
import { z } from "zod";
import { errorCodes } from "../../protocol/error.ts";
import { interpreters, languages } from "../../protocol/job.ts";
import { limitNames, type LimitName } from "../../protocol/limits.ts";
import { secretValueBytesMax } from "../../protocol/secret.ts";
import { cryptoEnvelopeSchema } from "./crypto.ts";

const position = { line: z.int().nonnegative(), column: z.int().nonnegative() };

const referenceSchema = z.strictObject({ name: z.string().max(128), ...position });
export type CodeReference = z.infer<typeof referenceSchema>;

/** Longest texts of an error; what is longer is cut, since a step writes them. */
const errorTextMax = { message: 10_000, stack: 64_000 } as const;

const cut = (charactersMax: number) => z.string().transform((text) => text.slice(0, charactersMax));

const errorFields = {
  message: cut(errorTextMax.message),
  line: position.line.optional(),
  column: position.column.optional(),
  stack: cut(errorTextMax.stack).optional(),
};

const errorSchema = z.strictObject({
  code: z.enum(Object.keys(errorCodes) as [keyof typeof errorCodes]),
  ...errorFields,
});
export type HostError = z.infer<typeof errorSchema>;

/** What a guest may say of its own end. All other codes are the host's and the worker's to give. */
const guestErrorSchema = z.strictObject({
  code: z.enum([
    "ERR_STEP_THREW",
    "ERR_STEP_EXITED",
    "ERR_STEP_SYNTAX",
    "ERR_OUTPUT_NOT_JSON",
    "ERR_LIMIT_OUTPUT",
    "ERR_LIMIT_LOG",
    "ERR_LIMIT_TIMERS",
    "ERR_LIMIT_MEMORY",
    "ERR_LIMIT_REQUEST_BYTES",
  ]),
  ...errorFields,
});

/** Address and headers of one request together. */
const headCharactersMax = 256 * 1024;

const requestSchema = z.strictObject({
  method: z.string().max(32),
  url: z.string().max(65_536),
  headers: z
    .array(z.tuple([z.string().max(1_000), z.string().max(65_536)]))
    .max(200)
    .refine(
      (headers) => headers.reduce((sum, [name, value]) => sum + name.length + value.length, 0) <= headCharactersMax,
    ),
  /** Base64; absent when there is no body. */
  body: z.string().optional(),
  redirect: z.enum(["follow", "error", "manual"]),
  timeoutMs: z.number().positive().optional(),
});
export type GuestRequest = z.infer<typeof requestSchema>;

/** What a response begins with. */
const responseHeadSchema = z.strictObject({
  url: z.string(),
  status: z.int(),
  statusText: z.string(),
  headers: z.array(z.tuple([z.string(), z.string()])),
  redirected: z.boolean(),
});
export type ResponseHead = z.infer<typeof responseHeadSchema>;

/** Bytes of a response that may be on their way to a step before it has read any of them. */
export const responseWindowBytes = 1024 * 1024;

const urlKeys = [
  "href",
  "protocol",
  "username",
  "password",
  "host",
  "hostname",
  "port",
  "pathname",
  "search",
  "hash",
] as const;

/** The step has read this much of a response, so as much may follow. */
const readMessageSchema = z.strictObject({ type: z.literal("read"), id: z.int(), bytes: z.int().positive() });

/** Read by `signOptionsSchema`, whose refusal is an answer and not the run's end. */
const signFields = { key: z.string().max(secretValueBytesMax), options: z.unknown() };
const signMessageSchema = z.strictObject({ type: z.literal("sign"), id: z.int(), ...signFields });
export type SignMessage = z.infer<typeof signMessageSchema>;

/** What the guest sends to its host, each as one JSON text. The host passes most of it on to the worker as it is. */
export const guestMessageSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("print"), stream: z.enum(["stdout", "stderr"]), text: z.string() }),
  z.strictObject({
    type: z.literal("log"),
    level: z.enum(["debug", "info", "warn", "error"]),
    message: z.string(),
    fields: z.record(z.string(), z.json()).optional(),
  }),
  z.strictObject({ type: z.literal("timer"), id: z.int(), ms: z.number() }),
  z.strictObject({ type: z.literal("untimer"), id: z.int() }),
  z.strictObject({ type: z.literal("request"), id: z.int(), request: requestSchema }),
  z.strictObject({ type: z.literal("blockingRequest"), request: requestSchema }),
  /** The next part of the response to a blocking request. */
  z.strictObject({ type: z.literal("blockingRead"), id: z.int() }),
  signMessageSchema,
  z.strictObject({ type: z.literal("blockingSign"), ...signFields }),
  readMessageSchema,
  z.strictObject({ type: z.literal("abort"), id: z.int() }),
  z.strictObject({ type: z.literal("sleep"), ms: z.number() }),
  z.strictObject({ type: z.literal("barrier") }),
  z.strictObject({ type: z.literal("random"), length: z.int().min(0).max(65_536) }),
  z.strictObject({
    type: z.literal("url"),
    input: z.string(),
    base: z.string().optional(),
    set: z.strictObject({ key: z.enum(urlKeys), value: z.string() }).optional(),
  }),
  cryptoEnvelopeSchema,
  z.strictObject({ type: z.literal("import"), id: z.int(), name: z.string().max(1_000) }),
  z.strictObject({ type: z.literal("done"), output: z.string() }),
  z.strictObject({ type: z.literal("fail"), error: guestErrorSchema }),
]);
export type GuestMessage = z.infer<typeof guestMessageSchema>;

const hostMessageSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("ready") }),
  /** The released run is gone: its isolate is disposed and no call of it is pending. */
  z.strictObject({ type: z.literal("idle") }),
  z.strictObject({ type: z.literal("snapshot"), data: z.string() }),
  z.strictObject({ type: z.literal("references"), references: z.array(referenceSchema).max(10_000) }),
  z.strictObject({ type: z.literal("started") }),
  z.strictObject({ type: z.literal("print"), stream: z.enum(["stdout", "stderr"]), text: z.string().min(1) }),
  z.strictObject({
    type: z.literal("log"),
    level: z.enum(["debug", "info", "warn", "error"]),
    message: z.string(),
    fields: z.record(z.string(), z.json()).optional(),
  }),
  z.strictObject({ type: z.literal("request"), id: z.int(), request: requestSchema }),
  signMessageSchema,
  readMessageSchema,
  z.strictObject({ type: z.literal("abort"), id: z.int() }),
  z.strictObject({ type: z.literal("done"), output: z.string() }),
  z.strictObject({ type: z.literal("failed"), error: errorSchema }),
]);
export type HostMessage = z.infer<typeof hostMessageSchema>;

const failureSchema = z.strictObject({ code: z.string(), message: z.string() });

/** What the worker sends. The host trusts it, but parses it all the same: a wrong shape is a bug worth a clear end. */
const workerMessageSchema = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("boot"),
    language: z.enum(interpreters),
    /** Python only: the snapshot to start from; absent to make one and send it back. */
    snapshotFile: z.string().optional(),
    /** Python only: the packages that the snapshot to make holds. */
    wheels: z
      .array(z.strictObject({ name: z.string(), file: z.string(), sha256: z.string(), native: z.boolean() }))
      .optional(),
    /** JavaScript only: what steps may import. */
    packages: z.array(z.strictObject({ name: z.string(), file: z.string(), sha256: z.string() })).optional(),
  }),
  z.strictObject({ type: z.literal("prepare"), code: z.string(), language: z.enum(languages) }),
  z.strictObject({
    type: z.literal("execute"),
    values: z.array(z.tuple([z.string(), z.string()])),
    /** JSON texts, handed to the guest unread. */
    params: z.string(),
    steps: z.string(),
    inputs: z.string(),
    limits: z.strictObject(
      Object.fromEntries(limitNames.map((name) => [name, z.int()])) as Record<LimitName, z.ZodInt>,
    ),
  }),
  /** The run is over, or is to be: dispose of its isolate, then say that it is gone. */
  z.strictObject({ type: z.literal("release") }),
  /** One part of the answer to a request, the first with the head; each request gets a last one. */
  z.strictObject({
    type: z.literal("response"),
    id: z.int(),
    head: responseHeadSchema.optional(),
    /** Base64. */
    data: z.string().optional(),
    ended: z.boolean(),
    error: failureSchema.optional(),
  }),
  z.strictObject({
    type: z.literal("signed"),
    id: z.int(),
    answer: z.json().optional(),
    error: failureSchema.optional(),
  }),
]);
export type WorkerMessage = z.infer<typeof workerMessageSchema>;
export type ExecuteMessage = Extract<WorkerMessage, { type: "execute" }>;
export type ResponseMessage = Extract<WorkerMessage, { type: "response" }>;
export type SignedMessage = Extract<WorkerMessage, { type: "signed" }>;

/** Every frame says which run of its host it belongs to, counted from 1; what belongs to none has the number 0. */
const runNumber = z.int().nonnegative();

export const hostFrameSchema = z.strictObject({ run: runNumber, message: hostMessageSchema });
export type HostFrame = z.infer<typeof hostFrameSchema>;

export const workerFrameSchema = z.strictObject({ run: runNumber, message: workerMessageSchema });
export type WorkerFrame = z.infer<typeof workerFrameSchema>;

/** Parses one of each message of an ordinary run, which compiles the schemas: the first run need not wait for that. */
export function rehearseMessages(): void {
  const limits = Object.fromEntries(limitNames.map((name) => [name, 1]));
  const texts = { params: "{}", steps: "{}", inputs: "{}" };
  const messages = [
    { type: "prepare", code: "", language: languages[0] },
    { type: "execute", values: [["name", "value"]], ...texts, limits },
    { type: "release" },
  ];
  for (const message of messages) workerFrameSchema.parse({ run: 1, message });
  for (const message of [
    { type: "print", stream: "stdout", text: "" },
    { type: "log", level: "info", message: "" },
    { type: "done", output: "1" },
  ])
    guestMessageSchema.parse(message);
}
