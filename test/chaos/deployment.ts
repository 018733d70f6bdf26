/**
 * A whole deployment on loopback: PostgreSQL behind a proxy, or embedded; a queue in it or in Redis; workers and APIs as
 * processes of their own. One project with a secret, and what is needed to ask it for runs. `close` ends all of it.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Database, openDatabase } from "../../database/connection.ts";
import { type Config, parseConfig } from "../../protocol/config.ts";
import { openQueue, type RunQueue } from "../../runs/queue.ts";
import { openVault } from "../../vault/vault.ts";
import { freePort } from "../helpers/global-setup.ts";
import {
  dataPassword,
  type RedisServers,
  startClusterRedis,
  startSentinelRedis,
  startSingleRedis,
} from "../helpers/redis-servers.ts";
import { createOrganization, createProject, setSecret } from "../helpers/vault.ts";
import { Disk } from "./disk.ts";
import { Effects } from "./effects.ts";
import { Postgres } from "./postgres.ts";
import { Supervised } from "./processes.ts";
import { secretName } from "./programs.ts";
import { Proxy } from "./proxy.ts";

/** Where the queue is; `embedded` is PostgreSQL again, started by the workers themselves. */
export const backends = ["postgres", "embedded", "redis", "sentinel", "cluster"] as const;
export type Backend = (typeof backends)[number];

const startRedis = { redis: startSingleRedis, sentinel: startSentinelRedis, cluster: startClusterRedis };

export interface DeploymentOptions {
  readonly backend: Backend;
  readonly workers?: number;
  readonly apis?: number;
  /** A folder with a Python snapshot, where there is one already. */
  readonly cacheDir?: string;
  /** Whether what the processes said stays there when all is over. */
  readonly keepLogs?: boolean;
}

export interface Deployment {
  readonly backend: Backend;
  readonly disk: Disk;
  /** Undefined where it is embedded. */
  readonly postgres: Postgres | undefined;
  readonly proxy: Proxy | undefined;
  readonly redis: RedisServers | undefined;
  readonly workers: readonly Supervised[];
  readonly apis: readonly Supervised[];
  readonly addresses: readonly string[];
  readonly effects: Effects;
  /** Past the proxy. */
  readonly config: Config;
  readonly database: Database;
  readonly queue: RunQueue;
  readonly projectId: string;
  readonly key: string;
  /** Of the processes. */
  readonly logs: string;
  /** What must be in no log and no file but those that are meant to hold it. */
  readonly passwords: readonly string[];
  close(): Promise<void>;
}

type Close = () => Promise<void> | void;

export async function startDeployment(options: DeploymentOptions): Promise<Deployment> {
  const closes: Close[] = [];
  const close = async (): Promise<void> => {
    for (const next of closes.splice(0).reverse()) await next();
  };
  try {
    return { ...(await start(options, closes)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function start(
  { backend, workers = 2, apis = 2, cacheDir, keepLogs = false }: DeploymentOptions,
  closes: Close[],
): Promise<Omit<Deployment, "close">> {
  const disk = new Disk();
  closes.push(() => disk.remove());
  const logs = mkdtempSync(path.join(tmpdir(), "stepvault-chaos-logs-"));
  if (!keepLogs) closes.push(() => rmSync(logs, { recursive: true, force: true }));
  const dataDir = path.join(disk.folder, "data");
  const cache = cacheDir ?? path.join(logs, "cache");
  mkdirSync(dataDir, { recursive: true });
  mkdirSync(cache, { recursive: true });
  symlinkSync(cache, path.join(dataDir, "cache"));

  const effects = await Effects.start();
  closes.push(async () => await effects.close());
  const redis = backend in startRedis ? await redisOn(disk, startRedis[backend as keyof typeof startRedis]) : undefined;
  if (redis !== undefined) closes.push(async () => await redis.stop());
  const postgres =
    backend === "embedded"
      ? undefined
      : await Postgres.start(path.join(dataDir, "postgres"), path.join(logs, "postgres.log"));
  if (postgres !== undefined) closes.push(async () => await postgres.close());
  const proxy = postgres === undefined ? undefined : await Proxy.start(() => postgres.port);
  if (proxy !== undefined) closes.push(async () => await proxy.close());

  const common = {
    STEPVAULT_DATA_DIR: dataDir,
    ...(redis === undefined ? {} : { STEPVAULT_REDIS_URL: redis.url }),
  };
  const config = parseConfig({
    ...common,
    STEPVAULT_DATABASE_CONNECTIONS_MAX: "4",
    ...(postgres === undefined ? {} : { STEPVAULT_DATABASE_URL: postgres.url() }),
  });
  const database = await openDatabase(config);
  closes.push(async () => await database.close());
  const { projectId, key } = await furnish(database, config);
  const queue = await openQueue(config, database);
  closes.push(async () => await queue.close());

  const environment = {
    ...common,
    ...(postgres === undefined || proxy === undefined ? {} : { STEPVAULT_DATABASE_URL: postgres.url(proxy.port) }),
    STEPVAULT_EGRESS_OPEN: `127.0.0.1:${effects.port}`,
    STEPVAULT_API_REQUESTS_PER_MINUTE_MAX: "1000000",
    STEPVAULT_HOSTS_IDLE_MAX: "1",
    STEPVAULT_SHUTDOWN_MS_MAX: "8000",
  };
  const spawn = async (command: "worker" | "api", at: number, more: Record<string, string>): Promise<Supervised> => {
    const name = `${command}-${at}`;
    const process = new Supervised({
      name,
      command,
      folder: logs,
      clock: command === "worker",
      environment: { ...environment, ...more },
    });
    closes.push(async () => await process.close());
    return process;
  };
  const started: Supervised[] = [];
  for (let at = 1; at <= workers; at += 1) {
    started.push(await spawn("worker", at, {}));
    // The first one makes the Python snapshot for all.
    if (at === 1) await started[0]!.serves();
  }
  const ports = await Promise.all(Array.from({ length: apis }, async () => await freePort()));
  const served = await Promise.all(
    ports.map(async (port, at) => await spawn("api", at + 1, { STEPVAULT_API_PORT: String(port) })),
  );
  await Promise.all([...started, ...served].map(async (process) => await process.serves()));
  return {
    backend,
    disk,
    postgres,
    proxy,
    redis,
    workers: started,
    apis: served,
    addresses: ports.map((port) => `http://127.0.0.1:${port}`),
    effects,
    config,
    database,
    queue,
    projectId,
    key,
    logs,
    passwords: [dataPassword, ...(postgres === undefined ? [] : [postgres.password])],
  };
}

/** Redis' folders are made in the folder for temporary files: for this moment that one is on the disk. */
async function redisOn(disk: Disk, begin: () => Promise<RedisServers>): Promise<RedisServers> {
  const before = process.env["TMPDIR"];
  process.env["TMPDIR"] = disk.folder;
  try {
    return await begin();
  } finally {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
  }
}

async function furnish(database: Database, config: Config): Promise<{ projectId: string; key: string }> {
  const vault = await openVault(database, config);
  try {
    const organization = await createOrganization(vault, "Chaos");
    const { id: projectId } = await createProject(vault, organization.id, "Chaos");
    await setSecret(vault, projectId, secretName, `sv-${randomBytes(24).toString("base64url")}`);
    const { key } = await vault.keys.createForProject({
      projectId,
      name: "Load",
      scopes: ["trigger", "read:runs", "admin"],
      expiry: "none",
    });
    return { projectId, key };
  } finally {
    vault.close();
  }
}
