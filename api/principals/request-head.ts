/**
 * What of a request tells who asks: its headers, method and where it came from. Reads them strictly, as every text that two
 * readers understand differently is a way around one of them. Imports nothing of a web framework; knows no credentials.
 */
import type { IncomingHttpHeaders } from "node:http";

export interface RequestHead {
  readonly headers: IncomingHttpHeaders;
  /** As Node has them, names and values in turn: `headers` shows only the first of several Authorization headers. */
  readonly rawHeaders?: readonly string[] | undefined;
  readonly method: string;
  readonly url: string;
  readonly ip: string;
}

/** How often a header came. */
export function timesGiven({ headers, rawHeaders }: RequestHead, name: string): number {
  if (rawHeaders === undefined) return headers[name] === undefined ? 0 : 1;
  return rawHeaders.filter((text, index) => index % 2 === 0 && text.toLowerCase() === name).length;
}

/**
 * Where a page was that sent the request; undefined for what no browser sent. Not by Sec-Fetch-Mode: Node's `fetch` sends
 * that too.
 */
export function browserOf({ headers }: RequestHead): { readonly origin: string | undefined } | undefined {
  const { origin } = headers;
  if (origin === undefined && headers["sec-fetch-site"] === undefined) return undefined;
  return { origin };
}

/** The values of a cookie, one for each time that the request has it. */
export function cookiesOf({ headers }: RequestHead, name: string): string[] {
  return (headers.cookie ?? "")
    .split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
}
