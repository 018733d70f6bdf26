/**
 * `fetch` with Request and Response: the request goes over the bridge to the egress broker, which decides whether it may
 * leave; the answer comes back in parts, as many as the step reads. Runs inside the isolate.
 */
import { installBlob } from "./blob.ts";
import { copyBody, GuestBody, takeBytes } from "./body.ts";
import { failRun, type GuestLimits, jsonStringify, onHostEvent, send } from "./bridge.ts";
import { decodeBase64, encodeBase64 } from "./encoding.ts";
import { callSite } from "./error.ts";
import { GuestAbortSignal, installEvents, onAbort } from "./events.ts";
import { installForm } from "./form.ts";
import { exposeGlobal } from "./globals.ts";
import { GuestHeaders, installHeaders } from "./headers.ts";
import { IncomingBody } from "./incoming.ts";
import { contentsOf } from "./inspect.ts";
import { type GuestReadableStream, installStreams } from "./streams.ts";
import { parseHref } from "./url.ts";

interface ResponseHead {
  url: string;
  status: number;
  statusText: string;
  headers: [string, string][];
  redirected: boolean;
}

/** One part of an answer: the first with the head, the last ended, perhaps by an error. */
interface ResponseEvent {
  id: number;
  head?: ResponseHead;
  data?: string;
  ended: boolean;
  error?: { code: string; message: string };
}

interface ResponseInit {
  status?: unknown;
  statusText?: unknown;
  headers?: unknown;
}

/** Statuses whose answers have no body. */
const bodilessStatuses = new Set([101, 103, 204, 205, 304]);

let fromBroker: (head: ResponseHead, body: Uint8Array | GuestReadableStream) => GuestResponse;

class GuestResponse extends GuestBody {
  readonly headers: GuestHeaders;
  readonly status: number;
  readonly statusText: string;
  #url = "";
  #redirected = false;
  #type = "default";

  constructor(body: unknown = null, init: ResponseInit = {}) {
    const status = Number(init.status ?? 200);
    if (!(status >= 200 && status <= 599)) throw new RangeError("The status of a response must be from 200 to 599");
    if (body !== null && bodilessStatuses.has(status))
      throw new TypeError(`A response of status ${status} has no body`);
    const headers = new GuestHeaders(init.headers ?? {});
    super(body, headers);
    this.headers = headers;
    this.status = Math.trunc(status);
    this.statusText = String(init.statusText ?? "");
  }
  get ok(): boolean {
    return this.status >= 200 && this.status <= 299;
  }
  get url(): string {
    return this.#url;
  }
  get redirected(): boolean {
    return this.#redirected;
  }
  get type(): string {
    return this.#type;
  }
  clone(): GuestResponse {
    const { status, statusText, headers } = this;
    const body = copyBody(this);
    const copy = new GuestResponse(body, { status: status === 0 ? 200 : status, statusText, headers });
    return GuestResponse.#adopt(copy, { status, url: this.#url, redirected: this.#redirected, type: this.#type });
  }
  static json(value: unknown, init: ResponseInit = {}): GuestResponse {
    const text = jsonStringify(value) as string | undefined;
    if (text === undefined) throw new TypeError("The value cannot be JSON");
    const headers = new GuestHeaders(init.headers ?? {});
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    return new GuestResponse(text, { ...init, headers });
  }
  static error(): GuestResponse {
    return GuestResponse.#adopt(new GuestResponse(), { status: 0, url: "", redirected: false, type: "error" });
  }
  static redirect(url: unknown, status: unknown = 302): GuestResponse {
    if (![301, 302, 303, 307, 308].includes(Number(status)))
      throw new RangeError("The status of a redirect must be one");
    return new GuestResponse(null, { status, headers: { location: parseHref(url) } });
  }
  static #adopt(
    response: GuestResponse,
    { status, url, redirected, type }: { status: number; url: string; redirected: boolean; type: string },
  ): GuestResponse {
    Object.defineProperty(response, "status", { value: status, enumerable: true });
    response.#url = url;
    response.#redirected = redirected;
    response.#type = type;
    return response;
  }
  static {
    fromBroker = ({ url, status, statusText, headers, redirected }, body) => {
      // What the network sends is taken as it is, where a constructor would be strict.
      const content = bodilessStatuses.has(status) || status < 200 ? null : body;
      const response = new GuestResponse(content, { statusText, headers });
      return GuestResponse.#adopt(response, { status, url, redirected, type: "basic" });
    };
  }
  [contentsOf](): object {
    const { status, statusText, headers, bodyUsed, ok, redirected, type, url } = this;
    return { status, statusText, headers, bodyUsed, ok, redirected, type, url };
  }
}

interface RequestInit {
  duplex?: unknown;
  method?: unknown;
  headers?: unknown;
  body?: unknown;
  redirect?: unknown;
  signal?: GuestAbortSignal | null;
}

/** A request as `fetch` takes it: a URL or another request, with what the init changes. */
class GuestRequest extends GuestBody {
  readonly headers: GuestHeaders;
  readonly url: string;
  readonly method: string;
  readonly redirect: string;
  readonly signal: GuestAbortSignal;
  readonly duplex = "half";
  readonly mode = "cors";
  readonly credentials = "omit";
  readonly cache = "default";

  constructor(input: unknown, init: RequestInit = {}) {
    const from = input instanceof GuestRequest ? input : undefined;
    const method = toMethod(init.method ?? from?.method ?? "GET");
    const headers = new GuestHeaders(init.headers ?? from?.headers ?? {});
    // A stream must come with it in other places, so libraries see whether it is looked at. Bodies are sent whole here.
    if (init.duplex !== undefined && init.duplex !== "half")
      throw new TypeError('The duplex of a request must be "half"');
    const body = init.body ?? (from === undefined ? null : copyBody(from));
    if (body !== null && body !== undefined && /^(GET|HEAD)$/.test(method)) {
      throw new TypeError(`A ${method} request cannot have a body`);
    }
    super(body, headers);
    this.headers = headers;
    this.url = from?.url ?? parseHref(input);
    this.method = method;
    const redirect = init.redirect ?? from?.redirect;
    this.redirect = redirect === "error" || redirect === "manual" ? redirect : "follow";
    this.signal = init.signal ?? from?.signal ?? new GuestAbortSignal();
  }
  clone(): GuestRequest {
    return new GuestRequest(this);
  }
}

function toMethod(method: unknown): string {
  const text = String(method);
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/.test(text))
    throw new TypeError("The method of the request is not one of HTTP");
  // The methods that the fetch standard writes in capitals whatever the case they come in.
  return /^(get|head|post|put|delete|options)$/i.test(text) ? text.toUpperCase() : text;
}

interface Pending {
  resolve(response: GuestResponse): void;
  reject(error: unknown): void;
  readonly site: string[];
  /** The request is over: its signal need not be watched any more. */
  unwatch(): void;
}

export function installFetch(limits: GuestLimits): void {
  /** Requests whose response has not begun, and bodies that have not ended. */
  const pending = new Map<number, Pending>();
  const incoming = new Map<number, IncomingBody>();
  let lastRequestId = 0;

  const begin = (id: number, head: ResponseHead, ended: boolean, data: Uint8Array): void => {
    const waiting = pending.get(id);
    pending.delete(id);
    if (waiting === undefined) return;
    if (ended) {
      waiting.unwatch();
      return waiting.resolve(fromBroker(head, data));
    }
    const body = new IncomingBody(id, waiting.site, () => {
      incoming.delete(id);
      waiting.unwatch();
    });
    incoming.set(id, body);
    body.add(data);
    waiting.resolve(fromBroker(head, body.stream));
  };

  onHostEvent("response", ({ id, head, data = "", ended, error }: ResponseEvent) => {
    const bytes = decodeBase64(data) ?? new Uint8Array(0);
    if (head !== undefined && error === undefined) return begin(id, head, ended, bytes);
    const body = incoming.get(id);
    const waiting = pending.get(id);
    body?.add(bytes);
    if (!ended) return;
    pending.delete(id);
    waiting?.unwatch();
    if (error === undefined) return body?.end();
    waiting?.reject(requestError(error, waiting.site));
    body?.fail(requestError(error, body.site));
  });

  const start = async (request: GuestRequest, site: string[]): Promise<GuestResponse> => {
    const { url, method, headers, redirect, signal } = request;
    signal.throwIfAborted();
    const bytes = await takeBytes(request);
    if (bytes !== undefined && bytes.length > limits.requestBytesMax) {
      failRun(
        "ERR_LIMIT_REQUEST_BYTES",
        `Cannot send a body of ${bytes.length} bytes: at most ${limits.requestBytesMax} are allowed`,
      );
    }
    const body = bytes === undefined ? {} : { body: encodeBase64(bytes) };
    const id = ++lastRequestId;
    return await new Promise((resolve, reject) => {
      send({ type: "request", id, request: { method, url, headers: [...headers], redirect, ...body } });
      const unwatch = onAbort(signal, () => {
        pending.delete(id);
        send({ type: "abort", id });
        reject(signal.reason);
        incoming.get(id)?.fail(signal.reason);
      });
      pending.set(id, { resolve, reject, site, unwatch });
    });
  };

  installEvents();
  installStreams();
  installBlob();
  installForm();
  installHeaders();
  const fetchResponse = async (input: unknown, init: RequestInit | undefined, site: string[]): Promise<GuestResponse> =>
    await start(new GuestRequest(input, init), site);
  // Not itself async: its constructor would be another way to make code.
  exposeGlobal("fetch", (input: unknown, init?: RequestInit) => fetchResponse(input, init, callSite()));
  exposeGlobal("Request", GuestRequest);
  exposeGlobal("Response", GuestResponse);
}

/** The error of a request that did not succeed, with the place where the step called fetch. */
function requestError(error: ResponseEvent["error"], site: string[]): Error {
  const failure = new TypeError(error?.message ?? "fetch failed");
  failure.stack = [`TypeError: ${failure.message}`, ...site].join("\n");
  Object.defineProperty(failure, "code", { value: error?.code, enumerable: true });
  return failure;
}
