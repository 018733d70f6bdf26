/**
 * Runs once before all tests: finds or starts what npm cannot install, a Redis server, whose URL it gives to the tests,
 * and bubblewrap. STEPVAULT_REDIS_URL, else a program on the PATH, else Debian's package when this may be installed;
 * where nothing works the tests do not start and say what to do. Nothing is skipped in silence.
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
  const started = given === undefined ? await startRedis(findServer(), folder) : undefined;
  findProgram(["bwrap"], {
    debianPackage: "bubblewrap",
    advice: "The tests of the layers around a sandbox host need bubblewrap. Put bwrap on the PATH",
  });
  const cacheDir = path.join(folder, "cache");
  await ensureSnapshot({ cacheDir, pythonPackages: undefined });
  project.provide("redisUrl", given ?? started?.url ?? "");
  project.provide("cacheDir", cacheDir);
  return async () => {
    started?.server.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  };
}

function findServer(): string {
  const advice =
    "The tests need Redis. Set STEPVAULT_REDIS_URL to one that they may use, or put redis-server or valkey-server on the PATH";
  return findProgram(["redis-server", "valkey-server"], { debianPackage: "redis-server", advice });
}

/** The first of these programs that answers; installed when none does and this may be done. */
function findProgram(
  names: readonly string[],
  { debianPackage, advice }: { debianPackage: string; advice: string },
): string {
  const found = names.find((name) => answers(name, ["--version"]));
  if (found !== undefined) return found;
  const howTo = `${advice} (on Debian, as root: apt-get install ${debianPackage}).`;
  if (process.getuid?.() !== 0 || !answers("apt-get", ["--version"])) throw new Error(howTo);
  try {
    const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    execFileSync("apt-get", ["update", "-q"], { stdio: "ignore", env: environment });
    // Only the program: no service is started, the tests run a server of their own.
    execFileSync("apt-get", ["install", "-y", "-q", "--no-install-recommends", debianPackage], {
      stdio: "ignore",
      env: environment,
    });
  } catch (error) {
    throw new Error(`${howTo} Installing it with apt-get failed.`, { cause: error });
  }
  const installed = names.find((name) => answers(name, ["--version"]));
  if (installed === undefined) throw new Error(howTo);
  return installed;
}

function answers(command: string, args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
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
