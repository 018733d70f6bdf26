/**
 * Gives a run the values and policies of the secrets that its step refers to, and no others. Whatever is wrong with a
 * reference is a typed error before any code runs, never an empty value. The only way by which values leave the vault.
 */
import type { Queryable } from "../database/server.ts";
import { type ErrorCode, StepvaultError } from "../protocol/error.ts";
import { SecretValue } from "../protocol/secret.ts";
import { closestName } from "./closest-name.ts";
import { SealBrokenError } from "./crypto.ts";
import type { MasterKey } from "./master-key.ts";
import { type OpenProject, readProjectVersions, type StoredVersion, withOpenProject } from "./stored-versions.ts";
import { getProject, parseId } from "./tenancy.ts";
import { checkListed, openInProject } from "./versions.ts";

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

  const references = [...first.values()];
  const names = new Set(references.flatMap(({ name }) => [name, aliasedName(name)]));
  const stored = await readProjectVersions(database, projectId, [...names]);
  if (stored === undefined) await getProject(database, projectId);
  // The project never had a secret: there is no key either.
  if (stored?.project.key === undefined && !stored?.versions.length) {
    throw await unknownReference(database, projectId, references[0]!);
  }
  const byName = new Map(stored.versions.map((version) => [version.name, version]));
  try {
    return await withOpenProject(master, stored.project, async (project) => {
      const values: SecretValue[] = [];
      for (const reference of references) {
        const version = findVersion(project, byName, reference);
        if (version === undefined) throw await unknownReference(database, projectId, reference);
        values.push(openReference(project, version, reference));
      }
      return values;
    });
  } catch (error) {
    if (!(error instanceof SealBrokenError)) throw error;
    throw referenceError("ERR_SECRET_TAMPERED", references[0]!, "the project's key or its manifest was changed");
  }
}

/** The secret that a reference means; one whose row was removed past Stepvault is an error, and not another one's turn. */
function findVersion(
  { manifest }: OpenProject,
  byName: ReadonlyMap<string, StoredVersion>,
  reference: SecretReference,
): StoredVersion | undefined {
  const candidates = [reference.name, aliasedName(reference.name)];
  const name = candidates.find((candidate) => byName.has(candidate) || manifest?.has(candidate));
  if (name === undefined) return undefined;
  const version = byName.get(name);
  if (version === undefined) throw referenceError("ERR_SECRET_TAMPERED", reference, "its row was removed");
  return version;
}

function openReference(project: OpenProject, version: StoredVersion, reference: SecretReference): SecretValue {
  const refuse = (why: string): StepvaultError => referenceError("ERR_SECRET_TAMPERED", reference, why);
  if (version.disabled) {
    checkListed(project, version, refuse);
    throw referenceError("ERR_SECRET_DISABLED", reference, "the secret is switched off");
  }
  const { value, policy } = openInProject(project, version, refuse);
  return new SecretValue(reference.name, value, policy, version.version);
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
