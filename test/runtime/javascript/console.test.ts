/**
 * What `console` writes, compared with Node's own console: each snippet runs here with a Node Console and in a sandbox,
 * and the texts must be equal. Where a step's log is meant to differ (depth, what a getter or class may run), the test
 * says what it is instead.
 */
import { Console } from "node:console";
import { Writable } from "node:stream";
import { runInThisContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { openTestSandbox, runStep } from "../../helpers/sandbox.ts";

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = openTestSandbox();
});
afterAll(async () => await sandbox.close());

/** What Node writes for a snippet. */
function nodeWrites(code: string): string {
  let text = "";
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  (runInThisContext(`(function (console) { ${code} })`) as (console: Console) => void)(
    new Console({ stdout: stream, stderr: stream, colorMode: false }),
  );
  return text;
}

const snippets: Record<string, string> = {
  "primitives in objects and on their own":
    "console.log(-0, 10n, true, null, undefined, Symbol('x'), 'bare', ['quoted'], [-0, 10n, Symbol('y'), undefined])",
  "strings with quotes and control characters": `console.log(["a'b", "a'b\\"c", "a'b\\"c\`d", "line\\nbreak\\t\\x01\\x7f", "é🎈"])`,
  "nested plain data": "console.log({ a: { b: { c: 1 } }, list: [{ x: 1 }, [2]], 'a-b': 1, [Symbol('k')]: 2 })",
  "objects too long for one line":
    "console.log({ a: 'x'.repeat(40), b: 'y'.repeat(40), c: { d: ['z'.repeat(50), 'w'.repeat(50)] } })",
  "objects just at the line's length":
    "for (let n = 20; n < 40; n++) console.log({ a: 'x'.repeat(n), b: ['y'.repeat(n)] })",
  "arrays in columns":
    "console.log(Array.from({ length: 30 }, (_, i) => i * i), ['apple', 'fig', 'kiwi', 'plum', 'pear', 'date', 'lime', 'nut'], Array.from({ length: 120 }, (_, i) => i))",
  "arrays with holes and own properties": "const a = [1, , , 2]; a.name = 'n'; console.log(a, [,], new Array(3))",
  "class instances, classes and functions":
    "class A { x = 1; get y() { return 2 } } class B extends A {} console.log(new A(), new B(), A, B, () => 1, function f() {}, async () => {}, function* g() {}, async function* h() {}, class {})",
  "null prototypes, tags and accessors":
    "console.log(Object.create(null), Object.assign(Object.create(null), { a: 1 }), { get a() { return 1 }, set a(v) {}, get b() { return 1 }, set c(v) {} }, { [Symbol.toStringTag]: 'T' })",
  cycles:
    "const a = { n: 1 }; a.self = a; a.list = [a, { a }]; console.log(a); const l = []; l.push(l); console.log(l)",
  "maps, sets and weak ones":
    "console.log(new Map([[{ a: 1 }, new Set([1, 'x'])], ['k', null]]), new Set(), new Map(), new WeakMap(), new WeakSet())",
  bytes: "console.log(new Uint8Array([1, 2, 255]), new Float64Array(2), new ArrayBuffer(3), new Uint8Array(150))",
  "dates, expressions and boxed values":
    "console.log(new Date(0), new Date(NaN), /a\\/b/gi, new Number(3), new String('ab'), new Boolean(false), Object(1n), [new Date(5), /x/])",
  "long strings and many keys":
    "console.log(['x'.repeat(10050)]); console.log(Object.fromEntries(Array.from({ length: 30 }, (_, i) => ['key' + i, i])))",
  "format directives":
    "console.log('%s %s %s|%d %i %f|%j|%O|%c%%', 'a', Symbol('q'), 5n, '42.5', '42.9', '1.5x', { a: 1 }, { b: [1] }, 'css', 'rest', { z: 1 }); console.log('%d %i %f', {}, 5n, 'x'); console.log('%s', null, undefined, [1, 'a']); console.log('%s'); console.log('100%', 5); console.log('a%', '%x', 1); console.log('%%', '%%')",
  "format of objects as strings":
    "console.log('%s %s %s', { toString() { return 'own' } }, new (class Z { toString() { return 'z' } })(), { a: { b: 1 } }); console.log('%s', class Q {}, -0); console.log('%s', new Date(0), [1, [2, [3]]])",
  tables:
    "console.table([{ a: 1, b: 'x' }, { a: 2, c: true }]); console.table([[1, 2], [3, 4]]); console.table([1, 'a']); console.table({ r1: { c: 1 }, r2: { c: 2 } }); console.table([{ a: 1, b: 2 }], ['b']); console.table(new Map([['k', 1]])); console.table(new Set([1])); console.table(5); console.table([])",
  groups:
    "console.group('G', 1); console.log('in\\nner'); console.group(); console.info({ a: 'x'.repeat(60), b: 'y'.repeat(60) }); console.groupEnd(); console.groupEnd(); console.groupEnd(); console.log('out'); console.groupCollapsed('c'); console.log('x'); console.groupEnd()",
  counters:
    "console.count(); console.count(); console.count('x'); console.countReset('x'); console.count('x'); console.count(undefined); console.count(5)",
  assertions:
    "console.assert(true, 'no'); console.assert(false); console.assert(false, 'm %s', 1); console.assert(false, { a: 1 }); console.assert(0, 'x', { y: 1 })",
  "dir and dirxml":
    "console.dir({ a: { b: { c: { d: 1 } } } }, { depth: 0 }); console.dir('text'); console.dirxml({ a: 1 }, [2])",
  "nothing at all": "console.log(); console.log(''); console.log(undefined)",
};

const border = "-- next snippet --";

describe("console writes what Node writes", () => {
  let written: string[] = [];
  beforeAll(async () => {
    // All in one run: a snippet leaves its counters and groups as it found them.
    const code = `for (const snippet of params) { new Function("console", snippet)(console); console.log("${border}") }`;
    const { text } = await runStep(sandbox, "javascript", code, { params: Object.values(snippets) });
    written = text.split(`${border}\n`);
  });
  for (const [i, [what, code]] of Object.entries(snippets).entries()) {
    test(`for ${what}`, () => expect(written[i]).toBe(nodeWrites(code)));
  }
});

describe("console in a step", () => {
  test("shows more levels than Node does, and no value of a getter", async () => {
    const { text } = await runStep(
      sandbox,
      "javascript",
      "console.log({ a: { b: { c: { d: { e: 1 } } } }, get secret() { console.log('ran'); return 1 } })",
    );
    expect(text).toBe("{\n  a: {\n    b: { c: { d: { e: 1 } } }\n  },\n  secret: [Getter]\n}\n");
  });
  test("times with a label, and warns of labels that are not there", async () => {
    const { events } = await runStep(
      sandbox,
      "javascript",
      "console.time('t'); console.timeLog('t', 1); console.timeEnd('t'); console.timeEnd('t'); console.countReset('nope'); console.time('u'); console.time('u')",
    );
    expect(events.flatMap((event) => (event.kind === "log" ? [[event.level, event.message]] : []))).toEqual([
      ["info", expect.stringMatching(/^t: [\d.]+ms 1$/)],
      ["info", expect.stringMatching(/^t: [\d.]+ms$/)],
      ["warn", "No such label 't' for console.timeEnd()"],
      ["warn", "Count for 'nope' does not exist"],
      ["warn", "Label 'u' already exists for console.time()"],
    ]);
  });
  test("traces with the step's frames only", async () => {
    const { events } = await runStep(sandbox, "javascript", "function f() {\n  console.trace('at %d', 1);\n}\nf()");
    expect(events).toContainEqual({
      kind: "log",
      level: "debug",
      message: "Trace: at 1\n    at f (step.js:2:11)\n    at step (step.js:4:1)",
    });
  });
  test("shows proxies and broken objects without failing the step", async () => {
    const code = `console.log(new Proxy({}, { ownKeys() { throw 1 } }), new Proxy([1], {}), { __proto__: Map.prototype });
      class M extends Map { forEach() { throw 1 } [Symbol.iterator]() { throw 1 } } console.log(new M([[1, 2]])); return 1`;
    const { output, text } = await runStep(sandbox, "javascript", code);
    expect(output).toBe(1);
    expect(text).toContain("[Unreadable]");
    expect(text).toContain("M(1) [Map] { 1 => 2 }");
  });
});
