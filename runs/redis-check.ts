/**
 * What a Redis must be to hold the queue, looked at before it is used: reachable, a master, recent enough, one that evicts
 * nothing, a Cluster that covers all slots. Asks each server by itself with plain connections that try once, so that
 * what is wrong is said at once. Nothing here is used again once the queue is open, except who belongs to a set.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { StepvaultError } from "../protocol/error.ts";
import {
  parseRedisAddress,
  type RedisAddress,
  type RedisLogin,
  type RedisServer,
  serverText,
} from "../protocol/redis-address.ts";
import { forgetCommand, redisReason } from "./redis-failure.ts";

const lookTimeMsMax = 5_000;
/** How long a set of servers may be of two minds about who is the master, and how often it is asked. */
const settleTimeMsMax = 10_000;
const settlePauseMs = 500;
const silent = "it does not answer";
const versionMin = [6, 2] as const;

export interface RedisReport {
  readonly address: RedisAddress;
  /** Whether every master writes down each change, so that a restart loses nothing that is queued. */
  readonly keepsJobs: boolean;
  /** All servers that belong to it, as `host:port`. */
  readonly servers: readonly string[];
}

/**
 * Refuses a Redis that does not answer or is none that a queue may be in (ERR_REDIS), and one that may throw jobs away when
 * its memory is full (ERR_REDIS_EVICTION).
 */
export async function checkRedis(redisUrl: string): Promise<RedisReport> {
  const address = parseRedisAddress(redisUrl) ?? refuse("it is no address of one");
  // A set of servers may be in the middle of a failover, of which its members tell each other only after a moment.
  const end = performance.now() + (address.kind === "single" ? 0 : settleTimeMsMax);
  for (;;) {
    try {
      const masters = await mastersOf(address);
      const reports = await Promise.all(masters.map(async (master) => await checkMaster(master, address)));
      return { address, keepsJobs: reports.every(({ keepsJobs }) => keepsJobs), servers: await redisNodes(address) };
    } catch (error) {
      const reason = error instanceof StepvaultError ? undefined : (redisReason(error) ?? silent);
      if (performance.now() < end && (reason === silent || error instanceof Unsettled)) await sleep(settlePauseMs);
      else if (reason === undefined) throw error;
      else refuse(reason, error);
    }
  }
}

/** Every server that belongs to an address now, as `host:port`, by what the Sentinels or the Cluster say. */
export async function redisNodes(address: RedisAddress): Promise<string[]> {
  if (address.kind === "single") return address.servers.map(serverText);
  if (address.kind === "cluster") {
    return await askFirst(address, address.login, async (client) =>
      (await slotsOf(client)).flatMap(({ nodes }) => nodes).map(serverText),
    );
  }
  return await askFirst(address, address.sentinelLogin, async (client) => {
    const ask = async (question: string): Promise<unknown> =>
      await client.call("sentinel", question, address.master ?? "");
    const [master, ...others] = await Promise.all(["get-master-addr-by-name", "replicas", "sentinels"].map(ask));
    return [[master], ...others].flatMap(serversIn).map(serverText);
  });
}

async function mastersOf(address: RedisAddress): Promise<RedisServer[]> {
  if (address.kind === "single") return [...address.servers];
  if (address.kind === "sentinel") return [await askSentinels(address)];
  return await askFirst(address, address.login, async (client) => {
    requireKind(await client.info("server"), "cluster");
    const state = /^cluster_state:(\S+)/m.exec(await client.cluster("INFO"))?.[1];
    if (state !== "ok") throw unsettled("the cluster is down");
    const slots = await slotsOf(client);
    const covered = slots.reduce((sum, { from, to }) => sum + to - from + 1, 0);
    if (covered !== 16_384) throw unsettled(`the cluster covers ${covered} of 16384 slots`);
    return uniqueServers(slots.flatMap(({ nodes }) => nodes.slice(0, 1)));
  });
}

async function askSentinels(address: RedisAddress): Promise<RedisServer> {
  return await askFirst(address, address.sentinelLogin, async (client) => {
    requireKind(await client.info("server"), "sentinel");
    const [master] = serversIn([await client.call("sentinel", "get-master-addr-by-name", address.master ?? "")]);
    return master ?? refuse("its Sentinels know no set of this name");
  });
}

async function checkMaster(server: RedisServer, address: RedisAddress): Promise<{ keepsJobs: boolean }> {
  const info = await withClient(server, address, address.login, async (client) => {
    if (address.database !== 0) await client.select(address.database);
    return await client.info();
  });
  const read = (name: string): string | undefined => new RegExp(`^${name}:(\\S+)`, "m").exec(info)?.[1];
  requireKind(info, address.kind === "cluster" ? "cluster" : "standalone");
  if (read("role") !== "master") throw unsettled("it is a read-only replica");
  const version = read("redis_version") ?? "0";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < versionMin[0] || (major === versionMin[0] && minor < versionMin[1])) {
    refuse(`its version is ${major}.${minor}, at least ${versionMin.join(".")} is needed`);
  }
  const policy = read("maxmemory_policy");
  if (policy !== undefined && policy !== "noeviction") {
    throw new StepvaultError(
      "ERR_REDIS_EVICTION",
      `Cannot use this Redis: its maxmemory-policy is ${policy}, so it may delete jobs; it must be noeviction`,
    );
  }
  return { keepsJobs: read("aof_enabled") === "1" };
}

/** A server of another kind answers too, and fails at the first job. */
function requireKind(info: string, wanted: "standalone" | "sentinel" | "cluster"): void {
  const mode = /^redis_mode:(standalone|sentinel|cluster)/m.exec(info)?.[1] ?? wanted;
  if (mode !== wanted) refuse(`it is of the kind ${mode}, and the setting is for ${wanted}`);
}

/** The answer of the first server that gives one. What a server says of itself ends the search. */
async function askFirst<T>(
  address: RedisAddress,
  login: RedisLogin | undefined,
  ask: (client: Redis) => Promise<T>,
): Promise<T> {
  let failure: unknown;
  for (const server of address.servers) {
    try {
      return await withClient(server, address, login, ask);
    } catch (error) {
      if (error instanceof StepvaultError) throw error;
      failure = error;
    }
  }
  throw failure;
}

async function withClient<T>(
  { host, port }: RedisServer,
  { tls }: RedisAddress,
  login: RedisLogin | undefined,
  ask: (client: Redis) => Promise<T>,
): Promise<T> {
  const client = new Redis({
    host,
    port,
    ...(login?.username !== undefined && { username: login.username }),
    ...(login && { password: login.password }),
    ...(tls && { tls: {} }),
    lazyConnect: true,
    connectTimeout: lookTimeMsMax,
    commandTimeout: lookTimeMsMax,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    enableReadyCheck: false,
  });
  let failure: unknown;
  client.on("error", (error) => (failure = error));
  try {
    await client.connect();
    return await ask(client);
  } catch (error) {
    // That a connection is closed says less than why.
    throw error instanceof StepvaultError ? error : (failure ?? error);
  } finally {
    client.disconnect();
  }
}

interface Slots {
  readonly from: number;
  readonly to: number;
  /** The master first. */
  readonly nodes: readonly RedisServer[];
}

async function slotsOf(client: Redis): Promise<Slots[]> {
  const ranges = (await client.cluster("SLOTS")) as unknown as [number, number, ...unknown[]][];
  return ranges.map(([from, to, ...nodes]) => ({ from, to, nodes: serversIn(nodes) }));
}

/** Servers in an answer: each a list that begins with host and port, or one of names and values with `ip` and `port`. */
function serversIn(answer: unknown): RedisServer[] {
  if (!Array.isArray(answer)) return [];
  return answer.flatMap((item: unknown) => {
    const fields = fieldsOf(item);
    const [host, port] = [fields["ip"], Number(fields["port"])];
    return typeof host === "string" && host !== "" && Number.isInteger(port) && port > 0 ? [{ host, port }] : [];
  });
}

function fieldsOf(item: unknown): Record<string, unknown> {
  if (!Array.isArray(item)) return item instanceof Map ? Object.fromEntries(item) : { ...(item as object) };
  if (!item.includes("ip")) return { ip: item[0], port: item[1] };
  return Object.fromEntries(item.flatMap((name: unknown, at) => (at % 2 === 0 ? [[String(name), item[at + 1]]] : [])));
}

function uniqueServers(servers: readonly RedisServer[]): RedisServer[] {
  return [...new Map(servers.map((server) => [serverText(server), server])).values()];
}

/** What may be over in a moment, where there are several servers. */
class Unsettled extends StepvaultError {}

function unsettled(reason: string): Unsettled {
  return new Unsettled("ERR_REDIS", refusal(reason));
}

function refuse(reason: string, cause?: unknown): never {
  throw new StepvaultError("ERR_REDIS", refusal(reason), cause === undefined ? {} : { cause: forgetCommand(cause) });
}

function refusal(reason: string): string {
  return `Cannot use the Redis of STEPVAULT_REDIS_URL: ${reason}`;
}
