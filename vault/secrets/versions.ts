/**
 * Versions of secrets: a value and its policy, sealed together under a key of the version's own. The policy stands readable
 * in the row and is bound to the ciphertext, so that whoever edits, removes or exchanges it gets no value; whoever puts an
 * older row back gets none either, as the project's manifest has another. The only place that decrypts a secret.
 */
import { createHash, randomBytes } from "node:crypto";
import type { Queryable } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import type { SecretPolicy } from "../../protocol/secret-policy.ts";
import type { Actor } from "../tenancy/actor.ts";
import { deriveKey, keyBytes, open, seal, SealBrokenError, withKey } from "../encryption/crypto.ts";
import { provideProjectKey, unwrapProjectKey } from "../encryption/data-keys.ts";
import { fingerprintValue } from "./fingerprints.ts";
import { digestOfVersion, stateOf, versionsKept } from "../encryption/manifest.ts";
import type { MasterKey } from "../encryption/master-key.ts";
import { charactersOf, checkFit, parsePolicyText, policyText } from "./policies.ts";
import { type OpenProject, type StoredVersion, withOpenProject } from "./stored-versions.ts";
import type { Project } from "../tenancy/tenancy.ts";
import { type ChangedState, updateManifest } from "../encryption/update-manifest.ts";

/** The redactor masks nothing shorter, blanks around it aside: it would match ordinary text. */
const maskableCharactersMin = 4;

/** Everything that a sealed value is bound to. */
interface ValueContext {
  readonly organizationId: string;
  readonly projectId: string;
  readonly secretId: string;
  readonly name: string;
  readonly version: number;
  readonly dataKeyId: string;
  readonly policy: string | null;
}

function valueContext(context: ValueContext): string[] {
  const { organizationId, projectId, secretId, name, version, dataKeyId, policy } = context;
  const parts = ["secret value", organizationId, projectId, secretId, name, String(version), dataKeyId];
  return policy === null ? parts : [...parts, policy];
}

/** A version's key is bound to its row and, by the project key's id, to its parent. */
function versionKeyContext({ organizationId, projectId, secretId, version, dataKeyId }: ValueContext): string[] {
  return ["version key", organizationId, projectId, dataKeyId, secretId, String(version)];
}

const wrapPurpose = "wrap version key";
const broken = "its stored value and policy are not those that were sealed for it";

/**
 * The value and the policy that were sealed together, and the latest version that was sealed. `refuse` makes the error, ERR_SECRET_TAMPERED, of a reason why they
 * are not had. Throws ERR_MASTER_KEY_INVALID, ERR_KMS_UNAVAILABLE.
 */
export async function openVersion(
  master: MasterKey,
  stored: StoredVersion,
  refuse: (why: string) => StepvaultError,
): Promise<{ value: string; policy: SecretPolicy; sealedAt: number }> {
  try {
    return await withOpenProject(master, stored.project, (project) => ({
      ...openInProject(project, stored, refuse),
      sealedAt: project.manifest?.get(stored.name)?.history.sealedAt ?? 0,
    }));
  } catch (error) {
    if (error instanceof SealBrokenError) throw refuse(broken);
    throw error;
  }
}

/** Whether the row of a version and its secret's state are those that were last written, without opening it. */
export async function proveVersion(
  master: MasterKey,
  stored: StoredVersion,
  refuse: (why: string) => StepvaultError,
): Promise<void> {
  try {
    await withOpenProject(master, stored.project, (project) => checkListed(project, stored, refuse));
  } catch (error) {
    if (error instanceof SealBrokenError) throw refuse(broken);
    throw error;
  }
}

/** As openVersion(), with the project's key at hand. */
export function openInProject(
  project: OpenProject,
  stored: StoredVersion,
  refuse: (why: string) => StepvaultError,
): { value: string; policy: SecretPolicy } {
  checkListed(project, stored, refuse);
  if (stored.destroyed) throw refuse("its value was destroyed");
  const { ciphertext, dataKeyId } = stored;
  if (ciphertext === null || dataKeyId === null || dataKeyId !== project.keyId) throw refuse(broken);
  // A version's key came together with the manifest: without that, the project's key was put back.
  if (project.manifest === undefined && stored.wrappedKey !== null) throw refuse(broken);
  const context = { ...stored, organizationId: stored.project.organizationId, projectId: stored.project.id, dataKeyId };
  let plaintext: Buffer | undefined;
  try {
    plaintext = openValue(project, { ciphertext, wrappedKey: stored.wrappedKey, context });
    // Only now: before, the text is what anybody may have written into the row.
    const policy = parsePolicyText(stored.policy);
    if (policy === undefined)
      throw refuse("its policy was sealed by a Stepvault whose policies this one does not know");
    return { value: plaintext.toString("utf8"), policy };
  } catch (error) {
    if (error instanceof SealBrokenError) throw refuse(broken);
    throw error;
  } finally {
    plaintext?.fill(0);
  }
}

function openValue(
  { key }: OpenProject,
  sealed: { ciphertext: Buffer; wrappedKey: Buffer | null; context: ValueContext },
): Buffer {
  const { ciphertext, wrappedKey, context } = sealed;
  // From before versions had keys.
  if (wrappedKey === null) return open(key, valueContext(context), ciphertext);
  const versionKey = withKey(deriveKey(key, wrapPurpose), (wrapKey) =>
    open(wrapKey, versionKeyContext(context), wrappedKey),
  );
  return withKey(versionKey, () => open(versionKey, valueContext(context), ciphertext));
}

/** Whether row and state are those that were last written; a project in the old format has nothing that could tell. */
export function checkListed(
  { manifest }: OpenProject,
  stored: StoredVersion,
  refuse: (why: string) => StepvaultError,
): void {
  if (manifest === undefined) return;
  const entry = manifest.get(stored.name);
  if (entry?.version !== stored.current) throw refuse(broken);
  if (stored.version === stored.current) {
    const ciphertextDigest = stored.ciphertext && createHash("sha256").update(stored.ciphertext).digest();
    if (entry.digest !== digestOfVersion({ ...stored, ciphertextDigest })) throw refuse(broken);
    // Of earlier versions only the number is known: each is sealed once, and what is gone does not come back.
  } else if (
    stored.version > stored.current ||
    stored.version <= stored.current - versionsKept ||
    stored.version < entry.history.since
  )
    throw refuse(broken);
  if (entry.state.destroyed.includes(stored.version) !== stored.destroyed) throw refuse(broken);
  const { disabled, deleted, expiresAt, access } = stateOf(stored);
  if (entry.state.disabled !== disabled)
    throw refuse("its row was switched on or off past Stepvault; switch it on or off anew");
  if (entry.state.deleted !== deleted || entry.state.expiresAt !== expiresAt || entry.state.access !== access)
    throw refuse("its row was changed past Stepvault; set its expiry and its projects anew, and delete or restore it");
}

/**
 * Stores the next version of a secret, whose row the transaction has locked, and gives its number. Throws
 * ERR_SECRET_VALUE_INVALID when the value is too short for the policy, ERR_SECRET_TAMPERED.
 */
export async function addVersion(
  client: Queryable,
  master: MasterKey,
  next: {
    project: Project;
    secret: { readonly id: string; readonly name: string; readonly version: number };
    value: string;
    policy: SecretPolicy;
    actor: Actor;
    /** What of the secret's state changes with it. */
    changed?: readonly ChangedState[];
    fresh?: boolean;
  },
): Promise<number> {
  const { project, secret, value, actor, changed = [], fresh = false } = next;
  // Here, where every version passes, wherever its value and its policy come from.
  checkFit(value, next.policy, `set the secret ${secret.name}`);
  // Not the number after the current one: that may have been set back, and a number is used once.
  const { rows } = await client.query<{ version: number }>(
    "select coalesce(max(version), 0) + 1 as version from secret_versions where secret_id = $1",
    [secret.id],
  );
  const version = Math.max(rows[0]!.version, secret.version + 1);
  const policy = policyText(next.policy);
  const sealed = await sealValue(client, master, { project, secret, value, version, policy });
  const elsewhere = next.policy.source !== undefined;
  await client.query(
    `insert into secret_versions (secret_id, version, data_key_id, wrapped_key, ciphertext, policy, maskable, fingerprint,
       created_by_kind, created_by)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      secret.id,
      version,
      sealed.dataKeyId,
      sealed.wrappedKey,
      sealed.ciphertext,
      policy,
      elsewhere || charactersOf(value) >= maskableCharactersMin,
      elsewhere ? null : await fingerprintValue(client, master, { organizationId: project.organizationId, value }),
      actor.kind,
      actor.id,
    ],
  );
  await client.query("update secrets set current_version = $2, updated_at = now() where id = $1", [secret.id, version]);
  await updateManifest(client, master, { project, name: secret.name, version, changed, fresh });
  await client.query("delete from secret_versions where secret_id = $1 and version <= $2", [
    secret.id,
    version - versionsKept,
  ]);
  return version;
}

async function sealValue(
  client: Queryable,
  master: MasterKey,
  next: {
    project: Project;
    secret: { readonly id: string; readonly name: string };
    value: string;
    version: number;
    policy: string;
  },
): Promise<{ dataKeyId: string; wrappedKey: Buffer; ciphertext: Buffer }> {
  const { project, secret, version, policy } = next;
  try {
    const projectKey = await provideProjectKey(client, master, project);
    const context: ValueContext = {
      organizationId: project.organizationId,
      projectId: project.id,
      secretId: secret.id,
      name: secret.name,
      version,
      dataKeyId: projectKey.id,
      policy,
    };
    const key = await unwrapProjectKey(master, project, projectKey);
    const wrapKey = withKey(key, () => deriveKey(key, wrapPurpose));
    const plaintext = Buffer.from(next.value, "utf8");
    return withKey(randomBytes(keyBytes), (versionKey) => ({
      dataKeyId: projectKey.id,
      wrappedKey: withKey(wrapKey, () => seal(wrapKey, versionKeyContext(context), versionKey)),
      ciphertext: withKey(plaintext, () => seal(versionKey, valueContext(context), plaintext)),
    }));
  } catch (error) {
    // The only seals that are opened while a value is sealed are those around the project's key.
    if (!(error instanceof SealBrokenError)) throw error;
    throw new StepvaultError("ERR_SECRET_TAMPERED", "Cannot set the secret: the project's data key does not open");
  }
}
