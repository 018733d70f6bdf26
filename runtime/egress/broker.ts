/**
 * The only way out of a sandbox: sends a step's requests from the worker, over undici. Each hop, redirects included, is
 * checked against the step's policy and its address is resolved once, checked and pinned. Holds no cookies and no
 * connection beyond one request, so that nothing passes from one run to another.
 */
import { isIP } from "node:net";
import { Agent, fetch as undiciFetch, Headers, type Response } from "undici";
import type { EgressSettings } from "../../protocol/config.ts";
import { StepvaultError } from "../../protocol/error.ts";
import type { NetworkPolicy, RequestRecord } from "../../protocol/job.ts";
import type { Limits } from "../../protocol/limits.ts";
import { portOf } from "../../protocol/network.ts";
import type { GuestRequest, GuestResponse } from "../bridge/messages.ts";
import { pinAddress, resolveName } from "./address.ts";
import { checkPolicy } from "./policy.ts";

const redirectsMax = 10;
const timedOut = "it timed out";
const connectTimeMsMax = 10_000;
const silentTimeMsMax = 60_000;
const headerBytesMax = 65_536;

/** Set by the broker or meaningless end to end: a step that sends one of them does not get it through. */
const brokerHeaders = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

const bodyHeaders = new Set(["content-encoding", "content-length"]);

/** Dropped when a redirect leaves the origin that they were meant for. */
const originHeaders = ["authorization", "cookie", "proxy-authorization"];

export interface EgressOptions extends EgressSettings {
  readonly policy: NetworkPolicy;
  readonly limits: Limits;
}

export interface SendOptions {
  readonly signal: AbortSignal;
  /** Told of each hop, also of one that failed. */
  readonly onRecord: (record: RequestRecord) => void;
}

interface Hop {
  url: URL;
  method: string;
  headers: Headers;
  body: Buffer | undefined;
}

interface Answer {
  response: Response;
  body: Buffer;
}

/** One run's way out. */
export class EgressBroker {
  #options: EgressOptions;
  #closed = new AbortController();

  constructor(options: EgressOptions) {
    this.#options = options;
  }

  /** Sends one request. Throws ERR_EGRESS_REFUSED, ERR_EGRESS_FAILED or ERR_LIMIT_RESPONSE_BYTES. */
  async request(asked: GuestRequest, { signal, onRecord }: SendOptions): Promise<GuestResponse> {
    const signals = [signal, this.#closed.signal];
    if (asked.timeoutMs !== undefined) signals.push(AbortSignal.timeout(Math.ceil(asked.timeoutMs)));
    const options = { signal: AbortSignal.any(signals), onRecord };
    let hop = firstHop(asked);
    for (let redirects = 0; redirects <= redirectsMax; redirects++) {
      const { answer, next } = await this.#follow(hop, asked.redirect, options);
      if (next === undefined) return toGuestResponse(hop.url, answer, redirects > 0);
      hop = next;
    }
    throw failed(hop.url, `more than ${redirectsMax} redirects`);
  }

  /** Aborts what is under way; the run is over. */
  close(): void {
    this.#closed.abort();
  }

  /** One hop, and where it leads; each leaves a record, also one that is refused or fails. */
  async #follow(
    hop: Hop,
    redirect: GuestRequest["redirect"],
    { signal, onRecord }: SendOptions,
  ): Promise<{ answer: Answer; next: Hop | undefined }> {
    const { url, method } = hop;
    const startedAt = performance.now();
    const record: RequestRecord = {
      method,
      host: url.host,
      path: url.pathname + url.search,
      rule: null,
      status: null,
      bytes: 0,
      ms: 0,
    };
    let agent: Agent | undefined;
    try {
      const rule = checkPolicy(this.#options.policy, method, url);
      agent = await this.#connectTo(url);
      record.rule = rule;
      const answer = await this.#sendHop(hop, { dispatcher: agent, signal, record });
      const next = redirect === "manual" ? undefined : nextHop(hop, answer.response);
      if (next !== undefined && redirect === "error")
        throw failed(url, "it redirects, and the request asks for an error then");
      return { answer, next };
    } finally {
      record.ms = Math.round(performance.now() - startedAt);
      onRecord(record);
      await agent?.destroy();
    }
  }

  async #connectTo(url: URL): Promise<Agent> {
    const { open, nameServers } = this.#options;
    const own = await this.#ownAddresses(portOf(url));
    const pinned = await pinAddress(url.hostname, {
      allowPrivate: open.includes(`${url.hostname}:${portOf(url)}`),
      nameServers,
      isOwn: (address) => own.has(address),
    });
    return new Agent({
      connect: {
        timeout: connectTimeMsMax,
        lookup: (_hostname, lookupOptions, callback) => {
          if (lookupOptions.all) callback(null, [pinned]);
          else callback(null, pinned.address, pinned.family);
        },
      },
      headersTimeout: silentTimeMsMax,
      bodyTimeout: silentTimeMsMax,
      maxHeaderSize: headerBytesMax,
    });
  }

  async #sendHop(
    { url, method, headers, body }: Hop,
    { dispatcher, signal, record }: { dispatcher: Agent; signal: AbortSignal; record: RequestRecord },
  ): Promise<Answer> {
    try {
      const sent = { method, headers, body: body ?? null, redirect: "manual", dispatcher, signal } as const;
      const response = await undiciFetch(url, sent);
      record.status = response.status;
      const received = await this.#readBody(response, url);
      record.bytes = received.length;
      return { response, body: received };
    } catch (error) {
      throw error instanceof StepvaultError ? error : failed(url, describeFailure(error));
    }
  }

  /** Addresses of those of the deployment's own servers that listen on this port, as this machine reaches them. */
  async #ownAddresses(port: number): Promise<ReadonlySet<string>> {
    const { own } = this.#options;
    const hosts = own.flatMap((pair) => {
      const url = URL.parse(`http://${pair}/`);
      return url !== null && portOf(url) === port ? [url.hostname.replace(/^\[(.*)\]$/, "$1")] : [];
    });
    // A name that does not resolve now is no reason to refuse what the step asks for.
    const found = await Promise.all(
      hosts.map(async (host) => (isIP(host) ? [host] : await resolveName(host, []).catch(() => []))),
    );
    return new Set(found.flat());
  }

  async #readBody(response: Response, url: URL): Promise<Buffer> {
    const { responseBytesMax } = this.#options.limits;
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > responseBytesMax) {
        throw new StepvaultError(
          "ERR_LIMIT_RESPONSE_BYTES",
          `Cannot read the response of ${url.host}: more than ${responseBytesMax} bytes (responseBytesMax)`,
        );
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }
}

function firstHop(asked: GuestRequest): Hop {
  const url = URL.parse(asked.url);
  if (url === null) throw new StepvaultError("ERR_EGRESS_FAILED", "Cannot send the request: its URL does not parse");
  const headers = new Headers();
  try {
    for (const [name, value] of asked.headers) if (!brokerHeaders.has(name.toLowerCase())) headers.append(name, value);
  } catch {
    throw failed(url, "a header has a name or value that HTTP does not allow");
  }
  return {
    url,
    method: asked.method,
    headers,
    body: asked.body === undefined ? undefined : Buffer.from(asked.body, "base64"),
  };
}

/** Where a redirect leads, as the fetch standard has it; undefined when the response is not a redirect. */
function nextHop(hop: Hop, response: Response): Hop | undefined {
  const location = response.headers.get("location");
  if (![301, 302, 303, 307, 308].includes(response.status) || location === null) return undefined;
  const url = URL.parse(location, hop.url);
  if (url === null) throw failed(hop.url, "it redirects to a URL that does not parse");
  const headers = new Headers(hop.headers);
  if (url.origin !== hop.url.origin) for (const name of originHeaders) headers.delete(name);
  const becomesGet =
    (response.status === 303 && hop.method !== "GET" && hop.method !== "HEAD") ||
    ([301, 302].includes(response.status) && hop.method === "POST");
  if (!becomesGet) return { ...hop, url, headers };
  for (const name of ["content-type", "content-encoding", "content-language", "content-location"]) headers.delete(name);
  return { url, method: "GET", headers, body: undefined };
}

function toGuestResponse(url: URL, { response, body }: Answer, redirected: boolean): GuestResponse {
  const { status, statusText } = response;
  // The body has been decompressed, so these no longer describe it.
  const described = [...response.headers].filter(
    ([name]) => !(response.headers.has("content-encoding") && bodyHeaders.has(name)),
  );
  return {
    url: url.href,
    status,
    statusText,
    headers: described,
    body: body.toString("base64"),
    redirected,
  };
}

function failed(url: URL, reason: string): StepvaultError {
  return new StepvaultError("ERR_EGRESS_FAILED", `Cannot complete the request to ${url.host}: ${reason}`);
}

/** The kind of failure, by its code: undici's own messages may quote what was sent. */
function describeFailure(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = (cause as { code?: unknown } | undefined)?.code;
  if (error instanceof Error && error.name === "AbortError") return "it was aborted";
  if (error instanceof Error && error.name === "TimeoutError") return timedOut;
  return typeof code === "string" && /^[A-Z0-9_]{1,60}$/.test(code) ? code : "the connection or the protocol failed";
}
