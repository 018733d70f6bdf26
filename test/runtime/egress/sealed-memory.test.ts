/**
 * Steps that do all they can to get a sealed secret's value. Goal: it is found nowhere: not in what they say,
 * not at a server that is not the secret's, and not in the memory of the sandbox's process. Method: steps made at random
 * from tricks (helpers/hostile-steps.ts); some are held at their end, with all that they got, while the whole memory of
 * their process is searched, heaps of isolates and WebAssembly memory included.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeHostileStep } from "../../helpers/hostile-steps.ts";
import { needlesOf, searchMemory } from "../../helpers/memory.ts";
import { hostsOf } from "../../helpers/processes.ts";
import { type SealedWorld, startSealedWorld } from "../../helpers/sealed.ts";
import { SecretValue } from "../../../protocol/secret.ts";

/** `npm run attack:sealed` makes a thousand; each takes half a second with its searches. */
const steps = Number(process.env["HOSTILE_STEPS"] ?? 60);
/** Each of so many has its memory searched. */
const searchedEvery = 10;
/** Letters and digits alone, so that it may stand anywhere, and in no text by chance. */
const value = "Qz7RkT4mWx9LbN2vYc5HpJ8dFs3GtA6u";
const needles = needlesOf(value);

let world: SealedWorld;
let holder: Server;
/** What is done while a step is held. */
let whileHeld: () => void = () => {};

beforeAll(async () => {
  holder = createServer((_, response) => {
    whileHeld();
    response.end();
  });
  await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
  const hold = `127.0.0.1:${(holder.address() as AddressInfo).port}`;
  world = await startSealedWorld({ hold: `http://${hold}`, open: [hold] });
});
afterAll(async () => {
  await world.close();
  holder.close();
});

function expectNone(where: string, text: string): void {
  for (const needle of needles) {
    if (Buffer.from(text).includes(needle)) throw new Error(`${where} holds a piece of the value`);
  }
}

test("the search finds the value of a readable secret in the memory of its step", async () => {
  const readable = "Rd4GhJ7kLz2XcV9bNm5QwE8rTy1UiO3p";
  for (const language of ["javascript", "python"] as const) {
    const found = new Set<string>();
    whileHeld = () => {
      for (const pid of hostsOf()) for (const text of searchMemory(pid, needlesOf(readable)).found) found.add(text);
    };
    const code = {
      javascript: "const s = <<secrets.key>>; await fetch(params.hold); return s.length",
      python:
        'import urllib.request\ns = <<secrets.key>>\nurllib.request.urlopen(params["hold"]).read()\nreturn len(s)',
    };
    const { output } = await world.run(code[language], new SecretValue("key", readable), { language });
    expect(output).toBe(readable.length);
    expect(found).toContain(readable.slice(0, 14));
  }
});

test("hostile steps get nothing", { timeout: 1_200_000 }, async () => {
  const secret = world.sealed({}, value);
  let [searched, searchedBytes, got] = [0, 0, 0];
  const inMemory: string[] = [];
  for (let seed = 0; seed < steps; seed++) {
    const { language, code } = makeHostileStep(seed);
    whileHeld = () => {
      if (seed % searchedEvery !== 0 && language !== "python") return;
      for (const pid of hostsOf()) {
        const { found, bytes } = searchMemory(pid, needles);
        inMemory.push(...found.map(() => `a piece of the value at seed ${seed}`));
        searchedBytes += bytes;
      }
      searched += 1;
    };
    const { output, events, outcome } = await world.run(code, secret, { language, limits: { requestsMax: 1_000 } });
    if ("error" in outcome) throw outcome.error;
    expect(inMemory).toEqual([]);
    expectNone(`the output of seed ${seed}`, JSON.stringify(output));
    expectNone(`an event of seed ${seed}`, JSON.stringify(events));
    for (const { text } of [...world.other.take(), ...world.plain.take()])
      expectNone(`a request elsewhere of seed ${seed}`, text);
    got += world.approved.take().filter(({ text }) => text.includes(value)).length;
  }
  // The tricks were played on a secret that was in use, and the searches saw memory.
  expect(got).toBeGreaterThan(steps);
  expect(searched).toBeGreaterThan(steps / searchedEvery);
  expect(searchedBytes / searched).toBeGreaterThan(10_000_000);
});
