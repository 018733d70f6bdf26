/**
 * Secrets: what there is, what is known of one besides its value, whether it is in use, and its end. Values are in
 * secret-values.ts, what is asked about secrets in secret-questions.ts, many at once in secret-transfers.ts.
 */
import { noContent, pageQuery } from "../../protocol/http/common.ts";
import {
  destroyedSchema,
  destroyInput,
  secretChange,
  secretNames,
  secretPage,
  secretSchema,
} from "../../protocol/http/secrets.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { etagOf } from "../etag.ts";
import { pageByKey } from "../pages-by-key.ts";
import type { Route } from "../route.ts";
import { byName } from "./secret-order.ts";
import { forBothPlaces } from "./secret-places.ts";
import { secretQuestionRoutes } from "./secret-questions.ts";
import { secretTransferRoutes } from "./secret-transfers.ts";
import { secretValueRoutes } from "./secret-values.ts";

const ownRoutes: readonly Route[] = [
  ...forBothPlaces({
    method: "GET",
    path: "/secrets",
    operationId: "listSecrets",
    summary: "The secrets by name, without values; of a project its own and then those that it inherits",
    names: {},
    query: pageQuery,
    responses: { 200: secretPage },
    handler: async ({ vault, place, query }) => pageByKey(await vault.secrets.list({ place }), query, byName),
  }),
  ...forBothPlaces({
    method: "GET",
    path: "/secrets/:secretName",
    operationId: "getSecret",
    summary: "What is known of a secret besides its value",
    description:
      "In a project it is the project's own if there is one, also when it is deleted, else the one that it inherits. The " +
      "ETag is the version, which a change of the description and the like leaves as it is; an inherited one has none.",
    names: secretNames,
    responses: { 200: secretSchema },
    async handler({ vault, place, params, reply }) {
      const name = params.secretName;
      const secret = (await vault.secrets.list({ place })).find((one) => one.name === name);
      if (secret === undefined)
        throw new StepvaultError("ERR_SECRET_UNKNOWN", `Cannot show the secret ${name}: there is none of this name`);
      if (!secret.inherited) reply.header("etag", etagOf(secret.version));
      return secret;
    },
  }),
  ...forBothPlaces({
    method: "PATCH",
    path: "/secrets/:secretName",
    operationId: "changeSecret",
    summary: "Change what is given of a secret's description, tags, expiry, reminder and access",
    names: secretNames,
    body: secretChange,
    responses: { 204: noContent },
    handler: async ({ vault, place, params, body }) =>
      await vault.secrets.change({ place, name: params.secretName, ...body }),
  }),
  ...(["disable", "enable"] as const).flatMap((action) =>
    forBothPlaces({
      method: "POST",
      path: `/secrets/:secretName/${action}`,
      operationId: `${action}Secret`,
      summary:
        action === "enable" ? "Switch a secret on again" : "Switch a secret off: runs that refer to it are rejected",
      names: secretNames,
      responses: { 204: noContent },
      handler: async ({ vault, place, params }) =>
        await vault.secrets.switch({ place, name: params.secretName, enabled: action === "enable" }),
    }),
  ),
  ...forBothPlaces({
    method: "DELETE",
    path: "/secrets/:secretName",
    operationId: "deleteSecret",
    summary: "Delete a secret; it can be restored with all its versions",
    names: secretNames,
    responses: { 204: noContent },
    handler: async ({ vault, place, params }) => await vault.secrets.delete({ place, name: params.secretName }),
  }),
  ...forBothPlaces({
    method: "POST",
    path: "/secrets/:secretName/restore",
    operationId: "restoreSecret",
    summary: "Undo the deletion of a secret",
    names: secretNames,
    responses: { 204: noContent },
    handler: async ({ vault, place, params }) => await vault.secrets.restore({ place, name: params.secretName }),
  }),
  ...forBothPlaces({
    method: "POST",
    path: "/secrets/:secretName/destroy",
    operationId: "destroySecret",
    summary: "Destroy versions of a secret, or all of it, for good",
    names: secretNames,
    body: destroyInput,
    responses: { 200: destroyedSchema },
    async handler({ vault, place, params, body }) {
      const name = params.secretName;
      const versions = body.versions === "all" ? undefined : body.versions;
      return { name, destroyed: await vault.secrets.destroy({ place, name, versions }) };
    },
  }),
];

export const secretRoutes: readonly Route[] = [
  ...ownRoutes,
  ...secretValueRoutes,
  ...secretQuestionRoutes,
  ...secretTransferRoutes,
];
