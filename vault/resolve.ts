/**
 * Gives a run the values and policies of the secrets that its step refers to, and no others. Whatever is wrong with a
 * reference is a typed error before any code runs, never an empty value. The only way by which values leave the vault.
 */
import type { Queryable } from "../database/server.ts";
import { type ErrorCode, StepvaultError } from "../protocol/error.ts";
import { SecretValue } from "../protocol/secret.ts";
import { closestName } from "./closest-name.ts";
import type { MasterKey } from "./master-key.ts";
import { getProject, parseId } from "./tenancy.ts";
import { openVersion, readCurrentVersions } from "./versions.ts";

/** Where code imported from chains writes `chains_<name>`, it means `<name>`. */
const aliasPrefix = "chains_";

/** A reference as binding found it: the name, and where it stands (from 1). */
export interface SecretReference {
  readonly name: string;
  readonly line?: number | undefined;
  readonly column?: number | undefined;
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

  const names = new Set([...first.keys()].flatMap((name) => [name, aliasedName(name)]));
  const rows = await readCurrentVersions(database, projectId, [...names]);
  // The project may have none of these secrets; it must exist all the same.
  if (rows.length === 0) await getProject(database, projectId);
  const byName = new Map(rows.map((row) => [row.name, row]));

  const values: SecretValue[] = [];
  for (const reference of first.values()) {
    const row = byName.get(reference.name) ?? byName.get(aliasedName(reference.name));
    if (row === undefined) throw await unknownReference(database, projectId, reference);
    if (row.disabled) throw referenceError("ERR_SECRET_DISABLED", reference, "the secret is switched off");
    const { value, policy } = openVersion(master, row, (why) => referenceError("ERR_SECRET_TAMPERED", reference, why));
    values.push(new SecretValue(reference.name, value, policy));
  }
  return values;
}

function aliasedName(name: string): string {
  return name.startsWith(aliasPrefix) ? name.slice(aliasPrefix.length) : name;
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
