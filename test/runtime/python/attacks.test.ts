/**
 * Thirty attacks on a Python sandbox, each in a real host: what published escapes of Pyodide did, and what ends or
 * floods a process. Goal: each ends exactly as its vector says. Method: data-driven, with hosts shared by all projects;
 * after each case the next run of somebody else succeeds, and no host process is left but those that wait for a run.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Json } from "../../../protocol/job.ts";
import type { Limits } from "../../../protocol/limits.ts";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { onlyIdleHostsAreLeft } from "../../helpers/processes.ts";
import { openTestSandbox, runStep } from "../../helpers/sandbox.ts";
import vectors from "../vectors/python-attacks.json" with { type: "json" };

interface Attack {
  id: string;
  title: string;
  code: string;
  limits?: Partial<Limits>;
  expected: {
    code?: string;
    message?: string;
    output?: unknown;
    outputMatches?: string;
    text?: string;
    /** Places of the output that another run must not repeat. */
    differs?: number[];
  };
}

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = openTestSandbox([], 0, { isolation: "isolate" });
});
afterAll(async () => await sandbox.close());

describe("attacks from Python", () => {
  test("the vectors are all there", () => expect(vectors).toHaveLength(30));
  test.each(vectors as Attack[])("$id: $title", async ({ code, limits = {}, expected }) => {
    const { code: ended, output, text, outcome } = await runStep(sandbox, "python", code, { limits });
    const message = "error" in outcome ? outcome.error.message : "";
    expect({ code: ended, output, message, text, json: JSON.stringify(output ?? null) }).toEqual({
      code: expected.code,
      output: expected.output ?? output,
      message: expect.stringContaining(expected.message ?? ""),
      text: expected.text ?? text,
      json: expect.stringMatching(new RegExp(expected.outputMatches ?? "", "s")),
    });
    const again = expected.differs === undefined ? [] : (await runStep(sandbox, "python", code)).output;
    const repeated = (expected.differs ?? []).filter((i) => (again as Json[])[i] === (output as Json[])[i]);
    expect(repeated).toEqual([]);
    await onlyIdleHostsAreLeft(sandbox);
    const next = await runStep(sandbox, "python", 'import json\nreturn [<<secrets.k>>, json.dumps({"a": 1})]', {
      projectId: "another",
      secrets: { k: "of another project" },
    });
    expect(next.output).toEqual(["of another project", '{"a": 1}']);
    expect(next.text).toBe("");
    await onlyIdleHostsAreLeft(sandbox);
  });
});
