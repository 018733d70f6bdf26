/**
 * The guest side of a JavaScript run: installs what a step finds in scope, runs its function and sends how it ended.
 * Runs inside the isolate; the last lines make the isolate's global ready and hide what a step must not have.
 */
import { failRun, type GuestLimits, jsonParse, receive, sendAndWait, sendLast } from "./bridge.ts";
import { installClone } from "./clone.ts";
import { installConsole } from "./console.ts";
import { installEncoding } from "./encoding.ts";
import { installFetch } from "./fetch.ts";
import { describeError } from "./format.ts";
import { OutputError, outputToJson } from "./output.ts";
import { installTimers } from "./timers.ts";
import { installUrl } from "./url.ts";

export interface JavaScriptGuest {
  /** Hands one event of the host, as JSON text, to the guest. */
  receive(text: string): void;
  /** Binds the values and runs the step. Both arguments are made by the host, the strings are JSON texts. */
  run(bindStep: (...values: string[]) => () => Promise<unknown>, execute: string): void;
}

export function createJavaScriptGuest(limitsText: string): JavaScriptGuest {
  const limits = jsonParse(limitsText) as GuestLimits;
  const reportUncaught = (error: unknown): void => failWith(error);
  hardenIntrinsics();
  installConsole(limits);
  installClone();
  installTimers(limits, reportUncaught);
  installEncoding();
  installUrl();
  installFetch(limits);
  installCrypto();
  const define = Object.defineProperty;
  const asGlobal = (name: string, value: unknown): void => {
    define(globalThis, name, { value, writable: true, configurable: true, enumerable: true });
  };

  return {
    receive,
    run(bindStep, execute) {
      const { values, params, steps, inputs } = jsonParse(execute) as {
        values: string[];
        params: unknown;
        steps: unknown;
        inputs: unknown;
      };
      asGlobal("params", params);
      asGlobal("steps", steps);
      asGlobal("inputs", inputs);
      const step = bindStep(...values);
      void runStep(step, limits);
    },
  };
}

async function runStep(step: () => Promise<unknown>, limits: GuestLimits): Promise<void> {
  try {
    const output = await step();
    sendLast({ type: "done", output: outputToJson(output, limits) });
  } catch (error) {
    failWith(error);
  }
}

function failWith(error: unknown): void {
  try {
    tellError(error);
  } catch {
    // A proxy whose traps throw: there is nothing that can be said of it.
    failRun("ERR_STEP_THREW", "Error: what was thrown cannot be read");
  }
}

function tellError(error: unknown): void {
  if (error instanceof OutputError) {
    failRun(error.code, error.message);
    return;
  }
  const { name, message, stack, line, column } = describeError(error);
  sendLast({
    type: "fail",
    error: {
      code: "ERR_STEP_THREW",
      message: message === "" ? name : `${name}: ${message}`,
      ...(stack === "" ? {} : { stack }),
      ...(line === undefined ? {} : { line, column: column ?? 0 }),
    },
  });
}

/**
 * An index setter on Array.prototype, met by isolated-vm while it copies arguments, ends the whole process; so these
 * prototypes take no new properties. What exists stays writable, as steps expect.
 */
function hardenIntrinsics(): void {
  for (const intrinsic of [Array, Object, Function, Promise, Error]) Object.preventExtensions(intrinsic.prototype);
  const globals = globalThis as Record<string, unknown>;
  for (const name of ["WebAssembly", "SharedArrayBuffer", "Atomics"]) delete globals[name];
}

function installCrypto(): void {
  const random = (length: number): number[] => (sendAndWait({ type: "random", length }) as { bytes: number[] }).bytes;
  (globalThis as Record<string, unknown>)["crypto"] = {
    getRandomValues<Target extends Uint8Array>(target: Target): Target {
      if (!ArrayBuffer.isView(target)) throw new TypeError("getRandomValues takes a typed array");
      if (target.byteLength > 65_536) throw new TypeError("getRandomValues gives at most 65,536 bytes at once");
      new Uint8Array(target.buffer, target.byteOffset, target.byteLength).set(random(target.byteLength));
      return target;
    },
    randomUUID(): string {
      return (sendAndWait({ type: "random", length: 0 }) as { uuid: string }).uuid;
    },
  };
}
