/**
 * What a Python step says and how it fails. Goal: what a Python programmer knows from CPython, with nothing of ours in
 * it, whatever the step's own classes do. Method: steps in a real host, their errors compared with CPython's words.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { StepvaultError } from "../../../protocol/error.ts";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { openTestSandbox, runStep } from "../../helpers/sandbox.ts";

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = openTestSandbox();
});
afterAll(async () => await sandbox.close());

async function errorOf(code: string): Promise<StepvaultError> {
  const { outcome } = await runStep(sandbox, "python", code, { secrets: { k: "value-of-k" } });
  if (!("error" in outcome)) throw new Error("the step succeeded");
  return outcome.error;
}

describe("tracebacks", () => {
  test("show the source line with markers, and the reference in place of its value", async () => {
    const { guestStack } = await errorOf('import json\nx = json.loads("{bad") + <<secrets.k>>');
    expect(guestStack).toBe(
      [
        "Traceback (most recent call last):",
        '  File "step.py", line 2, in step',
        '    x = json.loads("{bad") + <<secrets.k>>',
        "        ~~~~~~~~~~^^^^^^^^",
        "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
      ].join("\n"),
    );
  });
  test("tell causes, contexts, notes and the members of a group", async () => {
    const { message, guestStack } = await errorOf(`def f():
    try:
        {}["k"]
    except KeyError as error:
        error.add_note("a note")
        raise RuntimeError("later") from error
try: f()
except RuntimeError as error: raise ExceptionGroup("many", [error, TypeError("other")])`);
    expect(message).toBe("ExceptionGroup: many (2 sub-exceptions)");
    for (const part of [
      "a note",
      "direct cause of the following",
      "During handling of the above",
      "TypeError: other",
      "~~^^^^^",
    ])
      expect(guestStack).toContain(part);
    expect(guestStack).not.toMatch(/stepvault|pyodide|webloop|asyncio/);
  });
  test("fold a deep recursion", async () => {
    const { message, guestStack } = await errorOf("def f(n): return f(n + 1)\nf(0)");
    expect(message).toBe("RecursionError: maximum recursion depth exceeded");
    expect(guestStack).toMatch(/\[Previous line repeated \d+ more times\]/);
  });
  test("name the step's own classes as it wrote them", async () => {
    expect((await errorOf("class Mine(Exception): pass\nraise Mine('x')")).guestStack).toMatch(/\nMine: x$/);
  });
  test("of code that does not parse show its line and a caret", async () => {
    const { code, guestStack, position } = await errorOf('a = 1\nif a:\n    b = "é" + = 2');
    expect([code, position]).toEqual(["ERR_STEP_SYNTAX", { line: 3, column: 15 }]);
    expect(guestStack).toBe(
      '  File "step.py", line 3\n    b = "é" + = 2\n              ^\nSyntaxError: invalid syntax',
    );
  });
  test.each([
    ["__str__ raises", "class E(Exception):\n  def __str__(self): raise E()\n  __repr__ = __str__\nraise E()"],
    ["its notes are no list", "e = ValueError('x'); e.__notes__ = 5\nraise e"],
    ["it is its own cause", "e = ValueError('x'); e.__cause__ = e\nraise e"],
    [
      "its class lies about its name",
      "class M(type):\n  __name__ = property(lambda c: 1 / 0)\nclass E(Exception, metaclass=M): pass\nraise E('x')",
    ],
    [
      "its instances lie about their class",
      "class E(Exception):\n  __class__ = property(lambda self: 1 / 0)\nraise E('x')",
    ],
    ["it is very long", "raise ValueError('x' * 10**7)"],
    ["a thousand causes", "e = None\nfor i in range(1000):\n  n = ValueError(i); n.__cause__ = e; e = n\nraise e"],
  ])("survive an error of which %s", async (_, code) => {
    const error = await errorOf(code);
    expect(error.code).toBe("ERR_STEP_THREW");
    expect(error.message.length).toBeLessThan(10_200);
    expect((error.guestStack ?? "").length).toBeLessThanOrEqual(64_000);
  });
});

describe("logging", () => {
  const logs = async (code: string): Promise<unknown[]> =>
    (await runStep(sandbox, "python", `import logging\n${code}`)).events
      .filter((event) => event.kind === "log")
      .map(({ level, message }) => [level, message]);
  test("basicConfig turns levels on and off", async () => {
    expect(
      await logs(
        'logging.debug("a"); logging.basicConfig(level=logging.DEBUG); logging.debug("b")\nlogging.basicConfig(level="ERROR", force=True); logging.warning("c"); logging.error("d")',
      ),
    ).toEqual([
      ["debug", "b"],
      ["error", "d"],
    ]);
  });
  test("basicConfig's format is the message's", async () => {
    expect(await logs('logging.basicConfig(format="%(name)s|%(message)s"); logging.getLogger("x").info("y")')).toEqual([
      ["info", "x|y"],
    ]);
  });
  test("a stream of the step's own takes the records", async () => {
    expect(await logs('import sys\nlogging.basicConfig(stream=sys.stdout); logging.error("x")')).toEqual([]);
  });
  test("an exception is logged with its traceback, without frames of ours", async () => {
    const [[level, message]] = (await logs('try: 1 / 0\nexcept ZeroDivisionError: logging.exception("bad")')) as [
      [string, string],
    ];
    expect([level, message]).toEqual([
      "error",
      expect.stringMatching(/^bad\nTraceback[^]*"step\.py", line 2[^]*ZeroDivisionError: division by zero$/),
    ]);
    expect(message).not.toContain("stepvault");
  });
});
