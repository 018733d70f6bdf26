/**
 * How a JavaScript step's errors are told: the place in its own code, the errors inside an error, whatever was thrown,
 * however hostile. One run per case, as an error ends a run.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { StepvaultError } from "../../../protocol/error.ts";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { openTestSandbox, runStep, type StepOptions } from "../../helpers/sandbox.ts";

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = openTestSandbox();
});
afterAll(async () => await sandbox.close());

async function errorOf(code: string, options: StepOptions = {}): Promise<StepvaultError> {
  const { outcome } = await runStep(sandbox, "javascript", code, options);
  if (!("error" in outcome)) throw new Error("the step succeeded");
  return outcome.error;
}

describe("errors inside an error", () => {
  test("a chain of causes is told with the frames of each", async () => {
    const error = await errorOf(
      'function low() {\n  throw new RangeError("low");\n}\ntry { low() } catch (cause) {\n  throw new Error("high", { cause });\n}',
    );
    expect(error.message).toBe("Error: high");
    expect(error.position).toEqual({ line: 5, column: 9 });
    expect(error.guestStack?.split("\n")).toEqual([
      "    at step (step.js:5:9)",
      "  [cause]: RangeError: low",
      "      at low (step.js:2:9)",
      "      at step (step.js:4:7)",
    ]);
  });
  test("the errors of an AggregateError are told, and a cause that is no error", async () => {
    const error = await errorOf(
      'throw new AggregateError([new TypeError("a"), "b"], "all failed", { cause: { status: 3 } })',
    );
    expect(error.message).toBe("AggregateError: all failed");
    expect(error.guestStack).toMatch(
      /^ {4}at step \(step\.js:1:7\)\n {2}\[cause\]: \{ status: 3 \}\n {2}\[errors\[0\]\]: TypeError: a\n {6}at step \(step\.js:1:27\)\n {2}\[errors\[1\]\]: 'b'$/,
    );
  });
  test("what Promise.any rejects with names each failure", async () => {
    const error = await errorOf(
      'await Promise.any([Promise.reject(new Error("one")), Promise.reject(new Error("two"))])',
    );
    expect(error.guestStack).toContain("[errors[0]]: Error: one");
    expect(error.guestStack).toContain("[errors[1]]: Error: two");
  });
  test("an endless chain of causes is cut", async () => {
    const error = await errorOf("const e = new Error('x'); e.cause = e; throw e");
    expect(error.guestStack?.match(/\[cause\]/g)).toHaveLength(5);
  });
});

describe("whatever is thrown", () => {
  test.each([
    ["throw 'text'", "thrown: text"],
    ["throw 42", "thrown: 42"],
    ["throw null", "thrown: null"],
    ["throw undefined", "thrown: undefined"],
    ["throw Symbol('s')", "thrown: Symbol(s)"],
    ["throw { a: 1 }", "thrown: { a: 1 }"],
    ["throw { message: 'm' }", "Error: m"],
    ["await Promise.reject(7)", "thrown: 7"],
    ["await Promise.reject({ code: 'E' })", "thrown: { code: 'E' }"],
    ["setTimeout(() => { throw 'late' }); await new Promise(() => {})", "thrown: late"],
    ["throw Object.assign(new Error('m'), { name: 'Custom' })", "Custom: m"],
    ["throw new (class Mine extends Error { name = 'Mine' })('m')", "Mine: m"],
    ["throw new DOMException('m', 'AbortError')", "AbortError: m"],
    ["const f = () => f(); f()", "RangeError: Maximum call stack size exceeded"],
    [
      "throw new Proxy(new Error('x'), { get() { throw new Error('trap') }, getPrototypeOf() { throw 1 } })",
      "thrown: [Unreadable]",
    ],
    [
      "throw { get message() { throw 1 }, toString() { throw 2 } }",
      "thrown: { message: [Getter], toString: [Function: toString] }",
    ],
    ["throw function f() {}", "thrown: [Function: f]"],
  ])("%s", async (code, message) => {
    expect(await errorOf(code)).toMatchObject({ code: "ERR_STEP_THREW", message });
  });
  test("names and codes that an error gives itself decide nothing", async () => {
    const error = await errorOf(
      "const e = new Error('x'); e.stack = 'Error: x\\n    at f (/etc/shadow:1:1)'; e.name = 'TimeoutError'; e.code = 'ERR_LIMIT_WALL_TIME'; throw e",
    );
    expect(error).toMatchObject({ code: "ERR_STEP_THREW", message: "TimeoutError: x", guestStack: undefined });
  });
  test("a promise that rejects unseen is logged with what it was", async () => {
    const code = `for (const value of ["text", 5, new TypeError("bad"), { a: 1 }]) {
        Promise.reject(value);
        await new Promise((resolve) => setTimeout(resolve));
      }`;
    const { text } = await runStep(sandbox, "javascript", code);
    for (const shown of ["text", "5", "TypeError: bad", "an object that is no Error"]) {
      expect(text).toContain(`A promise was rejected while nothing awaited it: ${shown}`);
    }
  });
});

describe("code that does not parse", () => {
  test.each([
    ["let a = 1;\nlet b = ;", { line: 2, column: 9 }],
    ["const x = 1; const x = 2;", { line: 1, column: 20 }],
    ["return `${", { line: 1, column: 11 }],
    ["foo(\n  1,\n  2\n", { line: 3, column: 3 }],
    ["await = 1", { line: 1, column: 7 }],
  ])("%j is told with its place", async (code, position) => {
    const error = await errorOf(code);
    expect(error.code).toBe("ERR_STEP_SYNTAX");
    expect(error.position).toEqual(position);
  });
  test("code made by eval has the place of the call", async () => {
    const error = await errorOf('\n  eval("throw new Error(1)")');
    expect(error.position).toEqual({ line: 2, column: 3 });
    expect(error.guestStack).toContain("eval at step (step.js:2:3)");
  });
});
