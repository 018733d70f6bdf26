/** A value or key that was found somewhere: what it is, and ending it. The text is in the request's body only. */
import { endedLeakSchema, leakEnd, leakSchema, leakSearch } from "../../protocol/http/leaks.ts";
import { organizationParams } from "../../protocol/http/organizations.ts";
import { defineRoute, type Route } from "../route.ts";

/** For 256 KiB of text, and what JSON escapes of it. */
const leakBytesMax = 2 * 1024 * 1024;

export const leakRoutes: readonly Route[] = [
  defineRoute({
    method: "POST",
    path: "/v1/organizations/:organizationId/leaks/search",
    operationId: "searchLeak",
    summary: "What the organization has of a text that was found somewhere, and who could read and used it",
    description: "Values are compared by fingerprints and nothing is opened. The audit log tells of each search.",
    tag: "leaks",
    params: organizationParams,
    body: leakSearch,
    responses: { 200: leakSchema },
    access: "principal",
    bodyBytesMax: leakBytesMax,
    handler: async ({ vault, params, body }) => await vault.leaks.find({ ...params, ...body }),
  }),
  defineRoute({
    method: "POST",
    path: "/v1/organizations/:organizationId/leaks/end",
    operationId: "endLeak",
    summary: "End what a search for the same text finds: revoke keys, switch off or replace values",
    description:
      "Each is a change of its own; one that fails does not keep the others. Sent again, it ends what is left.",
    tag: "leaks",
    params: organizationParams,
    body: leakEnd,
    responses: { 200: endedLeakSchema },
    access: "principal",
    bodyBytesMax: leakBytesMax,
    handler: async ({ vault, params, body }) => await vault.leaks.end({ ...params, ...body }),
  }),
];
