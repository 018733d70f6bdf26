/**
 * Cancelling in each phase of a run: queued, waiting for a host, resolving secrets, running, waiting on the network.
 * Goal: the run ends once, as cancelled, and nothing of it happens afterwards. Method: through the service where the
 * queue matters, and straight in the sandbox where the moment does.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import { recordRuns } from "../../runs/submit.ts";
import type { Sandbox } from "../../runtime/sandbox.ts";
import { eventually, hostsOf } from "../helpers/processes.ts";
import { defaultLimits, openTestSandbox, runStep, type StepRun } from "../helpers/sandbox.ts";
import { openTestService, type TestService } from "../helpers/service.ts";

let server: Server;
let asked = 0;
let origin: string;
beforeAll(async () => {
  server = createServer(() => void (asked += 1));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

describe("a run of the service is cancelled", () => {
  let running: TestService;
  beforeAll(async () => {
    running = await openTestService({ STEPVAULT_WORKER_CONCURRENCY: "1", STEPVAULT_EGRESS_OPEN: origin });
  });
  afterAll(async () => await running.close());

  const javascript = (code: string) => ({ step: { language: "javascript" as const, code } });

  async function untilStarted(runId: string): Promise<void> {
    for (;;) {
      if ((await running.events(runId)).some(({ kind }) => kind === "started")) return;
      await sleep(20);
    }
  }

  test("while it runs and while another one is queued behind it", async () => {
    const { service, projectId } = running;
    const code = 'for (let i = 0; ; i++) { console.log("tick", i); await new Promise((r) => setTimeout(r, 5)); }';
    const first = await service.submit({ projectId, ...javascript(code) });
    const second = await service.submit({ projectId, ...javascript('console.log("ran"); return 1') });
    await untilStarted(first);
    expect(await service.cancel(projectId, second)).toBe(true);
    await expect.poll(async () => (await service.runs.get(projectId, second)).status).toBe("cancelled");
    expect(await service.cancel(projectId, first)).toBe(true);
    expect(await service.result(projectId, first)).toMatchObject({
      status: "cancelled",
      error: { code: "ERR_RUN_CANCELLED" },
    });
    expect(await service.result(projectId, second)).toMatchObject({
      status: "cancelled",
      error: { code: "ERR_RUN_CANCELLED" },
    });
    const events = await running.events(first);
    expect(events.slice(-2).map(({ kind }) => kind)).toEqual(["error", "finished"]);
    await sleep(200);
    expect(await running.events(first)).toEqual(events);
    expect((await running.events(second)).map(({ kind }) => kind)).toEqual(["error", "finished"]);
    expect(await service.cancel(projectId, first)).toBe(false);
  });

  test("not by another project, and not when there is no such run", async () => {
    const { service, projectId } = running;
    const runId = await service.submit({
      projectId,
      ...javascript("await new Promise((r) => setTimeout(r, 300)); return 1"),
    });
    const unknown = { code: "ERR_RUN_UNKNOWN" };
    await expect(service.cancel(createId(), runId)).rejects.toMatchObject(unknown);
    await expect(service.cancel(projectId, createId())).rejects.toMatchObject(unknown);
    expect(await service.result(projectId, runId)).toMatchObject({ status: "succeeded" });
  });

  test("before any worker has looked at it, and its code never runs", async () => {
    const { service, projectId } = running;
    const runId = createId();
    const job = { projectId, ...javascript(`await fetch("http://${origin}/never")`) };
    await recordRuns(service.database, [{ id: runId, job }], { projectId });
    await service.cancel(projectId, runId);
    await service.queue.add([{ projectId, runId, turn: 0 }]);
    const before = asked;
    await expect.poll(async () => (await service.runs.get(projectId, runId)).status).toBe("cancelled");
    await sleep(200);
    expect(asked).toBe(before);
  });
});

describe("a run in the sandbox is cancelled", () => {
  let sandbox: Sandbox;
  beforeAll(() => (sandbox = openTestSandbox([origin], 0, { hostsMax: 1 })));
  afterAll(async () => await sandbox.close());

  /** Runs and cancels at the first event of this kind; fails when anything follows. */
  async function cancelAt(kind: string, code: string): Promise<StepRun> {
    const abort = new AbortController();
    let after = 0;
    const run = await runStep(sandbox, "javascript", code, {
      signal: abort.signal,
      onEvent: (event) => {
        if (abort.signal.aborted) after += 1;
        if (event.kind === kind) abort.abort();
      },
    });
    await sleep(100);
    expect(after).toBe(0);
    return run;
  }

  test("while it waits for a host", async () => {
    const busy = runStep(sandbox, "javascript", "await new Promise((r) => setTimeout(r, 1500)); return 1");
    const abort = new AbortController();
    const waiting = runStep(sandbox, "javascript", "return 2", { signal: abort.signal });
    setTimeout(() => abort.abort(), 50);
    expect((await waiting).code).toBe("ERR_RUN_CANCELLED");
    expect((await busy).output).toBe(1);
    expect(sandbox.pool.count().waiting).toBe(0);
  });
  test("before it has begun", async () => {
    const { code, events } = await runStep(sandbox, "javascript", "return 1", { signal: AbortSignal.abort() });
    expect([code, events]).toEqual(["ERR_RUN_CANCELLED", []]);
  });
  test("while its secrets are resolved", async () => {
    const abort = new AbortController();
    const step = { projectId: "p", language: "javascript" as const, code: "return 1", params: {}, steps: {} };
    const events: string[] = [];
    const outcome = await sandbox.run(
      { ...step, limits: defaultLimits, network: "none" },
      {
        signal: abort.signal,
        async resolve() {
          abort.abort();
          await sleep(50);
          return { values: new Map(), inputs: {} };
        },
        onEvent: ({ kind }) => void events.push(kind),
      },
    );
    expect("error" in outcome && outcome.error.code).toBe("ERR_RUN_CANCELLED");
    await sleep(100);
    expect(events).toEqual([]);
  });
  test("while it computes in a loop", async () => {
    expect((await cancelAt("started", "for (;;);")).code).toBe("ERR_RUN_CANCELLED");
    await eventually("the host is gone", () => hostsOf().length === 0);
  });
  test("while it prints without end", async () => {
    const code = 'for (let i = 0; ; i++) console.log("tick " + i)';
    expect((await cancelAt("log", code)).code).toBe("ERR_RUN_CANCELLED");
  });
  test("while requests are under way and others wait for their turn, and none follows", async () => {
    const abort = new AbortController();
    const before = asked;
    const { requestsAtOnceMax } = defaultLimits;
    const code = `await Promise.all(Array.from({ length: 12 }, () => fetch("http://${origin}/slow")))`;
    const running = runStep(sandbox, "javascript", code, { signal: abort.signal });
    await eventually("as many as may are under way", () => asked === before + requestsAtOnceMax);
    abort.abort();
    expect((await running).code).toBe("ERR_RUN_CANCELLED");
    await sleep(300);
    expect(asked).toBe(before + requestsAtOnceMax);
  });
  test("while its output is made", async () => {
    const code = `let told = false; return { toJSON() { if (!told) { told = true; console.log("now"); } for (;;); } }`;
    expect((await cancelAt("log", code)).code).toMatch(/ERR_RUN_CANCELLED|ERR_OUTPUT_NOT_JSON/);
    const getter = 'return { get a() { console.log("now"); for (;;); } }';
    expect((await cancelAt("log", getter)).code).toBe("ERR_RUN_CANCELLED");
  });
});
