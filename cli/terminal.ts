/**
 * What commands print: data on stdout, everything else on stderr, colours only on a terminal, errors as
 * `error[CODE]: …` with a `hint:` line.
 */
import { styleText } from "node:util";
import { type ErrorCode, errorCodes, type Fault, type StepvaultError, toStepvaultError } from "../protocol/error.ts";
import type { RunEvent, RunEventBody } from "../protocol/job.ts";

/** Exit codes of every command, by whose fault the end was; docs/cli.md lists them. */
export const exitCodes = { success: 0, user: 1, usage: 2, limit: 3, system: 4 } as const;

export function exitCodeOf(fault: Fault): number {
  return exitCodes[fault];
}

type Style = Parameters<typeof styleText>[0];

export function paint(style: Style, text: string, stream: NodeJS.WriteStream = process.stderr): string {
  return styleText(style, text, { stream });
}

/** A line for people, on stderr. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Data, on stdout. */
export function data(text: string): void {
  process.stdout.write(text);
}

/** Prints an error and gives the exit code that goes with it. */
export function reportError(error: unknown): number {
  const known = isOfClient(error) ? error : toStepvaultError(error);
  const entry = Object.hasOwn(errorCodes, known.code) ? errorCodes[known.code as ErrorCode] : undefined;
  note(`${paint("red", `error[${known.code}]`)}: ${known.message}`);
  if (entry !== undefined) note(`${paint("cyan", "hint")}: ${entry.mend}`);
  if (known.code === "ERR_ARGUMENT_SECRET") return exitCodes.usage;
  return exitCodeOf(entry?.fault ?? "system");
}

/** Prints how something was called wrongly, and how it is called. */
export function reportUsage({ code, message }: StepvaultError, usage: string): number {
  note(`${paint("red", `error[${code}]`)}: ${message}`);
  note(`${paint("cyan", "hint")}: ${usage}`);
  return exitCodes.usage;
}

/** What the client library throws: it has a code and keeps nothing of the request. */
function isOfClient(error: unknown): error is Error & { code: string } {
  const { name, code } = error as { name?: unknown; code?: unknown };
  return (name === "StepvaultApiError" || name === "StepvaultClientError") && typeof code === "string";
}

const levelStyles: Record<string, Style> = {
  debug: "gray",
  info: "green",
  warn: "yellow",
  error: "red",
  stdout: "green",
  stderr: "yellow",
  security: "red",
};

type ShownEvent = RunEventBody & Partial<Pick<RunEvent, "time">>;

/** Events as a person reads them: time, level, text. Printed text is put back together into whole lines. */
export class EventPrinter {
  #print: (line: string) => void;
  #stream: NodeJS.WriteStream;
  #partial = { stdout: "", stderr: "" };

  constructor(print: (line: string) => void = note, stream: NodeJS.WriteStream = process.stderr) {
    this.#print = print;
    this.#stream = stream;
  }

  show(event: ShownEvent): void {
    const time = event.time ?? new Date().toISOString();
    switch (event.kind) {
      case "stdout":
      case "stderr": {
        const lines = (this.#partial[event.kind] + event.text).split("\n");
        this.#partial[event.kind] = lines.pop() ?? "";
        return this.#lines(time, event.kind, lines);
      }
      case "log":
        return this.#lines(time, event.level, event.message.split("\n"));
      case "request": {
        const { method, host, path, status, bytes, ms } = event;
        return this.#lines(time, "request", [
          `${method} ${host}${path} ${status ?? "failed"}, ${bytes} bytes, ${ms} ms`,
        ]);
      }
      case "security": {
        const { action, reason, secrets, method, host } = event;
        return this.#lines(time, "security", [`${action}: ${secrets.join(", ")} in ${method} ${host} (${reason})`]);
      }
      case "error": {
        const { code, message, line, column, excerpt } = event.error;
        const place = line === undefined ? "" : ` (line ${line}, column ${column})`;
        const source = excerpt === undefined ? [] : excerpt.split("\n").map((text) => `  ${text}`);
        return this.#lines(time, "error", [`${code}: ${message}${place}`, ...source]);
      }
      case "finished":
        return this.end();
      default:
        return;
    }
  }

  /** Shows a last line that has no line break. */
  end(): void {
    for (const channel of ["stdout", "stderr"] as const) {
      if (this.#partial[channel] !== "") this.#lines(new Date().toISOString(), channel, [this.#partial[channel]]);
      this.#partial[channel] = "";
    }
  }

  #lines(time: string, level: string, lines: string[]): void {
    const clock = paint("gray", time.slice(11, 23), this.#stream);
    const label = paint(levelStyles[level] ?? "reset", level.padEnd(7), this.#stream);
    for (const line of lines) this.#print(`${clock} ${label} ${line}`);
  }
}

/** Rows as aligned columns, the first row as their heads. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
