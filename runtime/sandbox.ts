/**
 * Runs steps: gives each run a sandbox host to itself, watches it from outside and ends it. A host serves the next run
 * only after a clean end and once it has said that nothing of this one is left; in any other case it is killed. Knows
 * neither queue nor vault: the caller resolves references, receives events and is told how the run ended.
 */
import type { EgressSettings } from "../protocol/config.ts";
import { type Position, StepvaultError } from "../protocol/error.ts";
import { interpreterOf, type Json, type Language, type LogLevel, type NetworkPolicy } from "../protocol/job.ts";
import type { Limits } from "../protocol/limits.ts";
import { EgressBroker, type EgressEvent } from "./egress/broker.ts";
import { Connections } from "./egress/connections.ts";
import type { EgressSecrets } from "./egress/secrets.ts";
import { Budget } from "./bridge/budget.ts";
import type { CodeReference, HostError, HostMessage } from "./bridge/messages.ts";
import type { HostProcess, HostRun } from "./host-process.ts";
import { type HostLease, HostPool, type HostPoolOptions } from "./host-pool.ts";
import { RunRequests } from "./requests.ts";
import { memoryError, Watchdog } from "./watchdog.ts";

export interface SandboxStep {
  /** Whose run it is: hosts are not shared between projects, unless the operator says so. */
  readonly projectId: string;
  readonly language: Language;
  readonly code: string;
  readonly params: Json;
  readonly steps: Json;
  readonly limits: Limits;
  readonly network: NetworkPolicy;
  /** What every step of the project may reach at most. */
  readonly projectNetwork?: NetworkPolicy | undefined;
}

/** What a step says while it runs. Nothing of it has been redacted. */
export type SandboxEvent =
  | { kind: "started" }
  | { kind: "stdout" | "stderr"; text: string }
  | { kind: "log"; level: LogLevel; message: string; fields?: Json | undefined }
  | EgressEvent;

export interface SandboxCaller {
  /**
   * The values of what the code refers to, a placeholder for what is sealed, and the step's rendered inputs; and what the
   * broker must know of these secrets. Called once, before any code runs.
   */
  resolve(
    references: readonly CodeReference[],
  ): Promise<{ values: ReadonlyMap<string, string>; inputs: Json; egress?: EgressSecrets | undefined }>;
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

/** A step that goes on is stopped within this time, or its host is killed: some builtins cannot be interrupted. */
const stopTimeMsMax = 250;
/** After a clean end nobody waits for the host but the next run. */
const releaseTimeMsMax = 2_000;

/** Ends after which a host's isolate is known to be only what the step made of it, and the host itself untouched. */
function isClean(result: { output: string } | { error: StepvaultError }): boolean {
  if ("output" in result) return true;
  const { code, fault } = result.error;
  return fault === "user" && code !== "ERR_STEP_EXITED" && code !== "ERR_RUN_CANCELLED";
}

export interface SandboxOptions extends HostPoolOptions {
  /** Absent: every public address, and no other. */
  readonly egress?: EgressSettings | undefined;
}

export class Sandbox {
  readonly pool: HostPool;
  #egress: EgressSettings;
  #connections: Connections;

  /** Throws ERR_CONFIG_INVALID for certificates that cannot be read. */
  constructor({ egress = { open: [], own: [], nameServers: [] }, ...options }: SandboxOptions) {
    this.#egress = egress;
    this.#connections = new Connections(egress.caFile);
    this.pool = new HostPool(options);
  }

  /** Starts hosts ahead of the first run, so that a broken installation shows at start. Throws ERR_SANDBOX_START. */
  async warmUp(): Promise<void> {
    await this.pool.warmUp();
  }

  /** Runs one step to its end. Never throws: whatever goes wrong is the outcome's error. */
  async run(step: SandboxStep, caller: SandboxCaller): Promise<SandboxOutcome> {
    const first = await this.#runOnce(step, caller);
    // An idle host may end in the moment in which it is taken. No code has run, so another one can do it.
    return first.lost ? (await this.#runOnce(step, caller)).outcome : first.outcome;
  }

  /** `lost`: the host failed before it had read the step. */
  async #runOnce(step: SandboxStep, caller: SandboxCaller): Promise<{ outcome: SandboxOutcome; lost: boolean }> {
    let lease: HostLease;
    try {
      const language = interpreterOf(step.language);
      lease = await this.pool.take({ language, projectId: step.projectId, signal: caller.signal });
    } catch (error) {
      return { outcome: { error: asError(error), usage: { wallMs: 0, cpuMs: 0, memoryPeakBytes: 0 } }, lost: false };
    }
    const run = new SandboxRun(lease.host, step, caller, (onEvent) => this.#openBroker(step, onEvent));
    void run.ended.then(() => lease.giveBack(run.left));
    const outcome = await run.finished;
    return { outcome, lost: run.lost };
  }

  async close(): Promise<void> {
    await this.pool.close();
    await this.#connections.close();
  }

  #openBroker(step: SandboxStep, onEvent: (event: EgressEvent) => void): EgressBroker {
    const { projectId, network: policy, projectNetwork: projectPolicy, limits } = step;
    const connections = this.#connections;
    return new EgressBroker({ ...this.#egress, projectId, connections, policy, projectPolicy, limits, onEvent });
  }
}

type Phase = "preparing" | "resolving" | "running" | "stopping" | "ended";

/**
 * One run on one host: preparing → resolving → running → ended, by way of stopping where a limit of time is reached. A
 * message that does not belong to the phase ends the run, and so does one that goes beyond a limit: the host may have
 * been taken over by the step. It ends exactly once; what arrives afterwards is dropped.
 */
class SandboxRun {
  readonly finished: Promise<SandboxOutcome>;
  /** Resolves when it is known how the run ends. */
  readonly ended: Promise<void>;
  /** Resolves once the run has left its host, to whether the host may serve another. */
  readonly left: Promise<boolean>;
  #finish!: (outcome: SandboxOutcome) => void;
  #leave!: (clean: boolean) => void;
  #tellEnd!: () => void;
  #host: HostRun;
  #step: SandboxStep;
  #caller: SandboxCaller;
  #broker: EgressBroker;
  #budget: Budget;
  #watchdog: Watchdog;
  #phase: Phase = "preparing";
  #usage: SandboxUsage = { wallMs: 0, cpuMs: 0, memoryPeakBytes: 0 };
  /** Events are handed on one after the other, in the order in which the host sent them. */
  #events: Promise<void> = Promise.resolve();
  #eventsPending = 0;
  #requests: RunRequests;
  /** The host was gone, or not to be trusted, before it had read the step. */
  lost = false;
  #started = false;
  #cancelled = false;
  #onAbort = (): void => {
    this.#cancelled = true;
    this.#fail(new StepvaultError("ERR_RUN_CANCELLED", "Cannot go on: the run was cancelled"));
  };

  constructor(
    host: HostProcess,
    step: SandboxStep,
    caller: SandboxCaller,
    openBroker: (onEvent: (event: EgressEvent) => void) => EgressBroker,
  ) {
    this.#step = step;
    this.#caller = caller;
    this.#broker = openBroker((event) => this.#emit(event));
    this.#budget = new Budget(step.limits);
    this.finished = new Promise((resolve) => (this.#finish = resolve));
    this.ended = new Promise((resolve) => (this.#tellEnd = resolve));
    this.left = new Promise((resolve) => (this.#leave = resolve));
    this.#host = host.beginRun({ onMessage: (message) => this.#receive(message), onExit: () => this.#hostExited() });
    this.#requests = new RunRequests({
      host: this.#host,
      broker: this.#broker,
      limits: step.limits,
      onLimit: (error) => this.#fail(error),
    });
    // Reading a step is bounded like running one: code can be written to take long or much to read.
    this.#watchdog = new Watchdog(host.pid, { ...step.limits, wallTimeMsMax: prepareTimeMsMax }, (error) =>
      this.#fail(error),
    );
    if (caller.signal?.aborted) queueMicrotask(this.#onAbort);
    caller.signal?.addEventListener("abort", this.#onAbort);
    this.#host.send({ type: "prepare", code: step.code, language: step.language });
  }

  #receive(message: HostMessage): void {
    if (this.#phase === "ended") return;
    if (this.#phase === "stopping") return this.#receiveStopping(message);
    if (message.type === "failed") return this.#failed(message.error);
    if (message.type === "references" && this.#phase === "preparing") {
      this.#phase = "resolving";
      this.#execute(message.references).catch((error: unknown) => this.#fail(asError(error)));
      return;
    }
    if (this.#phase === "running" && this.#receiveRunning(message)) return;
    this.#failed({ code: "ERR_BRIDGE_PROTOCOL", message: "Cannot go on: the sandbox host sent a message out of turn" });
  }

  /** False when the message does not belong into a run. */
  #receiveRunning(message: HostMessage): boolean {
    switch (message.type) {
      case "started":
        if (this.#started) return false;
        this.#started = true;
        this.#emit({ kind: "started" });
        return true;
      case "print":
        if (this.#within(this.#budget.print(message.text))) this.#emit({ kind: message.stream, text: message.text });
        return true;
      case "log": {
        const { level, message: text, fields } = message;
        if (this.#within(this.#budget.log(message))) this.#emit({ kind: "log", level, message: text, fields });
        return true;
      }
      case "request":
        if (this.#within(this.#budget.call(message) ?? this.#budget.request(message.request)))
          void this.#requests.start(message.id, message.request);
        return true;
      case "sign":
        if (this.#within(this.#budget.call(message) ?? this.#budget.sign())) void this.#requests.sign(message);
        return true;
      case "read":
        if (this.#within(this.#budget.call(message))) this.#requests.read(message.id, message.bytes);
        return true;
      case "abort":
        if (this.#within(this.#budget.call(message))) this.#requests.abort(message.id);
        return true;
      case "done":
        if (this.#within(this.#budget.output(message.output))) this.#end({ output: message.output });
        return true;
      default:
        return false;
    }
  }

  /** What the step said before it was stopped is still told; it asks for nothing more. */
  #receiveStopping(message: HostMessage): void {
    if (message.type === "print" || message.type === "log") this.#receiveRunning(message);
  }

  #within(breach: HostError | undefined): boolean {
    if (breach !== undefined) this.#failed(breach);
    return breach === undefined;
  }

  async #execute(references: CodeReference[]): Promise<void> {
    this.#watchdog.stop();
    const { values, inputs, egress } = await this.#caller.resolve(references);
    if (this.#phase !== "resolving") return;
    this.#broker.secrets = egress;
    this.#phase = "running";
    const { params, steps, limits } = this.#step;
    this.#watchdog = new Watchdog(this.#host.pid, limits, (error) => void this.#stop(error));
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
      .then(async () => {
        // A cancelled run says nothing more, not even what it had said already.
        if (!this.#cancelled) await this.#caller.onEvent(event);
      })
      .catch((error: unknown) => this.#fail(asError(error)))
      .then(() => {
        this.#eventsPending -= 1;
        if (this.#eventsPending === eventsPendingMax - 1) this.#host.resume();
      });
  }

  /** Has the host end the step's isolate, so that what it said arrives; a host that does not answer is killed. */
  async #stop(error: StepvaultError): Promise<void> {
    if (this.#phase !== "running") return;
    this.#usage = this.#watchdog.usage();
    this.#phase = "stopping";
    this.#requests.close();
    // Memory can grow faster than a host can answer.
    if (error.code !== "ERR_LIMIT_MEMORY") await this.#host.release(stopTimeMsMax);
    this.#fail(error);
  }

  #hostExited(): void {
    if (this.#phase === "stopping") return;
    if (this.#phase === "ended") return;
    if (this.#watchdog.ranOutOfMemory() || this.#host.ranOutOfMemory()) {
      this.#fail(memoryError(this.#watchdog.usage().memoryPeakBytes, this.#step.limits.memoryBytesMax));
      return;
    }
    this.#fail(
      new StepvaultError("ERR_SANDBOX_CRASHED", "Cannot go on: the sandbox host ended in the middle of the run"),
    );
  }

  #failed({ code, message, line, column, stack }: HostError): void {
    const position = checkedPosition(this.#step.code, line, column);
    this.#fail(new StepvaultError(code, message, { position, guestStack: stack }));
  }

  #fail(error: StepvaultError): void {
    this.#end({ error });
  }

  #end(result: { output: string } | { error: StepvaultError }): void {
    if (this.#phase === "ended") return;
    if (this.#phase === "running") this.#usage = this.#watchdog.usage();
    const fault = "error" in result ? result.error.code : undefined;
    this.lost = this.#phase === "preparing" && (fault === "ERR_SANDBOX_CRASHED" || fault === "ERR_BRIDGE_PROTOCOL");
    const clean = isClean(result) && this.#phase !== "stopping";
    this.#phase = "ended";
    this.#caller.signal?.removeEventListener("abort", this.#onAbort);
    this.#watchdog.stop();
    this.#requests.close();
    this.#tellEnd();
    void this.#leaveHost(clean);
    // The end is told after the last event, so that a run's events are complete when it is over.
    void this.#events.then(() => this.#finish({ ...result, usage: this.#usage }));
  }

  async #leaveHost(clean: boolean): Promise<void> {
    const quiet = clean && (await this.#host.release(releaseTimeMsMax));
    if (!quiet) this.#host.kill();
    this.#leave(quiet);
  }
}

/** A place only when it lies in the code: a step chooses these numbers, and a number can be a secret. */
function checkedPosition(code: string, line?: number, column?: number): Position | undefined {
  if (line === undefined) return undefined;
  const text = code.split(/\r\n|[\n\r\u2028\u2029]/)[line - 1];
  if (text === undefined) return undefined;
  return { line, column: column !== undefined && column <= text.length + 1 ? column : 1 };
}

const eventsPendingMax = 64;

function asError(error: unknown): StepvaultError {
  if (error instanceof StepvaultError) return error;
  return new StepvaultError("ERR_INTERNAL", "Cannot finish the run: an unexpected error; see the service's log", {
    cause: error,
  });
}
