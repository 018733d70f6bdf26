/**
 * The published attacks on what a step may reach (test/runtime/vectors/network-attacks.json), each as a step in a real
 * host against real servers on loopback. Goal: nothing arrives where nothing may, whatever the spelling, the name or the
 * redirect, and each attempt leaves a record. Method: an allowed server that misbehaves in every way asked for, a second
 * one that counts connections and must see none, and a name server whose answers the test decides.
 */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { startNameServer, type TestNameServer } from "../../helpers/name-server.ts";
import { eventually, onlyIdleHostsAreLeft } from "../../helpers/processes.ts";
import { openTestSandbox, runStep, type StepOptions, type StepRun } from "../../helpers/sandbox.ts";

interface Attack {
  readonly id: string;
  readonly language: "js" | "python";
  readonly title: string;
  readonly code: string;
}

const attacks = JSON.parse(
  readFileSync(new URL("../vectors/network-attacks.json", import.meta.url), "utf8"),
) as Attack[];

let allowed: Server;
let forbidden: Server;
let names: TestNameServer;
let sandbox: Sandbox;
/** Connections that the forbidden server got. */
let arrived = 0;
let allowedHost = "";
/** Answers of the allowed server that are still being sent. */
const open = new Set<ServerResponse>();

function misbehave(request: IncomingMessage, response: ServerResponse): void {
  open.add(response);
  response.on("close", () => open.delete(response));
  const url = new URL(request.url ?? "/", "http://local");
  const to = url.searchParams.get("to");
  if (to !== null) return void response.writeHead(302, { location: to }).end();
  if (url.pathname === "/gzip-bomb")
    return void response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(200 * 1024 * 1024)));
  if (url.pathname === "/infinite" || url.pathname === "/slow") {
    const chunk = url.pathname === "/slow" ? "." : "x".repeat(65_536);
    const timer = setInterval(() => response.write(chunk), url.pathname === "/slow" ? 100 : 1);
    return void response.on("close", () => clearInterval(timer));
  }
  request.resume().on("end", () => response.end("fine"));
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

let forbiddenPort = 0;
beforeAll(async () => {
  allowed = createServer(misbehave);
  forbidden = createServer((_, response) => response.end()).on("connection", () => (arrived += 1));
  forbiddenPort = await listen(forbidden);
  allowedHost = `allowed.test:${await listen(allowed)}`;
  names = await startNameServer((name, timesAsked) => {
    if (name === "allowed.test" || name === "loopback.test") return ["127.0.0.1"];
    if (name === "flip.test") return [timesAsked % 2 === 1 ? "192.0.2.1" : "127.0.0.1"];
    if (name === "mixed.test") return ["8.8.8.8", "127.0.0.1"];
    if (name === "also-db.test") return ["8.8.8.8"];
    return undefined;
  });
  const egress = { open: [allowedHost], own: ["8.8.8.8:5432"], nameServers: [names.address] };
  sandbox = openTestSandbox([], 0, { isolation: "isolate", egress });
});
afterAll(async () => {
  await sandbox.close();
  names.close();
  for (const server of [allowed, forbidden]) {
    server.closeAllConnections();
    server.close();
  }
});
beforeEach(() => {
  arrived = 0;
});

async function attack({ language, code }: Attack, options: StepOptions): Promise<StepRun> {
  const step = code
    .replaceAll("{{ALLOWED}}", allowedHost)
    .replaceAll("{{LISTENER_PORT}}", String(forbiddenPort))
    .replaceAll("{{DNS_TO_127}}", "loopback.test")
    .replaceAll("{{DNS_FLIP}}", "flip.test");
  return await runStep(sandbox, language === "js" ? "javascript" : language, step, options);
}

interface Fate {
  /** The code that the run ends with; none when it must succeed. */
  readonly code?: string;
  readonly output?: unknown;
  /** What the error's message must say. */
  readonly says?: RegExp;
  readonly options?: StepOptions;
  /** The rule of each request that was recorded; null for one that was refused. */
  readonly rules?: readonly (string | null)[];
}

const quick = { limits: { wallTimeMsMax: 1_500 } };
/** What becomes of an address that is not to be reached, in whatever spelling: one text for all, and one record. */
const refused: Fate = {
  code: "ERR_STEP_THREW",
  says: /^TypeError: Cannot reach \S+: its address is not a public one$/,
  rules: [null],
};
const invalid: Fate = { code: "ERR_STEP_THREW", says: /^TypeError: Invalid URL$/, rules: [] };

function fateOf(id: string): Fate {
  const byList = { network: [allowedHost] };
  const fates: Readonly<Record<string, Fate>> = {
    "net-ssrf-12": { code: "ERR_STEP_THREW", says: /its name does not resolve/, rules: [null] },
    "net-ssrf-16": invalid,
    "net-ssrf-21": { code: "ERR_STEP_THREW", says: /its URL holds credentials/, rules: [null] },
    // "host:port.evil.example" has no port that is one.
    "net-ssrf-23": { ...invalid, options: byList },
    "net-ssrf-24": { code: "ERR_STEP_THREW", says: /none of the 1 rules/, options: byList, rules: [null] },
    "net-ssrf-27": { output: Array(6).fill("ERR_EGRESS_REFUSED"), rules: Array(6).fill(null) },
    "net-ssrf-28": { code: "ERR_STEP_THREW", says: /none of the 1 rules/, options: byList, rules: [allowedHost, null] },
    "net-ssrf-29": {
      output: Array(4).fill("TypeError"),
      options: byList,
      rules: [1, 2, 3, 4].flatMap(() => [allowedHost, null]),
    },
    "net-ssrf-32": { output: Array(8).fill("TypeError"), options: byList, rules: [] },
    // The parser of URLs takes line ends out and a blank apart.
    "net-ssrf-35": { output: ["TypeError", 200, "TypeError", "TypeError"], rules: ["open", null, null] },
    "net-dos-01": { code: "ERR_LIMIT_RESPONSE_BYTES", rules: ["open"] },
    "net-dos-02": { code: "ERR_LIMIT_RESPONSE_BYTES", rules: ["open"] },
    "net-dos-03": { code: "ERR_LIMIT_WALL_TIME", options: quick },
    "net-dos-04": { output: 1 },
    "net-dos-05": { code: "ERR_LIMIT_REQUESTS", says: /101 requests, at most 100 are allowed/ },
    "net-dos-06": { code: "ERR_LIMIT_REQUEST_BYTES", rules: [] },
    "net-py-01": { output: ["URLError", "URLError", "URLError", "ModuleNotFoundError"], rules: [null, null, null] },
  };
  return fates[id] ?? refused;
}

const messageOf = ({ outcome }: StepRun): string => ("error" in outcome ? outcome.error.message : "");
const rulesOf = ({ events }: StepRun): (string | null)[] =>
  events.flatMap((event) => (event.kind === "request" ? [event.rule] : []));

describe("a published attack on the network", () => {
  for (const each of attacks) {
    test(`${each.id}: ${each.title}`, async () => {
      const fate = fateOf(each.id);
      const { code, output, says = /^/ } = fate;
      const run = await attack(each, fate.options ?? {});
      const rules = fate.rules ?? rulesOf(run);
      expect([run.code, run.output]).toEqual([code, output]);
      expect(messageOf(run)).toMatch(says);
      expect(rulesOf(run)).toEqual(rules);
      expect(arrived).toBe(0);
      await eventually("no answer is being sent", () => open.size === 0);
      await onlyIdleHostsAreLeft(sandbox);
    });
  }
});

describe("names", () => {
  const status = async (url: string): Promise<StepRun> =>
    await runStep(sandbox, "javascript", "return (await fetch(params)).status", { params: url });

  test("a name is asked for once for each hop, so that a second answer counts for nothing", async () => {
    const before = names.asked.length;
    expect((await status(`http://${allowedHost}/`)).output).toBe(200);
    expect(names.asked.slice(before)).toEqual(["allowed.test"]);
    expect((await status(`http://${allowedHost}/?to=/next`)).output).toBe(200);
    expect(names.asked.slice(before)).toEqual(Array(3).fill("allowed.test"));
  });
  test.each([
    ["with a private address among public ones", "http://mixed.test/"],
    ["of a cloud's metadata service", "http://metadata.google.internal/"],
    ["of a cloud's metadata service, with the root's dot", "http://metadata.google.internal./"],
    ["of a server of the deployment's own at a public address", "http://also-db.test:5432/"],
  ])("a name %s is refused, in the same words", async (_, url) => {
    const run = await status(url);
    expect(messageOf(run)).toMatch(/its address is not a public one$/);
    expect(rulesOf(run)).toEqual([null]);
  });
});
