/**
 * Signing in and out, and who asks. A sign-in takes the token of a link and gives the cookie of a session, which no script
 * reads; the session that the browser had before ends. The page for it is in principals/sign-in-page.ts.
 */
import type { FastifyRequest } from "fastify";
import { StepvaultError } from "../../protocol/error.ts";
import { noContent } from "../../protocol/http/common.ts";
import { sessionList, sessionSchema, signInBody, type Whoami, whoamiSchema } from "../../protocol/http/sessions.ts";
import { sessionTimeMsMax } from "../../vault/people/sessions.ts";
import type { Vault } from "../../vault/vault.ts";
import type { Principal } from "../principal.ts";
import type { ApiParts } from "../parts.ts";
import { type OwnOrigin, ownOriginOf, requireNoOtherPage, sessionCookie } from "../principals/own-origin.ts";
import { cookiesOf, type RequestHead } from "../principals/request-head.ts";
import { defineRoute, type Route } from "../route.ts";

const signIn = defineRoute({
  method: "POST",
  path: "/v1/sessions",
  operationId: "signIn",
  summary: "Sign in with a link",
  description: "Sets the cookie of a new session. A link works once, for 15 minutes.",
  tag: "sessions",
  body: signInBody,
  responses: { 201: sessionSchema },
  access: "public",
  async handler({ parts, body, request, reply }) {
    const own = requireOrigin(parts, request);
    requireNoOtherPage(own, request);
    const { token, session } = await parts.vault.people.signIn({ token: body.token });
    await endReplaced(parts.vault, own, request);
    reply.header("set-cookie", sessionCookie(own, { token, timeMsMax: sessionTimeMsMax }));
    return session;
  },
});

const whoami = defineRoute({
  method: "GET",
  path: "/v1/session",
  operationId: "whoami",
  summary: "See who asks",
  tag: "sessions",
  responses: { 200: whoamiSchema },
  access: "principal",
  handler: async ({ vault, principal }) => whoamiOf(principal, await vault.people.memberships()),
});

const signOut = defineRoute({
  method: "DELETE",
  path: "/v1/session",
  operationId: "signOut",
  summary: "Sign out",
  description: "Ends the session of the request's cookie.",
  tag: "sessions",
  responses: { 204: noContent },
  access: "principal",
  async handler({ vault, principal: { actor, sessionId }, parts, request, reply }) {
    if (sessionId === undefined)
      throw new StepvaultError("ERR_FORBIDDEN", "Cannot sign out: the request's credential is not a session");
    await vault.people.endSessions({ personId: actor.id, sessionId });
    reply.header("set-cookie", sessionCookie(requireOrigin(parts, request), undefined));
    return undefined;
  },
});

const listSessions = defineRoute({
  method: "GET",
  path: "/v1/sessions",
  operationId: "listSessions",
  summary: "List the sessions of the person who asks",
  tag: "sessions",
  responses: { 200: sessionList },
  access: "principal",
  handler: async ({ vault, principal }) => ({
    data: await vault.people.listSessions({ personId: principal.actor.id }),
  }),
});

const signOutEverywhere = defineRoute({
  method: "DELETE",
  path: "/v1/sessions",
  operationId: "signOutEverywhere",
  summary: "End all sessions of the person who asks",
  tag: "sessions",
  responses: { 204: noContent },
  access: "principal",
  async handler({ vault, principal, parts, request, reply }) {
    await vault.people.endSessions({ personId: principal.actor.id });
    if (principal.via === "session")
      reply.header("set-cookie", sessionCookie(requireOrigin(parts, request), undefined));
    return undefined;
  },
});

function whoamiOf(principal: Principal, organizations: Whoami["organizations"]): Whoami {
  const { actor, via, projectId, sessionId } = principal;
  return {
    actor: { kind: actor.kind, id: actor.id },
    via,
    ...(projectId === undefined ? {} : { projectId }),
    ...(sessionId === undefined ? {} : { sessionId }),
    organizations,
    // Everybody who opens the page has an embed key: what it belongs to is not theirs to know.
    ...(actor.kind === "key" && via === "key" ? { key: keyOf(actor) } : {}),
  };
}

function keyOf({ organizationId, projects, scopes }: Extract<Principal["actor"], { kind: "key" }>): Whoami["key"] {
  return { organizationId, projects: projects === "all" ? "all" : [...projects], scopes: [...scopes] };
}

/** A cookie that the browser had before is not this session's, whoever put it there. */
async function endReplaced(
  vault: Vault,
  own: OwnOrigin,
  request: Pick<RequestHead, "headers" | "method" | "url" | "ip">,
): Promise<void> {
  for (const token of cookiesOf(request, own.cookieName).slice(0, 2)) {
    const before = await vault.people.checkSession({ token }).catch(() => undefined);
    if (before !== undefined)
      await vault.as({ kind: "person", id: before.personId }).people.endSessions({
        personId: before.personId,
        sessionId: before.id,
      });
  }
}

/** Throws ERR_SIGN_IN_OFF. */
function requireOrigin({ config }: Pick<ApiParts, "config">, request: FastifyRequest): OwnOrigin {
  // The port that the request came to: the one in the settings may be 0.
  const port = request.raw.socket.localPort ?? config.api.port;
  const own = ownOriginOf({ ...config.api, port });
  if (own !== undefined) return own;
  throw new StepvaultError(
    "ERR_SIGN_IN_OFF",
    "Cannot keep a session: the API answers without TLS, and not only on loopback",
  );
}

export const sessionRoutes: readonly Route[] = [signIn, whoami, signOut, listSessions, signOutEverywhere];
