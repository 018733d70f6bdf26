/** What is reported again and again is said now and then, with how often it was, and never left out altogether. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { seldom } from "../../worker/seldom.ts";

test("the same error is said at once, then once per pause with how often it came; others are said beside it", async () => {
  const said: string[] = [];
  const report = seldom(50, ({ message }, times) => void said.push(`${message} ${times}`));
  for (let i = 0; i < 100; i += 1) report(new Error("away"));
  report(new Error("refused"));
  expect(said).toEqual(["away 1", "refused 1"]);
  await sleep(60);
  report(new Error("away"));
  expect(said).toEqual(["away 1", "refused 1", "away 100"]);
});

test("a thousand different errors are all said", () => {
  let said = 0;
  const report = seldom(1_000, () => (said += 1));
  for (let i = 0; i < 1_000; i += 1) report(new Error(`number ${i}`));
  expect(said).toBe(1_000);
});
