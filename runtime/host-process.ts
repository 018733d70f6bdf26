/**
 * Starts a sandbox host: a Node process with an empty environment and no files but its own code, isolated-vm's and
 * Pyodide's, inside the layers that this machine allows (runtime/layers.ts), in its own process group. Speaks frames
 * with it over stdin and stdout, for one run at a time, and believes it nothing: a frame that is not of that run ends
 * the process. What it says on stderr is told only until it is ready, since later it may hold what a step wrote; then
 * no more is read of it than shows whether memory ran out.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { readFileSync, realpathSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { type ErrorCode, StepvaultError } from "../protocol/error.ts";
import type { Interpreter } from "../protocol/job.ts";
import { encodeFrame, FrameDecoder } from "./bridge/frame.ts";
import { type HostFrame, hostFrameSchema, type HostMessage, type WorkerMessage } from "./bridge/messages.ts";
import { detectLayers, permissionFlags, type SandboxLayers, wrapCommand } from "./layers.ts";

const extension = import.meta.filename.endsWith(".ts") ? ".ts" : ".js";
const hostMain = fileURLToPath(new URL(`./host/main${extension}`, import.meta.url));
const require = createRequire(import.meta.url);

/** The machine's time zones, which become part of the Python snapshot. */
export const zoneinfoFolder = "/usr/share/zoneinfo";

/** A host that is not ready after this long is broken: cold-starting Python takes about 2 s. */
const startTimeMsMax = 60_000;
const stderrBytesMax = 4_096;
/** What V8, and C++ below it, write when the kernel gives no more memory; room for an isolate is no step's doing. */
const outOfMemory = /out of memory(?!: Failed to reserve)|is_heap_oom = 1|bad_alloc/i;

/** Folders a host may read: its code, and the packages that it imports. */
function readablePaths(): string[] {
  const here = path.dirname(fileURLToPath(import.meta.url));
  const packages = ["isolated-vm", "pyodide", "acorn", "zod", "node-gyp-build"].flatMap((name) => packageFolders(name));
  // node-gyp-build, inside isolated-vm, looks for this file to tell glibc from musl.
  return [
    here,
    path.join(here, "..", "protocol"),
    path.join(here, "..", "package.json"),
    ...packages,
    "/etc/alpine-release",
  ];
}

/** A package's folder, and where it really is when that is a link. */
function packageFolders(name: string): string[] {
  for (const folder of require.resolve.paths(name) ?? []) {
    const candidate = path.join(folder, name);
    try {
      require.resolve(path.join(candidate, "package.json"));
      return [...new Set([candidate, realpathSync(candidate)])];
    } catch {
      // Not in this node_modules; the next one up may hold it.
    }
  }
  throw new StepvaultError("ERR_SANDBOX_START", `Cannot start a sandbox host: the package ${name} is not installed`);
}

export interface HostHandlers {
  onMessage(message: HostMessage): void;
  /** The process is gone; no message follows. `detail` is for the service's log and holds nothing a step wrote. */
  onExit(detail: string): void;
}

export interface HostStartOptions {
  /** Those of this machine, unless given. */
  readonly layers?: SandboxLayers | undefined;
  /** The most that a run may be allowed; the kernel's own bound lies above it. */
  readonly memoryBytesMax?: number | undefined;
  /** The host's program, another one only where a test needs a host that lies. */
  readonly program?: string | undefined;
}

type BootMessage = Extract<WorkerMessage, { type: "boot" }>;
type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/** One run's use of a host. Once it is released or the host is gone, whatever it sends goes nowhere. */
export interface HostRun {
  readonly pid: number;
  send(message: WorkerMessage): void;
  /** Sends and waits until the host has taken it in, or is gone. */
  sendAndDrain(message: WorkerMessage): Promise<void>;
  /** Stops reading until `resume`, so that the host, and then the step, has to wait. */
  pause(): void;
  resume(): void;
  /** Has the host end the run and destroy its isolate. Resolves to whether it said in time that nothing is left. */
  release(timeMsMax: number): Promise<boolean>;
  kill(): void;
  /** Whether the host ended for want of memory, by its own account. */
  ranOutOfMemory(): boolean;
}

export class HostProcess {
  readonly language: Interpreter;
  readonly startedAt = performance.now();
  /** Resolves when the process is gone. */
  readonly closed: Promise<void>;
  #child: Child;
  #pid: number;
  #handlers: HostHandlers;
  #exited = false;
  /** Gone, or going. */
  #killed = false;
  #booted = false;
  #stderr = "";
  #draining: Promise<void> | undefined;
  /** The number of the run that has the host, or had it last. */
  #run = 0;
  #phase: "idle" | "running" | "releasing" | "preparing" = "preparing";
  #onIdle: () => void = () => {};
  #onReady: () => void = () => {};
  #ready: Promise<void>;

  private constructor(language: Interpreter, child: Child, handlers: HostHandlers) {
    this.language = language;
    this.#child = child;
    this.#pid = child.pid ?? 0;
    this.#handlers = handlers;
    this.#ready = new Promise((resolve) => (this.#onReady = resolve));
    this.closed = new Promise((resolve) => {
      const exit = (detail: string): void => {
        this.#exit(detail);
        resolve();
      };
      child.on("error", (error) => exit(error.message));
      // "close" and not "exit": all messages that the host wrote before it ended have been read by then.
      child.on("close", (code, signal) => exit(signal ?? `exit code ${code}`));
    });
    this.#readFrames();
    child.stderr.on("data", (chunk: Buffer) => {
      const text = this.#stderr + chunk.toString("utf8");
      this.#stderr = this.#booted ? text.slice(0, stderrBytesMax) : text.slice(-stderrBytesMax);
      // One that was taken over must not keep the worker reading.
      if (this.#booted && this.#stderr.length === stderrBytesMax) child.stderr.destroy();
    });
    child.stdin.on("error", () => {});
  }

  /** Starts a host and waits until it is ready for a run. Throws ERR_SANDBOX_START. */
  static async start(
    boot: BootMessage,
    onSnapshot?: (data: string) => void,
    { layers, program = hostMain, memoryBytesMax }: HostStartOptions = {},
  ): Promise<HostProcess> {
    const readable = [...readablePaths(), process.execPath];
    if (boot.snapshotFile !== undefined) readable.push(boot.snapshotFile);
    else if (boot.language === "python") readable.push(zoneinfoFolder);
    for (const { file } of [...(boot.wheels ?? []), ...(boot.packages ?? [])]) readable.push(file);
    if (program !== hostMain) readable.push(path.dirname(program));
    const args = [...permissionFlags(readable), "--no-warnings", "--no-node-snapshot", program];
    const command = wrapCommand(
      layers ?? (await detectLayers()),
      { program: process.execPath, args },
      {
        readable,
        memoryBytesMax,
      },
    );
    const child = spawn(command.program, command.args, {
      env: {},
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
      cwd: "/",
    });
    return await bootHost(boot, onSnapshot, (handlers) => new HostProcess(boot.language, child, handlers));
  }

  /** Called by the boot alone: the first frame, and the process that later does the work. */
  boot(message: BootMessage): void {
    this.#write(0, message);
  }

  booted(): void {
    this.#booted = true;
    this.#stderr = "";
    this.#pid = innermostChild(this.#pid);
    preferForKilling(this.#pid);
  }

  /** The process that runs the steps, inside whatever was started around it. */
  get pid(): number {
    return this.#pid;
  }

  get stderr(): string {
    return this.#stderr.trim();
  }

  /** Who is told, once, when the host ends between two runs or can no longer be trusted with one. */
  watchIdle(onEnd: (detail: string) => void): void {
    this.#handlers = {
      onMessage: ({ type }) => void (type === "failed" && onEnd("it spoke out of turn")),
      onExit: onEnd,
    };
    if (this.#killed) onEnd("it ended while it waited");
  }

  /** Gives the host to a run. */
  beginRun(handlers: HostHandlers): HostRun {
    this.#handlers = handlers;
    const run = ++this.#run;
    const usable = this.#phase === "idle" && !this.#killed;
    this.#phase = "running";
    if (!usable) {
      this.kill();
      queueMicrotask(() => handlers.onExit("it was not idle when the run came"));
    }
    const mine = (): boolean => this.#run === run && this.#phase === "running" && !this.#exited;
    return {
      pid: this.#pid,
      send: (message) => void (mine() && this.#write(run, message)),
      sendAndDrain: async (message) => {
        if (mine() && !this.#write(run, message)) await this.#drained();
      },
      pause: () => void (mine() && this.#child.stdout.pause()),
      resume: () => void (mine() && this.#child.stdout.resume()),
      release: async (timeMsMax) => mine() && (await this.#release(run, timeMsMax)),
      kill: () => this.kill(),
      ranOutOfMemory: () => outOfMemory.test(this.#stderr),
    };
  }

  /** Resolves once the host is ready for its next run, and rejects never: a host that is not in time is killed. */
  async readyAgain(): Promise<boolean> {
    const timer = setTimeout(() => this.kill(), startTimeMsMax);
    await Promise.race([this.#ready, this.closed]);
    clearTimeout(timer);
    return !this.#killed && this.#phase === "idle";
  }

  /** Ends the process and whatever it may have started. Returns at once; safe to call twice. */
  kill(): void {
    this.#killed = true;
    if (this.#exited) return;
    // Nothing that it still says is heard, but a pipe that nobody reads would hide the end of the process.
    this.#child.stdout.removeAllListeners("data").resume();
    const { pid } = this.#child;
    // Without a process there is no group either, and the group 0 is the worker's own.
    if (pid === undefined) return;
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      this.#child.kill("SIGKILL");
    }
  }

  async #release(run: number, timeMsMax: number): Promise<boolean> {
    this.#write(run, { type: "release" });
    this.#phase = "releasing";
    this.#ready = new Promise((resolve) => (this.#onReady = resolve));
    this.#child.stdout.resume();
    const idle = new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), timeMsMax);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
    const inTime = await Promise.race([idle, this.closed.then(() => false)]);
    if (!inTime) this.kill();
    return inTime;
  }

  /** False when the pipe is full. */
  #write(run: number, message: WorkerMessage): boolean {
    return this.#child.stdin.write(encodeFrame({ run, message }));
  }

  /** Resolves once the pipe has room again, or is gone. One wait for all who write. */
  #drained(): Promise<void> {
    this.#draining ??= new Promise<void>((resolve) => {
      const { stdin } = this.#child;
      const done = (): void => {
        stdin.off("drain", done).off("close", done);
        this.#draining = undefined;
        resolve();
      };
      stdin.on("drain", done).on("close", done);
    });
    return this.#draining;
  }

  #readFrames(): void {
    const decoder = new FrameDecoder();
    this.#child.stdout.on("data", (chunk: Buffer) => {
      try {
        for (const frame of decoder.push(chunk)) if (!this.#killed) this.#receive(hostFrameSchema.parse(frame));
      } catch {
        this.#distrust("a message of no known shape");
      }
    });
  }

  #receive({ run, message }: HostFrame): void {
    if (run === 0) return this.#receiveBetweenRuns(message);
    if (run !== this.#run) return this.#distrust("a message of another run");
    if (this.#phase === "running" && message.type !== "idle") return this.#handlers.onMessage(message);
    if (this.#phase !== "releasing") return this.#distrust("a message out of turn");
    if (message.type === "idle") {
      this.#phase = "preparing";
      this.#onIdle();
      return;
    }
    // On its way when the run was released.
    this.#handlers.onMessage(message);
  }

  #receiveBetweenRuns(message: HostMessage): void {
    if (this.#phase !== "preparing") return this.#distrust("a message of no run in the middle of one");
    if (message.type === "ready") {
      this.#phase = "idle";
      this.#onReady();
    } else if (this.#booted) return this.#distrust("a message that belongs to no run");
    this.#handlers.onMessage(message);
  }

  /** Whatever it was, this process is not to be trusted with anything more. */
  #distrust(what: string): void {
    const message = `Cannot go on: the sandbox host sent ${what}`;
    this.kill();
    this.#handlers.onMessage({ type: "failed", error: { code: "ERR_BRIDGE_PROTOCOL", message } });
  }

  #exit(detail: string): void {
    if (this.#exited) return;
    this.#exited = true;
    this.#killed = true;
    this.#handlers.onExit(detail);
  }
}

function bootHost(
  boot: BootMessage,
  onSnapshot: ((data: string) => void) | undefined,
  create: (handlers: HostHandlers) => HostProcess,
): Promise<HostProcess> {
  return new Promise((resolve, reject) => {
    const fail = (reason: string, code: ErrorCode = "ERR_SANDBOX_START"): void => {
      clearTimeout(timer);
      host.kill();
      const cause = new Error(host.stderr === "" ? reason : `${reason}: ${host.stderr}`);
      reject(new StepvaultError(code, `Cannot start a ${boot.language} sandbox host: ${reason}`, { cause }));
    };
    const timer = setTimeout(() => fail(`not ready after ${startTimeMsMax} ms`), startTimeMsMax);
    const host = create({
      onMessage: (message) => {
        if (message.type === "snapshot") onSnapshot?.(message.data);
        if (message.type === "failed") fail(message.error.message, message.error.code);
        if (message.type !== "ready") return;
        clearTimeout(timer);
        host.booted();
        resolve(host);
      },
      onExit: (detail) => fail(`it ended (${detail})`),
    });
    host.boot(boot);
  });
}

/** The last of a chain of only children: Node, behind the programs that were started around it. */
function innermostChild(pid: number): number {
  let innermost = pid;
  for (let child = pid; child > 0;) {
    innermost = child;
    child = readNumber(`/proc/${child}/task/${child}/children`);
  }
  return innermost;
}

function readNumber(file: string): number {
  try {
    return Number.parseInt(readFileSync(file, "utf8"), 10) || 0;
  } catch {
    return 0;
  }
}

/** When the machine runs out of memory, a step's host goes first and not the worker. */
function preferForKilling(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, "1000");
  } catch {
    // No Linux, or not allowed: the watchdog still bounds each host.
  }
}
