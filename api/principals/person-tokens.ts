/**
 * Tokens of an OpenID Connect issuer (RFC 7519, RFC 9068): whose they are. Only what the issuer signed with a key of its
 * own, for this audience and for now, is believed. A person is issuer and claim together, so nobody of another issuer is
 * the same person. Knows nothing of headers; quotes nothing of a token.
 */
import { decodeProtectedHeader, jwtVerify, type JWTPayload } from "jose";
import { StepvaultError } from "../../protocol/error.ts";
import type { OidcSettings } from "../../protocol/oidc.ts";
import { createIssuerKeys, type IssuerKeyTimes } from "./issuer-keys.ts";

/** Keys that only the issuer has: with a shared one, whoever checks a token could make one. */
const algorithms = "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519".split(" ");
const types: ReadonlySet<unknown> = new Set([undefined, "jwt", "at+jwt", "application/jwt", "application/at+jwt"]);
const clockToleranceS = 30;
const tokenBytesMax = 8 * 1024;
const personIdCharactersMax = 200;

export interface PersonTokens {
  /** The person's id. Throws ERR_UNAUTHENTICATED, ERR_ISSUER_UNAVAILABLE. */
  check(token: string): Promise<string>;
  close(): void;
}

export function createPersonTokens(
  settings: OidcSettings,
  { times, now = () => new Date() }: { times?: IssuerKeyTimes | undefined; now?: () => Date } = {},
): PersonTokens {
  const keys = createIssuerKeys(settings, times);
  return {
    async check(token) {
      if (token.length > tokenBytesMax) throw refused(`it has more than ${tokenBytesMax} bytes`);
      const payload = await verify(token);
      // It is good only together with proof of a key that is not asked for here.
      if (Object.hasOwn(payload, "cnf")) throw refused("it is bound to a key of its holder");
      return personIdOf(settings, payload);
    },
    close: () => keys.close(),
  };

  async function verify(token: string): Promise<JWTPayload> {
    try {
      const { typ } = decodeProtectedHeader(token);
      if (!types.has(typ?.toLowerCase())) throw refused("its type is not that of an access token");
      const { payload } = await jwtVerify(token, keys.find, {
        algorithms,
        issuer: settings.issuer,
        audience: settings.audience,
        clockTolerance: clockToleranceS,
        requiredClaims: ["exp", "iss", "aud"],
        currentDate: now(),
      });
      return payload;
    } catch (error) {
      if (error instanceof StepvaultError) throw error;
      throw refused(reasonOf(error));
    }
  }
}

/** Unambiguous, as an issuer has no fragment. */
function personIdOf({ issuer, claim }: OidcSettings, payload: JWTPayload): string {
  const value = Object.hasOwn(payload, claim) ? payload[claim] : undefined;
  if (typeof value !== "string" || !isName(value)) throw refused("it does not say who the person is");
  // Whoever may write any address into a profile would be whom they like.
  if (claim === "email" && payload["email_verified"] !== true) throw refused("its address was not verified");
  const personId = `${issuer}#${value}`;
  if (Array.from(personId).length <= personIdCharactersMax) return personId;
  throw refused(`issuer and person have more than ${personIdCharactersMax} characters`);
}

function isName(text: string): boolean {
  return text.length > 0 && text.isWellFormed() && text.normalize("NFC") === text && !/[\p{C}\p{Z}]/u.test(text);
}

/** Of a fixed list: jose's own messages may quote a token. */
function reasonOf(error: unknown): string {
  const { code, claim } = error as { code?: string; claim?: string };
  if (code === "ERR_JWT_EXPIRED") return "it is over";
  if (code === "ERR_JWT_CLAIM_VALIDATION_FAILED" && /^(iss|aud|exp|nbf|iat)$/.test(claim ?? ""))
    return `its claim ${claim} is missing or does not fit`;
  if (code === "ERR_JOSE_ALG_NOT_ALLOWED") return "its algorithm is not one of those that only an issuer can use";
  return "it is malformed, or not signed with a key of the issuer";
}

function refused(why: string): StepvaultError {
  return new StepvaultError("ERR_UNAUTHENTICATED", `Cannot use the token: ${why}`);
}
