/**
 * What a platform key is to whoever uses it: what it may do, where and until when, so that a program can tell before it
 * tries. Only of the key that acts; nothing of its maker or of other keys, as an embed key is read by everybody on its page.
 */
import { StepvaultError } from "../../protocol/error.ts";
import type { KeyScope } from "../../protocol/roles.ts";
import type { ActContext } from "../audit/perform.ts";
import type { AgentKind } from "./agents.ts";
import type { EmbedActor } from "./key-check.ts";
import type { Region } from "./key-format.ts";
import { unknownKeyId } from "./keys.ts";

export interface OwnKey {
  readonly id: string;
  readonly kind: "project" | "organization" | "embed";
  readonly organizationId: string;
  readonly projects: "all" | readonly string[];
  readonly scopes: readonly KeyScope[];
  readonly region: Region;
  readonly hint: string;
  readonly expiresAt: Date | null;
  /** Whether it has a successor, and stops at `expiresAt`. */
  readonly rotated: boolean;
  /** Of an embed key. */
  readonly agent?: {
    readonly id: string;
    readonly kind: AgentKind;
    readonly stepIds: readonly string[];
    readonly conversationPrefix: string;
  };
}

type Row = Pick<OwnKey, "region" | "hint" | "expiresAt" | "rotated"> & { readonly ofProject: boolean };

/** Throws ERR_FORBIDDEN when who acts is no key. */
export async function describeOwnKey({ database, actor }: ActContext): Promise<OwnKey> {
  if (actor.kind !== "key")
    throw new StepvaultError("ERR_FORBIDDEN", "Cannot show the key: who asks did not use a platform key");
  const { id, organizationId, projects, scopes } = actor;
  const { embed } = actor as Partial<EmbedActor>;
  const table =
    embed === undefined
      ? `select region, hint, expires_at as "expiresAt", rotated_to is not null as rotated,
           project_id is not null as "ofProject" from platform_keys where id = $1`
      : `select e.region, e.hint, least(e.expires_at, k.expires_at) as "expiresAt", k.rotated_to is not null as rotated,
           true as "ofProject" from embed_keys e left join platform_keys k on k.id = e.parent_key_id where e.id = $1`;
  const { rows } = await database.query<Row>(table, [id]);
  const row = rows[0];
  if (row === undefined) throw unknownKeyId();
  const { ofProject, ...rest } = row;
  const shown = { id, organizationId, projects, scopes, ...rest };
  if (embed === undefined) return { ...shown, kind: ofProject ? "project" : "organization" };
  const { agentId, kind, stepIds, conversationPrefix } = embed;
  return { ...shown, kind: "embed", agent: { id: agentId, kind, stepIds, conversationPrefix } };
}
