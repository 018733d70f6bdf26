/** Binds and runs Python in Pyodide in this process, the way the sandbox does in an isolate. */
import { readFileSync } from "node:fs";
import { loadPyodide } from "pyodide";

const bindingFile = new URL("../../../runtime/binding/python.py", import.meta.url);

const harness = `
import json, linecache, traceback

def run_step(message):
    message = json.loads(message)
    source = message["source"]
    bound = bind(source, message["values"], "step.py", "step", ("params",))
    if "error" in bound:
        return json.dumps(bound)
    scope = {"__name__": "__main__"}
    exec(bound["code"], scope)
    step = scope.pop("step")({"p": 1})
    try:
        step.send(None)
    except StopIteration as stop:
        return json.dumps({"output": stop.value}, default=repr)
    except BaseException as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        text = source.removeprefix("\\ufeff").replace("\\r\\n", "\\n").replace("\\r", "\\n").split("\\n")[frame.lineno - 1]
        return json.dumps({"raised": type(error).__name__, "text": str(error), "line": frame.lineno,
                           "at": text.encode()[frame.colno : frame.end_colno].decode()})

def analyze_step(source):
    return json.dumps(analyze(json.loads(source)))
`;

interface StepFailure {
  readonly code: string;
  readonly message: string;
  readonly line?: number;
  readonly column?: number;
}

interface RunOutcome {
  readonly output?: unknown;
  readonly error?: StepFailure;
  readonly raised?: string;
  readonly text?: string;
  readonly line?: number;
  /** The source text that the innermost frame points at. */
  readonly at?: string;
}

interface AnalyzeOutcome {
  readonly references?: readonly { readonly name: string; readonly line: number; readonly column: number }[];
  readonly error?: StepFailure;
}

export interface PythonProgram {
  analyze(source: string): AnalyzeOutcome;
  run(source: string, values?: Readonly<Record<string, string>>): RunOutcome;
}

export async function bootPython(): Promise<PythonProgram> {
  const pyodide = await loadPyodide();
  const globals = pyodide.toPy({}) as { get(name: string): (text: string) => string };
  pyodide.runPython(readFileSync(bindingFile, "utf8") + harness, { globals: globals as never });
  const runStep = globals.get("run_step");
  const analyzeStep = globals.get("analyze_step");
  return {
    analyze: (source) => JSON.parse(analyzeStep(JSON.stringify(source))) as AnalyzeOutcome,
    run: (source, values = {}) => JSON.parse(runStep(JSON.stringify({ source, values }))) as RunOutcome,
  };
}
