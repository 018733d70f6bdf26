/** Opens the vault of this deployment for a command, as the operator, and closes it when the command is done. */
import { openDatabase } from "../database/connection.ts";
import { parseConfig } from "../protocol/config.ts";
import { openVault, type Vault } from "../vault/vault.ts";

/** Throws what opening throws, such as ERR_CONFIG_INVALID, ERR_DATABASE, ERR_MASTER_KEY_INVALID, and what the work throws. */
export async function withVault<T>(work: (vault: Vault) => Promise<T>): Promise<T> {
  const config = parseConfig(process.env);
  const database = await openDatabase(config);
  try {
    const vault = await openVault(database, config);
    try {
      return await work(vault);
    } finally {
      vault.close();
    }
  } finally {
    await database.close();
  }
}
