/** The job's contract: what is a job, and what the refusal of one says and does not say. */
import { describe, expect, test } from "vitest";
import type { StepvaultError } from "../../protocol/error.ts";
import { errorCodes, type ErrorCode, toStepvaultError } from "../../protocol/error.ts";
import { createId } from "../../protocol/ids.ts";
import { parseJob, runStatuses, statusOfError } from "../../protocol/job.ts";
import { payloadLimits } from "../../protocol/limits.ts";
import { findReferenceMatches, SecretValue } from "../../protocol/secret.ts";

const projectId = createId();
const step = { language: "python", code: "return 1" };

function refusal(payload: unknown): StepvaultError {
  try {
    parseJob(payload);
  } catch (error) {
    return error as StepvaultError;
  }
  throw new Error("the job was accepted");
}

describe("parseJob()", () => {
  test("takes an ad-hoc step, a saved step, and all that may go with them", () => {
    const job = {
      projectId,
      step: { ...step, inputs: { a: "x" }, limits: { timersMax: 1 }, network: ["*.example.com"] },
      params: [1],
      steps: { a: null },
      runId: createId(),
      labels: { agentId: "a" },
    };
    expect(parseJob(job)).toEqual(job);
    expect(parseJob({ projectId, step: { id: projectId, version: 2 } }).step).toEqual({ id: projectId, version: 2 });
  });
  test.each([
    [{ step }, "projectId"],
    [{ projectId: "main", step }, "projectId"],
    [{ projectId, step: { language: "python" } }, "step.code must be of type string"],
    [{ projectId, step: { ...step, limits: { wallTimeMsMax: 1 } } }, "step.limits.wallTimeMsMax: too small"],
    [{ projectId, step: { ...step, extra: 1 } }, "step has 1 unknown key"],
    [{ projectId, step: { id: "x" } }, "step.id"],
    ["job", "the payload must be of type object"],
  ])("refuses %j and names the path", (payload, expected) => {
    const { code, message } = refusal(payload);
    expect(code).toBe("ERR_JOB_INVALID");
    expect(message).toContain(expected);
  });
  test("an unknown language has its own code", () => {
    expect(refusal({ projectId, step: { language: "ruby", code: "" } }).code).toBe("ERR_LANGUAGE_UNKNOWN");
  });
  test("keys and values that are not of the schema are not repeated", () => {
    const { message } = refusal({
      projectId,
      step: { ...step, "sk-live-1": "sk-live-2" },
      "sk-live-3": 1,
      labels: { "sk-live-4": 5 },
    });
    expect(message).not.toContain("sk-live");
  });
  test("parts at their size limit pass, above it they are refused with both figures", () => {
    const max = payloadLimits.codeBytesMax;
    expect(parseJob({ projectId, step: { ...step, code: "#".repeat(max) } })).toBeDefined();
    const { code, message } = refusal({ projectId, step: { ...step, code: "é".repeat(max / 2 + 1) } });
    expect([code, message]).toEqual(["ERR_LIMIT_PAYLOAD", expect.stringContaining(`${max + 2} bytes, at most ${max}`)]);
    expect(refusal({ projectId, step, params: "x".repeat(payloadLimits.paramsBytesMax) }).code).toBe(
      "ERR_LIMIT_PAYLOAD",
    );
  });
});

describe("errors", () => {
  test("every code gives a run a final status", () => {
    for (const code of Object.keys(errorCodes) as ErrorCode[]) expect(runStatuses).toContain(statusOfError(code));
  });
  test("a foreign error becomes ERR_INTERNAL without its text", () => {
    const known = toStepvaultError(new Error("password is hunter2"));
    expect([known.code, known.message]).toEqual(["ERR_INTERNAL", expect.not.stringContaining("hunter2")]);
    expect(known.cause).toBeInstanceOf(Error);
  });
});

describe("secrets", () => {
  test("a SecretValue shows its name wherever it is printed", async () => {
    const { inspect, format } = await import("node:util");
    const value = new SecretValue("api_key", "hunter2-hunter2");
    const shown = [
      String(value),
      JSON.stringify({ value }),
      inspect(value),
      inspect({ deep: [value] }),
      format("%s %o", value, value),
      String(Object.entries(value)),
    ];
    for (const text of shown) expect(text).not.toContain("hunter2");
    expect(value.expose()).toBe("hunter2-hunter2");
  });
  test("references are found in both spellings, and nothing else is", () => {
    const text =
      "<<secrets.a>> {{secrets.b}} << secrets.c >> {{\tsecrets.d }} 1 << 2 >> 1 <<secrets.1x>> <<secret.a>> {{secrets.a>> <<secrets.a}} << secrets . a >>";
    expect(findReferenceMatches(text).map(({ name, start, end }) => [name, text.slice(start, end)])).toEqual([
      ["a", "<<secrets.a>>"],
      ["b", "{{secrets.b}}"],
      ["c", "<< secrets.c >>"],
      ["d", "{{\tsecrets.d }}"],
    ]);
  });
});
