/**
 * A project's secrets: writing, listing and switching them. Values are sealed before they reach a statement and are not
 * read here; resolving them for a run is in resolve.ts. No function takes or gives another project's secret.
 */
import type { Queryable, Transactional } from "../database/server.ts";
import { StepvaultError } from "../protocol/error.ts";
import { createId } from "../protocol/ids.ts";
import { type SecretName, secretNameSchema, secretValueBytesMax } from "../protocol/secret.ts";
import { seal, SealBrokenError } from "./crypto.ts";
import { provideDataKey, withDataKey } from "./data-keys.ts";
import type { MasterKey } from "./master-key.ts";
import { getProject, parseId } from "./tenancy.ts";

/** The redactor masks nothing shorter, blanks around it aside: it would match ordinary text. */
const maskableCharactersMin = 4;

export interface SecretMetadata {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly disabled: boolean;
  /** Whether the value is long enough for redaction to mask it. */
  readonly maskable: boolean;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Everything that a sealed value is bound to. */
interface ValueContext {
  readonly organizationId: string;
  readonly projectId: string;
  readonly secretId: string;
  readonly name: string;
  readonly version: number;
  readonly dataKeyId: string;
}

export function valueContext(context: ValueContext): string[] {
  const { organizationId, projectId, secretId, name, version, dataKeyId } = context;
  return ["secret value", organizationId, projectId, secretId, name, String(version), dataKeyId];
}

/**
 * Stores a value as the next version of a secret, making the secret when it is new, and gives the version. Throws
 * ERR_SECRET_NAME_INVALID, ERR_SECRET_VALUE_INVALID, ERR_PROJECT_UNKNOWN.
 */
export async function setSecret(
  database: Transactional,
  master: MasterKey,
  { projectId, name, value }: { projectId: string; name: string; value: string },
): Promise<number> {
  const secretName = parseSecretName(name);
  checkValue(secretName, value);
  return await database.transaction(async (client) => {
    const project = await getProject(client, projectId);
    const dataKey = await provideDataKey(client, master, project);
    const secret = await lockSecret(client, project.id, secretName);
    const version = secret.version + 1;
    const context = valueContext({
      organizationId: project.organizationId,
      projectId: project.id,
      secretId: secret.id,
      name: secretName,
      version,
      dataKeyId: dataKey.id,
    });
    const plaintext = Buffer.from(value, "utf8");
    const ciphertext = sealValue(() => withDataKey(master, project, dataKey, (key) => seal(key, context, plaintext)));
    plaintext.fill(0);
    await client.query(
      `insert into secret_versions (secret_id, version, data_key_id, ciphertext, maskable)
       values ($1, $2, $3, $4, $5)`,
      [secret.id, version, dataKey.id, ciphertext, isMaskable(value)],
    );
    await client.query("update secrets set current_version = $2, updated_at = now() where id = $1", [
      secret.id,
      version,
    ]);
    return version;
  });
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

/** The secret's row, made when missing and locked until the transaction ends, so that versions are consecutive. */
async function lockSecret(
  client: Queryable,
  projectId: string,
  name: SecretName,
): Promise<{ id: string; version: number }> {
  const { rows } = await client.query<{ id: string; name: string; version: number }>(
    `insert into secrets (id, project_id, name) values ($1, $2, $3)
     on conflict (project_id, lower(name)) do update set updated_at = now()
     returning id, name, current_version as version`,
    [createId(), projectId, name],
  );
  const secret = rows[0]!;
  if (secret.name === name) return secret;
  throw new StepvaultError(
    "ERR_SECRET_NAME_INVALID",
    `Cannot set the secret ${name}: the project has ${secret.name}, and names may not differ by case only`,
  );
}

/** The project's secrets by name, without values. Throws ERR_PROJECT_UNKNOWN. */
export async function listSecrets(database: Queryable, projectId: string): Promise<SecretMetadata[]> {
  const project = await getProject(database, projectId);
  const { rows } = await database.query<SecretMetadata>(
    `select s.id, s.name, s.current_version as version, s.disabled_at is not null as disabled, v.maskable,
            s.created_at as "createdAt", s.updated_at as "updatedAt"
     from secrets s join secret_versions v on v.secret_id = s.id and v.version = s.current_version
     where s.project_id = $1 order by s.name`,
    [project.id],
  );
  return rows;
}

/** Removes a secret with all its versions. Throws ERR_SECRET_UNKNOWN. */
export async function deleteSecret(database: Queryable, projectId: string, name: string): Promise<void> {
  const secretName = parseSecretName(name);
  const { rowCount } = await database.query("delete from secrets where project_id = $1 and name = $2", [
    parseId(projectId, "project"),
    secretName,
  ]);
  if (rowCount === 0) throw unknownSecret("delete", secretName);
}

/** Switches a secret on or off; a run that refers to one that is off is rejected. Throws ERR_SECRET_UNKNOWN. */
export async function switchSecret(
  database: Queryable,
  { projectId, name, enabled }: { projectId: string; name: string; enabled: boolean },
): Promise<void> {
  const secretName = parseSecretName(name);
  const { rowCount } = await database.query(
    `update secrets set disabled_at = case when $3 then null else coalesce(disabled_at, now()) end, updated_at = now()
     where project_id = $1 and name = $2`,
    [parseId(projectId, "project"), secretName, enabled],
  );
  if (rowCount === 0) throw unknownSecret(enabled ? "enable" : "disable", secretName);
}

function unknownSecret(action: string, name: SecretName): StepvaultError {
  return new StepvaultError("ERR_SECRET_UNKNOWN", `Cannot ${action} the secret ${name}: the project has none`);
}

/** What is no name is not repeated in the message: somebody may have pasted a value in its place. */
function parseSecretName(name: string): SecretName {
  const parsed = secretNameSchema.safeParse(name);
  if (parsed.success) return parsed.data;
  throw new StepvaultError(
    "ERR_SECRET_NAME_INVALID",
    `Cannot use the secret's name of ${name.length} characters: it must be ${parsed.error.issues[0]?.message ?? "a name"}`,
  );
}

function checkValue(name: SecretName, value: string): void {
  const bytes = Buffer.byteLength(value, "utf8");
  if (bytes < 1 || bytes > secretValueBytesMax) {
    throw new StepvaultError(
      "ERR_SECRET_VALUE_INVALID",
      `Cannot set the secret ${name}: its value has ${bytes} bytes, 1 to ${secretValueBytesMax} are allowed`,
    );
  }
  if (!value.isWellFormed()) {
    throw new StepvaultError(
      "ERR_SECRET_VALUE_INVALID",
      `Cannot set the secret ${name}: its value holds half a surrogate pair, which UTF-8 cannot hold`,
    );
  }
}

function isMaskable(value: string): boolean {
  return Array.from(value.trim()).length >= maskableCharactersMin;
}
