/**
 * The line of code under an error. Goal: the caret points at the place whatever the line holds, and a value that was
 * pasted into the code is redacted there too.
 */
import { describe, expect, test } from "vitest";
import { StepvaultError } from "../../protocol/error.ts";
import { SecretValue } from "../../protocol/secret.ts";
import { excerptOf } from "../../worker/excerpt.ts";
import { RunRedaction } from "../../worker/run-redaction.ts";

describe("the line under an error", () => {
  test.each([
    ["a\nthrow x\n", { line: 2, column: 7 }, "throw x\n      ^"],
    ["\t\tf( x)", { line: 1, column: 5 }, "\t\tf( x)\n\t\t  ^"],
    ["a\r\nbc\u2028d", { line: 3, column: 2 }, "d\n ^"],
    ["f('<<secrets.k>>')", { line: 1, column: 1 }, "f('<<secrets.k>>')\n^"],
  ])("of %j is shown with a caret", (code, position, shown) => expect(excerptOf(code, position)).toBe(shown));
  test("is cut around the place when it is long", () => {
    const shown = excerptOf(`${"a".repeat(5_000)}!${"b".repeat(5_000)}`, { line: 1, column: 5_001 }) ?? "";
    const [text = "", caret = ""] = shown.split("\n");
    expect(text).toHaveLength(160);
    expect(text[caret.length - 1]).toBe("!");
  });
  test.each([
    ["a", { line: 2, column: 1 }],
    ["a", { line: 1, column: 9 }],
    ["  ", { line: 1, column: 1 }],
    ["a", { line: 0, column: 0 }],
  ])("of %j is left out where there is nothing to show", (code, position) => {
    expect(excerptOf(code, position)).toBeUndefined();
  });
  test("is redacted like all other text", () => {
    const redaction = new RunRedaction();
    redaction.addSecrets([new SecretValue("key", "sk-12345678-abcdef")]);
    const error = new StepvaultError("ERR_STEP_THREW", "Error: m", { position: { line: 1, column: 6 } });
    const usage = { queueMs: 0, wallMs: 0, cpuMs: 0, memoryPeakBytes: 0, stdoutBytes: 0, logEntries: 0, requests: 0 };
    const excerpt = excerptOf("call('sk-12345678-abcdef')", { line: 1, column: 6 });
    const result = redaction.failure("run", error, { usage, excerpt });
    expect(result.error?.excerpt).toBe("call('[REDACTED:key]')\n     ^");
  });
});
