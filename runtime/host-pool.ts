/**
 * The sandbox hosts of a worker: a bounded number, started ahead of need, one run at a time on each. A fresh host
 * belongs to nobody; the run that takes it makes it its project's own, and in the isolation mode `project` it serves no
 * other project for the rest of its life. A host comes back only from a run that ended cleanly and of which it said in
 * time that nothing is left; any doubt ends it. Waiting runs are served in turn of their projects.
 */
import type { HostSettings } from "../protocol/config.ts";
import { StepvaultError } from "../protocol/error.ts";
import { type Interpreter, interpreters } from "../protocol/job.ts";
import { HostProcess, type HostStartOptions } from "./host-process.ts";
import { type JavaScriptPackage, readJavaScriptPackages } from "./javascript-packages.ts";
import { ensureSnapshot } from "./snapshot.ts";
import { readUsage } from "./watchdog.ts";

export interface HostPoolOptions extends HostSettings, HostStartOptions {
  readonly cacheDir: string;
  /** Told of each host that did not start, or ended while nobody used it. */
  readonly onFault?: ((error: Error) => void) | undefined;
  /** Folders of packages that steps may import, with their lock files. */
  readonly javascriptPackages?: string | undefined;
  readonly pythonPackages?: string | undefined;
}

interface Slot {
  readonly language: Interpreter;
  state: "starting" | "idle" | "busy" | "resetting" | "ending";
  host: HostProcess | undefined;
  /** Settles when the host has started or has failed to. */
  started: Promise<void>;
  /** Whose runs it serves; undefined while it is fresh. */
  projectId: string | undefined;
  runs: number;
  idleSince: number;
  /** Resident memory when it was fresh, bytes. */
  freshBytes: number;
}

export interface HostRequest {
  readonly language: Interpreter;
  readonly projectId: string;
  readonly signal?: AbortSignal | undefined;
}

interface Waiting extends HostRequest {
  resolve(slot: Slot): void;
  reject(error: Error): void;
}

/** A host that a run has to itself, until it gives it back when it ends: `left` tells whether it has left it clean. */
export interface HostLease {
  readonly host: HostProcess;
  giveBack(left: Promise<boolean>): void;
}

const sweepIntervalMs = 1_000;
const backOffMs = { first: 100, max: 5_000 };
/** What a host may keep of its runs before it is replaced: a second interpreter, and what was not yet collected. */
const keptBytesMax = 384 * 1024 * 1024;

export class HostPool {
  #options: HostPoolOptions;
  #slots = new Set<Slot>();
  #waiting: Waiting[] = [];
  #failures = new Map<Interpreter, { count: number; waits: boolean; timer: NodeJS.Timeout }>();
  /** When a project that waits was last served, as a count. */
  #served = new Map<string, number>();
  #servedCount = 0;
  #javascriptPackages: JavaScriptPackage[] | undefined;
  #closed = false;
  #sweep: NodeJS.Timeout;

  constructor(options: HostPoolOptions) {
    this.#options = options;
    this.#sweep = setInterval(() => this.#retire(), sweepIntervalMs);
    this.#sweep.unref();
  }

  /** Starts the idle hosts of both languages and waits for one of each. Throws ERR_SANDBOX_START. */
  async warmUp(): Promise<void> {
    this.#readPackages();
    await ensureSnapshot(this.#options);
    if (this.#options.hostsIdleMax === 0) return;
    // One after the other, so that a single host suffices to show that both languages start.
    for (const language of interpreters) {
      const slot = await this.#take({ language, projectId: "" });
      slot.projectId = undefined;
      slot.runs = 0;
      this.#becomeIdle(slot);
    }
  }

  /** A host for one run; waits while all are busy. Throws ERR_SANDBOX_START, or ERR_RUN_CANCELLED by the signal. */
  async take(request: HostRequest): Promise<HostLease> {
    const slot = await this.#take(request);
    const { host } = slot;
    if (host === undefined) throw closedError();
    return { host, giveBack: (left) => void this.#giveBack(slot, host, left) };
  }

  /** How many hosts there are of each state, for a service's log and for tests. */
  count(): { hosts: number; idle: number; waiting: number } {
    return { hosts: this.#slots.size, idle: this.#countState("idle"), waiting: this.#waiting.length };
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#sweep);
    for (const waiting of this.#waiting.splice(0)) waiting.reject(closedError());
    const slots = [...this.#slots];
    for (const slot of slots) this.#end(slot);
    for (const { timer } of this.#failures.values()) clearTimeout(timer);
    await Promise.all(slots.map(async (slot) => await slot.started.then(() => slot.host?.closed)));
  }

  async #take(request: HostRequest): Promise<Slot> {
    if (this.#closed) throw closedError();
    return await new Promise<Slot>((resolve, reject) => {
      const leave = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        request.signal?.removeEventListener("abort", cancel);
      };
      const cancel = (): void => {
        waiting.reject(new StepvaultError("ERR_RUN_CANCELLED", "Cannot go on: the run was cancelled"));
        this.#serve();
      };
      const waiting: Waiting = {
        ...request,
        resolve: (slot) => {
          leave();
          resolve(slot);
        },
        reject: (error) => {
          leave();
          reject(error);
        },
      };
      this.#waiting.push(waiting);
      request.signal?.addEventListener("abort", cancel);
      if (request.signal?.aborted === true) cancel();
      else this.#serve();
    });
  }

  /** Gives idle hosts to those who wait, and starts or vacates what is missing. Called after every change. */
  #serve(): void {
    if (this.#closed) return;
    const coming = new Map(interpreters.map((language) => [language, this.#countComing(language)]));
    let ending = this.#countState("ending");
    const resetting = [...this.#slots].filter(({ state }) => state === "resetting");
    for (const waiting of this.#inTurn()) {
      const { language } = waiting;
      const slot = this.#match(waiting);
      const onItsWay = coming.get(language) ?? 0;
      if (slot?.projectId === undefined && this.#isSoonServed(waiting, resetting)) coming.set(language, onItsWay - 1);
      else if (slot !== undefined) this.#assign(slot, waiting);
      else if (onItsWay > 0) coming.set(language, onItsWay - 1);
      else if (this.#hasRoom()) this.#start(language);
      else if (ending > 0) ending -= 1;
      else this.#vacate();
    }
    this.#startAhead();
  }

  #assign(slot: Slot, waiting: Waiting): void {
    slot.state = "busy";
    slot.projectId = waiting.projectId;
    slot.runs += 1;
    this.#served.set(waiting.projectId, ++this.#servedCount);
    waiting.resolve(slot);
  }

  /** Only while nobody needs the processor for a host right now, and one after the other. */
  #startAhead(): void {
    if (this.#waiting.length > 0 || this.#countState("starting") > 0 || !this.#hasRoom()) return;
    const { hostsIdleMax } = this.#options;
    const short = interpreters
      .filter((language) => this.#failures.get(language)?.waits !== true)
      .find((language) => this.#countFresh(language) < hostsIdleMax);
    if (short !== undefined) this.#start(short);
  }

  /**
   * Those who wait: the project with the fewest busy hosts first, of equal ones the one that was not served for longest,
   * and in order of arrival within a project. Languages that do not start right now are left out.
   */
  #inTurn(): Waiting[] {
    const able = this.#waiting.filter(({ language }) => this.#failures.get(language)?.waits !== true);
    const projects = new Set(this.#waiting.map(({ projectId }) => projectId));
    for (const projectId of this.#served.keys()) if (!projects.has(projectId)) this.#served.delete(projectId);
    const busy = new Map<string, number>();
    for (const { state, projectId = "" } of this.#slots)
      if (state === "busy") busy.set(projectId, (busy.get(projectId) ?? 0) + 1);
    const turns = able.map((waiting) => {
      const turn = busy.get(waiting.projectId) ?? 0;
      busy.set(waiting.projectId, turn + 1);
      return { waiting, turn, served: this.#served.get(waiting.projectId) ?? 0 };
    });
    return turns.toSorted((a, b) => a.turn - b.turn || a.served - b.served).map(({ waiting }) => waiting);
  }

  #match({ language, projectId }: Waiting): Slot | undefined {
    const idle = [...this.#slots].filter((slot) => slot.state === "idle" && slot.language === language);
    const shared =
      this.#options.isolation === "isolate" ? idle.find((slot) => slot.projectId !== undefined) : undefined;
    return (
      idle.find((slot) => slot.projectId === projectId) ?? shared ?? idle.find((slot) => slot.projectId === undefined)
    );
  }

  /**
   * Whether one of two or more used hosts will be ready for it in milliseconds. A fresh one would serve it at once, but
   * then another must be started ahead, which takes a hundred times as long. The host is taken from those that are left.
   */
  #isSoonServed({ language, projectId }: Waiting, resetting: Slot[]): boolean {
    if (language !== "javascript") return false;
    const anyProject = this.#options.isolation === "isolate";
    const own = resetting.filter((slot) => slot.language === language && (anyProject || slot.projectId === projectId));
    if (own.length < 2) return false;
    resetting.splice(resetting.indexOf(own[0]!), 1);
    return true;
  }

  #countState(state: Slot["state"]): number {
    return [...this.#slots].filter((slot) => slot.state === state).length;
  }

  /** Hosts that will be idle soon; one that then turns out to be another project's is made up for at that time. */
  #countComing(language: Interpreter): number {
    const coming = [...this.#slots].filter(({ state }) => state === "starting" || state === "resetting");
    return coming.filter((slot) => slot.language === language).length;
  }

  #countFresh(language: Interpreter): number {
    const waiting = [...this.#slots].filter(({ state }) => state === "starting" || state === "idle");
    return waiting.filter((slot) => slot.language === language && slot.projectId === undefined).length;
  }

  #hasRoom(): boolean {
    return this.#slots.size < this.#options.hostsMax;
  }

  /** Ends an idle host that serves nobody who waits, preferably one that belongs to a project, and longest idle. */
  #vacate(): void {
    const idle = [...this.#slots].filter(({ state }) => state === "idle").sort((a, b) => a.idleSince - b.idleSince);
    const victim = idle.find(({ projectId }) => projectId !== undefined) ?? idle[0];
    if (victim !== undefined) this.#end(victim);
  }

  #start(language: Interpreter): void {
    const slot: Slot = {
      language,
      state: "starting",
      host: undefined,
      started: Promise.resolve(),
      projectId: undefined,
      runs: 0,
      idleSince: 0,
      freshBytes: 0,
    };
    this.#slots.add(slot);
    slot.started = this.#startHost(language).then(
      (host) => this.#started(slot, host),
      (error: unknown) => {
        this.#slots.delete(slot);
        this.#reportFailure(language, error as Error);
      },
    );
  }

  #started(slot: Slot, host: HostProcess): void {
    slot.host = host;
    void host.closed.then(() => {
      this.#slots.delete(slot);
      this.#serve();
    });
    slot.freshBytes = readUsage(host.pid)?.residentBytes ?? 0;
    this.#becomeIdle(slot);
  }

  async #startHost(language: Interpreter): Promise<HostProcess> {
    if (language === "javascript")
      return await HostProcess.start(
        { type: "boot", language, packages: this.#readPackages() },
        undefined,
        this.#options,
      );
    const snapshotFile = await ensureSnapshot(this.#options);
    return await HostProcess.start({ type: "boot", language, snapshotFile }, undefined, this.#options);
  }

  /** Read once: what changes later is not run. */
  #readPackages(): JavaScriptPackage[] {
    const { javascriptPackages: folder } = this.#options;
    return (this.#javascriptPackages ??= folder === undefined ? [] : readJavaScriptPackages(folder));
  }

  /** Waits longer after each failure. The first is tried again for those who wait; a second one is their answer. */
  #reportFailure(language: Interpreter, error: Error): void {
    if (this.#closed) return;
    const count = (this.#failures.get(language)?.count ?? 0) + 1;
    const waitMs = Math.min(backOffMs.first * 2 ** (count - 1), backOffMs.max);
    clearTimeout(this.#failures.get(language)?.timer);
    const failure = { count, waits: true, timer: setTimeout(() => this.#retry(language), waitMs) };
    this.#failures.set(language, failure);
    this.#options.onFault?.(error);
    if (count < 2) return;
    for (const waiting of this.#waiting.filter((other) => other.language === language)) waiting.reject(error);
  }

  #retry(language: Interpreter): void {
    const failure = this.#failures.get(language);
    if (failure !== undefined) failure.waits = false;
    this.#serve();
  }

  #becomeIdle(slot: Slot): void {
    if (this.#closed) return this.#end(slot);
    slot.state = "idle";
    slot.idleSince = performance.now();
    slot.host?.watchIdle((detail) => {
      if (slot.state !== "idle") return;
      slot.state = "ending";
      const message = `Cannot keep a ${slot.language} sandbox host: it ended while it waited (${detail})`;
      this.#reportFailure(slot.language, new StepvaultError("ERR_SANDBOX_START", message));
    });
    this.#serve();
  }

  async #giveBack(slot: Slot, host: HostProcess, left: Promise<boolean>): Promise<void> {
    const { isolation, hostRunsMax } = this.#options;
    const serves = isolation !== "run" && slot.runs < hostRunsMax;
    if (serves) slot.state = "resetting";
    const clean = await left;
    if (clean) this.#forgetFailures(slot.language);
    if (!clean || !serves || this.#closed) return this.#end(slot);
    if (!(await host.readyAgain()) || this.#isWorn(slot, host)) return this.#end(slot);
    this.#becomeIdle(slot);
  }

  #forgetFailures(language: Interpreter): void {
    clearTimeout(this.#failures.get(language)?.timer);
    this.#failures.delete(language);
  }

  #isWorn({ freshBytes }: Slot, host: HostProcess): boolean {
    const ageMs = performance.now() - host.startedAt;
    const keptBytes = (readUsage(host.pid)?.residentBytes ?? 0) - freshBytes;
    return ageMs > this.#options.hostAgeMsMax || keptBytes > keptBytesMax;
  }

  #end(slot: Slot): void {
    slot.state = "ending";
    slot.host?.kill();
  }

  /** Ends idle hosts that are too old, and used ones that nobody has needed for a while. */
  #retire(): void {
    const now = performance.now();
    for (const slot of this.#slots) {
      if (slot.state !== "idle" || slot.host === undefined) continue;
      const unused = slot.projectId !== undefined && now - slot.idleSince > this.#options.hostIdleMsMax;
      if (unused || now - slot.host.startedAt > this.#options.hostAgeMsMax) this.#end(slot);
    }
  }
}

function closedError(): StepvaultError {
  return new StepvaultError("ERR_SANDBOX_START", "Cannot start a sandbox host: the worker is stopping");
}
