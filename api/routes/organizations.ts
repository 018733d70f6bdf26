/** Organizations and projects. Who may see and change them is the vault's to say. */
import {
  namedThing,
  organizationPage,
  organizationParams,
  organizationSchema,
  projectNetwork,
  projectPage,
  projectParams,
  projectSchema,
} from "../../protocol/http/organizations.ts";
import { pageQuery } from "../../protocol/http/common.ts";
import { pageById } from "../paging.ts";
import { defineRoute, type Route } from "../route.ts";

export const organizationRoutes: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/organizations",
    operationId: "listOrganizations",
    summary: "All organizations of the deployment, oldest first; for the operator",
    tag: "organizations",
    query: pageQuery,
    responses: { 200: organizationPage },
    access: "principal",
    handler: async ({ vault, query }) => pageById(await vault.tenancy.listOrganizations(), query),
  }),
  defineRoute({
    method: "POST",
    path: "/v1/organizations",
    operationId: "createOrganization",
    summary: "Make an organization; for the operator",
    tag: "organizations",
    body: namedThing,
    responses: { 201: organizationSchema },
    access: "principal",
    handler: async ({ vault, body }) => await vault.tenancy.createOrganization(body.name),
  }),
  defineRoute({
    method: "GET",
    path: "/v1/organizations/:organizationId/projects",
    operationId: "listProjects",
    summary: "The organization's projects that the caller has a part in, oldest first",
    tag: "organizations",
    params: organizationParams,
    query: pageQuery,
    responses: { 200: projectPage },
    access: "principal",
    handler: async ({ vault, params, query }) =>
      pageById(await vault.tenancy.listProjects(params.organizationId), query),
  }),
  defineRoute({
    method: "POST",
    path: "/v1/organizations/:organizationId/projects",
    operationId: "createProject",
    summary: "Make a project in the organization",
    tag: "organizations",
    params: organizationParams,
    body: namedThing,
    responses: { 201: projectSchema },
    access: "principal",
    handler: async ({ vault, params, body }) => await vault.tenancy.createProject({ ...params, name: body.name }),
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId",
    operationId: "getProject",
    summary: "A project",
    tag: "organizations",
    params: projectParams,
    responses: { 200: projectSchema },
    access: "principal",
    handler: async ({ vault, params }) => await vault.tenancy.getProject(params.projectId),
  }),
  defineRoute({
    method: "PUT",
    path: "/v1/projects/:projectId/network",
    operationId: "setProjectNetwork",
    summary: "Set what every step of the project may reach at most",
    tag: "organizations",
    params: projectParams,
    body: projectNetwork,
    responses: { 200: projectSchema },
    access: "principal",
    handler: async ({ vault, params, body }) =>
      await vault.tenancy.setProjectNetwork({ projectId: params.projectId, network: body.network }),
  }),
];
