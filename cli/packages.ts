/** `stepvault packages`: writes the lock file of a folder of Python wheels, or checks the folder against it. */
import { lockFileName, lockPackages, readPackages } from "../runtime/packages.ts";
import { data, exitCodes, note } from "./terminal.ts";

export const packagesUsage = `stepvault packages lock DIR
stepvault packages check DIR

lock    writes DIR/${lockFileName} with the SHA-256 of every wheel in DIR
check   says whether the wheels in DIR are those of the lock file, as a start with STEPVAULT_PYTHON_PACKAGES=DIR does

Prints the wheels, one a line.`;

export async function packagesCommand([action, folder, ...rest]: string[]): Promise<number> {
  if ((action !== "lock" && action !== "check") || folder === undefined || rest.length > 0) {
    note(packagesUsage);
    return exitCodes.usage;
  }
  const wheels = action === "lock" ? lockPackages(folder) : readPackages(folder);
  for (const { name, sha256 } of wheels) data(`${sha256}  ${name}\n`);
  return exitCodes.success;
}
