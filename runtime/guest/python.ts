/**
 * The guest side of a Python run: the few globals that Pyodide's loader looks for, the interpreter itself, and the
 * functions that Python code calls. Runs inside the isolate. Nothing here keeps a step from running JavaScript: whoever
 * runs Python in this isolate is taken to run anything in it, and the isolate and its process are the boundary.
 */
import { failRun, type GuestLimits, jsonParse, receive, send, sendAndWait, sendLast } from "./bridge.ts";
import { encodeBase64, GuestTextDecoder, installEncoding } from "./encoding.ts";
import { installFetch } from "./fetch.ts";
import { installTimers } from "./timers.ts";
import { installUrl } from "./url.ts";

interface PyCallable {
  (...args: unknown[]): unknown;
  callPromising(...args: unknown[]): Promise<unknown>;
}

interface Pyodide {
  pyimport(name: string): Record<string, PyCallable>;
  registerJsModule(name: string, module: object): void;
  runPython(code: string): unknown;
  makeMemorySnapshot(): Uint8Array;
  setStdout(options: { write(bytes: Uint8Array): number }): void;
  setStderr(options: { write(bytes: Uint8Array): number }): void;
}

type LoadPyodide = (options: object) => Promise<Pyodide>;

export interface PythonGuest {
  receive(text: string): void;
  /** Starts the interpreter, cold or from a snapshot. */
  boot(
    loadPyodide: LoadPyodide,
    createModule: unknown,
    files: Record<string, ArrayBuffer>,
    snapshot?: ArrayBuffer,
  ): Promise<void>;
  /** Loads our own Python modules, imports what steps use most, and gives the memory as a snapshot. Only when cold. */
  makeSnapshot(modulesText: string): ArrayBuffer;
  /** Reads a step: JSON with its references or what is wrong with it. */
  prepare(code: string): string;
  /** Starts the step. The text is JSON made by the host. */
  run(execute: string, limits: string): void;
}

const wasmPageBytes = 65_536;
/** A piece of printed text that goes over the bridge at once, bytes. */
const printBytesMax = 65_536;

/** Set once Pyodide has said that it cannot go on. */
let interpreterDead = false;

export function createPythonGuest(): PythonGuest {
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
  // Pyodide's modules look at the globals as soon as they are evaluated; the files are handed over later.
  const loaderFiles: Record<string, ArrayBuffer> = {};
  installLoaderGlobals(loaderFiles, limits);
  let pyodide: Pyodide;
  let runner: Record<string, PyCallable>;

  return {
    receive,
    async boot(loadPyodide, createModule, files, snapshot) {
      Object.assign(loaderFiles, files);
      pyodide = await loadPyodide({
        indexURL: "/pyodide/",
        createPyodideModule: createModule,
        checkAPIVersion: false,
        lockFileContents: lockFile(files),
        ...(snapshot === undefined ? { _makeSnapshot: true } : { _loadSnapshot: snapshot }),
      });
      if (snapshot !== undefined) runner = prepareInterpreter(pyodide, limits);
    },
    makeSnapshot(modulesText) {
      const modules = jsonParse(modulesText) as { loader: string; sources: Record<string, string> };
      pyodide.runPython(`_stepvault_sources = ${JSON.stringify(JSON.stringify(modules.sources))}\n${modules.loader}`);
      return pyodide.makeMemorySnapshot().slice().buffer;
    },
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

/** The wasm memory is outside isolated-vm's limit, so growth is refused here; Python turns that into MemoryError. */
function capWasmMemory(): { bytesMax: number } {
  const cap = { bytesMax: 1024 * 1024 * 1024 };
  const prototype = WebAssembly.Memory.prototype;
  const grow = prototype.grow;
  prototype.grow = function growWithinCap(this: WebAssembly.Memory, pages: number): number {
    if (this.buffer.byteLength + pages * wasmPageBytes > cap.bytesMax)
      throw new RangeError("the memory limit is reached");
    return Reflect.apply(grow, this, [pages]);
  };
  return cap;
}

/** What Pyodide and Emscripten look for in a bare JavaScript shell. */
function installLoaderGlobals(files: Record<string, ArrayBuffer>, limits: GuestLimits): void {
  const globals = globalThis as Record<string, unknown>;
  installTimers(limits, () => {});
  installEncoding();
  installUrl();
  installFetch(limits);
  const bytesOf = (path: string): ArrayBuffer => {
    const file = files[path.split("/").at(-1) ?? ""];
    if (file === undefined) throw new Error("no such file");
    return file;
  };
  globals["read"] = (path: string, mode?: string): unknown =>
    mode === "binary" ? bytesOf(path) : new GuestTextDecoder().decode(bytesOf(path));
  globals["readbuffer"] = bytesOf;
  globals["load"] = (): never => {
    throw new Error("nothing can be loaded");
  };
  globals["print"] = (): void => {};
  globals["printErr"] = (): void => {};
  const quiet = (): void => {};
  const error = (text: unknown): void => {
    // What follows is Pyodide's dump of the whole stack, our frames included; the run's error says what there is to say.
    if (String(text).startsWith("Pyodide has suffered a fatal error")) interpreterDead = true;
  };
  globals["console"] = { log: quiet, info: quiet, warn: quiet, error, debug: quiet };
  globals["performance"] = { now: Date.now };
  globals["location"] = { href: "file:///" };
  globals["crypto"] = {
    getRandomValues(target: Uint8Array): Uint8Array {
      for (let at = 0; at < target.length; at += 65_536)
        target.set(randomBytes(Math.min(65_536, target.length - at)), at);
      return target;
    },
    randomUUID: (): string => (sendAndWait({ type: "random", length: 0 }) as { uuid: string }).uuid,
  };
  // Emscripten's shell build asks a program for its seed: "head -c32 /dev/urandom | base64 --wrap=0".
  globals["os"] = {
    system: (_program: string, args: string[]): string =>
      encodeBase64(randomBytes(Number(/head -c(\d+)/.exec(args[1] ?? "")?.[1] ?? 32))),
  };
  // Asynchronous compilation never settles inside isolated-vm.
  const { Module, Instance } = WebAssembly;
  const wasm = WebAssembly as unknown as Record<string, unknown>;
  wasm["compile"] = async (bytes: ArrayBuffer) => new Module(bytes);
  wasm["instantiate"] = async (source: ArrayBuffer | WebAssembly.Module, imports?: object) => {
    if (source instanceof Module) return new Instance(source, imports);
    const module = new Module(source);
    return { module, instance: new Instance(module, imports) };
  };
}

function randomBytes(length: number): number[] {
  return (sendAndWait({ type: "random", length }) as { bytes: number[] }).bytes;
}

/** Pyodide checks this against its own build; it holds no packages, since nothing is fetched at run time. */
function lockFile(files: Record<string, ArrayBuffer>): string {
  const { info } = JSON.parse(new GuestTextDecoder().decode(files["pyodide-lock.json"])) as { info: unknown };
  return JSON.stringify({ info, packages: {} });
}

/** Joins a restored interpreter to the bridge and takes from the global what a step must not have. */
function prepareInterpreter(pyodide: Pyodide, limits: GuestLimits): Record<string, PyCallable> {
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
  for (const intrinsic of [Array, Object, Function, Promise, Error]) Object.preventExtensions(intrinsic.prototype);
  const globals = globalThis as Record<string, unknown>;
  for (const name of ["SharedArrayBuffer", "Atomics", "read", "readbuffer", "load", "print", "printErr"])
    delete globals[name];
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
    /** A blocking request; both texts are JSON. */
    request(request: string): string {
      return JSON.stringify(sendAndWait({ type: "blockingRequest", request: jsonParse(request) }));
    },
  };
}
