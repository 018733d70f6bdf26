/**
 * setTimeout, setInterval and their ends. The host keeps the clock; this side keeps the callbacks, at most
 * limits.timersMax of them at once. Runs inside the isolate.
 */
import { failRun, type GuestLimits, onHostEvent, send } from "./bridge.ts";

interface Timer {
  readonly callback: (...args: unknown[]) => void;
  readonly args: unknown[];
  readonly intervalMs: number | undefined;
}

export function installTimers(limits: GuestLimits, reportUncaught: (error: unknown) => void): void {
  const timers = new Map<number, Timer>();
  const { get, set, delete: remove } = Map.prototype;
  const apply = Reflect.apply;
  const toNumber = Number;
  const microtask = queueMicrotaskLike();
  let lastId = 0;

  function start(callback: unknown, delay: unknown, args: unknown[], repeats: boolean): number {
    if (typeof callback !== "function") throw new TypeError("The callback of a timer must be a function");
    if (timers.size >= limits.timersMax) {
      failRun(
        "ERR_LIMIT_TIMERS",
        `Cannot start timer ${timers.size + 1}: at most ${limits.timersMax} may be pending at once`,
      );
      return 0;
    }
    const asked = toNumber(delay);
    // As browsers and Node do: what is not a number, negative or above 2^31 - 1 ms means as soon as possible.
    const ms = asked > 0 && asked <= 2_147_483_647 ? asked : 0;
    const id = ++lastId;
    apply(set, timers, [id, { callback, args, intervalMs: repeats ? ms : undefined }]);
    send({ type: "timer", id, ms });
    return id;
  }

  function stop(id: unknown): void {
    if (apply(remove, timers, [id])) send({ type: "untimer", id });
  }

  onHostEvent("timer", ({ id }: { id: number }) => {
    const timer = apply(get, timers, [id]) as Timer | undefined;
    if (timer === undefined) return;
    if (timer.intervalMs === undefined) apply(remove, timers, [id]);
    else send({ type: "timer", id, ms: timer.intervalMs });
    try {
      apply(timer.callback, undefined, timer.args);
    } catch (error) {
      reportUncaught(error);
    }
  });

  const globals = globalThis as Record<string, unknown>;
  globals["setTimeout"] = function setTimeout(callback: unknown, delay?: unknown, ...args: unknown[]) {
    return start(callback, delay, args, false);
  };
  globals["setInterval"] = function setInterval(callback: unknown, delay?: unknown, ...args: unknown[]) {
    return start(callback, delay, args, true);
  };
  globals["setImmediate"] = function setImmediate(callback: unknown, ...args: unknown[]) {
    return start(callback, 0, args, false);
  };
  globals["clearTimeout"] = function clearTimeout(id?: unknown) {
    stop(id);
  };
  globals["clearInterval"] = globals["clearTimeout"];
  globals["clearImmediate"] = globals["clearTimeout"];
  globals["queueMicrotask"] = function queueMicrotask(callback: unknown) {
    if (typeof callback !== "function") throw new TypeError("The callback of queueMicrotask must be a function");
    microtask(() => {
      try {
        apply(callback as () => void, undefined, []);
      } catch (error) {
        reportUncaught(error);
      }
    });
  };
}

function queueMicrotaskLike(): (callback: () => void) => void {
  const resolved = Promise.resolve();
  const then = resolved.then;
  const apply = Reflect.apply;
  return (callback) => void apply(then, resolved, [callback]);
}
