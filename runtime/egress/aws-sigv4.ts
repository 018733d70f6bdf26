/**
 * AWS Signature Version 4 in headers: a request's canonical form, what is signed of it, and the key that is derived for
 * a day, a region and a service. Written out because AWS's own package brings a stream and a credentials layer along.
 * What is signed is what the broker sends: the URL as WHATWG writes it, without the headers that the broker sets or
 * drops. Pure but for the clock; imports the bridge's types only.
 */
import { createHash, createHmac } from "node:crypto";
import type { AwsSigV4Options } from "../bridge/sign.ts";

const algorithm = "AWS4-HMAC-SHA256";
const bodyHashHeader = "x-amz-content-sha256";
const tokenHeader = "x-amz-security-token";

/** They take a path as it stands on the wire, encoded once, with empty segments: an object's key may hold slashes. */
const objectStores = new Set(["s3", "s3-object-lambda", "s3-outposts", "s3express"]);

/**
 * Left out: made here, set or dropped by the broker, or changed by proxies. AWS insists on `host`, `content-type` and
 * `x-amz-*` alone.
 */
const unsignedHeaders = new Set([
  "authorization",
  "cache-control",
  "connection",
  "content-length",
  "expect",
  "from",
  "host",
  "http2-settings",
  "keep-alive",
  "max-forwards",
  "pragma",
  "proxy-authorization",
  "proxy-connection",
  "referer",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "user-agent",
  "x-amzn-trace-id",
]);

type Headers = [name: string, value: string][];

/**
 * The headers that make a request a signed one, in lower case: `authorization`, `x-amz-date`, `x-amz-security-token` when
 * there is a session token, and `x-amz-content-sha256` where the receiver needs it. They replace those of the same name.
 * After "Create a signed AWS API request" (IAM User Guide) and "Authenticating Requests: Using the Authorization Header"
 * (Amazon S3 API Reference).
 */
export function signAwsRequest(secretAccessKey: string, options: AwsSigV4Options): Headers {
  const { accessKeyId, region, service, method, bodyHash } = options;
  const url = new URL(options.url);
  const time = formatTime(options.date === undefined ? new Date() : new Date(options.date));
  const added = headersToAdd(options, time);
  const headers = canonicalHeaders([["host", url.host], ...added, ...headersToKeep(options.headers, added)]);
  const signedHeaders = headers.map(([name]) => name).join(";");
  const canonicalRequest = [
    method.toUpperCase(),
    canonicalPath(url.pathname, service),
    canonicalQuery(url.search),
    ...headers.map(([name, value]) => `${name}:${value}`),
    "",
    signedHeaders,
    bodyHash,
  ].join("\n");
  const scope = [time.slice(0, 8), region, service, "aws4_request"];
  const digest = createHash("sha256").update(canonicalRequest).digest("hex");
  const stringToSign = [algorithm, time, scope.join("/"), digest].join("\n");
  const signature = signThrough(secretAccessKey, [...scope, stringToSign]);
  const credential = `${accessKeyId}/${scope.join("/")}`;
  const authorization = `${algorithm} Credential=${credential}, SignedHeaders=${signedHeaders}, Signature=${signature}`;
  return [["authorization", authorization], ...added];
}

/** As 20150830T123600Z. */
const formatTime = (time: Date): string => time.toISOString().replaceAll(/[:-]|\.\d+/g, "");

function headersToAdd({ service, headers, bodyHash, sessionToken }: AwsSigV4Options, time: string): Headers {
  const added: Headers = [["x-amz-date", time]];
  // Elsewhere the receiver computes the hash by itself. A step may ask for the header by giving one.
  const namesBodyHash =
    objectStores.has(service) ||
    bodyHash === "UNSIGNED-PAYLOAD" ||
    headers.some(([name]) => name.toLowerCase() === bodyHashHeader);
  if (namesBodyHash) added.push([bodyHashHeader, bodyHash]);
  if (sessionToken !== undefined) added.push([tokenHeader, sessionToken]);
  return added;
}

function headersToKeep(headers: Headers, added: Headers): Headers {
  const replaced = new Set(added.map(([name]) => name));
  return headers
    .map(([name, value]): Headers[number] => [name.toLowerCase(), value])
    .filter(([name]) => !unsignedHeaders.has(name) && !replaced.has(name));
}

/** Sorted by name, blanks collapsed, values of one name joined in their order. */
function canonicalHeaders(headers: Headers): Headers {
  return [...Map.groupBy(headers, ([name]) => name)]
    .map(([name, same]): Headers[number] => [
      name,
      same.map(([, value]) => value.trim().replaceAll(/\s+/g, " ")).join(","),
    ])
    .sort(([one], [other]) => compare(one, other));
}

/** A URL's path is encoded already, so encoding it makes the second time that AWS asks for everywhere but in S3. */
function canonicalPath(pathname: string, service: string): string {
  if (objectStores.has(service)) return normalizeEscapes(pathname);
  return pathname
    .replaceAll(/\/+/g, "/")
    .replaceAll(/[^A-Za-z0-9._~/-]/g, (character) => escapeByte(character.charCodeAt(0)));
}

/** Parameters sorted by name, then by value. A plus sign is a blank, as URLSearchParams writes it and AWS reads it. */
function canonicalQuery(search: string): string {
  return search
    .slice(1)
    .split("&")
    .filter((parameter) => parameter !== "")
    .map((parameter) => {
      const [name = "", ...value] = parameter.replaceAll("+", "%20").split("=");
      return [name, value.join("=")].map((part) => normalizeEscapes(part).replaceAll("/", "%2F"));
    })
    .sort(([name = "", value = ""], [otherName = "", otherValue = ""]) =>
      name === otherName ? compare(value, otherValue) : compare(name, otherName),
    )
    .map((pair) => pair.join("="))
    .join("&");
}

/** Each byte in its one spelling: unreserved ones (RFC 3986) and slashes as they are, all others as %XX. ASCII only. */
function normalizeEscapes(text: string): string {
  return text.replaceAll(/%([0-9A-Fa-f]{2})|[^A-Za-z0-9._~/-]/g, (character, hex?: string) =>
    escapeByte(hex === undefined ? character.charCodeAt(0) : Number.parseInt(hex, 16)),
  );
}

function escapeByte(byte: number): string {
  const character = String.fromCharCode(byte);
  return /[A-Za-z0-9._~-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}

/** HMAC of the last part, with a key that is derived through the others. */
function signThrough(secretAccessKey: string, parts: readonly string[]): string {
  let key = Buffer.from(`AWS4${secretAccessKey}`);
  for (const part of parts) {
    const next = createHmac("sha256", key).update(part).digest();
    key.fill(0);
    key = next;
  }
  return key.toString("hex");
}

/** By code units, as bytes of ASCII. */
const compare = (one: string, other: string): number => (one < other ? -1 : Number(one > other));
