/**
 * The public keys of an issuer, fetched when they are needed and kept. A rotated key is found within half a minute; an
 * issuer that is away is not missed for an hour, which is also how long a key that it took back may still count. However
 * many unknown tokens come, the issuer is asked at most every few seconds, once at a time, and what it answers is bounded.
 */
import { createRemoteJWKSet, customFetch, type JWTVerifyGetKey, type RemoteJWKSet } from "jose";
import { StepvaultError } from "../../protocol/error.ts";
import { isJwksUrl, type OidcSettings } from "../../protocol/oidc.ts";

const answerBytesMax = 256 * 1024;

export interface IssuerKeyTimes {
  /** Of one request to the issuer. */
  readonly timeMsMax: number;
  /** Between two searches for a key that is not known. */
  readonly unknownKeyMs: number;
  /** After a request that failed. */
  readonly failureMs: number;
  /** After which keys are asked for again, in the background. */
  readonly refreshMs: number;
  /** After which keys are not used any more. */
  readonly ageMsMax: number;
}

const usualTimes: IssuerKeyTimes = {
  timeMsMax: 3_000,
  unknownKeyMs: 30_000,
  failureMs: 5_000,
  refreshMs: 600_000,
  ageMsMax: 3_600_000,
};

export interface IssuerKeys {
  /** For jose's `jwtVerify`. Throws ERR_ISSUER_UNAVAILABLE, and jose's errors for a key that is not there. */
  readonly find: JWTVerifyGetKey;
  close(): void;
}

export function createIssuerKeys(
  { issuer, jwksUrl }: Pick<OidcSettings, "issuer" | "jwksUrl">,
  times: IssuerKeyTimes = usualTimes,
): IssuerKeys {
  const asker = new Asker(times);
  let opening: Promise<RemoteJWKSet> | undefined;
  let refreshedAt = -Infinity;

  const open = async (): Promise<RemoteJWKSet> => {
    const url = jwksUrl ?? (await discover(asker, issuer));
    return createRemoteJWKSet(new URL(url), {
      timeoutDuration: times.timeMsMax,
      cooldownDuration: times.unknownKeyMs,
      cacheMaxAge: times.ageMsMax,
      [customFetch]: async (address, { headers, signal }) => await asker.ask(address, { headers, signal }),
    });
  };
  const keys = async (): Promise<RemoteJWKSet> => {
    opening ??= open().catch((error: unknown) => {
      opening = undefined;
      throw error;
    });
    return await opening;
  };
  return {
    async find(header, token) {
      let set: RemoteJWKSet | undefined;
      try {
        set = await keys();
        const now = performance.now();
        if (set.jwks() === undefined) refreshedAt = now;
        else if (now - refreshedAt > times.refreshMs) {
          refreshedAt = now;
          // Nobody waits for it: what is kept is still good.
          set.reload().catch(() => {});
        }
        return await set(header, token);
      } catch (error) {
        if (isAboutKey(error)) throw error;
        asker.rest();
        // Perhaps the issuer has moved its keys; those that are kept are good until they are too old.
        if (set?.fresh === false) opening = undefined;
        throw unavailable(error);
      }
    },
    close: () => asker.close(),
  };
}

/** Asks the issuer, and not again right after it failed. */
class Asker {
  readonly #times: IssuerKeyTimes;
  readonly #closed = new AbortController();
  #failedAt = -Infinity;

  constructor(times: IssuerKeyTimes) {
    this.#times = times;
  }

  /** An answer of status 200 with its whole body. Follows no redirect: where keys are is for settings to say. */
  async ask(url: string, { headers, signal }: { headers?: Headers; signal: AbortSignal }): Promise<Response> {
    if (this.#rests()) throw new Error("it failed a moment ago");
    const stop = AbortSignal.any([signal, this.#closed.signal]);
    try {
      const init: RequestInit = { redirect: "manual", credentials: "omit", cache: "no-store", signal: stop };
      const response = await fetch(url, headers === undefined ? init : { ...init, headers });
      if (response.status !== 200) {
        await response.body?.cancel();
        throw new Error(`its status is ${response.status}`);
      }
      return new Response(await readBody(response));
    } catch (error) {
      this.rest();
      throw error;
    }
  }

  async askJson(url: string): Promise<unknown> {
    const response = await this.ask(url, { signal: AbortSignal.timeout(this.#times.timeMsMax) });
    return await response.json();
  }

  /** Asks nothing for a while, as what came was of no use. */
  rest(): void {
    if (!this.#rests()) this.#failedAt = performance.now();
  }

  close(): void {
    this.#closed.abort();
  }

  #rests(): boolean {
    return performance.now() - this.#failedAt < this.#times.failureMs;
  }
}

async function readBody(response: Response): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body ?? []) {
    bytes += part.length;
    // Leaving the loop cancels the rest.
    if (bytes > answerBytesMax) throw new Error(`it answers with more than ${answerBytesMax} bytes`);
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** Where the issuer's keys are, by its own word. One that speaks for another issuer is not believed. */
async function discover(asker: Asker, issuer: string): Promise<string> {
  const found = (await asker.askJson(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`)) as
    | Record<string, unknown>
    | undefined;
  const address = found?.["jwks_uri"];
  if (found?.["issuer"] !== issuer) throw new Error("its configuration is that of another issuer");
  if (typeof address !== "string" || !isJwksUrl(address)) throw new Error("its configuration has no address of keys");
  if (issuer.startsWith("https://") && !address.startsWith("https://")) throw new Error("its keys are not behind TLS");
  return address;
}

/** The keys were there, and none of them, or more than one, is meant. */
function isAboutKey(error: unknown): boolean {
  const code = (error as { code?: unknown } | undefined)?.code;
  return (
    code === "ERR_JWKS_NO_MATCHING_KEY" ||
    code === "ERR_JWKS_MULTIPLE_MATCHING_KEYS" ||
    code === "ERR_JOSE_NOT_SUPPORTED"
  );
}

function unavailable(cause: unknown): StepvaultError {
  const message = "Cannot check the token: the issuer's keys cannot be had";
  return new StepvaultError("ERR_ISSUER_UNAVAILABLE", message, { cause });
}
