/**
 * Gives a run the values and policies of the secrets that its step refers to, and no others. Whatever is wrong with a
 * reference is a typed error before any code runs, never an empty value. The only way by which values leave the vault,
 * but for a person who may see one (reveal.ts).
 */
import type { Queryable } from "../../database/server.ts";
import { type ErrorCode, StepvaultError } from "../../protocol/error.ts";
import { sealedCharactersMin } from "../../protocol/secret-policy.ts";
import { SecretValue } from "../../protocol/secret.ts";
import {
  asksForStep,
  errorOf,
  judge,
  type Level,
  namesOf,
  type SecretCandidate,
  type SecretLevel,
} from "./candidates.ts";
import { closestName } from "./closest-name.ts";
import type { SecretContext } from "./context.ts";
import { SealBrokenError } from "../encryption/crypto.ts";
import { charactersOf } from "./policies.ts";
import { readStepFacts, type StepAt } from "./step-facts.ts";
import {
  type OpenProject,
  readProjectVersions,
  type StoredProject,
  type StoredVersion,
  withOpenProject,
} from "./stored-versions.ts";
import { findSharedProject, parseId } from "../tenancy/tenancy.ts";
import { openInProject } from "./versions.ts";

/** A reference as binding found it: the name, and where it stands (from 1). */
export interface SecretReference {
  readonly name: string;
  readonly line?: number | undefined;
  readonly column?: number | undefined;
}

export interface References extends StepAt {
  readonly references: readonly SecretReference[];
  readonly now?: Date | undefined;
}

/** A value, and which version of which secret it is. */
export interface Resolved {
  readonly value: SecretValue;
  readonly secretId: string;
  readonly version: number;
  readonly level: SecretLevel;
  readonly organizationId: string;
}

export type ResolveTools = Pick<SecretContext, "database" | "master" | "sources">;

/**
 * One value per distinct name, in the order of first mention, named as the reference names it. Throws ERR_SECRET_UNKNOWN,
 * ERR_SECRET_DELETED, ERR_SECRET_NOT_GRANTED, ERR_SECRET_DISABLED, ERR_SECRET_EXPIRED, ERR_SECRET_DESTROYED,
 * ERR_SECRET_NOT_ALLOWED, ERR_SECRET_SOURCE_… or ERR_SECRET_TAMPERED with the reference's position, or ERR_PROJECT_UNKNOWN.
 */
export async function resolveSecrets(tools: ResolveTools, request: References): Promise<Resolved[]> {
  const references = distinct(request.references);
  const [first] = references;
  if (first === undefined) return [];
  const opened = await withCandidates(tools, { ...request, references }, async (judged) => {
    const chosen: { reference: SecretReference; candidate: Chosen; opened: Opened }[] = [];
    for (const { reference, candidates, levels } of judged) {
      const candidate = candidates.find(isInForce);
      if (candidate === undefined) throw await refusalOf(tools.database, request.projectId, { reference, candidates });
      const { project } = levels.find(({ level }) => level === candidate.level)!;
      chosen.push({ reference, candidate, opened: open(project!, candidate.stored, reference) });
    }
    return chosen;
  });
  const values: Resolved[] = [];
  for (const { reference, candidate, opened: one } of opened) {
    const { stored, level } = candidate;
    const text = await readThrough(tools, { reference, stored, opened: one });
    const value = new SecretValue(reference.name, text, one.policy, stored.version);
    const { organizationId } = stored.project;
    values.push({ value, secretId: stored.secretId, version: stored.version, level, organizationId });
  }
  return values;
}

/** References with what could be meant by each. */
interface Judged {
  readonly reference: SecretReference;
  readonly candidates: readonly SecretCandidate[];
  readonly levels: readonly Level[];
}

/**
 * Reads what the references may mean, proves it, and runs `work` with the candidates of each while the keys are at hand: up to
 * the one that counts, or all of them.
 * Throws ERR_PROJECT_UNKNOWN, ERR_SECRET_TAMPERED when a project's key or manifest is not what was stored.
 */
export async function withCandidates<T>(
  { database, master }: ResolveTools,
  { references, now = new Date(), allLevels = false, ...at }: References & { allLevels?: boolean },
  work: (judged: Judged[]) => Promise<T>,
): Promise<T> {
  const projectId = parseId(at.projectId, "project");
  const names = [...new Set(references.flatMap(({ name }) => namesOf(name)))];
  const own = await readProjectVersions(database, { projectId, names });
  if (own === undefined || own.project.shared)
    throw new StepvaultError("ERR_PROJECT_UNKNOWN", `Cannot find the project ${projectId}: no such id`);
  const found = new Set(own.versions.filter(({ deleted }) => !deleted).map(({ name }) => name));
  // Most steps need the project alone.
  const further = allLevels || references.some(({ name }) => !found.has(name));
  const shared = further ? await findSharedProject(database, own.project.organizationId) : undefined;
  const theirs = shared && (await readProjectVersions(database, { projectId: shared.id, names, grantsTo: projectId }));
  const all = [...own.versions, ...(theirs?.versions ?? [])];
  const step = asksForStep(all)
    ? await readStepFacts(database, { ...at, projectId })
    : { stepId: at.stepId?.toLowerCase(), agents: [], author: undefined };
  const broken = (why: string): StepvaultError => referenceError("ERR_SECRET_TAMPERED", references[0]!, why);
  try {
    return await withLevel(master, own, async (ownProject) => {
      return await withLevel(master, theirs, async (sharedProject) => {
        const levels = [levelOf("project", own.versions, ownProject)];
        if (further) levels.push(levelOf("organization", theirs?.versions ?? [], sharedProject));
        const known = { projectId, step, now };
        return await work(
          references.map((reference) => ({ reference, candidates: judge(levels, reference.name, known), levels })),
        );
      });
    });
  } catch (error) {
    if (error instanceof SealBrokenError) throw broken("the project's key or its manifest was changed");
    throw error;
  }
}

/** A project that never had a secret has neither a key nor a manifest. */
async function withLevel<T>(
  master: SecretContext["master"],
  read: { project: StoredProject; versions: StoredVersion[] } | undefined,
  work: (project: OpenProject | undefined) => Promise<T>,
): Promise<T> {
  if (read === undefined) return await work(undefined);
  const { project, versions } = read;
  if (project.key === undefined && project.manifest === undefined && versions.length === 0)
    return await work(undefined);
  return await withOpenProject(master, read.project, work);
}

function levelOf(level: SecretLevel, versions: StoredVersion[], project: OpenProject | undefined): Level {
  return { level, project, byName: new Map(versions.map((version) => [version.name, version])) };
}

type Chosen = SecretCandidate & { readonly stored: StoredVersion };

function isInForce(candidate: SecretCandidate): candidate is Chosen {
  return candidate.state === "in force";
}

type Opened = ReturnType<typeof openInProject>;

function open(project: OpenProject, stored: StoredVersion, reference: SecretReference): Opened {
  return openInProject(project, stored, (why) => referenceError("ERR_SECRET_TAMPERED", reference, why));
}

/** The value itself, from where it is kept. */
async function readThrough(
  { sources }: ResolveTools,
  { reference, stored, opened }: { reference: SecretReference; stored: StoredVersion; opened: Opened },
): Promise<string> {
  const { policy, value } = opened;
  if (policy.source === undefined) return value;
  const { id: projectId, organizationId, shared } = stored.project;
  try {
    // An organization's own secret is below what the organization has, and in no project's part.
    const text = await sources.read(policy.source, { organizationId, projectId: shared ? organizationId : projectId });
    if (policy.sealed && charactersOf(text) < sealedCharactersMin)
      throw new StepvaultError(
        "ERR_SECRET_VALUE_INVALID",
        `it has ${charactersOf(text)} characters in its source; a sealed one needs ${sealedCharactersMin}`,
      );
    return text;
  } catch (error) {
    if (error instanceof StepvaultError) throw referenceError(error.code, reference, error.message);
    throw error;
  }
}

/** Each name once, as it is first mentioned. */
export function distinct(references: readonly SecretReference[]): SecretReference[] {
  const first = new Map<string, SecretReference>();
  for (const reference of references) {
    if (!first.has(reference.name)) first.set(reference.name, reference);
  }
  return [...first.values()];
}

/** Why a reference resolves to nothing, with the closest name when there is none of this one. */
export async function refusalOf(
  database: Queryable,
  projectId: string,
  { reference, candidates }: Pick<Judged, "reference" | "candidates">,
): Promise<StepvaultError> {
  const { code, why } = errorOf(candidates);
  if (code !== "ERR_SECRET_UNKNOWN") return referenceError(code, reference, why);
  const { rows } = await database.query<{ name: string }>(
    "select name from secrets where project_id = $1 and deleted_at is null order by name",
    [projectId],
  );
  const closest = closestName(
    reference.name,
    rows.map((row) => row.name),
  );
  return referenceError(code, reference, closest === undefined ? why : `${why}; the closest name is ${closest}`);
}

function referenceError(code: ErrorCode, { name, line, column }: SecretReference, why: string): StepvaultError {
  if (line === undefined || column === undefined) {
    return new StepvaultError(code, `Cannot resolve the secret ${name}: ${why}`);
  }
  return new StepvaultError(code, `Cannot resolve the secret ${name} at line ${line}, column ${column}: ${why}`, {
    position: { line, column },
  });
}
