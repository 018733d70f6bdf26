/**
 * The memory snapshot from which every Python interpreter starts: made once by a sandbox host, kept in the cache folder
 * under a name that says what it was made from, and made anew when Pyodide or our own Python code changes. A restored
 * interpreter is ready in a tenth of the time of a cold one.
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { StepvaultError } from "../protocol/error.ts";
import { HostProcess } from "./host-process.ts";

const oldAfterMs = 7 * 24 * 3_600_000;
const inProgress = new Map<string, Promise<string>>();

/** The snapshot's file, made first where there is none. Concurrent callers share one making. */
export function ensureSnapshot(cacheDir: string): Promise<string> {
  const file = path.resolve(cacheDir, `python-${fingerprint()}.snapshot`);
  if (exists(file)) return Promise.resolve(file);
  const running = inProgress.get(file);
  if (running !== undefined) return running;
  const made = makeSnapshot(file).finally(() => inProgress.delete(file));
  inProgress.set(file, made);
  return made;
}

async function makeSnapshot(file: string): Promise<string> {
  let data: string | undefined;
  const host = await HostProcess.start(
    { type: "boot", language: "python" },
    (base64) => (data = base64),
  );
  host.kill();
  if (data === undefined)
    throw new StepvaultError("ERR_SANDBOX_START", "Cannot start a python sandbox host: it made no snapshot");
  const folder = path.dirname(file);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  removeOld(folder);
  // Written beside and renamed, so that a process killed half-way leaves no half snapshot under the final name.
  const partial = `${file}.${randomUUID()}`;
  writeFileSync(partial, Buffer.from(data, "base64"), { mode: 0o600 });
  renameSync(partial, file);
  return file;
}

/** Snapshots of other versions, once nobody can be starting from them any more. */
function removeOld(folder: string): void {
  for (const name of readdirSync(folder)) {
    const file = path.join(folder, name);
    const ageMs = Date.now() - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (/^python-[0-9a-f]+\.snapshot/.test(name) && ageMs > oldAfterMs) rmSync(file, { force: true });
  }
}

let knownFingerprint: string | undefined;

/** What the snapshot is made from: Pyodide's version and the Python and guest code that runs before the step. */
function fingerprint(): string {
  if (knownFingerprint !== undefined) return knownFingerprint;
  const hash = createHash("sha256");
  const { version } = createRequire(import.meta.url)("pyodide/package.json") as { version: string };
  hash.update(version).update(process.version).update(process.arch);
  for (const folder of ["python", "guest", "binding", "host"]) {
    const where = fileURLToPath(new URL(`./${folder}/`, import.meta.url));
    for (const name of readdirSync(where).sort()) {
      const file = path.join(where, name);
      if (statSync(file).isFile()) hash.update(name).update(readFileSync(file));
    }
  }
  knownFingerprint = hash.digest("hex").slice(0, 16);
  return knownFingerprint;
}

function exists(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}
