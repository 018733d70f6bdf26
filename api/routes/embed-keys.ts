/**
 * Embed keys: made by the two requests of the SDK that they come from, listed and revoked by routes like all others. Whose
 * they are is told by the caller's credential; the project in the body only has to be the same.
 */
import type { z } from "zod";
import { StepvaultError } from "../../protocol/error.ts";
import {
  agentEmbedKeyInput,
  embedKeyPage,
  embedKeyParams,
  embedKeySchema,
  issuedEmbedKeySchema,
  workforceEmbedKeyInput,
} from "../../protocol/http/agents.ts";
import { noContent, pageQuery } from "../../protocol/http/common.ts";
import { projectParams } from "../../protocol/http/organizations.ts";
import type { EmbedKeyMetadata } from "../../vault/platform-keys/embed-keys.ts";
import { once } from "../idempotency.ts";
import { pageById } from "../paging.ts";
import { defineRoute, type Route, type RouteContext } from "../route.ts";
import { mismatch } from "../validation.ts";

type Wanted = Omit<z.output<typeof agentEmbedKeyInput>, "agent_id">;

async function issue(
  context: RouteContext<undefined, undefined, Wanted, "principal">,
  { operation, ...scope }: { operation: string; agentId?: string; workforceId?: string },
): Promise<z.output<typeof issuedEmbedKeySchema>> {
  const { body, principal, reply } = context;
  const { project: projectId } = body;
  if (principal.projectId !== undefined && principal.projectId !== projectId)
    throw mismatch([{ pointer: "/body/project", detail: "must be the project of the Authorization header" }]);
  const pathOf = (id: string): string => `/v1/projects/${projectId}/embed-keys/${id}`;
  const { key, metadata } = await once(context, {
    operation,
    work: async (vault) =>
      await vault.embedKeys.create({
        ...scope,
        projectId,
        origins: body.origins,
        expiresAt: body.expires_at,
        requestsMax: body.requests_max,
        requestsPerMinuteMax: body.requests_per_minute_max,
      }),
    idOf: (made) => made.metadata.id,
    pathOf,
  });
  reply.header("location", pathOf(metadata.id));
  return { embed_key: key, conversation_prefix: metadata.conversationPrefix };
}

const description =
  "For who may start runs in the project, a person or a key with the scope `trigger` or `admin`. Earlier keys go on working. `Location` has the key's id, to revoke it by.";

export const embedKeyRoutes: readonly Route[] = [
  defineRoute({
    method: "POST",
    path: "/v1/agents/get_embed_key",
    operationId: "createAgentEmbedKey",
    summary: "Make an embed key for a public agent",
    description,
    tag: "embed keys",
    body: agentEmbedKeyInput,
    responses: { 200: issuedEmbedKeySchema },
    access: "principal",
    idempotent: true,
    handler: async (context) =>
      await issue(context, { operation: "createAgentEmbedKey", agentId: context.body.agent_id }),
  }),
  defineRoute({
    method: "POST",
    path: "/v1/workforce/get_embed_key",
    operationId: "createWorkforceEmbedKey",
    summary: "Make an embed key for a public workforce",
    description,
    tag: "embed keys",
    body: workforceEmbedKeyInput,
    responses: { 200: issuedEmbedKeySchema },
    access: "principal",
    idempotent: true,
    handler: async (context) =>
      await issue(context, { operation: "createWorkforceEmbedKey", workforceId: context.body.workforce_id }),
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/embed-keys",
    operationId: "listEmbedKeys",
    summary: "The project's embed keys, oldest first",
    tag: "embed keys",
    params: projectParams,
    query: pageQuery,
    responses: { 200: embedKeyPage },
    access: "principal",
    handler: async ({ vault, params, query }) =>
      pageById((await vault.embedKeys.list(params.projectId)).map(shown), query),
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/embed-keys/:keyId",
    operationId: "getEmbedKey",
    summary: "An embed key, without the key itself",
    tag: "embed keys",
    params: embedKeyParams,
    responses: { 200: embedKeySchema },
    access: "principal",
    async handler({ vault, params }) {
      const found = (await vault.embedKeys.list(params.projectId)).find(({ id }) => id === params.keyId);
      if (found !== undefined) return shown(found);
      throw new StepvaultError("ERR_KEY_ID_UNKNOWN", "Cannot find the key: no such id here");
    },
  }),
  defineRoute({
    method: "POST",
    path: "/v1/projects/:projectId/embed-keys/:keyId/revoke",
    operationId: "revokeEmbedKey",
    summary: "Stop an embed key at once; it stays in the list",
    description: "For who made it, and for who may change the project's keys.",
    tag: "embed keys",
    params: embedKeyParams,
    responses: { 204: noContent },
    access: "principal",
    handler: async ({ vault, params }) => await vault.embedKeys.revoke(params),
  }),
];

function shown({ origins, ...key }: EmbedKeyMetadata): z.output<typeof embedKeySchema> {
  return { ...key, origins: origins === null ? null : [...origins] };
}
