/** Opens the vault of this deployment for a command, as the operator, and closes it when the command is done or given up. */
import { openDatabase } from "../database/connection.ts";
import { openVault, type Vault } from "../vault/vault.ts";
import { readSettings } from "./environment.ts";
import { interruptible, untilAborted } from "./interruption.ts";

/**
 * Throws what opening throws, such as ERR_CONFIG_INVALID, ERR_DATABASE, ERR_MASTER_KEY_INVALID, Interrupted, and what the
 * work throws.
 */
export async function withVault<T>(work: (vault: Vault) => Promise<T>): Promise<T> {
  const config = readSettings();
  return await interruptible(async (signal) => {
    const database = await openDatabase(config);
    try {
      signal.throwIfAborted();
      const vault = await openVault(database, config);
      try {
        return await untilAborted(work(vault), signal);
      } finally {
        vault.close();
      }
    } finally {
      await database.close();
    }
  });
}
