/**
 * One request on its way, before anything of it is sent: made from what the step asked for, or from a redirect. It holds
 * placeholders and never values; those are put in for each hop anew (sealed.ts). Pure.
 */
import { StepvaultError } from "../../protocol/error.ts";
import type { GuestRequest } from "../bridge/messages.ts";

export interface Hop {
  readonly url: URL;
  readonly method: string;
  /** In order; names as the step wrote them. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer | undefined;
  readonly redirects: number;
  /** A redirect's address as the server wrote it; a URL leaves parts of it out. */
  readonly location: string | undefined;
}

/** The fields of a hop that held sealed secrets, and the names of these. */
export interface SealedFields {
  readonly names: ReadonlySet<string>;
  readonly url: boolean;
  /** Names in lower case. */
  readonly headers: ReadonlySet<string>;
  readonly body: boolean;
}

/** Set by the broker or meaningless end to end: a step that sends one of them does not get it through. */
const brokerHeaders = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Dropped when a redirect leaves the origin that they were meant for. */
const originHeaders = ["authorization", "cookie", "proxy-authorization"];
const bodyHeaders = ["content-type", "content-encoding", "content-language", "content-location"];

const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Bytes as characters, without those that end a line or a text. */
const headerValue = /^[\t\x20-\x7e\x80-\xff]*$/;

const methodPattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const redirectStatuses = new Set([301, 302, 303, 307, 308]);

/** Throws ERR_EGRESS_FAILED for what is no request of HTTP. */
export function firstHop(asked: GuestRequest): Hop {
  const url = URL.parse(asked.url);
  if (url === null) throw new StepvaultError("ERR_EGRESS_FAILED", "Cannot send the request: its URL does not parse");
  // It is never sent, so nothing in it can be astray.
  url.hash = "";
  if (!methodPattern.test(asked.method)) throw failed(url, "its method is not one that HTTP allows");
  const headers = asked.headers.filter(([name]) => !brokerHeaders.has(name.toLowerCase()));
  if (!headers.every(([name, value]) => headerName.test(name) && isHeaderValue(value)))
    throw failed(url, "a header has a name or value that HTTP does not allow");
  const body = asked.body === undefined ? undefined : Buffer.from(asked.body, "base64");
  return { url, method: asked.method, headers, body, redirects: 0, location: undefined };
}

export function isHeaderValue(value: string): boolean {
  return headerValue.test(value);
}

/**
 * Where a redirect leads, as the fetch standard has it; undefined when the answer is none. To another origin no field
 * goes along that held a sealed secret.
 */
export function nextHop(
  hop: Hop,
  { status, location, sealed }: { status: number; location: string | undefined; sealed: SealedFields },
): Hop | undefined {
  if (!redirectStatuses.has(status) || location === undefined) return undefined;
  const url = URL.parse(location, hop.url);
  if (url === null) throw failed(hop.url, "it redirects to a URL that does not parse");
  url.hash = "";
  const dropped = new Set<string>();
  const leaves = url.origin !== hop.url.origin;
  if (leaves) for (const name of [...originHeaders, ...sealed.headers]) dropped.add(name);
  const becomesGet =
    (status === 303 && hop.method !== "GET" && hop.method !== "HEAD") ||
    ([301, 302].includes(status) && hop.method === "POST");
  const bodyStays = !becomesGet && !(leaves && sealed.body);
  if (!bodyStays) for (const name of bodyHeaders) dropped.add(name);
  return {
    url,
    method: becomesGet ? "GET" : hop.method,
    headers: hop.headers.filter(([name]) => !dropped.has(name.toLowerCase())),
    body: bodyStays ? hop.body : undefined,
    redirects: hop.redirects + 1,
    location,
  };
}

export function failed(url: URL, reason: string): StepvaultError {
  return new StepvaultError("ERR_EGRESS_FAILED", `Cannot complete the request to ${url.host}: ${reason}`);
}
