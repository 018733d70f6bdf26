/** Worker processes as an operator starts them, over the database of a test's own service, and what they have said. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import type { TestService } from "../helpers/service.ts";

export interface WorkerProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  log(): string;
  /** Sends it a signal. */
  signal(name: NodeJS.Signals): void;
  /** Its exit code, once it has ended; null when a signal ended it. */
  readonly ended: Promise<number | null>;
}

const startMsMax = 40_000;

/** Starts one and waits until it takes jobs. */
export async function startWorker(
  { folder }: Pick<TestService, "folder">,
  settings: Record<string, string> = {},
): Promise<WorkerProcess> {
  const main = path.join(import.meta.dirname, "../../cli/main.ts");
  const env = { STEPVAULT_DATA_DIR: folder, STEPVAULT_LOG_LEVEL: "info", PATH: process.env["PATH"], ...settings };
  const child = spawn(process.execPath, [main, "worker"], { env, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text));
  const ended = once(child, "exit").then(([code]) => code as number | null);
  for (const end = performance.now() + startMsMax; !said.includes("worker started");) {
    if (performance.now() > end || child.exitCode !== null) {
      child.kill("SIGKILL");
      throw new Error(`the worker has not started: ${said.slice(-2_000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    child,
    pid: child.pid ?? 0,
    log: () => said,
    signal: (name) => void child.kill(name),
    ended,
  };
}
