/**
 * Forward-only schema changes: the numbered .sql files beside this one, each applied once, in order, in a transaction of
 * its own, under an advisory lock that processes starting at the same time wait for. A changed or unknown old migration
 * is an error: the schema would no longer be what this version was tested with.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { StepvaultError } from "../protocol/error.ts";
import { toDatabaseError } from "./errors.ts";
import type { DatabaseLog, Transactional } from "./server.ts";

/** Any fixed number; it names the lock among all users of the same PostgreSQL database. */
const migrationLock = 7_308_332_045_514_011;

interface Migration {
  readonly name: string;
  readonly sql: string;
  readonly checksum: string;
}

/** Applies every migration that the database has not seen. Throws ERR_DATABASE. */
export async function migrate(
  database: Transactional,
  log: DatabaseLog,
  directory = join(import.meta.dirname, "migrations"),
): Promise<void> {
  const migrations = await readMigrations(directory);
  while (await applyNext(database, migrations, log));
}

async function readMigrations(directory: string): Promise<Migration[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(".sql")).sort();
  return await Promise.all(
    names.map(async (name, index) => {
      if (!/^\d{4}-[a-z0-9-]+\.sql$/.test(name) || Number(name.slice(0, 4)) !== index + 1) {
        throw new StepvaultError(
          "ERR_DATABASE",
          `Cannot read the migration ${name}: it is not number ${index + 1} in the form NNNN-words.sql`,
        );
      }
      // A checkout with CRLF line ends is still the same migration.
      const sql = (await readFile(join(directory, name), "utf8")).replaceAll("\r\n", "\n");
      return { name, sql, checksum: createHash("sha256").update(sql).digest("hex") };
    }),
  );
}

/** Applies the first outstanding migration and says whether there was one. */
async function applyNext(
  database: Transactional,
  migrations: readonly Migration[],
  log: DatabaseLog,
): Promise<boolean> {
  return await database.transaction(async (client) => {
    await client.query("select pg_advisory_xact_lock($1)", [migrationLock]);
    await client.query("set local client_min_messages = warning");
    await client.query("create schema if not exists stepvault");
    await client.query(
      `create table if not exists stepvault.migrations (
         name text primary key, checksum text not null, applied_at timestamptz not null default now())`,
    );
    const { rows } = await client.query<{ name: string; checksum: string }>(
      "select name, checksum from stepvault.migrations order by name",
    );
    checkApplied(rows, migrations);
    const next = migrations[rows.length];
    if (next === undefined) return false;
    await client.query(next.sql).catch((error: unknown) => {
      throw toDatabaseError(`apply the migration ${next.name}`, error);
    });
    await client.query("insert into stepvault.migrations (name, checksum) values ($1, $2)", [next.name, next.checksum]);
    log.info(`applied the migration ${next.name}`);
    return true;
  });
}

function checkApplied(applied: readonly { name: string; checksum: string }[], migrations: readonly Migration[]): void {
  for (const [index, row] of applied.entries()) {
    const migration = migrations[index];
    if (migration?.name === row.name && migration.checksum === row.checksum) continue;
    const why =
      migration === undefined
        ? `this version of Stepvault knows ${migrations.length} migrations and the database has ${applied.length}`
        : `the file ${migration.name} is not the one that was applied as ${row.name}`;
    throw new StepvaultError("ERR_DATABASE", `Cannot use the database at migration ${row.name}: ${why}`);
  }
}
