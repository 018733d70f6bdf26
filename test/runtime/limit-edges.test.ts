/**
 * Every limit of a run at its edge, in real hosts: what is just under passes, what is just over fails with the code of
 * that limit, its name, the figure used and the figure allowed. A limit without its two programs here is a failure.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ErrorCode } from "../../protocol/error.ts";
import { type LimitName, limitTable } from "../../protocol/limits.ts";
import type { Sandbox } from "../../runtime/sandbox.ts";
import { chooseLimits } from "../../worker/step-plan.ts";
import { defaultLimits, openTestSandbox, runStep } from "../helpers/sandbox.ts";

interface Edge {
  readonly allowed: number;
  readonly code: ErrorCode;
  /** JavaScript that uses `params.n` of the limit. */
  readonly program: string;
  /** What passes and what does not; the limit itself and one more, where it can be met exactly. */
  readonly under?: number;
  readonly over?: number;
  /** Where time and memory are measured and not counted, the figure used is not known beforehand. */
  readonly inexact?: boolean;
  readonly others?: Partial<Record<LimitName, number>>;
}

const MiB = 1024 * 1024;
const spin = "const end = Date.now() + params.n; while (Date.now() < end);";
const ask = "for (let i = 0; i < params.n; i++) await (await fetch(params.origin)).text();";

/** Limits that end a request, or make it wait, and not the run: egress/limits.test.ts. */
type RequestLimit =
  | "requestsAtOnceMax"
  | "connectTimeMsMax"
  | "headersTimeMsMax"
  | "idleTimeMsMax"
  | "requestTimeMsMax";

const edges: Readonly<Record<Exclude<LimitName, RequestLimit>, Edge>> = {
  wallTimeMsMax: {
    allowed: 1_000,
    under: 300,
    over: 5_000,
    code: "ERR_LIMIT_WALL_TIME",
    program: "await new Promise((r) => setTimeout(r, params.n));",
    inexact: true,
  },
  cpuTimeMsMax: {
    allowed: 1_000,
    under: 100,
    over: 60_000,
    code: "ERR_LIMIT_CPU_TIME",
    program: spin,
    inexact: true,
    others: { wallTimeMsMax: 50_000 },
  },
  memoryBytesMax: {
    allowed: 64 * MiB,
    under: 20,
    over: 400,
    code: "ERR_LIMIT_MEMORY",
    program: "const a = []; for (let i = 0; i < params.n; i++) a.push(new Array(131072).fill(i)); return a.length",
    inexact: true,
  },
  stdoutBytesMax: { allowed: 100, code: "ERR_LIMIT_STDOUT", program: "" },
  stdoutLinesMax: { allowed: 10, code: "ERR_LIMIT_STDOUT", program: "" },
  logEntriesMax: {
    allowed: 10,
    code: "ERR_LIMIT_LOG",
    program: 'for (let i = 0; i < params.n; i++) console.log("x");',
  },
  logBytesMax: {
    allowed: 1_000,
    // An entry without fields counts as its text and the four bytes of null.
    under: 996,
    over: 997,
    code: "ERR_LIMIT_LOG",
    program: 'console.log("x".repeat(params.n))',
  },
  outputBytesMax: {
    allowed: 100,
    under: 98,
    over: 99,
    code: "ERR_LIMIT_OUTPUT",
    program: 'return "x".repeat(params.n)',
  },
  outputDepthMax: {
    allowed: 10,
    code: "ERR_LIMIT_OUTPUT",
    program: "let o = []; for (let i = 1; i < params.n; i++) o = [o]; return o",
    // Nobody counts how much deeper it would go.
    inexact: true,
  },
  bridgeCallsMax: {
    allowed: 50,
    // The call that ends the run is one.
    under: 49,
    over: 51,
    code: "ERR_LIMIT_BRIDGE_CALLS",
    program: "for (let i = 0; i < params.n; i++) crypto.randomUUID();",
  },
  timersMax: {
    allowed: 10,
    code: "ERR_LIMIT_TIMERS",
    program: "for (let i = 0; i < params.n; i++) setTimeout(() => {}, 1e6);",
  },
  requestsMax: { allowed: 3, code: "ERR_LIMIT_REQUESTS", program: ask },
  requestBytesMax: {
    allowed: 3_000,
    over: 3_003,
    code: "ERR_LIMIT_REQUEST_BYTES",
    program: 'await fetch(params.origin, { method: "POST", body: "x".repeat(params.n) })',
  },
  uploadBytesMax: {
    allowed: 3_000,
    over: 3_006,
    code: "ERR_LIMIT_UPLOAD_BYTES",
    program:
      'for (const body of ["x".repeat(params.n / 2), "y".repeat(params.n / 2)]) await fetch(params.origin, { method: "POST", body })',
  },
  downloadBytesMax: {
    allowed: 1_000,
    over: 1_002,
    code: "ERR_LIMIT_DOWNLOAD_BYTES",
    program: "for (const n of [params.n / 2, params.n / 2]) await (await fetch(params.origin + '?bytes=' + n)).text()",
  },
  responseBytesMax: {
    allowed: 1_000,
    code: "ERR_LIMIT_RESPONSE_BYTES",
    program: "await (await fetch(params.origin + '?bytes=' + params.n)).text()",
    inexact: true,
  },
};

/** JavaScript logs and does not print, so what is printed is met in Python. */
const printed: Partial<Record<LimitName, string>> = {
  stdoutBytesMax: 'print("x" * params["n"], end="")',
  stdoutLinesMax: 'print("\\n" * params["n"], end="")',
};

let sandbox: Sandbox;
let server: Server;
let origin: string;
beforeAll(async () => {
  server = createServer((request, response) => {
    const bytes = Number(new URL(request.url ?? "", "http://localhost").searchParams.get("bytes") ?? 1);
    request.resume().on("end", () => response.end("x".repeat(bytes)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const pair = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  origin = `http://${pair}/`;
  sandbox = openTestSandbox([pair]);
});
afterAll(async () => {
  await sandbox.close();
  server.closeAllConnections();
  server.close();
});

describe.each(Object.keys(edges) as (keyof typeof edges)[])("%s", (name) => {
  const { allowed, under = allowed, over = allowed + 1, code, program, inexact = false, others = {} } = edges[name];
  const python = printed[name];
  const limits = { ...others, [name]: allowed };
  const run = async (n: number) =>
    await runStep(sandbox, python === undefined ? "javascript" : "python", python ?? program, {
      params: { n, origin },
      limits,
    });

  test("just under passes", async () => {
    expect((await run(under)).code).toBeUndefined();
  });
  test("just over fails with the name and the figures", async () => {
    const { outcome } = await run(over);
    const error = "error" in outcome ? outcome.error : undefined;
    expect(error).toMatchObject({ code, fault: "limit" });
    const figures = (error?.message ?? "").replaceAll(/[,_]/g, "").match(/\d+/g)?.map(Number) ?? [];
    expect(figures).toContain(allowed);
    expect(inexact || Math.max(...figures) > allowed).toBe(true);
  });
  test("a step may lower it and raise it up to the operator's maximum, and no further", () => {
    const maxima = { ...defaultLimits, [name]: allowed };
    expect(chooseLimits({ [name]: limitTable[name].min }, maxima)[name]).toBe(limitTable[name].min);
    expect(chooseLimits({ [name]: allowed }, maxima)[name]).toBe(allowed);
    expect(() => chooseLimits({ [name]: allowed + 1 }, maxima)).toThrow(`${name} ${allowed + 1}`);
    // A default above the operator's maximum is no way around it.
    expect(chooseLimits({}, maxima)[name]).toBe(Math.min(allowed, limitTable[name].default));
  });
});
