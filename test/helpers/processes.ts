/** Processes as the kernel sees them: what a test's own process has started, and what is still there. */
import { existsSync, readFileSync } from "node:fs";
import type { Sandbox } from "../../runtime/sandbox.ts";
import { readUsage } from "../../runtime/watchdog.ts";

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** The innermost process of each sandbox host below a process. */
export function hostsOf(parent: number = process.pid): number[] {
  return childrenOf(parent).flatMap((pid) => {
    const inner = childrenOf(pid);
    if (inner.length > 0) return hostsOf(pid);
    return commandOf(pid).includes("--permission") ? [pid] : [];
  });
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}

/** What an idle host may hold, and by how much this process may have grown since the first look, with uncollected garbage. */
const hostBytesMax = 448 * 1024 * 1024;
const grownBytesMax = 96 * 1024 * 1024;
let firstBytes: number | undefined;

/** Waits until every host that this process has started is one that its pool knows, unused and of ordinary size. */
export async function onlyIdleHostsAreLeft({ pool }: Sandbox): Promise<void> {
  await eventually("all hosts are idle", () => {
    const { hosts, idle } = pool.count();
    return idle === hosts && hostsOf().length === hosts;
  });
  firstBytes ??= residentBytes(process.pid);
  const grown = residentBytes(process.pid) - firstBytes;
  const sizes = hostsOf().map((pid) => residentBytes(pid));
  if (grown > grownBytesMax) throw new Error(`this process has grown by ${grown} bytes`);
  if (Math.max(0, ...sizes) > hostBytesMax) throw new Error(`idle hosts hold ${sizes.join(" and ")} bytes`);
}

const residentBytes = (pid: number): number => readUsage(pid)?.residentBytes ?? 0;

/** Whether a process is there and not only waiting to be collected. */
export function isAlive(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  try {
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}

/** Waits until a condition holds; fails with its name when it never does. */
export async function eventually(what: string, holds: () => boolean, timeMsMax = 5_000): Promise<void> {
  for (const end = performance.now() + timeMsMax; performance.now() < end;) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not within ${timeMsMax} ms: ${what}`);
}
