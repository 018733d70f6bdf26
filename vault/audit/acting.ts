/**
 * The context in which somebody acts on a vault (perform.ts): the audit key comes from the organization's own, so the log
 * stays verifiable when the root key is changed.
 */
import type { Queryable, Transactional } from "../../database/server.ts";
import type { Actor } from "../tenancy/actor.ts";
import { deriveKey, withKey } from "../encryption/crypto.ts";
import type { MasterKey } from "../encryption/master-key.ts";
import { provideOrganizationKey, unwrapOrganizationKey } from "../encryption/organization-keys.ts";
import type { ActContext } from "./perform.ts";

export function contextFor(database: Queryable & Transactional, master: MasterKey, actor: Actor): ActContext {
  return {
    database,
    actor,
    async withAuditKey(client, organizationId, work) {
      const wrapped = await provideOrganizationKey(client, master, organizationId);
      const organizationKey = await unwrapOrganizationKey(master, organizationId, wrapped);
      const key = withKey(organizationKey, (own) => deriveKey(own, "audit"));
      try {
        return await work(key);
      } finally {
        key.fill(0);
      }
    },
  };
}
