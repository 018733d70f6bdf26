/**
 * `console`: each call becomes one log entry with a level. Groups indent, counters and timers are kept here. Where Node
 * prints a warning of its own, about an unknown label for instance, that is an entry of level warn. Runs inside the
 * isolate.
 */
import { failRun, type GuestLimits, send } from "./bridge.ts";
import { callSite } from "./error.ts";
import { formatLog } from "./format.ts";
import { exposeGlobal } from "./globals.ts";
import { inspect } from "./inspect.ts";
import { now } from "./performance.ts";
import { drawTable } from "./table.ts";

type Level = "debug" | "info" | "warn" | "error";

const depthShownMax = 20;
const groupsMax = 100;

export function installConsole(limits: GuestLimits): void {
  let indent = "";

  const write = (level: Level, text: string): void => {
    if (text.length > limits.logBytesMax) {
      failRun(
        "ERR_LIMIT_LOG",
        `Cannot write a log entry of ${text.length} characters: at most ${limits.logBytesMax} bytes are allowed`,
      );
      return;
    }
    send({ type: "log", level, message: indent === "" ? text : indent + text.replaceAll("\n", `\n${indent}`) });
  };
  const at =
    (level: Level) =>
    (...args: unknown[]): void =>
      write(level, formatLog(args));
  const info = at("info");
  const warn = at("warn");

  const group = (...args: unknown[]): void => {
    if (args.length > 0) info(...args);
    if (indent.length < 2 * groupsMax) indent += "  ";
  };
  const methods = {
    log: info,
    info,
    debug: at("debug"),
    warn,
    error: at("error"),
    dir: (value: unknown, options?: { depth?: unknown }) => {
      const depth = options?.depth;
      write(
        "info",
        depth === undefined ? inspect(value) : inspect(value, Math.min(Number(depth ?? Infinity), depthShownMax)),
      );
    },
    dirxml: info,
    trace: (...args: unknown[]) => {
      write("debug", [args.length === 0 ? "Trace" : `Trace: ${formatLog(args)}`, ...callSite()].join("\n"));
    },
    table: (value: unknown, columns?: unknown) => {
      const drawn = drawTable(value, columns);
      if (drawn === undefined) info(value);
      else write("info", drawn);
    },
    assert: (condition: unknown, ...args: unknown[]) => {
      if (condition) return;
      const [first, ...rest] = args;
      if (typeof first === "string") at("error")(`Assertion failed: ${first}`, ...rest);
      else at("error")("Assertion failed", ...args);
    },
    group,
    groupCollapsed: group,
    groupEnd: () => {
      indent = indent.slice(2);
    },
    ...countMethods(info, warn),
    ...timeMethods(info, warn),
    clear: () => {},
  };
  exposeGlobal("console", Object.assign(Object.create({}) as object, methods));
}

type Log = (...args: unknown[]) => void;

function countMethods(info: Log, warn: Log): object {
  const counts = new Map<string, number>();
  return {
    count: (label: unknown = "default") => {
      const count = (counts.get(String(label)) ?? 0) + 1;
      counts.set(String(label), count);
      info(`${String(label)}: ${count}`);
    },
    countReset: (label: unknown = "default") => {
      if (!counts.delete(String(label))) warn(`Count for '${String(label)}' does not exist`);
    },
  };
}

function timeMethods(info: Log, warn: Log): object {
  const starts = new Map<string, number>();
  const elapsed = (label: string, method: string, args: unknown[]): void => {
    const start = starts.get(label);
    if (start === undefined) warn(`No such label '${label}' for console.${method}()`);
    else info("%s: %s", label, duration(now() - start), ...args);
  };
  return {
    time: (label: unknown = "default") => {
      if (starts.has(String(label))) warn(`Label '${String(label)}' already exists for console.time()`);
      else starts.set(String(label), now());
    },
    timeLog: (label: unknown = "default", ...args: unknown[]) => elapsed(String(label), "timeLog", args),
    timeEnd: (label: unknown = "default") => {
      elapsed(String(label), "timeEnd", []);
      starts.delete(String(label));
    },
  };
}

function duration(ms: number): string {
  if (ms < 1_000) return `${Number(ms.toFixed(3))}ms`;
  const seconds = ms / 1_000;
  if (seconds < 60) return `${seconds.toFixed(3)}s`;
  return `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(3).padStart(6, "0")} (m:ss.mmm)`;
}
