/**
 * One Python run: Pyodide inside an isolate of the same kind as JavaScript's, started from a memory snapshot. Runs in
 * the sandbox host, which has no network, no files but Pyodide's and the snapshot, and no environment.
 */
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import ivm from "isolated-vm";
import { StepvaultError } from "../../protocol/error.ts";
import { limitNames, type Limits, limitTable } from "../../protocol/limits.ts";
import type { CodeReference, ExecuteMessage, HostError, WorkerMessage } from "../bridge/messages.ts";
import { bundleGuest } from "./guest-bundle.ts";
import { createGuestEntry, type EnterGuest } from "./guest-entry.ts";
import { GuestPort } from "./guest-port.ts";
import type { Session } from "./session.ts";
import type { WorkerPort } from "./worker-port.ts";

type BootMessage = Extract<WorkerMessage, { type: "boot" }>;

/** The isolate's own heap beside wasm memory: the interpreter's glue, and files of the in-memory file system. */
const heapMiB = 512;

const pyodideFolder = path.dirname(createRequire(import.meta.url).resolve("pyodide/package.json"));
const pythonFolder = fileURLToPath(new URL("../python/", import.meta.url));
const bindingFile = fileURLToPath(new URL("../binding/python.py", import.meta.url));

export async function createPythonSession(worker: WorkerPort, boot: BootMessage): Promise<Session> {
  const isolate = new ivm.Isolate({ memoryLimit: heapMiB });
  const context = await isolate.createContext();
  // Until the run starts there is no step to count against, so the default limits stand in.
  let port = new GuestPort(worker, defaultLimits());
  const hostReference = new ivm.Reference((text: string) => port.call(text));
  const createGuest: ivm.Reference = await context.eval(bundleGuest("python", "createPythonGuest"), {
    filename: "stepvault:prelude",
    reference: true,
  });
  const guest: ivm.Reference = await createGuest.apply(undefined, [hostReference], { result: { reference: true } });
  const method = async (name: string): Promise<ivm.Reference> => await guest.get(name, { reference: true });
  const receive = await method("receive");
  const connect = (target: GuestPort): EnterGuest => {
    const enter = createGuestEntry(target, (error) => describeIsolateError(error, isolate));
    target.onDeliver((text) => enter(receive, [text]));
    return enter;
  };
  connect(port);
  await bootInterpreter(isolate, context, await method("boot"), boot.snapshotFile);
  if (boot.makeSnapshot === true) await sendSnapshot(worker, await method("makeSnapshot"));

  return {
    async prepare(code: string): Promise<CodeReference[]> {
      const prepare = await method("prepare");
      const answer = JSON.parse((await prepare.apply(undefined, [code], { result: { copy: true } })) as string) as {
        references?: CodeReference[];
        error?: HostError;
      };
      if (answer.error === undefined) return answer.references ?? [];
      const { code: errorCode, message, line, column } = answer.error;
      const position = line === undefined ? undefined : { line, column: column ?? 0 };
      throw new StepvaultError(errorCode, message, { position });
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

async function bootInterpreter(
  isolate: ivm.Isolate,
  context: ivm.Context,
  boot: ivm.Reference,
  snapshotFile: string | undefined,
): Promise<void> {
  const asm = await loadModule(isolate, context, "pyodide.asm.mjs");
  const loader = await loadModule(isolate, context, "pyodide.mjs");
  const createModule: ivm.Reference = await asm.get("default", { reference: true });
  const loadPyodide: ivm.Reference = await loader.get("loadPyodide", { reference: true });
  const files = new ivm.ExternalCopy({
    "pyodide.asm.wasm": readBuffer(path.join(pyodideFolder, "pyodide.asm.wasm")),
    "python_stdlib.zip": readBuffer(path.join(pyodideFolder, "python_stdlib.zip")),
    "pyodide-lock.json": readBuffer(path.join(pyodideFolder, "pyodide-lock.json")),
  });
  const snapshot =
    snapshotFile === undefined ? undefined : new ivm.ExternalCopy(readBuffer(snapshotFile)).copyInto({ release: true });
  await boot.apply(
    undefined,
    [loadPyodide.derefInto(), createModule.derefInto(), files.copyInto({ release: true }), snapshot],
    {
      result: { promise: true, copy: true },
    },
  );
}

/** The namespace of one of Pyodide's two ES modules. Neither imports anything that a bare shell would use. */
async function loadModule(isolate: ivm.Isolate, context: ivm.Context, file: string): Promise<ivm.Reference> {
  // A `meta` callback of the default isolate is refused by isolated-vm, so the URL is put in as text.
  const source = readFileSync(path.join(pyodideFolder, file), "utf8").replaceAll(
    "import.meta.url",
    `"file:///${file}"`,
  );
  const module = await isolate.compileModule(source, { filename: `stepvault:${file}` });
  await module.instantiate(context, (specifier) => {
    throw new StepvaultError("ERR_SANDBOX_START", `Cannot start a python sandbox host: ${file} imports ${specifier}`);
  });
  await module.evaluate();
  return module.namespace;
}

async function sendSnapshot(worker: WorkerPort, makeSnapshot: ivm.Reference): Promise<void> {
  const sources: Record<string, string> = { _stepvault_binding: readFileSync(bindingFile, "utf8") };
  for (const file of readdirSync(pythonFolder)) {
    if (!file.endsWith(".py") || file === "loader.py") continue;
    sources[`_stepvault_${path.basename(file, ".py")}`] = readFileSync(path.join(pythonFolder, file), "utf8");
  }
  const modules = { loader: readFileSync(path.join(pythonFolder, "loader.py"), "utf8"), sources };
  const memory = (await makeSnapshot.apply(undefined, [JSON.stringify(modules)], {
    result: { copy: true },
  })) as ArrayBuffer;
  worker.send({ type: "snapshot", data: Buffer.from(memory).toString("base64") });
  await worker.drained();
}

function readBuffer(file: string): ArrayBuffer {
  const bytes = readFileSync(file);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
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
