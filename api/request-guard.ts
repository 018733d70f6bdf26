/**
 * What is refused before anything else looks at a request: a key in its URL, which proxies and histories keep, and heads
 * that two readers would understand differently. Runs on every request, also where there is no route.
 */
import type { IncomingMessage } from "node:http";
import { Refusal } from "./refusal.ts";

const keyPattern = /(?:sk|sk-org|ek)-(?:us|eu|au)_[0-9A-Za-z]/;
const decodingsMax = 5;
const headersMax = 100;
/** Of these a second one would be understood differently by who stands before us. */
const onceOnly = ["authorization", "host", "content-type", "content-length", "content-encoding", "x-request-id"];
const bodyless = new Set(["GET", "HEAD"]);

const marked = new WeakSet<IncomingMessage>();

/** Whether a URL holds what looks like a key, also when it is percent-encoded, several times over. */
export function holdsKey(url: string): boolean {
  let text = url;
  for (let count = 0; count <= decodingsMax; count += 1) {
    if (keyPattern.test(text)) return true;
    const decoded = text.replaceAll(/%([0-7][0-9A-Fa-f])/g, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    if (decoded === text) return false;
    text = decoded;
  }
  // Nothing honest is encoded this often.
  return true;
}

/** The URL to route by. One that holds a key is dropped here, so that nothing later can log or repeat it. */
export function urlToRoute(request: IncomingMessage): string {
  const url = request.url ?? "/";
  // `http://host/path`, as proxies are asked: only the path counts.
  const path = url.startsWith("/") ? url : url.replace(/^[a-z]+:\/\/[^/?#]*/i, "");
  if (!holdsKey(url)) return path.startsWith("/") ? path : `/${path}`;
  marked.add(request);
  delete (request as { originalUrl?: string }).originalUrl;
  request.url = "/";
  return "/";
}

/** Throws ERR_KEY_IN_URL, ERR_HEADERS_TOO_LARGE, ERR_REQUEST_INVALID, ERR_BODY_TYPE. */
export function checkHead(request: IncomingMessage): void {
  const { rawHeaders, headers, method = "GET", httpVersion } = request;
  if (marked.has(request))
    throw new Refusal("ERR_KEY_IN_URL", "Cannot accept the request: its URL holds a platform key");
  const names = rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
  if (names.length > headersMax) {
    throw new Refusal(
      "ERR_HEADERS_TOO_LARGE",
      `Cannot accept the request: it has ${names.length} headers, ${headersMax} are allowed`,
    );
  }
  const twice = onceOnly.filter((name) => names.indexOf(name) !== names.lastIndexOf(name));
  if (twice.length > 0) throw malformed(`it has more than one header ${twice.join(", ")}`);
  if (httpVersion === "1.1" && headers.host === undefined) throw malformed("it has no header Host");
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding.toLowerCase() !== "identity" && !bodyless.has(method))
    throw new Refusal("ERR_BODY_TYPE", "Cannot read the request: its body is compressed");
}

function malformed(why: string): Refusal {
  return new Refusal("ERR_REQUEST_INVALID", `Cannot accept the request: ${why}`);
}
