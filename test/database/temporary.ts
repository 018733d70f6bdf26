/**
 * Temporary data directories with an embedded PostgreSQL, and child processes that open one, for the tests of
 * database/ and vault/.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Database, openDatabase } from "../../database/connection.ts";
import { type Config, parseConfig } from "../../protocol/config.ts";
import { expectNoValues, type SearchOptions } from "../helpers/no-values.ts";

export interface Temporary {
  readonly config: Config;
  readonly database: Database;
  /** Removes it all, and throws when a value or a key was left where it must not be. */
  dispose(search?: SearchOptions): Promise<void>;
}

/** An open database in a temporary data directory. */
export async function openTemporary(): Promise<Temporary> {
  const dataDir = await mkdtemp(join(tmpdir(), "stepvault-test-"));
  const config = configFor(dataDir);
  const database = await openDatabase(config);
  return {
    config,
    database,
    async dispose(search) {
      try {
        await expectNoValues(database, config, search);
      } finally {
        await database.close();
        await rm(dataDir, { recursive: true, force: true });
      }
    },
  };
}

export function configFor(dataDir: string, settings: Record<string, string> = {}): Config {
  return parseConfig({ STEPVAULT_DATA_DIR: dataDir, STEPVAULT_DATABASE_CONNECTIONS_MAX: "4", ...settings });
}

/** The pid of the server that runs, or last ran, in a data directory. */
export async function serverPid(dataDir: string): Promise<number> {
  return Number.parseInt(await readFile(join(dataDir, "postgres/postmaster.pid"), "utf8"), 10);
}

export interface OpenedProcess {
  readonly child: ChildProcess;
  /** Closes the database in the child and gives its exit code. */
  close(): Promise<number | null>;
  kill(): Promise<void>;
}

/** Opens a data directory in a process of its own. Throws with what that process says when it cannot. */
export async function openInProcess(
  dataDir: string,
  user: { uid?: number; gid?: number } = {},
): Promise<OpenedProcess> {
  const script = join(import.meta.dirname, "open-database.ts");
  const child = spawn(process.execPath, [script, dataDir], { ...user, cwd: "/", stdio: ["pipe", "pipe", "pipe"] });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (errors += chunk));
  const ended = once(child, "exit") as Promise<[number | null]>;
  const ready = once(createInterface(child.stdout), "line");
  const [line] = (await Promise.race([ready, ended.then(() => [`ended: ${errors}`])])) as [string];
  if (line !== "ready") throw new Error(line);
  return {
    child,
    async close() {
      child.stdin.end();
      return (await ended)[0];
    },
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
