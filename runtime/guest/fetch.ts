/**
 * `fetch` with Headers, Response, AbortController and AbortSignal: the request goes over the bridge to the egress
 * broker, which decides whether it may leave; the answer comes back whole. Runs inside the isolate.
 */
import { failRun, type GuestLimits, onHostEvent, send } from "./bridge.ts";
import { decodeBase64, encodeBase64, GuestTextDecoder, GuestTextEncoder } from "./encoding.ts";
import { GuestURLSearchParams } from "./url.ts";

interface BrokerResponse {
  url: string;
  status: number;
  statusText: string;
  headers: [string, string][];
  body: string;
  redirected: boolean;
}

interface ResponseEvent {
  id: number;
  response?: BrokerResponse;
  error?: { code: string; message: string };
}

class GuestHeaders {
  #pairs: [string, string][] = [];

  constructor(init: unknown = {}) {
    if (typeof init !== "object" || init === null)
      throw new TypeError("Headers take an object, a list of pairs or Headers");
    const entries = Symbol.iterator in init ? [...(init as Iterable<[unknown, unknown]>)] : Object.entries(init);
    for (const [name, value] of entries) this.append(name, value);
  }
  append(name: unknown, value: unknown): void {
    const key = String(name).toLowerCase();
    const text = String(value).trim();
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(key))
      throw new TypeError("A header name has characters that HTTP does not allow");
    if (/[\0\r\n]/.test(text)) throw new TypeError(`The value of header "${key}" has a line break or NUL`);
    this.#pairs.push([key, text]);
  }
  delete(name: unknown): void {
    this.#pairs = this.#pairs.filter(([key]) => key !== String(name).toLowerCase());
  }
  get(name: unknown): string | null {
    const values = this.#pairs.filter(([key]) => key === String(name).toLowerCase()).map(([, value]) => value);
    return values.length === 0 ? null : values.join(", ");
  }
  getSetCookie(): string[] {
    return this.#pairs.filter(([key]) => key === "set-cookie").map(([, value]) => value);
  }
  has(name: unknown): boolean {
    return this.#pairs.some(([key]) => key === String(name).toLowerCase());
  }
  set(name: unknown, value: unknown): void {
    this.delete(name);
    this.append(name, value);
  }
  forEach(callback: (value: string, name: string, headers: GuestHeaders) => void): void {
    for (const [name, value] of this) callback(value, name, this);
  }
  entries(): IterableIterator<[string, string]> {
    const names = [...new Set(this.#pairs.map(([name]) => name))].sort();
    return names.map((name): [string, string] => [name, this.get(name) ?? ""])[Symbol.iterator]();
  }
  keys(): IterableIterator<string> {
    return [...this.entries()].map(([name]) => name)[Symbol.iterator]();
  }
  values(): IterableIterator<string> {
    return [...this.entries()].map(([, value]) => value)[Symbol.iterator]();
  }
  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }
}

class GuestResponse {
  readonly status: number;
  readonly statusText: string;
  readonly headers: GuestHeaders;
  readonly url: string;
  readonly redirected: boolean;
  readonly type = "basic";
  #body: Uint8Array;
  #used = false;

  constructor(
    body: unknown = null,
    init: { status?: number; statusText?: string; headers?: unknown } = {},
    at?: BrokerResponse,
  ) {
    this.status = init.status ?? 200;
    this.statusText = init.statusText ?? "";
    this.headers = new GuestHeaders(init.headers ?? {});
    this.url = at?.url ?? "";
    this.redirected = at?.redirected ?? false;
    this.#body = encodeBody(body)?.bytes ?? new Uint8Array(0);
  }
  get ok(): boolean {
    return this.status >= 200 && this.status <= 299;
  }
  get bodyUsed(): boolean {
    return this.#used;
  }
  async bytes(): Promise<Uint8Array> {
    if (this.#used) throw new TypeError("The body of this response has been read already");
    this.#used = true;
    return this.#body;
  }
  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.bytes()).slice().buffer;
  }
  async text(): Promise<string> {
    return new GuestTextDecoder().decode(await this.bytes());
  }
  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }
  clone(): GuestResponse {
    if (this.#used) throw new TypeError("The body of this response has been read already");
    const { status, statusText, headers } = this;
    return new GuestResponse(this.#body.slice(), { status, statusText, headers });
  }
  static json(value: unknown, init: { status?: number; headers?: unknown } = {}): GuestResponse {
    const response = new GuestResponse(JSON.stringify(value), init);
    if (!response.headers.has("content-type")) response.headers.set("content-type", "application/json");
    return response;
  }
}

/** A body as bytes and the content type it implies; undefined for no body. */
function encodeBody(body: unknown): { bytes: Uint8Array; contentType?: string } | undefined {
  if (body === null || body === undefined) return undefined;
  if (ArrayBuffer.isView(body)) return { bytes: new Uint8Array(body.buffer, body.byteOffset, body.byteLength).slice() };
  if (body instanceof ArrayBuffer) return { bytes: new Uint8Array(body.slice(0)) };
  const bytes = new GuestTextEncoder().encode(String(body));
  if (body instanceof GuestURLSearchParams)
    return { bytes, contentType: "application/x-www-form-urlencoded;charset=UTF-8" };
  return { bytes, contentType: "text/plain;charset=UTF-8" };
}

class GuestAbortSignal {
  aborted = false;
  reason: unknown = undefined;
  onabort: ((event: { type: string }) => void) | null = null;
  #listeners: (() => void)[] = [];

  addEventListener(type: string, listener: (event: { type: string }) => void): void {
    if (type === "abort") this.#listeners.push(() => listener({ type }));
  }
  removeEventListener(): void {}
  throwIfAborted(): void {
    if (this.aborted) throw this.reason as Error;
  }
  /** Called by the controller. */
  abortWith(reason: unknown): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    this.onabort?.({ type: "abort" });
    for (const listener of this.#listeners) listener();
  }
  static timeout(ms: number): GuestAbortSignal {
    const controller = new GuestAbortController();
    setTimeout(() => controller.abort(namedError("TimeoutError", "The operation timed out")), ms);
    return controller.signal;
  }
}

class GuestAbortController {
  readonly signal = new GuestAbortSignal();
  abort(reason: unknown = namedError("AbortError", "This operation was aborted")): void {
    this.signal.abortWith(reason);
  }
}

function namedError(name: string, message: string): Error {
  const error = new Error(message);
  error.name = name;
  return error;
}

interface FetchInit {
  method?: string;
  headers?: unknown;
  body?: unknown;
  redirect?: string;
  signal?: GuestAbortSignal;
}

/** A request as `fetch` takes it: a URL or another request, with what the init changes. */
class GuestRequest {
  readonly url: string;
  readonly method: string;
  readonly headers: GuestHeaders;
  readonly body: unknown;
  readonly redirect: string;
  readonly signal: GuestAbortSignal | undefined;

  constructor(input: unknown, init: FetchInit = {}) {
    const from = input instanceof GuestRequest ? input : undefined;
    this.url = from?.url ?? String(input);
    const method = String(init.method ?? from?.method ?? "GET");
    // The methods that the fetch standard writes in capitals whatever the case they come in.
    this.method = /^(get|head|post|put|delete|options)$/i.test(method) ? method.toUpperCase() : method;
    this.headers = new GuestHeaders(init.headers ?? from?.headers ?? {});
    this.body = init.body ?? from?.body;
    if (this.body !== undefined && this.body !== null && /^(GET|HEAD)$/.test(this.method)) {
      throw new TypeError(`A ${this.method} request cannot have a body`);
    }
    const redirect = init.redirect ?? from?.redirect;
    this.redirect = redirect === "error" || redirect === "manual" ? redirect : "follow";
    this.signal = init.signal ?? from?.signal;
  }
}

export function installFetch(limits: GuestLimits): void {
  const pending = new Map<
    number,
    { resolve: (response: GuestResponse) => void; reject: (error: unknown) => void; callSite: string[] }
  >();
  let lastId = 0;

  onHostEvent("response", ({ id, response, error }: ResponseEvent) => {
    const waiting = pending.get(id);
    pending.delete(id);
    if (waiting === undefined) return;
    if (response === undefined) {
      const failure = new TypeError(error?.message ?? "fetch failed");
      // The place where the step called fetch, without the frames of what stands between.
      failure.stack = [`TypeError: ${failure.message}`, ...waiting.callSite].join("\n");
      Object.defineProperty(failure, "code", { value: error?.code, enumerable: true });
      waiting.reject(failure);
      return;
    }
    const { status, statusText, headers } = response;
    waiting.resolve(new GuestResponse(decodeBase64(response.body), { status, statusText, headers }, response));
  });

  const start = ({ url, method, headers, body, redirect, signal }: GuestRequest): Promise<GuestResponse> => {
    signal?.throwIfAborted();
    const encoded = encodeBody(body);
    if (encoded !== undefined && encoded.bytes.length > limits.requestBytesMax) {
      failRun(
        "ERR_LIMIT_REQUEST_BYTES",
        `Cannot send a body of ${encoded.bytes.length} bytes: at most ${limits.requestBytesMax} are allowed`,
      );
    }
    if (encoded?.contentType !== undefined && !headers.has("content-type"))
      headers.set("content-type", encoded.contentType);
    const id = ++lastId;
    const request = {
      method,
      url,
      headers: [...headers],
      redirect,
      ...(encoded === undefined ? {} : { body: encodeBase64(encoded.bytes) }),
    };
    return new Promise((resolve, reject) => {
      const callSite = (new Error().stack ?? "").split("\n").filter((line) => line.includes("step.js:"));
      pending.set(id, { resolve, reject, callSite });
      signal?.addEventListener("abort", () => {
        if (!pending.delete(id)) return;
        send({ type: "abort", id });
        reject(signal.reason);
      });
      send({ type: "request", id, request });
    });
  };

  const globals = globalThis as Record<string, unknown>;
  globals["fetch"] = async function fetch(input: unknown, init?: FetchInit): Promise<GuestResponse> {
    return await start(new GuestRequest(input, init));
  };
  globals["Request"] = GuestRequest;
  globals["Headers"] = GuestHeaders;
  globals["Response"] = GuestResponse;
  globals["AbortController"] = GuestAbortController;
  globals["AbortSignal"] = GuestAbortSignal;
}
