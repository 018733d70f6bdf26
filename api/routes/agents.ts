/** Agents and workforces: what an embed key can be for. Who may see and change them is the vault's to say. */
import type { z } from "zod";
import { StepvaultError } from "../../protocol/error.ts";
import {
  agentChange,
  agentInput,
  agentListQuery,
  agentPage,
  agentParams,
  agentSchema,
} from "../../protocol/http/agents.ts";
import { noContent } from "../../protocol/http/common.ts";
import { projectParams } from "../../protocol/http/organizations.ts";
import type { Agent } from "../../vault/platform-keys/agents.ts";
import { once } from "../idempotency.ts";
import { pageById } from "../paging.ts";
import { defineRoute, type Route } from "../route.ts";

export const agentRoutes: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/agents",
    operationId: "listAgents",
    summary: "The project's agents and workforces, oldest first",
    tag: "agents",
    params: projectParams,
    query: agentListQuery,
    responses: { 200: agentPage },
    access: "principal",
    async handler({ vault, params, query }) {
      const { kind, ...page } = query;
      const agents = await vault.agents.list(params.projectId);
      return pageById(agents.filter((agent) => kind === undefined || agent.kind === kind).map(shown), page);
    },
  }),
  defineRoute({
    method: "POST",
    path: "/v1/projects/:projectId/agents",
    operationId: "createAgent",
    summary: "Make an agent or a workforce",
    tag: "agents",
    params: projectParams,
    body: agentInput,
    responses: { 201: agentSchema },
    access: "principal",
    idempotent: true,
    async handler(context) {
      const { params, body, reply } = context;
      const pathOf = (id: string): string => `/v1/projects/${params.projectId}/agents/${id}`;
      const made = await once(context, {
        operation: "createAgent",
        work: async (vault) => await vault.agents.create({ ...params, ...body }),
        idOf: ({ id }) => id,
        pathOf,
      });
      reply.header("location", pathOf(made.id));
      return shown(made);
    },
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/agents/:agentId",
    operationId: "getAgent",
    summary: "An agent or a workforce",
    tag: "agents",
    params: agentParams,
    responses: { 200: agentSchema },
    access: "principal",
    async handler({ vault, params }) {
      const found = (await vault.agents.list(params.projectId)).find(({ id }) => id === params.agentId);
      if (found !== undefined) return shown(found);
      throw new StepvaultError("ERR_AGENT_UNKNOWN", "Cannot find the agent: no such id in the project");
    },
  }),
  defineRoute({
    method: "PATCH",
    path: "/v1/projects/:projectId/agents/:agentId",
    operationId: "changeAgent",
    summary: "Change an agent or a workforce; made private, its embed keys stop",
    tag: "agents",
    params: agentParams,
    body: agentChange,
    responses: { 200: agentSchema },
    access: "principal",
    async handler({ vault, params, body }) {
      const { name, public: isPublic, stepIds } = body;
      return shown(
        await vault.agents.change({
          projectId: params.projectId,
          id: params.agentId,
          ...(name === undefined ? {} : { name }),
          ...(isPublic === undefined ? {} : { public: isPublic }),
          ...(stepIds === undefined ? {} : { stepIds }),
        }),
      );
    },
  }),
  defineRoute({
    method: "DELETE",
    path: "/v1/projects/:projectId/agents/:agentId",
    operationId: "deleteAgent",
    summary: "Delete an agent or a workforce, and its embed keys with it",
    tag: "agents",
    params: agentParams,
    responses: { 204: noContent },
    access: "principal",
    handler: async ({ vault, params }) =>
      await vault.agents.delete({ projectId: params.projectId, id: params.agentId }),
  }),
];

function shown({ stepIds, ...agent }: Agent): z.output<typeof agentSchema> {
  return { ...agent, stepIds: [...stepIds] };
}
