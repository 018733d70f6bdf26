/**
 * Limits of a run, met at their edge in real sandbox hosts: just under passes, just over fails with the figures. And
 * that runs do not touch one another.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../../runtime/sandbox.ts";
import { type InBothLanguages, openTestSandbox, perLanguage, runStep } from "../helpers/sandbox.ts";

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = openTestSandbox();
});
afterAll(async () => await sandbox.close());
const inBothLanguages: InBothLanguages = perLanguage(() => sandbox);

describe("limits", () => {
  inBothLanguages(
    "an endless loop ends at the wall-clock limit with the figures",
    { javascript: "for (;;);", python: "while True: pass" },
    ({ outcome, code }) => {
      expect(code).toBe("ERR_LIMIT_WALL_TIME");
      expect("error" in outcome && outcome.error.message).toContain("300 ms");
      expect(outcome.usage.wallMs).toBeLessThan(2_000);
    },
    { limits: { wallTimeMsMax: 300 } },
  );
  inBothLanguages(
    "processor time is counted apart from waiting",
    { javascript: "for (;;);", python: "while True: pass" },
    ({ code }) => expect(code).toBe("ERR_LIMIT_CPU_TIME"),
    { limits: { cpuTimeMsMax: 200, wallTimeMsMax: 20_000 } },
  );
  test("builtins that V8 cannot interrupt are ended from outside", async () => {
    const run = await runStep(sandbox, "javascript", "let a = 3n ** 1000000n; for (;;) a *= a;", {
      limits: { wallTimeMsMax: 500, cpuTimeMsMax: 20_000 },
    });
    expect(["ERR_LIMIT_WALL_TIME", "ERR_LIMIT_MEMORY"]).toContain(run.code);
    expect(run.outcome.usage.wallMs).toBeLessThan(3_000);
  });
  inBothLanguages(
    "more memory than allowed is an out-of-memory end",
    {
      javascript: 'const a = []; for (;;) a.push("x".repeat(1e5) + a.length)',
      python: "a = []\nwhile True: a.append(bytearray(10**6))",
    },
    ({ code }) => expect(code).toBe("ERR_LIMIT_MEMORY"),
    { limits: { memoryBytesMax: 64 * 1024 * 1024 } },
  );
  test("files in Python's memory count as memory", async () => {
    const code = "f = open('/tmp/big', 'wb')\nwhile True: f.write(b'x' * 10**7)";
    const { outcome } = await runStep(sandbox, "python", code, { limits: { memoryBytesMax: 64 * 1024 * 1024 } });
    expect("error" in outcome && ["ERR_LIMIT_MEMORY", "ERR_STEP_THREW", "ERR_STEP_EXITED"]).toContain(
      "error" in outcome && outcome.error.code,
    );
  });
  test("printing 200 MB is stopped at the limit, with the figures", async () => {
    const { code, outcome, text } = await runStep(sandbox, "python", 'for _ in range(200): print("x" * 10**6)', {
      limits: { stdoutBytesMax: 1_000_000 },
    });
    expect(code).toBe("ERR_LIMIT_STDOUT");
    expect("error" in outcome && outcome.error.message).toContain("at most 1000000 are allowed (stdoutBytesMax)");
    expect(text.length).toBeLessThanOrEqual(1_000_000);
  });
  test("logging 200 MB is stopped at the limit", async () => {
    expect((await runStep(sandbox, "javascript", 'console.log("x".repeat(200e6))')).code).toBe("ERR_LIMIT_LOG");
    expect((await runStep(sandbox, "javascript", 'for (;;) console.log("x".repeat(1000))')).code).toBe("ERR_LIMIT_LOG");
  });
  test("stdout just at its limit passes", async () => {
    const { text, code } = await runStep(sandbox, "python", 'print("x" * 99)', {
      limits: { stdoutBytesMax: 100, stdoutLinesMax: 1 },
    });
    expect([text.length, code]).toEqual([100, undefined]);
  });
  test("lines are counted apart from bytes", async () => {
    expect((await runStep(sandbox, "python", 'print("a\\nb\\nc")', { limits: { stdoutLinesMax: 2 } })).code).toBe(
      "ERR_LIMIT_STDOUT",
    );
  });
  test("timers are allowed up to their limit", async () => {
    const code = "for (let i = 0; i < params; i++) setTimeout(() => {}, 1); return 1";
    expect((await runStep(sandbox, "javascript", code, { params: 5, limits: { timersMax: 5 } })).output).toBe(1);
    expect((await runStep(sandbox, "javascript", code, { params: 6, limits: { timersMax: 5 } })).code).toBe(
      "ERR_LIMIT_TIMERS",
    );
  });
  test("printing does not count as bridge calls", async () => {
    const code = "for i in range(300): print(i, i, i)";
    expect((await runStep(sandbox, "python", code, { limits: { bridgeCallsMax: 100 } })).code).toBeUndefined();
  });
  test("bridge calls are counted", async () => {
    const run = await runStep(sandbox, "javascript", "for (let i = 0; i < 50; i++) crypto.randomUUID()", {
      limits: { bridgeCallsMax: 20 },
    });
    expect(run.code).toBe("ERR_LIMIT_BRIDGE_CALLS");
  });
});

describe("isolation between runs", () => {
  inBothLanguages(
    "a run finds nothing of the run before it",
    {
      javascript: 'const seen = globalThis.left; globalThis.left = "mine"; return seen ?? null',
      python: 'import builtins\nseen = getattr(builtins, "left", None); builtins.left = "mine"\nreturn seen',
    },
    ({ output }) => expect(output).toBeNull(),
  );
  test("many runs at once keep their values apart", async () => {
    const runs = await Promise.all(
      Array.from({ length: 6 }, async (_, i) => {
        const language = i % 2 === 0 ? "javascript" : "python";
        return await runStep(sandbox, language, "return <<secrets.k>>", { secrets: { k: `value-${i}` } });
      }),
    );
    expect(runs.map(({ output }) => output)).toEqual([0, 1, 2, 3, 4, 5].map((i) => `value-${i}`));
  });
  test("a cancelled run ends at once as cancelled", async () => {
    const abort = new AbortController();
    const running = runStep(sandbox, "javascript", "await new Promise((r) => setTimeout(r, 30000))", {
      signal: abort.signal,
      onEvent: ({ kind }) => {
        if (kind === "started") setTimeout(() => abort.abort(), 50);
      },
    });
    const { code, outcome } = await running;
    expect(code).toBe("ERR_RUN_CANCELLED");
    expect(outcome.usage.wallMs).toBeLessThan(5_000);
  });
  test("a slow reader makes the step wait instead of filling memory", async () => {
    let seen = 0;
    const { code } = await runStep(sandbox, "python", 'for i in range(400): print("x" * 50000)', {
      limits: { stdoutBytesMax: 30_000_000 },
      onEvent: async () => {
        seen += 1;
        if (seen < 40) await new Promise((resolve) => setTimeout(resolve, 10));
      },
    });
    expect(code).toBeUndefined();
  });
});
