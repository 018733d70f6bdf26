/**
 * Carries a change out once for each Idempotency-Key of a caller. What was made is noted in the change's own transaction: of
 * two requests at once the second waits for the first, and a crash leaves both or neither. An answer may hold a key that is
 * shown once, so none is kept, and a repeat is told the id of what was made instead. Holds no connection of its own.
 */
import { createHash } from "node:crypto";
import type { Queryable } from "../database/server.ts";
import { StepvaultError } from "../protocol/error.ts";
import type { Vault } from "../vault/vault.ts";
import type { Principal } from "./principal.ts";
import { Refusal } from "./refusal.ts";

/** Whoever repeats a request does so within hours. */
const keptHours = 24;
/** Each new row takes up to so many old ones away. */
const forgottenMax = 50;

/** What a route's function gets of a request that may be sent again. */
interface Repeatable {
  readonly vault: Vault;
  readonly principal: Principal;
  readonly idempotencyKey: string | undefined;
  readonly params?: unknown;
  readonly body?: unknown;
}

interface Once<T> {
  /** The route's `operationId`; the same header for another one is another request. */
  readonly operation: string;
  /** Makes exactly one change, with the vault that it is given. */
  readonly work: (vault: Vault) => Promise<T>;
  readonly idOf: (made: T) => string;
  /** The path of what was made. */
  readonly pathOf: (id: string) => string;
}

/** Throws ERR_ALREADY_DONE, with its path as `Location`, ERR_IDEMPOTENCY_KEY_USED, and what the work throws. */
export async function once<T>(
  { vault, principal, idempotencyKey, params, body }: Repeatable,
  { operation, work, idOf, pathOf }: Once<T>,
): Promise<T> {
  if (idempotencyKey === undefined) return await work(vault);
  const claim = [principal.id, operation, digest(idempotencyKey)];
  const requestDigest = digest(JSON.stringify([params, body]));
  return await work(
    vault.around(async (client, change) => {
      const madeId = await claimOrFind(client, claim, requestDigest);
      if (madeId !== undefined) throw alreadyDone(madeId, pathOf(madeId));
      const made = await change();
      await client.query(
        "update idempotent_requests set thing_id = $4 where principal = $1 and operation = $2 and key_digest = $3",
        [...claim, idOf(made as unknown as T)],
      );
      return made;
    }),
  );
}

/** Undefined when the request is new; else the id of what was made by it. Waits while another transaction makes it. */
async function claimOrFind(client: Queryable, claim: unknown[], requestDigest: Buffer): Promise<string | undefined> {
  const { rowCount } = await client.query(
    `insert into idempotent_requests as r (principal, operation, key_digest, request_digest) values ($1, $2, $3, $4)
     on conflict (principal, operation, key_digest) do update
       set request_digest = excluded.request_digest, thing_id = null, created_at = now()
       where r.created_at < now() - interval '${keptHours} hours'
     returning principal`,
    [...claim, requestDigest],
  );
  if (rowCount === 1) {
    await forgetOld(client);
    return undefined;
  }
  const { rows } = await client.query<{ requestDigest: Buffer; thingId: string }>(
    `select request_digest as "requestDigest", thing_id as "thingId" from idempotent_requests
     where principal = $1 and operation = $2 and key_digest = $3`,
    claim,
  );
  const found = rows[0];
  if (found?.requestDigest.equals(requestDigest) === true) return found.thingId;
  throw new StepvaultError(
    "ERR_IDEMPOTENCY_KEY_USED",
    `Cannot carry the request out: its Idempotency-Key was used in the last ${keptHours} hours for another one`,
  );
}

async function forgetOld(client: Queryable): Promise<void> {
  await client.query(
    `delete from idempotent_requests where ctid = any(array(
       select ctid from idempotent_requests where created_at < now() - interval '${keptHours} hours'
       order by created_at limit ${forgottenMax} for update skip locked))`,
  );
}

function alreadyDone(id: string, location: string): Refusal {
  return new Refusal(
    "ERR_ALREADY_DONE",
    `Cannot carry the request out again: with this Idempotency-Key it made ${id}, and what it answered is not kept`,
    { headers: { location } },
  );
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
