/** `stepvault root-key`: changes the root key in stages, as the operator. The keys themselves are settings. */
import type { Handlers } from "./commands.ts";
import { withProgress } from "./progress.ts";
import { printDone } from "./vault-options.ts";
import { withVault } from "./with-vault.ts";

const batchDefault = 100;

export const rootKeyHandlers: Handlers = {
  async stage(given) {
    const id = await withVault(async (vault) => await vault.stageRootKey());
    printDone(
      given,
      { id, state: "staged" },
      { note: "staged: every process has to have both keys from here on", data: id },
    );
  },
  async promote(given) {
    await withVault(async (vault) => await vault.promoteRootKey());
    printDone(given, { state: "active" }, { note: "promoted: wrap what is there anew with root-key rewrap" });
  },
  async rewrap(given) {
    const options = { batch: given.number("batch") ?? batchDefault };
    const result = await withVault(
      async (vault) => await withProgress("wrapping keys anew", async () => await vault.rewrapKeys(options)),
    );
    const { organizationKeys, projectKeys, deploymentKeys } = result;
    const told = `wrapped anew: ${organizationKeys} of organizations, ${projectKeys} of projects, ${deploymentKeys} of the deployment`;
    printDone(given, result, { note: told });
  },
  async retire(given) {
    await withVault(async (vault) => await vault.retireRootKey());
    printDone(given, { state: "retired" }, { note: "retired: the key before it need not be given any more" });
  },
};
