/** A vault with two organizations and a person who is in both, for the tests of signing in. Time stands where a test puts it. */
import type { AuditEvent } from "../../../vault/audit/audit.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";

export const now = new Date("2026-11-21T12:00:30.000Z");
export const later = (timeMs: number): Date => new Date(now.getTime() + timeMs);
export const minuteMs = 60_000;
export const hourMs = 60 * minuteMs;
export const dayMs = 24 * hourMs;

export interface People extends Temporary {
  readonly vault: Vault;
  readonly organizationIds: readonly [string, string];
  readonly projectId: string;
  /** What the log of an organization has of signing in, oldest first. */
  events(organizationId?: string): Promise<AuditEvent[]>;
  link(personId?: string, at?: Date): Promise<string>;
  /** The token of a new session. */
  session(personId?: string, at?: Date): Promise<{ token: string; id: string }>;
  close(): Promise<void>;
}

export async function openPeople(): Promise<People> {
  const temporary = await openTemporary();
  const vault = await openVault(temporary.database, temporary.config);
  const first = (await vault.tenancy.createOrganization("Acme")).id;
  const second = (await vault.tenancy.createOrganization("Other")).id;
  const projectId = (await vault.tenancy.createProject({ organizationId: first, name: "Support" })).id;
  for (const [organizationId, personId, role] of [
    [first, "ada", "owner"],
    [first, "bob", "member"],
    [second, "ada", "owner"],
  ] as const)
    await vault.tenancy.setOrganizationMember({ organizationId, personId, name: personId, role });
  const link = async (personId = "ada", at = now): Promise<string> =>
    (await vault.people.createSignInLink({ personId, now: at })).token;
  return {
    ...temporary,
    vault,
    organizationIds: [first, second],
    projectId,
    async events(organizationId = first) {
      const events = await vault.audit.list({ organizationId, limit: 100 });
      return events.filter((event) => event.class === "authentication").reverse();
    },
    link,
    async session(personId, at = now) {
      const { token, session } = await vault.people.signIn({ token: await link(personId, at), now: at });
      return { token, id: session.id };
    },
    async close() {
      vault.close();
      await temporary.dispose();
    },
  };
}
