/**
 * The root keys of this process and which of them the database uses. The database keeps a known text under each, so that a
 * wrong key is noticed at the start and not at the first run, and a lost one is never silently replaced by a new one that
 * opens nothing. Other processes may change the key in use at any time: which one it is, is asked for and not remembered.
 */
import type { Queryable, Transactional } from "../../database/server.ts";
import { createId } from "../../protocol/ids.ts";
import { type GivenRootKeys, invalid, type KeySettings, readRootKeys } from "./key-sources.ts";
import { LocalRootKey, type RootKey, type WrapContext } from "./root-key.ts";

/** Any fixed number; processes that start at once on an empty database agree on one key, and rotation takes turns. */
const masterKeyLock = 7_308_332_045_514_013;

export interface RegisteredKey {
  readonly id: string;
  readonly source: string;
  readonly state: "staged" | "active" | "retained";
  readonly checkValue: Buffer;
}

/** Reads the root keys and proves them against the database. Throws ERR_MASTER_KEY_INVALID, ERR_KMS_UNAVAILABLE. */
export async function openMasterKey(database: Queryable & Transactional, settings: KeySettings): Promise<MasterKey> {
  return await database.transaction(async (client) => {
    const registered = await lockRegisteredKeys(client);
    const given = await readRootKeys(settings, { mayCreate: registered.length === 0 });
    const master = new MasterKey(database, given);
    try {
      if (registered.length === 0) await master.register(client, given.keys[0]!, "active");
      else await master.prove(client, registered);
      return master;
    } catch (error) {
      master.close();
      throw error;
    }
  });
}

/** The root keys that the database knows, which nobody changes until the transaction ends. */
export async function lockRegisteredKeys(client: Queryable): Promise<RegisteredKey[]> {
  await client.query("select pg_advisory_xact_lock($1)", [masterKeyLock]);
  return (await client.query<RegisteredKey>(`${selectKeys} order by created_at`)).rows;
}

const selectKeys = `select id, source, state, check_value as "checkValue" from master_keys`;

export class MasterKey {
  readonly #database: Queryable;
  readonly #given: GivenRootKeys;
  readonly #byId = new Map<string, RootKey>();

  constructor(database: Queryable, given: GivenRootKeys) {
    this.#database = database;
    this.#given = given;
  }

  /** The key that is to follow, when one was given. */
  get next(): RootKey | undefined {
    return this.#given.next;
  }

  async register(client: Queryable, key: RootKey, state: "staged" | "active"): Promise<string> {
    const id = createId();
    await client.query("insert into master_keys (id, source, state, check_value) values ($1, $2, $3, $4)", [
      id,
      key.source,
      state,
      await key.checkValue(id),
    ]);
    this.#byId.set(id, key);
    return id;
  }

  /** Throws unless this process has every key that something in the database is wrapped under. */
  async prove(client: Queryable, registered: readonly RegisteredKey[]): Promise<void> {
    for (const row of registered) {
      if ((await this.#match(row)) !== undefined) continue;
      if (row.state === "active") throw invalid("it is not the one that this database was sealed with");
      const wrapped = await countWrapped(client, row.id);
      if (wrapped > 0) throw invalid(`${wrapped} key(s) are still wrapped under the one before it, which is not given`);
    }
  }

  /** Wraps a key of an organization or of the deployment under the root key in use. Throws ERR_MASTER_KEY_INVALID, ERR_KMS_UNAVAILABLE. */
  async wrap(
    client: Queryable,
    key: Buffer,
    context: Omit<WrapContext, "rootKeyId">,
  ): Promise<{ masterKeyId: string; wrappedKey: Buffer }> {
    const rootKeyId = await this.activeId(client);
    const root = await this.#root(rootKeyId);
    return { masterKeyId: rootKeyId, wrappedKey: await root.wrap(key, { ...context, rootKeyId }) };
  }

  /** A key of an organization or of the deployment, which the caller zeroes. Throws SealBrokenError, ERR_MASTER_KEY_INVALID, ERR_KMS_UNAVAILABLE. */
  async unwrap(wrapped: Buffer, context: WrapContext): Promise<Buffer> {
    return await (await this.#root(context.rootKeyId)).unwrap(wrapped, context);
  }

  /** A project's key from before organizations had keys. Throws SealBrokenError, ERR_MASTER_KEY_INVALID. */
  async unwrapOldProjectKey(wrapped: Buffer, rootKeyId: string, parts: readonly string[]): Promise<Buffer> {
    const root = await this.#root(rootKeyId);
    if (root instanceof LocalRootKey) return root.unwrapOldProjectKey(wrapped, parts);
    throw invalid("a project's key is wrapped under a local one, and only a KMS is given");
  }

  async activeId(client: Queryable): Promise<string> {
    const { rows } = await client.query<{ id: string }>("select id from master_keys where state = 'active'");
    if (rows[0] === undefined) throw invalid("the database has none in use");
    return rows[0].id;
  }

  /** Whether `key` is the one that the row knows. */
  async isRegisteredAs(key: RootKey, row: RegisteredKey): Promise<boolean> {
    return key.source === row.source && (await key.opens(row.id, row.checkValue));
  }

  async #root(id: string): Promise<RootKey> {
    const known = this.#byId.get(id);
    if (known !== undefined) return known;
    // Registered by another process since this one started.
    const { rows } = await this.#database.query<RegisteredKey>(`${selectKeys} where id = $1`, [id]);
    const found = rows[0] && (await this.#match(rows[0]));
    if (found === undefined) throw invalid(`what is wrapped under ${id} needs a key that is not given`);
    return found;
  }

  async #match(row: RegisteredKey): Promise<RootKey | undefined> {
    for (const key of this.#given.keys) {
      if (!(await this.isRegisteredAs(key, row))) continue;
      this.#byId.set(row.id, key);
      return key;
    }
    return undefined;
  }

  /** Forgets the keys; the vault is of no use afterwards. */
  close(): void {
    for (const key of this.#given.keys) key.close();
  }
}

/** How many keys of organizations, of the deployment and, in the old format, of projects are wrapped under a root key. */
export async function countWrapped(client: Queryable, rootKeyId: string): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    `select ((select count(*) from organization_keys where master_key_id = $1)
           + (select count(*) from deployment_keys where master_key_id = $1)
           + (select count(*) from data_keys where master_key_id = $1))::int as count`,
    [rootKeyId],
  );
  return rows[0]!.count;
}
