/** The example programs of docs/examples/ that add jobs or call steps as tools do what their pages say. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { type ApiService, openApiService } from "./helpers/api.ts";

const run = promisify(execFile);
const root = path.join(import.meta.dirname, "..");
const example = (name: string): string => path.join(root, "docs/examples", name);

let api: ApiService;
let folder: string;
let keyFile: string;

beforeAll(async () => {
  api = await openApiService({ STEPVAULT_REDIS_URL: inject("redisUrl") });
  folder = mkdtempSync(path.join(tmpdir(), "stepvault-examples-"));
  keyFile = path.join(folder, "key.txt");
  writeFileSync(keyFile, `${await api.key(["trigger", "read:runs"])}\n`, { mode: 0o600 });
  for (const [name, code, properties] of [
    ["Weather", "return { celsius: 20 }", { city: { type: "string" } }],
    ["To Fahrenheit", "return params.celsius * 9 / 5 + 32", { celsius: { type: "number" } }],
  ] as const) {
    const step = { language: "javascript", code };
    const body = { name, step, publish: true, description: name, paramsSchema: { type: "object", properties } };
    await api.ask(`${api.base}/steps`, { body });
  }
});
afterAll(async () => {
  await api?.close();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

/** The lines that an example prints, as JSON. */
async function linesOf(name: string, args: string[]): Promise<unknown[]> {
  const env = { PATH: process.env["PATH"] };
  const { stdout } = await run(process.execPath, [example(name), ...args], { env });
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
}

describe("examples for orchestrators", () => {
  test("a flow finds the outputs of the runs below it by their names", async () => {
    const [result] = await linesOf("flow-redis.ts", [inject("redisUrl"), "stepvault-us", api.projectId]);
    expect(result).toMatchObject({ status: "succeeded", output: 23 });
  });

  test("the one in Python is Python, and sends a job that Stepvault takes", async () => {
    const source = readFileSync(example("submit_redis.py"), "utf8");
    await run("python3", ["-c", "import ast, sys; ast.parse(sys.argv[1])", source]);
    // BullMQ's package for Python is not there; one that keeps what it is given stands in for it.
    const stand = `import sys, types, asyncio, json
kept = {}
class Queue:
    def __init__(self, name, opts): kept["queue"] = [name, opts]
    async def add(self, name, data, opts): kept["job"] = [name, data, opts]
    async def getJobState(self, id): return "completed"
    async def close(self): pass
class Job:
    failedReason = None
    returnvalue = None
    @staticmethod
    async def fromId(queue, id):
        job = Job(); job.returnvalue = kept; return job
module = types.ModuleType("bullmq"); module.Queue = Queue; module.Job = Job
sys.modules["bullmq"] = module
sys.argv = ["submit_redis.py", "redis://127.0.0.1:1", "stepvault-us", "${api.projectId}"]
import runpy
runpy.run_path(${JSON.stringify(example("submit_redis.py"))}, run_name="__main__")`;
    const { stdout } = await run("python3", ["-c", stand]);
    const { queue, job } = JSON.parse(stdout) as { queue: unknown; job: [string, Record<string, unknown>, object] };
    expect(queue).toEqual(["stepvault-us", { connection: "redis://127.0.0.1:1" }]);
    const [name, { projectId: _projectId, ...body }, options] = job;
    expect([name, options]).toEqual(["step", expect.objectContaining({ jobId: body["runId"] })]);
    const { status, body: answer } = await api.ask(`${api.base}/runs?wait=60`, { body });
    expect([status, (answer as { result: { output: unknown } }).result.output]).toEqual([200, { city: "Bern" }]);
  });

  test("docs/jobs.md holds the flow and the program in Python as they are", () => {
    const page = readFileSync(path.join(root, "docs/jobs.md"), "utf8");
    expect(page).toContain(`\`\`\`ts\n${readFileSync(example("flow-redis.ts"), "utf8")}\`\`\``);
    expect(page).toContain(`\`\`\`python\n${readFileSync(example("submit_redis.py"), "utf8")}\`\`\``);
  });
});

describe("examples of an agent loop", () => {
  test("one with a pretended model calls steps as tools and answers by their outputs", async () => {
    const lines = await linesOf("agent-loop.ts", [api.api.address, api.projectId, keyFile, "How warm is Bern?"]);
    expect(lines).toEqual([
      { from: "user", text: "How warm is Bern?" },
      { from: "tool", tool: "Weather", output: { celsius: 20 } },
      { from: "tool", tool: "To Fahrenheit", output: 68 },
      { from: "model", text: "It is 68 °F." },
    ]);
  });

  test("one with openai's package does so with a model behind HTTP", async () => {
    const { server, url, asked } = await startModel();
    onTestFinished(() => void server.close());
    const modelKeyFile = path.join(folder, "model.txt");
    writeFileSync(modelKeyFile, "a-key-for-the-model\n", { mode: 0o600 });
    const place = [api.api.address, api.projectId, keyFile];
    const [last] = await linesOf("agent-loop-openai.ts", [
      ...place,
      url,
      "pretended",
      modelKeyFile,
      "How warm is Bern?",
    ]);
    expect(last).toMatchObject({ role: "assistant", content: "It is 68 °F." });
    expect(asked.map(({ tools }) => tools.map((tool) => tool.function.name.replace(/_[0-9a-f]{8}$/, "")))).toEqual(
      Array.from({ length: 3 }, () => ["Weather", "To_Fahrenheit"]),
    );
    expect(asked[2]?.messages.filter(({ role }) => role === "tool").map(({ content }) => content)).toEqual([
      '{"celsius":20}',
      '{"error":"no such tool"}',
      "68",
    ]);
  });
});

interface Asked {
  readonly messages: { role: string; content: string }[];
  readonly tools: { function: { name: string } }[];
}

/** A server that speaks chat completions and always decides the same. */
async function startModel(): Promise<{ server: Server; url: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    void answer(request).then((message) => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ id: "1", object: "chat.completion", choices: [{ index: 0, message }] }));
    });
  });
  async function answer(request: IncomingMessage): Promise<object> {
    const body = JSON.parse(await text(request)) as Asked;
    asked.push(body);
    const call = (name: string, args: object): object => ({
      id: `call-${name}`,
      type: "function",
      function: {
        name: body.tools.find((tool) => tool.function.name.startsWith(name))?.function.name ?? name,
        arguments: JSON.stringify(args),
      },
    });
    const calls = [[call("Weather", { city: "Bern" }), call("none", {})], [call("To_Fahrenheit", { celsius: 20 })]][
      asked.length - 1
    ];
    if (calls !== undefined) return { role: "assistant", content: null, tool_calls: calls };
    return { role: "assistant", content: `It is ${body.messages.at(-1)?.content} °F.` };
  }
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, asked };
}
