/**
 * The standard library in a restored interpreter: what a snapshot could freeze (chance, clocks, zones), what WebAssembly
 * lacks, and waiting. Method: steps in a real host.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { openTestSandbox, runStep, type StepOptions } from "../../helpers/sandbox.ts";

const MiB = 1024 * 1024;
let sandbox: Sandbox;
beforeAll(() => {
  sandbox = openTestSandbox();
});
afterAll(async () => await sandbox.close());
const outputOf = async (code: string, options: StepOptions = {}): Promise<unknown> => {
  const { output, outcome } = await runStep(sandbox, "python", code, options);
  if ("error" in outcome) throw outcome.error;
  return output;
};

describe("a restored interpreter", () => {
  test("draws new random values from every source", async () => {
    const code = `import random, secrets, uuid, os, tempfile, numbers
return [random.random(), random.SystemRandom().random(), secrets.token_hex(), str(uuid.uuid4()), os.urandom(8).hex(), tempfile.mktemp(), random.Random().random(), str(uuid.uuid1()), random.getrandbits(50)]`;
    const [first, second] = [(await outputOf(code)) as unknown[], (await outputOf(code)) as unknown[]];
    for (const [i, value] of first.entries()) expect(value).not.toEqual(second[i]);
  });
  test("has the clock of the run, not of the snapshot", async () => {
    const before = Date.now() / 1000;
    const [now, stamp, first, second, started] = (await outputOf(`import time, datetime, logging
a = time.monotonic(); time.sleep(0.05)
return [time.time(), datetime.datetime.now(datetime.UTC).timestamp(), a, time.monotonic(), logging._startTime / 1e9]`)) as [
      number,
      number,
      number,
      number,
      number,
    ];
    for (const moment of [now, stamp, started]) expect(Math.abs(moment - before)).toBeLessThan(30);
    expect(second - first).toBeGreaterThan(0.049);
  });
  test("knows the machine's time zones", async () => {
    const code =
      'import zoneinfo, datetime\nreturn str(datetime.datetime(2026, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Zurich")))';
    expect(await outputOf(code)).toBe("2026-07-01 12:00:00+02:00");
  });
  test("has modules of use already imported", async () => {
    const names = [
      "json",
      "datetime",
      "decimal",
      "asyncio",
      "dataclasses",
      "zoneinfo",
      "urllib.request",
      "statistics",
      "csv",
    ];
    expect(await outputOf(`import sys\nreturn [n for n in params if n not in sys.modules]`, { params: names })).toEqual(
      [],
    );
  });
  test("is the one that Python programs expect where WebAssembly is silent", async () => {
    const code = `import hashlib, sqlite3, lzma, bz2, sys
r = [hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 2).hex(), hashlib.sha3_256(b"").hexdigest()[:8]]
db = sqlite3.connect(":memory:"); r.append(db.execute("select 1 + 1").fetchone()[0])
try: hashlib.pbkdf2_hmac("sha256", b"", b"", 0)
except ValueError as error: r.append(str(error))
return r + [len(sys.path) == len(set(sys.path))]`;
    expect(await outputOf(code)).toEqual([
      "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43",
      "a7ffc6f8",
      2,
      "iteration value must be greater than 0.",
      true,
    ]);
  });
});

describe("waiting", () => {
  test("asyncio runs, gathers, times out and is nested", async () => {
    const code = `import asyncio
async def after(s, value): await asyncio.sleep(s); return value
r = [await asyncio.gather(after(0.02, 1), after(0.01, 2)), asyncio.run(after(0.01, 3))]
try:
    async with asyncio.timeout(0.05): await after(30, 4)
except TimeoutError: r.append("timeout")
async with asyncio.TaskGroup() as group: task = group.create_task(after(0, 5))
r.append(task.result()); queue = asyncio.Queue(); queue.put_nowait(6); r.append(await queue.get())
return r + [await asyncio.wait_for(after(0, 7), 5)]`;
    expect(await outputOf(code)).toEqual([[1, 2], 3, "timeout", 5, 6, 7]);
  });
  test("time.sleep ends at once when the run is cancelled", async () => {
    const abort = new AbortController();
    const started = performance.now();
    const { code } = await runStep(sandbox, "python", "import time\nprint('sleeping'); time.sleep(30)", {
      signal: abort.signal,
      onEvent: ({ kind }) => {
        if (kind === "stdout") abort.abort();
      },
    });
    expect(code).toBe("ERR_RUN_CANCELLED");
    expect(performance.now() - started).toBeLessThan(10_000);
  });
  test("threads and processes fail with a reason", async () => {
    const code = `import threading, concurrent.futures, subprocess
r = []
for f in (lambda: threading.Thread(target=print).start(), lambda: concurrent.futures.ThreadPoolExecutor().submit(print), lambda: subprocess.run(["true"])):
    try: f()
    except (RuntimeError, OSError) as error: r.append(str(error))
return r`;
    expect(await outputOf(code)).toEqual([
      expect.stringContaining("a step has one thread"),
      expect.stringContaining("a step has one thread"),
      expect.stringContaining("does not support processes"),
    ]);
  });
});

describe("memory", () => {
  const holds = (bytes: number): string => `kept = bytearray(${bytes})\nreturn len(kept)`;
  const limits = { memoryBytesMax: 128 * MiB };
  test("just under its limit can be used, just over is a MemoryError that can be caught", async () => {
    expect(await outputOf(holds(80 * MiB), { limits })).toBe(80 * MiB);
    const caught = `try: x = bytearray(${128 * MiB})\nexcept MemoryError: return "caught"`;
    expect(await outputOf(caught, { limits })).toBe("caught");
    expect((await runStep(sandbox, "python", holds(128 * MiB), { limits })).code).toBe("ERR_LIMIT_MEMORY");
  });
  test("files have a limit of their own, and room comes back when they are removed", async () => {
    const code = `import os
def write(): open("/tmp/big", "wb").write(b"x" * (40 << 20))
for _ in range(5): write(); os.remove("/tmp/big")
write()
try: open("/tmp/more", "wb").truncate(170 << 20)
except OSError as error: return str(error)`;
    expect(await outputOf(code, { limits: { memoryBytesMax: 192 * MiB } })).toContain("No space left on device");
  });
});
