/** The audit log of an organization: its events, where it ends, and whether it is what was written. */
import { z } from "zod";
import {
  auditHeadSchema,
  auditPage,
  auditQuery,
  auditVerdictSchema,
  auditVerifyInput,
} from "../../protocol/http/audit.ts";
import { organizationParams } from "../../protocol/http/organizations.ts";
import { decodeCursor, pageOfRows } from "../paging.ts";
import { defineRoute, type Route } from "../route.ts";

const seqKey = z.tuple([z.int().min(1)]);

export const auditRoutes: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/organizations/:organizationId/audit",
    operationId: "listAuditEvents",
    summary: "What happened in the organization, the latest first",
    tag: "audit",
    params: organizationParams,
    query: auditQuery,
    responses: { 200: auditPage },
    access: "principal",
    async handler({ vault, params, query }) {
      const { limit, cursor, projectId } = query;
      const before = cursor === undefined ? undefined : decodeCursor(cursor, seqKey)[0];
      const events = await vault.audit.list({ ...params, projectId, before, limit: limit + 1 });
      return pageOfRows(events, limit, ({ seq }) => [seq]);
    },
  }),
  defineRoute({
    method: "GET",
    path: "/v1/organizations/:organizationId/audit/head",
    operationId: "getAuditHead",
    summary: "Where the audit log ends, signed, to be kept elsewhere",
    tag: "audit",
    params: organizationParams,
    responses: { 200: auditHeadSchema },
    access: "principal",
    handler: async ({ vault, params }) => await vault.audit.head(params),
  }),
  defineRoute({
    method: "POST",
    path: "/v1/organizations/:organizationId/audit/verify",
    operationId: "verifyAudit",
    summary: "Read the whole audit log, and tell the first place where it is not what was written",
    tag: "audit",
    params: organizationParams,
    body: auditVerifyInput,
    responses: { 200: auditVerdictSchema },
    access: "principal",
    handler: async ({ vault, params, body }) => await vault.audit.verify({ ...params, kept: body.head }),
  }),
];
