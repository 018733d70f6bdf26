/**
 * The settings of the HTTP API: where it listens, who may call it from a page, how much one caller may ask for, and which
 * proxies are believed. Nothing is open by default: loopback only, no origins, no proxies. Imports nothing of ours.
 */
import { isIP } from "node:net";
import { z } from "zod";

export interface ApiSettings {
  readonly host: string;
  readonly port: number;
  /** Origins whose pages may call; `*` means every page. */
  readonly corsOrigins: readonly string[];
  readonly requestsPerMinuteMax: number;
  readonly bodyBytesMax: number;
  /** The proxies whose X-Forwarded headers are believed: addresses, networks or names of networks. */
  readonly trustProxy: readonly string[];
  readonly publicUrl: string | undefined;
  readonly metricsTokenFile: string | undefined;
}

const mebibyte = 1024 * 1024;
const networkNames = ["loopback", "linklocal", "uniquelocal"];

export const apiSettings = {
  STEPVAULT_API_HOST: z
    .string()
    .regex(/^[A-Za-z0-9.:-]{1,253}$/, "a host name or an address, without brackets")
    .default("127.0.0.1")
    .describe("Address that the API listens on; without TLS of its own, so put a proxy with TLS before any other"),
  STEPVAULT_API_PORT: z.coerce
    .number()
    .int()
    .min(0)
    .max(65_535)
    .default(8484)
    .describe("Port that the API listens on; 0: any that is free"),
  STEPVAULT_API_CORS_ORIGINS: z
    .string()
    .default("")
    .refine(
      (list) => partsOf(list).every(isOrigin),
      "origins such as https://app.example.com, or *, separated by commas",
    )
    .describe(
      "Origins whose pages may call the API, comma separated; * for all, which embed keys for pages of others need. An embed key's own list holds besides",
    ),
  STEPVAULT_API_REQUESTS_PER_MINUTE_MAX: z.coerce
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(1_200)
    .describe("Requests to one API process in a minute by one key, person or other principal"),
  STEPVAULT_API_BODY_BYTES_MAX: z.coerce
    .number()
    .int()
    .min(1_024)
    .max(256 * mebibyte)
    .default(24 * mebibyte)
    .describe("Bytes of a request's body to the API at most"),
  STEPVAULT_API_TRUST_PROXY: z
    .string()
    .default("off")
    .refine(
      (list) => list === "off" || (partsOf(list).length > 0 && partsOf(list).every(isNetwork)),
      `off, or addresses, networks such as 10.0.0.0/8 or ${networkNames.join(", ")}, separated by commas`,
    )
    .describe("Proxies whose X-Forwarded headers are believed, comma separated; off: none"),
  STEPVAULT_API_PUBLIC_URL: z
    .string()
    .refine(isPublicUrl, "an https:// URL without user, query and fragment, or http:// on loopback")
    .optional()
    .describe("Where callers reach the API, https, or http on loopback; https switches on Strict-Transport-Security"),
  STEPVAULT_METRICS_TOKEN_FILE: z
    .string()
    .min(1)
    .optional()
    .describe("File with the bearer token that /metrics asks for; none: /metrics answers on loopback only"),
};

/** The settings as the API uses them. */
export function apiSettingsOf(settings: z.output<z.ZodObject<typeof apiSettings>>): ApiSettings {
  const proxies = settings.STEPVAULT_API_TRUST_PROXY;
  return {
    host: settings.STEPVAULT_API_HOST,
    port: settings.STEPVAULT_API_PORT,
    corsOrigins: partsOf(settings.STEPVAULT_API_CORS_ORIGINS),
    requestsPerMinuteMax: settings.STEPVAULT_API_REQUESTS_PER_MINUTE_MAX,
    bodyBytesMax: settings.STEPVAULT_API_BODY_BYTES_MAX,
    trustProxy: proxies === "off" ? [] : partsOf(proxies),
    publicUrl: settings.STEPVAULT_API_PUBLIC_URL?.replace(/\/$/, ""),
    metricsTokenFile: settings.STEPVAULT_METRICS_TOKEN_FILE,
  };
}

function partsOf(list: string): string[] {
  return list
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part.length > 0);
}

/** As a browser writes it, so that comparing texts is enough. */
function isOrigin(text: string): boolean {
  if (text === "*") return true;
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && url.origin === text && !text.includes("*");
}

function isNetwork(text: string): boolean {
  if (networkNames.includes(text)) return true;
  const [, address = "", bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const version = isIP(address);
  return version !== 0 && Number(bits ?? 1) >= 1 && Number(bits ?? 1) <= (version === 4 ? 32 : 128);
}

function isPublicUrl(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") return false;
  const loopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  return url.protocol === "https:" || (url.protocol === "http:" && loopback);
}
