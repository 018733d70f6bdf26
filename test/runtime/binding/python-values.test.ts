/** Goal: whatever a value holds, it arrives exactly, in every kind of place that takes one. Method: run the result. */
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { hostileValues } from "./hostile-values.ts";
import { bootPython, type PythonProgram } from "./python-program.ts";

let python: PythonProgram;
beforeAll(async () => {
  python = await bootPython();
});

const kinds: Readonly<Record<string, string>> = {
  "an expression": "return <<secrets.k>>",
  "an expression in braces": "return {{secrets.k}}",
  "a double-quoted string": `return "<<secrets.k>>"`,
  "a single-quoted string": `return '{{ secrets.k }}'`,
  "a triple-quoted string": `return """<<secrets.k>>"""`,
  "a raw string": `return r"<<secrets.k>>"`,
  "a u string": `return u'<<secrets.k>>'`,
  "a bytes string": `return b"<<secrets.k>>".decode()`,
  "a raw bytes string": `return rb'''<<secrets.k>>'''.decode()`,
  "an f-string": `return f"<<secrets.k>>"`,
  "an f-string in braces": `return f"{{secrets.k}}"`,
  "a raw f-string": `return rf'{1}<<secrets.k>>'[1:]`,
  "an f-string's expression": `return f"{<<secrets.k>>}"`,
  "an f-string's expression in braces": `return f"{{{secrets.k}}}"`,
  "a string within an f-string": `return f"{'<<secrets.k>>'}"`,
  "a string with the same quotes within an f-string": `return f"{"<<secrets.k>>"}"`,
  "an f-string over lines": `return f'''{\n  <<secrets.k>>  # <<secrets.no>>\n}'''`,
  "a format specification": `class A:\n  def __format__(self, spec): return spec\nreturn f"{A():<<secrets.k>>}"`,
  "a nested format specification": `class A:\n  def __format__(self, spec): return spec\nreturn f"{A():{<<secrets.k>>}}"`,
  "a t-string": `return t"<<secrets.k>>".strings[0]`,
  "a t-string's expression": `return t"{<<secrets.k>>}".values[0]`,
  "strings side by side": `return "" "<<secrets.k>>" f""`,
  "a call's argument": `return str(<<secrets.k>>)`,
  "a keyword argument": `return dict(a=<<secrets.k>>)["a"]`,
  "a default argument": `def f(a=<<secrets.k>>): return a\nreturn f()`,
  "a lambda": `return (lambda: <<secrets.k>>)()`,
  "a comprehension": `return [<<secrets.k>> for _ in range(1)][0]`,
  "a dictionary's key": `return list({"<<secrets.k>>": 1})[0]`,
  "a dictionary's value": `return {1: <<secrets.k>>}[1]`,
  "a set": `return list({{{secrets.k}}})[0]`,
  "an index": `return {<<secrets.k>>: "<<secrets.k>>"}[<<secrets.k>>]`,
  "a match pattern": `match <<secrets.k>>:\n case "<<secrets.k>>": return <<secrets.k>>`,
  "a mapping pattern's key": `match {<<secrets.k>>: 5}:\n case {"<<secrets.k>>": 5}: return <<secrets.k>>`,
  "an annotation": `def f(a: <<secrets.k>>): pass\nreturn f.__annotations__["a"]`,
  "a type alias": `type X = <<secrets.k>>\nreturn X.__value__`,
  "a class's body": `class A:\n  x = <<secrets.k>>\n  def f(self): return self.x\nreturn A().f()`,
  "a conditional": `return <<secrets.k>> if "<<secrets.k>>" else 1`,
  "an assignment expression's value": `return (x := <<secrets.k>>)`,
  "a line after a backslash": `return \\\n  <<secrets.k>>`,
  "a line after a form feed": `\f\nreturn '<<secrets.k>>'`,
  "a raised error": `try:\n  raise ValueError("<<secrets.k>>")\nexcept ValueError as error:\n  return error.args[0]`,
};

describe("a value in Python arrives exactly", () => {
  for (const [kind, code] of Object.entries(kinds)) {
    it(`from ${kind}`, () => {
      for (const [name, value] of Object.entries(hostileValues)) {
        expect([name, python.run(code, { k: value })]).toEqual([name, { output: value }]);
      }
    });
  }

  it("for any value and any kind of place", () => {
    const value = fc.string({ unit: "binary", minLength: 1 });
    fc.assert(
      fc.property(fc.constantFrom(...Object.values(kinds)), value, (code, value) => {
        expect(python.run(code, { k: value })).toEqual({ output: value });
      }),
      { numRuns: 500 },
    );
  });
});

describe("a Python string with more than a reference", () => {
  const values = { a: "<<secrets.b>>", b: "{x}\\" };
  const cases: [string, string, unknown][] = [
    ["keeps text around several references", `return "x<<secrets.a>>y{{secrets.b}}z"`, "x<<secrets.b>>y{x}\\z"],
    ["decodes escapes", String.raw`return "\x41\u0042\N{BULLET}\101<<secrets.a>>\t"`, "AB•A<<secrets.b>>\t"],
    ["keeps escapes of a raw string", String.raw`return r"\x41\n<<secrets.a>>"`, "\\x41\\n<<secrets.b>>"],
    ["keeps the backslash of an escape that is none", String.raw`return '\<<secrets.a>>'`, "\\<<secrets.b>>"],
    ["keeps the backslash of a raw string", String.raw`return r'\<<secrets.a>>'`, "\\<<secrets.b>>"],
    ["keeps bytes that are not UTF-8", String.raw`return list(b"\xff<<secrets.b>>\x00")`, [255, 123, 120, 125, 92, 0]],
    ["keeps doubled braces of an f-string", `return f"{{x}}<<secrets.a>>{1}"`, "{x}<<secrets.b>>1"],
    ["turns line ends into newlines", `return """a\r\n<<secrets.a>>\rb"""`, "a\n<<secrets.b>>\nb"],
    [
      "shows the reference, not the value, in an f-string's own text",
      `return f"{<<secrets.a>>=}"`,
      "<<secrets.a>>='<<secrets.b>>'",
    ],
    [
      "tells an f-string's own text from its other text",
      `return f"<<secrets.b>>{'<<secrets.a>>'=!s}"`,
      "{x}\\'<<secrets.a>>'=<<secrets.b>>",
    ],
    [
      "does so in f-strings within f-strings",
      `return f"{f'{<<secrets.b>>=!s}'=!s}"`,
      "f'{<<secrets.b>>=!s}'=<<secrets.b>>={x}\\",
    ],
    [
      "shows the reference in a template's expression",
      `return t"{[<<secrets.a>>, '<<secrets.b>>']}".interpolations[0].expression`,
      "[<<secrets.a>>, '<<secrets.b>>']",
    ],
    [
      "may spell a placeholder by escapes",
      String.raw`return ["\x5fs00000000xxx", "<<secrets.a>>"]`,
      ["_s00000000xxx", "<<secrets.b>>"],
    ],
    [
      "may spell a placeholder by escapes beside it",
      String.raw`return "\x5fs00000000xxx<<secrets.a>>"`,
      "_s00000000xxx<<secrets.b>>",
    ],
    [
      "may spell a placeholder by two strings",
      `return ["_s0000" "0000xxx", "<<secrets.a>>"]`,
      ["_s00000000xxx", "<<secrets.b>>"],
    ],
    ["may stand beside text like a placeholder", `return "_s00000<<secrets.a>>xxx"`, "_s00000<<secrets.b>>xxx"],
    ["keeps one angle bracket more on each side", `return "<<<secrets.a>>>"`, "<<<secrets.b>>>"],
    [
      "may be a docstring before a future import",
      `"""<<secrets.a>>"""\nfrom __future__ import annotations\nreturn 1`,
      1,
    ],
  ];
  it.each(cases)("%s", (_behaviour, code, expected) => {
    expect(python.run(code, values)).toEqual({ output: expected });
  });
});

describe("a step's Python", () => {
  const cases: [string, string, unknown][] = [
    ["may be empty", "", null],
    ["may be comments only", "# coding: latin-1\n# é", null],
    ["may begin with a byte order mark", "\uFEFFreturn '<<secrets.k>>é'", "vé"],
    ["may use shifts", "return [1 << 2 >> 1, 8>>1<<2]", [2, 16]],
    [
      "sees its names in functions, classes and comprehensions",
      "x = 1\nclass A:\n  y = [x for _ in 'ab']\ndef f(): return A.y\nreturn f()",
      [1, 1],
    ],
    ["may assign to its parameters", "params = params['p']\nreturn (lambda: params)()", 1],
    ["may make names global", "global g\ng = <<secrets.k>>\nreturn globals()['g']", "v"],
    [
      "has a future import apply to all of it",
      "from __future__ import annotations\ndef f(a: nowhere): pass\nreturn f.__annotations__",
      { a: "nowhere" },
    ],
    ["evaluates no annotation of its own names", "x: nowhere = 1\nreturn x", 1],
    ["may define generators", "def f():\n  yield <<secrets.k>>\nreturn list(f())", ["v"]],
    ["may await", "async def f(): return <<secrets.k>>\nreturn await f()", "v"],
    ["may use tabs and carriage returns", "if True:\r\tx = <<secrets.k>>\r\treturn x", "v"],
    [
      "compares a value by identity without a warning",
      "import warnings\nwarnings.simplefilter('error')\nreturn <<secrets.k>> is None",
      false,
    ],
  ];
  it.each(cases)("%s", (_behaviour, code, expected) => {
    expect(python.run(code, { k: "v" })).toEqual({ output: expected });
  });
});
