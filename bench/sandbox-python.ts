/**
 * How long Python takes to be ready, beside what else could run a step: a section of bench/sandbox.ts. All is measured by
 * turns on one machine, so that the ratios hold where the milliseconds do not. Processor time counts all threads.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { limitTable } from "../protocol/limits.ts";
import { HostProcess } from "../runtime/host-process.ts";
import { ensureSnapshot } from "../runtime/snapshot.ts";

const rounds = 7;
const root = path.join(import.meta.dirname, "..");

interface Sample {
  wallMs: number;
  cpuMs: number;
  rssMiB: number;
}

const nodeFlags = ["--no-node-snapshot", "--no-warnings", "--input-type=module"];

/** Runs a program in a fresh process; what it measures of itself comes back as JSON. */
function inFreshProcess(before: string, measured: string): Sample {
  const source = `import { readFileSync } from "node:fs";
const rss = () => Number(readFileSync("/proc/self/statm", "utf8").split(" ")[1]) * 4096;
${before}
const [at, used, held] = [performance.now(), process.cpuUsage(), rss()];
${measured}
const { user, system } = process.cpuUsage(used);
console.log(JSON.stringify({ wallMs: performance.now() - at, cpuMs: (user + system) / 1000, rssMiB: (rss() - held) / 2 ** 20 }));
process.exit(0);`;
  const args = [...nodeFlags, "--eval", source];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8", cwd: root })) as Sample;
}

function ofCommand(command: string, args: string[]): Sample {
  const at = performance.now();
  execFileSync(command, args);
  return { wallMs: performance.now() - at, cpuMs: Number.NaN, rssMiB: Number.NaN };
}

const importSession = (name: string): string =>
  `const { ${name} } = await import(${JSON.stringify(path.join(root, "runtime/host/python.ts"))});
const worker = { send() {}, async drained() {} };`;

async function warmStart(snapshotFile: string): Promise<Sample> {
  const host = await HostProcess.start({ type: "boot", language: "python", snapshotFile });
  const limits = Object.fromEntries(Object.entries(limitTable).map(([name, row]) => [name, row.default]));
  // A host that waits warms itself up.
  await sleep(500);
  const at = performance.now();
  await new Promise<void>((resolve) => {
    const run = host.beginRun({
      onExit: () => resolve(),
      onMessage: (message) => {
        if (message.type === "references")
          run.send({ type: "execute", values: [], params: "{}", steps: "{}", inputs: "{}", limits: limits as never });
        if (message.type === "done" || message.type === "failed") resolve();
      },
    });
    run.send({ type: "prepare", language: "python", code: "return 1" });
  });
  const wallMs = performance.now() - at;
  const rssMiB = (Number(readFileSync(`/proc/${host.pid}/statm`, "utf8").split(" ")[1]) * 4096) / 2 ** 20;
  host.kill();
  return { wallMs, cpuMs: Number.NaN, rssMiB };
}

async function hostStart(language: "python" | "javascript", snapshotFile: string): Promise<Sample> {
  const at = performance.now();
  const boot = language === "python" ? { snapshotFile } : {};
  const host = await HostProcess.start({ type: "boot", language, ...boot });
  const wallMs = performance.now() - at;
  const rssMiB = (Number(readFileSync(`/proc/${host.pid}/statm`, "utf8").split(" ")[1]) * 4096) / 2 ** 20;
  host.kill();
  return { wallMs, cpuMs: Number.NaN, rssMiB };
}

/** The section's text, with a table. The snapshot is kept in the folder. */
export async function measurePythonStarts(cacheDir: string): Promise<string> {
  const snapshotFile = await ensureSnapshot({ cacheDir });
  const measurements: Record<string, () => Sample | Promise<Sample>> = {
    [base]: () => inFreshProcess('const { loadPyodide } = await import("pyodide");', "await loadPyodide();"),
    "cold start in an isolate, and the snapshot made": () =>
      inFreshProcess(
        importSession("sendSnapshot"),
        'await sendSnapshot(worker, { type: "boot", language: "python" });',
      ),
    "restore in an isolate": () =>
      inFreshProcess(
        importSession("createPythonSession"),
        `await createPythonSession(worker, ${JSON.stringify(snapshotFile)});`,
      ),
    "Python host, process and all": async () => await hostStart("python", snapshotFile),
    "JavaScript host, process and all": async () => await hostStart("javascript", snapshotFile),
    "`return 1` in a Python host that waits": async () => await warmStart(snapshotFile),
    "`python3 -I -c pass`": () => ofCommand("python3", ["-I", "-c", "pass"]),
    "`node -e 0`": () => ofCommand(process.execPath, ["-e", "0"]),
  };
  const samples = new Map<string, Sample[]>(Object.keys(measurements).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++)
    for (const [name, measure] of Object.entries(measurements)) samples.get(name)?.push(await measure());
  return describe(samples);
}

const base = "loadPyodide in plain Node";

function describe(samples: ReadonlyMap<string, readonly Sample[]>): string {
  const middle = (name: string, key: keyof Sample): number =>
    median((samples.get(name) ?? []).map((sample) => sample[key]));
  const rows = [...samples.keys()].map((name) => {
    const [wall, cpu] = [middle(name, "wallMs"), middle(name, "cpuMs")];
    const faster = (value: number, of: keyof Sample): string =>
      Number.isNaN(value) ? "" : `${(middle(base, of) / value).toFixed(1)} ×`;
    return `| ${name} | ${figure(wall)} | ${faster(wall, "wallMs")} | ${figure(cpu)} | ${faster(cpu, "cpuMs")} | ${figure(middle(name, "rssMiB"))} |`;
  });
  return `Medians of ${rounds} rounds. Of a process started for the measurement, resident memory is its growth; of a host it is all
that the process holds.

| what | ms | faster than loadPyodide | ms of processor | by processor time | MiB resident |
| --- | ---: | ---: | ---: | ---: | ---: |
${rows.join("\n")}`;
}

function figure(value: number): string {
  return Number.isNaN(value) ? "" : value.toFixed(value < 20 ? 1 : 0);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
