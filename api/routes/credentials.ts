/**
 * Credentials of integrations and model providers, in organizations and projects by the same routes; what a project inherits,
 * and which credential is in force. Values go in and never come out. Lists are as long as the catalogue at most: one page.
 */
import type { z } from "zod";
import {
  credentialExplanationPage,
  credentialExplanationSchema,
  credentialInput,
  credentialPage,
  credentialSettingsInput,
  credentialSettingsSchema,
  credentialSwitch,
  credentialVersionSchema,
  inheritanceInput,
  inheritanceParams,
  inheritanceSchema,
  integrationPage,
  organizationCredentialParams,
  projectCredentialParams,
  providerInheritanceParams,
} from "../../protocol/http/credentials.ts";
import { noContent } from "../../protocol/http/common.ts";
import { organizationParams, projectParams } from "../../protocol/http/organizations.ts";
import { inheritanceModes, type IntegrationClass, integrations } from "../../protocol/integrations.ts";
import type { Explanation } from "../../vault/credentials/effective.ts";
import type { Place } from "../../vault/tenancy/authorize.ts";
import type { Vault } from "../../vault/vault.ts";
import type { Page } from "../paging.ts";
import { defineRoute, type Route } from "../route.ts";

interface PlaceParams {
  readonly projectId?: string;
  readonly organizationId?: string;
}

/** Where credentials are: what differs between the two places. */
interface CredentialPlace {
  readonly of: "Project" | "Organization";
  readonly path: `/v1/${string}`;
  readonly params: z.ZodType<PlaceParams>;
  readonly slotParams: z.ZodType<PlaceParams & { readonly integration: string }>;
}

const ofProject: CredentialPlace = {
  of: "Project",
  path: "/v1/projects/:projectId/credentials",
  params: projectParams,
  slotParams: projectCredentialParams,
};
const ofOrganization: CredentialPlace = {
  of: "Organization",
  path: "/v1/organizations/:organizationId/credentials",
  params: organizationParams,
  slotParams: organizationCredentialParams,
};

function placeOf({ projectId, organizationId }: PlaceParams): Place {
  return projectId === undefined ? { organizationId: organizationId! } : { projectId };
}

function onePage<Item>(data: Item[]): Page<Item> {
  return { data, pagination: { hasMore: false } };
}

function routesOf({ of, path, params, slotParams }: CredentialPlace): Route[] {
  const where = of === "Project" ? "project" : "organization";
  return [
    defineRoute({
      method: "GET",
      path,
      operationId: `list${of}Credentials`,
      summary: `The credentials that the ${where} itself has, without secret fields`,
      tag: "credentials",
      params,
      responses: { 200: credentialPage },
      access: "principal",
      async handler({ vault, params }) {
        const listed = await vault.credentials.list(placeOf(params));
        return onePage(listed.map((entry) => ({ ...entry, fields: [...entry.fields] })));
      },
    }),
    defineRoute({
      method: "PUT",
      path: `${path}/:integration`,
      operationId: `set${of}Credential`,
      summary: "Switch an integration on with its credential, in the place of what was there",
      tag: "credentials",
      params: slotParams,
      body: credentialInput,
      responses: { 200: credentialVersionSchema },
      access: "principal",
      async handler({ vault, params, body }) {
        const { integration } = params;
        return { version: await vault.credentials.set({ place: placeOf(params), integration, ...body }) };
      },
    }),
    defineRoute({
      method: "PATCH",
      path: `${path}/:integration`,
      operationId: `switch${of}Credential`,
      summary: "Switch a credential off, or on again",
      tag: "credentials",
      params: slotParams,
      body: credentialSwitch,
      responses: { 204: noContent },
      access: "principal",
      async handler({ vault, params, body }) {
        const { integration } = params;
        await vault.credentials.switch({ place: placeOf(params), integration, ...body });
      },
    }),
    defineRoute({
      method: "DELETE",
      path: `${path}/:integration`,
      operationId: `remove${of}Credential`,
      summary: "Remove a credential with its value",
      tag: "credentials",
      params: slotParams,
      responses: { 204: noContent },
      access: "principal",
      async handler({ vault, params }) {
        const { integration } = params;
        await vault.credentials.remove({ place: placeOf(params), integration });
      },
    }),
  ];
}

async function switchInheritance(
  vault: Vault,
  request: { projectId: string; class: IntegrationClass; integration?: string; inherits: boolean | null },
): Promise<void> {
  await vault.credentials.switchInheritance({ ...request, inherits: request.inherits ?? undefined });
}

function explained({ winner, candidates, ...rest }: Explanation): z.output<typeof credentialExplanationSchema> {
  const shownWinner = winner === undefined ? null : { ...winner, fields: [...winner.fields] };
  return { ...rest, winner: shownWinner, candidates: [...candidates] };
}

export const credentialRoutes: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/integrations",
    operationId: "listIntegrations",
    summary: "What credentials can be stored for, with their fields",
    tag: "credentials",
    responses: { 200: integrationPage },
    access: "principal",
    handler: async () =>
      onePage(
        [...integrations.values()].map(({ fields, ...entry }) => ({
          ...entry,
          inheritance: inheritanceModes[entry.class],
          fields: fields.map(({ pattern: _pattern, ...field }) => field),
        })),
      ),
  }),
  ...routesOf(ofProject),
  ...routesOf(ofOrganization),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/credentials/:integration/effective",
    operationId: "explainCredential",
    summary: "Which credential of an integration is in force for the project, and why no other",
    tag: "credentials",
    params: projectCredentialParams,
    responses: { 200: credentialExplanationSchema },
    access: "principal",
    handler: async ({ vault, params }) => explained(await vault.credentials.explain(params)),
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/effective-credentials",
    operationId: "listEffectiveCredentials",
    summary: "The same for every integration whose credentials can be shared",
    tag: "credentials",
    params: projectParams,
    responses: { 200: credentialExplanationPage },
    access: "principal",
    handler: async ({ vault, params }) =>
      onePage((await vault.credentials.listEffective(params.projectId)).map(explained)),
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/inheritance",
    operationId: "getInheritance",
    summary: "The project's switches of Inherit from Organization, classes first",
    tag: "credentials",
    params: projectParams,
    responses: { 200: inheritanceSchema },
    access: "principal",
    async handler({ vault, params }) {
      const switches = await vault.credentials.listInheritance(params.projectId);
      return { switches: switches.map((entry) => ({ ...entry, integration: entry.integration || null })) };
    },
  }),
  defineRoute({
    method: "PUT",
    path: "/v1/projects/:projectId/inheritance/:class",
    operationId: "setInheritance",
    summary: "Switch Inherit from Organization for a class, on or off",
    tag: "credentials",
    params: inheritanceParams,
    body: inheritanceInput,
    responses: { 204: noContent },
    access: "principal",
    handler: async ({ vault, params, body }) => await switchInheritance(vault, { ...params, ...body }),
  }),
  defineRoute({
    method: "PUT",
    path: "/v1/projects/:projectId/inheritance/:class/:integration",
    operationId: "setProviderInheritance",
    summary: "Switch Inherit from Organization for one provider, over the switch of its class",
    tag: "credentials",
    params: providerInheritanceParams,
    body: inheritanceInput,
    responses: { 204: noContent },
    access: "principal",
    handler: async ({ vault, params, body }) => await switchInheritance(vault, { ...params, ...body }),
  }),
  defineRoute({
    method: "GET",
    path: "/v1/organizations/:organizationId/credential-settings",
    operationId: "getCredentialSettings",
    summary: "Where the organization stands before the deployment's gates, and whether editors may change credentials",
    tag: "credentials",
    params: organizationParams,
    responses: { 200: credentialSettingsSchema },
    access: "principal",
    handler: async ({ vault, params }) => await vault.credentials.settings(params.organizationId),
  }),
  defineRoute({
    method: "PUT",
    path: "/v1/organizations/:organizationId/credential-settings",
    operationId: "setCredentialSettings",
    summary: "Let editors change credentials in the organization's projects, or take it from them",
    description: "The plan and the rollout are the deployment's to set, with the command.",
    tag: "credentials",
    params: organizationParams,
    body: credentialSettingsInput,
    responses: { 200: credentialSettingsSchema },
    access: "principal",
    async handler({ vault, params, body }) {
      const { organizationId } = params;
      await vault.credentials.setEditorsManage({ organizationId, allowed: body.editorsManage });
      return await vault.credentials.settings(organizationId);
    },
  }),
];
