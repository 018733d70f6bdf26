/**
 * Limits that end a request or make it wait, while the step goes on: times, and how many are under way. Method: a server
 * that holds each phase of a request open for as long as the test wants.
 */
import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Limits } from "../../../protocol/limits.ts";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { eventually } from "../../helpers/processes.ts";
import { openTestSandbox, runStep } from "../../helpers/sandbox.ts";

let server: Server;
let silent: TcpServer;
let sandbox: Sandbox;
let params: { base: string; silent: string };
let now = 0;
let most = 0;
/** Bytes of endless answers that the server could write. */
let written = 0;
const sockets = new Set<Socket>();

function answer(url: string, response: ServerResponse): void {
  most = Math.max(most, ++now);
  response.on("close", () => (now -= 1));
  if (url === "/never") return;
  if (url === "/stops") return void response.write("begun");
  if (url === "/drips") {
    const timer = setInterval(() => response.write("."), 20);
    return void response.on("close", () => clearInterval(timer));
  }
  if (url === "/endless") {
    const chunk = Buffer.alloc(65_536, 97);
    const go = (): void => {
      while (!response.destroyed && response.write(chunk)) written += chunk.length;
    };
    response.on("drain", go);
    return go();
  }
  setTimeout(() => response.end("done"), 40);
}

beforeAll(async () => {
  server = createServer((request, response) => answer(request.url ?? "", response)).listen(0, "127.0.0.1");
  // It takes connections and says nothing, so that the TLS of a request to it never begins.
  silent = createTcpServer((socket) => void sockets.add(socket)).listen(0, "127.0.0.1");
  await Promise.all([once(server, "listening"), once(silent, "listening")]);
  const pairs = [server, silent].map((each) => `127.0.0.1:${(each.address() as AddressInfo).port}`);
  params = { base: `http://${pairs[0]}`, silent: `https://${pairs[1]}` };
  sandbox = openTestSandbox(pairs);
});
afterAll(async () => {
  await sandbox.close();
  for (const socket of sockets) socket.destroy();
  server.closeAllConnections();
  server.close();
  silent.close();
});

async function run(code: string, limits: Partial<Limits>): Promise<{ output: unknown; ms: number }> {
  const { output, outcome } = await runStep(sandbox, "javascript", code, { params, limits });
  if ("error" in outcome) throw outcome.error;
  return { output, ms: outcome.usage.wallMs };
}

const attempt = (call: string): string => `try { return await ${call} } catch (e) { return [e.code, e.message] }`;

describe("a request that takes too long fails with the name of its limit, and the step goes on", () => {
  test.each([
    ["connectTimeMsMax", "fetch(params.silent)", "no connection after 200 ms (connectTimeMsMax)"],
    ["headersTimeMsMax", "fetch(params.base + '/never')", "no answer after 200 ms (headersTimeMsMax)"],
    [
      "idleTimeMsMax",
      "(await fetch(params.base + '/stops')).text()",
      "the body did not go on for 200 ms (idleTimeMsMax)",
    ],
    ["requestTimeMsMax", "(await fetch(params.base + '/drips')).text()", "not done after 200 ms (requestTimeMsMax)"],
    ["requestTimeMsMax", "fetch(params.silent)", "not done after 200 ms (requestTimeMsMax)"],
  ])("%s: %s", async (name, call, message) => {
    const { output, ms } = await run(attempt(call), { [name]: 200 });
    expect(output).toEqual(["ERR_EGRESS_FAILED", expect.stringContaining(message)]);
    expect(ms).toBeLessThan(2_000);
  });
  test("a slow server that keeps within them is heard out", async () => {
    const code =
      "const r = (await fetch(params.base + '/drips')).body.getReader(); let n = 0; while (n < 10) n += (await r.read()).value.length; return n >= 10";
    expect((await run(code, { idleTimeMsMax: 500, headersTimeMsMax: 500 })).output).toBe(true);
  });
});

describe("how many are under way", () => {
  test("is bounded; the others wait for their turn", async () => {
    most = 0;
    const code = "return (await Promise.all(Array.from({ length: 9 }, () => fetch(params.base)))).length";
    expect((await run(code, { requestsAtOnceMax: 3 })).output).toBe(9);
    expect(most).toBe(3);
  });
  test("does not count answers that the step leaves unread, and these make the server wait", async () => {
    written = 0;
    const code = `const unread = await Promise.all([1, 2].map(() => fetch(params.base + "/endless")));
      await new Promise((resolve) => setTimeout(resolve, 300));
      return [unread.length, await (await fetch(params.base)).text()]`;
    const { output } = await run(code, { requestsAtOnceMax: 2, responseBytesMax: 1 << 30, downloadBytesMax: 1 << 30 });
    expect(output).toEqual([2, "done"]);
    // Two windows, and what the kernel's buffers on the way take.
    expect(written).toBeLessThan(40 * 1024 * 1024);
  });
  test("falls to none when a run ends in their midst", async () => {
    await run("await Promise.all([1, 2, 3].map(() => fetch(params.base + '/drips')))", {});
    expect(most).toBeGreaterThan(0);
    await eventually("no request is under way", () => now === 0);
  });
});

describe("reading an answer", () => {
  test("part by part gives what the server has sent, and stopping ends the request", async () => {
    const code = `const response = await fetch(params.base + "/drips"); const reader = response.body.getReader();
      const first = new TextDecoder().decode((await reader.read()).value); await reader.cancel(); return [first[0], response.bodyUsed]`;
    expect((await run(code, {})).output).toEqual([".", true]);
    await eventually("no request is under way", () => now === 0);
  });
  test("can be aborted by its signal, which is what the reader is told", async () => {
    const code = `const c = new AbortController(); const r = await fetch(params.base + "/drips", { signal: c.signal });
      setTimeout(() => c.abort(), 50); try { await r.text() } catch (e) { return e.name }`;
    expect((await run(code, {})).output).toBe("AbortError");
  });
  test("of a megabyte and more, in two copies, gives both whole", async () => {
    const code = `const r = await fetch(params.base + "/endless"); const reader = r.body.getReader(); let n = 0;
      while (n < 20_000_000) n += (await reader.read()).value.length; await reader.cancel(); return n >= 20_000_000`;
    expect((await run(code, { responseBytesMax: 1 << 30 })).output).toBe(true);
  });
});
