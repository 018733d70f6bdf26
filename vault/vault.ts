/**
 * The vault as the rest of Stepvault sees it: tenancy and secrets over one database, with the master key held inside.
 * Nothing outside vault/ handles a key, and values leave only as SecretValue, by `resolveSecrets`.
 */
import type { Queryable, Transactional } from "../database/server.ts";
import type { NetworkPolicy } from "../protocol/job.ts";
import type { SecretPolicyInput } from "../protocol/secret-policy.ts";
import type { SecretValue } from "../protocol/secret.ts";
import { contextFor } from "./acting.ts";
import type { Actor } from "./actor.ts";
import {
  type AuditEvent,
  type AuditHead,
  type AuditQuery,
  type AuditVerdict,
  listAudit,
  signAuditHead,
  verifyAudit,
} from "./audit.ts";
import { authorize } from "./authorize.ts";
import { keepMemoryOutOfCoreDumps } from "./core-dumps.ts";
import type { KeySettings } from "./key-sources.ts";
import { type MasterKey, openMasterKey } from "./master-key.ts";
import { resolveSecrets, type SecretReference } from "./resolve.ts";
import type { ActContext } from "./perform.ts";
import { promoteRootKey, retireRootKey, rewrapKeys, type RewrapResult, stageRootKey } from "./root-rotation.ts";
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
import { type Use, useSecrets } from "./use.ts";
import { manifestHead, type ManifestHead, rebuildManifest } from "./update-manifest.ts";

/** Opens the vault on a migrated database. Throws ERR_MASTER_KEY_INVALID, ERR_DATABASE. */
export async function openVault(database: Queryable & Transactional, config: KeySettings): Promise<Vault> {
  await keepMemoryOutOfCoreDumps();
  return new Vault(database, await openMasterKey(database, config));
}

export class Vault {
  readonly #database: Queryable & Transactional;
  readonly #master: MasterKey;

  constructor(database: Queryable & Transactional, master: MasterKey) {
    this.#database = database;
    this.#master = master;
  }

  /** The context for the functions of vault/ that ask who acts: members, keys, credentials. */
  as(actor: Actor): ActContext {
    return contextFor(this.#database, this.#master, actor);
  }

  /** The latest events of an organization, or of one of its projects. Throws ERR_FORBIDDEN. */
  async listAudit(actor: Actor, query: AuditQuery): Promise<AuditEvent[]> {
    await authorize(this.#database, actor, "audit.read", { organizationId: query.organizationId });
    return await listAudit(this.#database, query);
  }

  /** Where an organization's audit log ends, signed, to be kept elsewhere. Throws ERR_FORBIDDEN. */
  async auditHead(actor: Actor, organizationId: string): Promise<AuditHead> {
    await authorize(this.#database, actor, "audit.read", { organizationId });
    return await this.as(actor).withAuditKey(
      this.#database,
      organizationId,
      async (key) => await signAuditHead(this.#database, key, organizationId),
    );
  }

  /** Whether an organization's audit log is what was written; `kept` is a head from earlier. Throws ERR_FORBIDDEN. */
  async verifyAudit(actor: Actor, organizationId: string, kept?: AuditHead): Promise<AuditVerdict> {
    await authorize(this.#database, actor, "audit.read", { organizationId });
    return await this.as(actor).withAuditKey(
      this.#database,
      organizationId,
      async (key) => await verifyAudit(this.#database, key, { organizationId, kept }),
    );
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
    return deleteSecret(this.#database, this.#master, { projectId, name });
  }

  disableSecret(projectId: string, name: string): Promise<void> {
    return switchSecret(this.#database, this.#master, { projectId, name, enabled: false });
  }

  enableSecret(projectId: string, name: string): Promise<void> {
    return switchSecret(this.#database, this.#master, { projectId, name, enabled: true });
  }

  /** The values that a step's references stand for, one per distinct name. */
  resolveSecrets(projectId: string, references: readonly SecretReference[]): Promise<SecretValue[]> {
    return resolveSecrets(this.#database, this.#master, { projectId, references });
  }

  /** The same for a run, with an event in the audit log that tells which versions it got, or why none. */
  useSecrets(use: Use): Promise<SecretValue[]> {
    return useSecrets(this.as({ kind: "system", id: "worker" }), this.#master, use);
  }

  /** The counter and the code of the project's manifest, to be kept elsewhere; undefined before its first secret. */
  manifestHead(projectId: string): Promise<ManifestHead | undefined> {
    return manifestHead(this.#database, this.#master, projectId);
  }

  /** Signs the project's secrets as their rows are now, after a part of a backup was restored on purpose. */
  rebuildManifest(projectId: string): Promise<void> {
    return rebuildManifest(this.#database, this.#master, projectId);
  }

  /** Registers the root key to change to; docs/keys.md has the steps. */
  stageRootKey(): Promise<string> {
    return stageRootKey(this.#database, this.#master);
  }

  promoteRootKey(): Promise<void> {
    return promoteRootKey(this.#database, this.#master);
  }

  /** Wraps keys anew, `batch` at once, until all are under the root key in use. */
  rewrapKeys(options: { batch: number }): Promise<RewrapResult> {
    return rewrapKeys(this.#database, this.#master, options);
  }

  retireRootKey(): Promise<void> {
    return retireRootKey(this.#database);
  }

  /** Forgets the master key; the vault is of no use afterwards. */
  close(): void {
    this.#master.close();
  }
}
