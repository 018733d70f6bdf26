/**
 * Which credential is in force for a project, and why no other: the project's own, else its organization's as far as the
 * class, the project's switches and the gates let it. One rule decides for using, explaining and listing alike. The
 * nearer one shadows whatever state it is in: falling back without a word would use an account that nobody chose. Only
 * the winner is ever opened, and only to be used.
 */
import type { Queryable } from "../database/server.ts";
import { type ErrorCode, StepvaultError } from "../protocol/error.ts";
import { checkShareable, findIntegration, type Integration, integrations } from "../protocol/integrations.ts";
import { SecretValue } from "../protocol/secret.ts";
import { authorize } from "./authorize.ts";
import {
  type CredentialLevel,
  type CredentialSealer,
  openCredential,
  parseFieldsText,
  type ShownField,
} from "./credentials.ts";
import { findClosedGate, gateReasons, type Gates, type Standing } from "./gates.ts";
import { type InheritanceSwitch, inheritsFrom } from "./inheritance.ts";
import { type ActContext, perform } from "./perform.ts";
import { parseId } from "./tenancy.ts";

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

interface StoredCredential {
  readonly integration: string;
  readonly level: CredentialLevel;
  readonly version: number;
  readonly disabled: boolean;
  readonly fields: string;
  readonly ciphertext: Buffer | null;
}

interface Facts extends Standing {
  readonly organizationId: string;
  readonly switches: readonly InheritanceSwitch[];
  readonly stored: readonly StoredCredential[];
}

/** Undefined when none is in force. Throws ERR_INTEGRATION_UNKNOWN, ERR_SECRET_TAMPERED, what `authorize` throws. */
export async function effectiveCredential(
  context: ActContext,
  tools: { gates: Gates },
  request: Request,
): Promise<EffectiveCredential | undefined> {
  return (await explainCredential(context, tools, request)).winner;
}

/** Throws ERR_INTEGRATION_UNKNOWN, ERR_SECRET_TAMPERED, what `authorize` throws. */
export async function explainCredential(
  context: ActContext,
  { gates }: { gates: Gates },
  request: Request,
): Promise<Explanation> {
  const integration = findIntegration(request.integration);
  await authorize(context.database, context.actor, "project.read", { projectId: request.projectId });
  const facts = await readFacts(context.database, { ...request, ciphertexts: false });
  return explain(facts, gates, integration);
}

/** Of every integration of the catalogue that can be shared, in its order. Throws ERR_SECRET_TAMPERED, what `authorize` throws. */
export async function listEffective(
  context: ActContext,
  { gates }: { gates: Gates },
  projectId: string,
): Promise<Explanation[]> {
  await authorize(context.database, context.actor, "project.read", { projectId });
  const facts = await readFacts(context.database, { projectId, ciphertexts: false });
  return [...integrations.values()].filter(({ oauth }) => !oauth).map((entry) => explain(facts, gates, entry));
}

/**
 * The credential in force with its values, for a run. Throws, never gives an empty one: ERR_CREDENTIAL_UNKNOWN,
 * ERR_CREDENTIAL_DISABLED, ERR_CREDENTIAL_NOT_INHERITED, ERR_PLAN_REQUIRED, ERR_ROLLOUT_PENDING, ERR_SECRET_TAMPERED,
 * ERR_OAUTH_NOT_SHAREABLE, ERR_INTEGRATION_UNKNOWN, what `authorize` throws.
 */
export async function resolveCredential(
  context: ActContext,
  { sealer, gates }: { sealer: CredentialSealer; gates: Gates },
  request: Request,
): Promise<ResolvedCredential> {
  const integration = findIntegration(request.integration);
  checkShareable(integration, "use");
  const projectId = parseId(request.projectId, "project");
  const target = [{ type: "credential", name: integration.id }];
  const act = { action: "secret.reference", place: { projectId }, event: "credential.resolve", target } as const;
  return await perform(context, { ...act, class: "data-access" }, async (client) => {
    const facts = await readFacts(client, { projectId, integration: integration.id, ciphertexts: true });
    const { winner, candidates } = explain(facts, gates, integration);
    if (winner === undefined) throw noneInForce(integration, candidates);
    const { level, version } = winner;
    const { fields, ciphertext } = facts.stored.find((entry) => entry.level === level)!;
    const slot = {
      organizationId: facts.organizationId,
      projectId: level === "project" ? projectId : null,
      integration: integration.id,
    };
    const stored = { ...slot, version, fields, ciphertext: ciphertext! };
    const secret = Object.entries(await openCredential(client, sealer, stored));
    const result: ResolvedCredential = {
      integration: integration.id,
      level,
      version,
      clear: new Map(winner.fields.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value] as const]))),
      secret: new Map(secret.map(([name, value]) => [name, new SecretValue(`${integration.id}.${name}`, value)])),
    };
    return { result, target: [{ ...target[0]!, version }], details: { level } };
  });
}

/** Everything that decides, in one statement and hence of one moment; of one integration, or of all. */
async function readFacts(
  database: Queryable,
  { projectId, integration, ciphertexts }: { projectId: string; integration?: string; ciphertexts: boolean },
): Promise<Facts> {
  const { rows } = await database.query<
    Standing & {
      organizationId: string;
      switches: InheritanceSwitch[];
      level: CredentialLevel | null;
    } & Omit<StoredCredential, "level">
  >(
    `select p.organization_id as "organizationId", coalesce(s.plan, 'free') as plan,
            coalesce(s.rolled_out, false) as "rolledOut",
            (select coalesce(json_agg(json_build_object(
                      'class', i.class, 'integration', i.integration, 'inherits', i.inherits)), '[]'::json)
             from credential_inheritance i where i.project_id = p.id) as switches,
            case when c.id is null then null when c.project_id is null then 'organization' else 'project' end as level,
            c.integration, c.version, c.disabled_at is not null as disabled, c.fields,
            case when $3 then c.ciphertext end as ciphertext
     from projects p
     left join organization_credential_settings s on s.organization_id = p.organization_id
     left join credentials c on c.organization_id = p.organization_id
       and (c.project_id = p.id or c.project_id is null) and ($2::text is null or c.integration = $2)
     where p.id = $1`,
    [parseId(projectId, "project"), integration ?? null, ciphertexts],
  );
  const [first] = rows;
  if (first === undefined)
    throw new StepvaultError("ERR_PROJECT_UNKNOWN", `Cannot find the project ${projectId}: no such id`);
  const { organizationId, switches, plan, rolledOut } = first;
  const stored = rows.flatMap(({ level, ...row }) => (level === null ? [] : [{ ...row, level }]));
  return { organizationId, switches, plan, rolledOut, stored };
}

/** The rule. */
function explain(facts: Facts, gates: Gates, integration: Integration): Explanation {
  const ofLevel = (level: CredentialLevel): StoredCredential | undefined =>
    facts.stored.find((entry) => entry.level === level && entry.integration === integration.id);
  const [own, shared] = [ofLevel("project"), ofLevel("organization")];
  const candidates = [
    candidate("project", own, own?.disabled === true ? "switched off" : "in force"),
    candidate("organization", shared, sharedState({ facts, gates, integration, own, shared })),
  ];
  const level = candidates.find(({ state }) => state === "in force")?.level;
  const stored = level && ofLevel(level);
  return {
    integration: integration.id,
    winner: stored && {
      integration: integration.id,
      level: stored.level,
      version: stored.version,
      fields: parseFieldsText(stored.fields, integration.id),
    },
    candidates,
  };
}

function sharedState(known: {
  facts: Facts;
  gates: Gates;
  integration: Integration;
  own: StoredCredential | undefined;
  shared: StoredCredential | undefined;
}): CandidateState {
  if (known.own !== undefined) return "shadowed";
  if (!inheritsFrom(known.facts.switches, known.integration)) return "not inherited";
  const closed = findClosedGate(known.gates, known.facts);
  if (closed !== undefined) return closed === "plan" ? "plan required" : "rollout pending";
  return known.shared?.disabled === true ? "switched off" : "in force";
}

function candidate(level: CredentialLevel, stored: StoredCredential | undefined, state: CandidateState): Candidate {
  if (stored === undefined) return { level, state: "absent", why: `the ${level} has none` };
  return { level, state, why: reasons[state], version: stored.version };
}

const reasons: Readonly<Record<CandidateState, string>> = {
  "in force": "it is the nearest one and switched on",
  absent: "there is none",
  "switched off": "it is switched off; its value stays stored until it is removed",
  shadowed:
    "the project has one of its own, which counts even when switched off; removing that one makes this effective",
  "not inherited": "the project has not turned on Inherit from Organization",
  "plan required": gateReasons.plan.why,
  "rollout pending": gateReasons.rollout.why,
};

const codes: Partial<Readonly<Record<CandidateState, ErrorCode>>> = {
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
