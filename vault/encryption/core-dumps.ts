/**
 * Keeps the memory of a process that holds keys out of core dumps: nothing of it is chosen for one. Node cannot set the
 * limit on a dump's size, but Linux asks this file which kinds of memory a dump has, and child processes inherit it. On other
 * systems nothing happens: there the limit has to come from who starts the process (`ulimit -c 0`).
 */
import { writeFile } from "node:fs/promises";

/** Whether it was done. */
export async function keepMemoryOutOfCoreDumps(): Promise<boolean> {
  return await writeFile("/proc/self/coredump_filter", "0").then(
    () => true,
    () => false,
  );
}
