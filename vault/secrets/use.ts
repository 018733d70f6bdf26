/**
 * A run's use of secrets: their values, the audit event that says which run got which versions, or why it got none, and the
 * ledger of uses. Both are written before a value is handed out, so that there is no use that nobody knows of.
 */
import type { Queryable } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import type { SecretValue } from "../../protocol/secret.ts";
import { appendAudit, type AuditEntry } from "../audit/audit.ts";
import type { SecretContext } from "./context.ts";
import type { ProjectIds } from "../encryption/data-keys.ts";
import { type Resolved, resolveSecrets, type References } from "./resolve.ts";
import { getProject, parseId } from "../tenancy/tenancy.ts";
import { Turns } from "./turns.ts";

export interface Use extends Omit<References, "author"> {
  readonly runId: string;
  /** Who had the run made, as far as the orchestrator says: an agent, a key, a person. */
  readonly caller?: string | undefined;
}

const callerCharactersMax = 200;

/** Of each database, the uses that are being written, by their organization. */
const turns = new WeakMap<object, Turns>();

/** Throws what `resolveSecrets` throws, ERR_FORBIDDEN for people and keys, and whatever keeps the event from being written. */
export async function useSecrets(context: SecretContext, use: Use): Promise<SecretValue[]> {
  if (context.actor.kind !== "system")
    throw new StepvaultError("ERR_FORBIDDEN", "Cannot use secrets: runs do, and people may be shown a value");
  try {
    // Who saved the step is what the database says, whatever a caller says.
    const resolved = await resolveSecrets(context, { ...use, author: undefined });
    if (resolved.length === 0) return [];
    const target = resolved.map(({ value: { name }, secretId: id, version }) => ({
      type: "secret",
      id,
      name,
      version,
    }));
    const project = { id: parseId(use.projectId, "project"), organizationId: resolved[0]!.organizationId };
    await record(context, { use, project }, { resolved, outcome: "success", target });
    return resolved.map(({ value }) => value);
  } catch (error) {
    // What cannot be recorded, as when the organization's key was changed, still fails for its own reason.
    if (error instanceof StepvaultError && error.code.startsWith("ERR_SECRET_"))
      await recordFailure(context, use, error).catch(() => {});
    throw error;
  }
}

async function recordFailure(context: SecretContext, use: Use, { code }: StepvaultError): Promise<void> {
  const project = await getProject(context.database, use.projectId);
  await record(context, { use, project }, { resolved: [], outcome: "failure", reason: code });
}

/** The event and the ledger, in one transaction; a use waits for others of its organization, and for no one else. */
async function record(
  context: SecretContext,
  { use, project }: { use: Use; project: ProjectIds },
  { resolved, ...more }: { resolved: readonly Resolved[] } & Pick<AuditEntry, "outcome" | "reason" | "target">,
): Promise<void> {
  const { database } = context;
  const { runId, stepId } = use;
  const entry: AuditEntry = {
    organizationId: project.organizationId,
    projectId: project.id,
    class: "data-access",
    event: "secret.use",
    actor: context.actor,
    via: { runId, ...(stepId === undefined ? {} : { stepId }) },
    ...more,
  };
  const ofDatabase = turns.get(database) ?? new Turns();
  turns.set(database, ofDatabase);
  await ofDatabase.take(project.organizationId, async () => {
    await database.transaction(async (client) => {
      await writeUses(client, { ...use, projectId: project.id }, resolved);
      await context.withAuditKey(client, project.organizationId, async (key) => await appendAudit(client, key, entry));
    });
  });
}

/** One row for each secret, version, project, step and caller, whatever the number of runs. */
async function writeUses(client: Queryable, use: Use, resolved: readonly Resolved[]): Promise<void> {
  if (resolved.length === 0) return;
  const { projectId, stepId = "", runId, now = new Date() } = use;
  // The same order for all, so that two runs never wait for each other; and each once, as an alias names one again.
  const versions = new Map(resolved.map(({ secretId, version }) => [secretId, version]));
  const sorted = [...versions].sort(([a], [b]) => (a < b ? -1 : 1));
  await client.query(
    `insert into secret_uses (secret_id, version, project_id, step_id, caller, first_used_at, last_used_at, last_run_id)
     select id, version, $3, $4, $5, $6, $6, $7 from unnest($1::uuid[], $2::int[]) with ordinality as u (id, version, place)
     order by place
     on conflict (secret_id, version, project_id, step_id, caller) do update set uses = secret_uses.uses + 1,
       last_used_at = greatest(secret_uses.last_used_at, excluded.last_used_at), last_run_id = excluded.last_run_id`,
    [
      sorted.map(([id]) => id),
      sorted.map(([, version]) => version),
      projectId,
      stepId,
      callerText(use.caller),
      now,
      runId,
    ],
  );
}

/** What is no short text is not kept: it comes from outside. */
function callerText(caller = ""): string {
  return /^[\x21-\x7e]*$/.test(caller) && caller.length <= callerCharactersMax ? caller : "";
}
