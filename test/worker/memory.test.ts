/** Memory after much output: all garbage is collected once such a run has ended, and only then. Told by V8's own events. */
import { constants, PerformanceObserver } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { giveBackMemory } from "../../worker/memory.ts";

const mib = 1024 * 1024;

test("a run that printed much has all garbage collected, one that printed little has not", async () => {
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { flags } = (entry as PerformanceEntry & { detail: { flags: number } }).detail;
      // V8's own collections never are of this kind.
      if (flags === constants.NODE_PERFORMANCE_GC_FLAGS_ALL_AVAILABLE_GARBAGE) collections += 1;
    }
  });
  observer.observe({ entryTypes: ["gc"] });
  onTestFinished(() => observer.disconnect());
  giveBackMemory(mib);
  await sleep(1_500);
  expect(collections).toBe(0);
  giveBackMemory(100 * mib);
  await expect.poll(() => collections, { timeout: 10_000 }).toBeGreaterThan(0);
  expect((globalThis as { gc?: unknown }).gc).toBeUndefined();
});
