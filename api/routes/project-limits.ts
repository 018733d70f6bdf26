/** What a project may use and how long it keeps runs. Who may see and change it is the vault's to say. */
import { projectLimitsInput, projectLimitsSchema } from "../../protocol/http/project-limits.ts";
import { projectParams } from "../../protocol/http/organizations.ts";
import { defineRoute, type Route } from "../route.ts";

export const projectLimitRoutes: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/limits",
    operationId: "getProjectLimits",
    summary: "What the project may use, and how long it keeps runs",
    tag: "organizations",
    params: projectParams,
    responses: { 200: projectLimitsSchema },
    access: "principal",
    handler: async ({ vault, params }) => (await vault.tenancy.getProject(params.projectId)).limits,
  }),
  defineRoute({
    method: "PUT",
    path: "/v1/projects/:projectId/limits",
    operationId: "setProjectLimits",
    summary: "Set all limits of the project",
    tag: "organizations",
    params: projectParams,
    body: projectLimitsInput,
    responses: { 200: projectLimitsSchema },
    access: "principal",
    handler: async ({ vault, params, body }) =>
      (await vault.tenancy.setProjectLimits({ projectId: params.projectId, limits: body })).limits,
  }),
];
