/**
 * The live feed while things break: its connection is cut or falls silent, PostgreSQL is killed, restarted or does not
 * answer. Viewers keep their place and go on; those that have waited for too long are told.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { StepvaultError } from "../../protocol/error.ts";
import { RunSignal } from "../../runs/run-signal.ts";
import { LiveFeed, type LiveFeedOptions } from "../../runs/live-feed.ts";
import { openTemporary, serverPid, type Temporary } from "../database/temporary.ts";
import { CountedSource, FeedRuns, upTo, Viewer, type WrittenRun } from "./feed-runs.ts";

/** So that a test sees signals alone. */
const neverMs = 3_600_000;

let temporary: Temporary;
let runs: FeedRuns;
let signal: RunSignal;
const feeds: LiveFeed[] = [];
const stopped: number[] = [];
beforeAll(async () => {
  temporary = await openTemporary();
  runs = await FeedRuns.open(temporary.database);
  signal = new RunSignal(temporary.database);
});
afterEach(async () => {
  for (const pid of stopped.splice(0)) resume(pid);
  for (const feed of feeds.splice(0)) await feed.close();
});
afterAll(async () => {
  await signal.close();
  await temporary.dispose();
});

function openFeed(options: LiveFeedOptions = {}): LiveFeed {
  const feed = new LiveFeed(temporary.database, options);
  feeds.push(feed);
  return feed;
}

function resume(pid: number): void {
  try {
    process.kill(pid, "SIGCONT");
  } catch {
    // It has ended by itself.
  }
}

/** The pids of the connections that listen by now. */
async function listeners(): Promise<number[]> {
  const { rows } = await temporary.database.query<{ pid: number }>(
    `select pid from pg_stat_activity where application_name = 'stepvault-listener' and state = 'idle'
     and (query like 'listen %' or query = 'select 1')`,
  );
  return rows.map(({ pid }) => pid);
}

async function oneListener(): Promise<number> {
  await expect.poll(async () => (await listeners()).length, { timeout: 20_000 }).toBe(1);
  return (await listeners())[0] as number;
}

describe("a listening connection", () => {
  test("that is cut time and again in mid-stream loses no event, with no look to help", async () => {
    const feed = openFeed({ lookMs: neverMs });
    const run = await runs.createOne();
    const viewers = upTo(20).map(() => new Viewer(feed, run.id));
    await oneListener();
    const written = new AbortController();
    const cutting = (async () => {
      while (!written.signal.aborted) {
        for (const pid of await listeners()) await temporary.database.query("select pg_terminate_backend($1)", [pid]);
        await sleep(40);
      }
    })();
    for (let i = 0; i < 100; i += 1) {
      await runs.print(run, [`${i}`]);
      signal.changed(run.id);
      await sleep(5);
    }
    await runs.finish(run);
    signal.changed(run.id);
    written.abort();
    await cutting;
    await Promise.all(viewers.map(({ ended }) => ended));
    for (const { seqs } of viewers) expect(seqs).toEqual(upTo(101));
  });

  test("that falls silent without an end is replaced within seconds, and what was missed is read", async () => {
    const feed = openFeed({ lookMs: neverMs });
    const run = await runs.createOne();
    const viewer = new Viewer(feed, run.id);
    const pid = await oneListener();
    stopped.push(pid);
    process.kill(pid, "SIGSTOP");
    await runs.print(run, ["said to a dead line"]);
    signal.changed(run.id);
    await expect.poll(() => viewer.seqs, { timeout: 15_000 }).toEqual([0]);
    expect((await listeners()).some((other) => other !== pid)).toBe(true);
  });

  test("is not kept when the database closes", async () => {
    const other = await openTemporary();
    const feed = new LiveFeed(other.database);
    const run = await (await FeedRuns.open(other.database)).createOne();
    const viewer = new Viewer(feed, run.id);
    await sleep(200);
    const began = performance.now();
    await other.database.close();
    expect(performance.now() - began).toBeLessThan(5_000);
    await viewer.leave();
    await feed.close();
    await other.dispose();
  });
});

describe("a PostgreSQL that goes away", () => {
  test("by kill -9, and comes back, costs viewers no event", async () => {
    const feed = openFeed();
    const run = await runs.createOne();
    const viewers = upTo(50).map((i) => new Viewer(feed, run.id, i % 2));
    await runs.print(run, upTo(10).map(String));
    await expect.poll(() => viewers.every(({ seqs }) => seqs.at(-1) === 9)).toBe(true);
    const killed = await serverPid(temporary.config.dataDir);
    process.kill(killed, "SIGKILL");
    // Its connections outlive it for a moment.
    await expect
      .poll(async () => await serverPid(temporary.config.dataDir).catch(() => killed), { timeout: 30_000 })
      .not.toBe(killed);
    await expect.poll(async () => await works(runs, run), { timeout: 30_000 }).toBe(true);
    await runs.finish(run);
    signal.changed(run.id);
    await Promise.all(viewers.map(({ ended }) => ended));
    for (const [i, { seqs }] of viewers.entries()) expect(seqs).toEqual(upTo(run.nextSeq).slice(i % 2));
  });

  test("for a moment keeps viewers that wait and viewers that read", async () => {
    const source = new CountedSource(temporary.database);
    const feed = openFeed({ source, lookMs: 30, times: { statementMsMax: 1_000, awayMsMax: 5_000 } });
    const run = await runs.createOne();
    await runs.print(run, ["0"]);
    const waiting = new Viewer(feed, run.id);
    await expect.poll(() => waiting.seqs).toEqual([0]);
    source.fault = async () => await Promise.reject(new StepvaultError("ERR_DATABASE", "Cannot run a statement: away"));
    const reading = new Viewer(feed, run.id);
    await runs.print(run, ["1"]);
    await sleep(300);
    expect([waiting.seqs, reading.seqs]).toEqual([[0], []]);
    source.fault = undefined;
    await expect.poll(() => [waiting.seqs, reading.seqs]).toEqual([upTo(2), upTo(2)]);
  });

  test("for too long is told to all, to each once, and asks little of it meanwhile", async () => {
    const source = new CountedSource(temporary.database);
    const feed = openFeed({ source, lookMs: 50, times: { statementMsMax: 1_000, awayMsMax: 500 } });
    const many = await runs.create(100);
    const waiting = many.map(({ id }) => new Viewer(feed, id));
    await sleep(200);
    source.fault = async () => await Promise.reject(new StepvaultError("ERR_DATABASE", "Cannot run a statement: away"));
    source.reads = 0;
    const reading = many.map(({ id }) => new Viewer(feed, id, 1));
    for (const { ended } of [...waiting, ...reading])
      await expect(ended).rejects.toMatchObject({ code: "ERR_DATABASE" });
    expect(source.reads).toBeLessThan(30);
    expect(feed.count()).toEqual({ viewers: 0, runs: 0 });
  });

  test("without a word, so that statements hang, is noticed and asked again", async () => {
    const source = new CountedSource(temporary.database);
    const feed = openFeed({ source, lookMs: 50, times: { statementMsMax: 200, awayMsMax: 10_000 } });
    const run = await runs.createOne();
    await runs.print(run, ["0"]);
    source.fault = async () => await new Promise<never>(() => {});
    const viewer = new Viewer(feed, run.id);
    await sleep(500);
    source.fault = undefined;
    await expect.poll(() => viewer.seqs).toEqual([0]);
  });

  test("by a mistake of ours ends the viewer at once, and the next one is served", async () => {
    const source = new CountedSource(temporary.database);
    const feed = openFeed({ source });
    const run = await runs.createOne();
    await runs.print(run, ["0"]);
    source.fault = async () => await Promise.reject(new TypeError("a bug"));
    await expect(new Viewer(feed, run.id).ended).rejects.toThrow(TypeError);
    source.fault = undefined;
    const viewer = new Viewer(feed, run.id);
    await expect.poll(() => viewer.seqs).toEqual([0]);
  });
});

/** Whether events can be written again. */
async function works(runs: FeedRuns, run: WrittenRun): Promise<boolean> {
  return await runs.print(run, ["again"]).then(
    () => true,
    () => false,
  );
}
