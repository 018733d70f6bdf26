/**
 * The regions, and where the API of each is. A key goes nowhere but there, so a base URL is https, or http on loopback for
 * trying things out. The default is a reserved name that reaches nobody: each deployment sets its own. Imports errors only.
 */
import { StepvaultClientError } from "./errors.ts";

export const REGION_US = "us";
export const REGION_EU = "eu";
export const REGION_AU = "au";
const regions = [REGION_US, REGION_EU, REGION_AU] as const;
export type Region = (typeof regions)[number];

let defaultBaseUrl = "https://api-{region}.stepvault.example";

/** Where clients without a `baseUrl` of their own send requests from now on; `{region}` stands for the key's region. */
export function setDefaultBaseUrl(template: string): void {
  baseUrlOf(REGION_US, template);
  defaultBaseUrl = template;
}

/** Throws ERR_CLIENT_INVALID. What was given is not repeated: it may be a key in the wrong place. */
export function checkRegion(region: unknown): asserts region is Region {
  if (!regions.includes(region as Region)) throw invalid(`its region is not one of ${regions.join(", ")}`);
}

/** The base URL of a region. It may have a path, which all requests then begin with. Throws ERR_CLIENT_INVALID. */
export function baseUrlOf(region: Region, template: string = defaultBaseUrl): URL {
  const url = parseUrl(template.replaceAll("{region}", region));
  if (url === undefined) throw invalid("its base URL is no URL");
  const loopback = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && loopback))
    throw invalid("its base URL is neither https nor http on loopback");
  if (url.username !== "" || url.password !== "" || /[?#@\\]/.test(template))
    throw invalid("its base URL has more than a host, a port and a path");
  return url;
}

/** URL.parse is too new for some browsers. */
function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}

function invalid(why: string): StepvaultClientError {
  return new StepvaultClientError("ERR_CLIENT_INVALID", `Cannot make a client: ${why}`);
}
