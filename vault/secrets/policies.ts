/**
 * Policies of secrets as they are written, stored and read back: one canonical text each, which a version's value is
 * sealed with. What is wrong with one is told by paths and rules only, as somebody may have pasted a key into any field.
 */
import { StepvaultError } from "../../protocol/error.ts";
import {
  readablePolicy,
  sealedCharactersMin,
  type SecretPolicy,
  secretPolicySchema,
} from "../../protocol/secret-policy.ts";

const issuesShownMax = 10;

/** A policy that somebody wrote; `action` is for the error. Throws ERR_SECRET_POLICY_INVALID. */
export function parsePolicy(policy: unknown, action: string): SecretPolicy {
  const parsed = secretPolicySchema.safeParse(policy);
  if (parsed.success) return parsed.data;
  const rules = parsed.error.issues.slice(0, issuesShownMax).map((issue) => {
    const place = issue.path.length === 0 ? "the policy" : issue.path.join(".");
    // The schema's own message names the keys.
    if (issue.code === "unrecognized_keys") return `${place} has ${issue.keys.length} unknown key(s)`;
    return `${place}: ${issue.message}`;
  });
  throw new StepvaultError("ERR_SECRET_POLICY_INVALID", `Cannot ${action}: ${rules.join("; ")}`);
}

/** The same text for the same policy, in whichever order its keys were written. */
export function policyText({ sealed, hosts, places, steps, agents, roles, source }: SecretPolicy): string {
  const { headers, basic, path, query, body, sign } = places;
  // The type makes a field that is added to the policy and not here an error: it would not be stored.
  const ordered: Required<Omit<SecretPolicy, "source">> & { source: SecretPolicy["source"] } = {
    sealed,
    hosts,
    places: { headers, basic, path, query, body, sign },
    steps,
    agents,
    roles,
    source,
  };
  return JSON.stringify(ordered);
}

/** The policy of a row; undefined when its text is none. Says nothing of whether it is the one that was sealed. */
export function parsePolicyText(text: string | null): SecretPolicy | undefined {
  if (text === null) return readablePolicy;
  try {
    return secretPolicySchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** Characters as people count them in a value, blanks around it aside. */
export function charactersOf(value: string): number {
  return Array.from(value.trim()).length;
}

/**
 * Whether a value and its policy go together; `action` is for the error. Throws ERR_SECRET_VALUE_INVALID for a value that is
 * too short to be sealed, ERR_SECRET_POLICY_INVALID for one that was pasted into the policy too, where it would be shown.
 */
export function checkFit(value: string, policy: SecretPolicy, action: string): void {
  // A value that is kept elsewhere is looked at when it is read.
  if (policy.source !== undefined && value === "") return;
  const characters = charactersOf(value);
  const { sealed, hosts, places, source } = policy;
  const shown = [...hosts, ...places.headers, ...Object.values(source ?? {})].join("\n").toLowerCase();
  if (characters >= sealedCharactersMin && shown.includes(value.trim().toLowerCase()))
    throw new StepvaultError("ERR_SECRET_POLICY_INVALID", `Cannot ${action}: its policy holds the value itself`);
  if (!sealed || characters >= sealedCharactersMin) return;
  throw new StepvaultError(
    "ERR_SECRET_VALUE_INVALID",
    `Cannot ${action}: its value has ${characters} characters, blanks around it aside; a sealed one needs ${sealedCharactersMin}`,
  );
}
