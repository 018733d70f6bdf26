/**
 * Watches one sandbox host from outside: wall clock, processor time and resident memory, read from /proc. Outside, since
 * a step can keep its isolate and its host's event loop busy in ways that nothing inside can interrupt.
 */
import { readFileSync } from "node:fs";
import { StepvaultError } from "../protocol/error.ts";
import type { Limits } from "../protocol/limits.ts";

const pollMs = 50;
/** Linux counts processor time in ticks of 10 ms, whatever the kernel's own rate (USER_HZ). */
const tickMs = 10;
const pageBytes = 4_096;
/** Of /proc/<pid>/stat, counted from behind the name: proc_pid_stat(5) has utime as its 14th, stime 15th and rss 24th field. */
const [utimeField, stimeField, rssField] = [11, 12, 21];

/** What a host may use beyond the step's own memory: garbage, copies on the bridge, compiled code. */
const overheadBytes = 192 * 1024 * 1024;

export interface ProcessUsage {
  cpuMs: number;
  residentBytes: number;
}

/** Processor time and resident memory of a process; undefined once it is gone, or where there is no /proc. */
export function readUsage(pid: number): ProcessUsage | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in brackets and may hold blanks: count from after it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return {
      cpuMs: (Number(fields[utimeField]) + Number(fields[stimeField])) * tickMs,
      residentBytes: Number(fields[rssField]) * pageBytes,
    };
  } catch {
    return undefined;
  }
}

export class Watchdog {
  #pid: number;
  #limits: Limits;
  #onBreach: (error: StepvaultError) => void;
  #atStart: ProcessUsage;
  #peakBytes = 0;
  #last: ProcessUsage;
  #startedAt = performance.now();
  #timers: NodeJS.Timeout[] = [];

  /** Starts watching. `onBreach` is called once, with the error that the run ends with. */
  constructor(pid: number, limits: Limits, onBreach: (error: StepvaultError) => void) {
    this.#pid = pid;
    this.#limits = limits;
    this.#onBreach = onBreach;
    this.#atStart = readUsage(pid) ?? { cpuMs: 0, residentBytes: 0 };
    this.#last = this.#atStart;
    this.#timers.push(
      setTimeout(() => this.#breachWallTime(), limits.wallTimeMsMax),
      setInterval(() => this.#poll(), pollMs),
    );
  }

  /** What the run has used so far. `memoryPeakBytes` is the growth of the host's resident memory since the start. */
  usage(): { wallMs: number; cpuMs: number; memoryPeakBytes: number } {
    this.#sample();
    return {
      wallMs: Math.round(performance.now() - this.#startedAt),
      cpuMs: Math.max(0, this.#last.cpuMs - this.#atStart.cpuMs),
      memoryPeakBytes: Math.max(0, this.#peakBytes - this.#atStart.residentBytes),
    };
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  /** Whether the host grew so close to its memory limit that its sudden end must have been that. */
  ranOutOfMemory(): boolean {
    return this.usage().memoryPeakBytes > this.#limits.memoryBytesMax * 0.8;
  }

  #sample(): void {
    const usage = readUsage(this.#pid);
    if (usage === undefined) return;
    this.#last = usage;
    this.#peakBytes = Math.max(this.#peakBytes, usage.residentBytes);
  }

  #poll(): void {
    const { cpuMs, memoryPeakBytes } = this.usage();
    const { cpuTimeMsMax, memoryBytesMax } = this.#limits;
    if (cpuMs > cpuTimeMsMax) {
      this.#breach(
        new StepvaultError(
          "ERR_LIMIT_CPU_TIME",
          `Cannot go on: ${cpuMs} ms of processor time, at most ${cpuTimeMsMax} are allowed (cpuTimeMsMax)`,
        ),
      );
    } else if (memoryPeakBytes > memoryBytesMax + overheadBytes) {
      this.#breach(memoryError(memoryPeakBytes, memoryBytesMax));
    }
  }

  #breachWallTime(): void {
    const { wallTimeMsMax } = this.#limits;
    this.#breach(
      new StepvaultError(
        "ERR_LIMIT_WALL_TIME",
        `Cannot go on: the run is not done after ${wallTimeMsMax} ms, its limit (wallTimeMsMax)`,
      ),
    );
  }

  #breach(error: StepvaultError): void {
    this.stop();
    this.#onBreach(error);
  }
}

export function memoryError(usedBytes: number, memoryBytesMax: number): StepvaultError {
  return new StepvaultError(
    "ERR_LIMIT_MEMORY",
    `Cannot go on: about ${usedBytes} bytes of memory, at most ${memoryBytesMax} are allowed (memoryBytesMax)`,
  );
}
