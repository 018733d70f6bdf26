/**
 * Streams in a JavaScript step, compared with Node's own: each program notes what happens and in which order, here and in
 * a sandbox, and the notes must be equal. Errors count by their name, as each platform words them itself.
 */
import { inspect } from "node:util";
import { runInThisContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { openTestSandbox, runStep } from "../../helpers/sandbox.ts";

/** Runs a program and gives its notes: the same code here and there. */
const recorder = `async (program) => {
  const AsyncFunction = (async () => {}).constructor;
  const plain = (value) => {
    if (value instanceof Error) return value.name;
    if (ArrayBuffer.isView(value)) return [value.constructor.name, ...value];
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value === "object" && value !== null) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
    return value === undefined || typeof value === "function" || typeof value === "symbol" || !Number.isFinite(value ?? 0) && typeof value === "number" ? String(value) : value;
  };
  const notes = [];
  const note = (...what) => void notes.push(plain(what));
  const told = (name, promise) => void promise.then((value) => note(name, value), (error) => note(name, "failed", error));
  const ticks = async (count) => { for (let i = 0; i < count; i++) await undefined; };
  const tick = () => new Promise((resolve) => setTimeout(resolve, 1));
  try {
    await new AsyncFunction("note", "told", "ticks", "tick", program)(note, told, ticks, tick);
  } catch (error) {
    note("threw", error);
  }
  return notes;
}`;

const chunks =
  "const chunks = (...list) => new ReadableStream({ start(c) { for (const x of list) c.enqueue(x); c.close(); } });";
const sink = `const sink = (more = {}, strategy) => new WritableStream({ write(x) { note("write", x); }, close() { note("close"); }, abort(r) { note("abort", r); }, ...more }, strategy);`;

const programs: Record<string, Record<string, string>> = {
  "readable streams": {
    "a source is pulled ahead up to its mark, and again for each read": `
      let n = 0; const s = new ReadableStream({ pull(c) { note("pull", c.desiredSize); c.enqueue(n++); } }, { highWaterMark: 3 });
      note("made"); await tick(); const r = s.getReader(); note(await r.read()); await tick(); note(await r.read()); await tick();`,
    "the functions of a source are called on it, with the controller": `
      const source = { start(c) { note(this === source, c.constructor.name, c.desiredSize); }, pull(c) { note(this === source); c.close(); }, cancel() {} };
      note(await new ReadableStream(source).getReader().read());`,
    "nothing is pulled before the start has settled, and only once at a time": `
      let go; let n = 0; const s = new ReadableStream({ start: () => new Promise((r) => (go = r)), async pull(c) { note("pull", n); await tick(); c.enqueue(n++); } });
      const r = s.getReader(); told("a", r.read()); told("b", r.read()); await tick(); note("start"); go(); await tick(); await tick(); await tick(); await tick();`,
    "a start that throws is the constructor's error, one that rejects the stream's": `
      try { new ReadableStream({ start() { throw new RangeError("x"); } }); } catch (e) { note(e); }
      const s = new ReadableStream({ async start() { throw new RangeError("y"); } }); const r = s.getReader(); told("closed", r.closed); told("read", r.read()); await tick();`,
    "a pull that throws breaks the stream, and what was queued is gone": `
      const s = new ReadableStream({ start(c) { c.enqueue(1); c.enqueue(2); }, pull() { throw new RangeError("x"); } }, { highWaterMark: 3 }); await tick();
      const r = s.getReader(); told("read", r.read()); told("closed", r.closed); told("cancel", r.cancel()); await tick();`,
    "what was queued is read before the end": `
      ${chunks} const r = chunks(1, 2).getReader(); told("closed", r.closed); note(await r.read()); await tick(); note(await r.read()); note(await r.read());`,
    "a controller refuses what comes after the end": `
      let c; const s = new ReadableStream({ start(x) { c = x; } }); c.close(); note(c.desiredSize);
      for (const f of [() => c.enqueue(1), () => c.close(), () => c.error(1)]) try { note(f()); } catch (e) { note(e); }
      note((await s.getReader().read()).done);`,
    "desiredSize counts what a strategy says, and may be negative": `
      let c; new ReadableStream({ start(x) { c = x; } }, { highWaterMark: 5, size: (x) => x.length }); note(c.desiredSize); c.enqueue("abc"); note(c.desiredSize); c.enqueue("abcd"); note(c.desiredSize); c.error(1); note(c.desiredSize);`,
    "a strategy's size may refuse, and be called on nothing": `
      let c; const s = new ReadableStream({ start(x) { c = x; } }, { size() { note(this === undefined || this === globalThis); return 1; } }); c.enqueue(1);
      for (const size of [() => NaN, () => -1, () => Infinity, () => { throw new SyntaxError("s"); }, () => "2"]) { let c; const s = new ReadableStream({ start(x) { c = x; } }, { size, highWaterMark: 9 }); try { c.enqueue(1); note("took", c.desiredSize); } catch (e) { note(e); } told("closed", s.getReader().closed); await tick(); }`,
    "the marks that a strategy may have": `
      for (const highWaterMark of [0, 1.5, "3", Infinity, NaN, -1, "x", null]) try { let c; new ReadableStream({ start(x) { c = x; } }, { highWaterMark }); note(c.desiredSize); } catch (e) { note(e); }
      for (const strategy of [null, undefined, 5, "x", { size: 1 }, () => {}]) try { new ReadableStream({}, strategy); note("fine"); } catch (e) { note(e); }`,
    "what is no source": `
      for (const source of [null, 5, "x", { pull: 1 }, { cancel: "x" }, { type: "nonsense" }, () => {}]) try { new ReadableStream(source); note("fine"); } catch (e) { note(e); }`,
    "reads are answered in order, before and after chunks are there": `
      let c; const r = new ReadableStream({ start(x) { c = x; } }).getReader(); told("a", r.read()); told("b", r.read()); c.enqueue(1); c.enqueue(2); c.enqueue(3); told("c", r.read()); told("d", r.read()); c.close(); await tick();`,
    "a released reader's reads fail, and the next reader goes on": `
      let c; const s = new ReadableStream({ start(x) { c = x; } }); const r = s.getReader(); told("closed", r.closed); told("read", r.read()); r.releaseLock(); r.releaseLock(); note(s.locked); c.enqueue(1); await tick();
      told("late", r.read()); told("cancel", r.cancel()); told("closed again", r.closed); note(await s.getReader().read()); await tick();`,
    "a reader released after the end has a closed promise that fails": `
      ${chunks} const s = chunks(); const r = s.getReader(); const closed = r.closed; r.releaseLock(); note(r.closed === closed); told("was", closed); told("is", r.closed); await tick();`,
    "cancel tells the source why and ends waiting reads": `
      const s = new ReadableStream({ cancel(r) { note("why", r); return "ignored"; } }); const r = s.getReader(); told("read", r.read()); told("cancel", r.cancel("stop")); told("closed", r.closed); await tick(); told("again", r.cancel()); await tick();`,
    "cancel of a locked stream is refused; a cancel that throws is told": `
      const s = new ReadableStream({ cancel() { throw new RangeError("x"); } }); const r = s.getReader(); told("locked", s.cancel()); r.releaseLock(); told("cancel", s.cancel()); await tick(); note((await s.getReader().read()).done);`,
    "what a source adds after a cancel is refused": `
      let c; const s = new ReadableStream({ start(x) { c = x; } }); await s.cancel(); try { c.enqueue(1); } catch (e) { note(e); } try { c.close(); } catch (e) { note(e); }`,
    "readers are made of streams that are free": `
      const s = new ReadableStream(); const r = new ReadableStreamDefaultReader(s); note(s.locked, r.constructor === ReadableStreamDefaultReader);
      for (const f of [() => s.getReader(), () => new ReadableStreamDefaultReader(s), () => new ReadableStreamDefaultReader({}), () => new ReadableStreamDefaultController(), () => s.values(), () => s.tee(), () => new ReadableStream().getReader({ mode: "byob" }), () => new ReadableStream().getReader({ mode: "x" })]) try { f(); note("fine"); } catch (e) { note(e); }`,
    "for await reads to the end and frees the stream": `
      ${chunks} const s = chunks(1, 2); for await (const x of s) note(x, s.locked); note(s.locked, (await s.getReader().read()).done);`,
    "leaving a loop cancels, unless that is prevented": `
      for (const preventCancel of [false, true]) { let n = 0; const s = new ReadableStream({ pull(c) { c.enqueue(n++); }, cancel(r) { note("cancelled", r); } }); for await (const x of s.values({ preventCancel })) { note(x); if (x === 1) break; } note(s.locked); if (preventCancel) note(await s.getReader().read()); }`,
    "an error ends a loop and frees the stream": `
      let n = 0; const s = new ReadableStream({ pull(c) { if (n === 2) throw new RangeError("x"); c.enqueue(n++); } }, { highWaterMark: 0 }); try { for await (const x of s) note(x); } catch (e) { note(e); } note(s.locked);`,
    "iterators answer in turn, and return ends them": `
      ${chunks} const s = chunks(1, 2, 3); const i = s.values(); told("a", i.next()); told("b", i.next()); told("r", i.return("v")); told("c", i.next()); told("r2", i.return("w")); await tick(); note(s.locked);
      note(i[Symbol.asyncIterator]() === i, typeof i.throw, ReadableStream.prototype[Symbol.asyncIterator] === ReadableStream.prototype.values, Object.hasOwn(Object.getPrototypeOf(i), "constructor"));`,
    "streams from iterables": `
      for (const items of [[1, Promise.resolve(2)], "ab", new Set([3]), (function* () { yield 4; })(), (async function* () { yield 5; })(), chunksOf()]) { const out = []; for await (const x of ReadableStream.from(items)) out.push(x); note(out); }
      for (const items of [5, null, undefined, {}, { [Symbol.iterator]: 1 }]) try { ReadableStream.from(items); note("fine"); } catch (e) { note(e); }
      function chunksOf() { ${chunks} return chunks(6, 7); }`,
    "a stream from a generator runs it only when read, and ends it when cancelled": `
      const s = ReadableStream.from((function* () { try { note("runs"); yield 1; yield 2; } finally { note("ended"); } })()); await tick(); note("reads"); const r = s.getReader(); note(await r.read()); await r.cancel("x"); note(await r.read());
      const t = ReadableStream.from({ [Symbol.asyncIterator]: () => ({ next: async () => 5, return: async () => 5 }) }).getReader(); told("next", t.read()); await tick();`,
    "a tee gives all to both, each at its pace": `
      let n = 0; const [a, b] = new ReadableStream({ pull(c) { note("pull", n); c.enqueue(n++); if (n === 3) c.close(); } }).tee(); await tick(); note("reads");
      const out = []; for await (const x of a) out.push(x); note(out); for await (const x of b) out.push(x); note(out);`,
    "a tee is cancelled when both branches are, with both reasons": `
      const s = new ReadableStream({ pull(c) { c.enqueue(1); }, cancel(r) { note("cancel", r); } }); const [a, b] = s.tee(); told("a", a.cancel("one")); await tick(); const r = b.getReader(); note(await r.read()); told("b", r.cancel("two")); await tick(); note(s.locked);`,
    "an error reaches both branches of a tee": `
      let c; const [a, b] = new ReadableStream({ start(x) { c = x; } }).tee(); const [ra, rb] = [a.getReader(), b.getReader()]; told("a", ra.read()); told("b", rb.closed); c.enqueue(1); c.error(new RangeError("x")); told("a2", ra.read()); await tick(); told("a3", ra.read()); await tick();`,
    "many chunks keep their order": `
      const s = new ReadableStream({ start(c) { for (let i = 0; i < 5000; i++) c.enqueue(i); c.close(); } }); let sum = 0; let last = -1; let sorted = true; for await (const x of s) { sum += x; sorted &&= x === last + 1; last = x; } note(sum, sorted);`,
  },
  "writable streams": {
    "chunks reach the sink one at a time, in order": `
      const s = new WritableStream({ async write(x) { note("begin", x); await tick(); note("end", x); }, close() { note("close"); } }); const w = s.getWriter(); told("a", w.write(1)); told("b", w.write(2)); told("close", w.close()); told("closed", w.closed); await w.closed; await tick();`,
    "the functions of a sink are called on it, with the controller": `
      const sink = { start(c) { note(this === sink, c.constructor.name, c.signal.aborted, c.signal instanceof AbortSignal); }, write(x, c) { note(this === sink, x, typeof c.error); }, close(...more) { note(this === sink, more.length); } };
      const w = new WritableStream(sink).getWriter(); w.write(1); await w.close();`,
    "ready and desiredSize show whether it is full": `
      let go; ${sink} const w = sink({ write(x) { note("write", x); return new Promise((r) => (go = r)); } }, { highWaterMark: 2 }).getWriter(); note(w.desiredSize); w.write(1); note(w.desiredSize); told("ready 1", w.ready); await tick(); w.write(2); note(w.desiredSize); told("ready 2", w.ready); w.write(3); note(w.desiredSize); await tick(); go(); await tick(); note(w.desiredSize); go(); await tick(); note(w.desiredSize);`,
    "a mark of 0 is always full, one without end never": `
      const w = new WritableStream({}, { highWaterMark: 0 }).getWriter(); let ready = false; w.ready.then(() => (ready = true)); await tick(); note(w.desiredSize, ready); told("write", w.write(1)); await tick(); note(ready);
      const v = new WritableStream({}, new CountQueuingStrategy({ highWaterMark: Infinity })).getWriter(); v.write(1); note(v.desiredSize); await v.ready;`,
    "sizes are those of the strategy": `
      const w = new WritableStream({}, new ByteLengthQueuingStrategy({ highWaterMark: 10 })).getWriter(); w.write(new Uint8Array(4)); note(w.desiredSize); w.write(new Uint8Array(8)); note(w.desiredSize); await tick(); note(w.desiredSize); told("no bytes", w.write("x")); await tick();`,
    "a strategy's size may refuse a chunk, which breaks the stream": `
      for (const size of [() => NaN, () => { throw new SyntaxError("s"); }]) { const w = new WritableStream({}, { size }).getWriter(); told("write", w.write(1)); told("closed", w.closed); told("ready", w.ready); await tick(); note(w.desiredSize); }`,
    "a write that fails breaks the stream, and what waits is refused": `
      ${sink} const w = sink({ async write(x) { note("write", x); throw new RangeError("x"); } }).getWriter(); told("ready", w.ready); told("a", w.write(1)); told("b", w.write(2)); told("close", w.close()); told("closed", w.closed); await tick(); told("late", w.write(3)); told("abort", w.abort("too late")); told("closes", w.close()); note(w.desiredSize); await tick();`,
    "a start that throws is the constructor's error, one that rejects the stream's": `
      try { new WritableStream({ start() { throw new RangeError("x"); } }); } catch (e) { note(e); }
      const w = new WritableStream({ async start() { throw new RangeError("y"); } }).getWriter(); told("write", w.write(1)); told("closed", w.closed); told("ready", w.ready); await tick();`,
    "nothing is written before the start has settled": `
      let go; ${sink} const w = sink({ start: () => new Promise((r) => (go = r)) }).getWriter(); told("write", w.write(1)); told("close", w.close()); await tick(); note("start"); go(); await tick();`,
    "abort ends it at once and tells the sink why": `
      let signal; ${sink} const w = sink({ start(c) { signal = c.signal; } }).getWriter(); await tick(); signal.onabort = () => note("signal", signal.reason); told("write", w.write(1)); told("write 2", w.write(2)); told("abort", w.abort("why")); told("ready", w.ready); told("closed", w.closed); note(w.desiredSize); await tick(); told("abort again", w.abort("x")); await tick();`,
    "abort waits for the write under way": `
      let go; ${sink} const w = sink({ write(x) { note("write", x); return new Promise((r) => (go = r)); } }).getWriter(); await tick(); told("a", w.write(1)); told("b", w.write(2)); told("abort", w.abort("why")); told("second abort", w.abort("other")); await tick(); note("go"); go(); await tick(); told("closed", w.closed); await tick();`,
    "abort while it is starting": `
      let go; ${sink} const w = sink({ start: () => new Promise((r) => (go = r)) }).getWriter(); told("write", w.write(1)); told("abort", w.abort("why")); await tick(); go(); await tick(); told("closed", w.closed); await tick();`,
    "abort while it is closing comes too late": `
      let go; ${sink} const w = sink({ close() { note("close"); return new Promise((r) => (go = r)); } }).getWriter(); await tick(); told("close", w.close()); told("abort", w.abort("why")); told("closed", w.closed); await tick(); go(); await tick(); note(w.desiredSize);`,
    "an abort that throws is told to who aborts": `
      const w = new WritableStream({ abort() { throw new SyntaxError("s"); } }).getWriter(); told("abort", w.abort("why")); told("closed", w.closed); await tick();`,
    "a close that fails breaks the stream": `
      const w = new WritableStream({ close() { throw new SyntaxError("s"); } }).getWriter(); told("close", w.close()); told("closed", w.closed); await tick(); told("again", w.close()); await tick();`,
    "the controller's error breaks it": `
      let c; const w = new WritableStream({ start(x) { c = x; } }).getWriter(); await tick(); c.error(new RangeError("x")); told("write", w.write(1)); told("closed", w.closed); told("ready", w.ready); c.error(1); note(w.desiredSize); await tick();`,
    "the controller's error while a write is under way": `
      let c, go; const w = new WritableStream({ start(x) { c = x; }, write: () => new Promise((r) => (go = r)) }).getWriter(); await tick(); told("a", w.write(1)); told("b", w.write(2)); c.error(new RangeError("x")); told("abort", w.abort("late")); told("close", w.close()); await tick(); go(); await tick(); told("closed", w.closed); await tick();`,
    "a writer is released and another goes on": `
      ${sink} const s = sink(); const w = s.getWriter(); note(s.locked); told("write", w.write(1)); w.releaseLock(); w.releaseLock(); note(s.locked); told("ready", w.ready); told("closed", w.closed); told("late", w.write(2)); told("close", w.close()); told("abort", w.abort()); try { note(w.desiredSize); } catch (e) { note(e); } await tick(); await s.close(); note("done");`,
    "locked streams refuse to be closed or aborted": `
      const s = new WritableStream(); const w = s.getWriter(); told("close", s.close()); told("abort", s.abort()); for (const f of [() => s.getWriter(), () => new WritableStreamDefaultWriter(s), () => new WritableStreamDefaultWriter({}), () => new WritableStreamDefaultController()]) try { f(); } catch (e) { note(e); } await tick(); note(w.desiredSize);`,
    "closing twice, and writers of closed and broken streams": `
      const s = new WritableStream(); told("a", s.close()); told("b", s.close()); await tick(); const w = s.getWriter(); note(w.desiredSize); told("ready", w.ready); told("closed", w.closed); told("write", w.write(1)); told("close", w.close()); told("abort", w.abort()); await tick();
      const broken = new WritableStream({ start(c) { c.error(new RangeError("x")); } }); await tick(); const v = broken.getWriter(); note(v.desiredSize); told("ready", v.ready); told("closed", v.closed); await tick();`,
    "what is no sink": `
      for (const sink of [null, 5, { write: 1 }, { close: "x" }, { type: "bytes" }, () => {}]) try { new WritableStream(sink); note("fine"); } catch (e) { note(e); }`,
  },
  pipes: {
    "carry all and close the other side": `
      ${chunks} ${sink} const from = chunks(1, 2, 3), to = sink(); const p = from.pipeTo(to); note(from.locked, to.locked); note(await p); note(from.locked, to.locked); told("closed", to.getWriter().closed); await tick();`,
    "never call the sink while the source adds a chunk": `
      let c; ${sink} told("pipe", new ReadableStream({ start(x) { c = x; } }).pipeTo(sink())); await tick(); c.enqueue(1); c.enqueue(2); note("added"); await tick(); c.close(); note("closed"); await tick();`,
    "leave the other side open when told to": `
      ${chunks} ${sink} const to = sink(); await chunks(1).pipeTo(to, { preventClose: true }); await chunks(2).pipeTo(to, { preventClose: 1 }); note("still open"); await to.close();`,
    "wait for a slow writer": `
      let n = 0, ended = 0, ahead = 0; ${sink} const s = new ReadableStream({ pull(c) { c.enqueue(n++); ahead = Math.max(ahead, n - ended); if (n === 9) c.close(); } }, { highWaterMark: 0 }); const to = sink({ async write(x) { note("begin", x); await tick(); await tick(); note("end", x); ended++; } }, { highWaterMark: 2 }); await s.pipeTo(to); note(ahead);`,
    "pass on an error of the source, with an abort": `
      for (const preventAbort of [false, true]) { let n = 0; ${sink} const s = new ReadableStream({ pull(c) { if (n === 2) throw new RangeError("x"); c.enqueue(n++); } }, { highWaterMark: 0 }); const to = sink(); told("pipe", s.pipeTo(to, { preventAbort })); await tick(); await tick(); note(s.locked, to.locked); const w = to.getWriter(); told("closed", w.closed); note(w.desiredSize); await tick(); }`,
    "pass back an error of the destination, with a cancel": `
      for (const preventCancel of [false, true]) { let n = 0; ${sink} const s = new ReadableStream({ pull(c) { c.enqueue(n++); }, cancel(r) { note("cancel", r); } }, { highWaterMark: 0 }); const to = sink({ write(x) { note("write", x); if (x === 1) throw new RangeError("x"); } }); told("pipe", s.pipeTo(to, { preventCancel })); await tick(); await tick(); if (preventCancel) told("goes on", s.getReader().read()); await tick(); }`,
    "pass back that the destination is closed": `
      ${sink} const to = sink(); await to.close(); let why; const s = new ReadableStream({ cancel(r) { why = r; } }); told("pipe", s.pipeTo(to)); await tick(); note(why, why instanceof TypeError);`,
    "fail with the destination that failed before": `
      const to = new WritableStream({ start(c) { c.error(new RangeError("x")); } }); const s = new ReadableStream({ cancel(r) { note("cancel", r); } }); told("pipe", s.pipeTo(to)); await tick();`,
    "fail with the source that failed before": `
      ${sink} const s = new ReadableStream({ start(c) { c.error(new RangeError("x")); } }); told("pipe", s.pipeTo(sink())); await tick();`,
    "stop for a signal, on both sides": `
      const c = new AbortController(); ${sink} let n = 0; const s = new ReadableStream({ async pull(c) { await tick(); c.enqueue(n++); }, cancel(r) { note("cancel", r); } }); const to = sink({ abort(r) { note("abort", r); }, write() {} }); told("pipe", s.pipeTo(to, { signal: c.signal })); await tick(); await tick(); c.abort(new SyntaxError("stop")); await tick(); await tick(); note(s.locked, to.locked);`,
    "stop for a signal that is aborted already, and one that only ends the pipe": `
      ${sink} told("pipe", new ReadableStream({ cancel(r) { note("cancel", r); } }).pipeTo(sink(), { signal: AbortSignal.abort(new SyntaxError("stop")) })); await tick();
      const c = new AbortController(); const s = new ReadableStream(); const to = sink(); told("pipe", s.pipeTo(to, { signal: c.signal, preventAbort: true, preventCancel: true })); c.abort(); await tick(); note(s.locked, to.locked); await to.close();`,
    "an abort waits for the write under way": `
      let go; const c = new AbortController(); ${chunks} ${sink} const to = sink({ write(x) { note("write", x); return new Promise((r) => (go = r)); } }); told("pipe", chunks(1, 2).pipeTo(to, { signal: c.signal })); await tick(); c.abort(new SyntaxError("stop")); await tick(); note("go"); go(); await tick();`,
    "a signal after the end changes nothing": `
      const c = new AbortController(); ${chunks} ${sink} await chunks(1).pipeTo(sink(), { signal: c.signal, preventClose: true }); c.abort(); await tick(); note("fine");`,
    "what they cannot join": `
      ${chunks} ${sink} const locked = chunks(); locked.getReader(); const full = sink(); full.getWriter();
      for (const f of [() => locked.pipeTo(sink()), () => chunks().pipeTo(full), () => chunks().pipeTo({}), () => chunks().pipeTo(), () => chunks().pipeTo(sink(), { signal: {} }), () => chunks().pipeTo(sink(), 5)]) try { await f(); note("fine"); } catch (e) { note(e); }
      for (const f of [() => locked.pipeThrough(new TransformStream()), () => chunks().pipeThrough({ readable: chunks(), writable: full }), () => chunks().pipeThrough({}), () => chunks().pipeThrough({ writable: sink(), readable: {} }), () => chunks().pipeThrough()]) try { f(); note("fine"); } catch (e) { note(e); }`,
    "pipeThrough gives the readable side, and its pipe fails in silence": `
      ${chunks} const pair = new TransformStream(); note(chunks(1).pipeThrough(pair) === pair.readable); const s = new ReadableStream({ start(c) { c.error(new RangeError("x")); } }); try { for await (const x of s.pipeThrough(new TransformStream())) note(x); } catch (e) { note(e); }`,
    "an error while the last write is under way": `
      let go, c; const s = new ReadableStream({ start(x) { c = x; } }); ${sink} const to = sink({ write(x) { note("write", x); return new Promise((r) => (go = r)); } }); told("pipe", s.pipeTo(to)); c.enqueue(1); await tick(); c.error(new RangeError("x")); await tick(); note("go"); go(); await tick();`,
  },
  transforms: {
    "pass everything on when they have no functions": `
      ${chunks} const out = []; for await (const x of chunks(1, 2).pipeThrough(new TransformStream())) out.push(x); note(out);`,
    "change, add, leave out, and end with a flush": `
      ${chunks} const transformer = { start(c) { note(this === transformer, c.constructor.name, c.desiredSize); c.enqueue("begin"); }, transform(x, c) { note(this === transformer); if (x !== 2) { c.enqueue(x); c.enqueue(x * 10); } }, flush(c) { note(this === transformer); c.enqueue("end"); } };
      const out = []; for await (const x of chunks(1, 2, 3).pipeThrough(new TransformStream(transformer))) out.push(x); note(out);`,
    "a writer waits while nobody reads": `
      const t = new TransformStream({ transform(x, c) { note("transform", x, c.desiredSize); c.enqueue(x); } }); const w = t.writable.getWriter(), r = t.readable.getReader(); note(w.desiredSize); told("a", w.write(1)); told("b", w.write(2)); note(w.desiredSize); await tick(); note(await r.read()); await tick(); note(await r.read()); await tick(); note(w.desiredSize);`,
    "strategies of both sides": `
      const t = new TransformStream({}, { highWaterMark: 5 }, { highWaterMark: 2, size: () => 1 }); const w = t.writable.getWriter(); note(w.desiredSize); await w.write(1); await w.write(2); told("third", w.write(3)); await tick(); note("full", w.desiredSize); const r = t.readable.getReader(); note(await r.read()); await tick(); note(await r.read(), await r.read());`,
    "a transform that throws breaks both sides": `
      const t = new TransformStream({ transform() { throw new RangeError("x"); } }, undefined, { highWaterMark: 1 }); const w = t.writable.getWriter(), r = t.readable.getReader(); told("write", w.write(1)); told("read", r.read()); told("closed", w.closed); await tick(); note(w.desiredSize);`,
    "a flush or a start that throws": `
      const t = new TransformStream({ flush() { throw new RangeError("x"); } }); told("close", t.writable.getWriter().close()); told("read", t.readable.getReader().read()); await tick();
      try { new TransformStream({ start() { throw new RangeError("y"); } }); } catch (e) { note(e); } const s = new TransformStream({ async start() { throw new RangeError("z"); } }); told("write", s.writable.getWriter().write(1)); told("read", s.readable.getReader().read()); await tick();`,
    "terminate ends the readable side and breaks the writable": `
      const t = new TransformStream({ transform(x, c) { c.enqueue(x); if (x === 2) { c.terminate(); note(c.desiredSize); try { c.enqueue(3); } catch (e) { note(e); } } } }, {}, { highWaterMark: 9 }); const w = t.writable.getWriter(); w.write(1); told("2", w.write(2)); told("3", w.write(3)); told("closed", w.closed); const out = []; for await (const x of t.readable) out.push(x); note(out); await tick();`,
    "the controller's error breaks both sides": `
      let c; const t = new TransformStream({ start(x) { c = x; } }); const w = t.writable.getWriter(); c.error(new RangeError("x")); told("closed", w.closed); told("read", t.readable.getReader().read()); note(c.desiredSize); await tick();`,
    "cancel and abort reach the other side and the transformer": `
      const make = () => new TransformStream({ cancel(r) { note("cancel", r); }, flush() { note("flush"); } }); const t = make(); const w = t.writable.getWriter(); told("cancel", t.readable.cancel("no")); told("closed", w.closed); told("write", w.write(1)); await tick();
      const u = make(); const r = u.readable.getReader(); told("read", r.read()); told("abort", u.writable.abort(new RangeError("x"))); await tick(); told("close", make().writable.close()); await tick();`,
    "a cancel that throws, and one at the same time as a close": `
      const t = new TransformStream({ cancel() { throw new RangeError("x"); } }); await tick(); told("cancel", t.readable.cancel("no")); told("closed", t.writable.getWriter().closed); await tick();
      const u = new TransformStream({ flush: () => tick(), cancel() { note("not both"); } }); told("close", u.writable.close()); await ticks(3); told("cancel", u.readable.cancel("no")); await tick(); await tick();`,
    "asynchronous transforms keep the order": `
      ${chunks} const out = []; for await (const x of chunks(3, 1, 2).pipeThrough(new TransformStream({ async transform(x, c) { for (let i = 0; i < x; i++) await tick(); c.enqueue(x); } }))) out.push(x); note(out);`,
    "several after another": `
      ${chunks} const add = (n) => new TransformStream({ transform: (x, c) => c.enqueue(x + n) }); const out = []; for await (const x of chunks("a", "b").pipeThrough(add("1")).pipeThrough(add("2")).pipeThrough(add("3"))) out.push(x); note(out);`,
    "what is no transformer": `
      for (const transformer of [null, 5, { transform: 1 }, { readableType: "bytes" }, { writableType: 1 }, undefined]) try { new TransformStream(transformer); note("fine"); } catch (e) { note(e); } try { new TransformStreamDefaultController(); } catch (e) { note(e); }`,
  },
  "text streams": {
    "characters cut between chunks are put together again": `
      ${chunks} const bytes = new TextEncoder().encode("aé€🎈z"); for (const size of [1, 2, 3, 5, 99]) { const parts = []; for (let at = 0; at < bytes.length; at += size) parts.push(bytes.slice(at, at + size)); const out = []; for await (const x of chunks(...parts).pipeThrough(new TextDecoderStream())) out.push(x); note(out); }`,
    "half a character at the end, and bytes that are no text": `
      ${chunks} for (const options of [{}, { fatal: true }]) for (const parts of [[new Uint8Array([97, 226, 130])], [new Uint8Array([255, 97])], []]) try { const out = []; for await (const x of chunks(...parts).pipeThrough(new TextDecoderStream("utf-8", options))) out.push(x); note(out); } catch (e) { note(e); }`,
    "byte order marks, labels and buffers of all kinds": `
      ${chunks} const text = async (decoder, ...parts) => { let all = ""; for await (const x of chunks(...parts).pipeThrough(decoder)) all += x; return all; }; const bom = new Uint8Array([239, 187, 191, 97]);
      note(await text(new TextDecoderStream(), bom), await text(new TextDecoderStream("utf-8", { ignoreBOM: true }), bom), await text(new TextDecoderStream("latin1"), new Uint8Array([228]).buffer), await text(new TextDecoderStream("utf-16le"), new Uint8Array([97]), new DataView(new Uint8Array([0, 98, 0]).buffer)));
      const d = new TextDecoderStream("utf8", { fatal: 1 }); note(d.encoding, d.fatal, d.ignoreBOM); try { new TextDecoderStream("none"); } catch (e) { note(e); } try { await text(new TextDecoderStream(), "text"); } catch (e) { note(e); }`,
    "text becomes bytes, pairs of surrogates too": `
      ${chunks} for (const parts of [["aé", "€"], ["\\ud83c", "\\udf88"], ["x\\ud83c", "y"], ["\\ud83c"], ["", "a", ""], ["\\ud83c\\ud83c", "\\udf88\\udf88"], [5, null, {}]]) { const out = []; for await (const x of chunks(...parts).pipeThrough(new TextEncoderStream())) out.push(x); note(out); } note(new TextEncoderStream().encoding);`,
    "a response is read as text, line by line": `
      const lines = new TransformStream({ start() { this.rest = ""; }, transform(text, c) { const parts = (this.rest + text).split("\\n"); this.rest = parts.pop(); for (const part of parts) c.enqueue(part); }, flush(c) { if (this.rest) c.enqueue(this.rest); } });
      const out = []; for await (const line of new Response("one\\ntwö\\nthree").body.pipeThrough(new TextDecoderStream()).pipeThrough(lines)) out.push(line); note(out);`,
  },
  strategies: {
    "count and measure chunks": `
      const c = new CountQueuingStrategy({ highWaterMark: 3 }), b = new ByteLengthQueuingStrategy({ highWaterMark: "7" }); note(c.highWaterMark, c.size("xx"), b.highWaterMark, b.size({ byteLength: 5 }), c.size.name, b.size.length, c.size === new CountQueuingStrategy({ highWaterMark: 1 }).size);
      for (const f of [() => new CountQueuingStrategy(), () => new ByteLengthQueuingStrategy({}), () => b.size(), () => new CountQueuingStrategy({ highWaterMark: -1 }).highWaterMark, () => new ReadableStream({}, new CountQueuingStrategy({ highWaterMark: -1 }))]) try { note(f()); } catch (e) { note(e); }`,
  },
  bodies: {
    "are disturbed by reading and not by a lock": `
      const r = new Response("abc"); const reader = r.body.getReader(); note(r.bodyUsed, r.body.locked); await reader.read(); note(r.bodyUsed); reader.releaseLock(); try { await r.text(); } catch (e) { note(e); }`,
    "are piped, split and made of transforms": `
      const upper = () => new TransformStream({ transform(x, c) { c.enqueue(x.map((b) => b - 32)); } }); note(await new Response(new Response("abc").body.pipeThrough(upper())).text()); const r = new Response("abc"); const all = []; await r.body.pipeTo(new WritableStream({ write(x) { all.push(...x); } })); note(all, r.bodyUsed);
      note(await new Response(new Blob(["blob"]).stream().pipeThrough(new TextDecoderStream()).pipeThrough(new TextEncoderStream())).text());`,
    "are big and come in parts": `
      let bytes = 0; let parts = 0; await new Response(new Uint8Array(300_000)).body.pipeTo(new WritableStream({ write(x) { bytes += x.length; } })); note(bytes);`,
  },
};

/** What a log shows of them. */
const shown = "[new ReadableStream(), new WritableStream(), new TransformStream()]";

let sandbox: Sandbox;
const all = Object.values(programs).flatMap((group) => Object.values(group));
let notes: unknown[] = [];
beforeAll(async () => {
  sandbox = openTestSandbox();
  const code = `const record = ${recorder}; const notes = []; for (const program of params) notes.push(await record(program)); return notes`;
  const { output, outcome } = await runStep(sandbox, "javascript", code, { params: all });
  if ("error" in outcome) throw outcome.error;
  notes = output as unknown[];
});
afterAll(async () => await sandbox.close());

for (const [what, group] of Object.entries(programs)) {
  describe(`in a step, ${what}`, () => {
    for (const [title, program] of Object.entries(group)) {
      test(`do as in Node: ${title}`, async () => {
        const record = runInThisContext(recorder) as (program: string) => Promise<unknown[]>;
        const expected = await record(program);
        expect(expected.length).toBeGreaterThan(0);
        expect(notes[all.indexOf(program)]).toEqual(expected);
      });
    }
  });
}

test("streams are shown as Node shows them, apart from line breaks", async () => {
  const { text } = await runStep(sandbox, "javascript", `for (const stream of ${shown}) console.log(stream)`);
  const streams = runInThisContext(shown) as unknown[];
  const inOneLine = (shownText: string): string => shownText.replaceAll(/\s+/g, " ").trim();
  expect(inOneLine(text)).toBe(inOneLine(streams.map((stream) => inspect(stream)).join("\n")));
});
