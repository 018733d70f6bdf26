/**
 * The vault as the rest of Stepvault sees it. A `Vault` always acts as somebody: the one that is opened as the operator,
 * `as()` as anybody else, and what they may do is asked at each call. Nothing outside vault/ handles a key, and values
 * leave as SecretValue only, by `secrets.use` for a run and `secrets.reveal` for a person.
 */
import type { Queryable, Transactional } from "../database/server.ts";
import type { Config } from "../protocol/config.ts";
import { type ErrorCode, StepvaultError } from "../protocol/error.ts";
import type { Action } from "../protocol/roles.ts";
import { contextFor } from "./audit/acting.ts";
import { type Actor, operator } from "./tenancy/actor.ts";
import { auditActions } from "./audit/audit-actions.ts";
import type { Permission, Place } from "./tenancy/authorize.ts";
import { bind, type Bound } from "./bind.ts";
import type { SecretContext } from "./secrets/context.ts";
import { keepMemoryOutOfCoreDumps } from "./encryption/core-dumps.ts";
import { credentialActions } from "./credentials/credential-actions.ts";
import type { CredentialContext } from "./credentials/credentials.ts";
import { forgetPeppers, openPeppers } from "./platform-keys/deployment-keys.ts";
import { checkReferences, explainSecret } from "./secrets/explain.ts";
import type { Gates } from "./credentials/gates.ts";
import { agentActions, embedKeyActions, keyActions, type KeyContext } from "./platform-keys/key-actions.ts";
import type { KeySettings } from "./encryption/key-sources.ts";
import type { KeyIssuer } from "./platform-keys/keys.ts";
import { createSources, type SecretSources } from "./sources/kv-source.ts";
import { leakActions } from "./secrets/leaks.ts";
import { type MasterKey, openMasterKey } from "./encryption/master-key.ts";
import { revealSecret } from "./secrets/reveal.ts";
import { peopleActions } from "./people/people-actions.ts";
import { type Around, permit } from "./audit/perform.ts";
import {
  promoteRootKey,
  retireRootKey,
  rewrapKeys,
  type RewrapResult,
  stageRootKey,
} from "./encryption/root-rotation.ts";
import { secretAccess } from "./secrets/secret-access.ts";
import {
  deleteSecret,
  destroySecret,
  endUnusedVersions,
  listTombstones,
  restoreSecret,
} from "./secrets/secret-ends.ts";
import { listSecrets, listVersions, verifySecrets } from "./secrets/secret-lists.ts";
import { changeMetadata, switchSecret } from "./secrets/secret-metadata.ts";
import { listStale, listUnused, listUses, whoWouldBreak } from "./secrets/secret-uses.ts";
import { rollbackSecret, setSecret, setSecretPolicy } from "./secrets/secrets.ts";
import { tenancyActions } from "./tenancy/tenancy-actions.ts";
import { exportSecrets, importSecrets, previewImport } from "./secrets/transfer.ts";
import { type Holder, manifestHead, type ManifestHead, rebuildManifest } from "./encryption/update-manifest.ts";
import { useSecrets } from "./secrets/use.ts";

export type VaultSettings = KeySettings & Pick<Config, "secretSourcesFile" | "region" | "gates">;

export interface VaultListeners {
  /** Told of a denial that could not be recorded: whoever was denied gets their own error. */
  readonly onDenialLost?: ((error: unknown) => void) | undefined;
}

/** Opens the vault on a migrated database. Throws ERR_MASTER_KEY_INVALID, ERR_KMS_UNAVAILABLE, ERR_CONFIG_INVALID, ERR_DATABASE. */
export async function openVault(
  database: Queryable & Transactional,
  config: VaultSettings,
  { onDenialLost }: VaultListeners = {},
): Promise<Vault> {
  await keepMemoryOutOfCoreDumps();
  const { region, gates } = config;
  const sources = await createSources(config);
  const master = await openMasterKey(database, config);
  try {
    const pepper = await openPeppers(database, master);
    const parts = { database, master, sources, issuer: { region, pepper }, gates, strays: new Map(), onDenialLost };
    return new Vault(parts, operator);
  } catch (error) {
    master.close();
    throw error;
  }
}

const secretActions = {
  set: setSecret,
  setPolicy: setSecretPolicy,
  change: changeMetadata,
  switch: switchSecret,
  rollback: rollbackSecret,
  delete: deleteSecret,
  restore: restoreSecret,
  destroy: destroySecret,
  tombstones: listTombstones,
  list: listSecrets,
  access: secretAccess,
  versions: listVersions,
  verify: verifySecrets,
  explain: explainSecret,
  check: checkReferences,
  reveal: revealSecret,
  use: useSecrets,
  uses: listUses,
  unused: listUnused,
  stale: listStale,
  whoWouldBreak,
  endUnused: endUnusedVersions,
  previewImport,
  import: importSecrets,
  export: exportSecrets,
} as const;

interface Parts extends VaultListeners {
  readonly database: Queryable & Transactional;
  readonly master: MasterKey;
  readonly sources: SecretSources;
  readonly issuer: KeyIssuer;
  readonly gates: Gates;
  /** How many times something was presented as a key that is none, by the code of the refusal. */
  readonly strays: Map<ErrorCode, number>;
  readonly around?: Around | undefined;
}

export class Vault {
  readonly actor: Actor;
  readonly secrets: Bound<typeof secretActions>;
  readonly tenancy: Bound<typeof tenancyActions>;
  readonly audit: Bound<typeof auditActions>;
  readonly keys: Bound<typeof keyActions>;
  readonly embedKeys: Bound<typeof embedKeyActions>;
  readonly agents: Bound<typeof agentActions>;
  readonly credentials: Bound<typeof credentialActions>;
  readonly leaks: Bound<typeof leakActions>;
  readonly people: Bound<typeof peopleActions>;
  readonly #parts: Parts;
  readonly #context: SecretContext & KeyContext & CredentialContext;

  constructor(parts: Parts, actor: Actor) {
    this.actor = actor;
    this.#parts = parts;
    const context = {
      ...contextFor(parts.database, parts.master, actor),
      ...parts,
    };
    this.#context = context;
    this.secrets = bind(context, secretActions);
    this.tenancy = bind(context, tenancyActions);
    this.audit = bind(context, auditActions);
    this.keys = bind(context, keyActions);
    this.embedKeys = bind(context, embedKeyActions);
    this.agents = bind(context, agentActions);
    this.credentials = bind(context, credentialActions);
    this.leaks = bind(context, leakActions);
    this.people = bind(context, peopleActions);
  }

  /** The same vault for somebody else. */
  as(actor: Actor): Vault {
    return new Vault(this.#parts, actor);
  }

  /** The same vault with something around each change, in its transaction, once it is allowed; it may refuse the change. */
  around(around: Around): Vault {
    return new Vault({ ...this.#parts, around }, this.actor);
  }

  /** Whether the actor may do something in a place; the denial is recorded. Throws what `authorize` throws. */
  async authorize(action: Action, place: Place): Promise<Permission> {
    return await permit(this.#context, { action, place, event: action });
  }

  /** The counter and the code of a manifest, a project's or an organization's, to be kept elsewhere; undefined while there is none. */
  async manifestHead(holder: Holder): Promise<ManifestHead | undefined> {
    this.#requireOperator("see a manifest");
    return await manifestHead(this.#parts.database, this.#parts.master, holder);
  }

  /** Signs the secrets of a project or of an organization as their rows are now, after a part of a backup was restored on purpose. */
  async rebuildManifest(holder: Holder): Promise<void> {
    this.#requireOperator("sign a project's secrets anew");
    await rebuildManifest(this.#parts.database, this.#parts.master, holder);
  }

  /** Registers the root key to change to; docs/keys.md has the steps. */
  async stageRootKey(): Promise<string> {
    this.#requireOperator("change the root key");
    return await stageRootKey(this.#parts.database, this.#parts.master);
  }

  async promoteRootKey(): Promise<void> {
    this.#requireOperator("change the root key");
    await promoteRootKey(this.#parts.database, this.#parts.master);
  }

  /** Wraps keys anew, `batch` at once, until all are under the root key in use. */
  async rewrapKeys(options: { batch: number }): Promise<RewrapResult> {
    this.#requireOperator("change the root key");
    return await rewrapKeys(this.#parts.database, this.#parts.master, options);
  }

  async retireRootKey(): Promise<void> {
    this.#requireOperator("change the root key");
    await retireRootKey(this.#parts.database);
  }

  /** How often something was presented as a key of this deployment and is none, by why. */
  strayKeys(): ReadonlyMap<ErrorCode, number> {
    return this.#parts.strays;
  }

  /** Forgets the keys and what was read elsewhere; no vault that was made from this one is of use afterwards. */
  close(): void {
    this.#parts.sources.close();
    forgetPeppers(this.#parts.issuer.pepper);
    this.#parts.master.close();
  }

  #requireOperator(action: string): void {
    if (this.actor.kind === "system") return;
    throw new StepvaultError("ERR_FORBIDDEN", `Cannot ${action}: it takes the operator`);
  }
}
