/**
 * What commands print: data on stdout, everything else on stderr, colours only on a terminal, errors as
 * `error[CODE]: …` with a `hint:` line. What is for people is text alone: whatever others wrote in it, such as a step or a
 * name, sends no command to the terminal and hides nothing.
 */
import { styleText } from "node:util";
import { cleanLine, cleanText } from "../mcp/plain-text.ts";
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

/** A line for people, on stderr, or several. */
export function note(line: string): void {
  writeNote(cleanText(line));
}

/** Data, on stdout, as it is. `lost` says what to do about it when it cannot be had again and was not written. */
export function data(text: string, lost?: string): void {
  process.stdout.write(text, (error) => {
    if (error && lost !== undefined) reportUnwritten(error, lost);
  });
}

/** Data as a line for people, on stdout. */
export function dataLine(text: string): void {
  data(`${cleanLine(text)}\n`);
}

/** A thing as JSON, on stdout. JSON alone would leave DEL and the C1 controls as they are, and terminals obey these. */
export function dataJson(thing: unknown, indent = 0, lost?: string): void {
  const text = JSON.stringify(thing, undefined, indent);
  data(`${text.replaceAll(/[\u007f-\u009f]/g, (control) => `\\u00${control.charCodeAt(0).toString(16)}`)}\n`, lost);
}

/** Prints an error and gives the exit code that goes with it. */
export function reportError(error: unknown): number {
  const { code, message } = isOfClient(error) ? toldByClient(error) : toStepvaultError(error);
  const entry = Object.hasOwn(errorCodes, code) ? errorCodes[code as ErrorCode] : undefined;
  labelled("red", `error[${code}]`, message);
  if (entry !== undefined) labelled("cyan", "hint", entry.mend);
  if (code === "ERR_ARGUMENT_SECRET") return exitCodes.usage;
  return exitCodeOf(entry?.fault ?? "system");
}

/** Prints how something was called wrongly, and how it is called. */
export function reportUsage({ code, message }: StepvaultError, usage: string): number {
  labelled("red", `error[${code}]`, message);
  labelled("cyan", "hint", usage);
  return exitCodes.usage;
}

let unwritten = false;

/** Prints, once, that the output cannot be written. A reader that has seen enough, such as head, is no error. */
export function reportUnwritten({ code }: NodeJS.ErrnoException, lost?: string): void {
  if (unwritten || (code === "EPIPE" && lost === undefined)) return;
  unwritten = true;
  process.exitCode = exitCodes.system;
  labelled("red", "error[ERR_INTERNAL]", `Cannot write the output: ${code ?? "no reason given"}`);
  labelled("cyan", "hint", lost ?? "make room, or have it written elsewhere");
}

/** What the client library throws: it keeps nothing of the request. */
function isOfClient(error: unknown): error is Error & { code?: string } {
  const { name } = error as { name?: unknown };
  return name === "StepvaultApiError" || name === "StepvaultClientError";
}

/** An answer without a code is not the API's: whatever stands in front of it, such as a proxy, has none. */
function toldByClient({ code, message }: Error & { code?: string }): { code: string; message: string } {
  if (code !== undefined) return { code, message };
  return { code: "ERR_CLIENT_ANSWER", message: `${message}; it is no answer of the API, but of something before it` };
}

/** Only the label has a colour. */
function labelled(style: Style, label: string, text: string): void {
  writeNote(`${paint(style, cleanLine(label))}: ${cleanLine(text)}`);
}

function writeNote(line: string): void {
  process.stderr.write(`${line}\n`);
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

  constructor(print: (line: string) => void = writeNote, stream: NodeJS.WriteStream = process.stderr) {
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
    // Whatever a text breaks its lines with, each has its label, so that none passes for another event.
    for (const line of lines.flatMap((text) => cleanText(text.replace(/\r$/, "")).split("\n")))
      this.#print(`${clock} ${label} ${line}`);
  }
}

/** Text of a table, and its colour. */
export type Cell = string | { readonly text: string; readonly style: Style };

/** Rows as aligned columns for stdout, the first row as their heads. */
export function table(rows: readonly (readonly Cell[])[]): string {
  const cells = rows.map((row) =>
    row.map((cell) => (typeof cell === "string" ? { text: cleanLine(cell) } : { ...cell, text: cleanLine(cell.text) })),
  );
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => row[column]?.text.length ?? 0)));
  return cells
    .map((row) =>
      row
        .map(({ text, style }: { text: string; style?: Style }, column) => {
          const padded = text.padEnd(widths[column] ?? 0);
          return style === undefined ? padded : paint(style, padded, process.stdout);
        })
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
