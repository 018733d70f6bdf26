/** Binds and runs JavaScript the way the sandbox does, but in this process: the step's first line is line 1. */
import { Script } from "node:vm";
import { analyzeJavaScript, bindJavaScript } from "../../../runtime/binding/javascript.ts";

export interface Bound {
  readonly source: string;
  run(): Promise<unknown>;
}

export function bindProgram(code: string, values: Readonly<Record<string, string>>): Bound {
  const { source, bindings } = bindJavaScript(analyzeJavaScript(code), new Map(Object.entries(values)));
  const parameters = bindings.map(({ identifier }) => identifier).join(",");
  const script = `(function (${parameters}) { return async function step() {\n${source}\n}; })`;
  return {
    source,
    async run() {
      const makeStep = new Script(script, { filename: "step.js", lineOffset: -1 }).runInThisContext() as (
        ...values: string[]
      ) => () => Promise<unknown>;
      return await makeStep(...bindings.map(({ value }) => value))();
    },
  };
}

export async function runProgram(code: string, values: Readonly<Record<string, string>>): Promise<unknown> {
  return await bindProgram(code, values).run();
}

/** Line and column of the innermost frame of the step. */
export async function whereItThrows(code: string, values: Readonly<Record<string, string>>): Promise<string> {
  try {
    await runProgram(code, values);
  } catch (error) {
    return /step\.js:(\d+:\d+)/.exec((error as Error).stack ?? "")?.[1] ?? "no frame";
  }
  return "nothing thrown";
}
