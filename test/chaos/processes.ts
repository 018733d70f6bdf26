/**
 * `stepvault worker` and `stepvault api` as a supervisor keeps them: real processes, started again a moment after they ended,
 * whatever ended them. All that they say goes to a file. With libfaketime a process has a clock that can be set.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, globSync, openSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { hostsOf } from "../helpers/processes.ts";

const main = path.join(import.meta.dirname, "../../cli/main.ts");
const againMs = 500;
const startMsMax = 90_000;

export interface ProcessOptions {
  readonly name: string;
  readonly command: "worker" | "api" | "start";
  readonly environment: Readonly<Record<string, string>>;
  readonly folder: string;
  /** Whether its clock can be set. */
  readonly clock?: boolean;
}

/** Debian's package `faketime` has it. */
const clockLibrary: string | undefined = globSync("/usr/lib/*/faketime/libfaketime.so.1")[0];

export class Supervised {
  readonly name: string;
  readonly logFile: string;
  readonly clockFile: string | undefined;
  /** How often it has ended without having been told to. */
  exits: string[] = [];
  #options: ProcessOptions;
  #child: ChildProcess | undefined;
  #wanted = true;

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.name = options.name;
    this.logFile = path.join(options.folder, `${options.name}.log`);
    if (options.clock === true && clockLibrary !== undefined) {
      this.clockFile = path.join(options.folder, `${options.name}.clock`);
      this.setClock(0);
    }
    this.#launch();
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get hosts(): number[] {
    return hostsOf(this.pid);
  }

  /** Moves the clock by so many seconds from the true time. */
  setClock(seconds: number): void {
    if (this.clockFile === undefined) throw new Error(`${this.name} has no clock of its own`);
    writeFileSync(this.clockFile, `${seconds < 0 ? "-" : "+"}${Math.abs(seconds)}\n`);
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** Sends a signal that ends it, and waits until it has been started again. */
  async end(signal: NodeJS.Signals, timeMsMax = 60_000): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    if ((await Promise.race([ended, sleep(timeMsMax, "late" as const, { ref: false })])) === "late")
      throw new Error(`${this.name} has not ended within ${timeMsMax} ms of ${signal}`);
  }

  /** What it has said since it was last started. */
  log(): string {
    return readFileSync(this.logFile, "utf8").slice(this.#from);
  }

  #from = 0;

  /** Waits until it has said that it serves. */
  async serves(): Promise<void> {
    const words = this.#options.command === "worker" ? "worker started" : "The API listens";
    for (const end = performance.now() + startMsMax; performance.now() < end;) {
      if (this.log().includes(words)) return;
      await sleep(100);
    }
    throw new Error(`${this.name} does not serve within ${startMsMax} ms: ${this.log().slice(-2_000)}`);
  }

  async close(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    this.#wanted = false;
    this.signal("SIGCONT");
    await this.end(signal, 40_000).catch(async () => await this.end("SIGKILL"));
  }

  #launch(): void {
    this.#from = existsSync(this.logFile) ? readFileSync(this.logFile).length : 0;
    const log = openSync(this.logFile, "a", 0o600);
    const clock =
      this.clockFile === undefined || clockLibrary === undefined
        ? {}
        : {
            LD_PRELOAD: clockLibrary,
            FAKETIME_TIMESTAMP_FILE: this.clockFile,
            FAKETIME_NO_CACHE: "1",
            FAKETIME_DONT_FAKE_MONOTONIC: "1",
          };
    const { command, environment, folder } = this.#options;
    const child = spawn(process.execPath, [main, command], {
      cwd: folder,
      env: { PATH: process.env["PATH"], ...environment, ...clock },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    this.#child = child;
    child.once("exit", (code, signal) => {
      if (this.#wanted) this.exits.push(signal ?? `exit ${code}`);
      void this.#again();
    });
  }

  async #again(): Promise<void> {
    await sleep(againMs);
    if (this.#wanted) this.#launch();
  }
}
