/**
 * The MCP server over stdio: a project's published steps as tools, by the official SDK, for clients of its present protocol and
 * of the one before. Nothing but MCP goes to stdout. Ends when the client does, and its calls with it. Knows the API by the
 * client library alone: no vault, no queue, no database.
 */
import type { Readable, Writable } from "node:stream";
import { ProtocolError, ProtocolErrorCode, Server, type Tool } from "@modelcontextprotocol/server";
import { serveStdio, StdioServerTransport } from "@modelcontextprotocol/server/stdio";
import type { Client } from "../client/client.ts";
import { Calls } from "./calls.ts";
import { Catalog } from "./catalog.ts";
import { plainLine } from "./plain-text.ts";
import { ProgressTeller } from "./progress.ts";
import type { StepTool } from "./tools.ts";

export interface McpOptions {
  readonly client: Client;
  readonly version: string;
  /** How often the project's steps are looked at. */
  readonly refreshMs: number;
  /** A line for whoever looks after this process, who reads stderr. */
  readonly note: (line: string) => void;
  readonly input?: Readable;
  readonly output?: Writable;
  /** Ends it as the client's going does. */
  readonly signal?: AbortSignal;
}

/** More than the arguments of a call may have. A message that is larger ends the connection: no part of it is read. */
const messageBytesMax = 4 * 1_024 * 1_024;
const pageBytesMax = 1_048_576;
/** For cancelling the runs that nobody waits for any more. */
const endingMsMax = 10_000;

const instructions =
  "Each tool is a step that somebody of the project wrote and published. A call runs it in a sandbox and gives its output, " +
  "in which values of secrets are replaced by [REDACTED:name].";

/** Serves until the client has gone. Throws what reading the steps for the first time throws. */
export async function serveMcp({ client, version, refreshMs, note, input, output, signal }: McpOptions): Promise<void> {
  const calls = new Calls(client, note);
  const servers = new Set<Server>();
  const onChange = (): void => {
    // One that is not connected, or whose client did not ask to be told, is not told.
    for (const server of servers) server.sendToolListChanged().catch(() => undefined);
  };
  const catalog = new Catalog(client, { refreshMs, note, onChange });
  await catalog.start();
  try {
    await new Promise<void>((resolve) => {
      const wire = new StdioServerTransport(input, output, { maxBufferSize: messageBytesMax });
      const handle = serveStdio(
        () => {
          const server = createServer({ version, catalog, calls });
          servers.add(server);
          server.onclose = () => void servers.delete(server);
          return server;
        },
        { transport: wire, onerror: ({ message }) => note(`MCP: ${plainLine(message, 300)}`) },
      );
      const closed = wire.onclose;
      wire.onclose = () => {
        closed?.();
        resolve();
      };
      const end = (): void => void handle.close().finally(resolve);
      if (signal?.aborted === true) end();
      else signal?.addEventListener("abort", end, { once: true });
    });
  } finally {
    catalog.close();
    await Promise.race([calls.settled(), new Promise((resolve) => setTimeout(resolve, endingMsMax).unref())]);
  }
}

interface Parts {
  readonly version: string;
  readonly catalog: Catalog;
  readonly calls: Calls;
}

function createServer({ version, catalog, calls }: Parts): Server {
  const server = new Server(
    { name: "stepvault", title: "Stepvault", version },
    { capabilities: { tools: { listChanged: true }, logging: {} }, instructions },
  );
  server.setRequestHandler("tools/list", ({ params }) => listPage(catalog.tools, params?.cursor));
  server.setRequestHandler("tools/call", async ({ params }, { mcpReq }) => {
    const tool = catalog.find(params.name);
    if (tool === undefined)
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, "Cannot call the tool: there is none");
    const teller = new ProgressTeller(mcpReq, tool.name);
    const result = await calls.make({
      tool,
      params: params.arguments ?? {},
      signal: mcpReq.signal,
      onEvent: async (event) => await teller.tell(event),
    });
    return server.projectCallToolResult(result, undefined);
  });
  return server;
}

/** The tools behind the one with that step's id, as many as one message should hold. */
function listPage(tools: readonly StepTool[], cursor = ""): { tools: Tool[]; nextCursor?: string } {
  const rest = tools.filter(({ stepId }) => stepId > cursor);
  const page: StepTool[] = [];
  let bytes = 0;
  for (const tool of rest) {
    bytes += Buffer.byteLength(JSON.stringify(tool));
    if (page.length > 0 && bytes > pageBytesMax) break;
    page.push(tool);
  }
  const shown = page.map(({ stepId: _stepId, ...tool }) => tool as Tool);
  return page.length < rest.length ? { tools: shown, nextCursor: page.at(-1)!.stepId } : { tools: shown };
}
