/**
 * Reads server-sent events as the HTML standard has them, out of bytes that may be cut anywhere. An event that its end did not
 * follow is dropped: it comes again. Holds no more than one event. Imports errors only.
 */
import { StepvaultClientError } from "./errors.ts";

export interface ServerSentEvent {
  /** `message` where the server names none. */
  readonly type: string;
  readonly data: string;
}

export interface ReadEventsOptions {
  /** Of one event. */
  readonly charactersMax: number;
  /** Told how long to wait before connecting again, when the server says so. */
  readonly onRetry: (timeMs: number) => void;
}

/** Throws ERR_CLIENT_ANSWER for an event that is too large, and what reading throws. */
export async function* readEvents(
  chunks: AsyncIterable<Uint8Array>,
  { charactersMax, onRetry }: ReadEventsOptions,
): AsyncGenerator<ServerSentEvent, void> {
  let [type, size] = ["", 0];
  let data: string[] = [];
  for await (const line of readLines(chunks, charactersMax)) {
    if (line === "") {
      if (data.length > 0) yield { type: type === "" ? "message" : type, data: data.join("\n") };
      [type, size] = ["", 0];
      data = [];
      continue;
    }
    size += line.length;
    if (size > charactersMax) throw tooLarge(charactersMax);
    const [, field = "", value = ""] = /^([^:]*)(?:: ?([^]*))?$/.exec(line) ?? [];
    if (field === "data") data.push(value);
    else if (field === "event") type = value;
    else if (field === "retry" && /^\d{1,9}$/.test(value)) onRetry(Number(value));
  }
}

/** Whole lines, each once its end has come: `\n`, `\r\n` or `\r`. */
async function* readLines(chunks: AsyncIterable<Uint8Array>, charactersMax: number): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  let begun: string[] = [];
  let size = 0;
  let afterReturn = false;
  for await (const chunk of chunks) {
    let text = decoder.decode(chunk, { stream: true });
    if (text === "") continue;
    if (afterReturn && text.startsWith("\n")) text = text.slice(1);
    afterReturn = text === "" ? false : text.endsWith("\r");
    const lines = text.split(/\r\n|\n|\r/);
    const rest = lines.pop() ?? "";
    for (const line of lines) {
      yield begun.length === 0 ? line : begun.join("") + line;
      begun = [];
      size = 0;
    }
    if (rest === "") continue;
    // What has no end yet is only searched once.
    begun.push(rest);
    size += rest.length;
    if (size > charactersMax) throw tooLarge(charactersMax);
  }
}

function tooLarge(charactersMax: number): StepvaultClientError {
  const why = `one of its events has more than ${charactersMax} characters`;
  return new StepvaultClientError("ERR_CLIENT_ANSWER", `Cannot read the stream: the answer cannot be used, ${why}`);
}
