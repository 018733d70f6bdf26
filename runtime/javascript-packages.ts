/**
 * The packages that steps may import: a folder of ES modules, each one file, and `packages.lock` with their SHA-256 as
 * `sha256sum` writes it. All are read and compared once at start, and a host compares again when it loads one. What the
 * lock does not list cannot be imported; what it lists and does not fit stops the start. Nothing is ever fetched.
 */
import { createHash } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import path from "node:path";
import { StepvaultError } from "../protocol/error.ts";

export interface JavaScriptPackages {
  readonly folder: string;
  readonly packages: readonly LockedPackage[];
}

/** One line of the lock. `name` is what a step imports: the file's path without its ending. */
export interface LockedPackage {
  readonly name: string;
  readonly file: string;
  readonly sha256: string;
}

const lockFile = "packages.lock";
const lockLine = /^([0-9a-f]{64}) [ *](?:\.\/)?((?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~/-]*)\.m?js$/i;

/** Reads and checks a folder of packages. Throws ERR_PACKAGES_INVALID for anything that is not as its lock says. */
export function readJavaScriptPackages(folder: string): JavaScriptPackages {
  const real = readOrRefuse("its folder", () => realpathSync(folder));
  const lock = readOrRefuse(lockFile, () => readFileSync(path.join(real, lockFile), "utf8"));
  const packages: LockedPackage[] = [];
  for (const [i, line] of lock.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [, sha256 = "", name = ""] = lockLine.exec(line) ?? [];
    if (name === "" || name.split("/").includes(".."))
      throw packagesError(`line ${i + 1} of ${lockFile} is no hash and file`);
    if (packages.some((known) => known.name === name)) throw packagesError(`${lockFile} lists ${name} twice`);
    const entry = { name, file: line.slice(66).replace(/^\.\//, ""), sha256: sha256.toLowerCase() };
    readPackage(real, entry);
    packages.push(entry);
  }
  return { folder: real, packages };
}

/** The source of one package, compared with its hash. Throws ERR_PACKAGES_INVALID. */
export function readPackage(folder: string, { name, file, sha256 }: LockedPackage): string {
  const place = path.join(folder, file);
  const bytes = readOrRefuse(file, () => {
    // A link could lead out of the folder, to a file that a host must not read.
    if (realpathSync(place) !== place) throw packagesError(`${file} is a link`);
    return readFileSync(place);
  });
  const found = createHash("sha256").update(bytes).digest("hex");
  if (found !== sha256) {
    throw packagesError(`${name} has SHA-256 ${found.slice(0, 12)}…, its lock says ${sha256.slice(0, 12)}…`);
  }
  return bytes.toString("utf8");
}

function readOrRefuse<Content>(what: string, read: () => Content): Content {
  try {
    return read();
  } catch (error) {
    if (error instanceof StepvaultError) throw error;
    const reason = (error as NodeJS.ErrnoException).code ?? "unreadable";
    throw packagesError(`${what} cannot be read (${reason})`);
  }
}

export function packagesError(reason: string): StepvaultError {
  return new StepvaultError("ERR_PACKAGES_INVALID", `Cannot use the JavaScript packages: ${reason}`);
}
