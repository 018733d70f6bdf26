/**
 * `stepvault demo`: the whole system in one go, on real parts and in a folder of its own. Runs four steps through the
 * queue, shows each run as a viewer sees it, and then searches everything that was stored, and everything that it has
 * printed itself, for the secret values.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { parseConfig } from "../protocol/config.ts";
import type { Json, Language, RunResult } from "../protocol/job.ts";
import { createServiceLog } from "../worker/log.ts";
import { Service } from "../worker/service.ts";
import { findTraces } from "./demo/traces.ts";
import { interruptible, untilAborted } from "./interruption.ts";
import { EventPrinter, exitCodes, paint, table } from "./terminal.ts";

interface DemoStep {
  readonly title: string;
  readonly file: string;
  readonly language: Language;
  readonly params: Json;
}

export async function demoCommand(): Promise<number> {
  const folder = mkdtempSync(path.join(tmpdir(), "stepvault-demo-"));
  const echo = await startEcho();
  const port = (echo.address() as AddressInfo).port;
  const config = parseConfig({
    STEPVAULT_DATA_DIR: folder,
    STEPVAULT_EGRESS_OPEN: `127.0.0.1:${port}`,
    STEPVAULT_LOG_LEVEL: "error",
  });
  const startedAt = performance.now();
  return await interruptible(async (signal) => {
    let service: Service | undefined;
    try {
      service = await Service.open(config, createServiceLog(config.logLevel));
      await service.startWorker();
      say(
        `Started PostgreSQL, a worker on BullMQ (${service.queue.backend}) and an echo server in ${seconds(startedAt)}.`,
      );
      const url = `http://127.0.0.1:${port}/customers?source=demo`;
      return await untilAborted(runDemo(service, folder, url), signal);
    } finally {
      await service?.close({ hurry: signal });
      echo.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

async function runDemo(service: Service, folder: string, url: string): Promise<number> {
  const secrets = {
    crm_api_key: `crm_live_${randomBytes(18).toString("base64url")}`,
    report_key: `"rk'${randomBytes(12).toString("hex")}\\n`,
  };
  const { vault } = service;
  const organization = await vault.tenancy.createOrganization("Demo");
  const project = await vault.tenancy.createProject({ organizationId: organization.id, name: "Demo project" });
  for (const [name, value] of Object.entries(secrets)) {
    await vault.secrets.set({ place: { projectId: project.id }, name, value });
  }
  say(`Stored ${Object.keys(secrets).length} secrets: ${Object.keys(secrets).join(", ")}.\n`);

  const require = createRequire(import.meta.url);
  const countries = require("world-countries") as Json;
  const steps: DemoStep[] = [
    {
      title: "JavaScript: call a service with a key",
      file: "echo.step.js",
      language: "javascript",
      params: { url, customer: "Ada" },
    },
    {
      title: "Python: the same, without await",
      file: "echo.step.py",
      language: "python",
      params: { url, customer: "Ada" },
    },
    {
      title: "JavaScript: aggregate 250 countries",
      file: "countries.step.js",
      language: "javascript",
      params: { countries },
    },
    { title: "Python: the same aggregation", file: "countries.step.py", language: "python", params: { countries } },
  ];
  const results: RunResult[] = [];
  for (const step of steps) results.push(await runStep(service, project.id, step));

  say(paint("bold", "Runs", process.stdout));
  say(summary(steps, results));
  const same =
    isDeepStrictEqual(results[2]?.output, results[3]?.output) &&
    isDeepStrictEqual(results[0]?.output, results[1]?.output);
  say(`\nThe outputs of the two languages are ${same ? "equal" : "DIFFERENT"}.`);

  const search = await findTraces(service.database, folder, Object.values(secrets));
  const onTerminal = Object.values(secrets).filter(
    (value) => printed.includes(value) || printed.includes(Buffer.from(value).toString("base64")),
  );
  const clean = search.found.length === 0 && onTerminal.length === 0;
  say(
    `Searched ${search.rows} rows of all tables, ${search.files} files (${Math.round(search.bytes / 1e6)} MB) of the data directory and ` +
      `this output for every value, its base64 and its hex: ${clean ? "found nowhere" : `FOUND in ${search.found.join(", ") || "this output"}`}.`,
  );
  const succeeded = results.every(({ status }) => status === "succeeded");
  return succeeded && same && clean ? exitCodes.success : exitCodes.system;
}

async function runStep(
  service: Service,
  projectId: string,
  { title, file, language, params }: DemoStep,
): Promise<RunResult> {
  say(paint("bold", `${title} (${file})`, process.stdout));
  const code = readFileSync(new URL(`./demo/${file}`, import.meta.url), "utf8");
  const runId = await service.submit({ projectId, step: { language, code }, params });
  const result = await service.result(projectId, runId);
  const printer = new EventPrinter(say, process.stdout);
  for (const event of await service.store.listEvents(projectId, runId)) printer.show(event);
  say(`output ${JSON.stringify(result.output ?? null)}\n`);
  return result;
}

function summary(steps: readonly DemoStep[], results: readonly RunResult[]): string {
  const rows = results.map(({ runId, status, usage, redactions }, i) => [
    runId,
    steps[i]?.language ?? "",
    status,
    `${usage.wallMs} ms`,
    redactions.map(({ secret, count, forms }) => `${secret} ${count}x (${Object.keys(forms).join(", ")})`).join("; ") ||
      "nothing",
  ]);
  return table([["run", "language", "status", "time", "masked"], ...rows]);
}

/** Answers every request with a JSON description of it. */
async function startEcho(): Promise<Server> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString("utf8");
      const { method, url, headers } = request;
      response.setHeader("content-type", "application/json");
      response.end(
        JSON.stringify({ method, url, headers: { ...headers }, body: text === "" ? null : JSON.parse(text) }),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

let printed = "";

/** Prints a line and remembers it, since the demo also searches its own output. */
function say(line: string): void {
  printed += `${line}\n`;
  process.stdout.write(`${line}\n`);
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}
