/** The audit log as the HTTP API shows it, and its head as it is kept elsewhere. Imports nothing of ours beyond protocol/. */
import { z } from "zod";
import { givenId, pageOf, pageQuery, shownId } from "./common.ts";
import { shownList } from "./secrets.ts";

export const auditQuery = z.strictObject({
  ...pageQuery.shape,
  projectId: givenId.optional().describe("Only what happened in this project"),
});

const target = z.object({
  type: z.string(),
  id: z.string().optional(),
  name: z.string().optional(),
  version: z.int().optional(),
});

const auditEventSchema = z
  .object({
    id: shownId,
    seq: z.int().describe("Its number in the organization's log, without gaps"),
    time: z.string(),
    projectId: shownId.optional(),
    class: z.enum(["management", "data-access", "authentication", "authorization"]),
    event: z.string().describe("`thing.done`, such as `secret.set`"),
    outcome: z.enum(["success", "denied", "failure"]),
    reason: z.string().optional(),
    actor: z.object({ kind: z.enum(["system", "person", "key"]), id: z.string() }),
    via: z
      .object({ runId: z.string().optional(), stepId: z.string().optional(), keyId: z.string().optional() })
      .optional(),
    target: shownList(target).optional(),
    details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).optional(),
  })
  .meta({ id: "AuditEvent" });
export const auditPage = pageOf(auditEventSchema, "AuditPage");

const headShape = {
  seq: z.int().min(0),
  hash: z.string().max(64),
  time: z.string().max(40),
  publicKey: z.string().max(200),
  signature: z.string().max(200),
};

export const auditHeadSchema = z
  .object({ organizationId: shownId, ...headShape })
  .meta({ id: "AuditHead", description: "Where the log ends, signed; keep it where nobody of the service can write" });

export const auditVerifyInput = z
  .strictObject({
    head: z
      .strictObject({ organizationId: givenId, ...headShape })
      .optional()
      .describe("From earlier: the log must still lead through it"),
  })
  .meta({ id: "AuditVerification", examples: [{}] });

export const auditVerdictSchema = z
  .object({
    events: z.int().describe("How many were read, from the first on"),
    broken: z
      .object({ seq: z.int(), why: z.string() })
      .optional()
      .describe("The first place where the log is not what was written; absent when it is"),
  })
  .meta({ id: "AuditVerdict" });
