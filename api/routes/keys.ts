/**
 * Platform keys of projects and organizations: the same routes for both places. A key is in the answer of what made it and
 * nowhere else. Deciding, and keeping a project from changing its organization's keys, is the vault's.
 */
import type { z } from "zod";
import { StepvaultError } from "../../protocol/error.ts";
import { noContent, pageQuery } from "../../protocol/http/common.ts";
import {
  issuedKeySchema,
  keyPage,
  keyPolicyInput,
  keyPolicySchema,
  keyRotationInput,
  keySchema,
  organizationKeyChange,
  organizationKeyInput,
  organizationKeyParams,
  ownKeySchema,
  projectKeyChange,
  projectKeyInput,
  projectKeyParams,
} from "../../protocol/http/keys.ts";
import { organizationParams, projectParams } from "../../protocol/http/organizations.ts";
import type { IssuedKey, KeyMetadata } from "../../vault/platform-keys/keys.ts";
import type { Place } from "../../vault/tenancy/authorize.ts";
import type { Vault } from "../../vault/vault.ts";
import { once } from "../idempotency.ts";
import { pageById } from "../paging.ts";
import { defineRoute, type Route, type RouteContext } from "../route.ts";

interface PlaceParams {
  readonly projectId?: string;
  readonly organizationId?: string;
}
type KeyParams = PlaceParams & { readonly keyId: string };

/** Where keys are: what differs between the two places. */
interface KeyPlace {
  readonly of: "Project" | "Organization";
  readonly path: `/v1/${string}`;
  readonly params: z.ZodType<PlaceParams>;
  readonly keyParams: z.ZodType<KeyParams>;
  readonly change: z.ZodType<Pick<Parameters<Vault["keys"]["change"]>[0], "name" | "scopes" | "access">>;
  readonly listed: string;
}

const ofProject: KeyPlace = {
  of: "Project",
  path: "/v1/projects/:projectId/keys",
  params: projectParams,
  keyParams: projectKeyParams,
  change: projectKeyChange as z.ZodType<object>,
  listed: "The project's keys and those of its organization that cover it, oldest first",
};
const ofOrganization: KeyPlace = {
  of: "Organization",
  path: "/v1/organizations/:organizationId/keys",
  params: organizationParams,
  keyParams: organizationKeyParams,
  change: organizationKeyChange as z.ZodType<object>,
  listed: "The organization's own keys, oldest first",
};

function placeOf({ projectId, organizationId }: PlaceParams): Place {
  return projectId === undefined ? { organizationId: organizationId! } : { projectId };
}

function pathOf({ projectId, organizationId }: PlaceParams, keyId: string): string {
  const place = projectId === undefined ? `organizations/${organizationId}` : `projects/${projectId}`;
  return `/v1/${place}/keys/${keyId}`;
}

async function listKeys(vault: Vault, params: PlaceParams): Promise<KeyMetadata[]> {
  const place = placeOf(params);
  return "projectId" in place ? await vault.keys.listOfProject(place) : await vault.keys.listOfOrganization(place);
}

/** Makes a key once, and says where it is listed. */
async function issue(
  context: RouteContext<PlaceParams, undefined, unknown, "principal">,
  operation: string,
  work: (vault: Vault) => Promise<IssuedKey>,
): Promise<IssuedKey> {
  const { params, reply } = context;
  const issued = await once(context, {
    operation,
    work,
    idOf: ({ metadata }) => metadata.id,
    pathOf: (id) => pathOf(params, id),
  });
  reply.header("location", pathOf(params, issued.metadata.id));
  return issued;
}

const again =
  "Send it with an Idempotency-Key: sent again, it makes no second key and is answered with ERR_ALREADY_DONE, which names the first. The key itself is in the first answer only.";

function listRoutes({ of, path, params, keyParams, listed }: KeyPlace): Route[] {
  return [
    defineRoute({
      method: "GET",
      path,
      operationId: `list${of}Keys`,
      summary: listed,
      tag: "keys",
      params,
      query: pageQuery,
      responses: { 200: keyPage },
      access: "principal",
      handler: async ({ vault, params, query }) => pageById((await listKeys(vault, params)).map(shown), query),
    }),
    defineRoute({
      method: "GET",
      path: `${path}/:keyId`,
      operationId: `get${of}Key`,
      summary: "A key of that list, without the key itself",
      tag: "keys",
      params: keyParams,
      responses: { 200: keySchema },
      access: "principal",
      async handler({ vault, params }) {
        const found = (await listKeys(vault, params)).find(({ id }) => id === params.keyId);
        if (found !== undefined) return shown(found);
        throw new StepvaultError("ERR_KEY_ID_UNKNOWN", "Cannot find the key: no such id here");
      },
    }),
  ];
}

function changeRoutes({ of, path, keyParams, change }: KeyPlace): Route[] {
  return [
    defineRoute({
      method: "PATCH",
      path: `${path}/:keyId`,
      operationId: `change${of}Key`,
      summary: "Change a key; its expiry stays",
      tag: "keys",
      params: keyParams,
      body: change,
      responses: { 200: keySchema },
      access: "principal",
      handler: async ({ vault, params, body }) =>
        shown(await vault.keys.change({ place: placeOf(params), keyId: params.keyId, ...body })),
    }),
    defineRoute({
      method: "POST",
      path: `${path}/:keyId/rotate`,
      operationId: `rotate${of}Key`,
      summary: "Make a successor with the same name, scopes and access; the old key works on for a while",
      description: again,
      tag: "keys",
      params: keyParams,
      body: keyRotationInput,
      responses: { 201: issuedKeySchema },
      access: "principal",
      idempotent: true,
      async handler(context) {
        const { params, body } = context;
        const wanted = { place: placeOf(params), keyId: params.keyId, ...body };
        return issued(await issue(context, `rotate${of}Key`, async (vault) => await vault.keys.rotate(wanted)));
      },
    }),
    defineRoute({
      method: "POST",
      path: `${path}/:keyId/revoke`,
      operationId: `revoke${of}Key`,
      summary: "Stop a key at once; it stays in the list",
      tag: "keys",
      params: keyParams,
      responses: { 204: noContent },
      access: "principal",
      handler: async ({ vault, params }) => await vault.keys.revoke({ place: placeOf(params), keyId: params.keyId }),
    }),
    defineRoute({
      method: "DELETE",
      path: `${path}/:keyId`,
      operationId: `delete${of}Key`,
      summary: "Stop a key at once and take it off the list",
      tag: "keys",
      params: keyParams,
      responses: { 204: noContent },
      access: "principal",
      handler: async ({ vault, params }) => await vault.keys.delete({ place: placeOf(params), keyId: params.keyId }),
    }),
  ];
}

/** Lists are read-only where they come from, and are not here. */
function shown(key: KeyMetadata): z.output<typeof keySchema> {
  const { scopes, projectIds, createdBy, ...rest } = key;
  return {
    ...rest,
    scopes: [...scopes],
    createdBy,
    ...(projectIds === undefined ? {} : { projectIds: [...projectIds] }),
  };
}

function issued({ key, metadata }: IssuedKey): z.output<typeof issuedKeySchema> {
  return { key, metadata: shown(metadata) };
}

export const keyRoutes: readonly Route[] = [
  ...listRoutes(ofProject),
  ...changeRoutes(ofProject),
  defineRoute({
    method: "POST",
    path: "/v1/projects/:projectId/keys",
    operationId: "createProjectKey",
    summary: "Make a key for the project",
    description: again,
    tag: "keys",
    params: projectParams,
    body: projectKeyInput,
    responses: { 201: issuedKeySchema },
    access: "principal",
    idempotent: true,
    async handler(context) {
      const wanted = { ...context.params, ...context.body };
      return issued(
        await issue(context, "createProjectKey", async (vault) => await vault.keys.createForProject(wanted)),
      );
    },
  }),
  ...listRoutes(ofOrganization),
  ...changeRoutes(ofOrganization),
  defineRoute({
    method: "POST",
    path: "/v1/organizations/:organizationId/keys",
    operationId: "createOrganizationKey",
    summary: "Make a key for all or some projects of the organization",
    description: again,
    tag: "keys",
    params: organizationParams,
    body: organizationKeyInput,
    responses: { 201: issuedKeySchema },
    access: "principal",
    idempotent: true,
    async handler(context) {
      const wanted = { ...context.params, ...context.body };
      return issued(
        await issue(context, "createOrganizationKey", async (vault) => await vault.keys.createForOrganization(wanted)),
      );
    },
  }),
  defineRoute({
    method: "GET",
    path: "/v1/organizations/:organizationId/key-policy",
    operationId: "getKeyPolicy",
    summary: "What keys of the organization and its projects must be like",
    tag: "keys",
    params: organizationParams,
    responses: { 200: keyPolicySchema },
    access: "principal",
    handler: async ({ vault, params }) => await vault.keys.policy(params.organizationId),
  }),
  defineRoute({
    method: "PUT",
    path: "/v1/organizations/:organizationId/key-policy",
    operationId: "setKeyPolicy",
    summary: "Set what keys that are made or rotated from now on must be like",
    tag: "keys",
    params: organizationParams,
    body: keyPolicyInput,
    responses: { 200: keyPolicySchema },
    access: "principal",
    async handler({ vault, params, body }) {
      await vault.keys.setPolicy({ ...params, ...body });
      return body;
    },
  }),
  defineRoute({
    method: "GET",
    path: "/v1/key",
    operationId: "getOwnKey",
    summary: "What the key that the request is made with may do, where and until when",
    tag: "keys",
    responses: { 200: ownKeySchema },
    access: "principal",
    async handler({ vault }) {
      const { agent, projects, scopes, ...rest } = await vault.keys.own();
      const own = { ...rest, scopes: [...scopes], projects: projects === "all" ? projects : [...projects] };
      return agent === undefined ? own : { ...own, agent: { ...agent, stepIds: [...agent.stepIds] } };
    },
  }),
];
