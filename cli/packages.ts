/** `stepvault packages`: writes the lock file of a folder of packages, or checks the folder against it. */
import { toJavaScriptPackages } from "../runtime/javascript-packages.ts";
import { findPackageFiles, readPackageFiles, writeLock } from "../runtime/packages.ts";
import { toWheels } from "../runtime/python-packages.ts";
import type { Handlers } from "./commands.ts";
import type { Given } from "./given.ts";
import { withProgress } from "./progress.ts";
import { dataJson, dataLine } from "./terminal.ts";

export const packagesHandlers: Handlers = {
  lock: async (given) => await packages(given, "lock"),
  check: async (given) => await packages(given, "check"),
};

async function packages(given: Given, action: "lock" | "check"): Promise<void> {
  const folder = given.required("DIR");
  const found = await withProgress(`reading ${folder}`, async () => {
    const files = action === "lock" ? findPackageFiles(folder) : readPackageFiles(folder);
    toWheels(files);
    toJavaScriptPackages(files);
    if (action === "lock") writeLock(folder, files);
    return files;
  });
  for (const { path, sha256 } of found)
    if (given.json) dataJson({ path, sha256 });
    else dataLine(`${sha256}  ${path}`);
}
