/**
 * How requests are sent: where to, and how much time, how many attempts and how large an answer are allowed. Every request
 * ends, whatever the server does. Limits are read once, when a client is made. Knows no keys.
 */
import { StepvaultClientError } from "./errors.ts";
import { ownFields } from "./own.ts";
import { baseUrlOf, type Region } from "./region.ts";

/** What of the platform's `fetch` is used; another one may be given, for a proxy or a certificate of one's own. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface TransportOptions {
  /** Of a deployment of your own: https, or http on loopback. `{region}` stands for the key's region. */
  readonly baseUrl?: string | undefined;
  /** It must not follow redirects by itself when it is told `redirect: "manual"`. */
  readonly fetch?: Fetch | undefined;
  /** For a request with all its attempts and the waits between them. */
  readonly timeMsMax?: number | undefined;
  /** For one attempt, to the last byte of its answer. */
  readonly attemptTimeMsMax?: number | undefined;
  /** Attempts after the first one. */
  readonly retriesMax?: number | undefined;
  /** Of a stream on which nothing comes; the server sends something every 15 seconds. */
  readonly silenceTimeMsMax?: number | undefined;
  /** Of an answer's body, decompressed, and of one event of a stream. */
  readonly answerBytesMax?: number | undefined;
}

/** Each limit's default, and the most that it can be set to. */
export const clientLimits = {
  timeMsMax: { usual: 90_000, least: 1, most: 3_600_000 },
  attemptTimeMsMax: { usual: 30_000, least: 1, most: 3_600_000 },
  retriesMax: { usual: 2, least: 0, most: 10 },
  silenceTimeMsMax: { usual: 45_000, least: 1, most: 3_600_000 },
  answerBytesMax: { usual: 10_485_760, least: 1, most: 1_073_741_824 },
} as const;

export type Limits = Readonly<Record<keyof typeof clientLimits, number>>;

export interface Settings {
  readonly base: URL;
  readonly fetch: Fetch | undefined;
  readonly limits: Limits;
}

/** Throws ERR_CLIENT_INVALID. */
export function readSettings(region: Region, options: TransportOptions): Settings {
  const own = ownFields(options);
  const limits = Object.entries(clientLimits).map(([name, { usual, least, most }]) => {
    const figure = own[name as keyof Limits] ?? usual;
    if (Number.isSafeInteger(figure) && figure >= least && figure <= most) return [name, figure];
    const why = `${name} is no whole number from ${least} to ${most}`;
    throw new StepvaultClientError("ERR_CLIENT_INVALID", `Cannot make a client: ${why}`);
  });
  return { base: baseUrlOf(region, own.baseUrl), fetch: own.fetch, limits: Object.fromEntries(limits) as Limits };
}
