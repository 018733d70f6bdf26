/**
 * The embedded PostgreSQL: one server per data directory, shared by every Stepvault process that uses the directory.
 * Whoever comes first starts it; each process holds a shared advisory lock in it for as long as it lives; whoever closes
 * last, which is the one that can take the lock for itself, stops it. A process killed in between leaves the server
 * running, and the next one adopts it. When the server dies under a process, that process starts it again.
 */
import { mkdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Client, type ClientConfig } from "pg";
import { StepvaultError } from "../protocol/error.ts";
import { type Cluster, openCluster } from "./embedded-cluster.ts";
import { boundServerLog, lastServerFailure, runningPid, startServer, stopServer } from "./embedded-process.ts";
import { sqlState, toDatabaseError } from "./errors.ts";
import type { DatabaseLog, Server } from "./server.ts";

/** Crash recovery replays at most the write-ahead log since the last checkpoint, which the settings keep small. */
const startMsMax = 60_000;
const startAttemptsMax = 12;
const retryMs = 25;
const restartPauseMs = 2_000;
const logBoundMs = 600_000;

/** Any fixed number; held shared by every process that uses the server. */
const presenceLock = 7_308_332_045_514_012;

/** Starts the server of a data directory, or joins the one that runs. Throws ERR_DATABASE. */
export async function openEmbedded(dataDir: string, log: DatabaseLog): Promise<Server> {
  if (process.platform === "win32") {
    throw new StepvaultError("ERR_DATABASE", "Cannot start PostgreSQL: on Windows give STEPVAULT_DATABASE_URL");
  }
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    const cluster = await openCluster(join(await realpath(dataDir), "postgres"), log);
    const presence = await enter(cluster, log);
    return new EmbeddedServer(cluster, presence, log);
  } catch (error) {
    throw error instanceof StepvaultError
      ? error
      : new StepvaultError("ERR_DATABASE", `Cannot start PostgreSQL in ${dataDir}: ${errnoOf(error)}`, {
          cause: error,
        });
  }
}

/** pg has both and documents them; its types lack them. */
type Presence = Client & { ref(): void; unref(): void };

class EmbeddedServer implements Server {
  readonly #cluster: Cluster;
  readonly #log: DatabaseLog;
  readonly #logTimer: NodeJS.Timeout;
  #presence: Promise<Presence | undefined>;
  #closing = false;

  constructor(cluster: Cluster, presence: Presence, log: DatabaseLog) {
    this.#cluster = cluster;
    this.#log = log;
    this.#logTimer = setInterval(() => void boundServerLog(cluster).catch(() => {}), logBoundMs).unref();
    this.#presence = Promise.resolve(this.#watch(presence));
  }

  get clientConfig(): ClientConfig {
    return this.#cluster.clientConfig;
  }

  #watch(presence: Presence): Presence {
    // The presence is no work: it must not keep a process alive that has nothing else to do.
    presence.unref();
    presence.once("end", () => {
      if (!this.#closing) this.#presence = this.#reenter();
    });
    return presence;
  }

  async #reenter(): Promise<Presence | undefined> {
    this.#log.warn("the embedded PostgreSQL went away; starting it again");
    while (!this.#closing) {
      try {
        return this.#watch(await enter(this.#cluster, this.#log));
      } catch (error) {
        this.#log.warn(toDatabaseError("start PostgreSQL again", error).message);
        await delay(restartPauseMs, undefined, { ref: false });
      }
    }
    return undefined;
  }

  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#logTimer);
    const presence = await this.#presence;
    presence?.ref();
    if (presence !== undefined && (await leave(presence))) await stopServer(this.#cluster);
    await presence?.end().catch(() => {});
    await this.#cluster.release();
  }
}

/** Connects and takes the presence lock, starting the server as often as needed. */
async function enter(cluster: Cluster, log: DatabaseLog): Promise<Presence> {
  const deadline = Date.now() + startMsMax;
  let started: { ended: boolean } | undefined;
  let attempts = 0;
  for (;;) {
    const failure = await connectPresence(cluster);
    if (failure instanceof Client) return failure as Presence;
    if (!isAway(failure)) throw toDatabaseError("connect to the embedded PostgreSQL", failure);
    if (Date.now() > deadline) break;
    if (started?.ended !== false && (await runningPid(cluster)) === undefined) {
      if (attempts === startAttemptsMax) break;
      // A start that failed: another process won the race, or backends of a killed server still hold its memory.
      if (attempts > 0) await delay(retryMs * attempts);
      attempts += 1;
      started = await startServer(cluster);
      log.info(`started PostgreSQL in ${cluster.directory}`);
    }
    await delay(retryMs);
  }
  throw new StepvaultError(
    "ERR_DATABASE",
    `Cannot start PostgreSQL in ${cluster.directory}: ${attempts} attempt(s); ${await lastServerFailure(cluster)}`,
  );
}

async function connectPresence(cluster: Cluster): Promise<unknown> {
  const client = new Client({
    ...cluster.clientConfig,
    application_name: "stepvault presence",
    connectionTimeoutMillis: startMsMax,
  });
  // Losing the connection is told by `end`.
  client.on("error", () => {});
  try {
    await client.connect();
    await client.query("select pg_advisory_lock_shared($1)", [presenceLock]);
    return client;
  } catch (error) {
    await client.end().catch(() => {});
    return error;
  }
}

/** Gives the presence lock back and says whether nobody else holds it: then it is held exclusively, and newcomers wait. */
async function leave(presence: Client): Promise<boolean> {
  try {
    await presence.query("select pg_advisory_unlock_shared($1)", [presenceLock]);
    const { rows } = await presence.query<{ alone: boolean }>("select pg_try_advisory_lock($1) as alone", [
      presenceLock,
    ]);
    return rows[0]?.alone === true;
  } catch {
    return false;
  }
}

/** No server, one that starts up, or one that shuts down: worth another try. */
function isAway(error: unknown): boolean {
  const state = sqlState(error);
  return (
    state === undefined ||
    ["ENOENT", "ECONNREFUSED", "ECONNRESET", "EPIPE"].includes(state) ||
    /^57P0[123]$/.test(state)
  );
}

function errnoOf(error: unknown): string {
  const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  return code === undefined ? "an unexpected error" : `${syscall ?? "a call"} failed with ${code}`;
}
