/**
 * Runs client libraries in steps: makes packages of them as docs/packages.md says, locks the folder as an operator does,
 * and tells of every case whether it works or why not. What the cases do is in files of their own, by language.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { type BuildFailure, build } from "esbuild";
import { findPackageFiles, writeLock } from "../../../runtime/packages.ts";
import { secretPolicySchema } from "../../../protocol/secret-policy.ts";
import { SecretValue } from "../../../protocol/secret.ts";
import { startNameServer } from "../../helpers/name-server.ts";
import { openTestSandbox, runStep } from "../../helpers/sandbox.ts";
import { testCaFile } from "../../helpers/upstream.ts";
import { startApi } from "./api.ts";
import { debianWheels, writeCertifi } from "../python/wheel.ts";
import type { ClientCase } from "./client-case.ts";

/** What a reference gives the step: the secret's value, or the placeholder of a sealed one. */
export type SecretMode = "readable" | "sealed";

export interface ClientRunner {
  /** "works", or "no: " and the reason. Another secret than the server's is for seeing that it makes a difference. */
  run(clientCase: ClientCase, mode: SecretMode, secret?: string): Promise<string>;
  close(): Promise<void>;
}

const serverSecret = "sk_test_51Hexample0000secret";

export async function openClientRunner(
  language: "javascript" | "python",
  cases: readonly ClientCase[],
): Promise<ClientRunner> {
  const folder = mkdtempSync(path.join(tmpdir(), "stepvault-clients-"));
  const wanted = [...new Set(cases.flatMap(({ packages }) => packages))];
  const unbundled = new Map<string, string>();
  if (language === "python") {
    debianWheels(folder, wanted, { release: "bookworm" });
    writeCertifi(folder);
  } else
    for (const name of wanted) {
      const reason = await bundle(name, folder);
      if (reason !== undefined) unbundled.set(name, reason);
    }
  writeLock(folder, findPackageFiles(folder));
  const api = await startApi(serverSecret);
  const { host } = new URL(api.url);
  const names = await startNameServer((name) => (name === "approved.test" ? ["127.0.0.1"] : undefined));
  const egress = { open: [host], own: [], nameServers: [names.address], caFile: testCaFile };
  const settings =
    language === "python"
      ? { pythonPackages: folder, cacheDir: path.join(folder, "cache") }
      : { javascriptPackages: folder };
  const sandbox = openTestSandbox([], 1, { ...settings, egress });
  const policies = {
    readable: secretPolicySchema.parse({}),
    sealed: secretPolicySchema.parse({ sealed: true, hosts: [host], places: { sign: ["aws-sigv4"] } }),
  };
  return {
    async run({ packages, code, check }, mode, secret = serverSecret) {
      const missing = packages.map((name) => unbundled.get(name)).find((reason) => reason !== undefined);
      if (missing !== undefined) return `no: ${missing}`;
      const params = { url: api.url };
      const secrets = { api_key: new SecretValue("api_key", secret, policies[mode]) };
      const { outcome, output } = await runStep(sandbox, language, code, { params, secrets });
      if ("error" in outcome) return `no: ${outcome.error.code}: ${outcome.error.message}`;
      return output !== undefined && check(output) ? "works" : `no: it gave ${outcome.output}`;
    },
    async close() {
      await sandbox.close();
      names.close();
      api.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Bundles a package into a module of its name. Gives the reason when it cannot be. */
async function bundle(name: string, folder: string): Promise<string | undefined> {
  const outfile = path.join(folder, `${name}.js`);
  const asDocumented = { bundle: true, format: "esm", platform: "browser" } as const;
  try {
    await build({ entryPoints: [name], ...asDocumented, outfile, logLevel: "silent", logLimit: 0 });
    return undefined;
  } catch (error) {
    const unresolved = (error as BuildFailure).errors.map(
      ({ text }) => /^Could not resolve "(?:node:)?(.*)"$/.exec(text)?.[1] ?? "",
    );
    if (!unresolved.every((module) => isBuiltin(module))) throw error;
    return `it needs Node's own ${[...new Set(unresolved)].sort().join(", ")}`;
  }
}
