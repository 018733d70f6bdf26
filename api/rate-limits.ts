/**
 * How often somebody may ask: so many requests a minute per principal, per address on public routes, and far fewer per
 * address with credentials that are not valid, so that trying keys is slow. Counted in this process's memory: with several
 * processes each counts for itself. A credential that was valid a while ago is not held up by what others try from the same
 * address.
 */
import { createHmac, randomBytes } from "node:crypto";
// Its types add `createRateLimit` to the app.

import type { FastifyInstance, FastifyRequest } from "fastify";
import { StepvaultError } from "../protocol/error.ts";
import { httpStatusOf } from "../protocol/http/statuses.ts";
import type { Principal } from "./principal.ts";
import { Refusal } from "./refusal.ts";

export interface RateLimits {
  /** Throws ERR_RATE_LIMIT. */
  countPrincipal(request: FastifyRequest, principal: Principal): Promise<void>;
  /** Throws ERR_RATE_LIMIT. */
  countAnonymous(request: FastifyRequest): Promise<void>;
  /** Authenticates, unless too many attempts from the address failed. Throws ERR_RATE_LIMIT and what `authenticate` throws. */
  guardGuesses(request: FastifyRequest, authenticate: () => Promise<Principal>): Promise<Principal>;
}

export const failuresPerMinuteMax = 60;
const windowMs = 60_000;
const countersMax = 50_000;
const knownMax = 10_000;
const knownMsMax = 600_000;

/** `app` has @fastify/rate-limit. */
export function createRateLimits(app: FastifyInstance, requestsPerMinuteMax: number): RateLimits {
  const principals = new WeakMap<FastifyRequest, Principal>();
  // Typed without `cache`, which the package takes here as it does elsewhere.
  const shared = { timeWindow: windowMs, cache: countersMax };
  const byPrincipal = app.createRateLimit({
    ...shared,
    max: requestsPerMinuteMax,
    keyGenerator: (request) => principals.get(request)!.id,
  });
  const byAddress = app.createRateLimit({ ...shared, max: requestsPerMinuteMax });
  const failures = app.createRateLimit({ ...shared, max: failuresPerMinuteMax });
  const known = createKnownCredentials();
  return {
    async countPrincipal(request, principal) {
      principals.set(request, principal);
      refuse(await byPrincipal(request), "of this key or person");
    },
    async countAnonymous(request) {
      refuse(await byAddress(request), "from this address");
    },
    async guardGuesses(request, authenticate) {
      const credential = known.digestOf(request);
      if (!known.has(credential)) {
        const state = await failures(request, { increment: false });
        if (!state.isAllowed && state.remaining === 0)
          throw tooMany(state.ttlInSeconds, "without a valid key or session");
      }
      try {
        const principal = await authenticate();
        known.add(credential);
        return principal;
      } catch (error) {
        known.delete(credential);
        if (isGuess(error)) await failures(request);
        throw error;
      }
    },
  };
}

/** Not what is wrong with us, and not a valid key that asked too often. */
function isGuess(error: unknown): boolean {
  if (!(error instanceof StepvaultError)) return false;
  const status = httpStatusOf(error.code);
  return status < 500 && status !== 429;
}

type State = Awaited<ReturnType<ReturnType<FastifyInstance["createRateLimit"]>>>;

function refuse(state: State, whose: string): void {
  if (!state.isAllowed && state.isExceeded) throw tooMany(state.ttlInSeconds, whose);
}

function tooMany(seconds: number, whose: string): Refusal {
  const wait = Math.max(1, seconds);
  return new Refusal("ERR_RATE_LIMIT", `Cannot take more requests ${whose} in this minute: try again in ${wait} s`, {
    headers: { "retry-after": String(wait) },
  });
}

/** Which credentials were valid lately, by a digest under a key of this process. */
function createKnownCredentials() {
  const key = randomBytes(32);
  const until = new Map<string, number>();
  return {
    digestOf({ headers }: FastifyRequest): string {
      const parts = JSON.stringify([headers.authorization ?? "", headers.cookie ?? ""]);
      return createHmac("sha256", key).update(parts).digest("base64");
    },
    has: (digest: string): boolean => (until.get(digest) ?? 0) > Date.now(),
    add(digest: string): void {
      until.delete(digest);
      until.set(digest, Date.now() + knownMsMax);
      if (until.size > knownMax) until.delete(until.keys().next().value!);
    },
    delete: (digest: string): boolean => until.delete(digest),
  };
}
