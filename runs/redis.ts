/**
 * Connections to Redis: one server, what Sentinels say is the master, or a Cluster. Two kinds of clients, as two things are
 * wanted while Redis is away: a worker's commands wait until it is back, and what a caller waits for is given up soon.
 * Every client connects again for ever. Knows nothing of queues; runs/queue.ts puts BullMQ on top.
 */
import { Cluster, type ClusterOptions, Redis, type RedisOptions } from "ioredis";
import { type RedisAddress, serverText } from "../protocol/redis-address.ts";
import { redisNodes } from "./redis-check.ts";

/** Between two attempts to connect. */
const pauseMsMax = 2_000;
const connectTimeMsMax = 5_000;
/** A connection on which a command waits so long is dead. BullMQ's own reads, which are a worker's, block for up to 10 s. */
const silenceTimeMsMax = { ask: 4_000, work: 12_000 } as const;
const commandTimeMsMax = 8_000;
/** After so many attempts a caller's commands are given up, so that they do not pile up while Redis is away. */
const askRetriesMax = 3;
/** A Cluster's client tries a command again this often while a replica takes over, for about a minute. */
const redirectionsMax = 600;
const redirectionPauseMs = 100;
const slotsIntervalMs = 10_000;

export type RedisClient = Redis | Cluster;

/** `ask` for what a caller waits for, `work` for a worker and for reads that block. */
type Purpose = "ask" | "work";

export interface RedisConnections {
  /** BullMQ's prefix. On a Cluster all keys of a queue must be in one slot, so that it is in braces. */
  readonly prefix: string;
  /** A client that connects at once. */
  askingClient(): RedisClient;
  /** A client to make others from, as BullMQ does for blocking reads; it stays unconnected itself. */
  workingClient(): RedisClient;
  /** Every server that is known by now, as `host:port`, also those that others named. */
  servers(): readonly string[];
  close(): void;
}

/** Clients for an address that `checkRedis` has looked at. */
export function connectToRedis(address: RedisAddress, serversFound: readonly string[]): RedisConnections {
  const clients: RedisClient[] = [];
  const servers = new Set([...address.servers.map(serverText), ...serversFound]);
  const keep = (client: RedisClient): RedisClient => {
    client.on("error", () => {}); // Each queue and worker reports its own; without a listener ioredis writes to stderr.
    clients.push(client);
    return client;
  };
  return {
    prefix: address.kind === "cluster" ? "{stepvault}" : "bull",
    askingClient() {
      const client = keep(createRedisClient(address, "ask"));
      watchServers(client, address, servers);
      return client;
    },
    workingClient() {
      const client = keep(createRedisClient(address, "work", { lazyConnect: true }));
      // Copies take the options over. One that BullMQ has to connect would be lost when the first attempt fails.
      client.options.lazyConnect = false;
      return client;
    },
    servers: () => [...servers],
    close() {
      for (const client of clients) client.disconnect();
    },
  };
}

/** Learns of servers that came later: those of a Cluster as it meets them, those of Sentinels after each failover. */
function watchServers(client: RedisClient, address: RedisAddress, servers: Set<string>): void {
  if (client instanceof Cluster) {
    client.on("+node", ({ options: { host = "", port = 0 } }: Redis) => servers.add(serverText({ host, port })));
  } else if (address.kind === "sentinel") {
    client.on("ready", () => {
      void redisNodes(address)
        .then((nodes) => nodes.forEach((node) => servers.add(node)))
        .catch(() => {}); // The next failover asks again; meanwhile those that are known stay known.
    });
  }
}

/** A client of any kind. Never say in an error or a log what it is made from. */
export function createRedisClient(
  address: RedisAddress,
  purpose: Purpose,
  { lazyConnect = false }: { lazyConnect?: boolean } = {},
): RedisClient {
  const { kind, servers, tls, login, database, master, sentinelLogin } = address;
  const options = {
    lazyConnect,
    connectTimeout: connectTimeMsMax,
    socketTimeout: silenceTimeMsMax[purpose],
    reconnectOnError,
    ...(login?.username !== undefined && { username: login.username }),
    ...(login && { password: login.password }),
    ...(tls && { tls: {} }),
    // BullMQ wants clients that wait instead of failing for whatever is not asked by a caller.
    ...(purpose === "ask"
      ? { maxRetriesPerRequest: askRetriesMax, commandTimeout: commandTimeMsMax }
      : { maxRetriesPerRequest: null }),
  } satisfies RedisOptions;
  if (kind === "cluster") {
    const { lazyConnect: lazily, ...redisOptions } = options;
    const Kind = purpose === "ask" ? AskingCluster : Cluster;
    return new Kind([...servers], { ...clusterOptions(purpose, tls), lazyConnect: lazily, redisOptions });
  }
  const reconnecting = { ...options, db: database, retryStrategy: pauseMs };
  if (kind === "single") return new Redis({ ...reconnecting, ...servers[0] });
  return new Redis({
    ...reconnecting,
    sentinels: [...servers],
    name: master,
    sentinelRetryStrategy: pauseMs,
    sentinelCommandTimeout: connectTimeMsMax,
    enableTLSForSentinelMode: tls,
    ...(tls && { sentinelTLS: {} }),
    ...(sentinelLogin?.username !== undefined && { sentinelUsername: sentinelLogin.username }),
    ...(sentinelLogin && { sentinelPassword: sentinelLogin.password }),
  });
}

/** Each command has its time here as well: that of a node's client begins only once a node is found. */
class AskingCluster extends Cluster {
  override sendCommand(...[command, ...rest]: Parameters<Cluster["sendCommand"]>): unknown {
    command.setTimeout(commandTimeMsMax);
    return super.sendCommand(command, ...rest);
  }
}

function clusterOptions(purpose: Purpose, tls: boolean): Omit<ClusterOptions, "redisOptions"> {
  return {
    // While no node answers, a caller's commands fail at once: nothing would ever take them out of that queue.
    enableOfflineQueue: purpose === "work",
    clusterRetryStrategy: pauseMs,
    // A replica is in the answer only some time after it joined; one client of a process is enough to learn of it.
    ...(purpose === "ask" && { slotsRefreshInterval: slotsIntervalMs }),
    slotsRefreshTimeout: connectTimeMsMax,
    maxRedirections: redirectionsMax,
    retryDelayOnMoved: redirectionPauseMs,
    retryDelayOnFailover: redirectionPauseMs,
    retryDelayOnClusterDown: redirectionPauseMs,
    retryDelayOnTryAgain: redirectionPauseMs,
    // A certificate is made out to a name, which a name server's answer would replace.
    ...(tls && { dnsLookup: (host, give) => give(null, host) }),
  };
}

function pauseMs(attempts: number): number {
  return Math.min(50 * 2 ** Math.min(attempts - 1, 10), pauseMsMax);
}

/** A master that became a replica is left for the one that took over, and what it refused is sent there. */
function reconnectOnError({ message }: Error): false | 1 | 2 {
  if (/\bREADONLY\b/.test(message)) return 2;
  return message.startsWith("UNBLOCKED") ? 1 : false;
}
