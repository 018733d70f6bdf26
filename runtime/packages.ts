/**
 * Folders of packages that steps may import, of both languages: wheels for Python, single-file ES modules for JavaScript,
 * and one lock file with the SHA-256 of each. A process reads a folder once; a file that is not in the lock file, differs
 * from it, is missing or is a link is refused, and nothing is ever fetched. Knows files only, not what is in them.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { StepvaultError } from "../protocol/error.ts";

export const lockFileName = "stepvault-packages.lock.json";

const lockSchema = z.strictObject({
  version: z.literal(1),
  /** The path of a file in the folder, and the SHA-256 of its bytes in hex. */
  files: z.record(z.string(), z.string().regex(/^[0-9a-f]{64}$/)),
});

/** A package, as it lies in the folder. */
export interface PackageFile {
  /** In the folder, with slashes. */
  readonly path: string;
  /** Where it really is. */
  readonly file: string;
  readonly sha256: string;
}

const packageEnding = /\.(whl|m?js)$/;

/** The packages that lie in a folder now, whatever is locked. Throws ERR_PACKAGES_INVALID. */
export function findPackageFiles(folder: string): PackageFile[] {
  const real = readOrRefuse("the folder", () => realpathSync(folder));
  const entries = readOrRefuse("the folder", () => readdirSync(real, { recursive: true, withFileTypes: true }));
  return entries
    .filter((entry) => packageEnding.test(entry.name) && !entry.isDirectory())
    .map((entry) => {
      const file = path.join(entry.parentPath, entry.name);
      const place = path.relative(real, file).split(path.sep).join("/");
      // It could lead to a file that a sandbox host must not read.
      if (!entry.isFile()) throw packagesError(`${place} is a link or no file`);
      return { path: place, file, sha256: hashOf(readOrRefuse(place, () => readFileSync(file))) };
    })
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The packages of a folder, each compared with the lock file. Throws ERR_PACKAGES_INVALID. */
export function readPackageFiles(folder: string): PackageFile[] {
  const locked = readLock(folder);
  const present = findPackageFiles(folder);
  const missing = [...locked.keys()].find((name) => !present.some((file) => file.path === name));
  if (missing !== undefined) throw packagesError(`${lockFileName} has ${missing}, but the folder does not`);
  for (const { path: name, sha256 } of present) {
    const wanted = locked.get(name);
    if (wanted === undefined)
      throw packagesError(`${name} is not in ${lockFileName}; if it is wanted, lock the folder again`);
    checkHash(name, sha256, wanted);
  }
  return present;
}

/** Writes the lock file for these packages. */
export function writeLock(folder: string, packages: readonly PackageFile[]): void {
  const files = Object.fromEntries(packages.map(({ path: name, sha256 }) => [name, sha256]));
  writeFileSync(path.join(folder, lockFileName), `${JSON.stringify({ version: 1, files }, undefined, 2)}\n`);
}

/** The bytes of a package, which may have changed since the folder was read. Throws ERR_PACKAGES_INVALID. */
export function readPackage({ name, file, sha256 }: { name: string; file: string; sha256: string }): Buffer {
  const bytes = readOrRefuse(name, () => readFileSync(file));
  checkHash(name, hashOf(bytes), sha256);
  return bytes;
}

export function packagesError(reason: string): StepvaultError {
  return new StepvaultError("ERR_PACKAGES_INVALID", `Cannot use the packages: ${reason}`);
}

function readLock(folder: string): Map<string, string> {
  const text = readOrRefuse(lockFileName, () => readFileSync(path.join(folder, lockFileName), "utf8"));
  const { success, data } = lockSchema.safeParse(parseJson(text));
  if (!success) throw packagesError(`${lockFileName} has another shape; \`stepvault packages lock DIR\` writes it`);
  return new Map(Object.entries(data.files));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function checkHash(name: string, found: string, wanted: string): void {
  if (found === wanted) return;
  throw packagesError(
    `the SHA-256 of ${name} begins with ${found.slice(0, 12)}, the lock file's with ${wanted.slice(0, 12)}`,
  );
}

function hashOf(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function readOrRefuse<Content>(what: string, read: () => Content): Content {
  try {
    return read();
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? "unreadable";
    throw packagesError(`${what} cannot be read (${reason})`);
  }
}
