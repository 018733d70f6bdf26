/** `stepvault mcp` as a child process, with the official client at its other end, for tests. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Client, type ClientOptions, type VersionNegotiationMode } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

import type { ApiService } from "../helpers/api.ts";

const main = path.join(import.meta.dirname, "../../cli/main.ts");

export interface Place {
  readonly url: string;
  readonly projectId: string;
  readonly key: string;
}

export interface McpClient {
  readonly client: Client;
  /** What the server has written for those who look after it. */
  stderr(): string;
  close(): Promise<void>;
}

/** The arguments that start it, and what takes the key's file away. */
function mcpCommandOf({ url, projectId, key }: Place): { args: string[]; file: string; forget: () => void } {
  const folder = mkdtempSync(path.join(tmpdir(), "stepvault-mcp-"));
  const file = path.join(folder, "key.txt");
  writeFileSync(file, `${key}\n`);
  chmodSync(file, 0o600);
  const args = [main, "mcp", "--url", url, "--project", projectId, "--key-file", file, "--refresh", "1"];
  return { args, file, forget: () => rmSync(folder, { recursive: true, force: true }) };
}

/** `legacy` is the protocol of 2025, which most clients speak; `auto` takes the newest that both know. */
export async function openMcp(
  place: Place,
  { mode = "legacy", ...options }: ClientOptions & { mode?: VersionNegotiationMode } = {},
): Promise<McpClient> {
  const { args, forget } = mcpCommandOf(place);
  const env = { PATH: process.env["PATH"] ?? "" };
  const transport = new StdioClientTransport({ command: process.execPath, args, env, stderr: "pipe" });
  let stderr = "";
  transport.stderr?.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const client = new Client({ name: "tests", version: "1" }, { versionNegotiation: { mode }, ...options });
  await client.connect(transport);
  return {
    client,
    stderr: () => stderr,
    async close() {
      await client.close();
      forget();
    },
  };
}

export interface RawMcp {
  readonly child: ChildProcess;
  /** Whole lines of stdout so far, as JSON. */
  readonly messages: Record<string, unknown>[];
  send(text: string): void;
  /** The answer to the request with this id. */
  answer(id: number): Promise<Record<string, unknown>>;
  /** Ends its stdin; gives its exit code and what it wrote on stderr. */
  end(): Promise<{ code: number | null; stderr: string }>;
}

/** The same without the client, for what no client would send. Every line of stdout must be JSON. */
export function openRawMcp(place: Place): RawMcp {
  const { args, forget } = mcpCommandOf(place);
  const child = spawn(process.execPath, args, { env: { PATH: process.env["PATH"] ?? "" } });
  const messages: Record<string, unknown>[] = [];
  let [partial, stderr] = ["", ""];
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const lines = (partial + text).split("\n");
    partial = lines.pop() ?? "";
    messages.push(...lines.map((line) => JSON.parse(line) as Record<string, unknown>));
  });
  child.stdin.on("error", () => {});
  const closed = once(child, "close");
  return {
    child,
    messages,
    send: (text) => void child.stdin.write(`${text}\n`),
    async answer(id) {
      for (const end = Date.now() + 45_000; Date.now() < end;) {
        const found = messages.find((message) => message["id"] === id);
        if (found !== undefined) return found;
        if (child.exitCode !== null) break;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      throw new Error(`no answer to the request ${id}: ${stderr}`);
    },
    async end() {
      child.stdin.end();
      const [code] = (await closed) as [number | null];
      forget();
      return { code, stderr };
    },
  };
}

export interface StepToPublish {
  readonly name: string;
  readonly code: string;
  readonly language?: string;
  readonly description?: string;
  readonly paramsSchema?: object;
  readonly publish?: boolean;
  readonly limits?: object;
}

/** Gives the step's id. */
export async function publishStep(
  api: ApiService,
  { code, language = "javascript", limits, ...step }: StepToPublish,
): Promise<string> {
  const body = { publish: true, ...step, step: { language, code, limits } };
  const { status, body: saved } = await api.ask(`${api.base}/steps`, { body });
  if (status !== 201) throw new Error(`the step was not saved: ${JSON.stringify(saved)}`);
  return (saved as { id: string }).id;
}

/** The first message of a client of 2025. */
export const initialize = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "raw", version: "1" } },
});
