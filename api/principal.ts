/**
 * Who asks: of each request its one credential, a platform key, an issuer's token or a session's cookie, and the actor that
 * it stands for. What they may do is for the vault to decide. More than one credential is refused instead of choosing one.
 * Knows no routes and nothing of a web framework; keeps nothing of a credential.
 */
import { StepvaultError } from "../protocol/error.ts";
import type { OidcSettings } from "../protocol/oidc.ts";
import type { EmbedActor } from "../vault/platform-keys/key-check.ts";
import type { Actor } from "../vault/tenancy/actor.ts";
import type { Vault } from "../vault/vault.ts";
import { type Credential, readCredential } from "./principals/credential.ts";
import { type OwnOrigin, requireOwnPage } from "./principals/own-origin.ts";
import { createPersonTokens, type PersonTokens } from "./principals/person-tokens.ts";
import { browserOf, type RequestHead } from "./principals/request-head.ts";

export interface Principal {
  readonly actor: Actor;
  readonly via: "key" | "embed" | "token" | "session";
  /** For rate limits and logs; never secret. */
  readonly id: string;
  /** Named in the Authorization header, as it is stored; the actor has a part in it. */
  readonly projectId: string | undefined;
  /** Of a key that was rotated: when it ends, to be told to the caller. */
  readonly endsAt: Date | undefined;
  readonly embed: EmbedActor["embed"] | undefined;
  /** Of a session, to end it by. */
  readonly sessionId: string | undefined;
}

export interface AuthenticatorParts {
  readonly vault: Vault;
  readonly oidc: OidcSettings | undefined;
  /** Asked at each request, as a port may be known only once the API listens; undefined where no session can be kept. */
  readonly ownOrigin: () => OwnOrigin | undefined;
  /** Instead of those that `oidc` asks for. */
  readonly tokens?: PersonTokens | undefined;
}

export interface Authenticator {
  /**
   * Call it once per request, as embed keys count their requests. Throws ERR_UNAUTHENTICATED, ERR_CREDENTIAL_AMBIGUOUS,
   * ERR_CROSS_SITE, ERR_PROJECT_UNKNOWN, ERR_ISSUER_UNAVAILABLE, and what `vault.keys.check` throws.
   */
  readonly authenticate: (head: RequestHead) => Promise<Principal>;
  readonly close: () => void;
}

export function createAuthenticator({ vault, oidc, ownOrigin, ...parts }: AuthenticatorParts): Authenticator {
  const tokens = parts.tokens ?? (oidc === undefined ? undefined : createPersonTokens(oidc));
  return {
    async authenticate(head) {
      const own = ownOrigin();
      const credential = readCredential(head, own?.cookieName);
      if (credential.kind === "session") return await fromSession(vault, { own: own!, head, token: credential.token });
      const principal =
        credential.kind === "key" ? await fromKey(vault, head, credential) : await fromToken(tokens, credential.token);
      const { projectId } = credential;
      if (projectId === undefined) return principal;
      return { ...principal, projectId: await vault.as(principal.actor).people.locateProject(projectId) };
    },
    close: () => tokens?.close(),
  };
}

async function fromKey(
  vault: Vault,
  head: RequestHead,
  { key }: Extract<Credential, { kind: "key" }>,
): Promise<Principal> {
  const { actor, endsAt } = await vault.keys.check({ key, browser: browserOf(head) });
  const embed = "embed" in actor ? actor.embed : undefined;
  return { ...nothing, actor, via: embed === undefined ? "key" : "embed", id: `key:${actor.id}`, endsAt, embed };
}

async function fromToken(tokens: PersonTokens | undefined, token: string): Promise<Principal> {
  if (tokens === undefined)
    throw new StepvaultError("ERR_UNAUTHENTICATED", "Cannot use the token: no issuer of tokens is set");
  return { ...person(await tokens.check(token)), via: "token" };
}

async function fromSession(
  vault: Vault,
  { own, head, token }: { own: OwnOrigin; head: RequestHead; token: string },
): Promise<Principal> {
  requireOwnPage(own, head);
  const { id, personId } = await vault.people.checkSession({ token });
  return { ...person(personId), via: "session", sessionId: id };
}

const nothing = { projectId: undefined, endsAt: undefined, embed: undefined, sessionId: undefined };

function person(id: string): Omit<Principal, "via"> {
  return { ...nothing, actor: { kind: "person", id }, id: `person:${id}` };
}
