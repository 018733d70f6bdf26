/**
 * The globals that Pyodide's loader and Emscripten look for in a bare JavaScript shell, and their end: what a step has
 * no use for is taken away before it starts. Runs inside the isolate.
 */
import { type GuestLimits, sendAndWait } from "./bridge.ts";
import { encodeBase64, installEncoding } from "./encoding.ts";
import { installFetch } from "./fetch.ts";
import { installTimers } from "./timers.ts";
import { installUrl } from "./url.ts";

export interface LoaderFiles {
  readonly [name: string]: ArrayBuffer;
}

export interface LoaderGlobals {
  readonly files: LoaderFiles;
  readonly limits: GuestLimits;
  onFatalError(): void;
}

const loaderNames = ["SharedArrayBuffer", "Atomics", "read", "readbuffer", "load", "print", "printErr"];

export function installLoaderGlobals({ files, limits, onFatalError }: LoaderGlobals): void {
  const globals = globalThis as Record<string, unknown>;
  installTimers(limits, () => {});
  installEncoding();
  installUrl();
  installFetch(limits);
  globals["readbuffer"] = (path: string): ArrayBuffer => {
    const file = files[path.split("/").at(-1) ?? ""];
    if (file === undefined) throw new Error("no such file");
    return file;
  };
  const nothing = (): never => {
    throw new Error("nothing can be loaded");
  };
  const quiet = (): void => {};
  Object.assign(globals, { read: nothing, load: nothing, print: quiet, printErr: quiet });
  const error = (text: unknown): void => {
    // What follows is Pyodide's dump of the whole stack, our frames included; the run's error says what there is to say.
    if (String(text).startsWith("Pyodide has suffered a fatal error")) onFatalError();
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
  replaceWasmCompilation();
}

/** Takes the loader's own names from the global again, and closes what crashes isolated-vm. */
export function removeLoaderGlobals(): void {
  for (const intrinsic of [Array, Object, Function, Promise, Error]) Object.preventExtensions(intrinsic.prototype);
  const globals = globalThis as Record<string, unknown>;
  for (const name of loaderNames) delete globals[name];
}

/** Asynchronous compilation never settles inside isolated-vm. */
function replaceWasmCompilation(): void {
  const { Module, Instance } = WebAssembly;
  Object.assign(WebAssembly, {
    compile: async (bytes: ArrayBuffer) => new Module(bytes),
    instantiate: async (source: ArrayBuffer | WebAssembly.Module, imports?: object) => {
      if (source instanceof Module) return new Instance(source, imports);
      const module = new Module(source);
      return { module, instance: new Instance(module, imports) };
    },
  });
}

function randomBytes(length: number): number[] {
  return (sendAndWait({ type: "random", length }) as { bytes: number[] }).bytes;
}
