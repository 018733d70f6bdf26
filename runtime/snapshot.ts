/**
 * The memory snapshot from which every Python interpreter starts: made once by a sandbox host, kept in the cache folder
 * under a name that says what it was made from, and made anew when Pyodide, our own code or the operator's packages
 * change. It holds nothing of a run. Whoever can write it decides what runs in a sandbox host, so it lies in a folder
 * that only this user may write to, and its bytes are compared with their own hash when a process first uses it.
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { StepvaultError } from "../protocol/error.ts";
import { HostProcess, zoneinfoFolder } from "./host-process.ts";
import { isIntact } from "./host/snapshot-file.ts";
import { readWheels, type Wheel } from "./python-packages.ts";

const oldAfterMs = 7 * 24 * 3_600_000;
const ready = new Map<string, Promise<string>>();

export interface SnapshotOptions {
  readonly cacheDir: string;
  readonly pythonPackages?: string | undefined;
}

/** The snapshot's file, made first where there is none. A process checks it once; concurrent callers share one making. */
export async function ensureSnapshot({ cacheDir, pythonPackages = "" }: SnapshotOptions): Promise<string> {
  const key = `${path.resolve(cacheDir)}\0${pythonPackages}`;
  const known = await ready.get(key)?.catch(() => undefined);
  if (known !== undefined && exists(known)) return known;
  if (known !== undefined) ready.delete(key);
  const running = ready.get(key);
  if (running !== undefined) return await running;
  const checked = checkOrMake(path.resolve(cacheDir), pythonPackages);
  ready.set(key, checked);
  // What failed may have been mended by the next call.
  checked.catch(() => ready.delete(key));
  return await checked;
}

async function checkOrMake(folder: string, pythonPackages: string): Promise<string> {
  const wheels = pythonPackages === "" ? [] : readWheels(pythonPackages);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  refuseShared(folder);
  const file = path.join(folder, `python-${fingerprint(wheels)}.snapshot`);
  if (exists(file) && isIntact(file)) return file;
  const bytes = await makeSnapshot(wheels);
  removeOld(folder);
  // Written beside and renamed, so that a process killed half-way leaves no half snapshot under the final name.
  const partial = `${file}.${randomUUID()}`;
  writeFileSync(partial, bytes, { mode: 0o600 });
  renameSync(partial, file);
  return file;
}

function refuseShared(folder: string): void {
  const { uid, mode } = statSync(folder);
  if (uid === process.geteuid?.() && (mode & 0o022) === 0) return;
  throw new StepvaultError(
    "ERR_SANDBOX_START",
    "Cannot use the cache folder for the python snapshot: others than this user may write to it",
  );
}

async function makeSnapshot(wheels: readonly Wheel[]): Promise<Buffer> {
  let data: string | undefined;
  const host = await HostProcess.start(
    { type: "boot", language: "python", wheels: [...wheels] },
    (base64) => (data = base64),
  );
  host.kill();
  if (data === undefined)
    throw new StepvaultError("ERR_SANDBOX_START", "Cannot start a python sandbox host: it made no snapshot");
  return Buffer.from(data, "base64");
}

/** Snapshots of other versions, once nobody can be starting from them any more. */
function removeOld(folder: string): void {
  for (const name of readdirSync(folder)) {
    const file = path.join(folder, name);
    const ageMs = Date.now() - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (name.startsWith("python-") && ageMs > oldAfterMs) rmSync(file, { force: true });
  }
}

/** What the snapshot is made from: Node's and Pyodide's versions, the code before the step, time zones and packages. */
function fingerprint(wheels: readonly Wheel[]): string {
  const hash = createHash("sha256");
  const { version } = createRequire(import.meta.url)("pyodide/package.json") as { version: string };
  const zonesChangedMs = statSync(zoneinfoFolder, { throwIfNoEntry: false })?.mtimeMs;
  hash.update(JSON.stringify([version, process.version, process.arch, zonesChangedMs, wheels.map(wheelKey)]));
  for (const folder of ["python", "guest", "binding", "host"]) {
    const where = fileURLToPath(new URL(`./${folder}/`, import.meta.url));
    for (const name of readdirSync(where).sort()) {
      const file = path.join(where, name);
      if (statSync(file).isFile()) hash.update(name).update(readFileSync(file));
    }
  }
  return hash.digest("hex").slice(0, 16);
}

function wheelKey({ name, sha256 }: Wheel): readonly string[] {
  return [name, sha256];
}

function exists(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}
