/** Steps run straight in a sandbox, without queue, vault or redaction: what a step does is what the test sees. */
import { inject, test } from "vitest";
import { prepareEgress } from "../../worker/run-egress.ts";
import { parseConfig } from "../../protocol/config.ts";
import type { Json, Language, NetworkPolicy, RunEvent } from "../../protocol/job.ts";
import { limitNames, type Limits, limitTable } from "../../protocol/limits.ts";
import { SecretValue } from "../../protocol/secret.ts";
import { createRedactor } from "../../redaction/redactor.ts";
import { Sandbox, type SandboxEvent, type SandboxOptions, type SandboxOutcome } from "../../runtime/sandbox.ts";

export const defaultLimits = Object.fromEntries(limitNames.map((name) => [name, limitTable[name].default])) as Limits;

export interface StepRun {
  outcome: SandboxOutcome;
  events: SandboxEvent[];
  /** The output, parsed; undefined when the step failed. */
  output: Json | undefined;
  /** The error's code; undefined when the step succeeded. */
  code: string | undefined;
  /** All printed text and log messages, one after the other. */
  text: string;
}

export interface StepOptions {
  projectId?: string;
  params?: Json;
  steps?: Json;
  inputs?: Json;
  /** Values by name; what is no string has a policy of its own. */
  secrets?: Record<string, string | SecretValue>;
  projectNetwork?: NetworkPolicy;
  limits?: Partial<Limits>;
  network?: NetworkPolicy;
  signal?: AbortSignal;
  onEvent?: (event: SandboxEvent) => void | Promise<void>;
}

export function openTestSandbox(
  egressOpen: readonly string[] = [],
  hostsIdleMax = 1,
  options: Partial<SandboxOptions> = {},
): Sandbox {
  const { hosts } = parseConfig({});
  const egress = { open: egressOpen, own: [], nameServers: [] };
  return new Sandbox({ ...hosts, cacheDir: inject("cacheDir"), hostsIdleMax, egress, ...options });
}

export async function runStep(
  sandbox: Sandbox,
  language: Language,
  code: string,
  options: StepOptions = {},
): Promise<StepRun> {
  const events: SandboxEvent[] = [];
  const step = {
    projectId: options.projectId ?? "project",
    language,
    code,
    params: options.params ?? {},
    steps: options.steps ?? {},
    limits: { ...defaultLimits, ...options.limits },
    network: options.network ?? ("open" as const),
    projectNetwork: options.projectNetwork,
  };
  const secrets = Object.entries(options.secrets ?? {}).map(([name, secret]) =>
    typeof secret === "string" ? new SecretValue(name, secret) : secret,
  );
  const redactor = createRedactor(secrets.map((secret) => ({ name: secret.name, value: secret.expose() })));
  const outcome = await sandbox.run(step, {
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    resolve: async (references) => {
      const { values, egress } = prepareEgress(secrets, redactor);
      return {
        values: new Map(references.map(({ name }) => [name, values.get(name) ?? ""])),
        inputs: options.inputs ?? {},
        egress: secrets.length === 0 ? undefined : egress,
      };
    },
    onEvent(event) {
      events.push(event);
      return options.onEvent?.(event);
    },
  });
  const text = textOf(events);
  if ("error" in outcome) return { outcome, events, output: undefined, code: outcome.error.code, text };
  return { outcome, events, output: JSON.parse(outcome.output) as Json, code: undefined, text };
}

/** All printed text and log messages, one after the other. */
export function textOf(events: readonly (SandboxEvent | RunEvent)[]): string {
  const texts = events.map((event) => {
    if (event.kind === "stdout" || event.kind === "stderr") return event.text;
    return event.kind === "log" ? `${event.message}\n` : "";
  });
  return texts.join("");
}

/** One program in each language, of the same behaviour. */
export interface Program {
  javascript: string;
  python: string;
}

export type InBothLanguages = (
  title: string,
  programs: Program,
  check: (run: StepRun, language: Language) => void,
  options?: StepOptions,
) => void;

/** Declares one test per language for the same behaviour. The sandbox is asked for when the test runs. */
export function perLanguage(sandbox: () => Sandbox): InBothLanguages {
  return (title, programs, check, options = {}) => {
    for (const language of ["javascript", "python"] as const) {
      test(`${title} (${language})`, async () =>
        check(await runStep(sandbox(), language, programs[language], options), language));
    }
  };
}
