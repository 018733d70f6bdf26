/**
 * Ctrl-C, SIGTERM and a reader that went away: a command's work is given up, what it opened is closed in its usual order, and
 * the process ends with the code that shells expect. A second signal ends it at once. Not for the commands that serve, which
 * have their own way to stop.
 */
import { constants } from "node:os";

/** The work was given up; says with which exit code to end. */
export class Interrupted extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super("interrupted");
    this.exitCode = exitCode;
  }
}

/** Rejects with the signal's reason when that comes first; what the work still does then is of no matter to anybody. */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => {});
  signal.throwIfAborted();
  return await new Promise<T>((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    work.then(resolve, reject);
  });
}

const heldMs = 60_000;
const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Does work that looks at its signal, which aborts with `Interrupted` at the first interruption, and cleans up after itself. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const listeners = signals.map((name) => {
    const listener = (): void => {
      const exitCode = 128 + constants.signals[name];
      if (controller.signal.aborted) process.exit(exitCode);
      controller.abort(new Interrupted(exitCode));
    };
    process.on(name, listener);
    return { name, listener };
  });
  const onPipe = (): void => controller.abort(new Interrupted(0));
  process.stdout.on("error", onPipe);
  // What the work waits for may be on connections and timers that keep no process alive.
  const held = setInterval(() => {}, heldMs);
  try {
    return await work(controller.signal);
  } finally {
    clearInterval(held);
    for (const { name, listener } of listeners) process.off(name, listener);
    process.stdout.off("error", onPipe);
  }
}
