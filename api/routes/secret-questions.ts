/**
 * What can be asked about secrets, without opening any: versions, uses, who can act with one, who would break without it, what
 * nobody uses, what was destroyed, whether all is as it was written, and what a name means in a project.
 */
import { z } from "zod";
import { pageQuery } from "../../protocol/http/common.ts";
import { projectParams } from "../../protocol/http/organizations.ts";
import { stepCheckSchema } from "../../protocol/http/steps.ts";
import {
  dependentsQuery,
  dependentsSchema,
  explainQuery,
  explanationSchema,
  referencesInput,
  secretAccessSchema,
  secretNames,
  secretPage,
  secretUsePage,
  secretUsesQuery,
  secretVerdictSchema,
  secretVersionPage,
  tombstonePage,
  tombstonesQuery,
  unusedQuery,
} from "../../protocol/http/secrets.ts";
import type { SecretVersion } from "../../vault/secrets/secret-lists.ts";
import type { SecretUse } from "../../vault/secrets/secret-uses.ts";
import type { SignedTombstone } from "../../vault/secrets/tombstones.ts";
import { type KeyOrder, pageByKey } from "../pages-by-key.ts";
import { defineRoute, type Route } from "../route.ts";
import { byName } from "./secret-order.ts";
import { forBothPlaces } from "./secret-places.ts";

const latestVersion: KeyOrder<SecretVersion> = {
  keyOf: ({ version }) => [version],
  schema: z.tuple([z.int()]),
  latestFirst: true,
};

const latestUse: KeyOrder<SecretUse> = {
  keyOf: ({ lastUsedAt, version, projectId, step, caller = "" }) => [
    lastUsedAt.toISOString(),
    version,
    projectId,
    step?.id ?? "",
    caller,
  ],
  schema: z.tuple([z.iso.datetime(), z.int(), z.uuid(), z.string().max(100), z.string().max(200)]),
  latestFirst: true,
};

const latestTombstone: KeyOrder<SignedTombstone> = {
  keyOf: ({ time, secretId, version }) => [time, secretId, version],
  schema: z.tuple([z.string().max(40), z.uuid(), z.int()]),
  latestFirst: true,
};

export const secretQuestionRoutes: readonly Route[] = [
  ...forBothPlaces({
    method: "GET",
    path: "/secrets/:secretName/versions",
    operationId: "listSecretVersions",
    summary: "A secret's versions, without values, the newest first",
    names: secretNames,
    query: pageQuery,
    responses: { 200: secretVersionPage },
    handler: async ({ vault, place, params, query }) =>
      pageByKey(await vault.secrets.versions({ place, name: params.secretName }), query, latestVersion),
  }),
  ...forBothPlaces({
    method: "GET",
    path: "/secrets/:secretName/uses",
    operationId: "listSecretUses",
    summary: "Who used a secret: by version, project, step and caller, the latest use first",
    names: secretNames,
    query: secretUsesQuery,
    responses: { 200: secretUsePage },
    async handler({ vault, place, params, query }) {
      const { version, since } = query;
      const uses = await vault.secrets.uses({ place, name: params.secretName, version, since });
      return pageByKey(uses, query, latestUse);
    },
  }),
  ...forBothPlaces({
    method: "GET",
    path: "/secrets/:secretName/access",
    operationId: "getSecretAccess",
    summary: "Who can act with a secret, the risk in a sentence, and hints",
    names: secretNames,
    responses: { 200: secretAccessSchema },
    handler: async ({ vault, place, params }) => await vault.secrets.access({ place, name: params.secretName }),
  }),
  ...forBothPlaces({
    method: "GET",
    path: "/secrets/:secretName/dependents",
    operationId: "getSecretDependents",
    summary: "Who would break if a secret were deleted or its value changed",
    names: secretNames,
    query: dependentsQuery,
    responses: { 200: dependentsSchema },
    handler: async ({ vault, place, params, query }) =>
      await vault.secrets.whoWouldBreak({ place, name: params.secretName, days: query.days }),
  }),
  ...forBothPlaces({
    method: "GET",
    path: "/secrets-unused",
    operationId: "listUnusedSecrets",
    summary: "Secrets that no run has used, and nobody changed, for so many days",
    names: {},
    query: unusedQuery,
    responses: { 200: secretPage },
    handler: async ({ vault, place, query }) =>
      pageByKey(await vault.secrets.unused({ place, days: query.days }), query, byName),
  }),
  ...forBothPlaces({
    method: "GET",
    path: "/secrets-stale",
    operationId: "listStaleSecrets",
    summary: "Secrets whose reminder is due",
    names: {},
    query: pageQuery,
    responses: { 200: secretPage },
    handler: async ({ vault, place, query }) => pageByKey(await vault.secrets.stale({ place }), query, byName),
  }),
  ...forBothPlaces({
    method: "GET",
    path: "/secrets-tombstones",
    operationId: "listSecretTombstones",
    summary: "What was destroyed, signed, the latest first",
    names: {},
    query: tombstonesQuery,
    responses: { 200: tombstonePage },
    async handler({ vault, place, query }) {
      const tombstones = await vault.secrets.tombstones({
        place,
        ...(query.name !== undefined && { name: query.name }),
      });
      return pageByKey(tombstones, query, latestTombstone);
    },
  }),
  ...forBothPlaces({
    method: "POST",
    path: "/secrets-verify",
    operationId: "verifySecrets",
    summary: "Compare every secret's row with what was written",
    names: {},
    responses: { 200: secretVerdictSchema },
    handler: async ({ vault, place }) => await vault.secrets.verify(place),
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/secrets/:secretName/explain",
    operationId: "explainSecret",
    summary: "Which secret a name means in the project, and why no other",
    description: "For a saved step, or for code that is sent along with its run. No value is opened.",
    tag: "secrets",
    params: z.strictObject({ ...projectParams.shape, ...secretNames }),
    query: explainQuery,
    responses: { 200: explanationSchema },
    access: "principal",
    handler: async ({ vault, params, query }) =>
      await vault.secrets.explain({ projectId: params.projectId, name: params.secretName, ...query }),
  }),
  defineRoute({
    method: "POST",
    path: "/v1/projects/:projectId/references/check",
    operationId: "checkReferences",
    summary: "Whether each of these references to secrets would resolve now",
    description: "No value is opened, and nothing runs.",
    tag: "secrets",
    params: projectParams,
    body: referencesInput,
    responses: { 200: stepCheckSchema },
    access: "principal",
    async handler({ vault, principal, params, body }) {
      const author = body.stepVersion === undefined ? principal.actor : undefined;
      const { references, failures, summary } = await vault.secrets.check({ ...params, ...body, author });
      return { references, failures: [...failures], summary };
    },
  }),
];
