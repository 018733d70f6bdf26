/**
 * Starts Pyodide in an isolate: compiles the one script that holds the guest and Pyodide's modules, and hands the
 * interpreter its files. Buffers are given away and not copied: what a start costs is mostly memory that is touched.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import v8 from "node:v8";
import ivm from "isolated-vm";
import { bundleGuest } from "./guest-bundle.ts";
import { cutScripts } from "./pyodide-cut.ts";
import { readBuffer } from "./snapshot-file.ts";

const pyodideFolder = path.dirname(createRequire(import.meta.url).resolve("pyodide/package.json"));
export const wasmFile = path.join(pyodideFolder, "pyodide.asm.wasm");
const stdlibFile = path.join(pyodideFolder, "python_stdlib.zip");

export interface PythonScript {
  readonly text: string;
  /** V8's compiled form of the text. Trusted code: V8 runs what is in it. */
  readonly cache?: ArrayBuffer;
}

export interface IsolateOfRun {
  readonly isolate: ivm.Isolate;
  readonly context: ivm.Context;
  readonly hostReference: ivm.Reference;
}

/** The script for a cold start, and which exports of the wasm file it uses; none named means all. */
export function buildScript({ linkable }: { linkable: boolean }): { text: string; exportsKept: ReadonlySet<string> } {
  const read = (file: string): string => readFileSync(path.join(pyodideFolder, file), "utf8");
  const { module, loader, exportsKept } = cutScripts({
    module: read("pyodide.asm.mjs"),
    loader: read("pyodide.mjs"),
    linkable,
  });
  // Pyodide checks this against its own build; it holds no packages, since nothing is fetched at run time.
  const { info } = JSON.parse(read("pyodide-lock.json")) as { info: unknown };
  const lock = JSON.stringify(JSON.stringify({ info, packages: {} }));
  const guest = bundleGuest("python", "createPythonGuest");
  const text = `({ createGuest: ${guest}, modules: { module: ${module}, loader: ${loader}, lock: ${lock} } })`;
  // V8 keeps a text without other characters in half the memory, and reads it faster.
  const ascii = text.replaceAll(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return { text: ascii, exportsKept };
}

/** The guest of a script, before any interpreter. */
export async function createGuest(
  { isolate, context, hostReference }: IsolateOfRun,
  { text, cache }: PythonScript,
): Promise<ivm.Reference> {
  const cachedData = cache === undefined ? {} : { cachedData: new ivm.ExternalCopy(cache, { transferOut: true }) };
  const script = await isolate.compileScript(text, { filename: "stepvault:prelude", ...cachedData });
  const parts: ivm.Reference = await script.run(context, { reference: true, release: true });
  const create: ivm.Reference = await parts.get("createGuest", { reference: true });
  const modules: ivm.Reference = await parts.get("modules", { reference: true });
  return await create.apply(undefined, [hostReference, modules.derefInto()], { result: { reference: true } });
}

/** V8's compiled form of a script. */
export async function compileCache(isolate: ivm.Isolate, text: string): Promise<ArrayBuffer> {
  const script: ivm.Script & ivm.CachedDataResult = await isolate.compileScript(text, {
    filename: "stepvault:prelude",
    produceCachedData: true,
  });
  return script.cachedData?.copy() ?? new ArrayBuffer(0);
}

export interface InterpreterParts {
  readonly wasm: ArrayBuffer;
  /** From what to restore; absent for a cold start. */
  readonly snapshot?: { state: ArrayBuffer; runs: string; pages: ArrayBuffer; packages: ArrayBuffer };
}

export async function bootInterpreter(guest: ivm.Reference, { wasm, snapshot }: InterpreterParts): Promise<void> {
  const boot: ivm.Reference = await guest.get("boot", { reference: true });
  const given =
    snapshot === undefined
      ? []
      : [snapshot.runs, ...[snapshot.state, snapshot.pages, snapshot.packages].map((part) => giveAway(part))];
  const files = [giveAway(wasm), giveAway(readBuffer(stdlibFile))];
  await withStartFlags(
    async () => await boot.apply(undefined, [...files, ...given], { result: { promise: true, copy: true } }),
  );
}

function giveAway(buffer: ArrayBuffer): ivm.Copy<ArrayBuffer> {
  return new ivm.ExternalCopy(buffer, { transferOut: true }).copyInto({ release: true, transferIn: true });
}

/**
 * The interpreter's own functions are checked by V8 when they are first called, not all at the start, and compiled anew
 * by the optimizing compiler only once they have run for longer than a start takes. Both hold for modules compiled
 * now; one that a step brings along is treated as usual.
 */
async function withStartFlags<T>(work: () => Promise<T>): Promise<T> {
  v8.setFlagsFromString("--wasm-lazy-validation");
  v8.setFlagsFromString(`--wasm-tiering-budget=${tieringBudget.start}`);
  try {
    return await work();
  } finally {
    v8.setFlagsFromString("--no-wasm-lazy-validation");
    v8.setFlagsFromString(`--wasm-tiering-budget=${tieringBudget.usual}`);
  }
}

/** In V8's unit, about bytes of code executed. */
const tieringBudget = { start: 100_000_000, usual: 13_000_000 } as const;
