/**
 * Versions of secrets: a value and its policy, sealed together. The policy stands readable in the row and is bound to the
 * ciphertext, so that whoever edits, removes or exchanges it gets no value. The only place that decrypts a secret. Does
 * not notice a `current_version` that was set back to an older version which is still there, with that version's policy.
 */
import type { Queryable } from "../database/server.ts";
import { StepvaultError } from "../protocol/error.ts";
import type { SecretPolicy } from "../protocol/secret-policy.ts";
import { open, seal, SealBrokenError } from "./crypto.ts";
import { provideDataKey, withDataKey } from "./data-keys.ts";
import type { MasterKey } from "./master-key.ts";
import { charactersOf, checkFit, parsePolicyText, policyText } from "./policies.ts";
import type { Project } from "./tenancy.ts";

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

/** A secret with its current version, as the rows have it: nothing in it is to be believed until openVersion() did. */
export interface StoredVersion {
  readonly organizationId: string;
  readonly projectId: string;
  readonly secretId: string;
  readonly name: string;
  readonly version: number;
  readonly disabled: boolean;
  readonly ciphertext: Buffer | null;
  readonly policy: string | null;
  readonly dataKeyId: string | null;
  readonly masterKeyId: string | null;
  readonly wrappedKey: Buffer | null;
}

/** The project's secrets of these names; a name that it does not have is left out. */
export async function readCurrentVersions(
  database: Queryable,
  projectId: string,
  names: readonly string[],
): Promise<StoredVersion[]> {
  const { rows } = await database.query<StoredVersion>(
    `select p.organization_id as "organizationId", p.id as "projectId", s.id as "secretId", s.name,
            s.current_version as version, s.disabled_at is not null as disabled, v.ciphertext, v.policy,
            k.id as "dataKeyId", k.master_key_id as "masterKeyId", k.wrapped_key as "wrappedKey"
     from projects p
     join secrets s on s.project_id = p.id and s.name = any($2)
     left join secret_versions v on v.secret_id = s.id and v.version = s.current_version
     left join data_keys k on k.id = v.data_key_id
     where p.id = $1`,
    [projectId, names],
  );
  return rows;
}

/**
 * The value and the policy that were sealed together. `refuse` makes the error, ERR_SECRET_TAMPERED, of a reason why they
 * are not had.
 */
export function openVersion(
  master: MasterKey,
  stored: StoredVersion,
  refuse: (why: string) => StepvaultError,
): { value: string; policy: SecretPolicy } {
  const { ciphertext, dataKeyId, masterKeyId, wrappedKey } = stored;
  const broken = "its stored value and policy are not those that were sealed for it";
  if (!ciphertext || !dataKeyId || !masterKeyId || !wrappedKey) throw refuse(broken);
  const context = valueContext({ ...stored, dataKeyId });
  const project = { id: stored.projectId, organizationId: stored.organizationId };
  try {
    const plaintext = withDataKey(master, project, { id: dataKeyId, masterKeyId, wrappedKey }, (key) =>
      open(key, context, ciphertext),
    );
    const value = plaintext.toString("utf8");
    plaintext.fill(0);
    // Only now: before, the text is what anybody may have written into the row.
    const policy = parsePolicyText(stored.policy);
    if (policy === undefined)
      throw refuse("its policy was sealed by a Stepvault whose policies this one does not know");
    return { value, policy };
  } catch (error) {
    if (error instanceof SealBrokenError) throw refuse(broken);
    throw error;
  }
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
  },
): Promise<number> {
  const { project, secret, value } = next;
  // Here, where every version passes, wherever its value and its policy come from.
  checkFit(value, next.policy, `set the secret ${secret.name}`);
  const dataKey = await provideDataKey(client, master, project);
  const version = secret.version + 1;
  const policy = policyText(next.policy);
  const context = valueContext({
    organizationId: project.organizationId,
    projectId: project.id,
    secretId: secret.id,
    name: secret.name,
    version,
    dataKeyId: dataKey.id,
    policy,
  });
  const plaintext = Buffer.from(value, "utf8");
  const ciphertext = sealValue(() => withDataKey(master, project, dataKey, (key) => seal(key, context, plaintext)));
  plaintext.fill(0);
  await client.query(
    `insert into secret_versions (secret_id, version, data_key_id, ciphertext, policy, maskable)
     values ($1, $2, $3, $4, $5, $6)`,
    [secret.id, version, dataKey.id, ciphertext, policy, charactersOf(value) >= maskableCharactersMin],
  );
  await client.query("update secrets set current_version = $2, updated_at = now() where id = $1", [secret.id, version]);
  return version;
}

/** The only seal that is opened while a value is sealed is the one around the project's data key. */
function sealValue(work: () => Buffer): Buffer {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof SealBrokenError)) throw error;
    throw new StepvaultError("ERR_SECRET_TAMPERED", "Cannot set the secret: the project's data key does not open");
  }
}
