/**
 * The client library's bundle in Deno and Bun themselves, where they are installed. Goal: it submits a run and follows it over
 * a break there as it does in Node. Method: esbuild's bundle in a folder of its own, a real server on loopback; the key goes in
 * through standard input. Without `deno` or `bun` on the PATH these tests are skipped, and say so.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { begin, eventOf, finishedOf } from "./events.ts";
import { agentId, json, project, serverKey, startServer } from "./server.ts";

const program = `
import { createClient, Client } from "./client.mjs";
let text = "";
const decoder = new TextDecoder();
for await (const chunk of globalThis.Deno ? Deno.stdin.readable : Bun.stdin.stream()) text += decoder.decode(chunk);
const { apiKey, project, baseUrl, agentId } = JSON.parse(text);
const client = createClient({ apiKey, region: "eu", project, baseUrl });
const stream = client.runs.stream({ step: { id: agentId } });
const seen = [];
for await (const { seq } of stream) seen.push(seq);
const { status } = await stream.result();
const refused = await client.request({ path: "//evil.example/x" }).catch(({ code }) => code);
const redirected = await client.request({ path: "/v1/redirect" }).catch(({ code }) => code);
console.log(client, Client.default() === client, stream);
console.log(JSON.stringify({ seen, status, refused, redirected, shown: String(client) + JSON.stringify(client) }));
`;

let folder = "";
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "stepvault-runtimes-"));
  await build({
    entryPoints: [fileURLToPath(new URL("../../client/client.ts", import.meta.url))],
    bundle: true,
    minify: true,
    platform: "browser",
    target: "es2022",
    format: "esm",
    outfile: path.join(folder, "client.mjs"),
  });
  writeFileSync(path.join(folder, "program.mjs"), program);
});
afterAll(() => rmSync(folder, { recursive: true }));

async function run(command: string, args: readonly string[], input: string): Promise<string> {
  const child = spawn(command, [...args, path.join(folder, "program.mjs")], {
    cwd: folder,
    env: { PATH: process.env["PATH"], HOME: folder, DENO_NO_UPDATE_CHECK: "1" },
    stdio: ["pipe", "pipe", "pipe"],
    timeout: 30_000,
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stdin.end(input);
  await new Promise((resolve) => child.on("close", resolve));
  return output;
}

describe("the client's bundle", () => {
  for (const [command, args] of [
    ["deno", ["run", "--allow-net=127.0.0.1", "--no-prompt"]],
    ["bun", ["run"]],
  ] as const) {
    test(`submits and follows a run in ${command}`, async ({ skip }) => {
      const missing = spawnSync(command, ["--version"], { stdio: "ignore" }).error !== undefined;
      skip(missing, `${command} is not installed; with "npm i --no-save ${command}" in a folder of its own it can be`);
      const thief = await startServer();
      let runId = "";
      const server = await startServer((response, _, { method, url, headers, body }) => {
        if (url === "/v1/redirect") return response.writeHead(307, { location: thief.url }).end();
        if (method === "POST") {
          runId = (JSON.parse(body) as { runId: string }).runId;
          return json(response, { runId, result: null }, 202);
        }
        if (!url.endsWith("/stream")) return json(response, { result: { runId, status: "succeeded" } });
        const events = [
          { ...eventOf(0), runId },
          { ...finishedOf(1), runId },
        ];
        if (headers["last-event-id"] === undefined) return begin(response, events.slice(0, 1)).end();
        return begin(response, events.slice(1));
      });
      const output = await run(
        command,
        args,
        JSON.stringify({ apiKey: serverKey, project, baseUrl: server.url, agentId }),
      );
      expect(JSON.parse(output.trim().split("\n").at(-1) ?? "")).toMatchObject({
        seen: [0, 1],
        status: "succeeded",
        refused: "ERR_CLIENT_REQUEST",
        redirected: "ERR_CLIENT_REDIRECT",
      });
      expect([output.includes(serverKey.slice(6, -6)), thief.arrived]).toEqual([false, []]);
    });
  }
});
