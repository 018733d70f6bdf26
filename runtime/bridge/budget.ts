/**
 * Counts what one run sends against its limits. The sandbox host counts to stop a step early; the worker counts the
 * same again, because a step may have taken the host over. Each method gives the error that ends the run, or undefined.
 */
import type { ErrorCode } from "../../protocol/error.ts";
import type { LimitName, Limits } from "../../protocol/limits.ts";
import type { GuestMessage, GuestRequest, HostError } from "./messages.ts";

const freeHeadBytes = 8 * 1024;

export class Budget {
  #limits: Limits;
  #used = { calls: 0, printBytes: 0, printLines: 0, logEntries: 0, logBytes: 0, requests: 0, uploadBytes: 0 };

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Any call but those that print or log, which have limits of their own. */
  call({ type }: GuestMessage): HostError | undefined {
    if (type === "print" || type === "log") return undefined;
    this.#used.calls += 1;
    return this.#check("ERR_LIMIT_BRIDGE_CALLS", this.#used.calls, "bridgeCallsMax", "bridge calls");
  }

  print(text: string): HostError | undefined {
    this.#used.printBytes += Buffer.byteLength(text);
    this.#used.printLines += countLines(text);
    return (
      this.#check("ERR_LIMIT_STDOUT", this.#used.printBytes, "stdoutBytesMax", "bytes printed") ??
      this.#check("ERR_LIMIT_STDOUT", this.#used.printLines, "stdoutLinesMax", "lines printed")
    );
  }

  log({ message, fields }: { message: string; fields?: unknown }): HostError | undefined {
    this.#used.logEntries += 1;
    this.#used.logBytes += Buffer.byteLength(message) + Buffer.byteLength(JSON.stringify(fields ?? null));
    return (
      this.#check("ERR_LIMIT_LOG", this.#used.logEntries, "logEntriesMax", "log entries") ??
      this.#check("ERR_LIMIT_LOG", this.#used.logBytes, "logBytesMax", "bytes of log entries")
    );
  }

  request({ body, url, headers }: GuestRequest): HostError | undefined {
    this.#used.requests += 1;
    const bytes = Math.floor(((body?.length ?? 0) * 3) / 4);
    const headBytes = headers.reduce((sum, [name, value]) => sum + name.length + value.length, url.length);
    // Small heads are free, so that the limit means bodies; large ones wait in memory like these.
    this.#used.uploadBytes += bytes + (headBytes > freeHeadBytes ? headBytes : 0);
    return (
      this.#check("ERR_LIMIT_REQUESTS", this.#used.requests, "requestsMax", "requests") ??
      this.#check("ERR_LIMIT_REQUEST_BYTES", bytes, "requestBytesMax", "bytes in a request body") ??
      this.#check("ERR_LIMIT_UPLOAD_BYTES", this.#used.uploadBytes, "uploadBytesMax", "bytes in request bodies")
    );
  }

  /** A signature counts as a request: it is one to the broker, and may cost as much. */
  sign(): HostError | undefined {
    this.#used.requests += 1;
    return this.#check("ERR_LIMIT_REQUESTS", this.#used.requests, "requestsMax", "requests");
  }

  timers(pending: number): HostError | undefined {
    return this.#check("ERR_LIMIT_TIMERS", pending, "timersMax", "pending timers");
  }

  output(text: string): HostError | undefined {
    return (
      this.#check("ERR_LIMIT_OUTPUT", Buffer.byteLength(text), "outputBytesMax", "bytes of output") ??
      this.#check("ERR_LIMIT_OUTPUT", depthOfJson(text), "outputDepthMax", "levels of nesting in the output")
    );
  }

  #check(code: ErrorCode, used: number, limit: LimitName, what: string): HostError | undefined {
    const allowed = this.#limits[limit];
    if (used <= allowed) return undefined;
    return { code, message: `Cannot go on: ${used} ${what}, at most ${allowed} are allowed (${limit})` };
  }
}

function countLines(text: string): number {
  let lines = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) lines += 1;
  return lines;
}

/** The deepest nesting of arrays and objects in a JSON text, without parsing it: a parser would recurse. */
function depthOfJson(text: string): number {
  let [depth, deepest] = [0, 0];
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[{\]}]/g)) {
    if (token === "[" || token === "{") deepest = Math.max(deepest, ++depth);
    else if (token === "]" || token === "}") depth -= 1;
  }
  return deepest;
}
