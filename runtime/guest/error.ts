/**
 * What a thrown thing says of itself: message, the step's own frames, causes and collected errors. Everything about it
 * belongs to the step, so each property is read with care and bounded: a getter may throw, a chain may be endless. A
 * getter that loops is ended by the run's limits. Runs inside the isolate.
 */
import { inspect, setErrorFormat } from "./inspect.ts";
import { isErrorObject } from "./kind.ts";

const messageMax = 10_000;
const nameMax = 200;
const framesMax = 20;
const frameCharactersMax = 500;
/** Errors inside errors: how deep, and how many at one place. */
const innerDepthMax = 4;
const innerMax = 10;

export interface ErrorDescription {
  /** "TypeError: x is not a function". */
  message: string;
  /** Frames of the step and of packages, one per line, then the errors inside; "" when there are none. */
  stack: string;
  line?: number;
  column?: number;
}

/** A frame in the step's own code, or in a package that it imports. All other frames are ours. */
const userFrame = /^\s+at .*\b(?:step\.[jt]s|package:[^\s:]+):\d+:\d+/;
const stepPlace = /\bstep\.[jt]s:(\d+):(\d+)\)?$/;
/** Where V8 names the place of an `eval`, it does not count that the step begins one line into its script. */
const evalPlace = /(\beval at [^(]*\(step\.[jt]s:)(\d+)/g;

export function describeError(thrown: unknown): ErrorDescription {
  try {
    return describe(thrown);
  } catch {
    // A proxy whose traps throw: there is nothing that can be said of it.
    return { message: "Error: what was thrown cannot be read", stack: "" };
  }
}

function describe(thrown: unknown): ErrorDescription {
  const frames = framesOf(thrown);
  const at = stepPlace.exec(frames.find((frame) => stepPlace.test(frame)) ?? "");
  return {
    message: headOf(thrown),
    stack: [...frames, ...innerErrors(thrown, 1)].join("\n"),
    ...(at ? { line: Number(at[1]), column: Number(at[2]) } : {}),
  };
}

/** Name and message; for what is no error, the value. */
function headOf(thrown: unknown): string {
  if (typeof thrown === "string") return `thrown: ${thrown.slice(0, messageMax)}`;
  if (typeof thrown !== "object" || thrown === null) return `thrown: ${inspect(thrown)}`;
  const message = readText(thrown, "message").slice(0, messageMax);
  if (message === "" && !isErrorObject(thrown)) return `thrown: ${inspect(thrown).slice(0, messageMax)}`;
  const name = readText(thrown, "name").slice(0, nameMax) || "Error";
  return message === "" ? name : `${name}: ${message}`;
}

function framesOf(thrown: unknown): string[] {
  if (typeof thrown !== "object" || thrown === null) return [];
  return readText(thrown, "stack")
    .split("\n")
    .filter((line) => userFrame.test(line))
    .slice(0, framesMax)
    .map((frame) => frame.slice(0, frameCharactersMax))
    .map((frame) => frame.replaceAll(evalPlace, (_all, head: string, line: string) => head + (Number(line) - 1)));
}

/** What `cause` and `errors` hold, one level further in, each under its name. */
function innerErrors(thrown: unknown, depth: number): string[] {
  if (typeof thrown !== "object" || thrown === null) return [];
  const inner: [string, unknown][] = [];
  if (Object.hasOwn(thrown, "cause")) inner.push(["cause", read(thrown, "cause")]);
  const errors = read(thrown, "errors");
  if (isErrorObject(thrown) && Array.isArray(errors)) {
    for (let i = 0; i < Math.min(errors.length, innerMax); i++) inner.push([`errors[${i}]`, errors[i]]);
    if (errors.length > innerMax) inner.push([`errors`, `... ${errors.length - innerMax} more`]);
  }
  const indent = "  ".repeat(depth);
  return inner.flatMap(([label, error]) => {
    if (depth > innerDepthMax) return [`${indent}[${label}]: ...`];
    const head = `${indent}[${label}]: ${isErrorObject(error) ? headOf(error) : inspect(error).slice(0, messageMax)}`;
    return [head, ...framesOf(error).map((frame) => indent + frame), ...innerErrors(error, depth + 1)];
  });
}

function read(thrown: object, key: string): unknown {
  try {
    return Reflect.get(thrown, key);
  } catch {
    return undefined;
  }
}

function readText(thrown: object, key: string): string {
  const value = read(thrown, key);
  return typeof value === "string" ? value : "";
}

/** The frames of the step that lead here. */
export function callSite(): string[] {
  return (new Error().stack ?? "").split("\n").filter((line) => userFrame.test(line));
}

/** An error as a log shows it. */
function formatError(error: Error): string {
  const { message, stack } = describeError(error);
  return stack === "" ? `[${message}]` : `${message}\n${stack}`;
}

export function installErrors(): void {
  setErrorFormat(formatError);
}
