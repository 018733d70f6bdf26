/**
 * The operator's Python packages: a folder of wheels with a lock file of their hashes. Read once at the start of a
 * process; a wheel that is not in the lock file, differs from it, is missing or cannot run here stops the start. Nothing
 * is ever fetched. What the wheels hold becomes part of the snapshot (runtime/host/python-snapshot.ts).
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { z } from "zod";
import { StepvaultError } from "../protocol/error.ts";

export const lockFileName = "stepvault-packages.lock.json";

const lockSchema = z.strictObject({
  version: z.literal(1),
  /** File name of a wheel, and the SHA-256 of its bytes in hex. */
  wheels: z.record(z.string().regex(/^[\w.+!-]+\.whl$/), z.string().regex(/^[0-9a-f]{64}$/)),
});

export interface Wheel {
  readonly name: string;
  readonly file: string;
  readonly sha256: string;
  /** Whether it holds code compiled for WebAssembly. */
  readonly native: boolean;
}

/** Writes the lock file for the wheels that lie in a folder now. Throws ERR_PACKAGES for one that cannot run here. */
export function lockPackages(folder: string): Wheel[] {
  const wheels = wheelNames(folder).map((name) => describeWheel(folder, name));
  const lock = { version: 1, wheels: Object.fromEntries(wheels.map(({ name, sha256 }) => [name, sha256])) };
  writeFileSync(path.join(folder, lockFileName), `${JSON.stringify(lock, undefined, 2)}\n`);
  return wheels;
}

/** The wheels of a folder, each checked against the lock file. Throws ERR_PACKAGES. */
export function readPackages(folder: string): Wheel[] {
  const locked = readLock(folder);
  const present = wheelNames(folder);
  for (const name of present)
    if (!locked.has(name)) throw refused(name, `it is not in ${lockFileName}; if it is wanted, lock the folder again`);
  return [...locked].map(([name, sha256]) => {
    if (!present.includes(name)) throw refused(name, `${lockFileName} has it, but the folder does not`);
    const wheel = describeWheel(folder, name);
    if (wheel.sha256 !== sha256)
      throw refused(
        name,
        `its SHA-256 begins with ${wheel.sha256.slice(0, 12)}, the lock file's with ${sha256.slice(0, 12)}`,
      );
    return wheel;
  });
}

function readLock(folder: string): Map<string, string> {
  let lock: unknown;
  try {
    lock = JSON.parse(readFileSync(path.join(folder, lockFileName), "utf8"));
  } catch {
    throw new StepvaultError(
      "ERR_PACKAGES",
      `Cannot read the Python packages: the folder has no readable ${lockFileName}; \`stepvault packages lock DIR\` writes it`,
    );
  }
  const parsed = lockSchema.safeParse(lock);
  if (!parsed.success)
    throw new StepvaultError("ERR_PACKAGES", `Cannot read the Python packages: ${lockFileName} has another shape`);
  return new Map(Object.entries(parsed.data.wheels));
}

function wheelNames(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith(".whl"))
      .sort();
  } catch {
    throw new StepvaultError(
      "ERR_PACKAGES",
      "Cannot read the Python packages: the folder is not there or not readable",
    );
  }
}

function describeWheel(folder: string, name: string): Wheel {
  // Node asks for permission to read the target of a link, not the link.
  const file = realpathSync(path.join(folder, name));
  return { name, file, sha256: createHash("sha256").update(readFileSync(file)).digest("hex"), native: isNative(name) };
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
  if (parts.length !== 5 && parts.length !== 6) throw refused(name, "its name is not that of a wheel");
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

function refused(name: string, reason: string): StepvaultError {
  return new StepvaultError("ERR_PACKAGES", `Cannot use the Python package ${name}: ${reason}`);
}
