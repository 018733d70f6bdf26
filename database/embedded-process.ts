/**
 * The embedded server as a process: start, find, stop, and its log. The server is detached, so that it outlives a killed
 * parent and no terminal signal reaches it. Whether a pid is our server is read from its command line, which names the
 * cluster: after a crash or a container restart the pid in postmaster.pid may be some other program's.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, open, readFile, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { StepvaultError } from "../protocol/error.ts";
import { binaryEnvironment, clusterArgument } from "./embedded-binaries.ts";
import type { Cluster } from "./embedded-cluster.ts";

const logBytesMax = 4 * 1024 * 1024;
const stopMsMax = 30_000;
const pollMs = 10;

/** For a small machine; durable; the log tells starts, stops and crashes but never a statement or a row. */
const settings = {
  listen_addresses: "",
  // Relative to the cluster, which is the server's working directory: no limit on the length of its path.
  unix_socket_directories: ".",
  unix_socket_permissions: "0700",
  max_connections: "100",
  shared_buffers: "64MB",
  max_wal_size: "256MB",
  wal_level: "minimal",
  max_wal_senders: "0",
  max_parallel_workers_per_gather: "0",
  io_method: "sync",
  timezone: "UTC",
  log_timezone: "UTC",
  log_min_messages: "log",
  log_min_error_statement: "panic",
  log_error_verbosity: "terse",
  log_checkpoints: "off",
};

/** Starts the server and returns at once; `ended` turns true when it has ended. Throws ERR_DATABASE. */
export async function startServer(cluster: Cluster): Promise<{ ended: boolean }> {
  await removeStaleLock(cluster);
  await boundServerLog(cluster);
  const log = await open(cluster.logFile, "a", 0o600);
  const server = { ended: false };
  try {
    // Else root would leave a log that the cluster's ordinary owner cannot write.
    if (cluster.user !== undefined) await log.chown(cluster.user.uid, cluster.user.gid);
    const child = spawn(
      join(cluster.binaries.directory, "bin/postgres"),
      [
        "-D",
        clusterArgument(cluster.user),
        ...Object.entries({ cluster_name: clusterName(cluster), ...settings }).flatMap(([key, value]) => [
          "-c",
          `${key}=${value}`,
        ]),
      ],
      {
        ...cluster.user,
        cwd: cluster.directory,
        env: binaryEnvironment,
        stdio: ["ignore", log.fd, log.fd],
        detached: true,
      },
    );
    child.once("exit", () => (server.ended = true));
    await new Promise((resolve, reject) => child.once("spawn", resolve).once("error", reject));
    child.unref();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new StepvaultError("ERR_DATABASE", `Cannot start PostgreSQL in ${cluster.directory}: spawn: ${code}`, {
      cause: error,
    });
  } finally {
    await log.close();
  }
  return server;
}

/** The pid of the cluster's running server. */
export async function runningPid(cluster: Cluster): Promise<number | undefined> {
  const pid = await recordedPid(cluster, "postmaster.pid");
  return pid !== undefined && (await isServer(cluster, pid)) ? pid : undefined;
}

/** Ends the server: sessions are cut, everything is written. Returns when it has ended. Throws ERR_DATABASE. */
export async function stopServer(cluster: Cluster): Promise<void> {
  const pid = await runningPid(cluster);
  if (pid === undefined) return;
  // SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one, which the write-ahead log makes safe.
  for (const signal of ["SIGINT", "SIGQUIT"] as const) {
    const deadline = Date.now() + stopMsMax;
    process.kill(pid, signal);
    while (Date.now() < deadline) {
      if (!(await isServer(cluster, pid))) return;
      await delay(pollMs);
    }
  }
  throw new StepvaultError("ERR_DATABASE", `Cannot stop PostgreSQL in ${cluster.directory}: process ${pid} stays`);
}

/** Keeps the server's log and one older part of it, each within its size. The server appends, so truncating is safe. */
export async function boundServerLog({ logFile }: Cluster): Promise<void> {
  const bytes = await stat(logFile).then(
    ({ size }) => size,
    () => 0,
  );
  if (bytes <= logBytesMax) return;
  await copyFile(logFile, `${logFile}.1`);
  await truncate(logFile);
}

/** Why the server last failed, in its own words, for an error message. */
export async function lastServerFailure({ logFile }: Cluster): Promise<string> {
  const log = await readFile(logFile, "utf8").catch(() => "");
  const line = log.split("\n").findLast((candidate) => /(FATAL|PANIC): /.test(candidate));
  return `${line?.replace(/^.*(?=FATAL|PANIC)/, "") ?? "it says nothing"}; see ${logFile}`;
}

/** PostgreSQL clears locks of dead processes itself, but not where the pid has become another program's. */
async function removeStaleLock(cluster: Cluster): Promise<void> {
  for (const name of ["postmaster.pid", ".s.PGSQL.5432.lock"]) {
    const pid = await recordedPid(cluster, name);
    if (pid === undefined || (await isServer(cluster, pid))) continue;
    // Read again: a server that started meanwhile has written its own.
    if ((await recordedPid(cluster, name)) === pid) await rm(join(cluster.directory, name), { force: true });
  }
}

async function recordedPid(cluster: Cluster, name: string): Promise<number | undefined> {
  const content = await readFile(join(cluster.directory, name), "utf8").catch(() => "");
  const pid = Number.parseInt(content, 10);
  return pid > 0 ? pid : undefined;
}

async function isServer(cluster: Cluster, pid: number): Promise<boolean> {
  return (await commandLine(pid)).includes(clusterName(cluster));
}

/** Empty for a process that has ended, also when nobody has reaped it yet. */
async function commandLine(pid: number): Promise<string> {
  if (process.platform === "linux") return await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  const child = spawn("ps", ["-ww", "-o", "command=", "-p", String(pid)], { stdio: ["ignore", "pipe", "ignore"] });
  let output = "";
  for await (const chunk of child.stdout.setEncoding("utf8")) output += chunk;
  return output;
}

function clusterName({ directory }: Cluster): string {
  return `stepvault-${createHash("sha256").update(directory).digest("hex").slice(0, 16)}`;
}
