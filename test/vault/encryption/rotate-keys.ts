/**
 * Rotates the root key of a data directory from wherever a rotation was left, for root-rotation.test.ts, which kills it in
 * the middle. Says `ready` before the first step and `done` after the last.
 */
import { openDatabase } from "../../../database/connection.ts";
import { toStepvaultError } from "../../../protocol/error.ts";
import { openVault } from "../../../vault/vault.ts";
import { configFor } from "../../database/temporary.ts";

const [dataDir = ""] = process.argv.slice(2);
const config = configFor(dataDir);
const database = await openDatabase(config);
const vault = await openVault(database, config);
process.stdout.write("ready\n");
for (const step of [
  async () => await vault.stageRootKey(),
  async () => await vault.promoteRootKey(),
  async () => await vault.rewrapKeys({ batch: 2 }),
  async () => await vault.retireRootKey(),
]) {
  await step().catch((error: unknown) => {
    // A step that was done before it was killed.
    if (toStepvaultError(error).code !== "ERR_KEY_ROTATION") throw error;
  });
}
process.stdout.write("done\n");
await database.close();
