/**
 * A run's use of secrets: their values, and the audit event that says which run got which versions, or why it got none. The
 * event is written before a value is handed out, so that there is no use that the log does not know.
 */
import { StepvaultError } from "../protocol/error.ts";
import type { SecretValue } from "../protocol/secret.ts";
import { appendAudit, type AuditEntry } from "./audit.ts";
import type { MasterKey } from "./master-key.ts";
import type { ActContext } from "./perform.ts";
import { resolveSecrets, type SecretReference } from "./resolve.ts";
import { getProject } from "./tenancy.ts";

export interface Use {
  readonly projectId: string;
  readonly references: readonly SecretReference[];
  readonly runId: string;
  readonly stepId?: string | undefined;
}

/** Throws what `resolveSecrets` throws, and whatever keeps the event from being written. */
export async function useSecrets(context: ActContext, master: MasterKey, use: Use): Promise<SecretValue[]> {
  const { projectId, references } = use;
  try {
    const values = await resolveSecrets(context.database, master, { projectId, references });
    if (values.length > 0) {
      const target = values.map(({ name, version }) => ({ type: "secret", name, ...(version && { version }) }));
      await record(context, use, { outcome: "success", target });
    }
    return values;
  } catch (error) {
    if (error instanceof StepvaultError && error.code.startsWith("ERR_SECRET_"))
      await record(context, use, { outcome: "failure", reason: error.code });
    throw error;
  }
}

async function record(
  context: ActContext,
  { projectId, runId, stepId }: Use,
  more: Pick<AuditEntry, "outcome" | "reason" | "target">,
): Promise<void> {
  const project = await getProject(context.database, projectId);
  const entry: AuditEntry = {
    organizationId: project.organizationId,
    projectId: project.id,
    class: "data-access",
    event: "secret.use",
    actor: context.actor,
    via: { runId, ...(stepId === undefined ? {} : { stepId }) },
    ...more,
  };
  await context.database.transaction(async (client) => {
    await context.withAuditKey(client, project.organizationId, async (key) => await appendAudit(client, key, entry));
  });
}
