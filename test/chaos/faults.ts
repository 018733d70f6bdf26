/**
 * What is done to a deployment. Each fault says which part it needs for itself, and is over once the part is there again or
 * will be by itself; how long the deployment then takes to serve is measured by others.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { serverPid } from "../database/temporary.ts";
import { isAlive } from "../helpers/processes.ts";
import type { RedisNode, RedisServers } from "../helpers/redis-servers.ts";
import type { Deployment } from "./deployment.ts";
import type { Supervised } from "./processes.ts";
import type { Random } from "./random.ts";

export interface FaultContext {
  readonly deployment: Deployment;
  readonly random: Random;
  /** How long what lasts is to last; each fault has its own. */
  readonly lastsMs?: number;
}

export interface Fault {
  /** No two faults of one part at once. */
  readonly part: "worker" | "api" | "postgres" | "redis" | "all";
  /** Why it cannot be had here; undefined when it can. */
  missing?(deployment: Deployment): string | undefined;
  inject(context: FaultContext): Promise<void>;
}

const hostsEndMsMax = 10_000;
const restartAttemptsMax = 30;
const takeOverMsMax = 30_000;
const ownPostgres = ({ postgres }: Deployment): string | undefined =>
  postgres === undefined ? "PostgreSQL is embedded" : undefined;
const failing = ({ backend }: Deployment): string | undefined =>
  backend === "sentinel" || backend === "cluster" ? undefined : "nothing takes over";

/** One of them, whole or being started. */
const one = (random: Random, processes: readonly Supervised[]): Supervised => random.pick(processes);

function ended(how: "fast" | "immediate" | "kill", lastsMs: number): Fault {
  return {
    part: "postgres",
    missing: ownPostgres,
    async inject({ deployment: { postgres }, ...given }) {
      await postgres!.end(how);
      await sleep(given.lastsMs ?? lastsMs);
      await postgres!.begin();
    },
  };
}

/** The way to PostgreSQL is of another kind for a while. */
function wayFor(way: "dead" | "silent", ms: number): Fault {
  return {
    part: "postgres",
    missing: ownPostgres,
    async inject({ deployment: { proxy }, lastsMs = ms }) {
      proxy!.way = way;
      await sleep(lastsMs);
      proxy!.way = "open";
    },
  };
}

function clock(seconds: number): Fault {
  return {
    part: "worker",
    missing: ({ workers }) =>
      workers[0]?.clockFile === undefined ? "libfaketime is not installed (Debian: faketime)" : undefined,
    async inject({ deployment: { workers }, random, lastsMs = 20_000 }) {
      const worker = one(random, workers);
      worker.setClock(seconds);
      await sleep(lastsMs);
      worker.setClock(0);
    },
  };
}

export const faults: Readonly<Record<string, Fault>> = {
  "worker killed": {
    part: "worker",
    async inject({ deployment: { workers }, random }) {
      const worker = one(random, workers);
      const { hosts } = worker;
      await worker.end("SIGKILL");
      for (const end = performance.now() + hostsEndMsMax; hosts.some(isAlive);) {
        if (performance.now() > end)
          throw new Error(`${hosts.filter(isAlive).length} sandbox host(s) outlived a worker`);
        await sleep(50);
      }
    },
  },
  "sandbox host killed": {
    part: "worker",
    async inject({ deployment: { workers }, random }) {
      for (let times = 0; times < 3; times += 1) {
        const hosts = workers.flatMap((worker) => worker.hosts);
        if (hosts.length > 0) killQuietly(random.pick(hosts));
        await sleep(200);
      }
    },
  },
  "worker frozen for 40 s": {
    part: "worker",
    async inject({ deployment: { workers }, random, lastsMs = 40_000 }) {
      const worker = one(random, workers);
      worker.signal("SIGSTOP");
      await sleep(lastsMs);
      worker.signal("SIGCONT");
    },
  },
  "API killed": {
    part: "api",
    async inject({ deployment: { apis }, random }) {
      await one(random, apis).end("SIGKILL");
    },
  },
  "rolling restart": {
    part: "all",
    async inject({ deployment: { workers, apis } }) {
      for (const process of [...workers, ...apis]) {
        await process.end("SIGTERM");
        await sleep(1_000);
        await process.serves();
      }
    },
  },
  "clock an hour ahead": clock(3_600),
  "clock an hour behind": clock(-3_600),
  "PostgreSQL killed": ended("kill", 1_000),
  "PostgreSQL restarted": ended("fast", 500),
  "PostgreSQL restarted at once": ended("immediate", 500),
  "PostgreSQL away for 30 s": ended("fast", 30_000),
  "embedded PostgreSQL killed": {
    part: "postgres",
    missing: ({ postgres }) => (postgres === undefined ? undefined : "PostgreSQL is not embedded"),
    async inject({ deployment: { config } }) {
      killQuietly(await serverPid(config.dataDir));
      await sleep(1_000);
    },
  },
  "way to PostgreSQL cut for 15 s": wayFor("dead", 15_000),
  "PostgreSQL silent for 20 s": wayFor("silent", 20_000),
  "connections to PostgreSQL forgotten": {
    part: "postgres",
    missing: ownPostgres,
    async inject({ deployment: { proxy } }) {
      proxy!.forget();
      await sleep(1_000);
    },
  },
  "PostgreSQL slow for 15 s": {
    part: "postgres",
    missing: ownPostgres,
    async inject({ deployment: { proxy }, random, lastsMs = 15_000 }) {
      proxy!.delayMs = random.between(50, 300);
      await sleep(lastsMs);
      proxy!.delayMs = 0;
    },
  },
  "disk full for 10 s": {
    part: "postgres",
    missing: ({ disk }) => (disk.bounded ? undefined : "only root may mount a disk of its own"),
    async inject({ deployment: { disk, postgres }, lastsMs = 10_000 }) {
      disk.fill();
      await sleep(lastsMs);
      disk.empty();
      await postgres?.answers();
    },
  },
  "Redis killed": {
    part: "redis",
    missing: ({ backend }) => (backend === "redis" ? undefined : "there is no single Redis"),
    async inject({ deployment: { redis }, random }) {
      const [node] = redis!.nodes;
      await redis!.kill(node!);
      await sleep(random.between(500, 5_000));
      await restarted(redis!, node!);
    },
  },
  "Redis frozen for 20 s": {
    part: "redis",
    missing: ({ backend }) => (backend === "redis" ? undefined : "there is no single Redis"),
    async inject({ deployment: { redis }, lastsMs = 20_000 }) {
      const [node] = redis!.nodes;
      redis!.freeze(node!);
      await sleep(lastsMs);
      redis!.thaw(node!);
    },
  },
  "Redis master killed, a replica takes over": {
    part: "redis",
    missing: failing,
    async inject({ deployment: { redis }, random }) {
      const before = await redis!.masters();
      const killed = random.pick(before);
      await redis!.kill(killed);
      // Where none can take over in time, as those that are left lag behind, its own start ends the trouble.
      await tookOver(redis!, before.length);
      await sleep(1_000);
      await restarted(redis!, killed);
      // The next failover needs a replica that is in step.
      await sleep(5_000);
    },
  },
};

/** Its port may be that of somebody's outgoing connection for a while. */
async function restarted(redis: RedisServers, node: RedisNode): Promise<void> {
  for (let attempts = 1; ; attempts += 1) {
    try {
      await redis.restart(node);
      return;
    } catch (error) {
      if (attempts === restartAttemptsMax) throw error;
      await sleep(1_000);
    }
  }
}

async function tookOver(redis: RedisServers, masters: number): Promise<void> {
  for (const end = performance.now() + takeOverMsMax; performance.now() < end;) {
    if ((await redis.masters()).length >= masters) return;
    await sleep(200);
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Gone by itself meanwhile.
  }
}
