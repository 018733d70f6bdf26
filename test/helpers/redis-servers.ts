/**
 * Real Redis servers for tests: one with an append-only file, a set that three Sentinels watch, a Cluster of six. All on
 * free loopback ports, each with a folder of its own that outlives kill -9. Passwords are in files of mode 0600 only.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Redis } from "ioredis";
import { freePort } from "./global-setup.ts";

/** No redactor knows them; a test searches for them where none may be. */
export const dataPassword = "data-word+/=@:9d1f6c";
export const sentinelPassword = "sentinel-word&?#4be2";

const startTimeMsMax = 15_000;
const takeOverTimeMsMax = 30_000;

export interface RedisNode {
  readonly port: number;
  readonly folder: string;
  pid: number;
}

export interface RedisServers {
  /** For STEPVAULT_REDIS_URL. */
  readonly url: string;
  readonly nodes: readonly RedisNode[];
  /** Those that hold data as masters now. */
  masters(): Promise<RedisNode[]>;
  /** kill -9. */
  kill(node: RedisNode): Promise<void>;
  /** SIGSTOP: still there, with its connections, and silent. */
  freeze(node: RedisNode): void;
  thaw(node: RedisNode): void;
  /** Starts a killed node again, on the same port with the same data. */
  restart(node: RedisNode): Promise<void>;
  /** Kills a master and waits until a replica of it has taken over. */
  failover(): Promise<{ killed: RedisNode; now: RedisNode[] }>;
  /** A client of one node, for looking and for breaking things. */
  client(node: RedisNode): Redis;
  stop(): Promise<void>;
}

interface StartedNode extends RedisNode {
  child: ChildProcess;
  readonly sentinel: boolean;
}

type Lines = readonly string[];

/** One server that writes down every change. */
export async function startSingleRedis({ appendOnly = true } = {}): Promise<RedisServers> {
  const servers = new Servers();
  return await servers.begin(async () => {
    const { port } = await servers.start(dataLines({ appendOnly }));
    servers.url = `redis://${loginText("", dataPassword)}@127.0.0.1:${port}/1`;
  });
}

/** A master, two replicas and three Sentinels that take a master for dead after a second. */
export async function startSentinelRedis(): Promise<RedisServers> {
  const servers = new Servers();
  return await servers.begin(async () => {
    const master = await servers.start(dataLines({ appendOnly: true }));
    for (let replica = 0; replica < 2; replica += 1) {
      await servers.start([...dataLines({ appendOnly: true }), `replicaof 127.0.0.1 ${master.port}`]);
    }
    await servers.eventually("both replicas are in step", async () => {
      const info = await servers.ask(master, async (client) => await client.info("replication"));
      return (info.match(/state=online/g) ?? []).length === 2;
    });
    const sentinels: RedisNode[] = [];
    for (let sentinel = 0; sentinel < 3; sentinel += 1) {
      sentinels.push(await servers.start(sentinelLines(master.port), { sentinel: true }));
    }
    await servers.eventually("the Sentinels know each other and the replicas", async () => {
      const known = await Promise.all(
        sentinels.map(async (node) => await servers.ask(node, async (client) => await client.info("sentinel"))),
      );
      return known.every((info) => info.includes("slaves=2,sentinels=3"));
    });
    const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(",");
    const query = `master=stepvault-set&sentinelPassword=${encodeURIComponent(sentinelPassword)}`;
    servers.url = `redis-sentinel://${loginText("", dataPassword)}@${hosts}?${query}`;
  });
}

/** Three masters, each with a replica; a master is taken for dead after a second and a half. */
export async function startClusterRedis(): Promise<RedisServers> {
  const servers = new Servers();
  return await servers.begin(async () => {
    const nodes: { node: RedisNode; busPort: number; id: string }[] = [];
    for (let count = 0; count < 6; count += 1) {
      const busPort = await freePort();
      const lines = ["cluster-enabled yes", `cluster-port ${busPort}`, "cluster-node-timeout 1500"];
      const node = await servers.start([...dataLines({ appendOnly: true }), ...lines]);
      const id = await servers.ask(node, async (client) => await client.cluster("MYID"));
      nodes.push({ node, busPort, id });
    }
    const [first] = nodes;
    for (const [at, { node, busPort }] of nodes.entries()) {
      await servers.ask(node, async (client) => {
        await client.call("cluster", "set-config-epoch", String(at + 1));
        const from = Math.floor((16_384 * at) / 3);
        const to = Math.floor((16_384 * (at + 1)) / 3) - 1;
        if (at < 3) await client.call("cluster", "addslotsrange", String(from), String(to));
      });
      if (at === 0 || first === undefined) continue;
      await servers.ask(first.node, async (client) => {
        await client.call("cluster", "meet", "127.0.0.1", String(node.port), String(busPort));
      });
    }
    const everyoneSays = async (words: Lines): Promise<boolean> => {
      const infos = await Promise.all(
        nodes.map(async ({ node }) => await servers.ask(node, async (client) => await client.cluster("INFO"))),
      );
      return infos.every((info) => words.every((word) => info.includes(word)));
    };
    await servers.eventually("the nodes know each other", async () => await everyoneSays(["cluster_known_nodes:6"]));
    for (const [at, { node }] of nodes.entries()) {
      if (at < 3) continue;
      const master = nodes[at - 3]?.id ?? "";
      await servers.eventually("a replica has its master", async () => {
        return await servers.ask(node, async (client) => (await client.call("cluster", "replicate", master)) === "OK");
      });
    }
    await servers.eventually("the replicas are in step", async () => {
      const infos = await Promise.all(
        nodes
          .slice(3)
          .map(async ({ node }) => await servers.ask(node, async (client) => await client.info("replication"))),
      );
      return infos.every((info) => info.includes("master_link_status:up"));
    });
    await servers.eventually("everyone knows who is whose replica", async () => {
      const lists = await Promise.all(
        nodes.map(async ({ node }) => await servers.ask(node, async (client) => await client.cluster("NODES"))),
      );
      const known = lists.every((list) => (String(list).match(/\bslave\b/g) ?? []).length === 3);
      return known && (await everyoneSays(["cluster_state:ok", "cluster_slots_assigned:16384"]));
    });
    const hosts = nodes.map(({ node }) => `127.0.0.1:${node.port}`).join(",");
    servers.url = `redis-cluster://${loginText("default", dataPassword)}@${hosts}`;
  });
}

function loginText(user: string, password: string): string {
  return `${user}:${encodeURIComponent(password)}`;
}

function dataLines({ appendOnly }: { appendOnly: boolean }): Lines {
  return [
    `requirepass "${dataPassword}"`,
    `masterauth "${dataPassword}"`,
    `appendonly ${appendOnly ? "yes" : "no"}`,
    'save ""',
    "maxmemory-policy noeviction",
    "repl-diskless-sync-delay 0",
  ];
}

function sentinelLines(masterPort: number): Lines {
  return [
    `requirepass "${sentinelPassword}"`,
    `sentinel sentinel-pass ${sentinelPassword}`,
    `sentinel monitor stepvault-set 127.0.0.1 ${masterPort} 2`,
    `sentinel auth-pass stepvault-set ${dataPassword}`,
    "sentinel down-after-milliseconds stepvault-set 1000",
    "sentinel failover-timeout stepvault-set 3000",
  ];
}

class Servers implements RedisServers {
  url = "";
  #folder = mkdtempSync(path.join(tmpdir(), "stepvault-redis-"));
  #nodes: StartedNode[] = [];

  get nodes(): readonly RedisNode[] {
    return this.#nodes;
  }

  /** Starts it all, and leaves nothing behind when that fails. */
  async begin(start: () => Promise<void>): Promise<RedisServers> {
    try {
      await start();
      return this;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async start(lines: Lines, { sentinel = false } = {}): Promise<RedisNode> {
    const port = await freePort();
    const folder = path.join(this.#folder, String(port));
    mkdirSync(folder, { mode: 0o700 });
    const all = [`port ${port}`, "bind 127.0.0.1", `dir ${folder}`, `logfile ${folder}/log`, "daemonize no", ...lines];
    writeFileSync(path.join(folder, "redis.conf"), `${all.join("\n")}\n`, { mode: 0o600 });
    const child = launch(folder, sentinel);
    const node: StartedNode = { port, folder, child, pid: child.pid ?? 0, sentinel };
    this.#nodes.push(node);
    await this.#answers(node);
    return node;
  }

  async masters(): Promise<RedisNode[]> {
    const data = this.#nodes.filter(({ sentinel, child }) => !sentinel && child.exitCode === null && !child.killed);
    const masters: RedisNode[] = [];
    for (const node of data) {
      const info = await this.ask(node, async (client) => await client.info("replication")).catch(() => "");
      if (info.includes("role:master")) masters.push(node);
    }
    return masters;
  }

  async kill(node: RedisNode): Promise<void> {
    const { child } = this.#find(node);
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  freeze(node: RedisNode): void {
    this.#find(node).child.kill("SIGSTOP");
  }

  thaw(node: RedisNode): void {
    this.#find(node).child.kill("SIGCONT");
  }

  async restart(node: RedisNode): Promise<void> {
    const started = this.#find(node);
    started.child = launch(started.folder, started.sentinel);
    started.pid = started.child.pid ?? 0;
    await this.#answers(started);
  }

  async failover(): Promise<{ killed: RedisNode; now: RedisNode[] }> {
    const before = await this.masters();
    const [killed] = before;
    if (killed === undefined) throw new Error("there is no master to kill");
    await this.kill(killed);
    let now: RedisNode[] = [];
    await this.eventually("a replica has taken over", async () => {
      now = await this.masters();
      return now.length === before.length && !now.includes(killed);
    });
    return { killed, now };
  }

  client(node: RedisNode): Redis {
    const { port, sentinel } = this.#find(node);
    const password = sentinel ? sentinelPassword : dataPassword;
    const client = new Redis({ host: "127.0.0.1", port, password, retryStrategy: () => null, commandTimeout: 2_000 });
    client.on("error", () => {}); // The command that fails rejects as well.
    return client;
  }

  async ask<T>(node: RedisNode, question: (client: Redis) => Promise<T>): Promise<T> {
    const client = this.client(node);
    try {
      return await question(client);
    } finally {
      client.disconnect();
    }
  }

  /** Waits until a condition holds; one that throws does not hold yet. */
  async eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
    for (const end = performance.now() + takeOverTimeMsMax; performance.now() < end;) {
      if (await holds().catch(() => false)) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`not within ${takeOverTimeMsMax} ms: ${what}`);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#nodes.map(async (node) => await this.kill(node)));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #answers(node: StartedNode): Promise<void> {
    for (const end = performance.now() + startTimeMsMax; performance.now() < end;) {
      if (node.child.exitCode !== null) throw new Error(`a Redis ended at its start with ${node.child.exitCode}`);
      const answer = await this.ask(node, async (client) => await client.ping()).catch(() => "");
      if (answer === "PONG") return;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    throw new Error(`a Redis does not answer within ${startTimeMsMax} ms`);
  }

  #find({ port }: RedisNode): StartedNode {
    const found = this.#nodes.find((node) => node.port === port);
    if (found === undefined) throw new Error("no such node");
    return found;
  }
}

function launch(folder: string, sentinel: boolean): ChildProcess {
  const args = [path.join(folder, "redis.conf"), ...(sentinel ? ["--sentinel"] : [])];
  const child = spawn(redisProgram(), args, { stdio: "ignore" });
  child.on("error", () => {}); // One that does not start does not answer either.
  return child;
}

function redisProgram(): string {
  const found = ["redis-server", "valkey-server"].find((name) => {
    try {
      return execFileSync(name, ["--version"], { stdio: ["ignore", "pipe", "ignore"] }).length > 0;
    } catch {
      return false;
    }
  });
  if (found === undefined) throw new Error("These tests start Redis servers. Put redis-server on the PATH");
  return found;
}
