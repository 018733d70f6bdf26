/**
 * The vault as the rest of Stepvault sees it: tenancy and secrets over one database, with the master key held inside.
 * Nothing outside vault/ handles a key, and values leave only as SecretValue, by `resolveSecrets`.
 */
import type { Queryable, Transactional } from "../database/server.ts";
import type { Config } from "../protocol/config.ts";
import type { NetworkPolicy } from "../protocol/job.ts";
import type { SecretPolicyInput } from "../protocol/secret-policy.ts";
import type { SecretValue } from "../protocol/secret.ts";
import { type MasterKey, openMasterKey } from "./master-key.ts";
import { resolveSecrets, type SecretReference } from "./resolve.ts";
import { deleteSecret, listSecrets, type SecretMetadata, setSecret, setSecretPolicy, switchSecret } from "./secrets.ts";
import {
  createOrganization,
  createProject,
  getProject,
  listOrganizations,
  listProjects,
  type Organization,
  type Project,
  setProjectNetwork,
} from "./tenancy.ts";

/** Opens the vault on a migrated database. Throws ERR_MASTER_KEY_INVALID, ERR_DATABASE. */
export async function openVault(
  database: Queryable & Transactional,
  config: Pick<Config, "masterKey" | "dataDir">,
): Promise<Vault> {
  return new Vault(database, await openMasterKey(database, config));
}

export class Vault {
  readonly #database: Queryable & Transactional;
  readonly #master: MasterKey;

  constructor(database: Queryable & Transactional, master: MasterKey) {
    this.#database = database;
    this.#master = master;
  }

  createOrganization(name: string): Promise<Organization> {
    return createOrganization(this.#database, name);
  }

  listOrganizations(): Promise<Organization[]> {
    return listOrganizations(this.#database);
  }

  createProject(organizationId: string, name: string): Promise<Project> {
    return createProject(this.#database, organizationId, name);
  }

  getProject(projectId: string): Promise<Project> {
    return getProject(this.#database, projectId);
  }

  listProjects(organizationId: string): Promise<Project[]> {
    return listProjects(this.#database, organizationId);
  }

  setProjectNetwork(projectId: string, network: NetworkPolicy | null): Promise<Project> {
    return setProjectNetwork(this.#database, projectId, network);
  }

  /** Stores a value as the secret's next version, with the policy that it has or another, and gives that version. */
  setSecret(projectId: string, name: string, value: string, policy?: SecretPolicyInput): Promise<number> {
    return setSecret(this.#database, this.#master, { projectId, name, value, policy });
  }

  /** Stores the same value as the secret's next version with another policy, and gives that version. */
  setSecretPolicy(projectId: string, name: string, policy: SecretPolicyInput): Promise<number> {
    return setSecretPolicy(this.#database, this.#master, { projectId, name, policy });
  }

  listSecrets(projectId: string): Promise<SecretMetadata[]> {
    return listSecrets(this.#database, projectId);
  }

  deleteSecret(projectId: string, name: string): Promise<void> {
    return deleteSecret(this.#database, projectId, name);
  }

  disableSecret(projectId: string, name: string): Promise<void> {
    return switchSecret(this.#database, { projectId, name, enabled: false });
  }

  enableSecret(projectId: string, name: string): Promise<void> {
    return switchSecret(this.#database, { projectId, name, enabled: true });
  }

  /** The values that a step's references stand for, one per distinct name. */
  resolveSecrets(projectId: string, references: readonly SecretReference[]): Promise<SecretValue[]> {
    return resolveSecrets(this.#database, this.#master, { projectId, references });
  }

  /** Forgets the master key; the vault is of no use afterwards. */
  close(): void {
    this.#master.key.fill(0);
  }
}
