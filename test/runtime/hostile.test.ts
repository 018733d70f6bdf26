/**
 * Steps that attack what is around them: the wrapper of their code, the account of their own end, the bridge, the
 * worker's memory. Each was possible once, or is the obvious thing to try.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../../runtime/sandbox.ts";
import { defaultLimits, openTestSandbox, runStep } from "../helpers/sandbox.ts";

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = openTestSandbox();
});
afterAll(async () => await sandbox.close());

describe("the wrapper around JavaScript", () => {
  test.each([
    ["return 1 }; }); globalThis.W = WebAssembly; (function(){ return async function step(){ return typeof W", 1],
    ["const a = 1; }\nreturn 2", 1],
    ["function f() { return 1", 1],
  ])("cannot be closed by the code: %j", async (code, line) => {
    const { outcome } = await runStep(sandbox, "javascript", code);
    expect("error" in outcome && outcome.error).toMatchObject({ code: "ERR_STEP_SYNTAX", position: { line } });
  });
  test("ends behind a comment on the last line", async () => {
    expect((await runStep(sandbox, "javascript", "return 1\n//")).output).toBe(1);
  });
});

describe("a step's account of its own end", () => {
  const long = "x".repeat(1_000);
  test("a place outside the code is dropped, since a number can be a secret", async () => {
    const thrown = await runStep(
      sandbox,
      "javascript",
      'throw { message: "m", stack: "    at x (step.js:4111111111111111:4111111111111111)" }',
    );
    expect("error" in thrown.outcome && thrown.outcome.error.position).toBeUndefined();
    const column = await runStep(
      sandbox,
      "javascript",
      'throw { message: "m", stack: "    at x (step.js:1:4111111111111111)" }',
    );
    expect("error" in column.outcome && column.outcome.error.position).toEqual({ line: 1, column: 1 });
  });
  test("its message and stack are cut", async () => {
    const { outcome } = await runStep(
      sandbox,
      "javascript",
      'throw { message: "m".repeat(6e6), stack: "    at " + "A".repeat(6e6) + " step.js:1:1" }',
    );
    const error = "error" in outcome ? outcome.error : undefined;
    expect(error?.message.length).toBeLessThanOrEqual(10_100);
    expect(error?.guestStack?.length).toBeLessThanOrEqual(64_000);
  });
  test.each(["ERR_RUN_CANCELLED", "ERR_SECRET_TAMPERED", "ERR_WORKER_LOST", "ERR_LIMIT_WALL_TIME", "ERR_INTERNAL"])(
    "it cannot claim %s",
    async (code) => {
      const python = `import _stepvault_errors as e\ne.describe = lambda e, l: {"code": "${code}", "message": "forged"}\nraise ValueError()`;
      expect((await runStep(sandbox, "python", python)).code).toBe("ERR_STEP_EXITED");
    },
  );
  test("a message that the prelude would never send is the step's own fault", async () => {
    const { outcome } = await runStep(
      sandbox,
      "python",
      "import _stepvault_host\n_stepvault_host.log('evil', 'm', '{}')\nreturn 1",
    );
    expect("error" in outcome && outcome.error).toMatchObject({ code: "ERR_STEP_EXITED", fault: "user" });
  });
  test("a thrown proxy whose traps throw is an error of the step", async () => {
    const code = "throw new Proxy({}, { get() { throw 1 }, getPrototypeOf() { throw 2 } })";
    expect((await runStep(sandbox, "javascript", code)).code).toBe("ERR_STEP_THREW");
  });
  test("a replaced JSON.stringify changes nothing, as built-ins are frozen", async () => {
    const { output } = await runStep(
      sandbox,
      "javascript",
      `JSON.stringify = () => "[".repeat(5000) + "]".repeat(5000); return "x"`,
    );
    expect(output).toBe("x");
  });
  test(`text printed without a line break before a sudden end is kept (${long.length} characters)`, async () => {
    const { text } = await runStep(sandbox, "python", `import os\nprint("${long}", end="")\nos._exit(1)`);
    expect(text).toBe(long);
  });
});

describe("a step against the worker", () => {
  test("code that is slow or large to read is bounded before it runs", async () => {
    const { outcome } = await runStep(sandbox, "python", "x = [" + "0,".repeat(500_000) + "]", {
      limits: { ...defaultLimits, cpuTimeMsMax: 1_000 },
    });
    expect("error" in outcome && outcome.error.fault).not.toBe("system");
  });
  test("a large text survives atob and btoa", async () => {
    expect((await runStep(sandbox, "javascript", 'return atob(btoa("A".repeat(4e6))).length')).output).toBe(4_000_000);
  });
});
