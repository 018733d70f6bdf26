/**
 * Speed of the egress broker: `npm run bench:egress` prints a table and writes results/egress.md. A step's request is
 * compared with undici's own to the same server, and a large answer with the redactor with the same one without it, in
 * turns and within one run, so that only differences and ratios count and not the machine.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import path from "node:path";
import { Pool } from "undici";
import { parseConfig } from "../protocol/config.ts";
import { limitNames, type Limits, limitTable } from "../protocol/limits.ts";
import { secretPolicySchema } from "../protocol/secret-policy.ts";
import { SecretValue } from "../protocol/secret.ts";
import { createRedactor } from "../redaction/redactor.ts";
import { Sandbox } from "../runtime/sandbox.ts";
import { prepareEgress } from "../worker/run-egress.ts";

const rounds = 5;
const requestsPerRound = 400;
const secretCount = 100;
const targets = { overheadMsMax: 1.5, ratioMin: 0.5 };

const server = spawn(process.execPath, [path.join(import.meta.dirname, "egress-server.ts")], {
  stdio: ["ignore", "pipe", "inherit"],
});
const [line] = (await once(server.stdout, "data")) as [Buffer];
const host = `127.0.0.1:${Number(line.toString())}`;
const folder = mkdtempSync(path.join(tmpdir(), "stepvault-bench-"));
const sandbox = new Sandbox({
  ...parseConfig({}).hosts,
  hostsIdleMax: 1,
  cacheDir: path.join(folder, "cache"),
  egress: { open: [host], own: [], nameServers: [] },
});
const limits: Limits = {
  ...(Object.fromEntries(limitNames.map((name) => [name, limitTable[name].default])) as Limits),
  requestsMax: 10_000,
  responseBytesMax: 1024 * 1024 * 1024,
  downloadBytesMax: 1024 * 1024 * 1024,
};

/** Keys as services give them out. */
function makeSecrets(sealed: boolean): SecretValue[] {
  const policy = secretPolicySchema.parse({ sealed, hosts: [host], places: { headers: ["*"] } });
  return Array.from({ length: secretCount }, (_, i) => {
    const random = ((i + 1) * 2_654_435_761 * 40_503).toString(36).slice(0, 12);
    return new SecretValue(`key_${i}`, `sk_live_${random}${random.toUpperCase()}${i}`, policy);
  });
}

type Protection = "none" | "guard" | "sealed";

async function run<T>(code: string, protection: Protection): Promise<T> {
  const secrets = protection === "none" ? [] : makeSecrets(protection === "sealed");
  const redactor = createRedactor(secrets.map((secret) => ({ name: secret.name, value: secret.expose() })));
  const outcome = await sandbox.run(
    {
      projectId: "bench",
      language: "javascript",
      code,
      params: { url: `http://${host}` },
      steps: {},
      limits,
      network: "open",
    },
    {
      async resolve() {
        const { egress, values } = prepareEgress(secrets, redactor);
        return { values, inputs: {}, egress: secrets.length === 0 ? undefined : egress };
      },
      onEvent: () => {},
    },
  );
  if ("error" in outcome) throw outcome.error;
  return JSON.parse(outcome.output) as T;
}

async function timeBrokered(protection: Protection): Promise<number[]> {
  const code = `const times = [];
    for (let i = 0; i < ${requestsPerRound}; i++) {
      const at = performance.now();
      const r = await fetch(params.url, { method: "POST", headers: { "content-type": "application/json", authorization: "Bearer nothing-of-these" }, body: '{"question":"how are you?"}' });
      await r.json();
      times.push(performance.now() - at);
    }
    return times`;
  return await run<number[]>(code, protection);
}

async function timeDirect(): Promise<number[]> {
  const pool = new Pool(`http://${host}`);
  const times: number[] = [];
  for (let i = 0; i < requestsPerRound; i++) {
    const at = performance.now();
    const headers = { "content-type": "application/json", authorization: "Bearer nothing-of-these" };
    const { body } = await pool.request({ path: "/", method: "POST", headers, body: '{"question":"how are you?"}' });
    await body.json();
    times.push(performance.now() - at);
  }
  await pool.close();
  return times;
}

/** MB/s of a large answer that a step reads part by part. */
async function speedOf(protection: Protection): Promise<number> {
  const code = `const at = performance.now(); let n = 0;
    for await (const part of (await fetch(params.url + "/log")).body) n += part.length;
    return [n, performance.now() - at]`;
  const [bytes, ms] = await run<[number, number]>(code, protection);
  return bytes / 1_000 / ms;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

const times: Record<"direct" | Protection, number[]> = { direct: [], none: [], guard: [], sealed: [] };
const speeds: Record<Protection, number[]> = { none: [], guard: [], sealed: [] };
const protections = ["none", "guard", "sealed"] as const;
await sandbox.warmUp();
for (let round = 0; round <= rounds; round++) {
  const direct = await timeDirect();
  // The first round warms up and is not counted.
  if (round > 0) times.direct.push(...direct);
  for (const protection of protections) {
    const brokered = await timeBrokered(protection);
    const speed = await speedOf(protection);
    if (round === 0) continue;
    times[protection].push(...brokered);
    speeds[protection].push(speed);
  }
}
await sandbox.close();
server.kill();
rmSync(folder, { recursive: true, force: true });

const overheadMs = median(times.guard) - median(times.direct);
const ratio = median(speeds.sealed) / median(speeds.none);
const names = {
  none: "no secrets",
  guard: `${secretCount} readable secrets in the guard`,
  sealed: `${secretCount} sealed secrets`,
};
const report = `# Egress

\`npm run bench:egress\`: ${rounds} rounds of ${requestsPerRound} requests and one answer of 100 MB each, in turns, to a server in another process; Node ${process.version}, ${cpus().length} processors.

| a small request | median, ms |
| --- | ---: |
| undici, in this process | ${median(times.direct).toFixed(2)} |
${protections.map((name) => `| a step's \`fetch\`, ${names[name]} | ${median(times[name]).toFixed(2)} |`).join("\n")}

| an answer of 100 MB, read by a step | MB/s |
| --- | ---: |
${protections.map((name) => `| ${names[name]} | ${median(speeds[name]).toFixed(0)} |`).join("\n")}

| target | wanted | measured |
| --- | ---: | ---: |
| a step's request beyond undici's own, ${secretCount} secrets in the guard, at the median | at most ${targets.overheadMsMax} ms | ${overheadMs.toFixed(2)} ms |
| an answer through the redactor, of the speed without it | at least ${targets.ratioMin} | ${ratio.toFixed(2)} |
`;
writeFileSync(path.join(import.meta.dirname, "results/egress.md"), report);
console.log(report);
