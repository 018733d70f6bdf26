/** `stepvault packages`: writes the lock file of a folder of packages, or checks the folder against it. */
import { toJavaScriptPackages } from "../runtime/javascript-packages.ts";
import { findPackageFiles, lockFileName, readPackageFiles, writeLock } from "../runtime/packages.ts";
import { toWheels } from "../runtime/python-packages.ts";
import { data, exitCodes, note } from "./terminal.ts";

export const packagesUsage = `stepvault packages lock DIR
stepvault packages check DIR

lock    writes DIR/${lockFileName} with the SHA-256 of every wheel and ES module in DIR
check   says whether the packages in DIR are those of the lock file, as a start with STEPVAULT_PYTHON_PACKAGES=DIR or
        STEPVAULT_JAVASCRIPT_PACKAGES=DIR does

Prints the packages, one a line.`;

export async function packagesCommand([action, folder, ...rest]: string[]): Promise<number> {
  if ((action !== "lock" && action !== "check") || folder === undefined || rest.length > 0) {
    note(packagesUsage);
    return exitCodes.usage;
  }
  const packages = action === "lock" ? findPackageFiles(folder) : readPackageFiles(folder);
  toWheels(packages);
  toJavaScriptPackages(packages);
  if (action === "lock") writeLock(folder, packages);
  for (const { path, sha256 } of packages) data(`${sha256}  ${path}\n`);
  return exitCodes.success;
}
