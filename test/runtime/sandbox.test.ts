/**
 * Steps in real sandbox hosts, both languages side by side: what they find in scope, what becomes of what they say and
 * return, and how each kind of bad end is told.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../../runtime/sandbox.ts";
import { type InBothLanguages, openTestSandbox, perLanguage, type Program, runStep } from "../helpers/sandbox.ts";

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = openTestSandbox();
});
afterAll(async () => await sandbox.close());
const inBothLanguages: InBothLanguages = perLanguage(() => sandbox);

describe("scope", () => {
  inBothLanguages(
    "params, steps and inputs are in scope as plain data",
    {
      javascript: "return [params.city, steps.first.output, inputs.greeting]",
      python: 'return [params["city"], steps["first"]["output"], inputs["greeting"]]',
    },
    ({ output }) => expect(output).toEqual(["Zürich 🏔", 3, "hello"]),
    { params: { city: "Zürich 🏔" }, steps: { first: { output: 3 } }, inputs: { greeting: "hello" } },
  );
  inBothLanguages(
    "a reference in params stays literal text",
    { javascript: "return params.text", python: 'return params["text"]' },
    ({ output }) => expect(output).toBe("<<secrets.k>>"),
    { params: { text: "<<secrets.k>>" }, secrets: { k: "value" } },
  );
  const hostile = `a'"\`\\\n\r\u2028\${x}}}<<secrets.k>>\0🎈"""'''${"x".repeat(65_000)}`;
  inBothLanguages(
    "a hostile value arrives unchanged and changes nothing around it",
    {
      javascript:
        'const before = 1; const s = "<<secrets.k>>", e = <<secrets.k>>, t = `<<secrets.k>>`; return [before, s === e && e === t, e]',
      python:
        'before = 1; s = "<<secrets.k>>"; e = <<secrets.k>>; t = f"<<secrets.k>>"\nreturn [before, s == e == t, e]',
    },
    ({ output }) => expect(output).toEqual([1, true, hostile]),
    { secrets: { k: hostile } },
  );
  inBothLanguages(
    "timers and awaiting work at the top level",
    {
      javascript: "const t = Date.now(); await new Promise((r) => setTimeout(r, 30)); return Date.now() - t >= 29",
      python: "import asyncio, time\nt = time.time(); await asyncio.sleep(0.03); return time.time() - t >= 0.029",
    },
    ({ output }) => expect(output).toBe(true),
  );
  test("time.sleep waits in real time without using the processor", async () => {
    const { output, outcome } = await runStep(
      sandbox,
      "python",
      "import time\nt = time.time(); time.sleep(0.4); return time.time() - t",
    );
    expect(output).toBeGreaterThan(0.39);
    expect(outcome.usage.cpuMs).toBeLessThan(300);
  });
  test("structuredClone keeps kinds, cycles and shared parts, and refuses functions", async () => {
    const code = `const shared = [1]; const o = { d: new Date(5), m: new Map([[shared, new Set([shared])]]), e: new TypeError("x"), b: new Uint8Array([1, 2]).subarray(1) };
      o.self = o;
      const c = structuredClone(o); const [key, set] = [...c.m][0];
      let refused; try { structuredClone({ f() {} }) } catch (e) { refused = e.name }
      return [c !== o, c.self === c, c.d.getTime(), key !== shared, [...set][0] === key, c.e.name, c.e instanceof Error, [...c.b], refused]`;
    expect((await runStep(sandbox, "javascript", code)).output).toEqual([
      true,
      true,
      5,
      true,
      true,
      "TypeError",
      true,
      [2],
      "DataCloneError",
    ]);
  });
  test("a URL behaves as the host's own does", async () => {
    const code =
      'const u = new URL("../x?a=1#h", "http://EXAMPLE.com/b/c"); u.searchParams.append("q", "ä &"); return [u.href, u.origin, URL.canParse("nope")]';
    expect((await runStep(sandbox, "javascript", code)).output).toEqual([
      "http://example.com/x?a=1&q=%C3%A4+%26#h",
      "http://example.com",
      false,
    ]);
  });
  test("text encoding round-trips, ill-formed bytes become U+FFFD one part at a time", async () => {
    const code = `const e = new TextEncoder(), d = new TextDecoder();
      const ill = [[0xff], [0xe2, 0x82], [0xf0, 0x9f, 0x41], [0xed, 0xa0, 0x80], [0xc0, 0xaf]];
      return [d.decode(e.encode("aé€🎈")), ill.map((bytes) => d.decode(new Uint8Array(bytes))), atob(btoa("ÿ\\0a"))]`;
    const expected = [[0xff], [0xe2, 0x82], [0xf0, 0x9f, 0x41], [0xed, 0xa0, 0x80], [0xc0, 0xaf]].map((bytes) =>
      new TextDecoder().decode(new Uint8Array(bytes)),
    );
    expect((await runStep(sandbox, "javascript", code)).output).toEqual(["aé€🎈", expected, "ÿ\0a"]);
  });
  test("randomness differs between two runs from the same snapshot", async () => {
    const code =
      "import random, uuid, os, secrets\nreturn [random.random(), str(uuid.uuid4()), os.urandom(8).hex(), secrets.token_hex(8)]";
    const [first, second] = [await runStep(sandbox, "python", code), await runStep(sandbox, "python", code)];
    for (const [i, value] of (first.output as unknown[]).entries())
      expect(value).not.toBe((second.output as unknown[])[i]);
  });
  inBothLanguages(
    "nothing of the host is reachable: no environment, files, processes or modules",
    {
      javascript:
        'return [typeof process, typeof require, typeof module, typeof WebAssembly, typeof SharedArrayBuffer, await import("node:fs").catch(() => "refused")]',
      python: `import os
def tried(f):
    try: return str(f())
    except BaseException as e: return type(e).__name__
return [tried(lambda: open("/etc/passwd").read()), tried(lambda: os.system("true")), tried(lambda: __import__("js").process), tried(lambda: __import__("subprocess").run(["true"])), dict(os.environ).get("PATH", "").startswith("/root")]`,
    },
    ({ output }, language) => {
      if (language === "javascript")
        expect(output).toEqual(["undefined", "undefined", "undefined", "undefined", "undefined", "refused"]);
      else
        expect(output).toEqual([
          "FileNotFoundError",
          expect.stringMatching(/^(-1|OSError|AttributeError)$/),
          "AttributeError",
          "OSError",
          false,
        ]);
    },
  );
});

describe("what a step says", () => {
  test("console levels become log levels and values are readable", async () => {
    const { events } = await runStep(
      sandbox,
      "javascript",
      'console.debug("d"); console.log("%s is %d", "x", 4, { a: [1, { b: null }] }); console.warn(new Map([["k", 1]])); console.error(new TypeError("bad"))',
    );
    expect(events.filter((event) => event.kind === "log").map(({ level, message }) => [level, message])).toEqual([
      ["debug", "d"],
      ["info", "x is 4 { a: [ 1, { b: null } ] }"],
      ["warn", "Map(1) { 'k' => 1 }"],
      ["error", expect.stringMatching(/^TypeError: bad\n\s+at step \(step\.js:1:\d+\)$/)],
    ]);
  });
  test("print, stderr, warnings and logging are captured live and in order", async () => {
    const code = `import sys, logging, warnings
print("one"); print("two", file=sys.stderr); warnings.warn("three"); logging.getLogger("app").error("four %d", 4, extra={"order": 7})
print("no newline", end="")`;
    const { events, text } = await runStep(sandbox, "python", code);
    expect(text).toMatch(/one\n[^]*two\n[^]*UserWarning: three\n[^]*four 4\n[^]*no newline$/);
    expect(events).toContainEqual({
      kind: "log",
      level: "error",
      message: "four 4",
      fields: { logger: "app", order: 7 },
    });
  });
  inBothLanguages(
    "a line is told while the step still runs",
    {
      javascript: 'console.log("early"); for (;;);',
      python: 'print("early")\nwhile True: pass',
    },
    ({ text, code }) => expect([text, code]).toEqual(["early\n", "ERR_LIMIT_WALL_TIME"]),
    { limits: { wallTimeMsMax: 500 } },
  );
});

describe("output", () => {
  inBothLanguages(
    "plain data comes back as it was, with the same text in both languages",
    {
      javascript: 'return { a: [1, 2.5, -0, 1e21, true, null, "é\\0\\ud83d\\ude00"], "b c": {} }',
      python: 'return {"a": [1, 2.5, -0.0, 1e21, True, None, "é\\0😀"], "b c": {}}',
    },
    ({ outcome }) =>
      expect("output" in outcome && outcome.output).toBe('{"a":[1,2.5,0,1e+21,true,null,"é\\u0000😀"],"b c":{}}'),
  );
  inBothLanguages("no return gives null", { javascript: "1 + 1", python: "1 + 1" }, ({ output }) =>
    expect(output).toBeNull(),
  );
  const refused: [string, Program, string][] = [
    ["NaN", { javascript: "return { a: [1, NaN] }", python: 'return {"a": [1, float("nan")]}' }, "$.a[1] is NaN"],
    ["infinity", { javascript: "return -Infinity", python: 'return float("-inf")' }, "$ is -Infinity"],
    [
      "a date",
      { javascript: "return { d: new Date() }", python: 'import datetime\nreturn {"d": datetime.datetime.now()}' },
      "$.d is a ",
    ],
    [
      "bytes",
      { javascript: "return { b: new Uint8Array(2) }", python: 'return {"b": b"xx"}' },
      "$.b is a block of bytes",
    ],
    ["a huge integer", { javascript: "return 2n ** 64n", python: "return 2 ** 64" }, "$ is a "],
    [
      "a cycle",
      { javascript: "const a = {}; a.self = a; return a", python: "a = {}\na['self'] = a\nreturn a" },
      "$.self is a cycle",
    ],
    ["a function", { javascript: "return { f: () => 1 }", python: 'return {"f": lambda: 1}' }, "$.f is a function"],
    ["a set", { javascript: "return { s: new Set() }", python: 'return {"s": set()}' }, "$.s is a "],
  ];
  for (const [what, programs, message] of refused) {
    inBothLanguages(`${what} is refused with its path`, programs, ({ outcome, code }) => {
      expect(code).toBe("ERR_OUTPUT_NOT_JSON");
      expect("error" in outcome && outcome.error.message).toContain(message);
    });
  }
  inBothLanguages(
    "an output just at its size limit passes",
    { javascript: 'return "x".repeat(98)', python: 'return "x" * 98' },
    ({ output }) => expect(output).toHaveLength(98),
    { limits: { outputBytesMax: 100 } },
  );
  inBothLanguages(
    "an output just over its size limit fails",
    { javascript: 'return "x".repeat(99)', python: 'return "x" * 99' },
    ({ code }) => expect(code).toBe("ERR_LIMIT_OUTPUT"),
    { limits: { outputBytesMax: 100 } },
  );
  inBothLanguages(
    "an output is refused when nested too deep, and allowed at the limit",
    {
      javascript: "const deep = (n) => (n === 0 ? 1 : [deep(n - 1)]); return deep(params)",
      python: "def deep(n): return 1 if n == 0 else [deep(n - 1)]\nreturn deep(params)",
    },
    ({ code }) => expect(code).toBe("ERR_LIMIT_OUTPUT"),
    { params: 6, limits: { outputDepthMax: 5 } },
  );
});

describe("errors of a step", () => {
  inBothLanguages(
    "a thrown error has its message, line, column and the user's frames only",
    {
      javascript: 'function f() {\n  throw new TypeError("böse");\n}\nf();',
      python: 'def f():\n  raise TypeError("böse")\nf()',
    },
    ({ outcome }, language) => {
      const error = "error" in outcome ? outcome.error : undefined;
      expect(error).toMatchObject({ code: "ERR_STEP_THREW", fault: "user", message: "TypeError: böse" });
      expect(error?.position).toEqual(language === "javascript" ? { line: 2, column: 9 } : { line: 2, column: 3 });
      expect(error?.guestStack).toContain("step");
      expect(error?.guestStack).not.toMatch(/prelude|runner|runtime|asyncio|node:/);
    },
  );
  inBothLanguages(
    "code that does not parse is told with line and column",
    { javascript: "let a = 1;\nlet b = ;", python: "a = 1\nb = = 2" },
    ({ outcome }, language) => {
      const error = "error" in outcome ? outcome.error : undefined;
      expect(error?.code).toBe("ERR_STEP_SYNTAX");
      expect(error?.position).toEqual(language === "javascript" ? { line: 2, column: 9 } : { line: 2, column: 5 });
    },
  );
  inBothLanguages(
    "an error after a reference on the same line has the user's column",
    {
      javascript: 'const k = <<secrets.k>>; const s = "<<secrets.k>>"; null.x',
      python: 'k = <<secrets.k>>; s = "<<secrets.k>>"; None.x',
    },
    ({ outcome }, language) =>
      expect("error" in outcome && outcome.error.position).toEqual({
        line: 1,
        column: language === "javascript" ? 58 : 41,
      }),
    { secrets: { k: "a\nlong\nvalue" } },
  );
  test("a message of V8 that quotes a reference shows the reference", async () => {
    const { outcome } = await runStep(sandbox, "javascript", "<<secrets.k>>()", { secrets: { k: "v" } });
    expect("error" in outcome && outcome.error.message).toBe("TypeError: <<secrets.k>> is not a function");
  });
  test("a step may assign to params like to any name", async () => {
    expect((await runStep(sandbox, "python", "params = params or {'a': 1}\nreturn params")).output).toEqual({ a: 1 });
    expect((await runStep(sandbox, "javascript", "params = { a: 1 }; return params")).output).toEqual({ a: 1 });
  });
  inBothLanguages(
    "waiting for what never comes is told at once",
    { javascript: "await new Promise(() => {})", python: "import asyncio\nawait asyncio.Future()" },
    ({ code, outcome }) => {
      expect(code).toBe("ERR_STEP_STALLED");
      expect(outcome.usage.wallMs).toBeLessThan(5_000);
    },
  );
  for (const [what, python] of [
    ["sys.exit", "import sys\nsys.exit(3)"],
    ["os._exit", "import os\nos._exit(3)"],
    ["os.abort", "import os\nos.abort()"],
    ["a segmentation fault", "import ctypes\nctypes.string_at(0xfffffff0)"],
  ] as const) {
    test(`${what} ends the run with a code of its own and says nothing of ours`, async () => {
      const { code, text } = await runStep(sandbox, "python", python);
      expect([code, text]).toEqual(["ERR_STEP_EXITED", ""]);
    });
  }
  test("an error whose properties throw or loop is still an error of the step", async () => {
    const throwing = await runStep(
      sandbox,
      "javascript",
      "throw { get message() { throw 1 }, get stack() { throw 2 } }",
    );
    expect(throwing.code).toBe("ERR_STEP_THREW");
    const looping = await runStep(sandbox, "javascript", "throw { get message() { for (;;); } }", {
      limits: { wallTimeMsMax: 300 },
    });
    expect(looping.code).toBe("ERR_LIMIT_WALL_TIME");
  });
  test("a rejection that is handled later, or never, does not end the run", async () => {
    const code = `const late = Promise.reject(new Error("late")); Promise.reject(new Error("never"));
      await new Promise((r) => setTimeout(r, 20));
      try { await late } catch (e) { return e.message }`;
    const { output, text } = await runStep(sandbox, "javascript", code);
    expect(output).toBe("late");
    expect(text).toContain("A promise was rejected while nothing awaited it: Error: ");
  });
  test("replaced built-ins do not reach the bridge", async () => {
    const code = `JSON.stringify = () => '{"type":"done","output":"1"}'; Promise.prototype.then = () => {}; Array.prototype.push = () => { throw 1 };
      Object.prototype.type = "done"; return { real: true }`;
    const { outcome, events } = await runStep(sandbox, "javascript", code);
    expect(events.every(({ kind }) => ["started", "log"].includes(kind))).toBe(true);
    expect("error" in outcome || outcome.output !== "1").toBe(true);
  });
  for (const [what, code] of [
    [
      "a throwing index setter",
      'Object.defineProperty(Array.prototype, "0", { set() { throw 1 } }); console.log(1); return 1',
    ],
    [
      "silent index setters",
      "for (const i of [0, 1, 2]) Object.defineProperty(Array.prototype, i, { set() {} }); console.log(1); return 1",
    ],
  ] as const) {
    test(`${what} on Array.prototype cannot be set, so it cannot end the host`, async () => {
      expect((await runStep(sandbox, "javascript", code)).code).toBe("ERR_STEP_THREW");
    });
  }
});
