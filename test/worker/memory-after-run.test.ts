/**
 * Goal: once a run has ended, and the log's half minute is over, the worker's process holds none of the values that the run
 * used, whatever it printed, returned or threw. Method: a whole Stepvault in a child process that is told of jobs and of no
 * value; V8 collects what nothing refers to, and its heap snapshot and what the process can write to are searched. A V8
 * string cannot be zeroed, so memory is searched after V8 was told to clear what it frees.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { JobInput, Language, RunResult } from "../../protocol/job.ts";
import { randomText } from "../../vault/platform-keys/key-format.ts";
import { ByteSearch, needlesOfText } from "../helpers/byte-search.ts";
import { searchMemory } from "../helpers/memory.ts";
import { openTestService, type TestService } from "../helpers/service.ts";
import { startUpstream, type Upstream } from "../helpers/upstream.ts";
import { setSecret } from "../helpers/vault.ts";

/** What the log keeps a run's redactor for, in worker/log.ts, and a little. */
const logMs = 31_000;
const values = { readable: randomText(32), sealed: randomText(32), decrypted: randomText(32), kept: randomText(32) };

let stepvault: TestService;
let upstream: Upstream;
let child: ChildProcess;
let tell: (command: object) => Promise<unknown>;

beforeAll(async () => {
  upstream = await startUpstream({ tls: false });
  const host = `127.0.0.1:${upstream.port}`;
  stepvault = await openTestService({}, { worker: false });
  const { vault } = stepvault.service;
  await setSecret(vault, stepvault.projectId, "readable", values.readable);
  await setSecret(vault, stepvault.projectId, "sealed", values.sealed, { sealed: true, hosts: [host] });
  for (const name of ["decrypted", "kept"] as const) await setSecret(vault, stepvault.projectId, name, values[name]);
  ({ child, tell } = await startChild(stepvault.folder, host));
});

afterAll(async () => {
  await tell({ close: true });
  child.stdin!.end();
  await once(child, "exit");
  upstream.close();
  await stepvault.close();
});

async function startChild(folder: string, host: string): Promise<{ child: ChildProcess; tell: typeof tell }> {
  const script = path.join(import.meta.dirname, "memory-child.ts");
  const flags = ["--no-node-snapshot", "--clear-free-memory", script, folder, host];
  const started = spawn(process.execPath, flags, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface(started.stdout)[Symbol.asyncIterator]();
  const answer = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error("The child has ended");
    return JSON.parse(value) as unknown;
  };
  await answer();
  return {
    child: started,
    tell: async (command) => {
      started.stdin.write(`${JSON.stringify(command)}\n`);
      return await answer();
    },
  };
}

/** Which of the values are in the heap of the child. */
async function inHeap(name: string): Promise<string[]> {
  const file = path.join(stepvault.folder, `${name}.heapsnapshot`);
  await tell({ snapshot: file });
  const snapshot = readFileSync(file);
  // The search has seen a whole heap.
  expect(snapshot.length).toBeGreaterThan(10_000_000);
  return new ByteSearch(Object.entries(values).flatMap(([label, value]) => needlesOfText(value, label))).find(snapshot);
}

const steps: readonly [Language, string][] = [
  [
    "javascript",
    `console.log(<<secrets.readable>>, btoa(<<secrets.readable>>)); console.error({ v: <<secrets.readable>> });
     await (await fetch(params.url, { method: "POST", headers: { "x-api-key": <<secrets.sealed>> }, body: <<secrets.readable>> })).text();
     return [inputs.auth, <<secrets.readable>>]`,
  ],
  ["javascript", "throw new Error('with ' + <<secrets.readable>>)"],
  [
    "python",
    `import urllib.request
print(<<secrets.readable>>, [<<secrets.readable>>])
request = urllib.request.Request(params["url"], headers={"X-Api-Key": "<<secrets.sealed>>"}, data=b"1")
urllib.request.urlopen(request).read()
return {"v": <<secrets.readable>>, "auth": inputs["auth"]}`,
  ],
  ["python", "raise ValueError(<<secrets.readable>>)"],
];

/** Which of the values lie anywhere in what the child can write to, also where nothing refers to any more. */
async function inMemory(...names: (keyof typeof values)[]): Promise<string[]> {
  await tell({ collect: true });
  return names.filter((name) => {
    const { found, bytes } = searchMemory(child.pid!, [
      Buffer.from(values[name]),
      Buffer.from(values[name], "utf16le"),
    ]);
    expect(bytes).toBeGreaterThan(50_000_000);
    return found.length > 0;
  });
}

test("a value that was decrypted and let go of is nowhere in memory, and one that is kept is found", async () => {
  const { projectId } = stepvault;
  await tell({ use: { projectId, name: "decrypted" } });
  expect(await inMemory("decrypted")).toEqual([]);
  await tell({ keep: { projectId, name: "kept" } });
  expect(await inMemory("decrypted", "kept")).toEqual(["kept"]);
});

test("no value is in the worker's heap after its runs, but one that is kept", { timeout: 180_000 }, async () => {
  const url = `http://127.0.0.1:${upstream.port}/`;
  for (const [language, code] of steps) {
    const inputs = { auth: "Bearer <<secrets.readable>>" };
    const run: JobInput = { projectId: stepvault.projectId, step: { language, code, inputs }, params: { url } };
    const result = (await tell({ run })) as RunResult;
    expect(result.error?.code).toBe(/throw|raise/.test(code) ? "ERR_STEP_THREW" : undefined);
    expect(JSON.stringify(result)).toContain("[REDACTED:readable]");
  }
  const sent = upstream.take();
  expect(sent.map(({ headers }) => headers["x-api-key"])).toEqual([values.sealed, values.sealed]);
  await delay(logMs);
  expect(await inHeap("later")).toEqual(["kept"]);
});
