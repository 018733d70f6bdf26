/**
 * Every limit of a run: its name, default, bounds and meaning. Nothing in Stepvault is unbounded; a limit that is
 * reached ends the run with a typed error that gives the figure used and the figure allowed. A step may set any limit
 * up to the operator's maximum (STEPVAULT_MAX_<NAME>). Imports nothing of ours.
 */
import { z } from "zod";

interface LimitEntry {
  readonly default: number;
  /** The operator's maximum unless configured otherwise. */
  readonly max: number;
  readonly min: number;
  readonly meaning: string;
}

const KiB = 1024;
const MiB = 1024 * KiB;

export const limitTable = {
  wallTimeMsMax: { default: 60_000, min: 10, max: 900_000, meaning: "time from the start of the code to its end, ms" },
  cpuTimeMsMax: { default: 30_000, min: 10, max: 300_000, meaning: "processor time of the code, ms" },
  memoryBytesMax: {
    default: 256 * MiB,
    min: 16 * MiB,
    max: 1024 * MiB,
    meaning: "JavaScript heap, or Python's memory, bytes",
  },
  stdoutBytesMax: {
    default: 10 * MiB,
    min: 0,
    max: 256 * MiB,
    meaning: "printed text, stdout and stderr together, bytes",
  },
  stdoutLinesMax: { default: 100_000, min: 0, max: 5_000_000, meaning: "printed lines, stdout and stderr together" },
  logEntriesMax: { default: 10_000, min: 0, max: 1_000_000, meaning: "structured log entries" },
  logBytesMax: { default: 10 * MiB, min: 0, max: 256 * MiB, meaning: "structured log entries together, bytes of JSON" },
  outputBytesMax: { default: 5 * MiB, min: 2, max: 64 * MiB, meaning: "the output, bytes of JSON" },
  outputDepthMax: { default: 100, min: 1, max: 150, meaning: "nesting of the output" },
  bridgeCallsMax: {
    default: 200_000,
    min: 10,
    max: 10_000_000,
    meaning: "calls from the code to the host, other than printing and logging",
  },
  timersMax: { default: 1_000, min: 0, max: 10_000, meaning: "timers pending at once" },
  requestsMax: { default: 100, min: 0, max: 10_000, meaning: "network requests" },
  requestsAtOnceMax: { default: 6, min: 1, max: 32, meaning: "network requests under way at once; others wait" },
  requestBytesMax: { default: 10 * MiB, min: 0, max: 64 * MiB, meaning: "one request body, bytes" },
  uploadBytesMax: { default: 100 * MiB, min: 0, max: 1024 * MiB, meaning: "all request bodies together, bytes" },
  responseBytesMax: { default: 10 * MiB, min: 0, max: 1024 * MiB, meaning: "one response body, decompressed bytes" },
  downloadBytesMax: {
    default: 100 * MiB,
    min: 0,
    max: 4096 * MiB,
    meaning: "all response bodies together, bytes as they come over the network",
  },
  connectTimeMsMax: { default: 10_000, min: 1, max: 60_000, meaning: "time until a server accepts a connection, ms" },
  headersTimeMsMax: { default: 60_000, min: 1, max: 300_000, meaning: "time until a response begins, ms" },
  idleTimeMsMax: { default: 60_000, min: 1, max: 300_000, meaning: "time between two parts of a response body, ms" },
  requestTimeMsMax: {
    default: 300_000,
    min: 1,
    max: 900_000,
    meaning: "time from a request to the end of its response, ms",
  },
} as const satisfies Record<string, LimitEntry>;

export type LimitName = keyof typeof limitTable;
export type Limits = Readonly<Record<LimitName, number>>;

export const limitNames = Object.keys(limitTable) as LimitName[];

/** What a step may set: any subset of the limits, each a whole number not below its minimum. */
export const stepLimitsSchema = z.strictObject(
  Object.fromEntries(limitNames.map((name) => [name, z.int().min(limitTable[name].min).optional()])) as Record<
    LimitName,
    z.ZodOptional<z.ZodInt>
  >,
);
export type StepLimits = z.infer<typeof stepLimitsSchema>;

/** Sizes of a job's parts, which hold before any step is known. Bytes of UTF-8, or of JSON. */
export const payloadLimits = {
  codeBytesMax: 1 * MiB,
  paramsBytesMax: 10 * MiB,
  stepsBytesMax: 10 * MiB,
  inputsBytesMax: 1 * MiB,
  referencesMax: 1_000,
} as const;
