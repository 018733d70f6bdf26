/**
 * Embed keys, for pages in a browser: each reaches the steps of one public agent or workforce, as long as its maker could
 * start them too. Whether the maker still can is asked at each use (key-check.ts), so that nothing has to be revoked in
 * the maker's wake. A new key leaves earlier ones alone.
 */
import { StepvaultError } from "../../protocol/error.ts";
import { createId } from "../../protocol/ids.ts";
import type { Actor } from "../tenancy/actor.ts";
import { findAgent } from "./agents.ts";
import { digestKey, generateKey, hintOf, randomText, type Region } from "./key-format.ts";
import { dayMs } from "./key-policies.ts";
import { type KeyIssuer, parseKeyId, unknownKeyId } from "./keys.ts";
import { type ActContext, perform, permit } from "../audit/perform.ts";
import { parseId } from "../tenancy/tenancy.ts";

const expiryDaysMax = 30;
const originsMax = 20;
const requestsMaxMax = Number.MAX_SAFE_INTEGER;
const requestsPerMinuteMaxMax = 1_000_000;
/** 128 bits: nobody guesses the name of another conversation. */
const prefixCharacters = 22;

export interface EmbedKeyMetadata {
  readonly id: string;
  readonly projectId: string;
  /** Of the agent or workforce. */
  readonly agentId: string;
  readonly region: Region;
  readonly hint: string;
  /** What the names of the key's conversations begin with. */
  readonly conversationPrefix: string;
  /** Null: from anywhere. */
  readonly origins: readonly string[] | null;
  readonly createdBy: { readonly kind: Actor["kind"]; readonly id: string };
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
  readonly lastUsedAt: Date | null;
  readonly requestsMax: number | null;
  readonly requestsUsed: number;
  readonly requestsPerMinuteMax: number | null;
}

export interface NewEmbedKey {
  readonly projectId: string;
  readonly agentId?: string | undefined;
  /** Wins over `agentId`. */
  readonly workforceId?: string | undefined;
  readonly expiresAt?: Date | undefined;
  readonly origins?: readonly string[] | undefined;
  readonly requestsMax?: number | undefined;
  readonly requestsPerMinuteMax?: number | undefined;
  readonly issuer: KeyIssuer;
  readonly now?: Date | undefined;
}

type EmbedKeyRow = Omit<EmbedKeyMetadata, "createdBy"> & { createdByKind: Actor["kind"]; createdById: string };

const columns = `id, project_id as "projectId", agent_id as "agentId", region, hint,
  conversation_prefix as "conversationPrefix", origins, created_by_kind as "createdByKind", created_by as "createdById",
  created_at as "createdAt", expires_at as "expiresAt", revoked_at as "revokedAt", last_used_at as "lastUsedAt",
  requests_max::float8 as "requestsMax", requests_used::float8 as "requestsUsed",
  requests_per_minute_max as "requestsPerMinuteMax"`;

/**
 * Whoever may start runs in the project may hand that on for one public agent or workforce, a key no longer than it lives.
 * Throws ERR_AGENT_UNKNOWN, ERR_AGENT_PRIVATE, ERR_KEY_INVALID, ERR_KEY_EXPIRY_INVALID, and what `authorize` throws.
 */
export async function createEmbedKey(
  context: ActContext,
  { issuer, now = new Date(), ...wanted }: NewEmbedKey,
): Promise<{ key: string; metadata: EmbedKeyMetadata }> {
  const { actor } = context;
  const projectId = parseId(wanted.projectId, "project");
  const origins = parseOrigins(wanted.origins);
  checkBudget(wanted.requestsMax, requestsMaxMax);
  checkBudget(wanted.requestsPerMinuteMax, requestsPerMinuteMaxMax);
  checkExpiry(wanted.expiresAt, now);
  const act = { action: "run.trigger", place: { projectId }, event: "embed-key.created" } as const;
  return await perform(context, act, async (client, { organizationId }) => {
    const agent = await findAgent(client, { ...scopeOf(wanted), projectId });
    if (!agent.public)
      throw new StepvaultError(
        "ERR_AGENT_PRIVATE",
        `Cannot make an embed key: the ${agent.kind} ${agent.id} is private`,
      );
    const key = generateKey("embed", issuer.region);
    const parent = actor.kind === "key" ? actor.id : null;
    const { rows } = await client.query<EmbedKeyRow>(
      `insert into embed_keys (id, organization_id, project_id, agent_id, region, digest, pepper_version, hint,
         conversation_prefix, origins, created_by_kind, created_by, created_at, requests_max, requests_per_minute_max,
         parent_key_id, expires_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
         least($17::timestamptz, (select expires_at from platform_keys where id = $16)))
       returning ${columns}`,
      [
        createId(),
        organizationId,
        projectId,
        agent.id,
        issuer.region,
        digestKey(issuer.pepper.key, key),
        issuer.pepper.version,
        hintOf(key),
        randomText(prefixCharacters),
        origins,
        actor.kind,
        actor.id,
        now,
        wanted.requestsMax ?? null,
        wanted.requestsPerMinuteMax ?? null,
        parent,
        wanted.expiresAt ?? null,
      ],
    );
    const metadata = metadataOf(rows[0]!);
    const { hint, expiresAt } = metadata;
    const target = [
      { type: "embed-key", id: metadata.id },
      { type: agent.kind, id: agent.id, name: agent.name },
    ];
    return { result: { key, metadata }, target, details: { hint, expiresAt: expiresAt?.toISOString() ?? null } };
  });
}

/** The project's embed keys, oldest first. */
export async function listEmbedKeys(context: ActContext, projectId: string): Promise<EmbedKeyMetadata[]> {
  const id = parseId(projectId, "project");
  await permit(context, { action: "project.keys.read", place: { projectId: id }, event: "embed-key.listed" });
  const { rows } = await context.database.query<EmbedKeyRow>(
    `select ${columns} from embed_keys where project_id = $1 order by created_at, id`,
    [id],
  );
  return rows.map(metadataOf);
}

/** Whoever made it may, and whoever may change the project's keys. Throws ERR_KEY_ID_UNKNOWN and what `authorize` throws. */
export async function revokeEmbedKey(
  context: ActContext,
  { projectId, keyId, now = new Date() }: { projectId: string; keyId: string; now?: Date },
): Promise<void> {
  const place = { projectId: parseId(projectId, "project") };
  const [id, { actor }] = [parseKeyId(keyId), context];
  const { rowCount: own } = await context.database.query(
    "select from embed_keys where id = $1 and project_id = $2 and created_by_kind = $3 and created_by = $4",
    [id, place.projectId, actor.kind, actor.id],
  );
  const action = own === 1 ? "run.trigger" : "project.keys.manage";
  const target = [{ type: "embed-key", id }];
  await perform(context, { action, place, event: "embed-key.revoked", target }, async (client) => {
    const { rowCount } = await client.query(
      "update embed_keys set revoked_at = coalesce(revoked_at, $3) where id = $1 and project_id = $2",
      [id, place.projectId, now],
    );
    if (rowCount !== 1) throw unknownKeyId();
    return { result: undefined };
  });
}

function scopeOf({ agentId, workforceId }: NewEmbedKey | Omit<NewEmbedKey, "issuer">): {
  id: string;
  kind: "agent" | "workforce";
} {
  if (workforceId !== undefined) return { id: workforceId, kind: "workforce" };
  if (agentId !== undefined) return { id: agentId, kind: "agent" };
  throw invalid("it is for one agent or one workforce, and neither is given");
}

function metadataOf({ createdByKind, createdById, ...rest }: EmbedKeyRow): EmbedKeyMetadata {
  return { ...rest, createdBy: { kind: createdByKind, id: createdById } };
}

/** Origins as browsers write them, as they are compared with what a browser sends. */
function parseOrigins(origins: readonly string[] | undefined): string[] | null {
  if (origins === undefined) return null;
  if (origins.length === 0 || origins.length > originsMax)
    throw invalid(`it has ${origins.length} origins, 1 to ${originsMax} are allowed`);
  const wrong = origins.findIndex((origin) => !isOrigin(origin));
  if (wrong === -1) return [...new Set(origins)];
  throw invalid(
    `origin ${wrong + 1} is not of the form https://host or https://host:port, in lower case, without wildcards`,
  );
}

function isOrigin(text: string): boolean {
  // A star is a character to URL, and would match nothing that its writer meant.
  return /^https?:[^*]+$/.test(text) && URL.parse(text)?.origin === text;
}

function checkBudget(figure: number | undefined, max: number): void {
  if (figure === undefined || (Number.isSafeInteger(figure) && figure >= 1 && figure <= max)) return;
  throw invalid(`its budget is ${figure} requests, 1 to ${max} are allowed`);
}

function checkExpiry(expiresAt: Date | undefined, now: Date): void {
  if (expiresAt === undefined) return;
  const days = (expiresAt.getTime() - now.getTime()) / dayMs;
  if (days > 0 && days <= expiryDaysMax) return;
  const why = `its expiry is in ${days} days, more than 0 and at most ${expiryDaysMax} are allowed`;
  throw new StepvaultError("ERR_KEY_EXPIRY_INVALID", `Cannot make an embed key: ${why}`);
}

function invalid(why: string): StepvaultError {
  return new StepvaultError("ERR_KEY_INVALID", `Cannot make an embed key: ${why}`);
}
