/**
 * setTimeout, setInterval, setImmediate and their ends, and queueMicrotask. The host keeps the clock; this side keeps
 * the callbacks, at most limits.timersMax of them at once. Runs inside the isolate.
 */
import { failRun, type GuestLimits, onHostEvent, send } from "./bridge.ts";
import { exposeGlobal } from "./globals.ts";

interface Timer {
  readonly callback: (...args: unknown[]) => void;
  readonly args: unknown[];
  readonly intervalMs: number | undefined;
}

const timers = new Map<number, Timer>();
let lastId = 0;
let timerLimits: Pick<GuestLimits, "timersMax"> = { timersMax: 0 };

/** Told of errors that no code of the step can catch. */
export let reportUncaught: (error: unknown) => void = () => {};

/** As browsers and Node do: what is not a number, negative or above 2^31 - 1 ms means as soon as possible. */
function toDelay(delay: unknown): number {
  const ms = Number(delay);
  return ms > 0 && ms <= 2_147_483_647 ? ms : 0;
}

export function startTimer(
  callback: unknown,
  delay?: unknown,
  more: { args?: unknown[]; repeats?: boolean } = {},
): number {
  if (typeof callback !== "function") throw new TypeError("The callback of a timer must be a function");
  const { timersMax } = timerLimits;
  if (timers.size >= timersMax) {
    failRun("ERR_LIMIT_TIMERS", `Cannot start timer ${timers.size + 1}: at most ${timersMax} may be pending at once`);
    return 0;
  }
  const ms = toDelay(delay);
  const id = ++lastId;
  const intervalMs = more.repeats === true ? ms : undefined;
  timers.set(id, { callback: callback as Timer["callback"], args: more.args ?? [], intervalMs });
  send({ type: "timer", id, ms });
  return id;
}

function stopTimer(id: unknown): void {
  if (timers.delete(Number(id))) send({ type: "untimer", id: Number(id) });
}

function fire({ id }: { id: number }): void {
  const timer = timers.get(id);
  if (timer === undefined) return;
  if (timer.intervalMs === undefined) timers.delete(id);
  else send({ type: "timer", id, ms: timer.intervalMs });
  callUncaught(timer.callback, timer.args);
}

/** Calls a function whose error no code of the step can catch. */
function callUncaught(callback: Timer["callback"], args: unknown[]): void {
  try {
    Reflect.apply(callback, undefined, args);
  } catch (error) {
    reportUncaught(error);
  }
}

export function installTimers(limits: GuestLimits, onUncaught: (error: unknown) => void): void {
  timerLimits = limits;
  reportUncaught = onUncaught;
  onHostEvent("timer", fire);
  exposeGlobal("setTimeout", (callback: unknown, delay?: unknown, ...args: unknown[]) =>
    startTimer(callback, delay, { args }),
  );
  exposeGlobal("setInterval", (callback: unknown, delay?: unknown, ...args: unknown[]) =>
    startTimer(callback, delay, { args, repeats: true }),
  );
  exposeGlobal("setImmediate", (callback: unknown, ...args: unknown[]) => startTimer(callback, 0, { args }));
  for (const name of ["clearTimeout", "clearInterval", "clearImmediate"])
    exposeGlobal(name, (id?: unknown) => stopTimer(id));
  exposeGlobal("queueMicrotask", (callback: unknown) => {
    if (typeof callback !== "function") throw new TypeError("The callback of queueMicrotask must be a function");
    const run = (): void => callUncaught(callback as Timer["callback"], []);
    void Promise.resolve().then(run);
  });
}
