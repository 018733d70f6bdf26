/**
 * Who shares a sandbox host, and what one run can find of the run before it on the same host. Goal: the mode says who
 * shares, and in every mode nothing of a run is left for the next. Method: both languages, real hosts, and runs that
 * leave behind whatever they can; which process serves a run is read from the kernel.
 */
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Language } from "../../../protocol/job.ts";
import type { HostLease } from "../../../runtime/host-pool.ts";
import type { Sandbox, SandboxOptions } from "../../../runtime/sandbox.ts";
import { eventually, hostsOf, isAlive } from "../../helpers/processes.ts";
import { openTestSandbox, runStep, type StepOptions, type StepRun } from "../../helpers/sandbox.ts";

let sandbox: Sandbox;
afterEach(async () => {
  await sandbox.close();
  await eventually("no host is left", () => hostsOf().length === 0);
});

function open(options: Partial<SandboxOptions>, egressOpen: string[] = []): void {
  sandbox = openTestSandbox(egressOpen, 0, options);
}

async function run(code: string, options: StepOptions = {}, language: Language = "javascript"): Promise<StepRun> {
  const ended = await runStep(sandbox, language, code, options);
  await settled();
  return ended;
}

/** Waits until every host is idle again or gone. */
async function settled(): Promise<void> {
  await eventually("all hosts idle", () => {
    const { hosts, idle } = sandbox.pool.count();
    return hosts === idle;
  });
}

describe("isolation", () => {
  test.each(["javascript", "python"] as const)("run: no host serves a second run (%s)", async (language) => {
    open({ isolation: "run" });
    await run("return 1", {}, language);
    expect(hostsOf()).toEqual([]);
  });
  test.each(["javascript", "python"] as const)("project: a host serves one project only (%s)", async (language) => {
    open({ isolation: "project" });
    await run("return 1", { projectId: "a" }, language);
    const [first] = hostsOf();
    await run("return 1", { projectId: "a" }, language);
    expect(hostsOf()).toEqual([first]);
    await run("return 1", { projectId: "b" }, language);
    expect(hostsOf()).toHaveLength(2);
    await run("return 1", { projectId: "b" }, language);
    await run("return 1", { projectId: "a" }, language);
    expect(hostsOf()).toHaveLength(2);
  });
  test("isolate: a host serves all projects", async () => {
    open({ isolation: "isolate" });
    await run("return 1", { projectId: "a" });
    const [first] = hostsOf();
    await run("return 1", { projectId: "b" });
    expect(hostsOf()).toEqual([first]);
  });
  test("an idle host of one project gives way to another project when places are short", async () => {
    open({ isolation: "project", hostsMax: 1 });
    await run("return 1", { projectId: "a" });
    const [first = 0] = hostsOf();
    expect((await run("return 2", { projectId: "b" })).output).toBe(2);
    expect(isAlive(first)).toBe(false);
    expect((await run("return 3", { projectId: "c" }, "python")).output).toBe(3);
    expect(hostsOf()).toHaveLength(1);
  });
  test("a run waits for one of two used hosts that are nearly ready, and takes a fresh one rather than wait for one", async () => {
    sandbox = openTestSandbox([], 1, { isolation: "project" });
    const { pool } = sandbox;
    const take = async (): Promise<HostLease> => await pool.take({ language: "javascript", projectId: "a" });
    const [first, second] = [await take(), await take()];
    await eventually("a fresh host of each language waits", () => pool.count().idle === 2);
    const left = Promise.withResolvers<boolean>();
    first.giveBack(left.promise);
    second.giveBack(new Promise(() => {}));
    let third: HostLease | undefined;
    const taken = take().then((lease) => (third = lease));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([third, pool.count().idle]).toEqual([undefined, 2]);
    left.resolve(true);
    expect((await taken).host).toBe(first.host);
    const { host } = await take();
    expect([first.host, second.host]).not.toContain(host);
  });
  test("there are never more hosts than allowed", async () => {
    open({ isolation: "run", hostsMax: 2 });
    let most = 0;
    const watch = setInterval(() => (most = Math.max(most, hostsOf().length)), 5);
    const runs = await Promise.all(
      Array.from({ length: 8 }, async () => await runStep(sandbox, "javascript", "return 1")),
    );
    clearInterval(watch);
    expect(runs.map(({ output }) => output)).toEqual(Array(8).fill(1));
    expect(most).toBe(2);
  });
  test("a project that asks for much does not keep another one waiting", async () => {
    open({ isolation: "project", hostsMax: 1 });
    const order: string[] = [];
    const start = async (projectId: string): Promise<void> => {
      await runStep(sandbox, "javascript", "await new Promise((r) => setTimeout(r, 20))", { projectId });
      order.push(projectId);
    };
    await Promise.all([...Array.from({ length: 8 }, async () => await start("many")), start("one")]);
    expect(order.indexOf("one")).toBeLessThanOrEqual(2);
  });
});

describe("the runs of one host", () => {
  test("each have their own memory limit, whatever isolate was ready", async () => {
    open({ hostsMax: 1, isolation: "isolate" });
    const small = { limits: { memoryBytesMax: 16 * 1024 * 1024 } };
    const fill = "const kept = []; for (let i = 0; i < 6e6; i++) kept.push({ i }); return kept.length";
    await run("return 1");
    const first = hostsOf();
    for (const options of [{}, small, {}, small]) expect((await run("return 2", options)).output).toBe(2);
    expect((await run("return new Array(3e6).fill(1.5).length")).output).toBe(3e6);
    expect(hostsOf()).toEqual(first);
    expect((await run(fill, small)).code).toMatch(/ERR_LIMIT_MEMORY|ERR_SANDBOX_CRASHED/);
  });
});

describe("a step that ends its host", () => {
  test.each([
    ["by memory (proc-01)", "for (;;) (new Array(1e7)).fill({ a: 1 })", /ERR_LIMIT_/],
    ["by a builtin that cannot be stopped", "let x = 3n; for (;;) x *= x;", /ERR_LIMIT_/],
  ])("%s takes none of 20 other runs with it", async (_, code, expected) => {
    open({ hostsMax: 6 });
    const others = Array.from({ length: 20 }, async (__, i) => {
      const wait = "await new Promise((r) => setTimeout(r, 50)); return params";
      return await runStep(sandbox, "javascript", wait, { params: i, projectId: `p${i % 3}` });
    });
    const limits = { wallTimeMsMax: 3_000, memoryBytesMax: 64 * 1024 * 1024 };
    const culprit = runStep(sandbox, "javascript", code, { limits, projectId: "p0" });
    expect((await culprit).code).toMatch(expected);
    expect((await Promise.all(others)).map(({ output }) => output)).toEqual(Array.from({ length: 20 }, (__, i) => i));
  });
});

describe("a host is replaced", () => {
  test("after its number of runs", async () => {
    open({ hostRunsMax: 2 });
    await run("return 1");
    const [first = 0] = hostsOf();
    await run("return 1");
    expect(isAlive(first)).toBe(false);
  });
  test("when it is old", async () => {
    open({ hostAgeMsMax: 1_000 });
    await run("return 1");
    const [first = 0] = hostsOf();
    await eventually("the old host is gone", () => sandbox.pool.count().hosts === 0 && !isAlive(first));
    expect(hostsOf()).toEqual([]);
  });
  test("when nobody of its project has needed it for a while", async () => {
    open({ hostIdleMsMax: 100 });
    await run("return 1");
    const [first = 0] = hostsOf();
    await eventually("the unused host is gone", () => sandbox.pool.count().hosts === 0 && !isAlive(first));
    expect(hostsOf()).toEqual([]);
  });
  test.each([
    ["a limit that it reached", "for (;;);", { limits: { wallTimeMsMax: 100 } }],
    ["a printed flood", 'for (;;) console.log("x")', { limits: { logEntriesMax: 10 } }],
  ])("after %s", async (_, code, options) => {
    open({});
    await run("return 1");
    const [first = 0] = hostsOf();
    expect((await run(code, options)).code).toMatch(/^ERR_LIMIT/);
    await eventually("the host is gone", () => !isAlive(first));
  });
  test("when a step broke its interpreter", async () => {
    open({});
    await run("return 1", {}, "python");
    const [first = 0] = hostsOf();
    expect((await run("import os\nos.abort()", {}, "python")).code).toBe("ERR_STEP_EXITED");
    await eventually("the host is gone", () => !isAlive(first));
  });
  test("not after an error of the step's own", async () => {
    open({});
    await run("return 1");
    const [first = 0] = hostsOf();
    expect((await run("throw new Error('mine')")).code).toBe("ERR_STEP_THREW");
    expect(hostsOf()).toEqual([first]);
  });
  test("when it is killed while it waits, and no run notices", async () => {
    const faults: Error[] = [];
    open({ onFault: (error) => faults.push(error) });
    await run("return 1");
    for (const pid of hostsOf()) process.kill(pid, "SIGKILL");
    expect((await run("return 2")).output).toBe(2);
    for (const pid of hostsOf()) process.kill(pid, "SIGKILL");
    await eventually("the end is reported", () => faults.length > 0);
    expect((await run("return 3")).output).toBe(3);
    expect(faults.map(({ message }) => message).join()).toContain("it ended while it waited");
  });
  test("a host whose program cannot be started at all is the run's error, and the worker lives", async () => {
    const layers = { states: [], wrappers: [{ program: "/no/such/program", layers: [], args: () => [] }] };
    open({ layers });
    expect((await runStep(sandbox, "javascript", "return 1")).code).toBe("ERR_SANDBOX_START");
  });
  test("a host that cannot start is reported, tried again ever more slowly, and is the run's error", async () => {
    const faults: number[] = [];
    sandbox = openTestSandbox([], 2, {
      program: `${import.meta.dirname}/missing.ts`,
      onFault: () => faults.push(performance.now()),
    });
    expect((await runStep(sandbox, "javascript", "return 1")).code).toBe("ERR_SANDBOX_START");
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect(faults.length).toBeGreaterThan(2);
    expect(faults.length).toBeLessThan(14);
  });
});

describe("the run before, on the same host", () => {
  let server: Server;
  let slow: ServerResponse[];
  let closedByStep: number;
  let origin: string;
  beforeEach(async () => {
    slow = [];
    closedByStep = 0;
    server = createServer((request, response) => {
      if (request.url === "/quick") {
        response.end("quick");
        return;
      }
      slow.push(response);
      response.on("close", () => (closedByStep += response.writableFinished ? 0 : 1));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    origin = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    return () => void server.close();
  });

  async function twice(first: string, second: string, language: Language): Promise<StepRun> {
    open({}, [origin]);
    const before = await run(first, {}, language);
    expect(before.code).toBeUndefined();
    const [host] = hostsOf();
    const after = await run(second, {}, language);
    expect(hostsOf()).toEqual([host]);
    return after;
  }

  test.each([
    [
      "globals",
      "globalThis.left = 1; var v = 2; return 1",
      "return [typeof left, typeof v]",
      ["undefined", "undefined"],
    ],
    [
      "changed prototypes and built-ins",
      "Object.prototype.toString = () => 'mine'; Array.prototype.map = () => 'mine'; JSON.parse = () => 'mine'; Promise.prototype.then = Map.prototype.get = null; return 1",
      "return [String({}), [1].map((x) => x + 1), JSON.parse('[3]'), await Promise.resolve(4)]",
      ["[object Object]", [2], [3], 4],
    ],
    ["symbols in the registry of the agent", "Symbol.for('left').x; return 1", "return 1", 1],
    [
      "changed console and fetch",
      "console.log = () => {}; globalThis.fetch = 1; return 1",
      "return typeof fetch",
      "function",
    ],
  ])("leaves no %s (javascript)", async (_, first, second, expected) => {
    expect((await twice(first, second, "javascript")).output).toEqual(expected);
  });

  test.each([
    [
      "modules and built-ins",
      "import sys, builtins, json\nbuiltins.left = 1\nsys.modules['left'] = json\njson.tool = 1\nreturn 1",
      "import sys, builtins, json\nreturn [hasattr(builtins, 'left'), 'left' in sys.modules, hasattr(json, 'tool')]",
      [false, false, false],
    ],
    [
      "files and environment",
      "import os\nopen('/tmp/left', 'w').write('x')\nopen('/lib/python3.14/left.py', 'w').write('x')\nos.environ['LEFT'] = 'x'\nos.chdir('/tmp')\nreturn 1",
      "import os\nreturn [os.path.exists('/tmp/left'), os.path.exists('/lib/python3.14/left.py'), 'LEFT' in os.environ, os.getcwd() != '/tmp']",
      [false, false, false, true],
    ],
    [
      "globals of JavaScript beneath",
      "import js\njs.globalThis.left = 1\njs.eval('Array.prototype.map = null')\nreturn 1",
      "import js\nreturn [hasattr(js, 'left'), js.eval('typeof Array.prototype.map')]",
      [false, "function"],
    ],
  ])("leaves no %s (python)", async (_, first, second, expected) => {
    expect((await twice(first, second, "python")).output).toEqual(expected);
  });

  test("says nothing more by timers, promises or loops that it left", async () => {
    const first = `const say = () => console.log("late"); setInterval(say, 1); setTimeout(say, 30);
      (async () => { for (;;) { await null; say.x = 1; } })().catch(say); return 1`;
    const second = await twice(first, "await new Promise((r) => setTimeout(r, 200)); return 2", "javascript");
    expect(second).toMatchObject({ output: 2, text: "" });
    expect(second.events.map(({ kind }) => kind)).toEqual(["started"]);
  });

  test("its requests are ended, and their answers reach nobody", async () => {
    const first = `const slow = () => fetch("http://ORIGIN/slow"); slow(); slow(); slow();
      await fetch("http://ORIGIN/quick"); for (let i = 0; i < 5; i++) slow(); return 1`;
    open({}, [origin]);
    await run(first.replaceAll("ORIGIN", origin));
    await eventually("the requests under way are ended", () => closedByStep === slow.length && slow.length > 0);
    const asked = slow.length;
    for (const response of slow) response.end("late");
    const second = await run("await new Promise((r) => setTimeout(r, 200)); return 2");
    expect(second).toMatchObject({ output: 2, text: "" });
    expect(second.events.map(({ kind }) => kind)).toEqual(["started"]);
    expect(slow.length).toBe(asked);
  });

  test("its use of time and processor is not the next run's", async () => {
    open({});
    const busy = "const end = Date.now() + 700; while (Date.now() < end); return 1";
    const first = await run(busy, { limits: { cpuTimeMsMax: 1_200 } });
    expect(first.outcome.usage.cpuMs).toBeGreaterThan(50);
    const second = await run(busy, { limits: { cpuTimeMsMax: 1_200 } });
    expect(second.code).toBeUndefined();
    expect(second.outcome.usage.cpuMs).toBeLessThan(1_200);
    expect((await run("return 1")).outcome.usage.cpuMs).toBeLessThan(first.outcome.usage.cpuMs);
  });
});
