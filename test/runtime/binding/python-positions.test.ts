/** Goal: lines and columns are the builder's, in analysis, in errors and at run time; wrong places are refused. */
import { beforeAll, describe, expect, it } from "vitest";
import { bootPython, type PythonProgram } from "./python-program.ts";

let python: PythonProgram;
beforeAll(async () => {
  python = await bootPython();
});

describe("analyze()", () => {
  it("lists references with line and column in UTF-16 units, in order", () => {
    const code = `\uFEFFa = "<<secrets.x>>"\r\nb = f'😀é{{secrets.y}}' # <<secrets.no>>\r\tif 1: pass\n'\u2028', <<secrets.x>>`;
    expect(python.analyze(code.replace("\tif 1: pass", "c"))).toEqual({
      references: [
        { name: "x", line: 1, column: 7 },
        { name: "y", line: 2, column: 10 },
        { name: "x", line: 4, column: 6 },
      ],
    });
  });

  it("ignores references in comments only", () => {
    const code = `# <<secrets.a>>\nx = [ # {{secrets.b}}\n1]\ny = f'''{1 # <<secrets.c>>\n}'''; z = "# <<secrets.d>>"`;
    expect(python.analyze(code).references?.map(({ name }) => name)).toEqual(["d"]);
  });

  it("finds nothing, and complains of nothing, in code without references", () => {
    expect(python.analyze("x = (")).toEqual({ references: [] });
  });

  it("refuses more references than a step may hold", () => {
    expect(python.analyze("<<secrets.k>>\n".repeat(1_000)).references).toHaveLength(1_000);
    expect(python.analyze("<<secrets.k>>\n".repeat(1_001)).error?.code).toBe("ERR_REFERENCE_COUNT");
  });

  it("takes code of a mebibyte in seconds", () => {
    const code = "x = '<<secrets.k>>'  # note\n".repeat(900) + `y = foo(a.b, c["d"]) + 1\n`.repeat(38_000);
    const start = performance.now();
    expect(python.analyze(code).references).toHaveLength(900);
    expect(performance.now() - start).toBeLessThan(20_000);
  });
});

describe("a Python reference", () => {
  const cases: Readonly<Record<string, string>> = {
    "after a dot": "x.<<secrets.k>>",
    "merged with a name": "foo<<secrets.k>>bar",
    "merged with a number": "x = 1<<secrets.k>>",
    "merged with a hexadecimal number": "x = 0xA<<secrets.k>>",
    "merged with a string prefix": "x = b<<secrets.k>>",
    "between two operands": "a <<secrets.k>> b",
    "between two arguments": "f(a <<secrets.k>> b)",
    "as an argument's name": "f(<<secrets.k>>=1)",
    "as a function's name": "def <<secrets.k>>(): pass",
    "as a parameter": "def f(<<secrets.k>>): pass",
    "as a variadic parameter": "def f(*<<secrets.k>>): pass",
    "as a lambda's parameter": "lambda <<secrets.k>>: 1",
    "as a class's name": "class <<secrets.k>>: pass",
    "as a type parameter": "def f[<<secrets.k>>](): pass",
    "as a type's name": "type <<secrets.k>> = int",
    "as an assignment's target": "<<secrets.k>> = 1",
    "as an unpacking's target": "a, <<secrets.k>> = 1, 2",
    "as a compound assignment's target": "<<secrets.k>> += 1",
    "as an annotated name": "<<secrets.k>>: int = 1",
    "as an assignment expression's target": "(<<secrets.k>> := 1)",
    "as what is deleted": "del <<secrets.k>>",
    "in a global statement": "global a, <<secrets.k>>",
    "in a nonlocal statement": "nonlocal <<secrets.k>>",
    "as a module": "import <<secrets.k>>",
    "as a submodule": "import a.<<secrets.k>>",
    "as a module to import from": "from <<secrets.k>> import a",
    "as an imported name": "from a import <<secrets.k>>",
    "as an import's other name": "import a as <<secrets.k>>",
    "as a loop's variable": "for <<secrets.k>> in x: pass",
    "as a comprehension's variable": "[1 for <<secrets.k>> in x]",
    "as a context's name": "with x as <<secrets.k>>: pass",
    "as a capture pattern": "match 1:\n  case <<secrets.k>>: pass",
    "as a class pattern": "match 1:\n  case <<secrets.k>>(): pass",
    "as a pattern's other name": "match 1:\n  case 1 as <<secrets.k>>: pass",
    "as a starred pattern": "match 1:\n  case [*<<secrets.k>>]: pass",
    "as a caught error's name": "try: pass\nexcept E as <<secrets.k>>: pass",
    "as a conversion": "f'{x!<<secrets.k>>}'",
  };
  for (const [place, lines] of Object.entries(cases)) {
    it(`is refused, at its line and column, ${place}`, () => {
      const before = lines.slice(0, lines.indexOf("<<secrets.k"));
      const line = before.split("\n").length + 1;
      const column = before.length - before.lastIndexOf("\n");
      const report = { code: "ERR_REFERENCE_POSITION", line, column };
      const { error } = python.analyze(`"😀<<secrets.fine>>"\n${lines}`);
      expect(error).toMatchObject(report);
      expect(error?.message).toContain(`"k"`);
      expect(python.run(`"😀<<secrets.fine>>"\n${lines}`, { k: "v", fine: "v" }).error).toMatchObject(report);
    });
  }
});

describe("a Python syntax error", () => {
  const cases: [string, string, string | undefined, string][] = [
    ["has its line and column", "x = <<secrets.k>>\ny = )", "2:5", "unmatched ')'"],
    ["counts columns in UTF-16 units when it does not parse", "'é😀'; x = = <<secrets.k>>", "1:12", "invalid syntax"],
    [
      "counts columns in UTF-16 units when it does not compile",
      "'é😀'; break; <<secrets.k>>",
      "1:8",
      "'break' outside loop",
    ],
    ["counts a byte order mark", "\uFEFFbreak", "1:2", "'break' outside loop"],
    ["may be a duplicate parameter", "def f(é, a, a): pass", "1:13", "duplicate argument 'a' in function definition"],
    ["may be a nonlocal statement", "nonlocal x", "1:1", "no binding for nonlocal 'x' found"],
    [
      "may be an import of everything",
      "from x import *",
      "1:15",
      "import * cannot stand in a step, whose code is the body of a function",
    ],
    ["may be a yield", "x = 1\nif x: y = (yield x)", "2:12", "'yield' outside function"],
    [
      "may be a late future import",
      "x = 1\nfrom __future__ import annotations",
      "2:1",
      "from __future__ imports must occur at the beginning of the file",
    ],
    ["may be a NUL", "x = '<<secrets.k>>'\n# \0", "2:3", "it holds a NUL character"],
    ["may be half of a surrogate pair", "x = 'é\ud800'", "1:7", "it holds half of a surrogate pair"],
    [
      "may be an unknown character name",
      String.raw`x = "\N{<<secrets.k>>}"`,
      "1:5",
      "(unicode error) 'unicodeescape' codec can't decode bytes in position 0-16: unknown Unicode character name",
    ],
    [
      "may be an open string that holds a reference",
      "x = '<<secrets.k>>",
      "1:5",
      "unterminated string literal (detected at line 1)",
    ],
    [
      "may be a forgotten comma after a reference",
      "f(<<secrets.k>> b)",
      "1:3",
      "invalid syntax. Perhaps you forgot a comma?",
    ],
    [
      "quotes a reference as it is written",
      "match 1:\n case {'<<secrets.k>>': 1, '<<secrets.k>>': 2}: pass",
      "2:7",
      "mapping pattern checks duplicate key ('<<secrets.k>>')",
    ],
    [
      "that only values cause quotes no value",
      "match 1:\n case {'<<secrets.k>>': 1, '<<secrets.l>>': 2}: pass",
      "2:7",
      "these values make it one that Python refuses",
    ],
  ];
  it.each(cases)("%s", (_behaviour, code, at, message) => {
    const { error } = python.run(code, { k: "VALUE", l: "VALUE" });
    expect(error?.message.replace(/^Cannot (parse|compile) the step: /, "")).toBe(message);
    expect(error).toMatchObject({ code: "ERR_STEP_SYNTAX" });
    expect(`${error?.line}:${error?.column}`).toBe(at);
  });

  it("never shows a placeholder", () => {
    for (const code of [
      "x = [<<secrets.k>>",
      "f(<<secrets.k>>=1, <<secrets.k>>=2",
      "<<secrets.k>> x",
      "x = <<secrets.k>>if 1 else 2",
      "f'{<<secrets.k>>!x}'",
    ]) {
      const { error } = python.analyze(code);
      expect(error?.message).toBeDefined();
      expect(error?.message).not.toContain("_s0");
    }
  });

  it("says when a reference has no value", () => {
    expect(python.run("x = 1\n<<secrets.k>>").error).toMatchObject({ code: "ERR_SECRET_UNKNOWN", line: 2, column: 1 });
  });
});

describe("Python nested too deeply is a syntax error:", () => {
  const deep = 20_000;
  const bombs: Readonly<Record<string, string>> = {
    signs: `${"-".repeat(deep)}1`,
    negations: `${"not ".repeat(deep)}x`,
    sums: `x${"+x".repeat(deep)}`,
    powers: `x${"**x".repeat(deep)}`,
    attributes: `x${".x".repeat(deep)}`,
    calls: `x${"()".repeat(deep)}`,
    indexes: `x${"[0:1, 2]".repeat(deep)}`,
    conditionals: `${"x if x else ".repeat(deep)}x`,
    lambdas: `${"lambda a, b: ".repeat(deep)}x`,
    awaits: `${"await ".repeat(deep)}x`,
    elifs: `if x: pass\n${"elif x: pass\n".repeat(deep)}`,
    brackets: "(".repeat(deep),
    "f-strings": `f"{`.repeat(deep),
    "signs in an f-string": `f"{${"-".repeat(deep)}1}"`,
    "signs in a format specification": `f"{1:{${"-".repeat(deep)}1}}"`,
    indentation:
      Array.from({ length: 120 }, (_, depth) => `${" ".repeat(depth)}if x:\n`).join("") + " ".repeat(120) + "x",
  };
  for (const [kind, code] of Object.entries(bombs)) {
    it(`as chains or nests of ${kind}`, () => {
      const report = { code: "ERR_STEP_SYNTAX", message: expect.stringMatching(/too (many|deeply)/) as string };
      expect(python.run(code).error).toMatchObject(report);
      expect(python.analyze(`<<secrets.k>>\n${code}`).error).toMatchObject({
        ...report,
        line: expect.any(Number) as number,
      });
    });
  }

  it("long flat code is not", () => {
    const flat = [
      `x = [${"a.b(c)[d] + e,\n".repeat(3_000)}]`,
      "y = a.b(c) + d\n".repeat(3_000),
      "if x: pass\nelif y: pass\n".repeat(1_000),
      `z = f"${"{a.b}.{c}".repeat(1_000)}"`,
      `w = {${"'k': lambda a, b: a.b + c,".repeat(3_000)}}`,
      `v = ${'"part" '.repeat(3_000)}`,
    ];
    expect(python.analyze(`<<secrets.k>>\n${flat.join("\n")}`)).toMatchObject({ references: [{ name: "k" }] });
  });
});

describe("bound Python", () => {
  const cases: Readonly<Record<string, string>> = {
    "an expression": "a = <<secrets.k>>; ",
    "a string": "a = 'é<<secrets.k>>😀'; ",
    "a string over lines": "a = '''\n<<secrets.k>>\n  '''; ",
    "an f-string": "a = f'{1}<<secrets.k>>{\"<<secrets.k>>\"}'; ",
    "strings side by side": "a = ('<<secrets.k>>'  # note\n   f'<<secrets.k>>'); ",
    "a backslash": "a = \\\n  <<secrets.k>>; ",
    "a byte order mark": "\uFEFFa = <<secrets.k>>; ",
    "carriage returns": "a = 1\r\nb = <<secrets.k>>\rc = '<<secrets.k>>'; ",
    "a form feed": "\f\na = <<secrets.k>>; ",
  };
  for (const [place, start] of Object.entries(cases)) {
    it(`raises at the builder's line and column after ${place}`, () => {
      const { raised, line, at } = python.run(`${start}1/0`, { k: "a\n\nb" });
      expect(raised).toBe("ZeroDivisionError");
      expect(line).toBe(start.split(/\r\n|[\r\n]/).length);
      expect(at).toBe("1/0");
    });
  }

  it("raises at the reference itself", () => {
    expect(python.run("x = 1\né = '😀'; y = <<secrets.k>> + 1", { k: "v" })).toMatchObject({
      raised: "TypeError",
      line: 2,
      at: "<<secrets.k>> + 1",
    });
  });
});
