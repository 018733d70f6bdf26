/** `console.table`: rows and columns drawn as Node draws them. Runs inside the isolate. */
import { inspect } from "./inspect.ts";
import { kindOf } from "./kind.ts";

const rowsMax = 1_000;
const tableColumnsMax = 100;

/** A table of the value, or undefined when the value has no rows. */
export function drawTable(value: unknown, only?: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const kind = kindOf(value);
  if (kind?.name === "Map") {
    const cells = kind.entries.map(([key, item], i) => [String(i), cell(key), cell(item)]);
    return draw(["(iteration index)", "Key", "Values"], cells);
  }
  if (kind?.name === "Set") {
    return draw(
      ["(iteration index)", "Values"],
      kind.items.map((item, i) => [String(i), cell(item)]),
    );
  }
  const rows = Object.entries(value).slice(0, rowsMax);
  const columns = Array.isArray(only) ? only.map(String) : columnsOf(rows);
  const hasValues = rows.some(([, row]) => !isObject(row));
  const lines = rows.map(([index, row]) => [
    index,
    ...columns.map((column) => (isObject(row) && Object.hasOwn(row, column) ? cell((row as Row)[column]) : "")),
    ...(hasValues ? [isObject(row) ? "" : cell(row)] : []),
  ]);
  return draw(["(index)", ...columns, ...(hasValues ? ["Values"] : [])], lines);
}

type Row = Record<string, unknown>;

const isObject = (value: unknown): value is object =>
  (typeof value === "object" && value !== null) || typeof value === "function";

const cell = (value: unknown): string => inspect(value, isObject(value) && Object.keys(value).length > 2 ? -1 : 0);

function columnsOf(rows: [string, unknown][]): string[] {
  const columns: string[] = [];
  for (const [, row] of rows) {
    if (!isObject(row)) continue;
    for (const key of Object.keys(row))
      if (!columns.includes(key) && columns.length < tableColumnsMax) columns.push(key);
  }
  return columns;
}

function draw(header: string[], rows: string[][]): string {
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)) + 2);
  const rule = (left: string, middle: string, right: string): string =>
    left + widths.map((width) => "─".repeat(width)).join(middle) + right;
  const line = (cells: string[]): string => `│${cells.map((text, i) => ` ${text}`.padEnd(widths[i]!)).join("│")}│`;
  return [rule("┌", "┬", "┐"), line(header), rule("├", "┼", "┤"), ...rows.map(line), rule("└", "┴", "┘")].join("\n");
}
