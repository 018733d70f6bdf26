/**
 * Makes the snapshot that Python runs start from: a cold interpreter loads our own modules, the operator's packages and
 * what steps use most, and its memory is taken. Runs in a sandbox host that serves no run, so a snapshot holds nothing
 * of one. About 4 s, once per version of the code and set of packages.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { StepvaultError } from "../../protocol/error.ts";
import type { WorkerMessage } from "../bridge/messages.ts";
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

const pythonFolder = fileURLToPath(new URL("../python/", import.meta.url));
const bindingFile = fileURLToPath(new URL("../binding/python.py", import.meta.url));

/** The whole file of a snapshot. */
export async function makeSnapshot(run: IsolateOfRun, wheels: readonly Wheel[]): Promise<Buffer> {
  const linkable = wheels.some(({ native }) => native);
  const { text, exportsKept } = buildScript({ linkable });
  const guest = await createGuest(run, { text });
  await bootInterpreter(guest, { wasm: readBuffer(wasmFile) });
  const make = await guest.get("makeSnapshot", { reference: true });
  const modules = JSON.stringify({ loader: readPython("loader.py"), sources: readSources() });
  const contents = Object.fromEntries(wheels.map((wheel) => [wheel.name, readWheel(wheel)]));
  const taken = (await make.apply(undefined, [modules, contents], { arguments: { copy: true }, result: { copy: true } })) as {
    state: ArrayBuffer;
    runs: string;
    pages: ArrayBuffer;
    packages: ArrayBuffer;
  };
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

/** A wheel's bytes, if they are still those that were verified. */
function readWheel({ name, file, sha256 }: Wheel): ArrayBuffer {
  const bytes = readBuffer(file);
  if (createHash("sha256").update(new Uint8Array(bytes)).digest("hex") !== sha256)
    throw new StepvaultError("ERR_PACKAGES", `Cannot load the package ${name}: the file changed after it was verified`);
  return bytes;
}
