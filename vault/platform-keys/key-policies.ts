/**
 * How long a platform key may live: none or 7 to 90 days, and within what its organization's policy allows when the key is
 * made or rotated. A policy does not reach keys that are there.
 */
import type { Queryable } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { type ActContext, perform, permit } from "../audit/perform.ts";
import { parseId } from "../tenancy/tenancy.ts";

export const dayMs = 86_400_000;
const expiryDaysMin = 7;
const expiryDaysMax = 90;

export interface KeyPolicy {
  readonly expiryRequired: boolean;
  /** Null: 90. */
  readonly expiryDaysMax: number | null;
}

export type KeyExpiry = "none" | { readonly days: number } | { readonly date: Date };

/**
 * Sets what keys of the organization and its projects must be like from now on; a cap rules out keys without an expiry.
 * Keys that are there keep theirs. Throws ERR_KEY_EXPIRY_INVALID and what `authorize` throws.
 */
export async function setKeyPolicy(context: ActContext, policy: { organizationId: string } & KeyPolicy): Promise<void> {
  const { expiryRequired, expiryDaysMax: cap } = policy;
  if (cap !== null && !(Number.isInteger(cap) && isAllowed(cap, expiryDaysMax)))
    throw expiryInvalid(`the policy's cap is ${cap} days`);
  const place = { organizationId: parseId(policy.organizationId, "organization") };
  const act = { action: "organization.manage", place, event: "key-policy.set" } as const;
  await perform(context, act, async (client) => {
    await client.query(
      `insert into organization_key_policies (organization_id, expiry_required, expiry_days_max) values ($1, $2, $3)
       on conflict (organization_id) do update set expiry_required = $2, expiry_days_max = $3`,
      [place.organizationId, expiryRequired, cap],
    );
    return { result: undefined, details: { expiryRequired, expiryDaysMax: cap } };
  });
}

/** What keys of the organization and its projects must be like. Throws what `authorize` throws. */
export async function getKeyPolicy(context: ActContext, organizationId: string): Promise<KeyPolicy> {
  const place = { organizationId: parseId(organizationId, "organization") };
  await permit(context, { action: "organization.read", place, event: "key-policy.get" });
  return await readPolicy(context.database, place.organizationId);
}

async function readPolicy(client: Queryable, organizationId: string): Promise<KeyPolicy> {
  const { rows } = await client.query<KeyPolicy>(
    `select expiry_required as "expiryRequired", expiry_days_max as "expiryDaysMax" from organization_key_policies
     where organization_id = $1`,
    [organizationId],
  );
  return rows[0] ?? { expiryRequired: false, expiryDaysMax: null };
}

/** The end of a new key; null for none. Throws ERR_KEY_EXPIRY_INVALID. */
export async function parseExpiry(
  client: Queryable,
  { organizationId, expiry, now }: { organizationId: string; expiry: KeyExpiry; now: Date },
): Promise<Date | null> {
  const { expiryRequired: required, expiryDaysMax: cap } = await readPolicy(client, organizationId);
  if (expiry === "none") {
    if (required || cap !== null) throw expiryInvalid("there is none, and the organization requires one", cap);
    return null;
  }
  const end = "days" in expiry ? new Date(now.getTime() + expiry.days * dayMs) : expiry.date;
  const days = "days" in expiry ? expiry.days : (end.getTime() - now.getTime()) / dayMs;
  if ("days" in expiry && !Number.isInteger(days)) throw expiryInvalid("its days are no whole number", cap);
  if (!isAllowed(days, cap ?? expiryDaysMax)) throw expiryInvalid(`it is ${days} days`, cap);
  return end;
}

function isAllowed(days: number, max: number): boolean {
  return days >= expiryDaysMin && days <= max;
}

function expiryInvalid(why: string, cap: number | null = null): StepvaultError {
  const allowed = `${expiryDaysMin} to ${cap ?? expiryDaysMax} days are allowed`;
  return new StepvaultError("ERR_KEY_EXPIRY_INVALID", `Cannot use the key's expiry: ${why}; ${allowed}`);
}
