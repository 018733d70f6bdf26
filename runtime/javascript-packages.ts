/**
 * The operator's JavaScript packages: the ES modules of a locked folder, each one file. A module's name, by which a step
 * imports it, is its path without the ending. A sandbox host compares a file with its hash again when it loads one.
 */
import { type PackageFile, packagesError, readPackageFiles } from "./packages.ts";

export interface JavaScriptPackage {
  readonly name: string;
  readonly file: string;
  readonly sha256: string;
}

const modulePath = /^((?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~/-]*)\.m?js$/i;

/** The modules of a locked folder. Throws ERR_PACKAGES_INVALID. */
export function readJavaScriptPackages(folder: string): JavaScriptPackage[] {
  return toJavaScriptPackages(readPackageFiles(folder));
}

/** The modules among packages. Throws ERR_PACKAGES_INVALID for one that no step could import. */
export function toJavaScriptPackages(packages: readonly PackageFile[]): JavaScriptPackage[] {
  const modules = packages.filter(({ path }) => !path.endsWith(".whl")).map((found) => toModule(found));
  const names = modules.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw packagesError(`${twice} is there as .js and as .mjs`);
  return modules;
}

function toModule({ path, file, sha256 }: PackageFile): JavaScriptPackage {
  const name = modulePath.exec(path)?.[1];
  if (name === undefined) throw packagesError(`${path} has a name that cannot be imported`);
  return { name, file, sha256 };
}
