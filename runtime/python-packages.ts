/**
 * The operator's Python packages: the wheels of a locked folder that can run here, which are pure Python and those built
 * for this version of Pyodide. What they hold becomes part of the snapshot (runtime/host/python-snapshot.ts).
 */
import { createRequire } from "node:module";
import { type PackageFile, packagesError, readPackageFiles } from "./packages.ts";

export interface Wheel {
  readonly name: string;
  readonly file: string;
  readonly sha256: string;
  /** Whether it holds code compiled for WebAssembly. */
  readonly native: boolean;
}

/** The wheels of a locked folder. Throws ERR_PACKAGES_INVALID. */
export function readWheels(folder: string): Wheel[] {
  return toWheels(readPackageFiles(folder));
}

/** The wheels among packages. Throws ERR_PACKAGES_INVALID for one that cannot run here. */
export function toWheels(packages: readonly PackageFile[]): Wheel[] {
  return packages
    .filter(({ path }) => path.endsWith(".whl"))
    .map(({ path: name, file, sha256 }) => ({ name, file, sha256, native: isNative(name) }));
}

let knownPlatforms: { python: string; platforms: readonly string[] } | undefined;

/** For which Python and platforms Pyodide's own wheels are built, by its lock file. */
function pyodideTags(): { python: string; platforms: readonly string[] } {
  if (knownPlatforms !== undefined) return knownPlatforms;
  const { info } = createRequire(import.meta.url)("pyodide/pyodide-lock.json") as {
    info: { abi_version: string; python: string };
  };
  const [major, minor] = info.python.split(".");
  const platforms = ["pyodide", "pyemscripten"].map((name) => `${name}_${info.abi_version}_wasm32`);
  knownPlatforms = { python: `cp${major}${minor}`, platforms };
  return knownPlatforms;
}

/** By the tags that end a wheel's name: Python versions, ABI, platforms. Throws for a wheel of another kind. */
function isNative(name: string): boolean {
  const parts = name.slice(0, -".whl".length).split("-");
  const [pythons = "", abi = "", platform = ""] = parts.slice(-3);
  if ((parts.length !== 5 && parts.length !== 6) || name.includes("/"))
    throw refused(name, "its name is not that of a wheel");
  const { python, platforms } = pyodideTags();
  if (abi === "none" && platform === "any") {
    if (pythons.split(".").some((tag) => tag === "py3" || /^py3\d+$/.test(tag) || tag === python)) return false;
    throw refused(name, `it is for ${pythons}, and Python here is ${python}`);
  }
  if (pythons.split(".").includes(python) && platform.split(".").some((tag) => platforms.includes(tag))) return true;
  throw refused(
    name,
    `it is built for ${pythons}-${abi}-${platform}; only pure Python (py3-none-any) and ${python}-…-${platforms.join(" or ")} run here`,
  );
}

function refused(name: string, reason: string): Error {
  return packagesError(`${name}: ${reason}`);
}
