/**
 * Makes the snapshot that Python runs start from: a cold interpreter loads our own modules, the operator's packages and
 * what steps use most, and its memory is taken. Runs in a sandbox host that serves no run, so a snapshot holds nothing
 * of one. About 4 s, once per version of the code and set of packages.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { WorkerMessage } from "../bridge/messages.ts";
import { packagesError, readPackage } from "../packages.ts";
import { cutWasm } from "./pyodide-cut.ts";
import {
  bootInterpreter,
  buildScript,
  compileCache,
  createGuest,
  type IsolateOfRun,
  wasmFile,
} from "./python-interpreter.ts";
import { encodeSnapshot, readBuffer } from "./snapshot-file.ts";

type Wheel = NonNullable<Extract<WorkerMessage, { type: "boot" }>["wheels"]>[number];

/** Node lets this host read it. */
const zoneinfoFolder = "/usr/share/zoneinfo";
const pythonFolder = fileURLToPath(new URL("../python/", import.meta.url));
const bindingFile = fileURLToPath(new URL("../binding/python.py", import.meta.url));

type Taken = { error: string } | { state: ArrayBuffer; runs: string; pages: ArrayBuffer; packages: ArrayBuffer };

/** The whole file of a snapshot. */
export async function makeSnapshot(run: IsolateOfRun, wheels: readonly Wheel[]): Promise<Buffer> {
  const linkable = wheels.some(({ native }) => native);
  const { text, exportsKept } = buildScript({ linkable });
  const guest = await createGuest(run, { text });
  await bootInterpreter(guest, { wasm: readBuffer(wasmFile) });
  const make = await guest.get("makeSnapshot", { reference: true });
  const modules = JSON.stringify({ loader: readPython("loader.py"), sources: readSources() });
  const files = Object.fromEntries([
    ...wheels.map((wheel) => [`/wheels/${wheel.name}`, readWheel(wheel)] as const),
    ...readZones("").map(([zone, bytes]) => [`/zoneinfo/${zone}`, bytes] as const),
  ]);
  const taken = (await make.apply(undefined, [modules, files], {
    arguments: { copy: true },
    result: { copy: true },
  })) as Taken;
  if ("error" in taken) throw packagesError(taken.error);
  return encodeSnapshot({
    script: Buffer.from(text, "latin1"),
    scriptCache: new Uint8Array(await compileCache(run.isolate, text)),
    wasm: cutWasm(readFileSync(wasmFile), exportsKept),
    state: new Uint8Array(taken.state),
    runs: Buffer.from(taken.runs),
    pages: new Uint8Array(taken.pages),
    packages: new Uint8Array(taken.packages),
  });
}

function readPython(name: string): string {
  return readFileSync(path.join(pythonFolder, name), "utf8");
}

function readSources(): Record<string, string> {
  const sources: Record<string, string> = { _stepvault_binding: readFileSync(bindingFile, "utf8") };
  for (const file of readdirSync(pythonFolder)) {
    if (file.endsWith(".py") && file !== "loader.py")
      sources[`_stepvault_${path.basename(file, ".py")}`] = readPython(file);
  }
  return sources;
}

/** The machine's compiled time zones, by name; none where it has no zones. */
function readZones(folder: string): [string, ArrayBuffer][] {
  const where = path.join(zoneinfoFolder, folder);
  const zones: [string, ArrayBuffer][] = [];
  for (const entry of existsSync(where) ? readdirSync(where, { withFileTypes: true }) : []) {
    const name = path.posix.join(folder, entry.name);
    if (entry.isDirectory() && !["posix", "right"].includes(entry.name)) zones.push(...readZones(name));
    // Zones' names begin with a capital; what does not is a table, or the machine's own zone.
    if (entry.isDirectory() || !/^[A-Z]/.test(entry.name)) continue;
    const bytes = readBuffer(path.join(where, entry.name));
    if (Buffer.from(bytes, 0, Math.min(4, bytes.byteLength)).toString("latin1") === "TZif") zones.push([name, bytes]);
  }
  return zones;
}

/** A wheel's bytes, if they are still those that were verified. */
function readWheel(wheel: Wheel): ArrayBuffer {
  return new Uint8Array(readPackage(wheel)).buffer;
}
