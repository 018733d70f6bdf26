/**
 * Compiles a step's bound source into a function. The code is first read as a function body by itself, so that a brace
 * too many is an error and cannot close what stands around it. Runs in the sandbox host, before any code of the step, and
 * on its main thread: nothing of the step runs yet, and a change of threads costs more than compiling does.
 */
import type ivm from "isolated-vm";
import { type Position, StepvaultError } from "../../protocol/error.ts";
import { parseJavaScript } from "../binding/javascript-parse.ts";
import { createLocator } from "../binding/locator.ts";

/** A Reference to `(...values) => async function step`. Throws ERR_STEP_SYNTAX with the place. */
export function compileStep(
  isolate: ivm.Isolate,
  context: ivm.Context,
  { source, file, identifiers }: { source: string; file: string; identifiers: readonly string[] },
): ivm.Reference {
  // The step's first line is line 1 of its file: the line before it is number 0.
  const script = `(function (${identifiers.join(",")}) { return async function step() {\n${source}\n}; })`;
  try {
    context.evalClosureSync("new (async () => {}).constructor($0);", [source]);
    const compiled = isolate.compileScriptSync(script, { filename: file, lineOffset: -1 });
    return compiled.runSync(context, { reference: true });
  } catch (error) {
    throw toSyntaxError(isolate, source, script, error);
  }
}

/** V8's own message and place where it has a place in the step, acorn's otherwise. */
function toSyntaxError(isolate: ivm.Isolate, source: string, script: string, refusal: unknown): StepvaultError {
  try {
    isolate.compileScriptSync(script, { filename: "step.js", lineOffset: -1 });
  } catch (error) {
    const { message, position } = readSyntaxError(error);
    if (position !== undefined && position.line <= source.split(/\r\n|[\n\r\u2028\u2029]/).length)
      return syntaxError(message, position);
  }
  try {
    parseJavaScript(source, [], createLocator(source));
  } catch (error) {
    if (error instanceof StepvaultError) return error;
  }
  const { message } = readSyntaxError(refusal);
  return syntaxError(message, createLocator(source)(source.length));
}

function syntaxError(message: string, position: Position): StepvaultError {
  return new StepvaultError("ERR_STEP_SYNTAX", `Cannot read the step: ${message}`, { position });
}

/** isolated-vm puts the place into the message: "Unexpected token ')' [step.js:3:5]". */
function readSyntaxError(error: unknown): { message: string; position: Position | undefined } {
  const text = error instanceof Error ? error.message : "it does not parse";
  const at = /^(.*) \[[^\]]*:(\d+):(\d+)\]$/s.exec(text);
  if (at === null) return { message: text, position: undefined };
  return { message: at[1] ?? "", position: { line: Number(at[2]), column: Number(at[3]) } };
}
