/**
 * The web's functions in a JavaScript step, compared with Node's own: each snippet runs here and in a sandbox, and what
 * it gives must be equal. All snippets run in one step, apart from those that need a network.
 */
import { runInThisContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { openTestSandbox, runStep } from "../../helpers/sandbox.ts";

/** What an expression gives, or the name of what it throws: the same code here and there. */
const evaluator = `async (snippet) => {
  const AsyncFunction = (async () => {}).constructor;
  const plain = (value) => {
    if (ArrayBuffer.isView(value)) return [value.constructor.name, ...value];
    if (value instanceof ArrayBuffer) return ["ArrayBuffer", ...new Uint8Array(value)];
    if (value instanceof Map || value instanceof Set) return [value.constructor.name, ...[...value].map(plain)];
    if (value instanceof Date) return ["Date", value.getTime()];
    if (value instanceof RegExp) return String(value);
    if (value instanceof Error) return [value.name, value.message, plain(value.cause ?? null)];
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value === "object" && value !== null) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
    return typeof value === "object" || typeof value === "boolean" || typeof value === "number" || typeof value === "string" ? value : String(value);
  };
  try {
    return plain(await new AsyncFunction("return (" + snippet + ")")());
  } catch (error) {
    return "throws " + error.name;
  }
}`;

const snippets: Record<string, readonly string[]> = {
  structuredClone: [
    "structuredClone({ a: [1, { b: new Date(5) }], m: new Map([[{ k: 1 }, new Set([1])]]), r: /x/gi, n: null, u: undefined })",
    "(() => { const o = { x: {} }; o.self = o; o.list = [o.x, o.x]; const c = structuredClone(o); return [c !== o, c.self === c, c.list[0] === c.list[1], c.list[0] === c.x] })()",
    "structuredClone(new TypeError('bad', { cause: new RangeError('why') }))",
    "structuredClone(new TypeError('bad')) instanceof TypeError",
    "structuredClone(new (class Mine extends Error { name = 'Mine'; extra = 1 })('m'))",
    "structuredClone(new Uint8Array([1, 2, 3, 4]).subarray(1, 3))",
    "(() => { const b = new ArrayBuffer(4); const c = structuredClone([new Uint8Array(b), new Uint16Array(b)]); return c[0].buffer === c[1].buffer })()",
    "structuredClone([, 1, , 2]).length",
    "Object.keys(structuredClone([, 1, , 2]))",
    "structuredClone(new (class A { x = 1; get y() { return 2 } })()).constructor === Object",
    "structuredClone(Object(5n)) instanceof BigInt",
    "structuredClone({ __proto__: null, ['__proto__']: 1 }).hasOwnProperty('__proto__')",
    "(() => { const b = new ArrayBuffer(8); const c = structuredClone(b, { transfer: [b] }); return [b.byteLength, c.byteLength] })()",
    "structuredClone(() => 1)",
    "structuredClone({ s: Symbol('x') })",
    "structuredClone(new WeakMap())",
    "structuredClone(Promise.resolve())",
    "(() => { try { structuredClone(() => 1) } catch (e) { return [e.name, e.code, e instanceof DOMException, e instanceof Error] } })()",
  ],
  "URL and its parameters": [
    "[URL.canParse('a:b'), URL.canParse('nope'), URL.canParse('/x', 'http://a')]",
    "[URL.parse('nope'), URL.parse('/x?y', 'http://a').href]",
    "(() => { const u = new URL('http://u:p@h:81/p?a=1&a=2#f'); u.searchParams.append('b', 'c d'); u.pathname = '/ä'; u.port = ''; return [u.href, u.searchParams.getAll('a'), u.host, u.origin, JSON.stringify({ u })] })()",
    "(() => { const u = new URL('http://h/?a=1'); const p = u.searchParams; u.search = '?z=9'; return [p.get('z'), p.has('a'), p === u.searchParams] })()",
    "(() => { const u = new URL('http://h/'); u.href = 'nope' })()",
    "new URL('nope')",
    "[...new URLSearchParams({ a: 'ü &', b: 'x' })].join('|') + new URLSearchParams([['a', '1'], ['a', '2']]).size",
    "new URLSearchParams('a=b+c%20d&&=x&%ff').toString()",
    "Object.prototype.toString.call(new URL('a:b')) + URL.name",
  ],
  encoding: [
    "atob(' YQ== ')",
    "atob('YWI')",
    "atob('YQ=')",
    "atob('*')",
    "btoa('ÿ')",
    "btoa('€')",
    "new TextEncoder().encode('aé€🎈\\ud800')",
    "new TextDecoder('utf-16le').decode(new Uint8Array([97, 0, 61, 216, 1]))",
    "new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([255]))",
  ],
  "events and abort signals": [
    "(() => { const c = new AbortController(); const seen = []; c.signal.onabort = (e) => seen.push(e.type); c.signal.addEventListener('abort', () => seen.push('l'), { once: true }); c.abort('why'); c.abort('again'); return [seen, c.signal.aborted, c.signal.reason] })()",
    "(() => { const c = new AbortController(); c.abort(); return [c.signal.reason.name, c.signal.reason.code, c.signal.reason instanceof DOMException] })()",
    "(() => { const a = new AbortController(), b = new AbortController(); const any = AbortSignal.any([a.signal, b.signal]); b.abort(7); return [any.aborted, any.reason] })()",
    "AbortSignal.any([AbortSignal.abort(3)]).reason",
    "AbortSignal.abort(new TypeError('x')).throwIfAborted()",
    "new Promise((r) => { const s = AbortSignal.timeout(5); s.onabort = () => r([s.reason.name, s.aborted]) })",
    "(() => { const t = new EventTarget(); const seen = []; const h = { handleEvent(e) { seen.push(e.type + (this === h)) } }; t.addEventListener('x', h); t.addEventListener('x', h); t.addEventListener('x', (e) => { e.preventDefault(); e.stopImmediatePropagation() }); t.addEventListener('x', () => seen.push('never')); const kept = t.dispatchEvent(new Event('x', { cancelable: true })); t.removeEventListener('x', h); return [seen, kept, new CustomEvent('y', { detail: 3 }).detail] })()",
    "(() => { const e = new DOMException('m', 'TimeoutError'); return [e.name, e.code, e.message, String(e), e instanceof Error, new DOMException('x').name] })()",
  ],
  headers: [
    "[...new Headers([['B', '1'], ['a', ' x '], ['b', '2']])]",
    "(() => { const h = new Headers({ 'Set-Cookie': 'a' }); h.append('set-cookie', 'b'); h.set('X', 1); h.delete('x'); return [[...h], h.getSetCookie(), h.get('none'), h.has('SET-COOKIE')] })()",
    "new Headers({ 'bad name': 'x' })",
    "new Headers({ a: 'x\\ny' })",
    "new Headers([['a']])",
    "new Headers('x')",
  ],
  "responses and their bodies": [
    "(async () => { const r = Response.json({ a: 1 }, { status: 201, headers: { x: 'y' } }); return [r.status, r.ok, r.headers.get('content-type'), r.headers.get('x'), await r.json(), r.bodyUsed] })()",
    "(() => { const r = Response.error(); return [r.type, r.status, r.ok, r.headers.has('x')] })()",
    "(() => { const r = Response.redirect('http://a/b', 307); return [r.status, r.headers.get('location')] })()",
    "Response.redirect('http://a/b', 200)",
    "new Response('x', { status: 204 })",
    "new Response('x', { status: 99 })",
    "(async () => { const r = new Response('é'); const c = r.clone(); return [await r.text(), await c.text(), c.url, r.type] })()",
    "(async () => { const r = new Response('x'); await r.text(); await r.text() })()",
    "(async () => { const r = new Response('x'); await r.text(); r.clone() })()",
    "(async () => { const r = new Response('abc'); const parts = []; for await (const part of r.body) parts.push(...part); return [parts, r.bodyUsed] })()",
    "(async () => { const reader = new Response('abc').body.getReader(); const a = await reader.read(); const b = await reader.read(); await reader.closed; return [[...a.value], a.done, b] })()",
    "(async () => { const s = new ReadableStream({ start(c) { c.enqueue(new Uint8Array([104])); c.enqueue(new Uint8Array([105])); c.close() } }); return await new Response(s).text() })()",
    "(async () => { const [a, b] = new Response('tee').body.tee(); return [await new Response(a).text(), await new Response(b).text()] })()",
    "(async () => { let n = 0; const s = new ReadableStream({ pull(c) { c.enqueue(n++); if (n === 3) c.close() } }, { highWaterMark: 0 }); const out = []; for await (const x of s) out.push(x); return out })()",
    "(async () => { let why; const s = new ReadableStream({ cancel(r) { why = r } }); await s.cancel('stop'); return [why, (await s.getReader().read()).done] })()",
    "(async () => { const s = new ReadableStream({ start(c) { c.error(new RangeError('broken')) } }); await s.getReader().read() })()",
    "(async () => { const s = new ReadableStream(); s.getReader(); s.getReader() })()",
    "(async () => { const out = []; for await (const x of ReadableStream.from([1, 2])) out.push(x); return out })()",
    "new Response(null).body",
    "new Response('x').formData()",
    "(async () => [...await new Response(new URLSearchParams('a=1&b=2')).formData()])()",
  ],
  requests: [
    "(async () => { const r = new Request('http://a/b', { method: 'post', body: 'x', headers: { a: 'b' } }); return [r.method, r.url, r.headers.get('a'), r.headers.get('content-type'), await r.clone().text(), await r.text()] })()",
    "new Request('nope')",
    "new Request('http://a', { body: 'x' })",
    "new Request('http://a', { method: 'a b' })",
    "(async () => { const r = new Request(new Request('http://a', { method: 'PUT', body: 'x' }), { headers: { q: '1' } }); return [r.method, r.headers.get('q'), await r.text()] })()",
  ],
  "blobs, files and forms": [
    "(async () => { const b = new Blob(['aé', new Uint8Array([66]), new Blob(['c'])], { type: 'Text/Plain' }); return [b.size, b.type, await b.text(), await b.slice(0, 1).text(), [...await b.bytes()], b.slice(-1).size] })()",
    "(async () => { const f = new File(['x'], 'n.txt', { type: 'a/b', lastModified: 5 }); return [f.name, f.size, f.type, f.lastModified, f instanceof Blob] })()",
    "(async () => { const f = new FormData(); f.append('a', 1); f.append('a', '2'); f.set('b', new Blob(['x']), 'n'); f.delete('none'); return [f.getAll('a'), f.get('b').name, f.get('c'), f.has('b'), [...f.keys()]] })()",
    `(async () => { const f = new FormData(); f.append('t"x', 'li\\nne'); f.append('f', new File([new Uint8Array([0, 13, 10, 255])], 'ü".bin', { type: 'a/b' })); f.append('e', ''); const r = new Response(f); const back = await new Response(await r.blob(), { headers: r.headers }).formData(); return [...await Promise.all([...back].map(async ([k, v]) => [k, typeof v === 'string' ? v : [v.name, v.type, [...await v.bytes()]]]))] })()`,
    "(async () => { const r = new Response(new FormData()); return /^multipart\\\\/form-data; boundary=/.test(r.headers.get('content-type')) })()",
  ],
  "timers, tasks and clocks": [
    "(async () => { const seen = []; queueMicrotask(() => seen.push('micro')); setTimeout((a) => seen.push(a), 1, 'timer'); await new Promise((r) => setTimeout(r, 20)); return seen })()",
    "queueMicrotask('x')",
    "setTimeout('code')",
    "(() => { const a = performance.now(); return [a >= 0, performance.now() >= a, Math.abs(performance.timeOrigin + a - Date.now()) < 5000] })()",
    "(() => { performance.mark('a', { startTime: 5 }); const m = performance.measure('m', { start: 'a', end: 9 }); return [m.name, m.entryType, m.startTime, m.duration, performance.getEntriesByName('m').length] })()",
    "performance.measure('x', 'not there')",
  ],
  "random values": [
    "crypto.getRandomValues(new Uint32Array(4)).length",
    "crypto.getRandomValues(new Float64Array(1))",
    "crypto.getRandomValues(new Uint8Array(65537))",
    "/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab]/.test(crypto.randomUUID())",
  ],
};

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = openTestSandbox();
});
afterAll(async () => await sandbox.close());

describe("a step has what the web has", () => {
  let found: unknown[] = [];
  const all = Object.values(snippets).flat();
  beforeAll(async () => {
    const code = `const evaluate = ${evaluator}; const found = []; for (const s of params) found.push(await evaluate(s)); return found`;
    const { output, outcome } = await runStep(sandbox, "javascript", code, { params: all });
    if ("error" in outcome) throw outcome.error;
    found = output as unknown[];
  });
  for (const [what, list] of Object.entries(snippets)) {
    test(`as Node has it: ${what}`, async () => {
      const evaluate = runInThisContext(evaluator) as (snippet: string) => Promise<unknown>;
      const expected = [];
      for (const snippet of list) expected.push([snippet, await evaluate(snippet)]);
      expect(list.map((snippet) => [snippet, found[all.indexOf(snippet)]])).toEqual(expected);
    });
  }
});

describe("built-ins in a step", () => {
  test("are frozen, while objects and classes of the step may override them", async () => {
    const code = `"use strict";
      const refused = [];
      for (const attempt of [
        () => { Array.prototype.map = 1 }, () => { Object.prototype.x = 1 }, () => { Promise.prototype.then = 1 },
        () => { JSON.stringify = 1 }, () => { Map.prototype.get = 1 },
        () => { Object.defineProperty(Array.prototype, 0, { set() {} }) }, () => { Object.prototype.__proto__ = {} },
      ]) try { attempt(); refused.push(false) } catch (e) { refused.push(e.name) }
      function Old() {} Old.prototype = Object.create(Error.prototype); Old.prototype.constructor = Old; Old.prototype.toString = () => "old"; Old.prototype.name = "Old";
      class Mine extends Error { constructor(m) { super(m); this.name = "Mine"; this.message = "m2" } }
      const o = {}; o.toString = () => "o"; o.constructor = 1; const a = []; a.push = () => "own"; const f = () => 1; f.call = 2;
      Error.prototype.name = "ignored"; Function.prototype.call = null;
      BigInt.prototype.toJSON = function () { return String(this) };
      return [refused, String(new Old()), String(new Mine("m")), String(o), o.constructor, a.push(1), f.call, JSON.stringify({ n: 5n }), new Error().name]`;
    expect((await runStep(sandbox, "javascript", code)).output).toEqual([
      Array.from({ length: 7 }, () => "TypeError"),
      "old",
      "Mine: m2",
      "o",
      1,
      "own",
      2,
      '{"n":"5"}',
      "Error",
    ]);
  });
  test("replaced globals change nothing of what ours do", async () => {
    const code = `for (const name of ["Map", "Array", "Promise", "Object", "JSON", "Uint8Array", "String", "Error", "setTimeout", "URL", "TextEncoder", "Reflect"]) globalThis[name] = undefined;
      console.log({ a: 1 }); crypto.randomUUID(); return { ok: structuredClone(1), b: btoa("x") }`;
    const { output, text } = await runStep(sandbox, "javascript", code);
    expect(output).toEqual({ ok: 1, b: "eA==" });
    expect(text).toBe("{ a: 1 }\n");
  });
  test("a broken RegExp breaks what a step is told at most", async () => {
    const code = 'RegExp.prototype.exec = () => { throw 1 }; RegExp.prototype[Symbol.replace] = () => "forged"; null.x';
    expect((await runStep(sandbox, "javascript", code)).code).toBe("ERR_STEP_THREW");
  });
});

describe("an isolate that starts from a snapshot", () => {
  test("has V8's latest built-ins, frozen like the others, and nothing of how it was made", async () => {
    const code = `const frozen = [Promise, Uint8Array, Map.prototype, Math].map(Object.isFrozen);
      const there = [Promise.try, Error.isError, Uint8Array.fromBase64, Map.prototype.getOrInsert, Temporal.Now].map((x) => typeof x);
      const absent = ["stepvault", "SharedArrayBuffer", "WebAssembly", "Atomics"].filter((name) => name in globalThis);
      return [frozen, there, absent];`;
    const { output } = await runStep(sandbox, "javascript", code);
    expect(output).toEqual([[true, true, true, true], ["function", "function", "function", "function", "object"], []]);
  });
  test("draws other random numbers and reads its own clock in each run", async () => {
    const draw = async (): Promise<unknown> => (await runStep(sandbox, "javascript", "return Math.random()")).output;
    expect(await draw()).not.toEqual(await draw());
    const { output } = await runStep(sandbox, "javascript", "return [performance.now(), performance.timeOrigin]");
    const [now = 0, origin = 0] = output as number[];
    expect(now).toBeLessThan(5_000);
    expect(Math.abs(Date.now() - origin)).toBeLessThan(60_000);
  });
  test("takes an error for one whatever the step makes of Error.isError and the codecs", async () => {
    const code = `Error.isError = () => false; try { Uint8Array.fromBase64 = null } catch {}
      console.log(new TypeError("kept")); return atob(btoa("text"));`;
    const { output, text } = await runStep(sandbox, "javascript", code);
    expect(output).toBe("text");
    expect(text).toContain("TypeError: kept");
  });
});
