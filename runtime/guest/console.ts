/**
 * `console`: each call becomes one log entry with a level. Groups indent, counters and timers are kept here, tables are
 * drawn as text. Runs inside the isolate.
 */
import { failRun, type GuestLimits, send } from "./bridge.ts";
import { formatLog, formatValue } from "./format.ts";

type Level = "debug" | "info" | "warn" | "error";

export function installConsole(limits: GuestLimits): void {
  let indent = "";
  const counts = new Map<string, number>();
  const starts = new Map<string, number>();
  const now = Date.now;

  const write = (level: Level, args: unknown[]): void => {
    const text = formatLog(args);
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
      write(level, args);
  const elapsed = (label: string): string => `${label}: ${now() - (starts.get(label) ?? now())}ms`;

  const methods: Record<string, (...args: unknown[]) => void> = {
    log: at("info"),
    info: at("info"),
    debug: at("debug"),
    warn: at("warn"),
    error: at("error"),
    trace: (...args) => write("debug", ["Trace:", ...args]),
    dir: (value) => write("info", [formatValue(value)]),
    dirxml: at("info"),
    table: (value) => write("info", [table(value)]),
    assert: (condition, ...args) => {
      if (!condition) write("error", args.length === 0 ? ["Assertion failed"] : ["Assertion failed:", ...args]);
    },
    group: (...args) => {
      if (args.length > 0) write("info", args);
      indent += "  ";
    },
    groupEnd: () => {
      indent = indent.slice(2);
    },
    count: (label = "default") => {
      const count = (counts.get(String(label)) ?? 0) + 1;
      counts.set(String(label), count);
      write("info", [`${String(label)}: ${count}`]);
    },
    countReset: (label = "default") => void counts.delete(String(label)),
    time: (label = "default") => void starts.set(String(label), now()),
    timeLog: (label = "default", ...args) => write("info", [elapsed(String(label)), ...args]),
    timeEnd: (label = "default") => {
      write("info", [elapsed(String(label))]);
      starts.delete(String(label));
    },
    clear: () => {},
  };
  methods["groupCollapsed"] = methods["group"]!;
  (globalThis as Record<string, unknown>)["console"] = methods;
}

/** Rows and columns as plain text; what is not tabular is shown as it is. */
function table(value: unknown): string {
  if (typeof value !== "object" || value === null) return formatValue(value);
  const rows = Object.entries(value).slice(0, 1_000);
  const columns = [
    ...new Set(rows.flatMap(([, row]) => (typeof row === "object" && row !== null ? Object.keys(row) : []))),
  ];
  const header = ["(index)", ...columns, ...(columns.length === 0 ? ["Values"] : [])];
  const lines = rows.map(([index, row]) => {
    const isObject = typeof row === "object" && row !== null;
    const cells = columns.map((column) =>
      isObject && column in row ? formatValue((row as Record<string, unknown>)[column]) : "",
    );
    return [index, ...cells, ...(columns.length === 0 || !isObject ? [formatValue(row)] : [])];
  });
  const widths = header.map((_, i) => Math.max(...[header, ...lines].map((line) => (line[i] ?? "").length)));
  return [header, ...lines]
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
