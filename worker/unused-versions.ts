/**
 * Ends versions of secrets that were rotated away and that nothing uses any more, now and then, while a worker lives. Several
 * workers at once do no harm.
 */
import type { Vault } from "../vault/vault.ts";
import type { ServiceLog } from "./log.ts";

const intervalMs = 300_000;

export function endUnusedVersions({ vault, log }: { vault: Vault; log: ServiceLog }): { stop(): void } {
  const end = async (): Promise<void> => {
    try {
      const ended = await vault.secrets.endUnused();
      if (ended > 0) log.logger.info({ versions: ended }, "versions of secrets ended, as nothing used them any more");
    } catch (error) {
      log.logger.error({ err: error }, "versions of secrets could not be ended");
    }
  };
  const timer = setInterval(() => void end(), intervalMs).unref();
  return { stop: () => clearInterval(timer) };
}
