/**
 * Starts a sandbox host: a Node process with an empty environment, no network, no child processes and no files but its
 * own code, isolated-vm's and Pyodide's (Node's permission model), in its own process group. Speaks frames with it over
 * stdin and stdout; its stderr is kept only until it is ready, since later it may hold what a step wrote.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { realpathSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { StepvaultError } from "../protocol/error.ts";
import type { Interpreter } from "../protocol/job.ts";
import { encodeFrame, FrameDecoder } from "./bridge/frame.ts";
import { type HostMessage, hostMessageSchema, type WorkerMessage } from "./bridge/messages.ts";

const extension = import.meta.filename.endsWith(".ts") ? ".ts" : ".js";
const hostMain = fileURLToPath(new URL(`./host/main${extension}`, import.meta.url));
const require = createRequire(import.meta.url);

/** A host that is not ready after this long is broken: cold-starting Python takes about 2 s. */
const startTimeMsMax = 60_000;
const stderrBytesMax = 4_096;

/** Folders a host may read: its code, and the packages that it imports. */
function readablePaths(): string[] {
  const here = path.dirname(fileURLToPath(import.meta.url));
  const packages = ["isolated-vm", "pyodide", "acorn", "zod", "node-gyp-build"].map((name) => packageFolder(name));
  // node-gyp-build, inside isolated-vm, looks for this file to tell glibc from musl.
  return [
    here,
    path.join(here, "..", "protocol"),
    path.join(here, "..", "package.json"),
    ...packages,
    "/etc/alpine-release",
  ];
}

function packageFolder(name: string): string {
  for (const folder of require.resolve.paths(name) ?? []) {
    const candidate = path.join(folder, name);
    try {
      require.resolve(path.join(candidate, "package.json"));
      // Node asks for permission to read the target of a link, not the link.
      return realpathSync(candidate);
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

export class HostProcess {
  readonly pid: number;
  readonly language: Interpreter;
  #child: ChildProcessByStdio<Writable, Readable, Readable>;
  #handlers: HostHandlers | undefined;
  #exited = false;
  #ready = false;
  #stderr = "";

  private constructor(language: Interpreter, child: ChildProcessByStdio<Writable, Readable, Readable>) {
    this.language = language;
    this.#child = child;
    this.pid = child.pid ?? 0;
    this.#readMessages();
    child.stderr.on("data", (chunk: Buffer) => {
      if (this.#ready) return;
      this.#stderr = (this.#stderr + chunk.toString("utf8")).slice(-stderrBytesMax);
    });
    child.stdin.on("error", () => {});
  }

  /** Starts a host and waits until it is ready for a run. Throws ERR_SANDBOX_START. */
  static async start(
    boot: Extract<WorkerMessage, { type: "boot" }>,
    onSnapshot?: (data: string) => void,
  ): Promise<HostProcess> {
    const readable = readablePaths();
    if (boot.snapshotFile !== undefined) readable.push(boot.snapshotFile);
    if (boot.packages !== undefined) readable.push(boot.packages.folder);
    const flags = ["--permission", "--allow-addons", "--no-warnings", "--no-node-snapshot"];
    const args = [...flags, ...readable.map((folder) => `--allow-fs-read=${folder}`), hostMain];
    const child = spawn(process.execPath, args, { env: {}, stdio: ["pipe", "pipe", "pipe"], detached: true, cwd: "/" });
    const host = new HostProcess(boot.language, child);
    await host.#becomeReady(boot, onSnapshot);
    return host;
  }

  get exited(): boolean {
    return this.#exited;
  }

  /** Messages and the exit of this host go to one run from now on. */
  attach(handlers: HostHandlers): void {
    this.#handlers = handlers;
    if (this.#exited) handlers.onExit("it ended before the run");
  }

  send(message: WorkerMessage): void {
    if (!this.#exited) this.#child.stdin.write(encodeFrame(message));
  }

  /** Sends and waits until the host has taken it in, or is gone. */
  async sendAndDrain(message: WorkerMessage): Promise<void> {
    if (this.#exited || this.#child.stdin.write(encodeFrame(message))) return;
    await new Promise<void>((resolve) => {
      this.#child.stdin.once("drain", resolve).once("close", resolve);
    });
  }

  /** Stops reading until `resume`, so that the host, and then the step, has to wait. */
  pause(): void {
    this.#child.stdout.pause();
  }

  resume(): void {
    this.#child.stdout.resume();
  }

  /** Ends the process and whatever it may have started. Returns at once; safe to call twice. */
  kill(): void {
    if (this.#exited) return;
    try {
      process.kill(-this.pid, "SIGKILL");
    } catch {
      this.#child.kill("SIGKILL");
    }
  }

  #readMessages(): void {
    const decoder = new FrameDecoder();
    this.#child.stdout.on("data", (chunk: Buffer) => {
      try {
        for (const message of decoder.push(chunk)) this.#handlers?.onMessage(hostMessageSchema.parse(message));
      } catch {
        this.#handlers?.onMessage({
          type: "failed",
          error: {
            code: "ERR_BRIDGE_PROTOCOL",
            message: "Cannot go on: the sandbox host sent a message of no known shape",
          },
        });
        this.kill();
      }
    });
    this.#child.on("error", (error) => this.#exit(error.message));
    // "close" and not "exit": all messages that the host wrote before it ended have been read by then.
    this.#child.on("close", (code, signal) => this.#exit(signal ?? `exit code ${code}`));
  }

  #exit(detail: string): void {
    if (this.#exited) return;
    this.#exited = true;
    this.#handlers?.onExit(detail);
  }

  #becomeReady(
    boot: Extract<WorkerMessage, { type: "boot" }>,
    onSnapshot: ((data: string) => void) | undefined,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (reason: string): void => {
        clearTimeout(timer);
        this.kill();
        const detail = this.#stderr === "" ? "" : `: ${this.#stderr.trim()}`;
        const cause = new Error(`${reason}${detail}`);
        reject(
          new StepvaultError("ERR_SANDBOX_START", `Cannot start a ${boot.language} sandbox host: ${reason}`, { cause }),
        );
      };
      const timer = setTimeout(() => fail(`not ready after ${startTimeMsMax} ms`), startTimeMsMax);
      const booting: HostHandlers = {
        onMessage: (message) => {
          if (message.type === "snapshot") onSnapshot?.(message.data);
          if (message.type === "failed") fail(message.error.message);
          if (message.type !== "ready") return;
          clearTimeout(timer);
          this.#ready = true;
          resolve();
        },
        onExit: (detail) => fail(`it ended (${detail})`),
      };
      this.#handlers = booting;
      this.send(boot);
    });
  }
}
