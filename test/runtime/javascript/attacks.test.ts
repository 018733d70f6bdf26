/**
 * The published attacks on JavaScript sandboxes (test/runtime/vectors/attacks-javascript.json), each as a step in a real
 * host that all projects share, with exactly what must become of it here. After each one a step of somebody else runs and
 * finds nothing left behind, and no host is left but those that wait for a run. A case without an entry below fails: nothing is skipped.
 */
import { isDeepStrictEqual } from "node:util";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { onlyIdleHostsAreLeft } from "../../helpers/processes.ts";
import { openTestSandbox, runStep, type StepOptions, type StepRun } from "../../helpers/sandbox.ts";

interface Attack {
  readonly id: string;
  readonly title: string;
  readonly code: string;
}

const attacks = JSON.parse(
  readFileSync(new URL("../vectors/attacks-javascript.json", import.meta.url), "utf8"),
) as Attack[];

const MiB = 1024 * 1024;
const canary = "canary-3f9a1c7e55";

/** Attacks that send something to a bridge say `echo`. There is no such call; these are the nearest there are. */
const copies = "const echo = (value) => structuredClone(value);";
const crosses = "const echo = (value) => URL.canParse(value);";
const asks = "const echo = () => crypto.randomUUID();";

interface Fate {
  /** The codes that the run may end with; none when it must succeed. */
  readonly ends?: readonly string[];
  /** What it must return, or what its error's message must say. */
  readonly output?: unknown;
  readonly says?: RegExp;
  /** What the text that it returns must not hold. */
  readonly silentOf?: RegExp;
  /** What it must log, where that matters. */
  readonly prints?: string;
  readonly options?: StepOptions;
  readonly prelude?: string;
  readonly wallMsBelow?: number;
}

const quick = { limits: { wallTimeMsMax: 700 } };
const small = { limits: { wallTimeMsMax: 4_000, memoryBytesMax: 64 * MiB } };
const timedOut: Fate = { ends: ["ERR_LIMIT_WALL_TIME"], options: quick, wallMsBelow: 2_500 };
const outOfMemory: Fate = { ends: ["ERR_LIMIT_MEMORY"], options: small, wallMsBelow: 6_000 };
const threw = (says: RegExp): Fate => ({ ends: ["ERR_STEP_THREW"], says });

const fates: Readonly<Record<string, Fate>> = {
  "js-esc-01": { output: "undefinedundefined" },
  "js-esc-02": { output: Array.from({ length: 3 }, () => "undefinedundefinedundefined").join(",") },
  "js-esc-07": { output: [] },
  "js-esc-09": { output: ["Error", "Error", "Error", "Error", "Error"] },
  "js-esc-11": { output: "absent" },
  "js-esc-16": { output: { a: "trap" } },
  "js-esc-20": { ends: ["ERR_OUTPUT_NOT_JSON"], says: /\$\.self is a cycle/ },
  "js-esc-21": { ends: ["ERR_OUTPUT_NOT_JSON"], says: /\$\.f is a function/ },
  "js-esc-22": timedOut,
  "js-esc-23": threw(/^thrown: \[Unreadable\]$/),
  "js-esc-25": threw(/^TimeoutError: x$/),
  "js-esc-26": { output: true, prints: "real line\n" },
  "js-esc-28": threw(/Cannot define property value, object is not extensible/),
  "js-esc-29": { output: "planted", options: { secrets: { CANARY: canary } } },
  "js-esc-31": { ...threw(/SharedArrayBuffer is not defined/), prelude: copies },
  "js-esc-32": { output: [8, 8], prelude: copies },
  "js-esc-33": { output: [1_048_576, 1_048_576], prelude: copies },
  "js-esc-34": {
    output: [
      "TypeError",
      "TypeError",
      "TypeError",
      "TypeError",
      "TypeError",
      "TypeError",
      "TypeError",
      "TypeError",
      "TypeError",
      "TypeError",
      "TypeError",
    ],
  },
  "js-esc-35": { output: "string" },
  "js-esc-36": { output: ["undefined", "function", "function", true, true] },
  "js-esc-41": threw(/module is not defined/),
  "js-esc-43": threw(/Cannot define property 0, object is not extensible/),
  "js-esc-45": { silentOf: /node:|prelude|\/runtime|\/tmp|\/work|file:/ },
  "js-esc-46": { output: 0, prelude: copies },
  "js-dos-01": timedOut,
  "js-dos-07": timedOut,
  "js-dos-08": timedOut,
  "js-dos-09": timedOut,
  "js-dos-10": { ends: ["ERR_LIMIT_WALL_TIME", "ERR_STEP_THREW"], options: quick, wallMsBelow: 2_500 },
  "js-dos-13": { output: 0 },
  "js-dos-14": timedOut,
  // One allocation beyond what the kernel allows a host: the process ends before the watchdog looks.
  "js-dos-16": outOfMemory,
  "js-dos-17": { ends: ["ERR_LIMIT_MEMORY", "ERR_STEP_THREW"], says: /memory|allocation failed/, options: small },
  "js-dos-18": { ends: ["ERR_LIMIT_MEMORY", "ERR_STEP_THREW"], says: /memory|allocation failed/, options: small },
  "js-dos-21": { output: "absent" },
  "js-dos-23": { ends: ["ERR_LIMIT_MEMORY", "ERR_LIMIT_WALL_TIME"], options: small, wallMsBelow: 6_000 },
  "js-dos-24": { ends: ["ERR_LIMIT_MEMORY", "ERR_LIMIT_WALL_TIME"], options: small, wallMsBelow: 6_000 },
  "js-dos-25": threw(/^RangeError: Maximum call stack size exceeded$/),
  "js-dos-26": threw(/Maximum call stack size exceeded|too deep/),
  "js-dos-28": { ends: ["ERR_LIMIT_OUTPUT"], says: /nested deeper than 100/ },
  "js-dos-29": threw(/^Error: x$/),
  "js-dos-30": threw(/is not defined/),
  "js-dos-31": { ends: ["ERR_LIMIT_LOG"], says: /at most 10000 are allowed \(logEntriesMax\)/ },
  "js-dos-33": { ends: ["ERR_LIMIT_OUTPUT"], says: /more than 5242880 bytes/ },
  "js-dos-35": {
    ends: ["ERR_LIMIT_MEMORY", "ERR_LIMIT_WALL_TIME"],
    prelude: crosses,
    options: small,
  },
  "js-dos-36": { ends: ["ERR_LIMIT_TIMERS"], says: /at most 1000/ },
  "js-dos-40": { ends: ["ERR_RUN_CANCELLED"], wallMsBelow: 2_000 },
  "js-dos-41": {
    ends: ["ERR_LIMIT_BRIDGE_CALLS", "ERR_LIMIT_WALL_TIME"],
    prelude: asks,
    options: quick,
    wallMsBelow: 2_500,
  },
  "js-dos-42": { ends: ["ERR_LIMIT_LOG"], options: { limits: { wallTimeMsMax: 10_000 } } },
  "js-dos-44": timedOut,
};

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = openTestSandbox([], 0, { isolation: "isolate" });
});
afterAll(async () => await sandbox.close());

async function attack({ id, code }: Attack, { prelude = "", options = {} }: Fate): Promise<StepRun> {
  const step = prelude + code.replaceAll("secrets.CANARY", "<<secrets.CANARY>>");
  if (id !== "js-dos-40") return await runStep(sandbox, "javascript", step, options);
  const abort = new AbortController();
  let cancelledAt = Infinity;
  let saidLate = false;
  const run = await runStep(sandbox, "javascript", step, {
    signal: abort.signal,
    onEvent({ kind }) {
      if (kind === "started") {
        setTimeout(() => {
          cancelledAt = performance.now();
          abort.abort();
        }, 300);
      }
      // What the step says after it was cancelled must not be told.
      else if (performance.now() > cancelledAt + 100) saidLate = true;
    },
  });
  if (saidLate || performance.now() - cancelledAt > 1_000) throw new Error("the cancelled step went on");
  return run;
}

/** What of a run is not as it must be. */
function complaints(fate: Fate, { outcome, code, output, text }: StepRun): string[] {
  const message = "error" in outcome ? outcome.error.message : "";
  const { silentOf, says = /^/, wallMsBelow = 8_000 } = fate;
  const fits =
    silentOf === undefined
      ? isDeepStrictEqual(output, fate.output)
      : !silentOf.test(typeof output === "string" ? output : "node:");
  const found: [boolean, string][] = [
    [
      fate.ends === undefined ? code === undefined : fate.ends.includes(code ?? ""),
      `it ended with ${code ?? "success"}: ${message}`,
    ],
    [fate.ends !== undefined || fits, `it returned ${JSON.stringify(output)}`],
    [fate.prints === undefined || fate.prints === text, `it logged ${text}`],
    [says.test(message), `its error says: ${message}`],
    [outcome.usage.wallMs < wallMsBelow, `it took ${outcome.usage.wallMs} ms`],
  ];
  return found.filter(([good]) => !good).map(([, complaint]) => complaint);
}

/** What a run of somebody else must find: a language as new, and nothing of the attack. */
const afterwards = `const left = [globalThis.__leak, ({}).leak, [].leak, console.x, ({}).polluted].filter((value) => value !== undefined);
  return [left, [1, 2].map((x) => x * 2), JSON.stringify({ a: new Date(0) }), typeof fetch]`;

describe("a published attack", () => {
  for (const each of attacks) {
    test(`${each.id}: ${each.title}`, async () => {
      const fate = fates[each.id];
      if (fate === undefined) throw new Error(`what must become of ${each.id} is not said`);
      expect(complaints(fate, await attack(each, fate))).toEqual([]);
      const next = await runStep(sandbox, "javascript", afterwards, { projectId: "another" });
      expect(next.output).toEqual([[], [2, 4], '{"a":"1970-01-01T00:00:00.000Z"}', "function"]);
      await onlyIdleHostsAreLeft(sandbox);
    });
  }
  test("every entry belongs to a case", () => {
    expect(Object.keys(fates).sort()).toEqual(attacks.map(({ id }) => id).sort());
  });
});
