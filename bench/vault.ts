/**
 * Speed of the vault: `npm run bench:vault` prints tables and writes results/vault.md. Resolving some secrets of a project
 * with many reads and proves the project's whole manifest; a run's use also writes its audit event and the ledger; setting one
 * signs the manifest anew. Medians of warm calls on an embedded PostgreSQL, alone and beside the 10,000 projects of
 * test/vault/secrets/scale-world.ts. Then many uses at once, which wait for their organization's chain.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import path from "node:path";
import { type Database, openDatabase } from "../database/connection.ts";
import { type Config, parseConfig } from "../protocol/config.ts";
import { createId } from "../protocol/ids.ts";
import { createOrganization, createProject, setSecret } from "../test/helpers/vault.ts";
import { openScale } from "../test/vault/secrets/scale-world.ts";
import { createSources } from "../vault/sources/kv-source.ts";
import { openMasterKey } from "../vault/encryption/master-key.ts";
import { resolveSecrets, type ResolveTools } from "../vault/secrets/resolve.ts";
import { openVault, type Vault } from "../vault/vault.ts";

const secretCounts = [20, 200, 1_000];
const referenced = 20;
const rounds = 300;
const writes = 50;
const target = { secrets: 1_000, resolveMsMax: 5 };
const floods = [
  { organizations: 1, atOnce: 8 },
  { organizations: 1, atOnce: 64 },
  { organizations: 8, atOnce: 8 },
];
const uses = 800;

interface Bench {
  readonly vault: Vault;
  readonly database: Database;
  readonly tools: ResolveTools;
}

interface Project {
  readonly id: string;
  readonly names: readonly string[];
}

interface Speed {
  readonly secrets: number;
  readonly others: number;
  readonly resolve: readonly number[];
  readonly use: readonly number[];
  readonly set: readonly number[];
  readonly manifestBytes: number;
}

const dataDir = mkdtempSync(path.join(tmpdir(), "stepvault-bench-"));
const config = parseConfig({ STEPVAULT_DATA_DIR: dataDir });
const speeds: Speed[] = [];
const flooded: string[] = [];
const database = await openDatabase(config);
try {
  const bench = await openBench(database, config);
  for (const secrets of secretCounts) speeds.push(await measure(bench, secrets, 0));
  for (const flood of floods) flooded.push(await measureFlood(bench, flood));
} finally {
  await database.close();
  rmSync(dataDir, { recursive: true, force: true });
}
const scale = await openScale();
try {
  const bench = await openBench(scale.temporary.database, scale.temporary.config);
  speeds.push(await measure(bench, target.secrets, 10_000));
} finally {
  await scale.close();
}

async function openBench(opened: Database, settings: Config): Promise<Bench> {
  const vault = await openVault(opened, settings);
  const tools = {
    database: opened,
    master: await openMasterKey(opened, settings),
    sources: await createSources(settings),
  };
  return { vault, database: opened, tools };
}

async function fill(vault: Vault, secrets: number): Promise<Project> {
  const organization = await createOrganization(vault, "Bench");
  const { id } = await createProject(vault, organization.id, `${secrets} secrets`);
  const names = Array.from({ length: secrets }, (_, index) => `SERVICE_API_KEY_${index}`);
  for (const name of names) await setSecret(vault, id, name, `sk_live_${name}_0123456789abcdefghijklmnop`, {});
  return { id, names };
}

function referencesOf({ names }: Project): { name: string }[] {
  const step = Math.floor(names.length / referenced);
  return Array.from({ length: referenced }, (_, index) => ({ name: names[index * step]! }));
}

async function use(vault: Vault, project: Project): Promise<void> {
  await vault.secrets.use({ projectId: project.id, references: referencesOf(project), runId: createId() });
}

async function measure({ vault, tools, database: opened }: Bench, secrets: number, others: number): Promise<Speed> {
  const project = await fill(vault, secrets);
  const { id: projectId } = project;
  const references = referencesOf(project);
  const resolve = await timesOf(rounds, async () => await resolveSecrets(tools, { projectId, references }));
  const used = await timesOf(rounds, async () => await use(vault, project));
  const name = project.names[0]!;
  const set = await timesOf(writes, async () => await setSecret(vault, projectId, name, "sk_live_0123456789", {}));
  const { rows } = await opened.query<{ bytes: number }>(
    "select length(entries) as bytes from secret_manifests where project_id = $1",
    [projectId],
  );
  return { secrets, others, resolve, use: used, set, manifestBytes: rows[0]!.bytes };
}

/** So many uses, always so many at once, each taking the next organization's turn. */
async function measureFlood(
  { vault }: Bench,
  { organizations, atOnce }: { organizations: number; atOnce: number },
): Promise<string> {
  const projects: Project[] = [];
  for (let index = 0; index < organizations; index += 1) projects.push(await fill(vault, referenced));
  let next = 0;
  const times: number[] = [];
  const start = performance.now();
  const one = async (): Promise<void> => {
    while (next < uses) {
      const project = projects[next++ % organizations]!;
      const asked = performance.now();
      await use(vault, project);
      times.push(performance.now() - asked);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, one));
  const perSecond = (uses / (performance.now() - start)) * 1_000;
  times.sort((a, b) => a - b);
  const figures = [at(times, 0.5), at(times, 0.95), times.at(-1)!].map((ms) => ms.toFixed(0));
  return `| ${atOnce} | ${organizations} | ${perSecond.toFixed(0)} | ${figures.join(" | ")} |`;
}

/** Sorted; the first tenth of the calls warms up and is left out. */
async function timesOf(count: number, work: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let index = 0; index < count * 1.1; index += 1) {
    const start = performance.now();
    await work();
    times.push(performance.now() - start);
  }
  return times.slice(-count).sort((a, b) => a - b);
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.floor(sorted.length * share)]!;
}

function rowOf({ secrets, others, resolve, use: used, set, manifestBytes }: Speed): string {
  const counts = [secrets, others].map((count) => count.toLocaleString("en"));
  const times = [at(resolve, 0.5), at(resolve, 0.95), at(used, 0.5), at(used, 0.95), at(set, 0.5)];
  return `| ${[...counts, ...times.map((ms) => ms.toFixed(2)), (manifestBytes / 1_000).toFixed(0)].join(" | ")} |`;
}

const resolved = speeds
  .filter(({ secrets }) => secrets === target.secrets)
  .map(({ others, resolve }) => ({ others, ms: at(resolve, 0.5) }));
const report = `# Vault

\`npm run bench:vault\`: ${rounds} times resolving and using ${referenced} secrets and ${writes} times setting one, one at a time, on an embedded PostgreSQL; Node ${process.version}, ${cpus().length} processors, load ${loadavg()[0]!.toFixed(1)} at the end. Milliseconds.

A use is five statements in seven round trips: the values; then in a transaction the ledger, the organization's key, the end of its audit log, and the event.

| secrets in the project | other projects | resolving ${referenced}, median | 95th of 100 | using ${referenced}, median | 95th of 100 | setting one, median | manifest, KB |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
${speeds.map(rowOf).join("\n")}

${uses} uses of ${referenced} secrets by one process with ${config.databaseConnectionsMax} connections. The events of an organization are one chain, and a use waits for those of its organization that came before it: at most as many as are under way, times a commit.

| uses at once | organizations | uses per second | median | 95th of 100 | longest |
| ---: | ---: | ---: | ---: | ---: | ---: |
${flooded.join("\n")}

| target | wanted | measured |
| --- | ---: | ---: |
${resolved
  .map(
    ({ others, ms }) =>
      `| resolving ${referenced} of ${target.secrets.toLocaleString("en")} secrets beside ${others.toLocaleString("en")} other projects, at the median | at most ${target.resolveMsMax} ms | ${ms.toFixed(2)} ms |`,
  )
  .join("\n")}
`;
process.stdout.write(report);
writeFileSync(path.join(import.meta.dirname, "results/vault.md"), report);
if (resolved.some(({ ms }) => ms > target.resolveMsMax)) process.exitCode = 1;
