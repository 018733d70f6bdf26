/**
 * A soak of the sandbox: many runs of both languages, of several projects, at once, a tenth of them hostile. Counts how
 * they ended and what the process holds at several points on the way, and fails when resident memory, open handles or
 * processes have grown, or when an innocent run ended in any other way than it should. Writes results/soak.md.
 * `npm run soak -- 20000` gives the number of runs.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import path from "node:path";
import { parseConfig } from "../protocol/config.ts";
import type { Json, Language } from "../protocol/job.ts";
import { limitNames, type Limits, limitTable } from "../protocol/limits.ts";
import { Sandbox } from "../runtime/sandbox.ts";

const runs = Number(process.argv[2] ?? 2_000);
const atOnce = 4;
const projects = ["a", "b", "c"];
const samplesMax = 10;
const rssGrowthBytesMax = 48 * 1024 * 1024;

interface Program {
  readonly language: Language;
  readonly code: string;
  /** The output, or the codes of which one must be the error's. */
  readonly expected: { output: (i: number) => Json } | { codes: readonly string[] };
}

const innocent: readonly Program[] = [
  ...Array.from({ length: 12 }, (): readonly Program[] => [
    { language: "javascript", code: "return params.i", expected: { output: (i) => i } },
    {
      language: "javascript",
      code: 'console.log("line", params.i); await new Promise((r) => setTimeout(r, 1)); return [params.i]',
      expected: { output: (i) => [i] },
    },
    {
      language: "javascript",
      code: "globalThis.left ??= 0; setInterval(() => {}, 1); return ++globalThis.left",
      expected: { output: () => 1 },
    },
    { language: "javascript", code: 'throw new Error("wanted")', expected: { codes: ["ERR_STEP_THREW"] } },
  ]).flat(),
  { language: "python", code: 'print("line")\nreturn params["i"]', expected: { output: (i) => i } },
  {
    language: "python",
    code: "import builtins, json\nseen = hasattr(builtins, 'left'); builtins.left = 1\nreturn seen",
    expected: { output: () => false },
  },
];

const ended = ["ERR_LIMIT_WALL_TIME", "ERR_LIMIT_CPU_TIME", "ERR_LIMIT_MEMORY", "ERR_STEP_THREW", "ERR_STEP_EXITED"];
const hostile: readonly Program[] = [
  { language: "javascript", code: "for (;;);", expected: { codes: ended } },
  { language: "javascript", code: "let x = 3n; for (;;) x *= x;", expected: { codes: ended } },
  { language: "javascript", code: "const a = []; for (;;) a.push(new Array(1e6).fill(1))", expected: { codes: ended } },
  {
    language: "javascript",
    code: 'for (;;) console.log("x".repeat(1000))',
    expected: { codes: ["ERR_LIMIT_LOG", "ERR_LIMIT_STDOUT", ...ended] },
  },
  {
    language: "javascript",
    code: "for (let i = 0; i < 1e6; i++) setTimeout(() => {}, 1e5); return 1",
    expected: { codes: ["ERR_LIMIT_TIMERS", ...ended] },
  },
  {
    language: "javascript",
    code: "Object.defineProperty(Object.prototype, 'x', { get() { for (;;); } }); return {}",
    expected: { codes: ended },
  },
  { language: "javascript", code: "await new Promise(() => {})", expected: { codes: ["ERR_STEP_STALLED", ...ended] } },
  { language: "python", code: "import os\nos.abort()", expected: { codes: ended } },
  { language: "python", code: "a = []\nwhile True: a.append(bytearray(10**7))", expected: { codes: ended } },
];

const limits = {
  ...(Object.fromEntries(limitNames.map((name) => [name, limitTable[name].default])) as Limits),
  memoryBytesMax: 96 * 1024 * 1024,
};
const hostileLimits = { ...limits, wallTimeMsMax: 200 };

const folder = mkdtempSync(path.join(tmpdir(), "stepvault-soak-"));
const sandbox = new Sandbox({
  ...parseConfig({}).hosts,
  hostsIdleMax: 2,
  hostsMax: 10,
  cacheDir: path.join(folder, "cache"),
  onFault: (error) => console.error("a host is not there:", error.message),
});
const ends = new Map<string, number>();
const wrong: string[] = [];

async function runOne(i: number): Promise<void> {
  const isHostile = i % 10 === 9;
  const list = isHostile ? hostile : innocent;
  const program = list[Math.floor(i / (isHostile ? 10 : 1)) % list.length];
  if (program === undefined) return;
  const { language, code, expected } = program;
  const outcome = await sandbox.run(
    {
      projectId: projects[i % projects.length] ?? "",
      language,
      code,
      params: { i },
      steps: {},
      limits: isHostile ? hostileLimits : limits,
      network: "none",
    },
    { resolve: async () => ({ values: new Map(), inputs: {} }), onEvent: () => {} },
  );
  const end = "output" in outcome ? "succeeded" : outcome.error.code;
  ends.set(end, (ends.get(end) ?? 0) + 1);
  const right =
    "output" in expected
      ? "output" in outcome && outcome.output === JSON.stringify(expected.output(i))
      : expected.codes.includes(end);
  if (!right)
    wrong.push(
      `run ${i}: ${language} ${JSON.stringify(code)} ended as ${end}${"error" in outcome ? `: ${outcome.error.message}` : ""}`,
    );
}

interface Sample {
  readonly runs: number;
  readonly rssMiB: number;
  readonly handles: number;
  readonly processes: number;
}

function sample(done: number): Sample {
  globalThis.gc?.();
  return {
    runs: done,
    rssMiB: Math.round(process.memoryUsage.rss() / 1024 / 1024),
    handles: readdirSync("/proc/self/fd").length,
    processes: descendants(process.pid),
  };
}

function descendants(pid: number): number {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
    return children.reduce((count, child) => count + 1 + descendants(child), 0);
  } catch {
    return 0;
  }
}

await sandbox.warmUp();
const startedAt = performance.now();
const samples: Sample[] = [];
let next = 0;
async function work(): Promise<void> {
  while (next < runs) {
    const i = next++;
    await runOne(i);
    if (i % Math.ceil(runs / samplesMax) === 0) samples.push(sample(i));
  }
}
await Promise.all(Array.from({ length: atOnce }, work));
const seconds = Math.round((performance.now() - startedAt) / 1000);
samples.push(sample(runs));
await sandbox.close();
// A moment for the kernel to take the last process away.
await new Promise((resolve) => setTimeout(resolve, 500));
const after = sample(runs);
rmSync(folder, { recursive: true, force: true });

// The first sample is of a process that has not yet compiled what it needs; the second is what all later ones must hold.
const [, settled = after] = samples;
const problems = [
  ...wrong,
  ...(after.rssMiB - settled.rssMiB > rssGrowthBytesMax / 1024 / 1024 ? ["resident memory has grown"] : []),
  ...(after.handles > (samples[0]?.handles ?? 0) ? ["handles are left over"] : []),
  ...(after.processes > 0 ? [`${after.processes} processes are left over`] : []),
];
const table = [...samples, after].map(
  ({ runs: done, rssMiB, handles, processes }, at) =>
    `| ${at > samples.length - 1 ? "after closing" : done} | ${rssMiB} | ${handles} | ${processes} |`,
);
const report = `# Soak

\`npm run soak -- ${runs}\`: ${runs} runs in ${seconds} s, ${atOnce} at once, ${projects.length} projects, a tenth hostile,
Node ${process.version}, ${cpus().length} processors. ${problems.length === 0 ? "No leak and no wrong end." : `Problems: ${problems.length}.`}

| runs so far | resident memory of the worker, MiB | open handles | processes |
| ---: | ---: | ---: | ---: |
${table.join("\n")}

| end | runs |
| --- | ---: |
${[...ends]
  .sort((a, b) => b[1] - a[1])
  .map(([end, count]) => `| ${end} | ${count} |`)
  .join("\n")}
`;
writeFileSync(path.join(import.meta.dirname, "results/soak.md"), report);
console.log(report);
for (const problem of problems.slice(0, 20)) console.error(problem);
process.exitCode = problems.length === 0 ? 0 : 1;
