/**
 * Runs steps: keeps a few sandbox hosts started and unused, gives each run one, watches it from outside and ends it.
 * A host serves one run and is then killed, so that nothing of a step outlives it. Knows neither queue nor vault: the
 * caller resolves references, receives events and is told how the run ended.
 */
import { type Fault, StepvaultError } from "../protocol/error.ts";
import type { Json, Language, LogLevel, NetworkPolicy } from "../protocol/job.ts";
import type { Limits } from "../protocol/limits.ts";
import { EgressBroker, type EgressRecord } from "./egress/broker.ts";
import type { CodeReference, GuestRequest, HostMessage } from "./bridge/messages.ts";
import type { HostProcess } from "./host-process.ts";
import { HostPool } from "./host-pool.ts";
import { memoryError, Watchdog } from "./watchdog.ts";

export interface SandboxStep {
  readonly language: Language;
  readonly code: string;
  readonly params: Json;
  readonly steps: Json;
  readonly limits: Limits;
  readonly network: NetworkPolicy;
}

/** What a step says while it runs. Nothing of it has been redacted. */
export type SandboxEvent =
  | { kind: "started" }
  | { kind: "stdout" | "stderr"; text: string }
  | { kind: "log"; level: LogLevel; message: string; fields?: Json | undefined }
  | ({ kind: "request" } & EgressRecord);

export interface SandboxCaller {
  /** The values of what the code refers to, and the step's rendered inputs. Called once, before any code runs. */
  resolve(references: readonly CodeReference[]): Promise<{ values: ReadonlyMap<string, string>; inputs: Json }>;
  /** Called in order. While a returned promise is pending the step is made to wait. */
  onEvent(event: SandboxEvent): void | Promise<void>;
  readonly signal?: AbortSignal;
}

export interface SandboxUsage {
  wallMs: number;
  cpuMs: number;
  memoryPeakBytes: number;
}

/** How a run ended: the output as JSON text, or an error. Neither has been redacted. */
export type SandboxOutcome = { usage: SandboxUsage } & ({ output: string } | { error: StepvaultError });

/** Reading a step takes milliseconds; longer means that it was written to take long. */
const prepareTimeMsMax = 10_000;

export interface SandboxOptions {
  /** Where the Python snapshot is kept. */
  readonly cacheDir: string;
  readonly hostsIdleMax: number;
  /** Private host:port pairs that steps may reach. */
  readonly egressOpen: readonly string[];
}

export class Sandbox {
  #pool: HostPool;
  #egressOpen: readonly string[];

  constructor({ cacheDir, hostsIdleMax, egressOpen }: SandboxOptions) {
    this.#pool = new HostPool({ cacheDir, hostsIdleMax });
    this.#egressOpen = egressOpen;
  }

  /** Starts hosts ahead of the first run, so that a broken installation shows at start. Throws ERR_SANDBOX_START. */
  async warmUp(): Promise<void> {
    await this.#pool.warmUp();
  }

  /** Runs one step to its end. Never throws: whatever goes wrong is the outcome's error. */
  async run(step: SandboxStep, caller: SandboxCaller): Promise<SandboxOutcome> {
    let host: HostProcess;
    let broker: EgressBroker;
    try {
      broker = new EgressBroker({ policy: step.network, open: this.#egressOpen, limits: step.limits });
      host = await this.#pool.take(step.language);
    } catch (error) {
      return { error: asError(error), usage: { wallMs: 0, cpuMs: 0, memoryPeakBytes: 0 } };
    }
    const run = new SandboxRun(host, step, caller, broker);
    try {
      return await run.finished;
    } finally {
      host.kill();
      broker.close();
    }
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }
}

/** One run on one host: prepare, resolve, execute, end. It ends exactly once; what arrives afterwards is dropped. */
class SandboxRun {
  readonly finished: Promise<SandboxOutcome>;
  #finish!: (outcome: SandboxOutcome) => void;
  #host: HostProcess;
  #step: SandboxStep;
  #caller: SandboxCaller;
  #broker: EgressBroker;
  #watchdog: Watchdog | undefined;
  #prepareTimer: NodeJS.Timeout;
  #ended = false;
  /** Events are handed on one after the other, in the order in which the host sent them. */
  #events: Promise<void> = Promise.resolve();
  #eventsPending = 0;
  #aborts = new Map<number, AbortController>();
  #onAbort = (): void => this.#fail(new StepvaultError("ERR_RUN_CANCELLED", "Cannot go on: the run was cancelled"));

  constructor(host: HostProcess, step: SandboxStep, caller: SandboxCaller, broker: EgressBroker) {
    this.#host = host;
    this.#step = step;
    this.#caller = caller;
    this.#broker = broker;
    this.finished = new Promise((resolve) => (this.#finish = resolve));
    this.#prepareTimer = setTimeout(
      () =>
        this.#fail(
          new StepvaultError("ERR_STEP_SYNTAX", `Cannot read the step: not done after ${prepareTimeMsMax} ms`),
        ),
      prepareTimeMsMax,
    );
    if (caller.signal?.aborted) queueMicrotask(this.#onAbort);
    caller.signal?.addEventListener("abort", this.#onAbort);
    host.attach({ onMessage: (message) => this.#receive(message), onExit: () => this.#hostExited() });
    host.send({ type: "prepare", code: step.code });
  }

  #receive(message: HostMessage): void {
    if (this.#ended) return;
    switch (message.type) {
      case "references":
        this.#execute(message.references).catch((error: unknown) => this.#fail(asError(error)));
        return;
      case "started":
        this.#emit({ kind: "started" });
        return;
      case "print":
        this.#emit({ kind: message.stream, text: message.text });
        return;
      case "log":
        this.#emit({ kind: "log", level: message.level, message: message.message, fields: message.fields });
        return;
      case "request":
        void this.#request(message.id, message.request);
        return;
      case "abort":
        this.#aborts.get(message.id)?.abort();
        return;
      case "done":
        this.#end({ output: message.output });
        return;
      case "failed": {
        const { code, message: text, line, column, stack } = message.error;
        const position = line === undefined ? undefined : { line, column: column ?? 0 };
        this.#fail(new StepvaultError(code, text, { position, guestStack: stack }));
        return;
      }
      case "ready":
      case "snapshot":
        return;
    }
  }

  async #execute(references: CodeReference[]): Promise<void> {
    const { values, inputs } = await this.#caller.resolve(references);
    clearTimeout(this.#prepareTimer);
    if (this.#ended) return;
    const { params, steps, limits } = this.#step;
    this.#watchdog = new Watchdog(this.#host.pid, limits, (error) => this.#fail(error));
    this.#host.send({
      type: "execute",
      values: [...values],
      params: JSON.stringify(params),
      steps: JSON.stringify(steps),
      inputs: JSON.stringify(inputs),
      limits,
    });
  }

  /** Hands an event on after all earlier ones. With many under way the host is not read until they are done. */
  #emit(event: SandboxEvent): void {
    this.#eventsPending += 1;
    if (this.#eventsPending === eventsPendingMax) this.#host.pause();
    this.#events = this.#events
      .then(() => this.#caller.onEvent(event))
      .catch((error: unknown) => this.#fail(asError(error)))
      .then(() => {
        this.#eventsPending -= 1;
        if (this.#eventsPending === eventsPendingMax - 1) this.#host.resume();
      });
  }

  async #request(id: number, request: GuestRequest): Promise<void> {
    const abort = new AbortController();
    this.#aborts.set(id, abort);
    try {
      const response = await this.#broker.request(request, {
        signal: abort.signal,
        onRecord: (record) => this.#emit({ kind: "request", ...record }),
      });
      if (!this.#ended) this.#host.send({ type: "response", id, response });
    } catch (error) {
      if (this.#ended) return;
      const { code, message } = asError(error);
      if (isLimit(asError(error).fault)) this.#fail(asError(error));
      else this.#host.send({ type: "response", id, error: { code, message } });
    } finally {
      this.#aborts.delete(id);
    }
  }

  #hostExited(): void {
    if (this.#ended) return;
    const usage = this.#watchdog?.usage();
    if (usage !== undefined && this.#watchdog?.ranOutOfMemory()) {
      this.#fail(memoryError(usage.memoryPeakBytes, this.#step.limits.memoryBytesMax));
      return;
    }
    this.#fail(
      new StepvaultError("ERR_SANDBOX_CRASHED", "Cannot go on: the sandbox host ended in the middle of the run"),
    );
  }

  #fail(error: StepvaultError): void {
    this.#end({ error });
  }

  #end(result: { output: string } | { error: StepvaultError }): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#prepareTimer);
    this.#caller.signal?.removeEventListener("abort", this.#onAbort);
    const usage = this.#watchdog?.usage() ?? { wallMs: 0, cpuMs: 0, memoryPeakBytes: 0 };
    this.#watchdog?.stop();
    for (const abort of this.#aborts.values()) abort.abort();
    this.#host.kill();
    // The end is told after the last event, so that a run's events are complete when it is over.
    void this.#events.then(() => this.#finish({ ...result, usage }));
  }
}

const eventsPendingMax = 64;

const isLimit = (fault: Fault): boolean => fault === "limit";

function asError(error: unknown): StepvaultError {
  if (error instanceof StepvaultError) return error;
  return new StepvaultError("ERR_INTERNAL", "Cannot finish the run: an unexpected error; see the service's log", {
    cause: error,
  });
}
