/**
 * One Python run: Pyodide inside an isolate of the same kind as JavaScript's, started from a memory snapshot. Runs in
 * the sandbox host, which has no network, no files but Pyodide's and the snapshot, and no environment.
 */
import ivm from "isolated-vm";
import { StepvaultError } from "../../protocol/error.ts";
import { limitNames, type Limits, limitTable } from "../../protocol/limits.ts";
import type { CodeReference, ExecuteMessage, HostError, WorkerMessage } from "../bridge/messages.ts";
import { createGuestEntry, type EnterGuest } from "./guest-entry.ts";
import { GuestPort } from "./guest-port.ts";
import { bootInterpreter, createGuest } from "./python-interpreter.ts";
import { makeSnapshot } from "./python-snapshot.ts";
import type { Session } from "./session.ts";
import { readSnapshot } from "./snapshot-file.ts";
import type { WorkerPort } from "./worker-port.ts";

type BootMessage = Extract<WorkerMessage, { type: "boot" }>;

/** The isolate's own heap beside wasm memory: the interpreter's glue, and files of the in-memory file system. */
const heapMiB = 512;

/** Makes a snapshot instead of a session, sends it to the worker and is then of no more use. */
export async function sendSnapshot(worker: WorkerPort, boot: BootMessage): Promise<void> {
  const isolate = new ivm.Isolate({ memoryLimit: heapMiB });
  const port = new GuestPort(worker, defaultLimits());
  const hostReference = new ivm.Reference((text: string) => port.call(text));
  const run = { isolate, context: await isolate.createContext(), hostReference };
  const file = await makeSnapshot(run, boot.wheels ?? []);
  worker.send({ type: "snapshot", data: file.toString("base64") });
  await worker.drained();
}

export async function createPythonSession(worker: WorkerPort, snapshotFile: string): Promise<Session> {
  const isolate = new ivm.Isolate({ memoryLimit: heapMiB });
  const context = await isolate.createContext();
  const { script, scriptCache, wasm, state, runs, pages, packages } = readSnapshot(snapshotFile);
  // Until the run starts there is no step to count against, so the default limits stand in.
  let port = new GuestPort(worker, defaultLimits());
  const hostReference = new ivm.Reference((text: string) => port.call(text));
  const text = Buffer.from(script).toString("latin1");
  const guest = await createGuest({ isolate, context, hostReference }, { text, cache: scriptCache });
  const method = async (name: string): Promise<ivm.Reference> => await guest.get(name, { reference: true });
  const receive = await method("receive");
  const connect = (target: GuestPort): EnterGuest => {
    const enter = createGuestEntry(target, (error) => describeIsolateError(error, isolate));
    target.onDeliver((event) => enter(receive, [event]));
    return enter;
  };
  // Not by way of an entry: before the run nothing that waits is a stalled step.
  port.onDeliver((event) => receive.applyIgnored(undefined, [event]));
  const snapshot = { state, runs: Buffer.from(runs).toString("latin1"), pages, packages };
  await bootInterpreter(guest, { wasm, snapshot });
  // Not awaited: a host that waits for a run has time for it, and one that does not loses nothing.
  (await method("warmUp")).applyIgnored(undefined, []);

  return {
    async prepare(code: string): Promise<CodeReference[]> {
      const prepare = await method("prepare");
      const answer = JSON.parse((await prepare.apply(undefined, [code], { result: { copy: true } })) as string) as {
        references?: CodeReference[];
        error?: HostError;
      };
      if (answer.error === undefined) return answer.references ?? [];
      const { code: errorCode, message, line, column, stack } = answer.error;
      const position = line === undefined ? undefined : { line, column: column ?? 0 };
      throw new StepvaultError(errorCode, message, { position, guestStack: stack });
    },

    async execute(message: ExecuteMessage): Promise<GuestPort> {
      const { values, params, steps, inputs, limits } = message;
      port = new GuestPort(worker, limits);
      const enter = connect(port);
      worker.send({ type: "started" });
      const text = `{"values":${JSON.stringify(values)},"params":${params},"steps":${steps},"inputs":${inputs}}`;
      enter(await method("run"), [text, JSON.stringify(limits)]);
      return port;
    },

    async dispose(): Promise<void> {
      if (!isolate.isDisposed) isolate.dispose();
      await port.close();
    },
  };
}

function describeIsolateError(error: unknown, isolate: ivm.Isolate): HostError {
  const text = error instanceof Error ? error.message : "";
  if (isolate.isDisposed || text.includes("memory limit") || text.includes("allocation failed")) {
    return {
      code: "ERR_LIMIT_MEMORY",
      message: `Cannot go on: the step's files and objects need more than ${heapMiB} MiB`,
    };
  }
  return { code: "ERR_STEP_EXITED", message: "Cannot go on: the step ended or broke its Python interpreter" };
}

function defaultLimits(): Limits {
  return Object.fromEntries(limitNames.map((name) => [name, limitTable[name].default])) as Limits;
}
