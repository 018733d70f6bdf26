/**
 * Speed of the sandbox: `npm run bench:sandbox` prints a table and writes results/sandbox.md. What isolated-vm alone
 * takes for the least that a run needs is measured beside it, in turns and in the same process, so that only the ratio
 * counts and not the machine. How Python starts is a section of its own (bench/sandbox-python.ts).
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import ivm from "isolated-vm";
import { parseConfig } from "../protocol/config.ts";
import type { Language } from "../protocol/job.ts";
import { limitNames, type Limits, limitTable } from "../protocol/limits.ts";
import { detectLayers } from "../runtime/layers.ts";
import { Sandbox } from "../runtime/sandbox.ts";
import { measurePythonStarts } from "./sandbox-python.ts";

const rounds = 5;
const runsPerRound = { javascript: 200, python: 20 };
const targets = { ratioMin: 0.7, latencyMsMax: 2 };

interface Row {
  readonly what: string;
  readonly times: readonly number[];
  readonly runsPerSecond: number;
}

const limits = Object.fromEntries(limitNames.map((name) => [name, limitTable[name].default])) as Limits;
const folder = mkdtempSync(path.join(tmpdir(), "stepvault-bench-"));
const sandbox = new Sandbox({
  ...parseConfig({}).hosts,
  hostsIdleMax: 1,
  cacheDir: path.join(folder, "cache"),
});

async function runInHost(language: Language, code: string): Promise<void> {
  const outcome = await sandbox.run(
    { projectId: "bench", language, code, params: {}, steps: {}, limits, network: "none" },
    { resolve: async () => ({ values: new Map(), inputs: {} }), onEvent: () => {} },
  );
  if ("error" in outcome) throw outcome.error;
}

/** The least that a fresh run needs: an isolate, a context, the code, and the end of both. */
async function runBare(code: string): Promise<void> {
  const isolate = new ivm.Isolate({ memoryLimit: limits.memoryBytesMax / 1024 / 1024 });
  const context = await isolate.createContext();
  await context.eval(code);
  isolate.dispose();
}

interface Contestant {
  readonly what: string;
  readonly run: () => Promise<void>;
  readonly runs: number;
  readonly atOnce: number;
}

/** Runs one after the other, or some at once, and notes how long each took. */
async function measure({ run, runs, atOnce }: Contestant): Promise<{ times: number[]; seconds: number }> {
  const times: number[] = [];
  let left = runs;
  const startedAt = performance.now();
  const lane = async (): Promise<void> => {
    while (left-- > 0) {
      const at = performance.now();
      await run();
      times.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  return { times, seconds: (performance.now() - startedAt) / 1_000 };
}

/** The contestants in turns, round by round; the first round warms up and is not counted. */
async function compare(contestants: readonly Contestant[]): Promise<Row[]> {
  const sums = contestants.map(({ what }) => ({ what, times: [] as number[], seconds: 0 }));
  for (let round = 0; round <= rounds; round++) {
    for (const [i, contestant] of contestants.entries()) {
      await allIdle();
      const { times, seconds } = await measure(contestant);
      const sum = sums[i];
      if (round === 0 || sum === undefined) continue;
      sum.times.push(...times);
      sum.seconds += seconds;
    }
  }
  return sums.map(({ what, times, seconds }) => ({ what, times, runsPerSecond: times.length / seconds }));
}

/** Hosts that still start or reset themselves would be measured along with the next contestant. */
async function allIdle(): Promise<void> {
  for (;;) {
    await sleep(300);
    const { hosts, idle } = sandbox.pool.count();
    if (hosts === idle) return;
  }
}

function quantile(times: readonly number[], part: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

await sandbox.warmUp();
const rows = await compare([
  {
    what: "JavaScript: isolate and context alone, in this process",
    run: async () => await runBare("1 + 1"),
    runs: runsPerRound.javascript,
    atOnce: 1,
  },
  {
    what: "JavaScript: through a host",
    run: async () => await runInHost("javascript", "return 1 + 1"),
    runs: runsPerRound.javascript,
    atOnce: 1,
  },
  {
    what: "JavaScript: through hosts, 4 at once",
    run: async () => await runInHost("javascript", "return 1 + 1"),
    runs: runsPerRound.javascript,
    atOnce: 4,
  },
  {
    what: "Python: through a host",
    run: async () => await runInHost("python", "return 1 + 1"),
    runs: runsPerRound.python,
    atOnce: 1,
  },
]);
await sandbox.close();
const pythonStarts = await measurePythonStarts(path.join(folder, "cache"));
rmSync(folder, { recursive: true, force: true });

const [bare, host] = rows;
const ratio = (host?.runsPerSecond ?? 0) / (bare?.runsPerSecond ?? 1);
const extraMs = quantile(host?.times ?? [], 0.5) - quantile(bare?.times ?? [], 0.5);
const { states } = await detectLayers();
const report = `# Sandbox

\`npm run bench:sandbox\`: ${rounds} rounds of ${runsPerRound.javascript} runs each (Python: ${runsPerRound.python}), in turns; Node ${process.version}, ${cpus().length} processors.
Layers: ${states.map(({ name, on, detail }) => `${name} ${on ? detail : "off"}`).join(", ")}.

| what | runs/s | median, ms | 95th percentile, ms |
| --- | ---: | ---: | ---: |
${rows
  .map(
    ({ what, times, runsPerSecond }) =>
      `| ${what} | ${runsPerSecond.toFixed(0)} | ${quantile(times, 0.5).toFixed(1)} | ${quantile(times, 0.95).toFixed(1)} |`,
  )
  .join("\n")}

| target | wanted | measured |
| --- | ---: | ---: |
| JavaScript through a host, of the bare loop's runs per second | at least ${targets.ratioMin} | ${ratio.toFixed(2)} |
| JavaScript through a host, beyond the bare loop at the median | at most ${targets.latencyMsMax} ms | ${extraMs.toFixed(1)} ms |

## Starting Python

${pythonStarts}
`;
writeFileSync(path.join(import.meta.dirname, "results/sandbox.md"), report);
console.log(report);
