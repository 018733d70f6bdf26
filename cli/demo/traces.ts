/**
 * Looks for secret values in everything that a Stepvault has stored: each row of each table as text, and each file of
 * the data directory byte by byte (the database's own files and write-ahead log among them). Values are sought as they
 * are, in base64 and in hex.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import type { Database } from "../../database/connection.ts";

export interface Search {
  readonly rows: number;
  readonly files: number;
  readonly bytes: number;
  /** Where something was found: a table or a file, never the value. */
  readonly found: string[];
}

interface TableName {
  schema: string;
  name: string;
}

export async function findTraces(database: Database, folder: string, values: readonly string[]): Promise<Search> {
  const needles = values.flatMap((value) => {
    const bytes = Buffer.from(value);
    // Base64 depends on what stands before the value: the three ways in which it can fall, without the shared edges.
    const shifted = [0, 1, 2].map((shift) =>
      Buffer.concat([Buffer.alloc(shift), bytes])
        .toString("base64")
        .slice(shift === 0 ? 0 : 4, -4),
    );
    return [value, ...shifted, bytes.toString("hex")];
  });
  const inTables = await searchTables(database, needles);
  const inFiles = searchFiles(
    folder,
    needles.map((needle) => Buffer.from(needle)),
  );
  return { rows: inTables.rows, ...inFiles, found: [...inTables.found, ...inFiles.found] };
}

async function searchTables(
  database: Database,
  needles: readonly string[],
): Promise<{ rows: number; found: string[] }> {
  const { rows: tables } = await database.query<TableName>(
    `select table_schema as schema, table_name as name from information_schema.tables
     where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')`,
  );
  let count = 0;
  const found: string[] = [];
  for (const { schema, name } of tables) {
    const { rows } = await database.query<{ row: string }>(`select t::text as row from "${schema}"."${name}" t`);
    count += rows.length;
    if (rows.some(({ row }) => needles.some((needle) => row.includes(needle)))) found.push(`table ${schema}.${name}`);
  }
  return { rows: count, found };
}

function searchFiles(folder: string, needles: readonly Buffer[]): { files: number; bytes: number; found: string[] } {
  const result = { files: 0, bytes: 0, found: [] as string[] };
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name);
    if (!(statSync(file, { throwIfNoEntry: false })?.isFile() ?? false)) continue;
    const content = readFileSync(file);
    result.files += 1;
    result.bytes += content.length;
    if (needles.some((needle) => content.includes(needle))) result.found.push(`file ${path.relative(folder, file)}`);
  }
  return result;
}
