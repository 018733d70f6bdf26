/**
 * Short ways to the vault for tests that are about something else: secrets of a project by name, as the operator. What the
 * tests of the vault itself are about is written out there.
 */
import { createId } from "../../protocol/ids.ts";
import type { SecretPolicyInput } from "../../protocol/secret-policy.ts";
import type { SecretValue } from "../../protocol/secret.ts";
import type { SecretReference } from "../../vault/secrets/resolve.ts";
import type { SecretMetadata } from "../../vault/secrets/secret-lists.ts";
import type { Queryable } from "../../database/server.ts";
import { provideProjectKey } from "../../vault/encryption/data-keys.ts";
import type { MasterKey } from "../../vault/encryption/master-key.ts";
import { createProject as createProjectRow, type Organization, type Project } from "../../vault/tenancy/tenancy.ts";
import type { Vault } from "../../vault/vault.ts";

export async function createOrganization(vault: Vault, name: string): Promise<Organization> {
  return await vault.tenancy.createOrganization(name);
}

export async function createProject(vault: Vault, organizationId: string, name: string): Promise<Project> {
  return await vault.tenancy.createProject({ organizationId, name });
}

/** A project as the vault makes it, with the key that proves whose it is, where there is no vault but its rows and keys. */
export async function createProvenProject(
  database: Queryable,
  master: MasterKey,
  { organizationId, name }: { organizationId: string; name: string },
): Promise<Project> {
  const project = await createProjectRow(database, organizationId, name);
  await provideProjectKey(database, master, project);
  return project;
}

// oxlint-disable-next-line max-params -- as short as can be is what it is for.
export async function setSecret(
  vault: Vault,
  projectId: string,
  name: string,
  value: string,
  policy?: SecretPolicyInput,
): Promise<number> {
  return await vault.secrets.set({ place: { projectId }, name, value, policy });
}

// oxlint-disable-next-line max-params -- as above.
export async function setSecretPolicy(
  vault: Vault,
  projectId: string,
  name: string,
  policy: SecretPolicyInput,
): Promise<number> {
  return await vault.secrets.setPolicy({ place: { projectId }, name, policy });
}

export async function listSecrets(vault: Vault, projectId: string): Promise<SecretMetadata[]> {
  return await vault.secrets.list({ place: { projectId } });
}

export async function deleteSecret(vault: Vault, projectId: string, name: string): Promise<void> {
  await vault.secrets.delete({ place: { projectId }, name });
}

export async function disableSecret(vault: Vault, projectId: string, name: string): Promise<void> {
  await vault.secrets.switch({ place: { projectId }, name, enabled: false });
}

export async function enableSecret(vault: Vault, projectId: string, name: string): Promise<void> {
  await vault.secrets.switch({ place: { projectId }, name, enabled: true });
}

/** As a run would get them. */
export async function resolveSecrets(
  vault: Vault,
  projectId: string,
  references: readonly SecretReference[],
): Promise<SecretValue[]> {
  return await vault.secrets.use({ projectId, references, runId: createId() });
}
