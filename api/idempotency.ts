/**
 * Carries a change out once for each Idempotency-Key of a caller. What was made is noted in the change's own transaction: of
 * two requests at once the second waits for the first, and a crash leaves both or neither. An answer may hold a key that is
 * shown once, so none is kept: a repeat is told the id of what was made, or is given it as it is by now where nothing of it is
 * secret. Holds no connection of its own.
 */
import { createHash } from "node:crypto";
import type { Around, Queryable } from "../database/server.ts";
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

/** What was made: of a step also which version. */
export interface Made {
  readonly id: string;
  readonly version?: number;
}

/** Throws ERR_ALREADY_DONE, with its path as `Location`, ERR_IDEMPOTENCY_KEY_USED, and what the work throws. */
export async function once<T>(
  { vault, ...request }: Repeatable & { readonly vault: Vault },
  { operation, work, idOf, pathOf }: Once<T>,
): Promise<T> {
  const refuse = ({ id }: Made): never => {
    throw alreadyDone(id, pathOf(id));
  };
  return await work(
    vault.around(
      async (client, change) =>
        await madeOnce(request, operation, {
          client,
          change,
          madeOf: (made) => ({ id: idOf(made as unknown as T) }),
          again: refuse,
        }),
    ),
  );
}

/**
 * Around a change whose answer has nothing secret: a repeat gets what `again` gives. The function throws
 * ERR_IDEMPOTENCY_KEY_USED, and what `again` throws.
 */
export function givenAgain<T extends Made>(
  request: Repeatable,
  operation: string,
  again: (made: Made, client: Queryable) => T | Promise<T>,
): Around<T> {
  return async (client, change) =>
    await madeOnce(request, operation, {
      client,
      change,
      madeOf: (made) => made,
      again: async (made) => await again(made, client),
    });
}

interface Change<T> {
  readonly client: Queryable;
  readonly change: () => Promise<T>;
  readonly madeOf: (made: T) => Made;
  /** What a repeat comes to. */
  readonly again: (made: Made) => Promise<T>;
}

async function madeOnce<T>(
  { principal, idempotencyKey, params, body }: Repeatable,
  operation: string,
  { client, change, madeOf, again }: Change<T>,
): Promise<T> {
  if (idempotencyKey === undefined) return await change();
  const claim = [principal.id, operation, digest(idempotencyKey)];
  const before = await claimOrFind(client, claim, digest(JSON.stringify([params, body])));
  if (before !== undefined) return await again(before);
  const thing = await change();
  const { id, version } = madeOf(thing);
  await client.query(
    `update idempotent_requests set thing_id = $4, thing_version = $5
     where principal = $1 and operation = $2 and key_digest = $3`,
    [...claim, id, version],
  );
  return thing;
}

/** Undefined when the request is new; else what was made by it. Waits while another transaction makes it. */
async function claimOrFind(client: Queryable, claim: unknown[], requestDigest: Buffer): Promise<Made | undefined> {
  const { rowCount } = await client.query(
    `insert into idempotent_requests as r (principal, operation, key_digest, request_digest) values ($1, $2, $3, $4)
     on conflict (principal, operation, key_digest) do update
       set request_digest = excluded.request_digest, thing_id = null, thing_version = null, created_at = now()
       where r.created_at < now() - interval '${keptHours} hours'
     returning principal`,
    [...claim, requestDigest],
  );
  if (rowCount === 1) {
    await forgetOld(client);
    return undefined;
  }
  const { rows } = await client.query<Required<Made> & { requestDigest: Buffer }>(
    `select request_digest as "requestDigest", thing_id as id, thing_version as version from idempotent_requests
     where principal = $1 and operation = $2 and key_digest = $3`,
    claim,
  );
  const found = rows[0];
  if (found?.requestDigest.equals(requestDigest) === true) return found;
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
