/**
 * Looks whether an external PostgreSQL answers, without changing anything in it: one connection, one question. Knows
 * nothing of pools and migrations, which opening the database brings along.
 */
import { Client } from "pg";
import { toDatabaseError } from "./errors.ts";

const connectMsMax = 5_000;

/** The server's version. Throws ERR_DATABASE. */
export async function probeDatabase(databaseUrl: string): Promise<string> {
  const client = new Client({ connectionString: databaseUrl, connectionTimeoutMillis: connectMsMax });
  client.on("error", () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ server_version: string }>("show server_version");
    return rows[0]?.server_version ?? "of unknown version";
  } catch (error) {
    throw toDatabaseError("reach the database", error);
  } finally {
    await client.end().catch(() => {});
  }
}
