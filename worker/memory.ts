/**
 * Gives memory back after runs that printed much. What they left is garbage, but V8 sees no reason to collect it until the heap
 * has grown to its limit, and a worker would keep a hundred MiB for nothing. One collection stops the process for about as long
 * as it took to redact a MiB, so it comes after much output only, and once for all runs that end together.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const muchBytes = 16 * 1024 * 1024;
const pauseMs = 1_000;

type Collect = (options: { type: "major"; execution: "async"; flavor: "last-resort" }) => Promise<void>;

let collect: Collect | undefined;
let timer: NodeJS.Timeout | undefined;

/** To be called once a run has ended, with the size of the events that it wrote. */
export function giveBackMemory(eventsBytes: number): void {
  if (eventsBytes < muchBytes) return;
  clearTimeout(timer);
  timer = setTimeout(() => {
    collect ??= findCollector();
    void collect({ type: "major", execution: "async", flavor: "last-resort" });
  }, pauseMs);
  timer.unref();
}

/** The function `gc` of V8, which only a context has that is made while its flag is set. */
function findCollector(): Collect {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as Collect;
  setFlagsFromString("--no-expose-gc");
  return gc;
}
