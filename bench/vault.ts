/**
 * Speed of the vault: `npm run bench:vault` prints a table and writes results/vault.md. Resolving some secrets of a project
 * with many reads and proves the project's whole manifest; writing one signs it anew. Medians of warm calls, one at a time,
 * on an embedded PostgreSQL of its own.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import path from "node:path";
import { openDatabase } from "../database/connection.ts";
import { parseConfig } from "../protocol/config.ts";
import { openVault } from "../vault/vault.ts";
import { createOrganization, createProject, resolveSecrets, setSecret } from "../test/helpers/vault.ts";

const secretCounts = [20, 200, 1_000];
const referenced = 20;
const rounds = 300;
const writes = 50;
const target = { secrets: 1_000, resolveMsMax: 5 };

const dataDir = mkdtempSync(path.join(tmpdir(), "stepvault-bench-"));
const config = parseConfig({ STEPVAULT_DATA_DIR: dataDir });
const database = await openDatabase(config);
const results: { secrets: number; resolveMs: number; resolveMsSlow: number; setMs: number; manifestBytes: number }[] =
  [];
try {
  const vault = await openVault(database, config);
  const organization = await createOrganization(vault, "Bench");
  for (const secrets of secretCounts) results.push(await measure(vault, organization.id, secrets));
} finally {
  await database.close();
  rmSync(dataDir, { recursive: true, force: true });
}

async function measure(
  vault: Awaited<ReturnType<typeof openVault>>,
  organizationId: string,
  secrets: number,
): Promise<(typeof results)[number]> {
  const { id } = await createProject(vault, organizationId, `${secrets} secrets`);
  const names = Array.from({ length: secrets }, (_, index) => `SERVICE_API_KEY_${index}`);
  for (const name of names) await setSecret(vault, id, name, `sk_live_${name}_0123456789abcdefghijklmnop`, {});
  const step = Math.floor(secrets / referenced);
  const references = Array.from({ length: referenced }, (_, index) => ({ name: names[index * step]! }));
  const resolved = await timesOf(rounds, async () => await resolveSecrets(vault, id, references));
  const set = await timesOf(writes, async () => await setSecret(vault, id, names[0]!, "sk_live_0123456789", {}));
  const { rows } = await database.query<{ bytes: number }>(
    "select length(entries) as bytes from secret_manifests where project_id = $1",
    [id],
  );
  return {
    secrets,
    resolveMs: at(resolved, 0.5),
    resolveMsSlow: at(resolved, 0.95),
    setMs: at(set, 0.5),
    manifestBytes: rows[0]!.bytes,
  };
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

const measured = results.find(({ secrets }) => secrets === target.secrets)!.resolveMs;
const report = `# Vault

\`npm run bench:vault\`: ${rounds} times resolving ${referenced} secrets and ${writes} times setting one, one at a time, on an embedded PostgreSQL; Node ${process.version}, ${cpus().length} processors.

| secrets in the project | resolving ${referenced}, median, ms | 95th of 100, ms | setting one, median, ms | manifest, KB |
| ---: | ---: | ---: | ---: | ---: |
${results
  .map(
    ({ secrets, resolveMs, resolveMsSlow, setMs, manifestBytes }) =>
      `| ${secrets.toLocaleString("en")} | ${resolveMs.toFixed(2)} | ${resolveMsSlow.toFixed(2)} | ${setMs.toFixed(2)} | ${(manifestBytes / 1_000).toFixed(0)} |`,
  )
  .join("\n")}

| target | wanted | measured |
| --- | ---: | ---: |
| resolving ${referenced} of ${target.secrets.toLocaleString("en")} secrets, at the median | at most ${target.resolveMsMax} ms | ${measured.toFixed(2)} ms |
`;
process.stdout.write(report);
writeFileSync(path.join(import.meta.dirname, "results/vault.md"), report);
if (measured > target.resolveMsMax) process.exitCode = 1;
