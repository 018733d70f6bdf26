/**
 * Everything that a run's step says passes here on its way out, and only here does anything become Redacted. Printed
 * text goes through one stream per channel, so that a value cut in two by two prints is still found; all else is
 * redacted as a structured value. If the redactor fails, the thing is withheld and the run fails: never open.
 */
import { StepvaultError } from "../protocol/error.ts";
import type { Json, RunEventBody, RunResult, RedactionCount, Usage } from "../protocol/job.ts";
import { statusOfError } from "../protocol/job.ts";
import type { Redacted } from "../protocol/redacted.ts";
import type { SecretValue } from "../protocol/secret.ts";
import { createRedactor, type RedactionStream, type Redactor } from "../redaction/redactor.ts";
import type { SandboxEvent } from "../runtime/sandbox.ts";

type Channel = "stdout" | "stderr";

export class RunRedaction {
  readonly redactor: Redactor = createRedactor([]);
  readonly #streams = new Map<Channel, RedactionStream>();

  /** Must be called before the step can say anything. */
  addSecrets(values: readonly SecretValue[]): void {
    for (const value of values) this.redactor.add({ name: value.name, value: value.expose() });
  }

  /** The events that may be stored now. Printed text that could still become a value is held back. */
  event(event: SandboxEvent): Redacted<RunEventBody>[] {
    return this.#closed(() => {
      if (event.kind !== "stdout" && event.kind !== "stderr") {
        return [this.redactor.value(event) as Redacted<RunEventBody>];
      }
      let stream = this.#streams.get(event.kind);
      if (stream === undefined) this.#streams.set(event.kind, (stream = this.redactor.stream()));
      return printed(event.kind, stream.write(event.text));
    });
  }

  /** What tells nothing of what is held back, for a viewer who waits while the step is silent. */
  release(): Redacted<RunEventBody>[] {
    return this.#closed(() => [...this.#streams].flatMap(([channel, stream]) => printed(channel, stream.release())));
  }

  /** What was held back, once nothing more can come. */
  end(): Redacted<RunEventBody>[] {
    return this.#closed(() => [...this.#streams].flatMap(([channel, stream]) => printed(channel, stream.end())));
  }

  /** A run that succeeded. Throws ERR_OUTPUT_NOT_JSON for text that is not JSON. */
  success(runId: string, output: string, usage: Usage): Redacted<RunResult> {
    const parsed = parseOutput(output);
    return this.#result({
      runId,
      status: "succeeded",
      output: this.#closed(() => this.redactor.value(parsed)) as Json,
      usage,
    });
  }

  /** A run that ended with an error; `excerpt` is the line of code where it lies. */
  failure(
    runId: string,
    error: StepvaultError,
    { usage, excerpt }: { usage: Usage; excerpt?: string | undefined },
  ): Redacted<RunResult> {
    const { code, fault, message, position, guestStack } = error;
    let text = { message, stack: guestStack, excerpt };
    try {
      text = this.redactor.value(text) as typeof text;
    } catch {
      // The error that is being told may be the redactor's own failure: then nothing but its code is safe.
      text = { message: "withheld: it could not be redacted", stack: undefined, excerpt: undefined };
    }
    return this.#result({
      runId,
      status: statusOfError(code),
      error: {
        code,
        fault,
        message: text.message,
        ...(position === undefined ? {} : { line: position.line, column: position.column }),
        ...(text.excerpt === undefined ? {} : { excerpt: text.excerpt }),
        ...(text.stack === undefined ? {} : { stack: text.stack }),
      },
      usage,
    });
  }

  #result(result: Omit<RunResult, "redactions">): Redacted<RunResult> {
    return { ...result, redactions: this.redactor.report() as RedactionCount[] } as Redacted<RunResult>;
  }

  #closed<T>(redact: () => T): T {
    try {
      return redact();
    } catch (error) {
      throw new StepvaultError("ERR_REDACTION_FAILED", "Cannot store what the step said: it could not be redacted", {
        cause: error,
      });
    }
  }
}

function printed(kind: Channel, text: string): Redacted<RunEventBody>[] {
  return text === "" ? [] : [{ kind, text } as RunEventBody as Redacted<RunEventBody>];
}

function parseOutput(output: string): Json {
  try {
    return JSON.parse(output) as Json;
  } catch {
    throw new StepvaultError("ERR_OUTPUT_NOT_JSON", "Cannot return the output: what the sandbox sent is not JSON");
  }
}

/** The events that close a run, in the order in which viewers read them. They hold nothing but the redacted result. */
export function closingEvents(result: Redacted<RunResult>): Redacted<RunEventBody>[] {
  const events: RunEventBody[] = [];
  if (result.error !== undefined) events.push({ kind: "error", error: result.error });
  else events.push({ kind: "output", output: result.output ?? null });
  events.push({ kind: "finished", status: result.status });
  return events as Redacted<RunEventBody>[];
}

/** The event of an attempt that failed, when another one follows. */
export function retryEvent(result: Redacted<RunResult>, attempt: number, delayMs: number): Redacted<RunEventBody> {
  const error = result.error!;
  return { kind: "retry", attempt, delayMs, error } satisfies RunEventBody as RunEventBody as Redacted<RunEventBody>;
}
