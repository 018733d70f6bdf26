/** Goal: whatever a value holds, it arrives exactly, in every kind of place that takes one. Method: run the result. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { analyzeJavaScript, bindJavaScript } from "../../../runtime/binding/javascript.ts";
import { hostileValues } from "./hostile-values.ts";
import { bindProgram, runProgram } from "./javascript-program.ts";

const kinds: Readonly<Record<string, string>> = {
  "an expression": "return <<secrets.k>>",
  "an expression in braces": "return {{secrets.k}}",
  "a double-quoted string": `return "<<secrets.k>>"`,
  "a single-quoted string": `return '{{ secrets.k }}'`,
  "a string right after its keyword": `return"<<secrets.k>>"`,
  "a template": "return `<<secrets.k>>`",
  "a template's expression": "return `${<<secrets.k>>}`",
  "a template's expression in braces": "return `${{{secrets.k}}}`",
  "a string over two lines": `return "\\\n<<secrets.k>>"`,
  "a string over three lines with CRLF": `return ("\\\r\n<<secrets.k>>\\\r\n")`,
  "an object's key": `return Object.entries({ "<<secrets.k>>": 1 })[0][0]`,
  "an object's key over two lines": `return Object.entries({ "\\\n<<secrets.k>>": 1 })[0][0]`,
  "a computed key": `return Object.entries({ [<<secrets.k>>]: 1 })[0][0]`,
  "a getter's key": `return Object.keys({ get"<<secrets.k>>"() { return 1 } })[0]`,
  "a method's key": `return Object.keys({ async*"<<secrets.k>>"() {} })[0]`,
  "a class field's key": `return Object.keys(new (class { "<<secrets.k>>" = 1 })())[0]`,
  "a static field's key": `return Object.keys(class { static"<<secrets.k>>" = 1 }).at(-1)`,
  "a pattern's key": `const seen = []; const { "<<secrets.k>>": x } = new Proxy({}, { get: (_, key) => seen.push(key) });
    return seen[0]`,
  "a default": `const { x = "<<secrets.k>>" } = {}; return x`,
  "an argument": `return String(<<secrets.k>>)`,
  "an operand": `return "" + <<secrets.k>> + ""`,
  "an arrow's body": `return (() => {{secrets.k}})()`,
  "an awaited value": `return await"<<secrets.k>>"`,
  "a conditional": `return true ?"<<secrets.k>>":<<secrets.k>>`,
  "a tagged template's expression": "return String.raw`${<<secrets.k>>}`",
  "an optional index": `return ({ __proto__: null, [<<secrets.k>>]: <<secrets.k>> })?.[<<secrets.k>>]`,
  "a case": `switch (<<secrets.k>>) { case"<<secrets.k>>": return <<secrets.k>> }`,
  "a thrown value": `try { throw"<<secrets.k>>" } catch (error) { return error }`,
  "a string after an escape": `return "\\<<secrets.k>>"`,
  "a template after an escape": "return `\\<<secrets.k>>`",
  "a field initializer": `return new (class { #x = "<<secrets.k>>"; get x() { return this.#x } })().x`,
  "a generator": `return [...(function* () { yield"<<secrets.k>>" })()][0]`,
  "a strict function": `"use strict"; return (() => "<<secrets.k>>")()`,
};

describe("a value in JavaScript arrives exactly", () => {
  for (const [kind, code] of Object.entries(kinds)) {
    it(`from ${kind}`, async () => {
      for (const [name, value] of Object.entries(hostileValues)) {
        expect([name, await runProgram(code, { k: value })]).toEqual([name, value]);
      }
    });
  }

  it("for any value and any kind of place", async () => {
    const value = fc.string({ unit: "binary", minLength: 1 });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...Object.values(kinds)), value, async (code, value) => {
        expect(await runProgram(code, { k: value })).toBe(value);
      }),
      { numRuns: 500 },
    );
  });
});

describe("a JavaScript string with more than a reference", () => {
  const values = { a: "<<secrets.b>>", b: "${b}\\" };
  const cases: [string, string, string][] = [
    ["keeps text around several references", `return "x<<secrets.a>>y{{secrets.b}}z"`, "x<<secrets.b>>y${b}\\z"],
    ["decodes escapes", String.raw`return "\x41\u0042\u{1F600}\101\n<<secrets.a>>\t\0"`, "AB😀A\n<<secrets.b>>\t\0"],
    ["drops line continuations", `return 'x\\\n<<secrets.a>>\\\ny'`, "x<<secrets.b>>y"],
    ["holds a raw line separator", `return '\u2028<<secrets.a>>\u2029'`, "\u2028<<secrets.b>>\u2029"],
    ["keeps a dollar before braces in a template", "return `${{secrets.a}}`", "$<<secrets.b>>"],
    ["keeps an escaped backslash in a template", "return `\\\\<<secrets.a>>`", "\\<<secrets.b>>"],
    ["keeps an escaped dollar in a template", "return `\\${{secrets.a}}`", "$<<secrets.b>>"],
    ["keeps other parts of a template", "return `<<secrets.a>>$<<secrets.b>>{${1}}`", "<<secrets.b>>$${b}\\{1}"],
    ["may spell a placeholder by escapes", `return "\\x5fs00000000xxx<<secrets.a>>"`, "_s00000000xxx<<secrets.b>>"],
    ["may stand beside text like a placeholder", `return "_s00000<<secrets.a>>xxx"`, "_s00000<<secrets.b>>xxx"],
    ["keeps one brace more on each side", `return "{{{secrets.a}}}"`, "{<<secrets.b>>}"],
    ["keeps one angle bracket more on each side", `return "<<<secrets.a>>>"`, "<<<secrets.b>>>"],
  ];
  it.each(cases)("%s", async (_behaviour, code, expected) => {
    expect(await runProgram(code, values)).toBe(expected);
  });
});

describe("JavaScript around a reference keeps its meaning", () => {
  it("when a key that holds one begins a line after a field without a semicolon", async () => {
    const code = `class A { x = 1\n"<<secrets.k>>" = 2\ny = 3\n'\\\n<<secrets.k>>2' = 4 }\nreturn { ...new A() }`;
    expect(await runProgram(code, { k: "k" })).toEqual({ x: 1, k: 2, y: 3, k2: 4 });
  });

  it("when a string statement follows a line without a semicolon", async () => {
    expect(await runProgram(`let q = 1\n"<<secrets.k>>"\n"\\\n<<secrets.k>>"\nreturn q`, { k: "k" })).toBe(1);
  });

  it("when words touch the string on both sides", async () => {
    expect(await runProgram(`return"<<secrets.k>>"in{ k: 1 }`, { k: "k" })).toBe(true);
  });

  it("when a key with a reference spells __proto__", async () => {
    const made = (await runProgram(`return { "__proto__": null, "<<secrets.k>>": 5 }`, { k: "__proto__" })) as object;
    expect(Object.getPrototypeOf(made)).toBeNull();
    expect(Object.entries(made)).toEqual([["__proto__", 5]]);
  });

  it("when shifts look like half a reference", async () => {
    const code = `const secrets = { k: 2 }; return [1 << 2 >> 1, 8>>1<<2, 1<<secrets.k, "<<secrets.k>>"]`;
    expect(await runProgram(code, { k: "v" })).toEqual([2, 16, 4, "v"]);
  });

  it("when it uses what only the body of an async function may", async () => {
    const code = `using a = null; await using b = null; for await (const c of [<<secrets.k>>]) return [c, new.target]`;
    expect(await runProgram(code, { k: "v" })).toEqual(["v", undefined]);
  });

  it("when it begins with a byte order mark and a hashbang", async () => {
    expect(await runProgram("\uFEFF#!/usr/bin/env <<secrets.k>>\r\nreturn <<secrets.l>>", { l: "v" })).toBe("v");
  });

  it("when it imports a module whose name holds one", async () => {
    const analysis = analyzeJavaScript(`return import("<<secrets.k>>")`);
    expect(analysis.source).toMatch(/^return import\(_s\w+\)$/);
  });
});

describe("bindJavaScript()", () => {
  it("puts no value into the source", () => {
    const values = { k: "VALUE_K", l: "VALUE_L" };
    const code = `return ["<<secrets.k>>", <<secrets.l>>, \`<<secrets.k>>\`, { '<<secrets.l>>': 1 }]`;
    expect(bindProgram(code, values).source).not.toMatch(/VALUE/);
  });

  it("tells which code each identifier stands for", () => {
    const { bindings } = bindJavaScript(analyzeJavaScript(`f("a<<secrets.k>>", {{secrets.k}})`), new Map([["k", "v"]]));
    expect(bindings.map(({ original, value }) => [original, value])).toEqual([
      [`"a<<secrets.k>>"`, "av"],
      ["{{secrets.k}}", "v"],
    ]);
  });

  it("refuses a reference without a value", () => {
    const analysis = analyzeJavaScript("return <<secrets.k>>");
    expect(() => bindJavaScript(analysis, new Map())).toThrow(expect.objectContaining({ code: "ERR_SECRET_UNKNOWN" }));
  });

  it("leaves code without references alone, syntax errors and all", () => {
    const code = "return ((( 1 << 2 >> future syntax";
    expect(bindJavaScript(analyzeJavaScript(code), new Map())).toEqual({ source: code, bindings: [] });
  });
});
