/** The job's contract: what is a job, and what the refusal of one says and does not say. */
import { describe, expect, test } from "vitest";
import type { StepvaultError } from "../../protocol/error.ts";
import { errorCodes, type ErrorCode, toStepvaultError } from "../../protocol/error.ts";
import { createId } from "../../protocol/ids.ts";
import { jobSchema, type Json, parseJob, runStatuses, statusOfError } from "../../protocol/job.ts";
import { payloadLimits } from "../../protocol/limits.ts";
import { findReferenceMatches, SecretValue } from "../../protocol/secret.ts";

const projectId = createId();
const step = { language: "python", code: "return 1" };

function many<T>(count: number, value: T): Record<string, T> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`n${i}`, value]));
}

/** Of a few times, as other programs take the processor too. */
function shortest(work: () => unknown): number {
  const times = Array.from({ length: 7 }, () => {
    const begun = performance.now();
    work();
    return performance.now() - begun;
  });
  return Math.min(...times);
}

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
    [{ projectId, step: { id: projectId, version: 2 ** 31 } }, "step.version: too big"],
    ["job", "the payload must be of type object"],
  ])("refuses %j and names the path", (payload, expected) => {
    const { code, message } = refusal(payload);
    expect(code).toBe("ERR_JOB_INVALID");
    expect(message).toContain(expected);
  });
  test.each([
    "2026-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "2026-01-01T00:00:00+15:59",
    "2026-01-01T00:00:00-15:59",
  ])("takes %s as the time of a run, as it is written", (runAt) => {
    expect(parseJob({ projectId, step, runAt }).runAt).toBe(runAt);
  });
  // No year 0 nor one of five digits, also once in UTC; no offset and no length that PostgreSQL refuses.
  test.each([
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59-00:01",
    "2026-01-01T00:00:00+16:00",
    "2026-01-01T00:00:00-20:00",
    `2026-01-01T00:00:00.${"1".repeat(200)}Z`,
  ])("refuses %s as the time of a run", (runAt) => {
    const { code, message } = refusal({ projectId, step, runAt });
    expect([code, message]).toEqual(["ERR_JOB_INVALID", expect.stringContaining("runAt")]);
  });
  test.each([
    ["undefined", undefined],
    ["a function", () => 1],
    ["a symbol", Symbol("x")],
    ["a bigint", 1n],
    ["NaN", Number.NaN],
    ["Infinity", Number.POSITIVE_INFINITY],
    ["a Date", new Date()],
    ["a Map", new Map()],
    ["bytes", new Uint8Array(1)],
    ["a boxed string", Object("x")],
    ["an object of a class", new Error("x")],
    ["an object that inherits", Object.create({ a: 1 })],
    ["a name that is a symbol", { [Symbol("x")]: 1 }],
    ["a hole", Array.from({ length: 1 }).concat(Array(1))],
    ["the name __proto__", JSON.parse('{"__proto__":1}')],
  ])("refuses %s where JSON is to be, and names the place", (_, value) => {
    const part = { a: [1, { b: value }] };
    for (const [job, place] of [
      [{ projectId, step, params: part }, "params.a.1.b"],
      [{ projectId, step, steps: { one: part } }, "steps.one.a.1.b"],
      [{ projectId, step: { ...step, inputs: part } }, "step.inputs.a.1.b"],
    ] as const) {
      const { code, message } = refusal(job);
      expect([code, message]).toEqual(["ERR_JOB_INVALID", expect.stringContaining(place)]);
      expect(message).toMatch(/must be JSON$/);
    }
  });
  test("takes every JSON value as it is, and objects of JSON only where names are needed", () => {
    const every: Json = [null, true, -1.5, "\ud800", [], {}, { constructor: { prototype: [""] }, toJSON: 1 }];
    expect(parseJob({ projectId, step, params: every, steps: { every } })).toMatchObject({
      params: every,
      steps: { every },
    });
    expect(parseJob({ projectId, step, params: Object.assign(Object.create(null), { a: 1 }) }).params).toEqual({
      a: 1,
    });
    for (const steps of [[1], "x", null, new Date()])
      expect(refusal({ projectId, step, steps }).message).toBe("Cannot read the job: steps must be an object of JSON");
  });
  test("JSON may be nested as deep as everything can walk, and a circle is nested too deeply", () => {
    const nested = (depth: number): unknown => {
      let value: unknown = 1;
      for (let count = 0; count < depth; count += 1) value = count % 2 === 0 ? [value] : { a: value };
      return value;
    };
    expect(parseJob({ projectId, step, params: nested(2_000) }).params).toEqual(nested(2_000));
    const circle: unknown[] = [];
    circle.push(circle);
    for (const params of [nested(2_001), nested(100_000), circle])
      expect(refusal({ projectId, step, params }).message).toBe("Cannot read the job: it is nested too deeply");
  });
  test.each([
    ["lists", "[]"],
    ["objects", '{"a":{}}'],
    ["numbers", "1"],
  ])("a check of many %s costs about as much as reading them", (_, item) => {
    const text = `[${Array(200_000).fill(item).join()}]`;
    const params: unknown = JSON.parse(text);
    const job = { projectId, step, params, steps: { params }, runId: projectId };
    const read = shortest(() => JSON.parse(text) as unknown);
    const checked = shortest(() => jobSchema.safeParse(job));
    // Twice the text.
    expect(checked / 2).toBeLessThan(read * 5);
  });
  test("takes 100 labels and 100 runs to wait for, and refuses more without a look at them", () => {
    for (const [part, value] of [
      ["labels", ""],
      ["after", projectId],
    ] as const) {
      const entries = many(100, value);
      expect(parseJob({ projectId, step, [part]: entries })[part]).toEqual(entries);
      // One issue, not one for each entry.
      expect(refusal({ projectId, step, [part]: many(101, 1) }).message).toBe(
        `Cannot read the job: ${part} must be an object of at most 100 entries`,
      );
    }
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
