/**
 * `stepvault run FILE`: one step, right here, with no service and no database. The same sandbox, binding and redaction
 * as a worker's; the secrets come from a file. The output goes to stdout as JSON, the log to stderr.
 */
import path from "node:path";
import { parseArgs, type ParseArgsConfig } from "node:util";
import { type Config, parseConfig } from "../protocol/config.ts";
import { StepvaultError } from "../protocol/error.ts";
import { createId } from "../protocol/ids.ts";
import { type Json, type Language, parseJob, type RunResult } from "../protocol/job.ts";
import { SecretValue } from "../protocol/secret.ts";
import { detectLayers, requireLayers } from "../runtime/layers.ts";
import { Sandbox } from "../runtime/sandbox.ts";
import { closestName } from "../vault/secrets/closest-name.ts";
import { executeStep, type Reference } from "../worker/execute.ts";
import { RunRedaction } from "../worker/run-redaction.ts";
import { chooseLimits, type StepPlan } from "../worker/step-plan.ts";
import { readJson, readText } from "./read-file.ts";
import { readSecretsFile } from "./secrets-file.ts";
import { data, EventPrinter, exitCodeOf, exitCodes, note } from "./terminal.ts";

export const runUsage = `stepvault run FILE [options]

Runs one JavaScript (.js, .mjs), TypeScript (.ts, .mts) or Python (.py) step, without a service.

  --param NAME=VALUE    a field of params; VALUE is JSON, or else a string (repeatable)
  --params-file FILE    params as a JSON file
  --secrets FILE        secrets as a JSON object or .env lines
  --network POLICY      none, open (default), or a rule such as "GET api.example.com" (repeatable)
  --open HOST:PORT      a private address that the step may reach (repeatable)
  --limit NAME=NUMBER   a limit, such as wallTimeMsMax=5000 (repeatable)
  --json                print the whole result as JSON instead of the output alone

Example: stepvault run step.py --param city=Bern --secrets .env`;

const options = {
  param: { type: "string", multiple: true, default: [] },
  "params-file": { type: "string" },
  secrets: { type: "string" },
  network: { type: "string", multiple: true, default: [] },
  open: { type: "string", multiple: true, default: [] },
  limit: { type: "string", multiple: true, default: [] },
  json: { type: "boolean", default: false },
} satisfies ParseArgsConfig["options"];

type Options = ReturnType<typeof parseArgs<{ options: typeof options }>>["values"];

export async function runCommand(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options });
  const [file] = positionals;
  if (file === undefined || positionals.length > 1) {
    note(runUsage);
    return exitCodes.usage;
  }
  const config = parseConfig(process.env);
  const secrets = values.secrets === undefined ? [] : readSecretsFile(values.secrets);
  const params = paramsFrom(values);
  const plan = planFrom(file, values, config);
  if (config.sandboxLayers === "require") requireLayers(await detectLayers());
  const sandbox = new Sandbox({
    cacheDir: path.join(config.dataDir, "cache"),
    ...config.hosts,
    hostsIdleMax: 0,
    isolation: "run",
    memoryBytesMax: config.limitMaxima.memoryBytesMax,
    egress: { ...config.egress, open: [...config.egress.open, ...values.open] },
    javascriptPackages: config.javascriptPackages,
    pythonPackages: config.pythonPackages,
  });
  const printer = new EventPrinter();
  const result = await executeStep(sandbox, {
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
  await sandbox.close();
  printer.end();
  return showResult(result, printer, values.json);
}

function paramsFrom(values: Options): Json {
  const file = values["params-file"];
  const params = file === undefined ? {} : readJson(file, "params file");
  if (values.param.length === 0) return params;
  return { ...(params as Record<string, Json>), ...Object.fromEntries(values.param.map(parseParam)) };
}

/** The file and the options as a job's step, through the job's own schema, so that both refuse the same things. */
function planFrom(file: string, values: Options, config: Config): StepPlan {
  const [only] = values.network;
  const whole = values.network.length === 1 && (only === "none" || only === "open");
  const { step } = parseJob({
    projectId: createId(),
    step: {
      language: languageOf(file),
      code: readText(file, "step"),
      limits: Object.fromEntries(values.limit.map(parseLimit)),
      network: whole ? only : values.network.length === 0 ? "open" : values.network,
    },
  });
  if (!("code" in step)) throw new StepvaultError("ERR_JOB_INVALID", "Cannot run the file: it is no step");
  const { language, code, limits = {}, network = "open" } = step;
  return { language, code, inputs: {}, limits: chooseLimits(limits, config.limitMaxima), network };
}

function showResult(result: RunResult, printer: EventPrinter, asJson: boolean): number {
  const { error, output = null } = result;
  if (asJson || error === undefined) data(`${JSON.stringify(asJson ? result : output, undefined, 2)}\n`);
  if (error === undefined) return exitCodes.success;
  if (!asJson) {
    printer.show({ kind: "error", error });
    if (error.stack !== undefined) note(error.stack);
  }
  return exitCodeOf(error.fault);
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

function languageOf(file: string): Language {
  if (file.endsWith(".py")) return "python";
  if (/\.m?js$/.test(file)) return "javascript";
  if (/\.m?ts$/.test(file)) return "typescript";
  throw new StepvaultError("ERR_LANGUAGE_UNKNOWN", "Cannot run the file: its name ends neither in .js, .ts nor .py");
}

function parseParam(text: string): [string, Json] {
  const at = text.indexOf("=");
  const value = text.slice(at + 1);
  const name = at < 0 ? text : text.slice(0, at);
  try {
    return [name, at < 0 ? true : (JSON.parse(value) as Json)];
  } catch {
    return [name, value];
  }
}

function parseLimit(text: string): [string, number] {
  const [name = "", value = ""] = text.split("=", 2);
  return [name, Number(value)];
}
