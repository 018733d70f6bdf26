/**
 * `stepvault run FILE`: one step, right here, with no service and no database. The same sandbox, binding and redaction
 * as a worker's; the secrets come from a file. The output goes to stdout as JSON, the log to stderr.
 */
import path from "node:path";
import type { Config } from "../protocol/config.ts";
import { StepvaultError } from "../protocol/error.ts";
import { createId } from "../protocol/ids.ts";
import { parseJob } from "../protocol/job.ts";
import { SecretValue } from "../protocol/secret.ts";
import { detectLayers, requireLayers } from "../runtime/layers.ts";
import { Sandbox } from "../runtime/sandbox.ts";
import { closestName } from "../vault/secrets/closest-name.ts";
import { executeStep, type Reference } from "../worker/execute.ts";
import { RunRedaction } from "../worker/run-redaction.ts";
import { chooseLimits, type StepPlan } from "../worker/step-plan.ts";
import { readSettings } from "./environment.ts";
import type { Given } from "./given.ts";
import { interruptible, untilAborted } from "./interruption.ts";
import { readSecretsFile } from "./secrets-file.ts";
import { openFrom, paramsFrom, stepFrom } from "./step-file.ts";
import { EventPrinter } from "./terminal.ts";
import { showResult } from "./run-result.ts";

export async function runCommand(given: Given): Promise<number> {
  const config = readSettings();
  const file = given.text("secrets");
  const secrets = file === undefined ? [] : readSecretsFile(file);
  const [params, opened] = [paramsFrom(given), openFrom(given)];
  const plan = planFrom(given, config);
  if (config.sandboxLayers === "require") requireLayers(await detectLayers());
  const printer = new EventPrinter();
  const result = await interruptible(async (signal) => {
    const sandbox = new Sandbox({
      cacheDir: path.join(config.dataDir, "cache"),
      ...config.hosts,
      hostsIdleMax: 0,
      isolation: "run",
      memoryBytesMax: config.limitMaxima.memoryBytesMax,
      egress: { ...config.egress, open: [...config.egress.open, ...opened] },
      javascriptPackages: config.javascriptPackages,
      pythonPackages: config.pythonPackages,
    });
    const running = executeStep(sandbox, {
      runId: createId(),
      projectId: createId(),
      plan,
      params,
      steps: {},
      redaction: new RunRedaction(),
      queueMs: 0,
      resolveSecrets: async (references) => pick(secrets, references),
      emit: async (event) => printer.show(event),
      onSystemFault: () => {},
    });
    try {
      return await untilAborted(running, signal);
    } finally {
      await sandbox.close();
    }
  });
  printer.end();
  return showResult(result, { printer, json: given.json });
}

/** The file and the options as a step of a job, with the deployment's limits. */
function planFrom(given: Given, config: Config): StepPlan {
  const { step } = parseJob({ projectId: createId(), step: stepFrom(given) });
  if (!("code" in step)) throw new StepvaultError("ERR_JOB_INVALID", "Cannot run the file: it is no step");
  const { language, code, limits = {}, network = "open" } = step;
  return { language, code, inputs: {}, limits: chooseLimits(limits, config.limitMaxima), network };
}

function pick(secrets: readonly SecretValue[], references: readonly Reference[]): SecretValue[] {
  const byName = new Map(secrets.map((secret) => [secret.name, secret]));
  const first = new Map<string, Reference>();
  for (const reference of references) if (!first.has(reference.name)) first.set(reference.name, reference);
  return [...first.values()].map(({ name, line, column }) => {
    const secret = byName.get(name) ?? byName.get(name.replace(/^chains_/, ""));
    if (secret !== undefined) return new SecretValue(name, secret.expose(), secret.policy);
    const closest = closestName(name, [...byName.keys()]);
    const position = line === undefined ? undefined : { line, column: column ?? 0 };
    throw new StepvaultError(
      "ERR_SECRET_UNKNOWN",
      `Cannot use secret "${name}": the secrets file has none of that name${closest === undefined ? "" : `; did you mean "${closest}"?`}`,
      { position },
    );
  });
}
