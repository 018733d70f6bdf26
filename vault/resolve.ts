/**
 * Gives a run the values of the secrets that its step refers to, and no others. Whatever is wrong with a reference is a
 * typed error before any code runs, never an empty value. The only place in Stepvault that decrypts a secret.
 */
import type { Queryable } from "../database/server.ts";
import { type ErrorCode, StepvaultError } from "../protocol/error.ts";
import { SecretValue } from "../protocol/secret.ts";
import { closestName } from "./closest-name.ts";
import { open, SealBrokenError } from "./crypto.ts";
import { withDataKey } from "./data-keys.ts";
import type { MasterKey } from "./master-key.ts";
import { valueContext } from "./secrets.ts";
import { getProject, parseId } from "./tenancy.ts";

/** Where code imported from chains writes `chains_<name>`, it means `<name>`. */
const aliasPrefix = "chains_";

/** A reference as binding found it: the name, and where it stands (from 1). */
export interface SecretReference {
  readonly name: string;
  readonly line?: number | undefined;
  readonly column?: number | undefined;
}

interface SecretRow {
  organizationId: string;
  id: string | null;
  name: string | null;
  version: number | null;
  disabled: boolean | null;
  ciphertext: Buffer | null;
  dataKeyId: string | null;
  masterKeyId: string | null;
  wrappedKey: Buffer | null;
}

/**
 * One SecretValue per distinct name, in the order of first mention, named as the reference names it. Throws
 * ERR_SECRET_UNKNOWN, ERR_SECRET_DISABLED or ERR_SECRET_TAMPERED with the reference's position, or ERR_PROJECT_UNKNOWN.
 */
export async function resolveSecrets(
  database: Queryable,
  master: MasterKey,
  request: { projectId: string; references: readonly SecretReference[] },
): Promise<SecretValue[]> {
  const projectId = parseId(request.projectId, "project");
  const first = new Map<string, SecretReference>();
  for (const reference of request.references) {
    if (!first.has(reference.name)) first.set(reference.name, reference);
  }
  if (first.size === 0) return [];

  const rows = await readRows(database, projectId, [...first.keys()]);
  // The project may have none of these secrets; it must exist all the same.
  if (rows.length === 0) await getProject(database, projectId);
  const byName = new Map(rows.flatMap((row) => (row.name === null ? [] : [[row.name, row] as const])));

  const values: SecretValue[] = [];
  for (const reference of first.values()) {
    const row = byName.get(reference.name) ?? byName.get(aliasedName(reference.name));
    if (row === undefined) throw await unknownReference(database, projectId, reference);
    if (row.disabled === true) throw referenceError("ERR_SECRET_DISABLED", reference, "the secret is switched off");
    values.push(new SecretValue(reference.name, decrypt(master, projectId, row, reference)));
  }
  return values;
}

async function readRows(database: Queryable, projectId: string, names: readonly string[]): Promise<SecretRow[]> {
  const wanted = names.flatMap((name) => [name, aliasedName(name)]);
  const { rows } = await database.query<SecretRow>(
    `select p.organization_id as "organizationId", s.id, s.name, s.current_version as version,
            s.disabled_at is not null as disabled, v.ciphertext,
            k.id as "dataKeyId", k.master_key_id as "masterKeyId", k.wrapped_key as "wrappedKey"
     from projects p
     join secrets s on s.project_id = p.id and s.name = any($2)
     left join secret_versions v on v.secret_id = s.id and v.version = s.current_version
     left join data_keys k on k.id = v.data_key_id
     where p.id = $1`,
    [projectId, [...new Set(wanted)]],
  );
  return rows;
}

function aliasedName(name: string): string {
  return name.startsWith(aliasPrefix) ? name.slice(aliasPrefix.length) : name;
}

function decrypt(master: MasterKey, projectId: string, row: SecretRow, reference: SecretReference): string {
  const { organizationId, id, name, version, ciphertext, dataKeyId, masterKeyId, wrappedKey } = row;
  const tampered = "its stored value is not the one that was sealed for it";
  if (!id || !name || !version || !ciphertext || !dataKeyId || !masterKeyId || !wrappedKey) {
    throw referenceError("ERR_SECRET_TAMPERED", reference, tampered);
  }
  const context = valueContext({ organizationId, projectId, secretId: id, name, version, dataKeyId });
  try {
    const plaintext = withDataKey(
      master,
      { id: projectId, organizationId },
      { id: dataKeyId, masterKeyId, wrappedKey },
      (key) => open(key, context, ciphertext),
    );
    const value = plaintext.toString("utf8");
    plaintext.fill(0);
    return value;
  } catch (error) {
    if (error instanceof SealBrokenError) throw referenceError("ERR_SECRET_TAMPERED", reference, tampered);
    throw error;
  }
}

async function unknownReference(
  database: Queryable,
  projectId: string,
  reference: SecretReference,
): Promise<StepvaultError> {
  const { rows } = await database.query<{ name: string }>(
    "select name from secrets where project_id = $1 order by name",
    [projectId],
  );
  const closest = closestName(
    reference.name,
    rows.map((row) => row.name),
  );
  const hint = closest === undefined ? "" : `; the closest name is ${closest}`;
  return referenceError("ERR_SECRET_UNKNOWN", reference, `the project has no such secret${hint}`);
}

function referenceError(code: ErrorCode, { name, line, column }: SecretReference, why: string): StepvaultError {
  if (line === undefined || column === undefined) {
    return new StepvaultError(code, `Cannot resolve the secret ${name}: ${why}`);
  }
  return new StepvaultError(code, `Cannot resolve the secret ${name} at line ${line}, column ${column}: ${why}`, {
    position: { line, column },
  });
}
