/**
 * The leak drill: what a value or key that was found somewhere is, where it is stored, who could read it and which runs used
 * it; and ending it in one step. Values are found by fingerprints and keys by digests, so that nothing is opened. Within one
 * organization: what another one has answers like what is nowhere.
 */
import type { Queryable } from "../../database/server.ts";
import { type ErrorCode, toStepvaultError } from "../../protocol/error.ts";
import { actions } from "../../protocol/roles.ts";
import type { Place } from "../tenancy/authorize.ts";
import { type CredentialLevel, type CredentialRequest, switchCredential } from "../credentials/credentials.ts";
import type { SecretContext } from "./context.ts";
import { revokeEmbedKey } from "../platform-keys/embed-keys.ts";
import { withFingerprints } from "./fingerprints.ts";
import type { Gates } from "../credentials/gates.ts";
import { digestKey } from "../platform-keys/key-format.ts";
import { type KeyIssuer, revokeKey } from "../platform-keys/keys.ts";
import { candidateKeys, candidateValues } from "./leaked-texts.ts";
import { listBuilders } from "../tenancy/members.ts";
import { perform } from "../audit/perform.ts";
import { switchSecret } from "./secret-metadata.ts";
import { readUses, type SecretUse } from "./secret-uses.ts";
import { setSecret } from "./secrets.ts";

export interface LeakedSecret {
  readonly id: string;
  readonly name: string;
  readonly place: Place;
  readonly version: number;
  /** Whether runs still get this version. */
  readonly inForce: boolean;
  readonly sealed: boolean;
  readonly createdAt: Date;
  /** Who could have a step tell it, by which role; of a project's secret. */
  readonly readers: readonly { readonly personId: string; readonly name: string; readonly by: string }[];
  /** Roles that could be shown it. */
  readonly revealedTo: readonly string[];
  readonly uses: readonly SecretUse[];
}

export interface LeakedCredential {
  readonly place: Place;
  readonly integration: string;
  readonly level: CredentialLevel;
  readonly version: number;
  readonly inForce: boolean;
}

export interface LeakedKey {
  readonly id: string;
  readonly kind: "key" | "embed key";
  readonly place: Place;
  readonly hint: string;
  readonly name: string | undefined;
  readonly inForce: boolean;
  readonly createdBy: { readonly kind: string; readonly id: string };
  readonly lastUsedAt: Date | null;
  /** Embed keys made with it, which end with it. */
  readonly children: number;
}

export interface Leak {
  readonly secrets: readonly LeakedSecret[];
  readonly credentials: readonly LeakedCredential[];
  readonly keys: readonly LeakedKey[];
  /** Versions without a fingerprint, from before there were any: nothing is known of them. */
  readonly unknownVersions: number;
}

export interface LeakContext extends SecretContext {
  /** Its pepper is what keys are digested with. */
  readonly issuer: Pick<KeyIssuer, "pepper">;
  readonly gates: Gates;
}

const usesShownMax = 1_000;

/** Looks for what is in a text. Throws ERR_LEAK_TEXT_INVALID, and what `authorize` throws. */
async function findLeak(
  context: LeakContext,
  { organizationId, text, now = new Date() }: { organizationId: string; text: string; now?: Date | undefined },
): Promise<Leak> {
  const values = candidateValues(text);
  const { pepper } = context.issuer;
  const digests = candidateKeys(text).flatMap((key) =>
    [pepper, ...(pepper.earlier ?? [])].map((one) => digestKey(one.key, key)),
  );
  const act = { action: "leak.search", place: { organizationId }, event: "leak.search" } as const;
  return await perform(context, { ...act, class: "data-access" }, async (client, permission) => {
    const id = permission.organizationId;
    const prints = await withFingerprints(client, context.master, id, (fingerprint) => values.map(fingerprint));
    const leak: Leak = {
      secrets: await findSecrets(client, id, { prints, now }),
      credentials: await findCredentials(client, id, prints),
      keys: await findKeys(client, id, { digests, now }),
      unknownVersions: await countUnknown(client, id),
    };
    const target = [
      ...leak.secrets.map(({ id: secretId, name, version }) => ({ type: "secret", id: secretId, name, version })),
      ...leak.credentials.map(({ integration, version }) => ({ type: "credential", name: integration, version })),
      ...leak.keys.map(({ id: keyId, kind }) => ({ type: kind, id: keyId })),
    ];
    return { result: leak, target, details: { found: target.length } };
  });
}

async function findSecrets(
  client: Queryable,
  organizationId: string,
  { prints, now }: { prints: readonly Buffer[]; now: Date },
): Promise<LeakedSecret[]> {
  const { rows } = await client.query<{
    id: string;
    name: string;
    projectId: string;
    shared: boolean;
    version: number;
    inForce: boolean;
    policy: string | null;
    createdAt: Date;
  }>(
    `select s.id, s.name, p.id as "projectId", p.shared, v.version, v.policy, v.created_at as "createdAt",
            v.version = s.current_version and s.disabled_at is null and s.deleted_at is null
              and (s.expires_at is null or s.expires_at > $3) as "inForce"
     from secret_versions v join secrets s on s.id = v.secret_id join projects p on p.id = s.project_id
     where v.fingerprint = any($1) and p.organization_id = $2 order by p.shared desc, p.id, s.name, v.version desc`,
    [prints, organizationId, now],
  );
  const uses = await readUses(client, { secretIds: [...new Set(rows.map(({ id }) => id))] });
  const readers = new Map<string, LeakedSecret["readers"]>();
  for (const { projectId, shared } of rows) {
    if (!shared && !readers.has(projectId)) readers.set(projectId, await listBuilders(client, projectId));
  }
  return rows.map(({ projectId, shared, policy, ...row }) => {
    const sealed = policy !== null && (JSON.parse(policy) as { sealed?: unknown }).sealed === true;
    const reveal = actions[shared ? "organization.secrets.reveal" : "secret.reveal"];
    return {
      ...row,
      sealed,
      place: shared ? { organizationId } : { projectId },
      readers: sealed ? [] : (readers.get(projectId) ?? []),
      revealedTo: sealed ? [] : reveal.allowed,
      uses: uses
        .filter(({ secretId, version }) => secretId === row.id && version === row.version)
        .slice(0, usesShownMax),
    };
  });
}

async function findCredentials(
  client: Queryable,
  organizationId: string,
  prints: readonly Buffer[],
): Promise<LeakedCredential[]> {
  const { rows } = await client.query<{
    integration: string;
    projectId: string | null;
    version: number;
    inForce: boolean;
  }>(
    `select integration, project_id as "projectId", version, disabled_at is null as "inForce" from credentials
     where organization_id = $1 and fingerprints && $2::bytea[] order by integration, project_id nulls first`,
    [organizationId, prints],
  );
  return rows.map(({ projectId, ...row }) => ({
    ...row,
    level: projectId === null ? "organization" : "project",
    place: projectId === null ? { organizationId } : { projectId },
  }));
}

async function findKeys(
  client: Queryable,
  organizationId: string,
  { digests, now }: { digests: readonly Buffer[]; now: Date },
): Promise<LeakedKey[]> {
  if (digests.length === 0) return [];
  const { rows } = await client.query<
    Omit<LeakedKey, "place" | "createdBy"> & { projectId: string | null; byKind: string; by: string }
  >(
    `select k.id, 'key' as kind, k.project_id as "projectId", k.hint, k.name, k.created_by_kind as "byKind", k.created_by as by,
            k.last_used_at as "lastUsedAt", k.revoked_at is null and (k.expires_at is null or k.expires_at > $3) as "inForce",
            (select count(*) from embed_keys e where e.parent_key_id = k.id and e.revoked_at is null)::int as children
     from platform_keys k where k.organization_id = $1 and k.digest = any($2)
     union all
     select e.id, 'embed key', e.project_id, e.hint, null, e.created_by_kind, e.created_by, e.last_used_at,
            e.revoked_at is null and (e.expires_at is null or e.expires_at > $3), 0
     from embed_keys e where e.organization_id = $1 and e.digest = any($2)`,
    [organizationId, digests, now],
  );
  return rows.map(({ projectId, byKind, by, name, ...row }) => ({
    ...row,
    name: name ?? undefined,
    place: projectId === null ? { organizationId } : { projectId },
    createdBy: { kind: byKind, id: by },
  }));
}

async function countUnknown(client: Queryable, organizationId: string): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    `select count(*)::int as count from secret_versions v join secrets s on s.id = v.secret_id
     join projects p on p.id = s.project_id
     where p.organization_id = $1 and v.fingerprint is null and v.destroyed_at is null
       and (v.policy is null or v.policy::json -> 'source' is null)`,
    [organizationId],
  );
  return rows[0]!.count;
}

/** What was done about one thing that leaked; `error` when it could not be. */
export interface Ended {
  readonly type: "secret" | "credential" | "key" | "embed key";
  readonly id: string;
  readonly done: "rotated" | "switched off" | "revoked" | "nothing to do";
  readonly error?: ErrorCode;
}

/**
 * Ends what leaked: keys are revoked, credentials and secrets switched off, or secrets given a new value where one is given.
 * Each is a change of its own with its event; one that fails does not keep the others. What is no longer in force stays as it is. Throws
 * what `findLeak` throws.
 */
async function endLeak(
  context: LeakContext,
  request: { organizationId: string; text: string; replacement?: string | undefined; now?: Date | undefined },
): Promise<{ leak: Leak; ended: Ended[] }> {
  const leak = await findLeak(context, request);
  const { replacement, now } = request;
  const ended: Ended[] = [];
  const end = async (
    { type, id, inForce }: Pick<Ended, "type" | "id"> & { inForce: boolean },
    done: Ended["done"],
    work: () => Promise<unknown>,
  ): Promise<void> => {
    try {
      if (inForce) await work();
      ended.push({ type, id, done: inForce ? done : "nothing to do" });
    } catch (error) {
      ended.push({ type, id, done: "nothing to do", error: toStepvaultError(error).code });
    }
  };
  for (const { id, kind, place, inForce } of leak.keys) {
    await end({ type: kind, id, inForce }, "revoked", async () => {
      if (kind === "key") await revokeKey(context, { place, keyId: id, now });
      else if ("projectId" in place) await revokeEmbedKey(context, { ...place, keyId: id, ...(now && { now }) });
    });
  }
  for (const { place, integration, inForce } of leak.credentials) {
    const request: CredentialRequest & { enabled: boolean } = { place, integration, enabled: false };
    await end({ type: "credential", id: integration, inForce }, "switched off", async () => {
      await switchCredential(context, request);
    });
  }
  for (const { id, place, name, version, inForce } of leak.secrets) {
    await end({ type: "secret", id, inForce }, replacement === undefined ? "switched off" : "rotated", async () => {
      if (replacement === undefined) await switchSecret(context, { place, name, enabled: false });
      else await setSecret(context, { place, name, value: replacement, ifVersion: version });
    });
  }
  return { leak, ended };
}

export const leakActions = { find: findLeak, end: endLeak } as const;
