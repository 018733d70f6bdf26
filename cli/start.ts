/** `stepvault start`: database, vault, queue and a worker in one process, until SIGTERM or SIGINT. */
import { parseConfig } from "../protocol/config.ts";
import { Service } from "../worker/service.ts";
import { exitCodes } from "./terminal.ts";

export const startUsage = `stepvault start

Starts everything in one process: the embedded PostgreSQL (or STEPVAULT_DATABASE_URL), the queue and a worker.
Settings are STEPVAULT_* variables; docs/configuration.md lists them. Stop it with SIGTERM: running steps end first.`;

export async function startCommand(): Promise<number> {
  // Before anything is started, so that a signal in the middle of the start stops all of it too.
  const signalled = new Promise<string>((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => resolve(name));
  });
  const service = await Service.open(parseConfig(process.env));
  try {
    await service.startWorker();
    const signal = await signalled;
    service.log.logger.info({ signal }, "stopping");
  } finally {
    await service.close();
  }
  return exitCodes.success;
}
