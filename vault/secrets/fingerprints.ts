/**
 * Fingerprints of values: equal values of one organization have equal ones, and nobody without its key can compare or guess.
 * They find where a leaked value is stored without opening anything. Between organizations nothing is comparable.
 */
import type { Queryable } from "../../database/server.ts";
import { authenticate, deriveKey, withKey } from "../encryption/crypto.ts";
import type { MasterKey } from "../encryption/master-key.ts";
import { provideOrganizationKey, unwrapOrganizationKey } from "../encryption/organization-keys.ts";

/** Gives `work` a function from values to fingerprints. Throws SealBrokenError, ERR_MASTER_KEY_INVALID, ERR_KMS_UNAVAILABLE. */
export async function withFingerprints<T>(
  client: Queryable,
  master: MasterKey,
  organizationId: string,
  work: (fingerprint: (value: string) => Buffer) => T | Promise<T>,
): Promise<T> {
  const wrapped = await provideOrganizationKey(client, master, organizationId);
  const organizationKey = await unwrapOrganizationKey(master, organizationId, wrapped);
  const key = withKey(organizationKey, () => deriveKey(organizationKey, "fingerprint"));
  try {
    // Blanks around a value get lost and added when people copy it.
    return await work((value) => authenticate(key, ["fingerprint", organizationId, value.trim()]));
  } finally {
    key.fill(0);
  }
}

export async function fingerprintValue(
  client: Queryable,
  master: MasterKey,
  { organizationId, value }: { organizationId: string; value: string },
): Promise<Buffer> {
  return await withFingerprints(client, master, organizationId, (fingerprint) => fingerprint(value));
}
