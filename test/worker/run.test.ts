/**
 * Runs from submission to the stored end, on real parts: queue, vault, sandbox, redaction, PostgreSQL. What bad input
 * gets, what hostile values do, what is stored and what is not.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findTraces } from "../../cli/demo/traces.ts";
import { createId } from "../../protocol/ids.ts";
import type { JobInput, Language, RunResult } from "../../protocol/job.ts";
import { textOf } from "../helpers/sandbox.ts";
import { jobResult, openTestService, type TestService } from "../helpers/service.ts";
import { createOrganization, createProject, setSecret } from "../helpers/vault.ts";

const key = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";
const hostileValues: Record<string, string> = {
  quotes: `he said "don't" \`now\` \\ and \${process.env.X} }} >> left`,
  lines: "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\r\nhkiG9w0BAQEFAASC\n-----END KEY-----",
  reference: "<<secrets.key>>{{secrets.key}} and more text",
  nul: "zero\0byte-and-\u2028separator\u2029",
  emoji: "pässwörd-🔐-ключ-鍵-with-more",
  large: Array.from({ length: 4_096 }, (_, i) => (i * 2_654_435_761).toString(36))
    .join("")
    .slice(0, 65_000),
};

let echo: Server;
let vault: TestService;
let url: string;

beforeAll(async () => {
  echo = createServer((request, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ headers: request.headers }));
  });
  await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
  const port = (echo.address() as AddressInfo).port;
  url = `http://127.0.0.1:${port}/echo`;
  vault = await openTestService({ STEPVAULT_EGRESS_OPEN: `127.0.0.1:${port}` });
  for (const [name, value] of Object.entries({ key, ...hostileValues })) {
    await setSecret(vault.service.vault, vault.projectId, name, value);
  }
});
afterAll(async () => {
  await vault.close();
  echo.close();
});

const step = (language: Language, code: string, more: object = {}): Omit<JobInput, "projectId"> => ({
  step: { language, code, ...more },
});

/** Adds a job under an id of the queue's own choosing, as an orchestrator may. */
async function processAgain(job: object): Promise<RunResult> {
  const queueId = createId();
  await vault.service.queue.addRaw(queueId, job);
  return await jobResult(vault.service.queue, queueId);
}

describe("a run", () => {
  for (const [language, code] of [
    [
      "javascript",
      'const r = await fetch(params.url, { headers: { authorization: "Bearer <<secrets.key>>" } }); const j = await r.json(); console.log(j.headers.authorization); return { sent: j.headers.authorization.length }',
    ],
    [
      "python",
      'import json, urllib.request\nr = urllib.request.urlopen(urllib.request.Request(params["url"], headers={"Authorization": "Bearer <<secrets.key>>"}))\nj = json.load(r)\nprint(j["headers"]["authorization"])\nreturn {"sent": len(j["headers"]["authorization"])}',
    ],
  ] as const) {
    test(`sends the real key and shows a placeholder (${language})`, async () => {
      const result = await vault.run({ ...step(language, code), params: { url } });
      expect(result).toMatchObject({ status: "succeeded", output: { sent: "Bearer ".length + key.length } });
      expect(result.redactions).toMatchObject([{ secret: "key", count: 1 }]);
      const events = await vault.events(result.runId);
      expect(textOf(events)).toBe("Bearer [REDACTED:key]\n");
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i));
      expect(events[0]?.kind).toBe("started");
      expect(events.at(-1)).toMatchObject({ kind: "finished", status: "succeeded" });
      expect(events.find(({ kind }) => kind === "request")).toMatchObject({
        method: "GET",
        path: "/echo",
        status: 200,
      });
      expect(result.usage.requests).toBe(1);
    });
  }

  for (const [name, value] of Object.entries(hostileValues)) {
    test(`binds a hostile value (${name}) as data and masks it wherever it is printed`, async () => {
      const javascript = await vault.run(
        step(
          "javascript",
          `const v = <<secrets.${name}>>; console.log(v); return [v.length, "x<<secrets.${name}>>y".length, { v }]`,
        ),
      );
      const python = await vault.run(
        step("python", `v = <<secrets.${name}>>\nprint(v)\nreturn [len(v), len("x<<secrets.${name}>>y"), {"v": v}]`),
      );
      const points = Array.from(value).length;
      expect(javascript.output).toEqual([value.length, value.length + 2, { v: `[REDACTED:${name}]` }]);
      expect(python.output).toEqual([points, points + 2, { v: `[REDACTED:${name}]` }]);
      for (const { runId } of [javascript, python])
        expect(textOf(await vault.events(runId))).toBe(`[REDACTED:${name}]\n`);
    });
  }

  test("masks what is cut over several prints, and encoded", async () => {
    const code = `import base64, sys
k = <<secrets.key>>
for c in k: print(c, end="", flush=True)
print()
print(base64.b64encode(("user:" + k).encode()).decode(), k.encode().hex())`;
    const result = await vault.run(step("python", code));
    const text = textOf(await vault.events(result.runId));
    expect(text).toContain("[REDACTED:key]");
    expect(text).not.toContain(key.slice(8));
    expect(text).not.toContain(Buffer.from(key).toString("hex").slice(8, 40));
    expect(text).not.toContain(Buffer.from(`user:${key}`).toString("base64").slice(12, 40));
  });

  test("renders the builder's inputs, and leaves references in params and earlier outputs as text", async () => {
    const result = await vault.run({
      ...step("javascript", "return [inputs.header.length, inputs.plain, params.p, steps.one]", {
        inputs: { header: "Bearer <<secrets.key>>", plain: "cat <<EOF" },
      }),
      params: { p: "<<secrets.key>>" },
      steps: { one: "{{secrets.key}}" },
    });
    expect(result.output).toEqual([7 + key.length, "cat <<EOF", "<<secrets.key>>", "{{secrets.key}}"]);
  });

  test("a secret of another project does not resolve", async () => {
    const organization = await createOrganization(vault.service.vault, "Other");
    const other = await createProject(vault.service.vault, organization.id, "Other");
    const runId = await vault.service.submit({
      projectId: other.id,
      ...step("javascript", "return <<secrets.key>>"),
    });
    expect(await vault.service.result(other.id, runId)).toMatchObject({
      status: "rejected",
      error: { code: "ERR_SECRET_UNKNOWN" },
    });
  });

  test("submitting one run id twice runs it once", async () => {
    const runId = createId();
    const job = { projectId: vault.projectId, runId, ...step("javascript", "return Math.random()") } as JobInput;
    const [first, second] = [await vault.service.submit(job), await vault.service.submit(job)];
    const results = [first, second].map(async (id) => await vault.service.result(vault.projectId, id));
    expect(await results[0]).toEqual(await results[1]);
    expect((await vault.events(runId)).filter(({ kind }) => kind === "finished")).toHaveLength(1);
  });

  test("a second job with the same request and the id of a live run waits for it and has its result", async () => {
    const runId = createId();
    const code = "await new Promise((r) => setTimeout(r, 1500)); return Math.random()";
    const job = { projectId: vault.projectId, runId, ...step("javascript", code) };
    await vault.service.submit(job);
    await expect.poll(async () => (await vault.events(runId)).length, { timeout: 10_000 }).toBeGreaterThan(0);
    const other = await processAgain({ ...job, ...step("javascript", "return 'other'") });
    expect(other).toMatchObject({ status: "rejected", error: { code: "ERR_RUN_CONFLICT" } });
    const told = await processAgain(job);
    expect(told).toMatchObject({ status: "succeeded", output: expect.any(Number) });
    expect(told).toEqual(await vault.service.result(vault.projectId, runId));
  });

  test("an invalid job with the id of a live run does not end it", async () => {
    const runId = createId();
    await vault.service.submit({
      projectId: vault.projectId,
      runId,
      ...step("javascript", "await new Promise((r) => setTimeout(r, 1000)); return 7"),
    });
    const refused = await processAgain({ projectId: vault.projectId, runId, step: { language: "cobol", code: "" } });
    expect(refused.status).toBe("rejected");
    expect(await vault.service.result(vault.projectId, runId)).toMatchObject({ status: "succeeded", output: 7 });
    expect((await vault.events(runId)).map(({ kind }) => kind)).toEqual(["started", "output", "finished"]);
  });

  test("printed text that ends like a value begins is shown while the step is silent", async () => {
    const runId = await vault.service.submit({
      projectId: vault.projectId,
      ...step("python", 'k = <<secrets.key>>\nprint("items")\nimport time\ntime.sleep(2)'),
    });
    await expect.poll(async () => textOf(await vault.events(runId)), { timeout: 4_000 }).toBe("items\n");
    expect((await vault.service.runs.get(vault.projectId, runId)).result).toBeNull();
    await vault.service.result(vault.projectId, runId);
  });

  test("object keys keep their order", async () => {
    const result = await vault.run(step("javascript", "return { zebra: 1, b: { yy: 1, a: 2 }, a: 3 }"));
    expect(JSON.stringify(result.output)).toBe('{"zebra":1,"b":{"yy":1,"a":2},"a":3}');
  });

  test("NUL and lone surrogates in params and output survive", async () => {
    const text = "a\0b\ud800";
    const result = await vault.run({
      ...step("javascript", "return [params.text, params.text.length]"),
      params: { text },
    });
    expect(result.output).toEqual([text, 4]);
  });
});

describe("bad input ends the run with a typed error", () => {
  const cases: [string, Omit<JobInput, "projectId">, Partial<RunResult["error"] & object> & { status: string }][] = [
    [
      "an unknown secret",
      step("javascript", "const a = 1;\nreturn <<secrets.kex>>"),
      { status: "rejected", code: "ERR_SECRET_UNKNOWN", fault: "user", line: 2, column: 8 },
    ],
    [
      "an unknown secret in Python",
      step("python", 'x = "é" + <<secrets.kex>>'),
      { status: "rejected", code: "ERR_SECRET_UNKNOWN", line: 1, column: 11 },
    ],
    [
      "a reference where no value can be",
      step("javascript", "const <<secrets.key>> = 1"),
      { status: "rejected", code: "ERR_REFERENCE_POSITION", line: 1, column: 7 },
    ],
    [
      "code that does not parse",
      step("javascript", "let a = ;"),
      { status: "failed", code: "ERR_STEP_SYNTAX", line: 1, column: 9 },
    ],
    [
      "Python code that does not parse",
      step("python", "x = (1"),
      { status: "failed", code: "ERR_STEP_SYNTAX", line: 1, column: 5 },
    ],
    [
      "output that is not JSON",
      step("javascript", "return { f: 1n }"),
      { status: "failed", code: "ERR_OUTPUT_NOT_JSON" },
    ],
    [
      "an infinite loop",
      step("python", "while True: pass", { limits: { wallTimeMsMax: 300 } }),
      { status: "timed_out", code: "ERR_LIMIT_WALL_TIME", fault: "limit" },
    ],
    [
      "a 200 MB print",
      step("python", 'for _ in range(200): print("x" * 10**6)'),
      { status: "limit_exceeded", code: "ERR_LIMIT_STDOUT", fault: "limit" },
    ],
    [
      "a 200 MB print at once",
      step("javascript", 'console.log("x".repeat(200e6))'),
      { status: "limit_exceeded", code: "ERR_LIMIT_LOG", fault: "limit" },
    ],
    [
      "too much memory",
      step("python", "x = bytearray(10**9)"),
      { status: "out_of_memory", code: "ERR_LIMIT_MEMORY", fault: "limit" },
    ],
    [
      "a limit above the operator's maximum",
      step("python", "1", { limits: { wallTimeMsMax: 10 ** 9 } }),
      { status: "rejected", code: "ERR_LIMIT_TOO_HIGH" },
    ],
    [
      "a template tag that is no reference",
      step("python", "1", { inputs: { a: "<<#secrets.key>>x<</secrets.key>>" } }),
      { status: "rejected", code: "ERR_INPUTS_TEMPLATE" },
    ],
    ["a step that does not exist", { step: { id: createId() } }, { status: "rejected", code: "ERR_STEP_UNKNOWN" }],
  ];
  for (const [what, job, { status, ...error }] of cases) {
    test(`${what}: ${error.code}, and the next run is unaffected`, async () => {
      const result = await vault.run(job);
      expect(result).toMatchObject({ status, error });
      expect(await vault.service.runs.get(vault.projectId, result.runId)).toMatchObject({ status });
      expect((await vault.events(result.runId)).at(-1)).toMatchObject({ kind: "finished", status });
      expect((await vault.run(step("javascript", "return 1"))).output).toBe(1);
    });
  }

  test("an unknown secret's message names the closest existing name", async () => {
    const result = await vault.run(step("javascript", "return <<secrets.kex>>"));
    expect(result.error?.message).toContain("the closest name is key");
  });

  for (const [what, payload, code] of [
    ["an unknown language", { step: { language: "ruby", code: "1" } }, "ERR_LANGUAGE_UNKNOWN"],
    ["no step", { labels: {} }, "ERR_JOB_INVALID"],
    [
      "a key that is not of the schema",
      { step: { language: "python", code: "1" }, "sk-secret": "pasted" },
      "ERR_JOB_INVALID",
    ],
    [
      "a limit that is no number",
      { step: { language: "python", code: "1", limits: { wallTimeMsMax: "1" } } },
      "ERR_JOB_INVALID",
    ],
  ] as const) {
    test(`${what}, added to the queue directly, is a rejected run`, async () => {
      const runId = createId();
      const result = await processAgain({ projectId: vault.projectId, runId, ...payload });
      expect(result).toMatchObject({ status: "rejected", error: { code } });
      expect(result.error?.message).not.toMatch(/pasted|sk-secret|ruby/);
      expect((await vault.service.runs.get(vault.projectId, runId)).status).toBe("rejected");
    });
  }

  test("a job of a project that does not exist is told in its return value", async () => {
    const runId = createId();
    await vault.service.queue.addRaw(runId, { projectId: createId(), ...step("javascript", "return 1") });
    expect(await jobResult(vault.service.queue, runId)).toMatchObject({
      status: "rejected",
      error: { code: "ERR_PROJECT_UNKNOWN" },
    });
    await expect(vault.service.submit({ projectId: createId(), ...step("javascript", "1") })).rejects.toMatchObject({
      code: "ERR_PROJECT_UNKNOWN",
    });
  });
});

describe("errors of a step", () => {
  for (const [language, code] of [
    ["javascript", "throw new Error('cannot use ' + <<secrets.key>>)"],
    ["python", 'raise ValueError("cannot use " + <<secrets.key>>)'],
  ] as const) {
    test(`a message and a stack that hold a value are masked (${language})`, async () => {
      const result = await vault.run(step(language, code));
      expect(result.error?.message).toContain("cannot use [REDACTED:key]");
      expect(JSON.stringify([result, await vault.events(result.runId)])).not.toContain(key);
    });
  }
  test("object keys that hold a value are masked", async () => {
    const result = await vault.run(step("javascript", "return { [<<secrets.key>>]: { ['a' + <<secrets.key>>]: 1 } }"));
    expect(JSON.stringify(result.output)).not.toContain(key);
  });
});

describe("what is stored", () => {
  test("no value is in any table or file, in the log, or in the error of a run, after all these runs", async () => {
    await vault.run(
      step(
        "javascript",
        "for (const v of [<<secrets.key>>, <<secrets.quotes>>, <<secrets.emoji>>]) { console.log(v, encodeURIComponent(v), JSON.stringify(v)); } throw new Error(<<secrets.key>>)",
      ),
    );
    const values = [key, ...Object.values(hostileValues).filter((value) => value.length < 1_000)];
    const search = await findTraces(vault.service.database, vault.folder, values);
    expect(search.found).toEqual([]);
    expect(search.rows).toBeGreaterThan(50);
    const log = vault.log.join("");
    expect(log).toContain("worker started");
    for (const value of values) expect(log).not.toContain(value);
  });
  test("the search itself finds a value that is stored in clear", async () => {
    await vault.service.database.query("create table planted (t text)");
    await vault.service.database.query("insert into planted values ($1)", [
      `x${Buffer.from(`pad${key}`).toString("base64")}`,
    ]);
    expect((await findTraces(vault.service.database, vault.folder, [key])).found).toContain("table stepvault.planted");
    await vault.service.database.query("drop table planted");
  });
  test("the service log masks values while a run is under way", async () => {
    const held = vault.service.log.hold(
      (await import("../../redaction/redactor.ts")).createRedactor([{ name: "key", value: key }]),
    );
    vault.service.log.logger.error({ err: new Error(`library says ${key}`), nested: { key } }, `oops ${key}`);
    held.release();
    expect(vault.log.at(-1)).toContain("[REDACTED:key]");
    expect(vault.log.at(-1)).not.toContain(key);
  });
});
