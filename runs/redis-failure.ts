/**
 * What goes wrong with Redis, said in a few words that are ours. A client's own error carries the command that failed with
 * all it was given, so one of a refused login holds the password: `forgetCommand` takes that away before anything
 * logs the error or keeps it as a cause. Knows neither BullMQ nor the settings.
 */
import { StepvaultError } from "../protocol/error.ts";

/** A question that people wait for is answered, or given up, within this time. Redis may be away for longer. */
const answerTimeMsMax = 10_000;

/** Redis' own words, by the first of each answer that they stand in. */
const answers: readonly [RegExp, string][] = [
  [
    /\b(?:WRONGPASS|NOAUTH|NOPERM)\b|invalid password|without any password/,
    "it refuses the user, the password or the command",
  ],
  [/\bREADONLY\b/, "it is a read-only replica"],
  [/\bNOREPLICAS\b/, "it has fewer replicas than it wants for a write"],
  [/\bOOM\b/, "its memory is full"],
  [/\bMISCONF\b/, "it cannot write to its disk"],
  [/\b(?:LOADING|MASTERDOWN)\b/, "it is not ready yet"],
  [/\bCLUSTERDOWN\b/, "the cluster is down"],
  [/certificate|\bSSL\b|\bTLS\b/i, "its certificate or its TLS is not accepted"],
  [
    /Connection is closed|timed out|timeout|max retries per request|All sentinels are unreachable|startup nodes|slots cache|Cluster is|Cluster isn't|Too many Cluster redirections|Stream isn't writeable|Socket closed/i,
    "it does not answer",
  ],
];

interface ClientError {
  code?: unknown;
  command?: unknown;
  cause?: unknown;
  lastNodeError?: unknown;
  errors?: unknown;
  previousErrors?: unknown;
}

/** Why Redis failed, without a word of what it was asked; undefined for an error that is not of Redis or its network. */
export function redisReason(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { lastNodeError, cause, code } = error as ClientError;
  const inner = redisReason(lastNodeError) ?? redisReason(cause);
  if (inner !== undefined) return inner;
  const known = answers.find(([words]) => words.test(error.message));
  if (known !== undefined) return known[1];
  if (error.name === "ReplyError") return "it refuses the command";
  return typeof code === "string" && /^(?:E[A-Z]{3,}|EAI_[A-Z]+)$/.test(code) ? "it does not answer" : undefined;
}

/** The error itself, without the commands that it and those within it were made for. */
export function forgetCommand(error: unknown, depthMax = 4): unknown {
  if (!(error instanceof Error) || depthMax === 0) return error;
  const { cause, lastNodeError, errors, previousErrors } = error as ClientError;
  delete (error as ClientError).command;
  // A server that does not know a command repeats what came with it.
  const cut = error.message.replace(/,? with args beginning with[^]*$/i, "");
  if (cut !== error.message) {
    error.message = cut;
    error.stack = `${error.name}: ${cut}`;
  }
  for (const inner of [cause, lastNodeError, errors, previousErrors].flat()) forgetCommand(inner, depthMax - 1);
  return error;
}

/** An object whose methods throw ERR_REDIS where Redis is the trouble, also when it does not answer for long. */
export function answeringInTime<T extends object>(asked: T): T {
  return new Proxy(asked, {
    get(target, name) {
      const found: unknown = Reflect.get(target, name, target);
      if (typeof found !== "function") return found;
      return (...args: unknown[]): unknown => {
        const answer: unknown = Reflect.apply(found, target, args);
        return answer instanceof Promise ? answerInTime(answer) : answer;
      };
    },
  });
}

/** Throws ERR_REDIS when Redis refuses, and when it has not answered in time: what was asked may then still happen. */
async function answerInTime<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("Command timed out")), answerTimeMsMax);
  });
  try {
    return await Promise.race([answer, late]);
  } catch (error) {
    const reason = redisReason(error);
    const cause = forgetCommand(error);
    if (reason === undefined) throw cause;
    throw new StepvaultError("ERR_REDIS", `Cannot use the queue in Redis: ${reason}`, { cause });
  } finally {
    clearTimeout(timer);
  }
}
