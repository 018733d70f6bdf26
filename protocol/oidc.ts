/**
 * The settings of an OpenID Connect issuer: what an issuer, a key address and a claim's name must look like, and the
 * settings that only go together. The issuer's text is part of each person's id, so it is kept as it stands. Imports
 * nothing of ours.
 */
export interface OidcSettings {
  /** As it is in the claim `iss`, to the character. */
  readonly issuer: string;
  readonly audience: string;
  /** Where the issuer's keys are; by discovery when absent. */
  readonly jwksUrl: string | undefined;
  /** The claim that says who the person is. */
  readonly claim: string;
}

/** A person's id is issuer and claim, in 200 characters. */
const issuerCharactersMax = 120;

export const issuerRule = `an https:// URL, or http:// on loopback, of at most ${issuerCharactersMax} characters without user, query or fragment`;
export const jwksUrlRule = "an https:// URL, or http:// on loopback, without user or fragment";

export function isIssuer(text: string): boolean {
  return text.length <= issuerCharactersMax && isTrustedUrl(text) && !text.includes("?");
}

export function isJwksUrl(text: string): boolean {
  return isTrustedUrl(text);
}

/** Of settings by their keys: what is there without what it needs, or needed by what is not there. */
export function oidcFaults(settings: Readonly<Record<string, unknown>>): string[] {
  const given = (name: string): boolean => settings[`STEPVAULT_OIDC_${name}`] !== undefined;
  const needsIssuer = ["AUDIENCE", "JWKS_URL", "CLAIM"].filter((name) => given(name) && !given("ISSUER"));
  const faults = needsIssuer.map((name) => `STEPVAULT_OIDC_${name}: must have STEPVAULT_OIDC_ISSUER beside it`);
  if (given("ISSUER") && !given("AUDIENCE"))
    faults.push("STEPVAULT_OIDC_ISSUER: must have STEPVAULT_OIDC_AUDIENCE beside it");
  return faults;
}

function isTrustedUrl(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || !/^[\x21-\x7e]+$/.test(text) || text.includes("#") || text.includes("@")) return false;
  const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(url.hostname);
  return text.startsWith("https://") || (text.startsWith("http://") && loopback);
}
