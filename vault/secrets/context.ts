/**
 * What the functions on secrets act with: who acts and in which database, as everywhere (perform.ts), and the keys.
 */
import type { Queryable } from "../../database/server.ts";
import type { Permission, Place } from "../tenancy/authorize.ts";
import type { SecretSources } from "../sources/kv-source.ts";
import type { MasterKey } from "../encryption/master-key.ts";
import type { ActContext } from "../audit/perform.ts";
import { getProject, provideSharedProject, type Project } from "../tenancy/tenancy.ts";

export interface SecretContext extends ActContext {
  readonly master: MasterKey;
  /** Where values are that are kept elsewhere. */
  readonly sources: SecretSources;
}

/** The project that holds the secrets of a place: itself, or that of the organization's own. */
export async function holderOf(client: Queryable, { organizationId, projectId }: Permission): Promise<Project> {
  if (projectId === undefined) return await provideSharedProject(client, organizationId);
  return await getProject(client, projectId);
}

const organizationActions = {
  "secret.list": "organization.secrets.list",
  "secret.write": "organization.secrets.write",
  "secret.destroy": "organization.secrets.destroy",
  "secret.reveal": "organization.secrets.reveal",
} as const;

/** What it takes to do something with a secret of a place. */
export function secretAction<Asked extends keyof typeof organizationActions>(
  action: Asked,
  place: Place,
): Asked | (typeof organizationActions)[Asked] {
  // The same question as `authorize` asks, which takes a place that has both for the organization.
  return "organizationId" in place ? organizationActions[action] : action;
}
