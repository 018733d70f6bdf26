/**
 * Which credential is in force for a project, and why no other: the project's own, else its organization's as far as the
 * class, the project's switches and the gates let it. One rule decides for using, explaining and listing alike. The
 * nearer one shadows whatever state it is in, also when its row is gone without Stepvault: falling back without a word would
 * use an account that nobody chose. Only the winner is ever opened, and only to be used.
 */
import type { Queryable } from "../../database/server.ts";
import { type ErrorCode, StepvaultError } from "../../protocol/error.ts";
import {
  checkShareable,
  type CredentialKind,
  findIntegration,
  type Integration,
  integrations,
} from "../../protocol/integrations.ts";
import { SecretValue } from "../../protocol/secret.ts";
import { openCredential } from "./credential-sealer.ts";
import type { CredentialContext, CredentialLevel, ShownField } from "./credentials.ts";
import { SealBrokenError } from "../encryption/crypto.ts";
import { findClosedGate, gateReasons, type Gates, type Standing } from "./gates.ts";
import { inheritsFrom } from "./inheritance.ts";
import { perform, permit } from "../audit/perform.ts";
import {
  findCredential,
  findSwitches,
  type Found,
  type OpenLevel,
  readLevels,
  type StoredLevel,
  type Wanted,
  withOpenLevel,
} from "./stored-credentials.ts";
import { parseId } from "../tenancy/tenancy.ts";

/** The credential that a project uses, without its secret values. */
export interface EffectiveCredential {
  readonly integration: string;
  readonly level: CredentialLevel;
  readonly version: number;
  readonly fields: readonly ShownField[];
}

export type CandidateState =
  | "in force"
  | "absent"
  | "changed past Stepvault"
  | "switched off"
  | "shadowed"
  | "not inherited"
  | "plan required"
  | "rollout pending";

/** A place where a credential may be, nearest first. */
export interface Candidate {
  readonly level: CredentialLevel;
  readonly state: CandidateState;
  /** The state in a sentence, for people. */
  readonly why: string;
  readonly version?: number;
}

export interface Explanation {
  readonly integration: string;
  readonly kind: CredentialKind;
  readonly winner: EffectiveCredential | undefined;
  readonly candidates: readonly Candidate[];
}

/** A credential for a run, its secret fields as values that do not print. */
export interface ResolvedCredential {
  readonly integration: string;
  readonly level: CredentialLevel;
  readonly version: number;
  readonly clear: ReadonlyMap<string, string>;
  readonly secret: ReadonlyMap<string, SecretValue>;
}

interface Request {
  readonly projectId: string;
  readonly integration: string;
}

/** What decides, of one moment. */
interface Facts {
  readonly own: OpenLevel;
  /** Not opened where the project's own counts anyhow. */
  readonly shared: OpenLevel | undefined;
  readonly standing: Standing;
  readonly gates: Gates;
}

/** A candidate with what makes it usable. */
interface Judged extends Candidate {
  readonly written: Extract<Found, { is: "written" }> | undefined;
  readonly key: Buffer | undefined;
}

/** Undefined when none is in force. Throws ERR_INTEGRATION_UNKNOWN, what `authorize` throws. */
export async function effectiveCredential(
  context: CredentialContext,
  request: Request,
): Promise<EffectiveCredential | undefined> {
  return (await explainCredential(context, request)).winner;
}

/** Throws ERR_INTEGRATION_UNKNOWN, what `authorize` throws. */
export async function explainCredential(context: CredentialContext, request: Request): Promise<Explanation> {
  const integration = findIntegration(request.integration);
  const target = [{ type: "credential", name: integration.id }];
  const place = { projectId: request.projectId };
  const permission = await permit(context, { action: "project.read", place, event: "credential.explain", target });
  const wanted = { ...permission, levels: bothLevels, integration: integration.id };
  return await withFacts(context.database, context, wanted, (facts) => explain(facts, integration));
}

/** Of every integration of the catalogue that can be shared, in its order. Throws what `authorize` throws. */
export async function listEffective(context: CredentialContext, projectId: string): Promise<Explanation[]> {
  const act = { action: "project.read", place: { projectId }, event: "credential.list" } as const;
  const wanted = { ...(await permit(context, act)), levels: bothLevels };
  return await withFacts(context.database, context, wanted, (facts) =>
    [...integrations.values()].filter(({ oauth }) => !oauth).map((entry) => explain(facts, entry)),
  );
}

/**
 * The credential in force with its values, for a run. Throws, never gives an empty one: ERR_CREDENTIAL_UNKNOWN,
 * ERR_CREDENTIAL_DISABLED, ERR_CREDENTIAL_NOT_INHERITED, ERR_PLAN_REQUIRED, ERR_ROLLOUT_PENDING, ERR_SECRET_TAMPERED,
 * ERR_OAUTH_NOT_SHAREABLE, ERR_INTEGRATION_UNKNOWN, what `authorize` throws.
 */
export async function resolveCredential(context: CredentialContext, request: Request): Promise<ResolvedCredential> {
  const integration = findIntegration(request.integration);
  const projectId = parseId(request.projectId, "project");
  const target = [{ type: "credential", name: integration.id }];
  const act = { action: "secret.reference", place: { projectId }, event: "credential.resolve", target } as const;
  return await perform(context, { ...act, class: "data-access" }, async (client, permission) => {
    checkShareable(integration, "use");
    const wanted = { ...permission, levels: bothLevels, integration: integration.id, ciphertexts: true };
    const result = await withFacts(client, context, wanted, (facts) => open(judge(facts, integration), integration));
    return { result, target: [{ ...target[0]!, version: result.version }], details: { level: result.level } };
  });
}

const bothLevels = ["project", "organization"] as const;

/** Everything that decides, in one statement and hence of one moment; of one integration, or of all. */
async function withFacts<T>(
  database: Queryable,
  { master, gates }: CredentialContext,
  wanted: Wanted,
  work: (facts: Facts) => T,
): Promise<T> {
  const { levels, standing } = await readLevels(database, wanted);
  const [own, shared] = levels as [StoredLevel, StoredLevel];
  // A row of its own counts whatever its state is: no key of the organization's is needed to use it.
  const alone = wanted.ciphertexts === true && own.credentials.length > 0;
  return await withOpenLevel(master, own, async (project) => {
    if (alone) return work({ own: project, shared: undefined, standing, gates });
    return await withOpenLevel(master, shared, (organization) =>
      work({ own: project, shared: organization, standing, gates }),
    );
  });
}

/** The values of the one in force. Throws what `resolveCredential` throws. */
function open(judged: readonly Judged[], integration: Integration): ResolvedCredential {
  const winner = judged.find(({ state }) => state === "in force");
  if (winner?.written === undefined || winner.key === undefined) throw noneInForce(integration, judged);
  const { stored, shown } = winner.written;
  const { id } = integration;
  try {
    const secret = Object.entries(openCredential(winner.key, stored, stored.ciphertext!));
    return {
      integration: id,
      level: winner.level,
      version: stored.version,
      clear: new Map(shown.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value] as const]))),
      secret: new Map(secret.map(([name, value]) => [name, new SecretValue(`${id}.${name}`, value)])),
    };
  } catch (error) {
    if (!(error instanceof SealBrokenError)) throw error;
    const why = `the ${winner.level}'s is not what was sealed for it; set it anew`;
    throw new StepvaultError("ERR_SECRET_TAMPERED", `Cannot use a credential of ${integration.name}: ${why}`);
  }
}

function explain(facts: Facts, integration: Integration): Explanation {
  const { id, kind } = integration;
  const judged = judge(facts, integration);
  const winner = judged.find(({ state }) => state === "in force");
  return {
    integration: id,
    kind,
    winner: winner?.written && {
      integration: id,
      level: winner.level,
      version: winner.written.stored.version,
      fields: winner.written.shown,
    },
    candidates: judged.map(({ written: _written, key: _key, ...candidate }) => candidate),
  };
}

/** A state, and why where the state alone does not say it. */
type Verdict = readonly [state: CandidateState, why?: string];

/** The rule. */
function judge(facts: Facts, integration: Integration): Judged[] {
  const { own, shared } = facts;
  const first = findCredential(own, integration.id);
  const nearest = candidate(own, first, verdictOf(first));
  if (shared === undefined) return [nearest];
  const second = findCredential(shared, integration.id);
  const verdict = first.is === "absent" ? inheritedVerdict(facts, integration, second) : (["shadowed"] as const);
  return [nearest, candidate(shared, second, verdict)];
}

/** What a credential is by itself. */
function verdictOf(found: Found): Verdict {
  if (found.is === "absent") return ["absent"];
  if (found.is === "changed") return [tampered, `${found.why} past Stepvault; set it anew, or remove it`];
  return [found.stored.disabled ? "switched off" : "in force"];
}

/** What an organization's that nothing shadows is to a project. */
function inheritedVerdict({ own, standing, gates }: Facts, integration: Integration, found: Found): Verdict {
  if (found.is !== "written") return verdictOf(found);
  // The key is bound to the organization; where there is none, the project's row may be anybody's.
  if (own.key === undefined) return [tampered, "nothing proves that the project is the organization's: it has no key"];
  const switches = findSwitches(own, integration);
  if (switches === undefined)
    return [tampered, "the project's Inherit from Organization was changed past Stepvault; switch it anew"];
  if (!inheritsFrom(switches, integration)) return ["not inherited"];
  const closed = findClosedGate(gates, standing);
  if (closed !== undefined) return [closed === "plan" ? "plan required" : "rollout pending"];
  return verdictOf(found);
}

function candidate({ level, key }: OpenLevel, found: Found, [state, why = reasons[state]]: Verdict): Judged {
  if (found.is === "absent") return { level, key, written: undefined, state: "absent", why: `the ${level} has none` };
  if (found.is === "changed") return { level, key, written: undefined, state, why };
  return { level, key, written: found, state, why, version: found.stored.version };
}

const tampered = "changed past Stepvault";

const reasons: Readonly<Record<CandidateState, string>> = {
  "in force": "it is the nearest one and switched on",
  absent: "there is none",
  "changed past Stepvault": "its row is not the one that was written",
  "switched off": "it is switched off; its value stays stored until it is removed",
  shadowed:
    "the project has one of its own, which counts even when switched off; removing that one makes this effective",
  "not inherited": "the project has not turned on Inherit from Organization",
  "plan required": gateReasons.plan.why,
  "rollout pending": gateReasons.rollout.why,
};

const codes: Partial<Readonly<Record<CandidateState, ErrorCode>>> = {
  "changed past Stepvault": "ERR_SECRET_TAMPERED",
  "switched off": "ERR_CREDENTIAL_DISABLED",
  "not inherited": "ERR_CREDENTIAL_NOT_INHERITED",
  "plan required": gateReasons.plan.code,
  "rollout pending": gateReasons.rollout.code,
};

/** Of the nearest one that is there. */
function noneInForce({ name }: Integration, candidates: readonly Candidate[]): StepvaultError {
  const nearest = candidates.find(({ state }) => state !== "absent");
  const code = (nearest && codes[nearest.state]) ?? "ERR_CREDENTIAL_UNKNOWN";
  const why = nearest ? `the ${nearest.level}'s: ${nearest.why}` : "neither the project nor its organization has one";
  return new StepvaultError(code, `Cannot use a credential of ${name}: ${why}`);
}
