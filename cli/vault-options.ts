/**
 * What commands on the vault share: where something is (`--project` or `--organization`), values from stdin or a prompt that
 * shows nothing, dates and numbers. A value never comes from an argument: other users of the machine see those.
 */
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { Writable } from "node:stream";
import { StepvaultError } from "../protocol/error.ts";
import type { Place } from "../vault/tenancy/authorize.ts";
import { data, exitCodes, note, table } from "./terminal.ts";

export const placeOptions = { project: { type: "string" }, organization: { type: "string" } } as const;

/** Told as wrong usage, with the command's usage after it. */
export class UsageError extends Error {}

export function placeOf({
  project,
  organization,
}: {
  project?: string | undefined;
  organization?: string | undefined;
}): Place {
  if ((project === undefined) === (organization === undefined))
    throw new UsageError("Say where: --project ID or --organization ID, and one of them");
  return project === undefined ? { organizationId: organization! } : { projectId: project };
}

/** Runs a command's work, and tells wrong usage with the usage. */
export async function withUsage(usage: string, work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    note(`${error.message}\n\n${usage}`);
    return exitCodes.usage;
  }
}

export function required(value: string | undefined, what: string): string {
  if (value === undefined) throw new UsageError(`${what} is missing`);
  return value;
}

export function numberOf(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new UsageError(`${name} must be a whole number`);
}

/** `never`, a date, or a date and time. */
export function dateOf(text: string | undefined, name: string): Date | null | undefined {
  if (text === undefined) return undefined;
  if (text === "never") return null;
  const date = new Date(text);
  if (/^\d{4}-\d{2}-\d{2}/.test(text) && !Number.isNaN(date.getTime())) return date;
  throw new UsageError(`${name} must be never, a date such as 2027-01-31, or a date and time`);
}

/** A value: from a pipe without the line break at its end, or from whoever types it, unseen. */
export async function readValue(what: string): Promise<string> {
  if (!process.stdin.isTTY) {
    const piped = (await text(process.stdin)).replace(/\r?\n$/, "");
    if (piped !== "") return piped;
    throw new StepvaultError("ERR_SECRET_VALUE_INVALID", `Cannot read ${what}: stdin is empty`);
  }
  process.stderr.write(`${what} (not shown): `);
  const unseen = new Writable({ write: (_chunk, _encoding, done) => done() });
  const reader = createInterface({ input: process.stdin, output: unseen, terminal: true });
  try {
    return await new Promise((resolve) => reader.question("", resolve));
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
  if (json) for (const row of rows) data(`${JSON.stringify(row)}\n`);
  else data(`${table([head, ...rows.map(cells)])}\n`);
}

export function day(date: Date | null): string {
  return date === null ? "never" : date.toISOString().slice(0, 10);
}
