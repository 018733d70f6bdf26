/**
 * A project's secrets: writing, listing and switching them. Values are sealed before they reach a statement, and none is
 * given to a caller; resolving them for a run is in resolve.ts. No function takes or gives another project's secret.
 */
import type { Queryable, Transactional } from "../database/server.ts";
import { StepvaultError } from "../protocol/error.ts";
import { createId } from "../protocol/ids.ts";
import { readablePolicy, type SecretPolicy, type SecretPolicyInput } from "../protocol/secret-policy.ts";
import { type SecretName, secretNameSchema, secretValueBytesMax } from "../protocol/secret.ts";
import type { MasterKey } from "./master-key.ts";
import { parsePolicy, parsePolicyText } from "./policies.ts";
import { readCurrentVersions } from "./stored-versions.ts";
import { getProject, type Project } from "./tenancy.ts";
import { updateManifest } from "./update-manifest.ts";
import { addVersion, openVersion } from "./versions.ts";

export interface SecretMetadata {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly disabled: boolean;
  /** Whether the value is long enough for redaction to mask it. */
  readonly maskable: boolean;
  readonly policy: SecretPolicy;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/**
 * Stores a value as the next version of a secret, making the secret when it is new, and gives the version. Without a
 * policy the secret keeps the one that it has; a new one is readable. Throws ERR_SECRET_NAME_INVALID,
 * ERR_SECRET_VALUE_INVALID, ERR_SECRET_POLICY_INVALID, ERR_PROJECT_UNKNOWN, and ERR_SECRET_TAMPERED when the policy to be
 * kept is not the one that was sealed.
 */
export async function setSecret(
  database: Transactional,
  master: MasterKey,
  request: { projectId: string; name: string; value: string; policy?: SecretPolicyInput | undefined },
): Promise<number> {
  const { projectId, name, value, policy } = request;
  const secretName = parseSecretName(name);
  checkValue(secretName, value);
  const given = policy === undefined ? undefined : parsePolicy(policy, `set the secret ${secretName}`);
  return await database.transaction(async (client) => {
    const project = await getProject(client, projectId);
    const secret = await lockSecret(client, project.id, secretName);
    let next = given ?? readablePolicy;
    if (given === undefined && secret.version > 0) {
      next = (await openCurrent(client, master, { project, name: secretName })).policy;
    }
    return await addVersion(client, master, { project, secret, value, policy: next });
  });
}

/**
 * Stores the same value with another policy as the next version of a secret, and gives the version. A sealed secret does
 * not become readable: who sets a policy need not know the value, and could then have a step tell it. Throws
 * ERR_SECRET_NAME_INVALID, ERR_SECRET_POLICY_INVALID, ERR_SECRET_VALUE_INVALID when the value is too short to be sealed,
 * ERR_SECRET_UNKNOWN, ERR_SECRET_TAMPERED, ERR_PROJECT_UNKNOWN.
 */
export async function setSecretPolicy(
  database: Transactional,
  master: MasterKey,
  { projectId, name, policy }: { projectId: string; name: string; policy: SecretPolicyInput },
): Promise<number> {
  const secretName = parseSecretName(name);
  const given = parsePolicy(policy, `set the policy of the secret ${secretName}`);
  return await database.transaction(async (client) => {
    const project = await getProject(client, projectId);
    const { rows } = await client.query<{ id: string; name: string; version: number }>(
      "select id, name, current_version as version from secrets where project_id = $1 and name = $2 for update",
      [project.id, secretName],
    );
    const [secret] = rows;
    if (secret === undefined) throw unknownSecret("set the policy of", secretName);
    const current = await openCurrent(client, master, { project, name: secretName });
    if (current.policy.sealed && !given.sealed) {
      throw new StepvaultError(
        "ERR_SECRET_POLICY_INVALID",
        `Cannot set the policy of the secret ${secretName}: it is sealed, and becomes readable only when its value is given again with a readable policy`,
      );
    }
    return await addVersion(client, master, { project, secret, value: current.value, policy: given });
  });
}

/**
 * What a secret has, for its next version. Opened also when only the policy is wanted: a policy that was changed in the
 * database must not be sealed anew by the next one who sets a value.
 */
async function openCurrent(
  client: Queryable,
  master: MasterKey,
  { project, name }: { project: Project; name: SecretName },
): Promise<{ value: string; policy: SecretPolicy }> {
  const [stored] = await readCurrentVersions(client, project.id, [name]);
  return await openVersion(
    master,
    stored!,
    (why) =>
      new StepvaultError(
        "ERR_SECRET_TAMPERED",
        `Cannot keep what the secret ${name} has: ${why}; set its value and its policy anew`,
      ),
  );
}

/** The secret's row, made when missing and locked until the transaction ends, so that versions are consecutive. */
async function lockSecret(
  client: Queryable,
  projectId: string,
  name: SecretName,
): Promise<{ id: string; name: string; version: number }> {
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

/**
 * The project's secrets by name, without values. The policies are what the rows say: one that was changed in the database
 * is shown as it is now, and no value goes with it, as resolving opens what was sealed. A text that is no policy is an
 * error and not a guess: any policy shown in its place could be taken for the secret's. Throws ERR_PROJECT_UNKNOWN,
 * ERR_SECRET_TAMPERED.
 */
export async function listSecrets(database: Queryable, projectId: string): Promise<SecretMetadata[]> {
  const project = await getProject(database, projectId);
  const { rows } = await database.query<Omit<SecretMetadata, "policy"> & { policy: string | null }>(
    `select s.id, s.name, s.current_version as version, s.disabled_at is not null as disabled, v.maskable, v.policy,
            s.created_at as "createdAt", s.updated_at as "updatedAt"
     from secrets s join secret_versions v on v.secret_id = s.id and v.version = s.current_version
     where s.project_id = $1 order by s.name`,
    [project.id],
  );
  return rows.map((row) => {
    const policy = parsePolicyText(row.policy);
    if (policy !== undefined) return { ...row, policy };
    throw new StepvaultError(
      "ERR_SECRET_TAMPERED",
      `Cannot list the secret ${row.name}: its stored policy is none; set its value and its policy anew`,
    );
  });
}

/** Removes a secret with all its versions. Throws ERR_SECRET_UNKNOWN, ERR_PROJECT_UNKNOWN, ERR_SECRET_TAMPERED. */
export async function deleteSecret(
  database: Transactional,
  master: MasterKey,
  { projectId, name }: { projectId: string; name: string },
): Promise<void> {
  const secretName = parseSecretName(name);
  await database.transaction(async (client) => {
    const project = await getProject(client, projectId);
    const { rowCount } = await client.query("delete from secrets where project_id = $1 and name = $2", [
      project.id,
      secretName,
    ]);
    if (rowCount === 0) throw unknownSecret("delete", secretName);
    await updateManifest(client, master, { project, name: secretName });
  });
}

/**
 * Switches a secret on or off; a run that refers to one that is off is rejected. Throws ERR_SECRET_UNKNOWN,
 * ERR_PROJECT_UNKNOWN, ERR_SECRET_TAMPERED.
 */
export async function switchSecret(
  database: Transactional,
  master: MasterKey,
  { projectId, name, enabled }: { projectId: string; name: string; enabled: boolean },
): Promise<void> {
  const secretName = parseSecretName(name);
  await database.transaction(async (client) => {
    const project = await getProject(client, projectId);
    const { rowCount } = await client.query(
      `update secrets set disabled_at = case when $3 then null else coalesce(disabled_at, now()) end, updated_at = now()
       where project_id = $1 and name = $2`,
      [project.id, secretName, enabled],
    );
    if (rowCount === 0) throw unknownSecret(enabled ? "enable" : "disable", secretName);
    await updateManifest(client, master, { project, name: secretName });
  });
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
