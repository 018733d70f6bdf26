/**
 * One JavaScript run: binds the references, compiles the step and runs it in an isolate of its own. Runs in the sandbox
 * host, which has no network, no files and no environment.
 */
import ivm from "isolated-vm";
import { bindJavaScript, analyzeJavaScript, type Analysis } from "../binding/javascript.ts";
import type { CodeReference, ExecuteMessage, HostError } from "../bridge/messages.ts";
import { bundleGuest } from "./guest-bundle.ts";
import { createGuestEntry } from "./guest-entry.ts";
import { GuestPort } from "./guest-port.ts";
import { compileStep } from "./javascript-step.ts";
import type { Session } from "./session.ts";
import type { WorkerPort } from "./worker-port.ts";

const MiB = 1024 * 1024;
const prelude = bundleGuest("javascript", "createJavaScriptGuest");

export function createJavaScriptSession(worker: WorkerPort): Session {
  let code = "";
  let analysis: Analysis | undefined;
  let live: { isolate: ivm.Isolate; port: GuestPort } | undefined;

  return {
    async prepare(source: string): Promise<CodeReference[]> {
      code = source;
      analysis = analyzeJavaScript(code);
      return analysis.references.map(({ name, line, column }) => ({ name, line, column }));
    },

    async execute(message: ExecuteMessage): Promise<GuestPort> {
      const { source, bindings } = bindJavaScript(analysis ?? analyzeJavaScript(code), new Map(message.values));
      const isolate = new ivm.Isolate({ memoryLimit: Math.max(8, Math.floor(message.limits.memoryBytesMax / MiB)) });
      const context = await isolate.createContext();
      const port = new GuestPort(worker, message.limits, (text) =>
        bindings.reduce((restored, { identifier, original }) => restored.replaceAll(identifier, () => original), text),
      );
      live = { isolate, port };
      const createGuest: ivm.Reference = await context.eval(prelude, {
        filename: "stepvault:prelude",
        reference: true,
      });
      const hostReference = new ivm.Reference((text: string) => port.call(text));
      const guest: ivm.Reference = await createGuest.apply(undefined, [hostReference, JSON.stringify(message.limits)], {
        result: { reference: true },
      });
      // Only now: the guest has kept its copies of the built-ins before anything of the step is in the isolate.
      const step = await compileStep(isolate, context, {
        source,
        identifiers: bindings.map(({ identifier }) => identifier),
      });
      const receive: ivm.Reference = await guest.get("receive", { reference: true });
      const run: ivm.Reference = await guest.get("run", { reference: true });
      const { params, steps, inputs } = message;
      const values = JSON.stringify(bindings.map(({ value }) => value));
      const execute = `{"values":${values},"params":${params},"steps":${steps},"inputs":${inputs}}`;

      const enter = createGuestEntry(port, (error) => {
        const reason = describeIsolateError(isolate, message);
        if (reason === undefined) warnOfRejection(port, error);
        return reason;
      });
      port.onDeliver((text) => enter(receive, [text]));
      worker.send({ type: "started" });
      enter(run, [step.derefInto(), execute]);
      return port;
    },

    async dispose(): Promise<void> {
      if (live?.isolate.isDisposed === false) live.isolate.dispose();
      await live?.port.close();
    },
  };
}

/** What ends a run from inside isolated-vm; undefined for a rejection that nobody handles, or not yet. */
function describeIsolateError(isolate: ivm.Isolate, { limits }: ExecuteMessage): HostError | undefined {
  if (!isolate.isDisposed) return undefined;
  return {
    code: "ERR_LIMIT_MEMORY",
    message: `Cannot go on: the step needs more than ${limits.memoryBytesMax} bytes of memory (memoryBytesMax)`,
  };
}

/** The step's code catches a rejection later, or never: both go on, as in a browser, and the log says so. */
function warnOfRejection(port: GuestPort, error: unknown): void {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : "not an Error";
  const message = `A promise was rejected while nothing awaited it: ${text}`;
  void port.call(JSON.stringify({ type: "log", level: "warn", message }));
}
