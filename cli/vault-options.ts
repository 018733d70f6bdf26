/**
 * What commands share: where something is, values from stdin or a prompt that shows nothing, dates, and printing what was
 * found or done. A value never comes from an argument: other users of the machine see those.
 */
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { Writable } from "node:stream";
import { StepvaultError } from "../protocol/error.ts";
import { type Given, UsageError } from "./given.ts";
import { Interrupted } from "./interruption.ts";
import { data, dataJson, dataLine, note, table } from "./terminal.ts";

/** `NAME=VALUE`, as often as given. Throws UsageError. */
export function pairsOf(given: Given, option: string): Record<string, string> {
  return Object.fromEntries(
    given.texts(option).map((text) => {
      const at = text.indexOf("=");
      if (at < 1) throw new UsageError(`--${option} is NAME=VALUE`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

/** `all`, or ids with commas. */
export function accessOf(text: string | undefined): "all" | readonly string[] | undefined {
  return text === undefined || text === "all" ? text : text.split(",");
}

/** `never`, a date, or a date and time. */
export function dateOf(text: string | undefined, name: string): Date | null | undefined {
  if (text === undefined) return undefined;
  if (text === "never") return null;
  const [date, calendarDay] = [new Date(text), /^\d{4}-\d{2}-\d{2}/.exec(text)?.[0]];
  if (calendarDay !== undefined && isInCalendar(calendarDay) && !Number.isNaN(date.getTime())) return date;
  throw new UsageError(`${name} must be never, a date such as 2027-01-31, or a date and time`);
}

/** The 31st of February would be taken for the 3rd of March. */
function isInCalendar(calendarDay: string): boolean {
  const date = new Date(`${calendarDay}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(calendarDay);
}

/** A value: from a pipe without the line break at its end, or from whoever types it, unseen. */
export async function readValue(what: string): Promise<string> {
  if (!process.stdin.isTTY) {
    const piped = (await text(process.stdin)).replace(/\r?\n$/, "");
    if (piped !== "") return piped;
    throw new StepvaultError("ERR_SECRET_VALUE_INVALID", `Cannot read ${what}: stdin is empty`);
  }
  const unseen = new Writable({ write: (_chunk, _encoding, done) => done() });
  const reader = createInterface({ input: process.stdin, output: unseen, terminal: true });
  try {
    return await new Promise((resolve, reject) => {
      reader.on("SIGINT", () => reject(new Interrupted(130)));
      reader.question("", resolve);
      // After the terminal was told not to echo: somebody may type the moment that they are asked.
      process.stderr.write(`${what} (not shown): `);
    });
  } finally {
    reader.close();
    process.stderr.write("\n");
  }
}

/** Rows as a table for people, or an object a line. */
export function print<Row>(
  rows: readonly Row[],
  { json, head, cells }: { json: boolean; head: readonly string[]; cells: (row: Row) => string[] },
): void {
  if (json) for (const row of rows) dataJson(row);
  else data(`${table([head, ...rows.map(cells)])}\n`);
}

/** One thing: a line for each of its fields, or an object. */
export function printOne(thing: object, { json }: Given): void {
  if (json) return dataJson(thing);
  const rows = Object.entries(thing).map(([name, value]) => [name, cellOf(value)]);
  data(`${table(rows)}\n`);
}

/** That something was done: its id as data, if it was made, and a line for people; or an object. */
export function printDone(given: Given, thing: object, said: { readonly data?: string; readonly note?: string }): void {
  if (given.json) return dataJson(thing);
  if (said.note !== undefined) note(said.note);
  if (said.data !== undefined) dataLine(said.data);
}

function cellOf(value: unknown): string {
  if (value === null || value === undefined) return "-";
  if (value instanceof Date) return value.toISOString();
  return typeof value === "string" ? value : JSON.stringify(value);
}

export function day(date: Date | null): string {
  return date === null ? "never" : date.toISOString().slice(0, 10);
}
