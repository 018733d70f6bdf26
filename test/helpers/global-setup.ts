/**
 * Runs once before all tests: finds or starts the one thing that npm cannot install, a Redis server, and gives its URL
 * to the tests. STEPVAULT_REDIS_URL, else a redis-server or valkey-server on the PATH, else Debian's package when this
 * may be installed; where nothing works the tests do not start and say what to do. Nothing is skipped in silence.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { Redis } from "ioredis";
import type { TestProject } from "vitest/node";
import { ensureSnapshot } from "../../runtime/snapshot.ts";

declare module "vitest" {
  export interface ProvidedContext {
    redisUrl: string;
    /** A folder with a Python snapshot, shared so that it is made once. */
    cacheDir: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(path.join(tmpdir(), "stepvault-tests-"));
  const given = process.env["STEPVAULT_REDIS_URL"];
  // The tests choose each setting themselves; a developer's own must not reach them.
  for (const key of Object.keys(process.env)) if (key.startsWith("STEPVAULT_")) delete process.env[key];
  const started = given === undefined ? await startRedis(findServer() ?? installServer(), folder) : undefined;
  const cacheDir = path.join(folder, "cache");
  await ensureSnapshot({ cacheDir, pythonPackages: undefined });
  project.provide("redisUrl", given ?? started?.url ?? "");
  project.provide("cacheDir", cacheDir);
  return async () => {
    started?.server.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  };
}

function findServer(): string | undefined {
  return ["redis-server", "valkey-server"].find((name) => answers(name, ["--version"]));
}

function answers(command: string, args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function installServer(): string {
  const advice =
    "The tests need Redis. Set STEPVAULT_REDIS_URL to one that they may use, or put redis-server or valkey-server on the PATH " +
    "(on Debian, as root: apt-get install redis-server).";
  if (process.getuid?.() !== 0 || !answers("apt-get", ["--version"])) throw new Error(advice);
  try {
    const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    execFileSync("apt-get", ["update", "-q"], { stdio: "ignore", env: environment });
    // Only the program: no service is started, the tests run a server of their own.
    execFileSync("apt-get", ["install", "-y", "-q", "--no-install-recommends", "redis-server"], {
      stdio: "ignore",
      env: environment,
    });
  } catch (error) {
    throw new Error(`${advice} Installing it with apt-get failed.`, { cause: error });
  }
  const server = findServer();
  if (server === undefined) throw new Error(advice);
  return server;
}

async function startRedis(command: string, folder: string): Promise<{ url: string; server: ChildProcess }> {
  const port = await freePort();
  const args = [
    "--port",
    String(port),
    "--bind",
    "127.0.0.1",
    "--dir",
    folder,
    "--save",
    "",
    "--appendonly",
    "no",
    "--maxmemory-policy",
    "noeviction",
  ];
  const server = spawn(command, args, { stdio: "ignore" });
  const url = `redis://127.0.0.1:${port}`;
  const client = new Redis(url, { retryStrategy: (times) => (times > 100 ? null : 50), maxRetriesPerRequest: 100 });
  client.on("error", () => {});
  await client.ping();
  client.disconnect();
  return { url, server };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}
