/**
 * The guest side of a Python run: the interpreter, its streams, and the functions that Python code calls. Runs inside
 * the isolate. Nothing here keeps a step from running JavaScript: whoever runs Python in this isolate is taken to run
 * anything in it, and the isolate and its process are the boundary.
 */
import {
  connectHost,
  failRun,
  type GuestLimits,
  type HostReference,
  jsonParse,
  receive,
  send,
  sendAndWait,
  sendLast,
} from "./bridge.ts";
import { GuestTextDecoder } from "./encoding.ts";
import { takeLateBuiltIns } from "./late.ts";
import { type FileSystem, limitFiles, packFiles, unpackFiles } from "./python-files.ts";
import { installLoaderGlobals, removeLoaderGlobals } from "./python-globals.ts";
import { capWasmMemory, type MemoryPages, takePages, writePages } from "./python-memory.ts";

interface PyCallable {
  (...args: unknown[]): unknown;
  callPromising(...args: unknown[]): Promise<unknown>;
}

interface Pyodide {
  readonly FS: FileSystem;
  pyimport(name: string): Record<string, PyCallable>;
  registerJsModule(name: string, module: object): void;
  runPython(code: string): unknown;
  makeMemorySnapshot(): Uint8Array;
  setStdout(options: { write(bytes: Uint8Array): number }): void;
  setStderr(options: { write(bytes: Uint8Array): number }): void;
}

type LoadPyodide = (options: object) => Promise<Pyodide>;

/** Pyodide's two modules as functions that evaluate them: they look at the globals as soon as they are evaluated. */
interface PyodideModules {
  module(): unknown;
  loader(): LoadPyodide;
  /** The text of a lock file of Pyodide's. */
  readonly lock: string;
}

/** From what an interpreter is restored. */
interface InterpreterSnapshot extends MemoryPages {
  /** What Pyodide keeps of itself beside the memory. */
  readonly state: ArrayBuffer;
  /** Files of the operator's packages: a JSON list of path and length, its own length before it, then the contents. */
  readonly packages: ArrayBuffer;
}

export interface PythonGuest {
  receive(text: string): void;
  /** Starts the interpreter: cold, or from the parts of a snapshot. */
  boot(
    wasm: ArrayBuffer,
    stdlib: ArrayBuffer,
    runs?: string,
    state?: ArrayBuffer,
    pages?: ArrayBuffer,
    packages?: ArrayBuffer,
  ): Promise<void>;
  /** Puts files where the loader looks for them (wheels in /wheels, time zones in /zoneinfo), loads our own Python modules, imports what steps use most, and takes the snapshot. Only when cold. */
  makeSnapshot(modulesText: string, files: Record<string, ArrayBuffer>): InterpreterSnapshot | { error: string };
  /** Does once what every step does. Later calls are faster for it. */
  warmUp(): void;
  /** Reads a step: JSON with its references or what is wrong with it. */
  prepare(code: string): string;
  /** Starts the step. The text is JSON made by the host. */
  run(execute: string, limits: string): void;
}

/** A piece of printed text that goes over the bridge at once, bytes. */
const printBytesMax = 65_536;

/** Set once Pyodide has said that it cannot go on. */
let interpreterDead = false;

export function createPythonGuest(host: HostReference, modules: PyodideModules): PythonGuest {
  connectHost(host);
  takeLateBuiltIns();
  const memory = capWasmMemory();
  const limits: GuestLimits & { memoryBytesMax?: number } = {
    stdoutBytesMax: 0,
    stdoutLinesMax: 0,
    logEntriesMax: 0,
    logBytesMax: 0,
    outputBytesMax: 0,
    outputDepthMax: 0,
    timersMax: 1_000,
    requestsMax: 0,
    requestBytesMax: 0,
  };
  let pyodide: Pyodide;
  let runner: Record<string, PyCallable>;

  return {
    receive,
    async boot(wasm, stdlib, runs, state, pages, packages) {
      installLoaderGlobals({
        files: { "pyodide.asm.wasm": wasm, "python_stdlib.zip": stdlib },
        limits,
        onFatalError: () => (interpreterDead = true),
      });
      pyodide = await modules.loader()({
        indexURL: "/pyodide/",
        createPyodideModule: modules.module(),
        checkAPIVersion: false,
        lockFileContents: modules.lock,
        claimFileBytes: limitFiles(() => limits.memoryBytesMax),
        ...(state === undefined
          ? { _makeSnapshot: true }
          : {
              _loadSnapshot: state,
              restoreMemory(grow: (bytes: number) => void, view: () => Uint8Array, usedBytes: number): void {
                if (runs !== undefined && pages !== undefined) writePages({ grow, view, usedBytes }, { runs, pages });
                pages?.transfer(0);
              },
            }),
      });
      // Detached, the buffers are freed now and not at some collection: they are a third of what a host would hold.
      for (const used of [wasm, stdlib]) used.transfer(0);
      if (packages === undefined) return;
      unpackFiles(pyodide.FS, packages);
      runner = joinInterpreter(pyodide, limits);
    },
    makeSnapshot(modulesText, files) {
      const { loader, sources } = jsonParse(modulesText) as { loader: string; sources: Record<string, string> };
      for (const [path, bytes] of Object.entries(files)) {
        pyodide.FS.mkdirTree(path.slice(0, path.lastIndexOf("/")));
        pyodide.FS.writeFile(path, new Uint8Array(bytes));
      }
      pyodide.runPython(`_stepvault_sources = ${JSON.stringify(JSON.stringify(sources))}`);
      const loaded = JSON.parse(String(pyodide.runPython(loader))) as { files: string[]; error?: string };
      if (loaded.error !== undefined) return { error: loaded.error };
      const packages = packFiles(pyodide.FS, loaded.files);
      const made = pyodide.makeMemorySnapshot();
      // Pyodide's snapshot is its own state, then the memory; the second word says where that begins.
      const memoryAt = new Uint32Array(made.buffer, made.byteOffset, 2)[1] ?? 0;
      const state = made.slice(0, memoryAt).buffer;
      return { state, packages, ...takePages(made.subarray(memoryAt)) };
    },
    warmUp: () => void runner["warm_up"]!.callPromising().catch(() => {}),
    prepare: (code) => String(runner["prepare"]!(code)),
    run(execute, limitsText) {
      Object.assign(limits, jsonParse(limitsText));
      memory.bytesMax = limits.memoryBytesMax ?? 0;
      void runStep(runner, execute, limits);
    },
  };
}

async function runStep(runner: Record<string, PyCallable>, execute: string, limits: GuestLimits): Promise<void> {
  try {
    const outcome = jsonParse(String(await runner["execute"]!.callPromising(execute, JSON.stringify(limits)))) as {
      output?: string;
      error?: object;
    };
    if (outcome.output === undefined) sendLast({ type: "fail", error: outcome.error });
    else sendLast({ type: "done", output: outcome.output });
  } catch {
    // Pyodide throws into JavaScript only when the interpreter itself cannot go on.
    failRun("ERR_STEP_EXITED", "Cannot go on: the step ended or broke its Python interpreter");
  }
}

/** Joins a restored interpreter to the bridge and takes from the global what a step must not have. */
function joinInterpreter(pyodide: Pyodide, limits: GuestLimits): Record<string, PyCallable> {
  for (const stream of ["stdout", "stderr"] as const) {
    const decoder = new GuestTextDecoder();
    const write = (bytes: Uint8Array): number => {
      for (let at = 0; at < bytes.length; at += printBytesMax) {
        const text = decoder.decode(bytes.subarray(at, at + printBytesMax), { stream: true });
        if (text !== "" && !interpreterDead) send({ type: "print", stream, text });
      }
      return bytes.length;
    };
    if (stream === "stdout") pyodide.setStdout({ write });
    else pyodide.setStderr({ write });
  }
  pyodide.registerJsModule("_stepvault_host", hostFunctions(limits));
  const runner = pyodide.pyimport("_stepvault_runner");
  runner["restore"]!();
  removeLoaderGlobals();
  return runner;
}

/** What Python code calls. Strings and numbers in, strings out. */
function hostFunctions(limits: GuestLimits): object {
  return {
    log(level: string, message: string, fields: string): void {
      if (message.length > limits.logBytesMax) {
        failRun(
          "ERR_LIMIT_LOG",
          `Cannot write a log entry of ${message.length} characters: at most ${limits.logBytesMax} bytes are allowed`,
        );
        return;
      }
      send({ type: "log", level, message, fields: jsonParse(fields) });
    },
    sleep(ms: number): void {
      sendAndWait({ type: "sleep", ms });
    },
    /** A blocking request, to the first part of its response; both texts are JSON. */
    request(request: string): string {
      return JSON.stringify(sendAndWait({ type: "blockingRequest", request: jsonParse(request) }));
    },
    /** The next part of a response. */
    read(id: number): string {
      return JSON.stringify(sendAndWait({ type: "blockingRead", id }));
    },
    /** The rest of a response is not wanted. */
    abort(id: number): void {
      send({ type: "abort", id });
    },
    sign(key: string, options: string): string {
      return JSON.stringify(sendAndWait({ type: "blockingSign", key, options: jsonParse(options) }));
    },
  };
}
