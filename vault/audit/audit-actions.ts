/** Reading and checking an organization's audit log, for who may: audit.ts does it for anybody who has its key. */
import {
  type AuditEvent,
  type AuditHead,
  type AuditQuery,
  type AuditVerdict,
  listAudit,
  signAuditHead,
  verifyAudit,
} from "./audit.ts";
import { type ActContext, permit } from "./perform.ts";

/** The latest events of an organization, or of one of its projects. Throws ERR_FORBIDDEN. */
async function list(context: ActContext, query: AuditQuery): Promise<AuditEvent[]> {
  const { organizationId } = await authorizeReading(context, query.organizationId);
  return await listAudit(context.database, { ...query, organizationId });
}

/** Where the log ends, signed, to be kept elsewhere. Throws ERR_FORBIDDEN. */
async function head(context: ActContext, asked: { organizationId: string }): Promise<AuditHead> {
  const { organizationId } = await authorizeReading(context, asked.organizationId);
  return await context.withAuditKey(
    context.database,
    organizationId,
    async (key) => await signAuditHead(context.database, key, organizationId),
  );
}

/** Whether the log is what was written; `kept` is a head from earlier. Throws ERR_FORBIDDEN, ERR_AUDIT_HEAD_INVALID. */
async function verify(
  context: ActContext,
  { kept, ...asked }: { organizationId: string; kept?: AuditHead | undefined },
): Promise<AuditVerdict> {
  const { organizationId } = await authorizeReading(context, asked.organizationId);
  return await context.withAuditKey(
    context.database,
    organizationId,
    async (key) => await verifyAudit(context.database, key, { organizationId, kept }),
  );
}

async function authorizeReading(context: ActContext, organizationId: string): Promise<{ organizationId: string }> {
  return await permit(context, { action: "audit.read", place: { organizationId }, event: "audit.read" });
}

export const auditActions = { list, head, verify } as const;
