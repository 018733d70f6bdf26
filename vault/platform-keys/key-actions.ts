/**
 * Platform keys, embed keys and agents for who may, with what the deployment itself adds to a key: its region and its pepper.
 */
import { createAgent, changeAgent, deleteAgent, listAgents } from "./agents.ts";
import { createEmbedKey, listEmbedKeys, type NewEmbedKey, revokeEmbedKey } from "./embed-keys.ts";
import { type CheckedKey, checkKey, type KeyCheckContext, type PresentedKey } from "./key-check.ts";
import { getKeyPolicy, setKeyPolicy } from "./key-policies.ts";
import * as keys from "./keys.ts";
import { describeOwnKey } from "./own-key.ts";
import type { ActContext } from "../audit/perform.ts";

/** The context of who acts, and what the deployment adds. */
export interface KeyContext extends ActContext, KeyCheckContext {
  readonly issuer: keys.KeyIssuer;
}

type Without<T, Field extends PropertyKey> = Omit<T, Field>;

export const keyActions = {
  async createForProject(
    context: KeyContext,
    wanted: Without<Parameters<typeof keys.createProjectKey>[1], "issuer">,
  ): Promise<keys.IssuedKey> {
    return await keys.createProjectKey(context, { ...wanted, issuer: context.issuer });
  },
  async createForOrganization(
    context: KeyContext,
    wanted: Without<Parameters<typeof keys.createOrganizationKey>[1], "issuer">,
  ): Promise<keys.IssuedKey> {
    return await keys.createOrganizationKey(context, { ...wanted, issuer: context.issuer });
  },
  async rotate(
    context: KeyContext,
    wanted: Without<Parameters<typeof keys.rotateKey>[1], "issuer">,
  ): Promise<keys.IssuedKey> {
    return await keys.rotateKey(context, { ...wanted, issuer: context.issuer });
  },
  listOfProject: keys.listProjectKeys,
  listOfOrganization: keys.listOrganizationKeys,
  change: keys.changeKey,
  revoke: keys.revokeKey,
  delete: keys.deleteKey,
  setPolicy: setKeyPolicy,
  policy: getKeyPolicy,
  own: describeOwnKey,
  /** What somebody who presents a key may do: the deployment asks this, whoever acts. */
  async check(context: KeyContext, presented: Without<PresentedKey, "region">): Promise<CheckedKey> {
    return await checkKey(context, context.issuer.pepper, { ...presented, region: context.issuer.region });
  },
} as const;

export const embedKeyActions = {
  async create(context: KeyContext, wanted: Without<NewEmbedKey, "issuer">): ReturnType<typeof createEmbedKey> {
    return await createEmbedKey(context, { ...wanted, issuer: context.issuer });
  },
  list: listEmbedKeys,
  revoke: revokeEmbedKey,
} as const;

export const agentActions = {
  create: createAgent,
  change: changeAgent,
  delete: deleteAgent,
  list: listAgents,
} as const;
