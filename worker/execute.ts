/**
 * Runs one planned step in the sandbox and gives its redacted result: references are resolved just before the code
 * starts, and all that the step says passes the redactor before anyone else sees it. Knows neither queue nor database,
 * so the worker and `stepvault run` share it.
 */
import { toStepvaultError } from "../protocol/error.ts";
import type { Json, RunEventBody, RunResult, Usage } from "../protocol/job.ts";
import type { Redacted } from "../protocol/redacted.ts";
import type { SecretValue } from "../protocol/secret.ts";
import { inputReferences, renderInputs } from "../runtime/binding/inputs.ts";
import type { Sandbox, SandboxEvent, SandboxOutcome } from "../runtime/sandbox.ts";
import { excerptOf } from "./excerpt.ts";
import { prepareEgress } from "./run-egress.ts";
import type { RunRedaction } from "./run-redaction.ts";
import type { StepPlan } from "./step-plan.ts";

export interface Reference {
  readonly name: string;
  readonly line?: number | undefined;
  readonly column?: number | undefined;
}

export interface Execution {
  readonly runId: string;
  readonly projectId: string;
  readonly plan: StepPlan;
  readonly params: Json;
  readonly steps: Json;
  readonly redaction: RunRedaction;
  readonly queueMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Values of the named secrets, one per distinct name. Throws when one of them may not be used. */
  resolveSecrets(references: readonly Reference[]): Promise<SecretValue[]>;
  /** Takes the events in order. While it is pending, the step waits. */
  emit(event: Redacted<RunEventBody>): Promise<void>;
  /** Told of faults that are ours, with the original error. */
  onSystemFault(error: Error): void;
}

/** Runs the step to its end. Never rejects: whatever goes wrong is the result's error. */
export async function executeStep(sandbox: Sandbox, execution: Execution): Promise<Redacted<RunResult>> {
  const { runId, redaction } = execution;
  const usage: Usage = {
    queueMs: execution.queueMs,
    wallMs: 0,
    cpuMs: 0,
    memoryPeakBytes: 0,
    stdoutBytes: 0,
    logEntries: 0,
    requests: 0,
  };
  try {
    const outcome = await runInSandbox(sandbox, execution, usage);
    Object.assign(usage, outcome.usage);
    for (const event of redaction.end()) await execution.emit(event);
    if ("error" in outcome) throw outcome.error;
    return redaction.success(runId, outcome.output, usage);
  } catch (error) {
    const known = toStepvaultError(error);
    if (known.fault === "system") execution.onSystemFault(known);
    const excerpt = known.position === undefined ? undefined : excerptOf(execution.plan.code, known.position);
    return redaction.failure(runId, known, { usage, excerpt });
  }
}

async function runInSandbox(sandbox: Sandbox, execution: Execution, usage: Usage): Promise<SandboxOutcome> {
  const { projectId, plan, params, steps, redaction, signal } = execution;
  const { language, code, limits, network, projectNetwork } = plan;
  const inputsUsed = inputReferences(plan.inputs);
  const silence = onSilence(async () => {
    for (const redacted of redaction.release()) await execution.emit(redacted);
  });
  return await sandbox
    .run(
      { projectId, language, code, params, steps, limits, network, projectNetwork },
      {
        ...(signal === undefined ? {} : { signal }),
        async resolve(references) {
          const secrets = await execution.resolveSecrets([...references, ...inputsUsed]);
          redaction.addSecrets(secrets);
          const { values, egress } = prepareEgress(secrets, redaction.redactor);
          const inCode = new Set(references.map(({ name }) => name));
          return {
            values: new Map([...values].filter(([name]) => inCode.has(name))),
            inputs: renderInputs(plan.inputs, values),
            egress,
          };
        },
        async onEvent(event) {
          count(usage, event);
          const printed = event.kind === "stdout" || event.kind === "stderr";
          if (printed) silence.restart();
          for (const redacted of redaction.event(event)) await execution.emit(redacted);
        },
      },
    )
    .finally(() => silence.stop());
}

/** Calls back once nothing has happened for `silenceMs` since the last restart. */
function onSilence(callback: () => Promise<void>): { restart(): void; stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => clearTimeout(timer);
  return {
    stop,
    restart() {
      stop();
      // A failure to redact or to store shows at the next event, or at the end.
      timer = setTimeout(() => void callback().catch(() => {}), silenceMs);
    },
  };
}

const silenceMs = 200;

function count(usage: Usage, event: SandboxEvent): void {
  if (event.kind === "stdout" || event.kind === "stderr") usage.stdoutBytes += Buffer.byteLength(event.text);
  if (event.kind === "log") usage.logEntries += 1;
  if (event.kind === "request") usage.requests += 1;
}
