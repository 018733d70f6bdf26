/**
 * Packages that steps import: real ones, copied into a folder with a lock as an operator would make it, and folders that
 * are not what their lock says. The reading of import statements is tested without a sandbox.
 */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { StepvaultError } from "../../../protocol/error.ts";
import { replaceDynamicImports, takeImports } from "../../../runtime/binding/javascript-imports.ts";
import { readJavaScriptPackages } from "../../../runtime/javascript-packages.ts";
import { findPackageFiles, lockFileName, writeLock } from "../../../runtime/packages.ts";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { hostsOf, onlyIdleHostsAreLeft } from "../../helpers/processes.ts";
import { openTestSandbox, runStep, type StepOptions } from "../../helpers/sandbox.ts";

const folder = mkdtempSync(path.join(tmpdir(), "stepvault-packages-"));
afterAll(() => rmSync(folder, { recursive: true }));

const require = createRequire(import.meta.url);
const distributed = (name: string, file: string): string =>
  readFileSync(path.join(path.dirname(require.resolve(`${name}/package.json`)), file), "utf8");

/** A folder with these files, and a lock that fits them unless one is given. */
function makeFolder(name: string, files: Record<string, string>, locked?: Record<string, string>): string {
  const made = path.join(folder, name);
  mkdirSync(made, { recursive: true });
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(made, file)), { recursive: true });
    writeFileSync(path.join(made, file), text);
  }
  if (locked === undefined) writeLock(made, findPackageFiles(made));
  else writeFileSync(path.join(made, lockFileName), JSON.stringify({ version: 1, files: locked }));
  return made;
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

function refusalOf(action: () => unknown): StepvaultError {
  try {
    action();
  } catch (error) {
    if (error instanceof StepvaultError) return error;
  }
  throw new Error("it was not refused");
}

describe("import statements at the top of a step", () => {
  test("are blanked, with what they bind", () => {
    const code = `// first\n"use strict";\nimport a, { b as c, type T, default as d } from "p";\nimport * as ns\n  from '@s/q/sub'; import "side";\nimport type { X } from "types";\nreturn a`;
    const { source, imports } = takeImports(code);
    expect(imports).toEqual([
      {
        package: "p",
        names: [
          { local: "a", name: "default" },
          { local: "c", name: "b" },
          { local: "d", name: "default" },
        ],
        line: 3,
        column: 1,
      },
      { package: "@s/q/sub", names: [{ local: "ns", name: "*" }], line: 4, column: 1 },
      { package: "side", names: [], line: 5, column: 20 },
    ]);
    expect(source).toHaveLength(code.length);
    expect(source.replaceAll(/[ ;]/g, "")).toBe('//first\n"usestrict"\n\n\n\n\nreturna');
  });
  test.each([
    "return 1; import a from 'p'",
    "import('p')",
    "import.meta.url",
    "import a 'p'",
    "import { a b } from 'p'",
    'import a from "<<secrets.k>>"',
    "importa from 'p'",
    "import",
  ])("leave %j to V8", (code) => expect(takeImports(code)).toEqual({ source: code, imports: [] }));
  test("are read in time that grows with the code", () => {
    const started = performance.now();
    takeImports(`import ${" a".repeat(100_000)}`);
    takeImports("/*".repeat(200_000));
    takeImports(`import {${"a,".repeat(200_000)}`);
    expect(performance.now() - started).toBeLessThan(2_000);
  });
  test("leave strings and comments alone where import is called", () => {
    const code = 'const s = "import(1)"; /* import(2) */ const m = await import("p"); `${import("q")} import(3)`';
    const { source, identifier = "" } = replaceDynamicImports(code);
    expect(identifier).toHaveLength("import".length);
    expect(source).toBe(
      code.replace('await import("p")', `await ${identifier}("p")`).replace('${import("q")}', `\${${identifier}("q")}`),
    );
  });
});

describe("a folder of packages", () => {
  const good = { "a.mjs": "export default 1", "@scope/b.js": "export const b = 2" };
  test("is read with its lock", () => {
    const made = makeFolder("good", good);
    expect(readJavaScriptPackages(made).map(({ name, file }) => [name, file])).toEqual([
      ["@scope/b", path.join(made, "@scope/b.js")],
      ["a", path.join(made, "a.mjs")],
    ]);
  });
  const locked = { "a.mjs": sha256(good["a.mjs"]), "@scope/b.js": sha256(good["@scope/b.js"]) };
  test.each([
    ["a file that was changed", good, { ...locked, "a.mjs": sha256("export default 2") }],
    ["a file that is not there", good, { ...locked, "missing.mjs": sha256("") }],
    ["a file that is not locked", { ...good, "more.js": "" }, locked],
    ["a path out of the folder", good, { ...locked, "../a.mjs": sha256("") }],
    ["an absolute path", good, { ...locked, "/etc/passwd.js": sha256("") }],
    ["a hash that is none", good, { ...locked, "a.mjs": "a.mjs" }],
    ["two files of one name", { "a.js": "", "a.mjs": "" }, undefined],
    ["a name that nobody can import", { "__proto__.js": "" }, undefined],
  ])("is refused for %s", (what, files: Record<string, string>, lock?: Record<string, string>) => {
    const made = makeFolder(what.replaceAll(" ", "-"), files, lock);
    expect(refusalOf(() => readJavaScriptPackages(made)).code).toBe("ERR_PACKAGES_INVALID");
  });
  test("is refused without a lock, when it is not there, and when a package is a link", () => {
    expect(refusalOf(() => readJavaScriptPackages(path.join(folder, "nowhere"))).code).toBe("ERR_PACKAGES_INVALID");
    mkdirSync(path.join(folder, "bare"));
    expect(refusalOf(() => readJavaScriptPackages(path.join(folder, "bare"))).code).toBe("ERR_PACKAGES_INVALID");
    const made = makeFolder("linked", {}, { "l.mjs": sha256("export {}") });
    writeFileSync(path.join(folder, "outside.mjs"), "export {}");
    symlinkSync(path.join(folder, "outside.mjs"), path.join(made, "l.mjs"));
    expect(refusalOf(() => readJavaScriptPackages(made)).message).toContain("is a link");
  });
});

describe("importing packages", () => {
  let sandbox: Sandbox;
  let installed: string;
  beforeAll(() => {
    installed = makeFolder("installed", {
      "mustache.mjs": distributed("mustache", "mustache.mjs"),
      "acorn.mjs": distributed("acorn", "dist/acorn.mjs"),
      "@company/tools.js":
        'import { parse } from "acorn"; export const kinds = (code) => parse(code, { ecmaVersion: 2024 }).body.map(({ type }) => type); export let count = 0;',
      "loop-a.mjs": 'import { b } from "loop-b"; export const a = "a"; export const both = () => a + b;',
      "loop-b.mjs": 'import { a } from "loop-a"; export const b = "b"; export const first = () => a;',
      "broken.mjs": 'throw new Error("at load")',
      "reaches.mjs": 'import fs from "fs"; export default fs',
      "greedy.mjs":
        "export const seen = [typeof process, typeof require, typeof hostReference, typeof WebAssembly]; export const fail = () => { throw new TypeError('inside') }",
    });
    sandbox = openTestSandbox([], 1, { javascriptPackages: installed });
  });
  afterAll(async () => await sandbox.close());
  const run = async (code: string, options: StepOptions = {}) => await runStep(sandbox, "javascript", code, options);

  test("static and dynamic imports of real packages work beside secrets", async () => {
    const { output } = await run(
      `import mustache, { default as same } from "mustache";
import * as acorn from "acorn"; import { kinds as kindsOf } from '@company/tools';
const name = "tools"; const { kinds } = await import("@company/" + name);
const again = await import("acorn");
return [mustache.render("{{a}} & {{{a}}}", { a: "<b>" }), same === mustache, acorn.version === again.version, again.parse === acorn.parse, kinds("let a; f()"), kindsOf === kinds, "<<secrets.k>>"]`,
      { secrets: { k: "v" } },
    );
    expect(output).toEqual([
      "&lt;b&gt; & <b>",
      true,
      true,
      true,
      ["VariableDeclaration", "ExpressionStatement"],
      true,
      "v",
    ]);
  });
  test("packages import each other, in a circle too, and find nothing of the host", async () => {
    const { output } =
      await run(`import { both } from "loop-a"; import { first } from "loop-b"; import { seen } from "greedy";
return [both(), first(), seen]`);
    expect(output).toEqual(["ab", "a", ["undefined", "undefined", "undefined", "undefined"]]);
  });
  test("what is not installed is refused before any code runs, with its place", async () => {
    const { outcome, events } = await run('console.log("ran");', {});
    expect("output" in outcome && events.length).toBe(2);
    const unknown = await run('import mustache from "mustache";\nimport fs from "node:fs"; console.log("ran")');
    expect("error" in unknown.outcome && unknown.outcome.error).toMatchObject({
      code: "ERR_PACKAGE_UNKNOWN",
      position: { line: 2, column: 1 },
    });
    expect(unknown.events).toEqual([]);
    const missing = await run('\n import { render } from "mustache"; return 1');
    expect("error" in missing.outcome && missing.outcome.error).toMatchObject({
      code: "ERR_STEP_SYNTAX",
      message: 'Cannot import "render" from package "mustache": it has no such export',
      position: { line: 2, column: 2 },
    });
  });
  test("a dynamic import that fails is an error to catch", async () => {
    const { output } = await run(`const out = [];
for (const name of ["node:fs", "file:///etc/passwd", "../installed/mustache.mjs", "mustache.mjs", "__proto__", "data:text/javascript,1", { toString: () => "acorn" }, "x".repeat(5000)])
  try { out.push(typeof (await import(name)).parse) } catch (e) { out.push(e.code) }
return out`);
    const unknown = expect.stringMatching(/^ERR_PACKAGE_UNKNOWN/) as string;
    expect(output).toEqual([unknown, unknown, unknown, unknown, unknown, unknown, "function", unknown]);
  });
  test("a package that does not load is the operator's to mend", async () => {
    for (const name of ["broken", "reaches"]) {
      const { outcome } = await run(`import "${name}"; return 1`);
      const error = "error" in outcome ? outcome.error : undefined;
      expect(error?.fault).toBe(name === "broken" ? "system" : "user");
      expect(error?.message).toContain(name === "broken" ? "at load" : '"fs"');
    }
    expect((await run('return await import("broken").catch((e) => e.code)')).output).toBe("ERR_PACKAGES_INVALID");
  });
  test("what one run does to a package is gone in the next, on the same host", async () => {
    const code = 'import { seen } from "greedy"; const was = seen.length; seen.push("left"); return was';
    await run(code);
    await onlyIdleHostsAreLeft(sandbox);
    const hosts = hostsOf();
    expect((await run(code)).output).toBe(4);
    await onlyIdleHostsAreLeft(sandbox);
    expect(hostsOf()).toEqual(hosts);
  });
  test("an error inside a package has its frames and the step's place", async () => {
    const { outcome } = await run('import { fail } from "greedy";\n  fail();');
    const error = "error" in outcome ? outcome.error : undefined;
    expect(error?.position).toEqual({ line: 2, column: 3 });
    expect(error?.guestStack).toMatch(/^ {4}at fail \(package:greedy:1:\d+\)\n {4}at step \(step\.js:2:3\)$/);
  });
  test("types are left out of imports in TypeScript", async () => {
    const code =
      'import type { Node } from "acorn-types";\nimport { parse, type Options } from "acorn";\nconst node: Node = parse("1", { ecmaVersion: 2024 } as Options); return node.type as string';
    expect((await runStep(sandbox, "typescript", code)).output).toBe("Program");
  });
  test("a file that changes after the start is not run", async () => {
    const made = makeFolder("changing", { "p.mjs": "export default 1" });
    const changing = openTestSandbox([], 0, { javascriptPackages: made });
    expect((await runStep(changing, "javascript", "return 1")).output).toBe(1);
    writeFileSync(path.join(made, "p.mjs"), "export default 2");
    const { code } = await runStep(changing, "javascript", 'import p from "p"; return p');
    await changing.close();
    expect(code).toBe("ERR_PACKAGES_INVALID");
  });
});
