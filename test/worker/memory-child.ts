/**
 * A whole Stepvault in a process of its own, for memory-after-run.test.ts: runs the jobs that it is told of by id, and gives
 * a heap snapshot when asked. It gets no value from anybody but the vault. With `keep` it holds on to what one run was
 * given, so that the search is seen to find it.
 */
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { setFlagsFromString, writeHeapSnapshot } from "node:v8";
import { runInNewContext } from "node:vm";
import { parseConfig } from "../../protocol/config.ts";
import type { JobInput } from "../../protocol/job.ts";
import { createId } from "../../protocol/ids.ts";
import { createServiceLog } from "../../worker/log.ts";
import { Service } from "../../worker/service.ts";

interface Secret {
  readonly projectId: string;
  readonly name: string;
}

interface Command {
  readonly run?: JobInput;
  /** A secret that is decrypted and let go of. */
  readonly use?: Secret;
  /** One that is held on to. */
  readonly keep?: Secret;
  readonly collect?: true;
  readonly snapshot?: string;
  readonly close?: true;
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

const [dataDir = "", host = ""] = process.argv.slice(2);
const settings = { STEPVAULT_HOSTS_IDLE_MAX: "1", STEPVAULT_EGRESS_OPEN: host };
const config = parseConfig({ STEPVAULT_DATA_DIR: dataDir, ...settings });
const service = await Service.open(config, createServiceLog("warn"));
await service.startWorker();
const kept: unknown[] = [];

async function obey({ run, use, keep, ...more }: Command): Promise<unknown> {
  if (run !== undefined) return await service.result(run.projectId, await service.submit(run), 60_000);
  if (use !== undefined) await decrypt(use);
  if (keep !== undefined) kept.push(await decrypt(keep));
  if (more.collect === true || more.snapshot !== undefined) await collectAll();
  if (more.snapshot !== undefined) writeHeapSnapshot(more.snapshot);
  if (more.close === true) await service.close();
  return { kept: kept.length };
}

async function decrypt({ projectId, name }: Secret): Promise<unknown> {
  return await service.vault.secrets.use({ projectId, references: [{ name }], runId: createId() });
}

/** What ended just now is let go of in later turns, and where young objects were is written over by others. */
async function collectAll(): Promise<void> {
  for (let round = 0; round < 5; round++) {
    await delay(100);
    for (let filled = 0; filled < 2_000; filled++) Array.from({ length: 2_000 }, () => filled + 0.5);
    collect();
  }
}

process.stdout.write('"ready"\n');
for await (const line of createInterface(process.stdin)) {
  process.stdout.write(`${JSON.stringify(await obey(JSON.parse(line) as Command))}\n`);
}
