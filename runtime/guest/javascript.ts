/**
 * The guest side of a JavaScript run: installs what a step finds in scope, runs its function and sends how it ended.
 * Runs inside the isolate, in three parts: most of it when the host makes the snapshot that its isolates start from; what
 * a snapshot cannot hold when an isolate is made ahead of its run; the rest with the run's limits.
 */
import { connectHost, failRun, type GuestLimits, type HostReference, jsonParse, receive, sendLast } from "./bridge.ts";
import { installClone } from "./clone.ts";
import { installConsole } from "./console.ts";
import { installCrypto } from "./crypto.ts";
import { installEncoding } from "./encoding.ts";
import { describeError, installErrors } from "./error.ts";
import { installException } from "./exception.ts";
import { installFetch } from "./fetch.ts";
import { exposeGlobal } from "./globals.ts";
import { hardenIntrinsics } from "./harden.ts";
import { OutputError, outputToJson } from "./output.ts";
import { imported, importedValues, importPackage, MissingExport } from "./imports.ts";
import { standInForLateBuiltIns, takeLateBuiltIns } from "./late.ts";
import { installPerformance, startClock } from "./performance.ts";
import { installSign } from "./sign.ts";
import { installTextStreams } from "./text-streams.ts";
import { installTimers } from "./timers.ts";
import { installTransform } from "./transform.ts";
import { installUrl } from "./url.ts";

export interface JavaScriptGuest {
  /** Does once what every run does, to have it compiled. Ends the guest: only for a context that is thrown away. */
  rehearse(): void;
  /** Ends the preparation of a new isolate. V8 adds its latest built-ins after the snapshot, so they are frozen now. */
  connect(host: HostReference): void;
  /** Hands one event of the host, as JSON text, to the guest. */
  receive(text: string): void;
  /** Binds the values and runs the step. The first two arguments are made by the host, the second is a JSON text. */
  run(bindStep: (...values: unknown[]) => () => Promise<unknown>, execute: string, ...namespaces: object[]): void;
  /** The answer to an `import(…)`. */
  imported(id: number, failure: string | undefined, namespace?: object): void;
}

interface Execute {
  /** What the host has found out about the step. */
  known: {
    limits: GuestLimits;
    values: string[];
    imports: Parameters<typeof importedValues>[0];
    importsDynamically: boolean;
  };
  params: unknown;
  steps: unknown;
  inputs: unknown;
}

export function createJavaScriptGuest(): JavaScriptGuest {
  // Filled in when the run starts; nothing reads it before.
  const limits = {} as GuestLimits;
  installErrors();
  installException();
  installConsole(limits);
  installTimers(limits, failWith);
  installEncoding();
  installUrl();
  installFetch(limits);
  installTransform();
  installTextStreams();
  installClone();
  installCrypto();
  installSign();
  installPerformance();

  return {
    rehearse() {
      standInForLateBuiltIns();
      this.connect({ applyIgnored() {}, applySyncPromise: () => "{}" });
      const known = { limits: {}, values: [], imports: [], importsDynamically: false };
      const step = async (): Promise<unknown> => {
        globalThis.console.log("text", { list: [1] });
        return [1];
      };
      this.run(() => step, JSON.stringify({ known, params: {}, steps: {}, inputs: {} }));
    },
    connect(host) {
      connectHost(host);
      takeLateBuiltIns();
      hardenIntrinsics();
    },
    receive,
    imported,
    run(bindStep, execute, ...namespaces) {
      const { known, params, steps, inputs } = jsonParse(execute) as Execute;
      Object.assign(limits, known.limits);
      startClock();
      for (const [name, value] of Object.entries({ params, steps, inputs })) exposeGlobal(name, value);
      const more = known.importsDynamically ? [importPackage] : [];
      try {
        const values = [...known.values, ...more, ...importedValues(known.imports, namespaces)];
        void runStep(bindStep(...values), limits);
      } catch (error) {
        failImport(error);
      }
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

function failImport(error: unknown): void {
  if (!(error instanceof MissingExport)) return failWith(error);
  const { message, line, column } = error;
  sendLast({ type: "fail", error: { code: "ERR_STEP_SYNTAX", message, line, column } });
}

function failWith(error: unknown): void {
  if (OutputError.is(error)) {
    failRun(error.code, error.message);
    return;
  }
  const { message, stack, line, column } = describeError(error);
  sendLast({
    type: "fail",
    error: {
      code: "ERR_STEP_THREW",
      message,
      ...(stack === "" ? {} : { stack }),
      ...(line === undefined ? {} : { line, column: column ?? 0 }),
    },
  });
}
