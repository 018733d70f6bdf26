/**
 * Connections to servers: kept for the next request of the same project and shared with no other, each to the address that
 * was checked. Method: a server that counts them, and a name server whose answers the test changes.
 */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import type { Pool } from "undici";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Connections } from "../../../runtime/egress/connections.ts";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { startNameServer, type TestNameServer } from "../../helpers/name-server.ts";
import { eventually } from "../../helpers/processes.ts";
import { openTestSandbox, runStep } from "../../helpers/sandbox.ts";

const loopback = { pinned: { address: "127.0.0.1", family: 4 } } as const;

let servers: Server[];
let names: TestNameServer;
let sandbox: Sandbox;
let params: string;
/** Connections that each server has had, in order. */
let connections: Socket[][];
let address = "127.0.0.1";

beforeAll(async () => {
  connections = [[], []];
  servers = ["127.0.0.1", "127.0.0.2"].map((_, i) =>
    createServer(({ url }, response) => void setTimeout(() => response.end(String(i)), url === "/slow" ? 100 : 0)).on(
      "connection",
      (socket) => connections[i]!.push(socket),
    ),
  );
  servers[0]!.listen(0, "127.0.0.1");
  await once(servers[0]!, "listening");
  const { port } = servers[0]!.address() as AddressInfo;
  servers[1]!.listen(port, "127.0.0.2");
  await once(servers[1]!, "listening");
  names = await startNameServer(() => [address]);
  params = `http://moves.test:${port}`;
  const egress = { open: [`moves.test:${port}`], own: [], nameServers: [names.address] };
  sandbox = openTestSandbox([], 1, { isolation: "isolate", egress });
});
afterAll(async () => {
  await sandbox.close();
  names.close();
  for (const server of servers) server.close();
});
beforeEach(() => {
  for (const list of connections) list.length = 0;
});

async function ask(projectId: string, code: string): Promise<unknown> {
  const { output, outcome } = await runStep(sandbox, "javascript", code, { projectId, params });
  if ("error" in outcome) throw outcome.error;
  return output;
}
const once3 = "for (let i = 0; i < 3; i++) await (await fetch(params)).text()";
const countOf = (i: number): number => connections[i]!.length;

test("one connection serves the requests of several runs of a project", async () => {
  await ask("a", once3);
  await ask("a", once3);
  expect(countOf(0)).toBe(1);
});
test("another project gets a connection of its own", async () => {
  await ask("b", once3);
  await ask("c", once3);
  await ask("b", once3);
  expect(countOf(0)).toBe(2);
});
test("a kept connection is used only while the name still leads to its address", async () => {
  await ask("d", once3);
  address = "127.0.0.2";
  expect(await ask("d", "return await (await fetch(params)).text()")).toBe("1");
  address = "127.0.0.1";
  expect(await ask("d", "return await (await fetch(params)).text()")).toBe("0");
  expect([countOf(0), countOf(1)]).toEqual([1, 1]);
});
test("requests at once have a connection each, and an answer that is not read to its end gives up its own", async () => {
  await ask("e", 'await Promise.all([1, 2, 3].map(async () => (await fetch(params + "/slow")).text()))');
  expect(countOf(0)).toBe(3);
  await ask("f", "const r = await fetch(params); await r.body.cancel()");
  expect(await ask("f", "return await (await fetch(params)).text()")).toBe("0");
});
test("the end of the sandbox ends them", async () => {
  const own = openTestSandbox([new URL(params).host], 0, {
    egress: { open: [new URL(params).host], own: [], nameServers: [names.address] },
  });
  const { output } = await runStep(own, "javascript", "return await (await fetch(params)).text()", { params });
  expect(output).toBe("0");
  await own.close();
  await eventually("the connection is closed", () => connections[0]!.at(-1)?.destroyed === true);
});

test("connecting may take as long as the run's limit says, and is ended soon after it", async () => {
  const silent = createTcpServer((socket) => socket.on("error", () => {}));
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  const origin = `https://silent.test:${(silent.address() as AddressInfo).port}`;
  const kept = new Connections();
  const connecting = async (connectTimeMsMax: number): Promise<unknown> =>
    await kept
      .to({ ...loopback, projectId: "a", origin, connectTimeMsMax })
      .request({ path: "/", method: "GET" })
      .catch(({ code }: { code: unknown }) => code);
  const startedAt = performance.now();
  let given: unknown;
  const long = connecting(3_600_000).then((code) => (given = code));
  expect(await connecting(500)).toBe("UND_ERR_CONNECT_TIMEOUT");
  expect(performance.now() - startedAt).toBeGreaterThan(500);
  expect(performance.now() - startedAt).toBeLessThan(5_000);
  expect(given).toBeUndefined();
  await kept.close();
  expect(await long).toBe("UND_ERR_DESTROYED");
  silent.close();
});

test("a project keeps connections to 64 servers, the latest used, whatever other projects do", async () => {
  const kept = new Connections();
  const to = (projectId: string, i: number): Pool =>
    kept.to({ ...loopback, projectId, origin: `http://host-${i}.test`, connectTimeMsMax: 1_000 });
  const others = to("b", 0);
  const pools = Array.from({ length: 64 }, (_, i) => to("a", i));
  for (let i = 0; i < 64; i++) expect(to("a", i)).toBe(pools[i]);
  to("a", 0);
  to("a", 64);
  expect(pools.map(({ destroyed }) => destroyed).indexOf(true)).toBe(1);
  expect(pools.filter(({ destroyed }) => destroyed)).toHaveLength(1);
  expect(others.destroyed).toBe(false);
  await kept.close();
});

test("servers that take connections and say nothing end what is old, and never a new request's own", async () => {
  const silent = createTcpServer((socket) => socket.on("error", () => {}));
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as AddressInfo;
  const kept = new Connections();
  const to = (projectId: string, i: number): Pool =>
    kept.to({ ...loopback, projectId, origin: `https://host-${i}.test:${port}`, connectTimeMsMax: 10_000 });
  const waiting = Array.from({ length: 700 }, (_, i) => {
    const pool = to(`project-${i % 20}`, i);
    expect(pool.closed || pool.destroyed).toBe(false);
    return pool.request({ path: "/", method: "GET" }).catch(() => {});
  });
  expect(to("another", 1).destroyed).toBe(false);
  await kept.close();
  await Promise.all(waiting);
  silent.close();
});
