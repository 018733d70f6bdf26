/** Memory after much output: what is garbage goes back to the system once such a run has ended, and only then. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { giveBackMemory } from "../../worker/memory.ts";

const mib = 1024 * 1024;

/** What the heap takes, MiB, after something that it held on to for a while was let go. */
function heapAfterMuch(): number {
  let held: unknown[] = Array.from({ length: 300_000 }, (_, i) => ({ text: `line ${i} `.repeat(4).split(" ") }));
  const taken = process.memoryUsage().heapTotal / mib;
  expect(held).toHaveLength(300_000);
  held = [];
  return taken;
}

test("a run that printed much gives memory back, one that printed little costs no collection", async () => {
  const taken = heapAfterMuch();
  giveBackMemory(mib);
  await sleep(1_500);
  expect(process.memoryUsage().heapTotal / mib).toBeGreaterThan(taken - 30);
  giveBackMemory(100 * mib);
  await expect.poll(() => process.memoryUsage().heapTotal / mib, { timeout: 5_000 }).toBeLessThan(taken - 60);
});

test("nothing that is done leaves the function of the collector to other code", () => {
  expect((globalThis as { gc?: unknown }).gc).toBeUndefined();
});
