/**
 * JavaScript runs: binds the references and imports, compiles the step and runs it in an isolate of its own. Runs in
 * the sandbox host, which has no network, no files but packages, and no environment.
 */
import type ivm from "isolated-vm";
import { StepvaultError } from "../../protocol/error.ts";
import type { Language } from "../../protocol/job.ts";
import {
  analyzeJavaScript,
  type Analysis,
  bindJavaScript,
  type Binding,
  type BoundJavaScript,
} from "../binding/javascript.ts";
import { replaceDynamicImports, type StaticImport, takeImports } from "../binding/javascript-imports.ts";
import type { CodeReference, ExecuteMessage, HostError } from "../bridge/messages.ts";
import type { JavaScriptPackage } from "../javascript-packages.ts";
import { createGuestEntry } from "./guest-entry.ts";
import { GuestPort } from "./guest-port.ts";
import { IsolateMaker, type ReadyIsolate } from "./javascript-isolate.ts";
import { compileStep } from "./javascript-step.ts";
import { findPackage, PackageLoader } from "./package-loader.ts";
import type { OpenSession, Session } from "./session.ts";
import type { WorkerPort } from "./worker-port.ts";

/** A step that has been read: what it refers to, what it imports, and what is to be compiled. */
interface ReadStep {
  readonly analysis: Analysis;
  readonly imports: readonly StaticImport[];
  /** What stands for the word `import` of `import(…)`. */
  readonly importIdentifier: string | undefined;
  readonly file: string;
}

/** How a host makes its JavaScript sessions: each has its isolate ready before its run comes. */
export function javascriptSessions(packages: readonly JavaScriptPackage[]): OpenSession {
  const maker = new IsolateMaker();
  // Has V8 compile the parser before the first run needs it.
  readStep('const value = await call({ key: "<<secrets.key>>" });\nreturn `${value}`;', "javascript");
  return async (worker) => {
    maker.prepare();
    return createSession(worker, maker, packages);
  };
}

function createSession(worker: WorkerPort, maker: IsolateMaker, packages: readonly JavaScriptPackage[]): Session {
  let step: ReadStep | undefined;
  let isolate: ivm.Isolate | undefined;
  let port: GuestPort | undefined;

  return {
    async prepare(code: string, language: Language): Promise<CodeReference[]> {
      step = readStep(code, language);
      for (const { package: name, line, column } of step.imports) checkImport(packages, name, { line, column });
      return step.analysis.references.map(({ name, line, column }) => ({ name, line, column }));
    },

    async execute(message: ExecuteMessage): Promise<GuestPort> {
      if (step === undefined) throw new StepvaultError("ERR_INTERNAL", "Cannot run a step that has not been read");
      const { importIdentifier } = step;
      const bound = bindJavaScript(step.analysis, new Map(message.values));
      const ready = maker.take(message.limits.memoryBytesMax);
      isolate = ready.isolate;
      port = new GuestPort(worker, message.limits, (text) => toUserText(text, bound.bindings, importIdentifier));
      await runStep(step, bound, { worker, ready, port, message, packages });
      return port;
    },

    async dispose(): Promise<void> {
      if (isolate?.isDisposed === false) isolate.dispose();
      await port?.close();
    },
  };
}

/** A text of the isolate, with the user's own code in the place of what binding made of it. */
function toUserText(text: string, bindings: readonly Binding[], importIdentifier: string | undefined): string {
  const restored = bindings.reduce(
    (before, { identifier, original }) => before.replaceAll(identifier, () => original),
    text,
  );
  return importIdentifier === undefined ? restored : restored.replaceAll(importIdentifier, "import");
}

function readStep(code: string, language: Language): ReadStep {
  const { source: withoutImports, imports } = takeImports(code);
  const analysis = analyzeJavaScript(withoutImports, { typescript: language === "typescript" });
  const { source, identifier } = replaceDynamicImports(analysis.source);
  return {
    analysis: { ...analysis, source },
    imports,
    importIdentifier: identifier,
    file: language === "typescript" ? "step.ts" : "step.js",
  };
}

function checkImport(
  packages: readonly JavaScriptPackage[],
  name: string,
  position: { line: number; column: number },
): void {
  try {
    findPackage(packages, name);
  } catch (error) {
    if (!(error instanceof StepvaultError)) throw error;
    throw new StepvaultError(error.code, error.message, { position });
  }
}

interface Surroundings {
  readonly worker: WorkerPort;
  readonly ready: ReadyIsolate;
  readonly port: GuestPort;
  readonly message: ExecuteMessage;
  readonly packages: readonly JavaScriptPackage[];
}

async function runStep(
  { imports, importIdentifier, file }: ReadStep,
  { source, bindings }: BoundJavaScript,
  { worker, ready, port, message, packages }: Surroundings,
): Promise<void> {
  const { isolate, context, guest } = ready;
  ready.connect((text) => port.call(text));
  const loader = new PackageLoader(isolate, context, packages);
  const compiled = compileStep(isolate, context, {
    source,
    file,
    identifiers: [
      ...bindings.map(({ identifier }) => identifier),
      ...(importIdentifier === undefined ? [] : [importIdentifier]),
      ...imports.flatMap(({ names }) => names.map(({ local }) => local)),
    ],
  });
  const namespaces: ivm.Reference[] = [];
  for (const { package: name } of imports) namespaces.push(await loader.load(name));

  const enter = createGuestEntry(port, (error) => {
    const reason = describeIsolateError(isolate, message);
    if (reason === undefined) warnOfRejection(port, error);
    return reason;
  });
  port.onDeliver((text) => enter(guest.receive, [text]));
  port.onImport(async (id, name) => {
    try {
      const namespace = await loader.load(name);
      enter(guest.imported, [id, undefined, namespace.derefInto()]);
    } catch (error) {
      const { code, message: reason } = asStepvaultError(error);
      enter(guest.imported, [id, JSON.stringify({ code, message: reason })]);
    }
  });
  worker.send({ type: "started" });
  const { params, steps, inputs, limits } = message;
  const known = {
    limits,
    values: bindings.map(({ value }) => value),
    imports,
    importsDynamically: importIdentifier !== undefined,
  };
  const execute = `{"known":${JSON.stringify(known)},"params":${params},"steps":${steps},"inputs":${inputs}}`;
  enter(guest.run, [compiled.derefInto(), execute, ...namespaces.map((namespace) => namespace.derefInto())]);
}

function asStepvaultError(error: unknown): StepvaultError {
  if (error instanceof StepvaultError) return error;
  return new StepvaultError("ERR_INTERNAL", "Cannot import the package: an unexpected error in the sandbox host");
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
  const message = `A promise was rejected while nothing awaited it: ${textOf(error)}`;
  void port.call(JSON.stringify({ type: "log", level: "warn", message }));
}

/** What isolated-vm hands over of a rejection: errors and primitives as they are, for all else an error of its own. */
function textOf(error: unknown): string {
  if (typeof error === "string") return error.slice(0, 1_000);
  if (!(error instanceof Error)) return String(error).slice(0, 1_000);
  if (/not an instance of `Error`/.test(error.message)) return "an object that is no Error";
  return `${error.name}: ${error.message}`.slice(0, 1_000);
}
