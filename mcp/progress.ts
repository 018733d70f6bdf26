/**
 * A run's events as the client of a call is told of them: what the step prints and logs as log messages, and a line for each
 * event as progress when the client asked for that. So many and so long that no client drowns; the run's own log has all.
 * Throws nothing: a client that does not listen is no reason to end a run.
 */
import type { ServerContext } from "@modelcontextprotocol/server";
import type { Api } from "../client/client.ts";
import { plainLine, plainText } from "./plain-text.ts";

const messagesMax = 1_000;
const lineCharactersMax = 500;
const textCharactersMax = 10_000;

const levels = { debug: "debug", info: "info", warn: "warning", error: "error" } as const;
type Level = (typeof levels)[keyof typeof levels];

export class ProgressTeller {
  #context: ServerContext["mcpReq"];
  #tool: string;
  #messages = 0;

  constructor(context: ServerContext["mcpReq"], tool: string) {
    this.#context = context;
    this.#tool = tool;
  }

  async tell(event: Api.RunEvent): Promise<void> {
    const line = lineOf(event);
    if (line === undefined || this.#messages >= messagesMax) return;
    this.#messages += 1;
    const last = this.#messages === messagesMax;
    try {
      await this.#progress(last ? "…" : plainLine(line, lineCharactersMax));
      await this.#log(event, last);
    } catch {
      // The client is gone; its call ends by its signal.
    }
  }

  async #progress(message: string): Promise<void> {
    const progressToken = this.#context._meta?.progressToken;
    if (progressToken === undefined) return;
    const params = { progressToken, progress: this.#messages, message };
    await this.#context.notify({ method: "notifications/progress", params });
  }

  async #log(event: Api.RunEvent, last: boolean): Promise<void> {
    const say = async (level: Level, data: unknown): Promise<void> => {
      // The one way for a step's text to reach the client while it runs; the successor that is named goes to stderr only.
      // oxlint-disable-next-line typescript/no-deprecated
      await this.#context.log(level, data, this.#tool);
    };
    if (last) await say("warning", `Only the first ${messagesMax} messages of this run are shown`);
    else if (event.kind === "stdout") await say("info", plainText(event.text, textCharactersMax));
    else if (event.kind === "stderr") await say("warning", plainText(event.text, textCharactersMax));
    else if (event.kind === "log") {
      const fields = event.fields === undefined ? "" : ` ${JSON.stringify(event.fields)}`;
      await say(levels[event.level], plainText(`${event.message}${fields}`, textCharactersMax));
    }
  }
}

/** Undefined for what the call's own result tells. */
function lineOf(event: Api.RunEvent): string | undefined {
  switch (event.kind) {
    case "started":
      return event.attempt === undefined ? "started" : `started, attempt ${event.attempt}`;
    case "stdout":
    case "stderr":
      return event.text;
    case "log":
      return `${event.level}: ${event.message}`;
    case "request":
      return `${event.method} ${event.host}${event.path} ${event.status ?? "failed"}`;
    case "security":
      return `${event.action}: ${event.secrets.join(", ")} in ${event.method} ${event.host}`;
    case "retry":
      return `attempt ${event.attempt} failed: ${event.error.code}`;
    default:
      return undefined;
  }
}
