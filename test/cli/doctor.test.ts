/** `stepvault doctor` as an operator runs it: every check has its line, failures set the exit code, no value is shown. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { kmsServiceNames, kmsServices } from "../helpers/kms-services.ts";
import { startSingleRedis } from "../helpers/redis-servers.ts";

const main = path.join(import.meta.dirname, "../../cli/main.ts");
let folder: string;
beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), "stepvault-doctor-"))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Check {
  name: string;
  verdict: string;
  detail: string;
}

async function doctor(
  env: Record<string, string> = {},
): Promise<{ code: number; checks: Record<string, Check>; text: string }> {
  const child = spawn(process.execPath, [main, "doctor", "--json"], { env: { STEPVAULT_DATA_DIR: folder, ...env } });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  const [code] = (await once(child, "close")) as [number];
  const { checks } = JSON.parse(stdout) as { checks: Check[] };
  return { code, checks: Object.fromEntries(checks.map((check) => [check.name, check])), text: stdout + stderr };
}

test("a machine that can run steps passes, and nothing is made", async () => {
  const { code, checks } = await doctor();
  const verdicts = Object.fromEntries(Object.values(checks).map(({ name, verdict }) => [name, verdict]));
  expect(verdicts).toMatchObject({
    node: "ok",
    settings: "ok",
    database: "ok",
    queue: "ok",
    "master key": "ok",
    "snapshot cache": "ok",
    packages: "ok",
    javascript: "ok",
    "sandbox layer permission": "ok",
  });
  expect(Object.keys(checks).filter((name) => name.startsWith("sandbox layer"))).toHaveLength(4);
  expect(code).toBe(0);
  expect(readdirSync(folder)).toEqual([]);
});

test("every wrong part is named at once, without the passwords in the settings", async () => {
  const file = path.join(folder, "master.key");
  writeFileSync(file, "not-to-be-shown", { mode: 0o644 });
  const { code, checks, text } = await doctor({
    STEPVAULT_DATABASE_URL: "postgres://user:hunter2@127.0.0.1:1/none",
    STEPVAULT_REDIS_URL: "redis://:hunter2@127.0.0.1:1",
    STEPVAULT_PYTHON_PACKAGES: folder,
  });
  expect(code).toBe(4);
  expect(["database", "queue", "master key", "packages"].map((name) => checks[name]?.verdict)).toEqual(
    Array(4).fill("fail"),
  );
  expect(checks["master key"]?.detail).toContain("mode 0644");
  expect(text).not.toMatch(/hunter2|not-to-be-shown/);
  rmSync(file);
});

test.each([true, false])(
  "a Redis that is there passes, with a warning when it keeps no file: %s",
  async (appendOnly) => {
    const redis = await startSingleRedis({ appendOnly });
    const queue = (await doctor({ STEPVAULT_REDIS_URL: redis.url })).checks["queue"];
    await redis.stop();
    expect(queue).toMatchObject({
      verdict: appendOnly ? "ok" : "warn",
      detail: expect.not.stringContaining("127.0.0.1"),
    });
  },
);

test("wrong settings are listed by key and rule, not by value", async () => {
  const { code, checks, text } = await doctor({ STEPVAULT_MASTER_KEY: "pasted-key", STEPVAULT_ISOLATION: "pasted" });
  expect([code, checks["settings"]?.verdict]).toEqual([4, "fail"]);
  expect(checks["settings"]?.detail).toMatch(/STEPVAULT_MASTER_KEY.*STEPVAULT_ISOLATION/s);
  expect(text).not.toContain("pasted");
});

describe.each(kmsServiceNames)("with a root key in %s", (name) => {
  test("the service passes when its key wraps and unwraps, and fails with the reason when it does not", async () => {
    const credentials = mkdtempSync(path.join(tmpdir(), "stepvault-doctor-kms-"));
    const { server, settings } = await kmsServices[name](credentials);
    // What leads to credentials; the rest of this process's environment is not handed on.
    const found = Object.entries(process.env).filter(([key]) => /^(AWS|GOOGLE|GCE|METADATA|CLOUDSDK)_/.test(key));
    const env = { ...(Object.fromEntries(found) as Record<string, string>), ...settings };
    const { checks, text } = await doctor(env);
    expect(checks["kms"]).toMatchObject({
      verdict: "ok",
      detail: `${server.source} answers, and its key wraps and unwraps`,
    });
    expect(checks["master key"]).toMatchObject({ verdict: "ok", detail: "in STEPVAULT_KMS" });
    expect(checks["kms next"]).toBeUndefined();
    const { STEPVAULT_KMS: next = "", STEPVAULT_KMS_ENDPOINT: endpoint } = settings;
    await server.close();
    const away = await doctor({
      ...env,
      STEPVAULT_KMS_NEXT: next,
      ...(endpoint && { STEPVAULT_KMS_NEXT_ENDPOINT: endpoint }),
    });
    expect(away.code).toBe(4);
    for (const check of ["kms", "kms next"]) {
      expect(away.checks[check]).toMatchObject({ verdict: "fail", detail: expect.stringContaining("ECONNREFUSED") });
    }
    for (const secret of server.secrets) expect(text + away.text).not.toContain(secret);
    vi.unstubAllEnvs();
    rmSync(credentials, { recursive: true });
  });
});
