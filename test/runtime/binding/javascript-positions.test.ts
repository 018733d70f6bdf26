/** Goal: lines and columns are the builder's, in analysis, in errors and at run time; wrong places are refused. */
import { describe, expect, it } from "vitest";
import { StepvaultError } from "../../../protocol/error.ts";
import { analyzeJavaScript } from "../../../runtime/binding/javascript.ts";
import { bindProgram, whereItThrows } from "./javascript-program.ts";

function failure(code: string): { code: string; at: string; message: string } {
  try {
    analyzeJavaScript(code);
  } catch (error) {
    if (!(error instanceof StepvaultError)) throw error;
    const { position } = error;
    return { code: error.code, at: `${position?.line}:${position?.column}`, message: error.message };
  }
  throw new Error("analyzed without an error");
}

describe("analyzeJavaScript()", () => {
  it("lists each reference with line and column, in order", () => {
    const code = `a("<<secrets.x>>",\n\t{{ secrets.y }},\r\n'😀<<secrets.x>>')\u2028<<secrets.z>>`;
    expect(analyzeJavaScript(code).references).toEqual([
      { name: "x", line: 1, column: 4 },
      { name: "y", line: 2, column: 2 },
      { name: "x", line: 3, column: 4 },
      { name: "z", line: 4, column: 1 },
    ]);
  });

  it("ignores references in comments of every kind", () => {
    const code = `#!<<secrets.a>>\n// <<secrets.b>>\n/* {{secrets.c}}\n<<secrets.d>> */ x <!-- <<secrets.e>>
--> <<secrets.f>>\n\`\${1 /* <<secrets.g>> */}\`; "// <<secrets.h>>"`;
    expect(analyzeJavaScript(code).references.map(({ name }) => name)).toEqual(["h"]);
  });

  it("refuses more references than a step may hold", () => {
    expect(failure("<<secrets.k>>;".repeat(1_001))).toMatchObject({ code: "ERR_REFERENCE_COUNT" });
    expect(analyzeJavaScript("<<secrets.k>>;".repeat(1_000)).references).toHaveLength(1_000);
  });

  it("calls deep nesting a syntax error", () => {
    expect(failure(`${"(".repeat(50_000)}<<secrets.k>>`)).toMatchObject({
      code: "ERR_STEP_SYNTAX",
      message: "Cannot parse the step: it is nested too deeply",
    });
  });

  it("takes code of a mebibyte in seconds", () => {
    const code = "x = '<<secrets.k>>' // note\n".repeat(900) + `y = foo(a.b, c["d"]) + 1\n`.repeat(38_000);
    const start = performance.now();
    expect(analyzeJavaScript(code).references).toHaveLength(900);
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});

describe("a JavaScript reference", () => {
  const cases: Readonly<Record<string, string>> = {
    "after a dot": "x.<<secrets.k>>",
    "after an optional dot": "x?.<<secrets.k>>",
    "merged with an identifier": "foo<<secrets.k>>bar",
    "merged with a number": "x = 1<<secrets.k>>",
    "merged with a hexadecimal number": "x = 0xA<<secrets.k>>",
    "between two operands": "a <<secrets.k>> b",
    "as a private name": "class A { #<<secrets.k>> }",
    "as a variable": "let <<secrets.k>> = 1",
    "as an assignment's target": "<<secrets.k>> = 1",
    "as a compound assignment's target": "<<secrets.k>> += 1",
    "as an update's operand": "<<secrets.k>>++",
    "as an array pattern": "[<<secrets.k>>] = x",
    "as an object pattern": "({ a: <<secrets.k>> } = x)",
    "as a shorthand pattern": "({ <<secrets.k>> } = x)",
    "as a shorthand property": "x = { <<secrets.k>> }",
    "as a braced shorthand property": "x = {{{secrets.k}}}",
    "as a bare key": "x = { <<secrets.k>>: 1 }",
    "as a method's name": "x = { <<secrets.k>>() {} }",
    "as a class member's name": "class A { <<secrets.k>> = 1 }",
    "as a label": "<<secrets.k>>: for (;;) {}",
    "as a function's name": "function <<secrets.k>>() {}",
    "as a class's name": "class <<secrets.k>> {}",
    "as a parameter": "(function (<<secrets.k>>) {})",
    "as an arrow's parameter": "x(<<secrets.k>> => 1)",
    "as an async arrow's parameter": "async <<secrets.k>> => 1",
    "as a rest parameter": "((...<<secrets.k>>) => 1)",
    "as a caught error": "try {} catch (<<secrets.k>>) {}",
    "as a loop's variable": "for (<<secrets.k>> of x);",
    "in a tagged template's text": "tag`<<secrets.k>>`",
    "in a regular expression": "/<<secrets.k>>/u",
    "as what is deleted": "delete <<secrets.k>>",
    "in an import's source": `import x from "<<secrets.k>>"`,
    "in an import's specifier": `import { "<<secrets.k>>" as x } from "y"`,
    "in an export's specifier": `export { x as "<<secrets.k>>" } from "y"`,
    "in an export's name": `export { x as <<secrets.k>> } from "y"`,
    "as a function's body": "function f() {{secrets.k}}",
    "as a binary number's digit": "x = 0b1<<secrets.k>>",
    "after a big integer": "x = 1n<<secrets.k>>",
    "in a meta property": "new.<<secrets.k>>",
  };
  for (const [place, line] of Object.entries(cases)) {
    it(`is refused, at its line and column, ${place}`, () => {
      const column = Math.max(line.indexOf("<<"), line.indexOf("{{secrets")) + 1;
      const result = failure(`"<<secrets.fine>>"\n"😀"; ${line}`);
      expect(result).toMatchObject({ code: "ERR_REFERENCE_POSITION", at: `2:${column + 6}` });
      expect(result.message).toContain(`"k"`);
    });
  }
});

describe("a JavaScript syntax error beside a reference", () => {
  const cases: [string, string, string, string][] = [
    ["has its line and column", "x = <<secrets.k>>;\n  y = );", "2:7", "Unexpected token"],
    ["names no identifier", "<<secrets.k>>; let foo; let foo;", "1:29", "Identifier has already been declared"],
    ["shows no regular expression", "<<secrets.k>>; /ab(/", "1:17", "Invalid regular expression: Unterminated group"],
    ["gives a character as its code", "“<<secrets.k>>”", "1:1", "Unexpected character U+201C"],
    [
      "names no private field",
      "<<secrets.k>>; class A { x = this.#foo }",
      "1:35",
      "Private field must be declared in an enclosing class",
    ],
    ["may lie in a string that holds it", "x = '<<secrets.k>>", "1:5", "Unterminated string constant"],
    ["may be an escape before it", String.raw`x = "\u{<<secrets.k>>}"`, "1:9", "Bad character escape sequence"],
  ];
  it.each(cases)("%s", (_behaviour, code, at, message) => {
    expect(failure(code)).toEqual({ code: "ERR_STEP_SYNTAX", at, message: `Cannot parse the step: ${message}` });
  });

  it("never shows a placeholder", () => {
    for (const code of [
      "{{secrets.k}} x",
      "var a.<<secrets.k>>",
      "break <<secrets.k>>",
      "<<secrets.k>>\n`",
      "x = <<secrets.k>>y:",
    ]) {
      expect(failure(code).message).not.toContain("_s0");
    }
  });
});

describe("bound JavaScript", () => {
  const throwing = "; null.x";
  const cases: Readonly<Record<string, string>> = {
    "an expression": "a = <<secrets.k>>",
    "a string": "a = 'x<<secrets.k>>'",
    "a string over lines": "a = 'x\\\n<<secrets.k>> \\\r\n yy'",
    "a string over lines that begins a statement": "'x\\\n<<secrets.k>> \\\n yy'",
    "a key": "a = { '<<secrets.k>>': 1 }",
    "a key over lines": "a = { 'x\\\n<<secrets.k>>\\\n': 1 }",
    "a class field's key": "class A { '<<secrets.k>>' = 1 }",
    "a template": "a = `x\n<<secrets.k>>\\<<secrets.k>>`",
    "astral text": "a = '😀<<secrets.k>>😀'",
    "a comment": "/* <<secrets.k>>\n*/ a = <<secrets.k>>",
    "a hashbang": "#!x\na = <<secrets.k>>",
    "line separators": "a = '\u2028<<secrets.k>>'",
  };
  for (const [place, start] of Object.entries(cases)) {
    it(`throws at the builder's line and column after ${place}`, async () => {
      const code = start + throwing;
      const lines = code.split(/\r\n|[\n\u2028]/);
      const expected = `${lines.length}:${(lines.at(-1)?.indexOf("null.x") ?? 0) + 6}`;
      const declared = `var a; ${code}`.replace(/^var a; #!/, "#!");
      const shift = lines.length === 1 ? 7 : 0;
      const [line, column] = expected.split(":").map(Number);
      expect(await whereItThrows(declared, { k: "a\nb" })).toBe(`${line}:${(column ?? 0) + shift}`);
    });

    it(`keeps the length and the line ends of ${place}`, () => {
      const { source } = bindProgram(start, { k: "a\nb" });
      expect(source).toHaveLength(start.length);
      const lineEnds = (text: string) => [...text.matchAll(/[\r\n\u2028\u2029]/g)].map(({ index }) => index);
      expect(lineEnds(source)).toEqual(lineEnds(start));
    });
  }
});
