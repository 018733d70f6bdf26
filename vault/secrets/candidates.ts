/**
 * Which secret a reference means, and why no other: the project's own, else the organization's as far as it is granted, each
 * also by the alias `chains_`. One rule decides for using, checking and explaining alike, and opens no value. A nearer one
 * counts whatever state it is in, unless it was deleted: going on to another without a word would use an account that
 * nobody chose.
 */
import { timingSafeEqual } from "node:crypto";
import { type ErrorCode, StepvaultError } from "../../protocol/error.ts";
import type { Capacity } from "../../protocol/roles.ts";
import type { SecretPolicy } from "../../protocol/secret-policy.ts";
import { parsePolicyText } from "./policies.ts";
import { grantMac } from "./secret-metadata.ts";
import type { OpenProject, StoredVersion } from "./stored-versions.ts";
import type { StepFacts } from "./step-facts.ts";
import { checkListed } from "./versions.ts";

export type SecretLevel = "project" | "organization";

export type SecretState =
  | "in force"
  | "absent"
  | "deleted"
  | "not granted"
  | "switched off"
  | "expired"
  | "destroyed"
  | "not for this step"
  | "changed past Stepvault"
  | "shadowed";

/** A place where the secret of a reference may be, nearest first. */
export interface SecretCandidate {
  readonly level: SecretLevel;
  readonly name: string;
  readonly state: SecretState;
  /** The state as the end of a sentence, for people. */
  readonly why: string;
  readonly stored?: StoredVersion;
}

/** One level, as it was read: its secrets and what proves them. */
export interface Level {
  readonly level: SecretLevel;
  readonly byName: ReadonlyMap<string, StoredVersion>;
  /** None where there never was a secret. */
  readonly project: OpenProject | undefined;
}

/** Where code imported from chains writes `chains_<name>`, it means `<name>`. */
const aliasPrefix = "chains_";

/** The names that a reference may mean, the first one first. */
export function namesOf(name: string): string[] {
  return name.startsWith(aliasPrefix) ? [name, name.slice(aliasPrefix.length)] : [name];
}

/** States in which the next candidate is looked at. */
const givesWay: ReadonlySet<SecretState> = new Set(["absent", "deleted", "not granted"]);

/** The candidates for a reference; at most one is in force. */
export function judge(
  levels: readonly Level[],
  name: string,
  known: { projectId: string; step: StepFacts; now: Date },
): SecretCandidate[] {
  let decided = false;
  // A project's key is bound to its organization; where there is none, its row may be anybody's.
  const proven = levels.some(({ level, project }) => level === "project" && project !== undefined);
  return levels.flatMap((level) =>
    namesOf(name).flatMap((candidate): SecretCandidate[] => {
      const found = judgeOne(level, candidate, { ...known, proven });
      if (found.state === "absent") return candidate === name ? [found] : [];
      if (givesWay.has(found.state)) return [found];
      if (decided)
        return [{ ...found, state: "shadowed", why: "a nearer one has the name, which counts whatever its state" }];
      decided = true;
      return [found];
    }),
  );
}

function judgeOne(
  { level, byName, project }: Level,
  name: string,
  known: { projectId: string; step: StepFacts; now: Date; proven: boolean },
): SecretCandidate {
  const stored = byName.get(name);
  const at = { level, name, ...(stored && { stored }) };
  const found = (state: SecretState, why: string): SecretCandidate => ({ ...at, state, why });
  if (stored === undefined) {
    if (project?.manifest?.has(name) === true) return found("changed past Stepvault", "its row was removed");
    return found("absent", `the ${level} has no such secret`);
  }
  if (project === undefined) return found("changed past Stepvault", "nothing proves it");
  let tampered: string | undefined;
  try {
    checkListed(project, stored, (why) => new StepvaultError("ERR_SECRET_TAMPERED", why));
  } catch (error) {
    tampered = (error as Error).message;
  }
  if (tampered !== undefined) return found("changed past Stepvault", tampered);
  // Which projects may use it is signed, and only an organization's has that; which project is whose is a plain column.
  const elsewhere =
    level === "project" ? stored.access !== null : stored.access === null || project.manifest === undefined;
  if (elsewhere) return found("changed past Stepvault", `it was not written as the ${level}'s`);
  if (stored.deleted) return found("deleted", "it is deleted; restore it, or set it anew");
  if (level === "organization" && !isGranted(project, stored, known.projectId))
    return found("not granted", "the organization has it, and it is not granted to this project");
  if (level === "organization" && !known.proven)
    return found("changed past Stepvault", "nothing proves that the project is the organization's: it has no key");
  if (stored.disabled) return found("switched off", "the secret is switched off");
  if (stored.expiresAt !== null && stored.expiresAt <= known.now)
    return found("expired", `it expired at ${stored.expiresAt.toISOString()}`);
  if (stored.destroyed) return found("destroyed", `the value of its version ${stored.version} was destroyed`);
  const policy = parsePolicyText(stored.policy);
  if (policy === undefined) return found("changed past Stepvault", "its policy is none that this Stepvault knows");
  const refusal = refusalFor(policy, known.step);
  if (refusal !== undefined) return found("not for this step", refusal);
  return found("in force", "it is the nearest one, and usable");
}

/** Whether an organization's secret is for a project. */
export function isGranted(
  project: OpenProject,
  stored: Pick<StoredVersion, "access" | "grantMac" | "secretId">,
  projectId: string,
): boolean {
  const { access, grantMac: mac, secretId } = stored;
  if (access === "all") return true;
  if (access === null || mac === null) return false;
  const expected = grantMac(project.key, { secretId, projectId, listNumber: access });
  return mac.length === expected.length && timingSafeEqual(mac, expected);
}

/** Why a policy is not for a step; undefined when it is. */
function refusalFor(policy: SecretPolicy, { stepId, agents, author }: StepFacts): string | undefined {
  const { steps, agents: forAgents, roles } = policy;
  const saved = stepId === undefined ? "code that is sent along with its run" : "this step";
  if (steps.length > 0 && (stepId === undefined || !steps.includes(stepId)))
    return `it is for ${steps.length} saved step(s), and not for ${saved}`;
  if (forAgents.length > 0 && !agents.some((agent) => forAgents.includes(agent)))
    return `it is for the steps of ${forAgents.length} agent(s) or workforce(s), and ${saved} is in none of them`;
  if (roles.length === 0 || author === "system") return undefined;
  if (author?.some((capacity) => (roles as readonly Capacity[]).includes(capacity)) === true) return undefined;
  const who =
    author === undefined ? "nobody is known to have written it" : `its author is ${author.join(", ") || "no member"}`;
  return `it is for steps of ${roles.join(", ")}, and of ${saved} ${who}`;
}

/** Whether some policy is for certain steps only: then it matters which step it is, and not what the job says. */
export function asksForStep(stored: Iterable<StoredVersion>): boolean {
  return [...stored].some(({ policy }) => {
    const parsed = parsePolicyText(policy);
    return parsed !== undefined && [parsed.steps, parsed.agents, parsed.roles].some(({ length }) => length > 0);
  });
}

/** The error that a run gets for a reference: of the candidate that counts, else of the nearest one that is there. */
export function errorOf(candidates: readonly SecretCandidate[]): { code: ErrorCode; why: string } {
  const there = candidates.filter(({ state }) => state !== "absent");
  const nearest = there.find(({ state }) => !givesWay.has(state)) ?? there[0];
  if (nearest === undefined) return { code: "ERR_SECRET_UNKNOWN", why: "the project has no such secret" };
  return { code: codes[nearest.state], why: nearest.why };
}

const codes: Readonly<Record<SecretState, ErrorCode>> = {
  "in force": "ERR_INTERNAL",
  absent: "ERR_SECRET_UNKNOWN",
  deleted: "ERR_SECRET_DELETED",
  "not granted": "ERR_SECRET_NOT_GRANTED",
  "switched off": "ERR_SECRET_DISABLED",
  expired: "ERR_SECRET_EXPIRED",
  destroyed: "ERR_SECRET_DESTROYED",
  "not for this step": "ERR_SECRET_NOT_ALLOWED",
  "changed past Stepvault": "ERR_SECRET_TAMPERED",
  shadowed: "ERR_SECRET_UNKNOWN",
};
