/**
 * Calls of tools: each is a run of the version that is published at that moment, with the arguments as its params. They are
 * data, in which no reference is resolved. A call that is given up ends its run. So many calls at once, arguments and outputs
 * of such a size, and no more. Rejects for nothing but a fault of ours: what fails is told as a result.
 */
import { randomUUID } from "node:crypto";
import type { CallToolResult } from "@modelcontextprotocol/server";
import type { Api, Client } from "../client/client.ts";
import { StepvaultError } from "../protocol/error.ts";
import { failureOf } from "./failure.ts";
import type { StepTool } from "./tools.ts";

export const callsAtOnceMax = 16;
export const argumentsBytesMax = 1_048_576;
/** A client takes messages of 10 MB, in which the output stands twice, once as text within text. */
const outputBytesMax = 1_048_576;

export interface Call {
  readonly tool: StepTool;
  readonly params: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
  readonly onEvent: (event: Api.RunEvent) => Promise<void>;
}

export class Calls {
  #client: Client;
  #note: (line: string) => void;
  #underWay = new Set<Promise<unknown>>();

  constructor(client: Client, note: (line: string) => void) {
    this.#client = client;
    this.#note = note;
  }

  async make(call: Call): Promise<CallToolResult> {
    if (this.#underWay.size >= callsAtOnceMax) {
      const why = `${this.#underWay.size} calls are under way, at most ${callsAtOnceMax} are allowed`;
      return failed(new StepvaultError("ERR_MCP_BUSY", `Cannot call the tool: ${why}`));
    }
    const making = this.#make(call);
    this.#underWay.add(making);
    try {
      return await making;
    } catch (error) {
      return failed(failureOf(error));
    } finally {
      this.#underWay.delete(making);
    }
  }

  /** When all calls have ended; they do once their signals say so. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }

  async #make({ tool, params, signal, onEvent }: Call): Promise<CallToolResult> {
    const bytes = Buffer.byteLength(JSON.stringify(params));
    if (bytes > argumentsBytesMax) {
      const why = `its arguments have ${bytes} bytes of JSON, at most ${argumentsBytesMax} are allowed`;
      throw new StepvaultError("ERR_LIMIT_PAYLOAD", `Cannot call the tool: ${why}`);
    }
    // Asked at each call: a step whose publication was taken back runs its newest draft when no version is named.
    const { publishedVersion } = await this.#client.steps.get(tool.stepId, { signal });
    if (publishedVersion === null)
      throw new StepvaultError("ERR_STEP_UNKNOWN", "Cannot call the tool: its step is not published any more");
    const runId = randomUUID();
    const step = { id: tool.stepId, version: publishedVersion };
    try {
      // Not given up halfway: a run of which nobody knows whether it is there could not be ended.
      await this.#client.runs.submit({ runId, step, params, labels: { tool: tool.name } });
      const stream = this.#client.runs.stream(runId, { signal });
      for await (const event of stream) await onEvent(event);
      return resultOf(await stream.result());
    } catch (error) {
      // Whoever called does not wait for it any more, for whatever reason.
      await this.#end(runId);
      throw error;
    }
  }

  async #end(runId: string): Promise<void> {
    try {
      await this.#client.runs.cancel(runId);
    } catch (error) {
      const { code } = failureOf(error);
      // It was never there.
      if (code !== "ERR_RUN_UNKNOWN") this.#note(`Cannot cancel the run ${runId}: ${code}`);
    }
  }
}

function resultOf({ runId, status, output = null, error }: Api.RunResult): CallToolResult {
  if (status !== "succeeded") {
    const { code = "ERR_INTERNAL", message = status, line, column } = error ?? {};
    const place = line === undefined ? "" : ` (line ${line}, column ${column})`;
    return toldError({ code, message: `${message}${place}`, runId });
  }
  const text = JSON.stringify(output);
  const bytes = Buffer.byteLength(text);
  if (bytes > outputBytesMax) {
    const why = `it has ${bytes} bytes, at most ${outputBytesMax} are allowed`;
    const known = new StepvaultError("ERR_MCP_OUTPUT", `Cannot give the output of the run ${runId}: ${why}`);
    return failed(known, runId);
  }
  return { content: [{ type: "text", text }], structuredContent: output, _meta: { runId } };
}

function failed({ code, message }: StepvaultError, runId?: string): CallToolResult {
  return toldError({ code, message, runId });
}

function toldError({ code, message, runId }: { code: string; message: string; runId?: string | undefined }) {
  return {
    content: [{ type: "text" as const, text: `${code}: ${message}` }],
    structuredContent: { error: { code, message } },
    isError: true,
    ...(runId === undefined ? {} : { _meta: { runId } }),
  };
}
