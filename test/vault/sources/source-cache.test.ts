/**
 * Goal: a value of an outside source is never used past its bounds and never left in memory past them, and a source that is
 * away is not waited for again and again. Method: the cache and the circuit alone, on a clock of the tests' own.
 */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { SourceCache } from "../../../vault/sources/source-cache.ts";
import { SourceAwayError, SourceCircuit } from "../../../vault/sources/source-circuit.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});

afterEach(() => {
  vi.useRealTimers();
});

const bounds = { ageMsMax: 60_000, staleMsMax: 600_000, entriesMax: 3 };
const isZeroed = (buffer: Buffer): boolean => buffer.every((byte) => byte === 0);

describe("a kept value of a source", () => {
  test("is fresh, then only better than none, then zeroed", () => {
    const cache = new SourceCache(bounds);
    const value = Buffer.from("a value");
    cache.keep("k", value);
    vi.advanceTimersByTime(59_999);
    expect([cache.fresh("k"), cache.stale("k")]).toEqual(["a value", "a value"]);
    vi.advanceTimersByTime(1);
    expect([cache.fresh("k"), cache.stale("k")]).toEqual([undefined, "a value"]);
    vi.advanceTimersByTime(539_999);
    expect(cache.stale("k")).toBe("a value");
    vi.advanceTimersByTime(1);
    expect(cache.stale("k")).toBeUndefined();
    expect(isZeroed(value)).toBe(true);
  });

  test("is too old by the clock even when the timer is late", () => {
    const cache = new SourceCache(bounds);
    cache.keep("k", Buffer.from("a value"));
    const now = performance.now();
    vi.spyOn(performance, "now").mockReturnValue(now + 600_000);
    expect(cache.stale("k")).toBeUndefined();
    vi.restoreAllMocks();
  });

  test("lives from when it was read last, and the one before it is zeroed", () => {
    const cache = new SourceCache(bounds);
    const before = Buffer.from("before");
    cache.keep("k", before);
    vi.advanceTimersByTime(599_999);
    cache.keep("k", Buffer.from("after"));
    expect(isZeroed(before)).toBe(true);
    vi.advanceTimersByTime(599_999);
    expect(cache.stale("k")).toBe("after");
  });

  test("is zeroed at the end, and so is one that comes after it", () => {
    const cache = new SourceCache(bounds);
    const values = [Buffer.from("one"), Buffer.from("two"), Buffer.from("late")];
    cache.keep("1", values[0]!);
    cache.keep("2", values[1]!);
    cache.close();
    cache.keep("3", values[2]!);
    expect(values.map(isZeroed)).toEqual([true, true, true]);
    expect(["1", "2", "3"].map((key) => cache.stale(key))).toEqual([undefined, undefined, undefined]);
  });

  test("is one of the youngest, is its key's own and within its time, and every other one is zeroed, whatever happens", () => {
    const action = fc.oneof(
      fc.record({ does: fc.constant("keep" as const), key: fc.constantFrom("a", "b", "c", "d", "e") }),
      fc.record({ does: fc.constant("forget" as const), key: fc.constantFrom("a", "b", "c", "d", "e") }),
      fc.record({ does: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 400_000 }) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
        const cache = new SourceCache(bounds);
        let model: { key: string; text: string; atMs: number }[] = [];
        const made: { text: string; buffer: Buffer }[] = [];
        let nowMs = 0;
        for (const step of actions) {
          if (step.does === "wait") {
            vi.advanceTimersByTime(step.ms);
            nowMs += step.ms;
          } else {
            model = model.filter(({ key }) => key !== step.key);
            if (step.does === "forget") cache.forget(step.key);
            else {
              const text = `value ${made.length} of ${step.key}`;
              const buffer = Buffer.from(text);
              made.push({ text, buffer });
              cache.keep(step.key, buffer);
              model = [...model, { key: step.key, text, atMs: nowMs }].slice(-bounds.entriesMax);
            }
          }
          model = model.filter(({ atMs }) => nowMs - atMs < bounds.staleMsMax);
          for (const key of ["a", "b", "c", "d", "e"]) {
            const expected = model.find((entry) => entry.key === key);
            const isFresh = expected !== undefined && nowMs - expected.atMs < bounds.ageMsMax;
            expect(cache.stale(key)).toBe(expected?.text);
            expect(cache.fresh(key)).toBe(isFresh ? expected.text : undefined);
          }
          const living = new Set(model.map(({ text }) => text));
          expect(made.every(({ text, buffer }) => isZeroed(buffer) !== living.has(text))).toBe(true);
        }
        cache.close();
        expect(made.every(({ buffer }) => isZeroed(buffer))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

describe("the circuit of a source", () => {
  const away = async (): Promise<string> => await Promise.reject(new SourceAwayError("away"));

  function circuitWithCount() {
    const circuit = new SourceCircuit({ failuresMax: 3, pauseMs: 5_000 });
    let asked = 0;
    const run = async (ask: () => Promise<string>): Promise<string> =>
      await circuit
        .run(async () => {
          asked += 1;
          return await ask();
        })
        .catch((error: Error) => error.message);
    return { run, asked: () => asked };
  }

  test("stops asking after failures in a row, and tries once after the pause", async () => {
    const { run, asked } = circuitWithCount();
    for (let call = 0; call < 10; call += 1) await run(away);
    expect(asked()).toBe(3);
    vi.advanceTimersByTime(4_000);
    expect(await run(away)).toBe("it did not answer 3 times in a row, and is asked again in 1000 ms");
    vi.advanceTimersByTime(1_000);
    for (let call = 0; call < 10; call += 1) await run(away);
    expect(asked()).toBe(4);
  });

  test("lets one try while the others are answered at once", async () => {
    const { run, asked } = circuitWithCount();
    for (let call = 0; call < 3; call += 1) await run(away);
    vi.advanceTimersByTime(5_000);
    const { promise, resolve } = Promise.withResolvers<string>();
    const trying = run(async () => await promise);
    expect(await run(async () => "not asked")).toContain("in a row");
    expect(asked()).toBe(4);
    resolve("back");
    expect(await trying).toBe("back");
    expect(await run(async () => "asked")).toBe("asked");
  });

  test("takes any answer, also one that refuses, as a sign of life", async () => {
    const { run, asked } = circuitWithCount();
    for (let call = 0; call < 10; call += 1) {
      await run(away);
      await run(away);
      await run(async () => await Promise.reject(new Error("denied")));
    }
    expect(asked()).toBe(30);
  });
});
