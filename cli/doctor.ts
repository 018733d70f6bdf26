/**
 * `stepvault doctor`: whether this machine and these settings can run steps, one check a line. It only looks: it starts
 * no database, makes no key and no snapshot. It prints names, versions, modes and reasons, never a value.
 */
import { accessSync, constants, existsSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { probeDatabase } from "../database/probe.ts";
import type { Config } from "../protocol/config.ts";
import { StepvaultError, toStepvaultError } from "../protocol/error.ts";
import { createId } from "../protocol/ids.ts";
import { limitNames, type Limits, limitTable } from "../protocol/limits.ts";
import { checkRedis } from "../runs/redis-check.ts";
import { readJavaScriptPackages } from "../runtime/javascript-packages.ts";
import { detectLayers } from "../runtime/layers.ts";
import { readWheels } from "../runtime/python-packages.ts";
import { Sandbox } from "../runtime/sandbox.ts";
import { openKms } from "../vault/encryption/key-sources.ts";
import type { KmsRootKey } from "../vault/encryption/kms.ts";
import { readSettings } from "./environment.ts";
import type { Given } from "./given.ts";
import { type Cell, data, dataJson, exitCodes, table } from "./terminal.ts";

const nodeMajorMin = 26;

type Verdict = "ok" | "warn" | "fail";

interface Check {
  readonly name: string;
  readonly verdict: Verdict;
  readonly detail: string;
}

export async function doctorCommand({ json }: Given): Promise<number> {
  const checks = [nodeCheck(), ...(await settingsChecks())];
  if (json) dataJson({ checks }, 2);
  else
    data(`${table([["check", "", ""], ...checks.map((check) => [check.name, mark(check.verdict), check.detail])])}\n`);
  return checks.some(({ verdict }) => verdict === "fail") ? exitCodes.system : exitCodes.success;
}

function mark(verdict: Verdict): Cell {
  const style = { ok: "green", warn: "yellow", fail: "red" } as const;
  return { text: verdict, style: style[verdict] };
}

async function settingsChecks(): Promise<Check[]> {
  let config: Config;
  try {
    config = readSettings();
  } catch (error) {
    return [{ name: "settings", verdict: "fail", detail: toStepvaultError(error).message }];
  }
  const rest = await Promise.all([
    check("database", async () => await describeDatabase(config)),
    check("queue", async () => await describeQueue(config)),
    check("master key", async () => describeMasterKey(config)),
    ...kmsChecks(config),
    check("snapshot cache", async () => describeCache(config)),
    check("packages", async () => describePackages(config)),
    check("javascript", async () => await runStep(config)),
  ]);
  return [
    { name: "settings", verdict: "ok", detail: "all known and within bounds" },
    ...rest,
    ...(await layerChecks(config)),
  ];
}

/** What a check says when all is well; what it throws is the reason why not. */
async function check(name: string, look: () => Promise<string>): Promise<Check> {
  try {
    return { name, verdict: "ok", detail: await look() };
  } catch (error) {
    if (error instanceof Warning) return { name, verdict: "warn", detail: error.message };
    return { name, verdict: "fail", detail: toStepvaultError(error).message };
  }
}

/** Thrown by a check for what works and should be otherwise. */
class Warning extends Error {}

function nodeCheck(): Check {
  const major = Number(process.versions.node.split(".")[0]);
  const detail = major < nodeMajorMin ? `${process.version}, at least ${nodeMajorMin} is needed` : process.version;
  return { name: "node", verdict: major < nodeMajorMin ? "fail" : "ok", detail };
}

async function describeDatabase({ databaseUrl, dataDir }: Config): Promise<string> {
  if (databaseUrl === undefined) return `embedded PostgreSQL in ${dataDir}, ${describeFolder(dataDir)}`;
  return `PostgreSQL ${await probeDatabase(databaseUrl)} answers`;
}

async function describeQueue({ redisUrl }: Config): Promise<string> {
  if (redisUrl === undefined) return "in PostgreSQL";
  const { address, keepsJobs } = await checkRedis(redisUrl);
  const kind = { single: "Redis", sentinel: "Redis behind Sentinels", cluster: "Redis Cluster" }[address.kind];
  if (keepsJobs) return `${kind} answers and evicts nothing`;
  throw new Warning(
    `${kind} answers and evicts nothing; without its append-only file (appendonly yes) a restart of it loses the places of queued runs`,
  );
}

/** A line for each service that is configured. */
function kmsChecks(config: Config): Promise<Check>[] {
  const checkKms = async (name: string, pick: (keys: ReturnType<typeof openKms>) => KmsRootKey | undefined) =>
    await check(name, async () => {
      const key = pick(openKms(config));
      await key?.health();
      return `${key?.source} answers, and its key wraps and unwraps`;
    });
  return [
    ...(config.kms === undefined ? [] : [checkKms("kms", ({ remote }) => remote)]),
    ...(config.kmsNext === undefined ? [] : [checkKms("kms next", ({ remoteNext }) => remoteNext)]),
  ];
}

function describeMasterKey({ masterKey, dataDir, kms }: Config): string {
  if (masterKey !== undefined) return "from STEPVAULT_MASTER_KEY";
  const file = path.join(dataDir, "master.key");
  const mode = statSync(file, { throwIfNoEntry: false })?.mode;
  if (mode === undefined) return kms === undefined ? `${file} will be made at the first start` : "in STEPVAULT_KMS";
  const octal = `0${(mode & 0o777).toString(8)}`;
  if ((mode & 0o077) !== 0)
    throw new StepvaultError(
      "ERR_MASTER_KEY_INVALID",
      `Cannot use the master key: ${file} has mode ${octal}, and only its owner may read it: chmod 600`,
    );
  return `${file}, mode ${octal}`;
}

function describeCache({ dataDir }: Config): string {
  const folder = path.join(dataDir, "cache");
  const state = describeFolder(folder);
  if (!existsSync(folder)) return `${folder}, ${state}`;
  const snapshots = readdirSync(folder).filter((name) => name.endsWith(".snapshot")).length;
  return `${folder}, ${state}, ${snapshots} Python snapshot(s)`;
}

function describePackages({ javascriptPackages, pythonPackages }: Config): string {
  const modules = javascriptPackages === undefined ? [] : readJavaScriptPackages(javascriptPackages);
  const wheels = pythonPackages === undefined ? [] : readWheels(pythonPackages);
  return `${modules.length} for JavaScript, ${wheels.length} for Python, all as locked`;
}

/** Whether a folder can be written, or made in the nearest one that exists. */
function describeFolder(folder: string): string {
  let existing = path.resolve(folder);
  while (!existsSync(existing)) existing = path.dirname(existing);
  try {
    accessSync(existing, constants.W_OK);
  } catch {
    throw new StepvaultError("ERR_FILE_UNREADABLE", `Cannot use the folder ${folder}: ${existing} cannot be written`);
  }
  return existing === path.resolve(folder) ? "can be written" : "will be made";
}

/** A real step in a real host: shows that isolated-vm loads inside all the layers. */
async function runStep(config: Config): Promise<string> {
  const sandbox = new Sandbox({ ...config.hosts, hostsIdleMax: 0, cacheDir: "" });
  const startedAt = performance.now();
  const limits = Object.fromEntries(limitNames.map((name) => [name, limitTable[name].default])) as Limits;
  const step = { language: "javascript" as const, code: "return 1", params: {}, steps: {} };
  const outcome = await sandbox.run(
    { ...step, projectId: createId(), limits, network: "none" },
    { resolve: async () => ({ values: new Map(), inputs: {} }), onEvent: () => {} },
  );
  await sandbox.close();
  if ("error" in outcome) throw outcome.error;
  return `a step ran in a new sandbox host in ${Math.round(performance.now() - startedAt)} ms`;
}

async function layerChecks({ sandboxLayers }: Config): Promise<Check[]> {
  const { states } = await detectLayers();
  const off = sandboxLayers === "require" ? "fail" : "warn";
  return states.map(({ name, on, detail }) => ({
    name: `sandbox layer ${name}`,
    verdict: on ? "ok" : off,
    detail: on ? detail : `off: ${detail}`,
  }));
}
