/**
 * TypeScript steps: types are left out and nothing moves, so references bind and errors are placed as in JavaScript.
 * What cannot be run by leaving types out is refused with its place. The reader is tested without a sandbox, the rest
 * in one.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { StepvaultError } from "../../../protocol/error.ts";
import { analyzeJavaScript, bindJavaScript } from "../../../runtime/binding/javascript.ts";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { openTestSandbox, runStep } from "../../helpers/sandbox.ts";

const typescript = { typescript: true };

describe("reading TypeScript", () => {
  test("keeps every line, column and character that is no type", () => {
    const code = `interface I { a: "日本🎈" }\r\nconst f = async <T,>(x: T, y?: Map<'é', T>): Promise<\n T> => x as any as T; // ü: string\nlet z!: number;`;
    const { source } = analyzeJavaScript(code, typescript);
    expect(source).toHaveLength(code.length);
    expect(source.split("\n").map((line) => line.trim())).toEqual([
      "",
      expect.stringMatching(/^const f = async +\(x +, y\s+\)$|^const f = async/),
      expect.stringMatching(/^\) => x +; \/\/ ü: string$/),
      "let z         ;".trim(),
    ]);
    expect(source.indexOf("=> x")).toBe(code.indexOf("=> x"));
  });
  test("binds references among types, and ignores those in comments", () => {
    const code =
      "const a: string = <<secrets.k>>; // <<secrets.absent>>\nconst b = `${<<secrets.k>> as string}-<<secrets.k>>`;";
    const analysis = analyzeJavaScript(code, typescript);
    expect(analysis.references.map(({ name, line, column }) => [name, line, column])).toEqual([
      ["k", 1, 19],
      ["k", 2, 14],
      ["k", 2, 39],
    ]);
    const { source, bindings } = bindJavaScript(analysis, new Map([["k", "v"]]));
    expect(source).toHaveLength(code.length);
    expect(bindings.map(({ value }) => value)).toEqual(["v", "v", "v"]);
  });
  test.each([
    ["enum A { B }", "ERR_STEP_TYPESCRIPT", 1, 1],
    ["\n  namespace N { export const a = 1 }", "ERR_STEP_TYPESCRIPT", 2, 3],
    ["class A {\n  constructor(private x: number) {}\n}", "ERR_STEP_TYPESCRIPT", 2, 23],
    ["const a = <string>b;", "ERR_STEP_TYPESCRIPT", 1, 11],
    ["const a: number = ;", "ERR_STEP_SYNTAX", 1, 19],
    ["const a = 1;\n\tlet b: = 2;", "ERR_STEP_SYNTAX", 2, 9],
    ['type T = "<<secrets.k>>"', "ERR_REFERENCE_POSITION", 1, 11],
  ])("refuses %j with its place", (code, error, line, column) => {
    const refusal = refusalOf(code);
    expect([refusal.code, refusal.position]).toEqual([error, { line, column }]);
  });
  test("a brace too many does not close what stands around the code", () => {
    expect(refusalOf("} } function f() {{").code).toBe("ERR_STEP_SYNTAX");
  });
  test("a refusal quotes no code", () => {
    expect(refusalOf("const hunter2 hunter3: = 'hunter4'").message).not.toContain("hunter");
    expect(refusalOf("let a: b = `hunter2").message).not.toContain("hunter");
  });
});

function refusalOf(code: string): StepvaultError {
  try {
    analyzeJavaScript(code, typescript);
  } catch (error) {
    if (error instanceof StepvaultError) return error;
  }
  throw new Error("the code was not refused");
}

describe("running TypeScript", () => {
  let sandbox: Sandbox;
  beforeAll(() => {
    sandbox = openTestSandbox();
  });
  afterAll(async () => await sandbox.close());

  test("a typed step runs with its secrets", async () => {
    const code = `import type { Nothing } from "types-only";
      interface Row { readonly id: number }
      const rows: Row[] = [{ id: 1 }]; const key = <<secrets.k>> as string;
      class Box<T> { #value: T; constructor(value: T) { this.#value = value } get(): T { return this.#value } }
      return [new Box<Row>(rows[0]!).get(), key satisfies string]`;
    const { output } = await runStep(sandbox, "typescript", code, { secrets: { k: "v" } });
    expect(output).toEqual([{ id: 1 }, "v"]);
  });
  test("an error has the place in the code as written", async () => {
    const { outcome } = await runStep(sandbox, "typescript", "const x: number = 1;\nconst y: any = null as any; y.z");
    const error = "error" in outcome ? outcome.error : undefined;
    expect(error?.position).toEqual({ line: 2, column: 31 });
    expect(error?.guestStack).toBe("    at step (step.ts:2:31)");
  });
});
