/**
 * What people should know who share a secret: that everybody who may use it acts with all of its permissions, and what would
 * make that less of a risk. Told from what is known of the secret without its value, and only what applies to it. Pure.
 */
import { integrations } from "../../protocol/integrations.ts";
import type { SecretPolicy } from "../../protocol/secret-policy.ts";
import type { SecretLevel } from "./candidates.ts";

/** What a secret is told by. */
export interface SharedSecret {
  readonly name: string;
  readonly level: SecretLevel;
  readonly access: "all" | "selected" | null;
  readonly tags: readonly string[];
  readonly expiresAt: Date | null;
  readonly policy: SecretPolicy;
}

export const hintIds = ["narrow-scope", "separate-project", "per-user-oauth", "seal", "expiry"] as const;

export interface SecretHint {
  readonly id: (typeof hintIds)[number];
  readonly text: string;
}

/** More people than this are many to share one sensitive key. */
const peopleFew = 5;

/** The risk in a sentence, of a secret whose people are not counted. */
export function riskOf({ level, access, policy }: Pick<SharedSecret, "level" | "access" | "policy">): string {
  const where =
    level === "project"
      ? "the project"
      : access === "all"
        ? "any of the organization's projects"
        : "any project that it is granted to";
  return `Any ${whoOf(policy)} of ${where} can act with all the permissions that this key has, whoever stored it`;
}

/** How many may use it; not `complete`: at least so many. */
export interface SecretReach {
  readonly people: number;
  readonly projects: number;
  readonly complete: boolean;
}

/** The same with the figures. */
export function riskFor(secret: SharedSecret, { people, projects, complete }: SecretReach): string {
  const from = complete ? "" : "at least ";
  return `${riskOf(secret)}: ${from}${people} of the organization's people, in ${from}${projects} of its projects`;
}

function whoOf({ roles }: SecretPolicy): string {
  return roles.length === 0 ? "builder" : roles.join(" or ");
}

/** What would make the risk smaller, each only where it applies. */
export function hintsFor(secret: SharedSecret, { people }: Pick<SecretReach, "people">): SecretHint[] {
  const { policy, expiresAt } = secret;
  const { steps, agents, roles, sealed, hosts } = policy;
  const hints: SecretHint[] = [];
  const add = (id: SecretHint["id"], text: string): void => void hints.push({ id, text });
  if (steps.length + agents.length + roles.length === 0)
    add(
      "narrow-scope",
      "Give the key the narrowest scope that its provider has, or name the steps, agents or roles that may use it",
    );
  if (secret.access === "all") add("separate-project", "Grant it to selected projects: now each project may use it");
  else if (people > peopleFew)
    add("separate-project", `Keep a sensitive key in a project of its own: ${people} people can act with this one`);
  const oauth = oauthIntegrationOf(secret);
  if (oauth !== undefined)
    add("per-user-oauth", `Prefer per-user OAuth: with ${oauth} users can connect their own account`);
  if (!sealed)
    add(
      "seal",
      hosts.length === 0
        ? "Seal it and name its hosts: now its value enters the sandbox, and steps may send it anywhere"
        : "Seal it: now its value enters the sandbox",
    );
  if (expiresAt === null) add("expiry", "Set an expiry, so that a key that is forgotten ends by itself");
  return hints;
}

/** An integration whose users could connect their own account, by what people wrote about the secret. */
function oauthIntegrationOf({ name, tags, policy }: SharedSecret): string | undefined {
  const told = [name, ...tags, ...policy.hosts].map(letters);
  return [...integrations.values()].find(
    ({ id, kind }) => kind === "per-user" && told.some((text) => text.includes(letters(id))),
  )?.name;
}

function letters(text: string): string {
  return text.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
}
