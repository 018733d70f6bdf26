/**
 * A PostgreSQL server as a deployment has one beside it: on a port of loopback, in a process of its own, killed, stopped
 * and started at will, and started again when it ends by itself. Made of the embedded server's programs and its cluster, to
 * which a line for TCP is added.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFile, mkdir, open } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { binaryEnvironment, clusterArgument } from "../../database/embedded-binaries.ts";
import { type Cluster, openCluster } from "../../database/embedded-cluster.ts";
import { probeDatabase } from "../../database/probe.ts";
import { freePort } from "../helpers/global-setup.ts";

const startMsMax = 60_000;
const againMs = 500;
const signals = { fast: "SIGINT", immediate: "SIGQUIT", kill: "SIGKILL" } as const;

export class Postgres {
  readonly port: number;
  readonly logFile: string;
  #cluster: Cluster;
  #child: ChildProcess | undefined;
  #wanted = true;

  private constructor(cluster: Cluster, port: number, logFile: string) {
    this.#cluster = cluster;
    this.port = port;
    this.logFile = logFile;
  }

  static async start(directory: string, logFile: string): Promise<Postgres> {
    await mkdir(path.dirname(directory), { recursive: true });
    const cluster = await openCluster(directory, { info() {}, warn() {} });
    await appendFile(path.join(directory, "pg_hba.conf"), "host stepvault stepvault 127.0.0.1/32 scram-sha-256\n");
    const postgres = new Postgres(cluster, await freePort(), logFile);
    await postgres.#launch();
    await postgres.answers();
    return postgres;
  }

  get password(): string {
    return String(this.#cluster.clientConfig.password);
  }

  get directory(): string {
    return this.#cluster.directory;
  }

  url(port: number = this.port): string {
    return `postgres://stepvault:${this.password}@127.0.0.1:${port}/stepvault`;
  }

  /** Ends it, and has it stay away until `begin`. */
  async end(how: keyof typeof signals): Promise<void> {
    this.#wanted = false;
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signals[how]);
    await ended;
  }

  async begin(): Promise<void> {
    this.#wanted = true;
    await this.#launch();
    await this.answers();
  }

  /** Waits until it takes questions. */
  async answers(): Promise<void> {
    for (const end = performance.now() + startMsMax; performance.now() < end;) {
      const version = await probeDatabase(this.url()).catch(() => undefined);
      if (version !== undefined) return;
      await sleep(100);
    }
    throw new Error(`PostgreSQL does not answer within ${startMsMax} ms; see ${this.logFile}`);
  }

  async close(): Promise<void> {
    await this.end("immediate");
    await this.#cluster.release();
  }

  async #launch(): Promise<void> {
    const { binaries, directory, user } = this.#cluster;
    const settings = {
      listen_addresses: "127.0.0.1",
      port: this.port,
      unix_socket_directories: "",
      max_connections: 200,
      shared_buffers: "64MB",
      max_wal_size: "128MB",
      min_wal_size: "32MB",
      io_method: "sync",
      timezone: "UTC",
      log_timezone: "UTC",
      log_error_verbosity: "terse",
      log_min_error_statement: "panic",
    };
    const log = await open(this.logFile, "a", 0o600);
    try {
      const child = spawn(
        path.join(binaries.directory, "bin/postgres"),
        ["-D", clusterArgument(user), ...Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`])],
        { ...user, cwd: directory, env: binaryEnvironment, stdio: ["ignore", log.fd, log.fd] },
      );
      child.on("error", () => {}); // One that does not start does not answer either.
      this.#child = child;
      child.once("exit", () => void this.#again(child));
    } finally {
      await log.close();
    }
  }

  /** What a supervisor does. Backends of a killed server may hold its memory for a moment more: then it is tried again. */
  async #again(child: ChildProcess): Promise<void> {
    await sleep(againMs);
    if (this.#wanted && this.#child === child) await this.#launch();
  }
}
