/**
 * What viewers see and what much output costs, for bench/runs.ts: a worker and an API as processes of their own, a thousand
 * viewers in a third one. A step prints the time; a viewer compares it with its own when the line arrives. And a step that
 * prints 100 MB: what its worker's memory is like before, at most, and after.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseConfig } from "../protocol/config.ts";
import { createOrganization, createProject } from "../test/helpers/vault.ts";
import { createServiceLog } from "../worker/log.ts";
import { Service } from "../worker/service.ts";

const viewerCount = 1_000;
const lineCount = 100;
const linePauseMs = 100;
const printedMib = 100;

export interface ViewerFigures {
  readonly report: string;
  readonly p95Ms: number;
  readonly rssMib: number;
}

export async function measureViewers(): Promise<ViewerFigures> {
  const folder = mkdtempSync(path.join(tmpdir(), "stepvault-bench-"));
  const settings = {
    STEPVAULT_DATA_DIR: folder,
    STEPVAULT_API_PORT: "18599",
    STEPVAULT_API_REQUESTS_PER_MINUTE_MAX: "100000",
    STEPVAULT_LOG_LEVEL: "error",
  };
  const service = await Service.open(parseConfig(settings), createServiceLog("error"));
  const children = ["worker", "api"].map((command) => start(command, settings));
  try {
    const organization = await createOrganization(service.vault, "Bench");
    const { id: projectId } = await createProject(service.vault, organization.id, "Bench");
    const { key } = await service.vault.keys.createForProject({
      projectId,
      name: "Bench",
      scopes: ["trigger", "read:runs"],
      expiry: "none",
    });
    const job = (code: string, limits = {}): Parameters<Service["submit"]>[0] => ({
      projectId,
      step: { language: "javascript", code, limits: { wallTimeMsMax: 300_000, ...limits } },
    });
    const base = `http://127.0.0.1:${settings.STEPVAULT_API_PORT}`;
    await untilReady(base);
    const few = await watch(service, { base, key, projectId, viewers: 20, job });
    const many = await watch(service, { base, key, projectId, viewers: viewerCount, job });
    const memory = await measureMemory(service, { worker: children[0]!, projectId, job });
    const line = (viewers: number, ms: readonly number[]): string =>
      `| ${viewers} | ${percentile(ms, 0.5).toFixed(1)} | ${percentile(ms, 0.95).toFixed(1)} | ${percentile(ms, 0.99).toFixed(1)} | ${ms.length} |`;
    return {
      p95Ms: percentile(many, 0.95),
      rssMib: memory.after - memory.before,
      report: `A line that a step prints, ${1_000 / linePauseMs} a second, until it is with a viewer over SSE: at most 50 ms at the 95th percentile. Worker,
API and viewers are a process each.

| viewers of one run | median, ms | 95th, ms | 99th, ms | lines |
| --- | --- | --- | --- | --- |
${line(20, few)}
${line(viewerCount, many)}

A step that prints ${printedMib} MB: its worker's memory (RSS) is ${memory.before.toFixed(0)} MiB before, ${memory.peak.toFixed(0)} at most and ${memory.after.toFixed(0)} after it (at most 64 more).`,
    };
  } finally {
    for (const child of children) child.kill("SIGTERM");
    await Promise.all(children.map(async (child) => await once(child, "exit")));
    await service.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function start(command: string, settings: Record<string, string>): ChildProcess {
  const main = path.join(import.meta.dirname, "../cli/main.ts");
  const env = { ...settings, PATH: process.env["PATH"] };
  return spawn(process.execPath, [main, command], { env, stdio: ["ignore", "ignore", "inherit"] });
}

async function untilReady(base: string): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    if ((await fetch(`${base}/readyz`).catch(() => undefined))?.ok === true) return;
    await sleep(100);
  }
  throw new Error("the API did not start");
}

interface Watched {
  readonly base: string;
  readonly key: string;
  readonly projectId: string;
  readonly viewers: number;
  readonly job: (code: string) => Parameters<Service["submit"]>[0];
}

/** Lets viewers, in a process of their own, watch a run, and gives how long each line took to each of them. */
async function watch(service: Service, { base, key, projectId, viewers, job }: Watched): Promise<number[]> {
  // Time for all viewers to come.
  const pause = (ms: number | string): string => `await new Promise((r) => setTimeout(r, ${ms}));`;
  const code = `${pause(8_000)} for (let i = 0; i < ${lineCount}; i++) { console.log(String(Date.now())); ${pause(linePauseMs)} } return 1`;
  const runId = await service.submit(job(code));
  const child = spawn(process.execPath, [import.meta.filename, "watch"], { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end(
    JSON.stringify({ url: `${base}/v1/projects/${projectId}/runs/${runId}/events/stream`, key, viewers }),
  );
  let text = "";
  for await (const chunk of child.stdout) text += String(chunk);
  await service.result(projectId, runId);
  const times = JSON.parse(text) as number[];
  if (times.length !== viewers * lineCount) throw new Error(`${times.length} of ${viewers * lineCount} lines arrived`);
  return times;
}

async function watchAsViewers(): Promise<void> {
  let input = "";
  for await (const chunk of process.stdin) input += String(chunk);
  const { url, key, viewers } = JSON.parse(input) as { url: string; key: string; viewers: number };
  const agent = new Agent({ maxSockets: Number.POSITIVE_INFINITY });
  const times: number[] = [];
  const view = async (): Promise<void> => {
    await new Promise<void>((resolve, reject) => {
      const call = request(url, { agent, headers: { authorization: `Bearer ${key}` } }, (response) => {
        const lines = createInterface({ input: response });
        lines.on("line", (line) => {
          const printed = /"message":"(\d{13})"/.exec(line)?.[1];
          if (printed !== undefined) times.push(Date.now() - Number(printed));
        });
        lines.on("close", resolve);
      });
      call.on("error", reject);
      call.end();
    });
  };
  await Promise.all(Array.from({ length: viewers }, view));
  process.stdout.write(JSON.stringify(times));
}

async function measureMemory(
  service: Service,
  {
    worker,
    projectId,
    job,
  }: {
    worker: ChildProcess;
    projectId: string;
    job: (code: string, limits: object) => Parameters<Service["submit"]>[0];
  },
): Promise<{ before: number; peak: number; after: number }> {
  const run = async (mib: number): Promise<void> => {
    const code = `const line = "x".repeat(1023); for (let i = 0; i < ${mib * 1024}; i++) { console.log(line); if (i % 1024 === 0) await new Promise((r) => setTimeout(r, 0)); } return 1`;
    const limits = { logEntriesMax: 1_000_000, logBytesMax: 2 * printedMib * 1024 * 1024, bridgeCallsMax: 1_000_000 };
    const runId = await service.submit(job(code, limits));
    const { status, error } = await service.result(projectId, runId);
    if (status !== "succeeded") throw new Error(`the run that prints ended as ${status}: ${error?.message ?? ""}`);
  };
  // What a first run loads stays loaded.
  await run(2);
  await sleep(3_000);
  const before = memoryOf(worker, "VmRSS");
  await run(printedMib);
  await sleep(10_000);
  return { before, peak: memoryOf(worker, "VmHWM"), after: memoryOf(worker, "VmRSS") };
}

function memoryOf({ pid }: ChildProcess, name: string): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1]) / 1024;
}

function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

if (import.meta.main && process.argv[2] === "watch") await watchAsViewers();
