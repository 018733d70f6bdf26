/**
 * The API's own origins, what the session's cookie is called there, and which requests may use it. A browser sends the
 * cookie along whoever made it ask, and on loopback to every port: that it came from an own page is therefore shown by its
 * Origin or Sec-Fetch-Site. Programs of other kinds may have the cookie too and send neither, for reading only.
 */
import { StepvaultError } from "../../protocol/error.ts";
import type { RequestHead } from "./request-head.ts";

export interface OwnOrigin {
  /** The first is the one that people are sent to. */
  readonly origins: readonly string[];
  readonly cookieName: string;
  readonly secure: boolean;
}

const loopbackHost = /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/;

/**
 * Undefined where no session can be kept: without TLS elsewhere than on loopback, whoever is on the way could read its
 * cookie. `publicUrl` is where people reach the API, when that is not where it listens.
 */
export function ownOriginOf({
  publicUrl,
  host,
  port,
}: {
  publicUrl: string | undefined;
  host: string;
  port: number;
}): OwnOrigin | undefined {
  if (publicUrl !== undefined) {
    const { origin, protocol, hostname } = new URL(publicUrl);
    if (protocol === "https:") return { origins: [origin], cookieName: "__Host-stepvault", secure: true };
    return loopbackHost.test(hostname) ? plain([origin]) : undefined;
  }
  if (!loopbackHost.test(host)) return undefined;
  const hosts = [host.includes(":") && !host.startsWith("[") ? `[${host}]` : host, "localhost", "127.0.0.1"];
  return plain([...new Set(hosts.map((name) => new URL(`http://${name}:${port}`).origin))]);
}

function plain(origins: readonly string[]): OwnOrigin {
  return { origins, cookieName: "stepvault", secure: false };
}

/** The Set-Cookie header that starts a session, or ends it when there is no token. */
export function sessionCookie(
  { cookieName, secure }: OwnOrigin,
  session: { token: string; timeMsMax: number } | undefined,
): string {
  const value = session === undefined ? "Max-Age=0" : `Max-Age=${Math.floor(session.timeMsMax / 1_000)}`;
  const pair = `${cookieName}=${session?.token ?? ""}`;
  return [pair, "Path=/", value, "HttpOnly", "SameSite=Strict", ...(secure ? ["Secure"] : [])].join("; ");
}

/** Whether a request with the cookie came from an own page. Throws ERR_CROSS_SITE. */
export function requireOwnPage(own: OwnOrigin, head: RequestHead): void {
  const { headers, method } = head;
  const reads = method === "GET" || method === "HEAD";
  const site = headers["sec-fetch-site"];
  const { origin } = headers;
  if (origin !== undefined && !own.origins.includes(origin)) throw crossSite("its Origin is not the API's own");
  // `none`: somebody typed the address or opened a bookmark.
  if (site !== undefined && site !== "same-origin" && !(reads && site === "none"))
    throw crossSite("its Sec-Fetch-Site says that another site sent it");
  if (reads) return;
  if (origin === undefined && site === undefined)
    throw crossSite("neither its Origin nor its Sec-Fetch-Site says that it came from the API's own page");
  requireJson(head);
}

/** A sign-in needs no cookie, and gives one: another site must not sign a visitor in as somebody else. Throws ERR_CROSS_SITE. */
export function requireNoOtherPage(own: OwnOrigin, head: RequestHead): void {
  const { origin, "sec-fetch-site": site } = head.headers;
  if (origin !== undefined && !own.origins.includes(origin)) throw crossSite("its Origin is not the API's own");
  if (site !== undefined && site !== "same-origin")
    throw crossSite("its Sec-Fetch-Site says that another site sent it");
  requireJson(head);
}

/** Forms of other sites send no JSON without asking first. */
function requireJson({ headers }: RequestHead): void {
  const type = headers["content-type"];
  const length = headers["content-length"];
  const empty = headers["transfer-encoding"] === undefined && (length === undefined || length === "0");
  if (type === undefined && empty) return;
  if (!/^application\/json *(;|$)/i.test(type ?? "")) throw crossSite("its content type is not application/json");
}

function crossSite(why: string): StepvaultError {
  return new StepvaultError("ERR_CROSS_SITE", `Cannot use the session for this request: ${why}`);
}
