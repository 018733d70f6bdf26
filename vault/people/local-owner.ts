/**
 * The person whom a deployment has from its first start on, when nobody else says who people are. They get an organization
 * of their own only while there is none at all: whoever made one decided who is in it.
 */
import { appendAudit, type AuditEntry } from "../audit/audit.ts";
import { provideProjectKey } from "../encryption/data-keys.ts";
import type { SecretContext } from "../secrets/context.ts";
import { setOrganizationMember } from "../tenancy/members.ts";
import { createOrganization, createProject } from "../tenancy/tenancy.ts";
import { type PeopleContext, requireOperator } from "./people-context.ts";

/** No issuer's person can have it: their ids begin with the issuer's URL. */
const localPersonId = "local";

/** Any fixed number; processes that start at once take turns. */
const firstStartLock = 7_308_332_045_514_015;

/**
 * Gives the local person's id, and the organization that was made for them, if one was: named Default, with a project of the
 * same name. Throws ERR_FORBIDDEN for anybody but the operator.
 */
export async function ensureLocalOwner(
  context: SecretContext & PeopleContext,
): Promise<{ personId: string; organizationId: string | undefined }> {
  requireOperator(context, "make the first organization");
  const personId = localPersonId;
  return await context.database.transaction(async (client) => {
    await client.query("select pg_advisory_xact_lock($1)", [firstStartLock]);
    const { rows } = await client.query("select 1 from organizations limit 1");
    if (rows.length > 0) return { personId, organizationId: undefined };
    const organization = await createOrganization(client, "Default");
    const organizationId = organization.id;
    const project = await createProject(client, organizationId, "Default");
    await provideProjectKey(client, context.master, project);
    await setOrganizationMember(client, { organizationId, personId, name: "Owner", role: "owner" });
    const usual = {
      organizationId,
      class: "management",
      outcome: "success",
      actor: context.actor,
    } as const;
    const entries: AuditEntry[] = [
      { ...usual, event: "organization.create", target: [{ type: "organization", ...named(organization) }] },
      { ...usual, event: "project.create", target: [{ type: "project", ...named(project) }] },
      { ...usual, event: "member.set", target: [{ type: "person", id: personId }], details: { role: "owner" } },
    ];
    await context.withAuditKey(client, organizationId, async (key) => {
      for (const entry of entries) await appendAudit(client, key, entry);
    });
    return { personId, organizationId };
  });
}

function named({ id, name }: { id: string; name: string }): { id: string; name: string } {
  return { id, name };
}
