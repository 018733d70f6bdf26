/**
 * The only way out of a sandbox: sends a step's requests from the worker. Each hop, redirects included, is checked
 * against the policies, searched for secrets, its address resolved once, checked and pinned; then the values of sealed
 * secrets are put in, and what comes back has them masked before the step sees it. Keeps no cookies. Each hop leaves a
 * record, also one that is refused or fails.
 */
import type { EgressSettings } from "../../protocol/config.ts";
import { StepvaultError } from "../../protocol/error.ts";
import type { NetworkPolicy, RequestRecord, SecurityRecord } from "../../protocol/job.ts";
import type { Limits } from "../../protocol/limits.ts";
import type { GuestRequest, ResponseHead } from "../bridge/messages.ts";
import { type SignAnswer, signOptionsSchema } from "../bridge/sign.ts";
import { isOpened, pinTarget } from "./address.ts";
import type { Connections } from "./connections.ts";
import { asFailure, discard, exchange, type Exchange } from "./exchange.ts";
import { inspectHop } from "./guard.ts";
import { failed, firstHop, type Hop, nextHop, type SealedFields } from "./hop.ts";
import { OpenHop } from "./open-hop.ts";
import { checkPolicy } from "./policy.ts";
import { readResponse } from "./response.ts";
import type { EgressSecrets } from "./secrets.ts";
import { fillPlaceholders, SealedRefusal, signingKey } from "./sealed.ts";
import { sign } from "./sign.ts";

const redirectsMax = 10;

export type EgressEvent = ({ kind: "request" } & RequestRecord) | ({ kind: "security" } & SecurityRecord);

export interface EgressOptions extends EgressSettings {
  readonly projectId: string;
  readonly connections: Connections;
  /** The step's own. */
  readonly policy: NetworkPolicy;
  /** What the whole project may reach; absent: what the step may. */
  readonly projectPolicy?: NetworkPolicy | undefined;
  readonly limits: Limits;
  readonly onEvent: (event: EgressEvent) => void;
}

export interface BrokerResponse {
  readonly head: ResponseHead;
  /** Decompressed and without values of sealed secrets. Must be read to its end or returned from. */
  readonly body: AsyncGenerator<Uint8Array, void>;
}

/** One run's way out. */
export class EgressBroker {
  /** Of the run's references; there are none before these are resolved. */
  secrets: EgressSecrets | undefined;
  #options: EgressOptions;
  #closed = new AbortController();
  #downloadedBytes = 0;
  #resentBytes = 0;
  /** Hops that are under way. */
  #open = new Set<OpenHop>();

  constructor(options: EgressOptions) {
    this.#options = options;
  }

  /**
   * Sends one request. Throws ERR_EGRESS_REFUSED, ERR_EGRESS_FAILED, ERR_EGRESS_GUARD or ERR_SEALED_REFUSED; reading the
   * body throws ERR_EGRESS_FAILED, ERR_LIMIT_RESPONSE_BYTES or ERR_LIMIT_DOWNLOAD_BYTES.
   */
  async request(asked: GuestRequest, signal: AbortSignal): Promise<BrokerResponse> {
    const total = AbortSignal.timeout(this.#options.limits.requestTimeMsMax);
    const signals = AbortSignal.any([signal, this.#closed.signal, total]);
    const waitMsMax = asked.timeoutMs;
    let hop = firstHop(asked);
    for (let redirects = 0; redirects <= redirectsMax; redirects++) {
      const open = this.#begin(hop);
      let answer: Exchange | undefined;
      try {
        const sent = await this.#send(hop, open, { signal: signals, waitMsMax });
        ({ answer } = sent);
        const next = asked.redirect === "manual" ? undefined : this.#follow(hop, answer, sent.fields);
        if (next === undefined) return this.#toResponse(hop, answer, { open, redirected: redirects > 0 });
        if (asked.redirect === "error") throw failed(hop.url, "it redirects, and the request asks for an error then");
        discard(answer);
        open.end();
        hop = next;
      } catch (error) {
        answer?.body.destroy();
        open.end();
        throw this.#masked(asFailure(hop.url, error));
      }
    }
    throw this.#masked(failed(hop.url, `more than ${redirectsMax} redirects`));
  }

  /**
   * Signs with a sealed secret, given by its placeholder, or with a key that the step holds. Throws ERR_SEALED_REFUSED or
   * ERR_SIGN_INVALID.
   */
  async sign(key: string, options: unknown): Promise<SignAnswer> {
    const parsed = signOptionsSchema.safeParse(options);
    if (!parsed.success) {
      const paths = parsed.error.issues.map(({ path, code }) => `${path.map(String).join(".")} (${code})`);
      throw new StepvaultError("ERR_SIGN_INVALID", `Cannot sign: the options do not fit: ${paths.join(", ")}`);
    }
    let value: string;
    try {
      value = signingKey(key, parsed.data, this.secrets?.sealed ?? new Map());
    } catch (error) {
      if (!(error instanceof SealedRefusal)) throw error;
      const host = parsed.data.algorithm === "aws-sigv4" ? new URL(parsed.data.url).host : "";
      throw this.#refuse({ method: "SIGN", host }, error);
    }
    return await sign(value, parsed.data);
  }

  /** Aborts what is under way; the run is over. The records of what is aborted are told before this returns. */
  close(): void {
    for (const open of this.#open) open.end();
    this.#closed.abort();
  }

  /** What may be told of a request: a redirect can bring a sealed value into an address, and so into a message about it. */
  #mask(text: string): string {
    return this.secrets?.filter?.text(text) ?? text;
  }

  /** The same of a text whose characters are bytes. */
  #maskBytes(text: string): string {
    const { filter } = this.secrets ?? {};
    return filter === undefined ? text : Buffer.from(filter.bytes(Buffer.from(text, "latin1"))).toString("latin1");
  }

  #masked(error: StepvaultError): StepvaultError {
    const message = this.#mask(error.message);
    return message === error.message ? error : new StepvaultError(error.code, message);
  }

  #begin(hop: Hop): OpenHop {
    const open: OpenHop = new OpenHop(hop, (record) => {
      this.#open.delete(open);
      const { host, path } = record;
      this.#options.onEvent({ kind: "request", ...record, host: this.#mask(host), path: this.#mask(path) });
    });
    this.#open.add(open);
    return open;
  }

  async #send(
    hop: Hop,
    open: OpenHop,
    { signal, waitMsMax }: { signal: AbortSignal; waitMsMax: number | undefined },
  ): Promise<{ answer: Exchange; fields: SealedFields }> {
    const { policy, projectPolicy, limits, connections, projectId } = this.#options;
    const rule = checkPolicy(policy, hop, "step");
    if (projectPolicy !== undefined) checkPolicy(projectPolicy, hop, "project");
    signal.throwIfAborted();
    const { hop: filled, fields } = await this.#withSecrets(hop, open, signal);
    const pinned = await abortable(pinTarget(hop.url, this.#options), signal);
    open.record.rule = rule;
    const { connectTimeMsMax } = limits;
    const pool = connections.to({ projectId, origin: hop.url.origin, pinned, connectTimeMsMax });
    open.record.bytesSent = filled.body?.length ?? 0;
    this.#countUpload(open.record.bytesSent, hop);
    const answer = await exchange(pool, filled, {
      signal,
      limits,
      waitMsMax,
      onBytes: (bytes) => this.#count(open, bytes),
    });
    open.began(answer.status);
    return { answer, fields };
  }

  /** The hop with the values of sealed secrets in it, if it may carry them and holds no other's. */
  async #withSecrets(hop: Hop, open: OpenHop, signal: AbortSignal): Promise<{ hop: Hop; fields: SealedFields }> {
    const { secrets } = this;
    if (secrets === undefined) return { hop, fields: nothingSealed };
    const encrypted = hop.url.protocol === "https:" || isOpened(hop.url, this.#options);
    const { names, astray, action } = await inspectHop(hop, secrets, { guard: this.#options.guard, encrypted, signal });
    open.carries(names);
    if (astray.length > 0) {
      const host = this.#mask(hop.url.host);
      this.#options.onEvent({
        kind: "security",
        action,
        reason: "host",
        secrets: [...astray],
        method: hop.method,
        host,
      });
      if (action === "blocked") {
        throw new StepvaultError(
          "ERR_EGRESS_GUARD",
          `Cannot send the request to ${hop.url.host}: it holds the value of ${astray.join(", ")}, which is not for this host`,
        );
      }
    }
    try {
      const filled = fillPlaceholders(searchable(hop, secrets), secrets.sealed, encrypted);
      open.carries(filled.fields.names);
      return filled;
    } catch (error) {
      if (!(error instanceof SealedRefusal)) throw error;
      throw this.#refuse({ method: hop.method, host: hop.url.host }, error);
    }
  }

  /** Where an answer leads. A sealed secret does not go on without encryption, not even to have its field dropped. */
  #follow(hop: Hop, { status, headers }: Exchange, sealed: SealedFields): Hop | undefined {
    const location = headers.find(([name]) => name.toLowerCase() === "location")?.[1];
    const next = nextHop(hop, { status, location, sealed });
    const [held] = sealed.names;
    if (next === undefined || held === undefined || hop.url.protocol === "http:" || next.url.protocol === "https:")
      return next;
    const where = { method: next.method, host: next.url.host };
    throw this.#refuse(where, new SealedRefusal("redirect", held, "the answer leads on without encryption"));
  }

  #refuse(where: Pick<SecurityRecord, "method" | "host">, refusal: SealedRefusal): StepvaultError {
    const { reason, secret, message } = refusal;
    const host = this.#mask(where.host);
    this.#options.onEvent({ kind: "security", action: "blocked", reason, secrets: [secret], ...where, host });
    return new StepvaultError("ERR_SEALED_REFUSED", `Cannot use the sealed secret ${secret}: ${message}`);
  }

  #toResponse(
    { url }: Hop,
    answer: Exchange,
    { open, redirected }: { open: OpenHop; redirected: boolean },
  ): BrokerResponse {
    const filter = this.secrets?.filter;
    if (filter !== undefined && !answer.decoded)
      throw failed(url, "its answer is compressed in a way that cannot be searched for sealed secrets");
    if (filter !== undefined && partialStatuses.has(answer.status))
      throw failed(url, "its answer is a part of one, which cannot be searched for sealed secrets");
    // Masking changes the length, and the old one tells the value's.
    const headers = answer.headers.filter(([name]) => filter === undefined || name.toLowerCase() !== "content-length");
    const head = {
      url: this.#mask(url.href),
      status: answer.status,
      statusText: this.#maskBytes(answer.statusText),
      headers: headers.map(([name, value]): [string, string] => [this.#maskBytes(name), this.#maskBytes(value)]),
      redirected,
    };
    const { responseBytesMax } = this.#options.limits;
    const onError = (error: unknown): StepvaultError => this.#masked(asFailure(url, error));
    const body = readResponse(url, answer.body, { filter, responseBytesMax, onError, onEnd: () => open.end() });
    return { head, body };
  }

  /** The run's budget has counted each body once; a redirect can have it sent again. */
  #countUpload(bytes: number, hop: Hop): void {
    if (hop.redirects > 0) this.#resentBytes += bytes;
    const { uploadBytesMax } = this.#options.limits;
    if (this.#resentBytes <= uploadBytesMax) return;
    throw new StepvaultError(
      "ERR_LIMIT_UPLOAD_BYTES",
      `Cannot go on: ${this.#resentBytes} bytes sent again after redirects, at most ${uploadBytesMax} are allowed (uploadBytesMax)`,
    );
  }

  #count(open: OpenHop, bytes: number): void {
    open.record.bytes += bytes;
    this.#downloadedBytes += bytes;
    const { downloadBytesMax } = this.#options.limits;
    if (this.#downloadedBytes <= downloadBytesMax) return;
    throw new StepvaultError(
      "ERR_LIMIT_DOWNLOAD_BYTES",
      `Cannot go on: ${this.#downloadedBytes} bytes in responses, at most ${downloadBytesMax} are allowed (downloadBytesMax)`,
    );
  }
}

const nothingSealed: SealedFields = { names: new Set(), url: false, headers: new Set(), body: false };

const partialStatuses = new Set([206, 226]);

/**
 * A hop whose answer can be searched for sealed secrets: whole, since the parts of a value would pass one by one, and
 * compressed in no other way than is known here.
 */
function searchable(hop: Hop, { filter }: EgressSecrets): Hop {
  if (filter === undefined) return hop;
  return { ...hop, headers: hop.headers.filter(([name]) => !unsearchable.has(name.toLowerCase())) };
}

const unsearchable = new Set(["a-im", "accept-encoding", "if-range", "range", "request-range"]);

/** A promise that an abort ends, although what it waits for goes on. */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", stop);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
    promise.catch(() => {});
  }
}
