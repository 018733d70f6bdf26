/**
 * The proof, after every test with a database, that no value and no key is where it must not be: every table of every
 * schema, what Redis holds and what the service logged are searched for all that the vault keeps secret, in the encodings
 * that a value takes on its way, and for platform keys by their published pattern. A finding names its place, and never
 * what was found. Not searched for: values below eight characters, and those that a test exempts at its place.
 */
import { Cluster, type Redis } from "ioredis";
import { openDatabase, type Database } from "../../database/connection.ts";
import type { Queryable } from "../../database/server.ts";
import type { Config } from "../../protocol/config.ts";
import { parseRedisAddress } from "../../protocol/redis-address.ts";
import { createRedisClient } from "../../runs/redis.ts";
import { scannerPattern } from "../../vault/platform-keys/key-format.ts";
import type { KeySettings } from "../../vault/encryption/key-sources.ts";
import { ByteSearch, needlesOfBytes, needlesOfText, valueCharactersMin } from "./byte-search.ts";
import { type Known, knownValues, rootKeys } from "./known-values.ts";

/** What a test has to say about the search of what it leaves. Each use says why. */
export interface SearchOptions {
  /** Values and platform keys that stand somewhere on purpose. */
  readonly ignore?: readonly string[];
  /** The root keys that the database was last used with, where these are not its own. */
  readonly keys?: Partial<KeySettings>;
  /** The root key is gone or the rows are broken on purpose: values are not known, and keys searched for all the same. */
  readonly unreadable?: boolean;
  /** Further texts that must hold nothing, by what they are. */
  readonly texts?: Readonly<Record<string, string>>;
}

export interface Searched {
  /** What was found where. */
  readonly found: readonly string[];
  readonly values: number;
  readonly keys: number;
  readonly unopened: number;
  readonly places: number;
  readonly bytes: number;
}

/** Throws with all places when something is found. A database that was closed is opened again for the search. */
export async function expectNoValues(
  database: Database,
  config: Config,
  options: SearchOptions = {},
): Promise<Searched> {
  const open = database.pool.ended ? await openDatabase(config) : database;
  try {
    const searched = await searchForValues(open, config, options);
    if (searched.found.length > 0) throw new Error(`What must not be there is found: ${searched.found.join("; ")}`);
    return searched;
  } finally {
    if (open !== database) await open.close();
  }
}

export async function searchForValues(
  database: Database,
  config: Config,
  { ignore = [], keys, unreadable = false, texts = {} }: SearchOptions = {},
): Promise<Searched> {
  const settings = { ...config, ...keys };
  const known: Known = unreadable
    ? { values: [], keys: await rootKeys(settings), unopened: 0 }
    : await knownValues(database, settings);
  const search = searchOf(known, ignore);
  const found = new Set<string>();
  let [places, bytes] = [0, 0];
  const look = (place: string, content: Buffer): void => {
    places += 1;
    bytes += content.length;
    for (const label of search(content)) found.add(`${label} in ${place}`);
  };
  await readTables(database, look);
  if (config.redisUrl !== undefined) await readRedis(config.redisUrl, look);
  for (const [name, text] of Object.entries(texts)) look(name, Buffer.from(text));
  const { values, unopened } = known;
  return { found: [...found], values: values.length, keys: known.keys.length, unopened, places, bytes };
}

function searchOf({ values, keys }: Known, ignore: readonly string[]): (content: Buffer) => string[] {
  const wanted = values.filter(
    ({ value }) => Array.from(value.trim()).length >= valueCharactersMin && !ignore.includes(value),
  );
  const search = new ByteSearch([
    // Blanks around a value get lost.
    ...wanted.flatMap(({ value, label }) => needlesOfText(value.trim(), label)),
    ...keys.flatMap(({ key, label }) => needlesOfBytes(key, label)),
  ]);
  const platformKey = new RegExp(scannerPattern, "g");
  return (content) => {
    const labels = search.find(content);
    const written = content.toString("latin1").match(platformKey) ?? [];
    return written.some((key) => !ignore.includes(key)) ? [...labels, "a platform key"] : labels;
  };
}

type Look = (place: string, content: Buffer) => void;

/** Each column of each table, whatever its type: bytes as they are, everything else as its text. */
async function readTables(database: Queryable, look: Look): Promise<void> {
  const { rows } = await database.query<{ name: string; columns: string[]; texts: string[] }>(
    `select format('%I.%I', c.table_schema, c.table_name) as name, array_agg(c.column_name::text order by c.ordinal_position) as columns,
       array_agg(case c.data_type when 'bytea' then quote_ident(c.column_name)
         else format('%I::text as %1$I', c.column_name) end order by c.ordinal_position) as texts
     from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
     where t.table_type = 'BASE TABLE' and c.table_schema not in ('pg_catalog', 'information_schema')
     group by c.table_schema, c.table_name`,
  );
  for (const { name, columns, texts } of rows) {
    const { rows: stored } = await database.query<Record<string, string | Buffer | null>>(
      `select ${texts.join(", ")} from ${name}`,
    );
    for (const column of columns) look(`${name}.${column}`, joined(stored.map((row) => row[column])));
  }
}

/** With a line's end between, so that no two make up what neither holds. */
function joined(contents: readonly (string | Buffer | null | undefined)[]): Buffer {
  const end = Buffer.from("\n");
  return Buffer.concat(
    contents.flatMap((content) =>
      content == null ? [] : [typeof content === "string" ? Buffer.from(content) : content, end],
    ),
  );
}

/** Every key with all that it holds, read by its type: Redis' own dump is compressed. */
async function readRedis(url: string, look: Look): Promise<void> {
  const address = parseRedisAddress(url);
  if (address === undefined) throw new Error("Cannot search Redis: its URL is none");
  const connected = createRedisClient(address, "work");
  try {
    await connected.ping();
    for (const client of connected instanceof Cluster ? connected.nodes("master") : [connected]) {
      await readServer(client, look);
    }
  } finally {
    connected.disconnect();
  }
}

async function readServer(client: Redis, look: Look): Promise<void> {
  const read: Readonly<Record<string, (key: Buffer) => Promise<unknown>>> = {
    string: async (key) => await client.callBuffer("get", key),
    hash: async (key) => [await client.callBuffer("hkeys", key), await client.callBuffer("hvals", key)],
    list: async (key) => await client.callBuffer("lrange", key, "0", "-1"),
    set: async (key) => await client.callBuffer("smembers", key),
    zset: async (key) => await client.callBuffer("zrange", key, "0", "-1"),
    stream: async (key) => await client.callBuffer("xrange", key, "-", "+"),
  };
  for (const key of await client.keysBuffer("*")) {
    const type = await client.type(key);
    // Gone meanwhile: others use the same Redis.
    if (type === "none") continue;
    const contents = read[type];
    if (contents === undefined) throw new Error(`Cannot search Redis: no way to read a ${type}`);
    look(`Redis, ${type}`, joined([key, ...buffersIn(await contents(key))]));
  }
}

function buffersIn(answer: unknown): Buffer[] {
  if (Buffer.isBuffer(answer)) return [answer];
  if (Array.isArray(answer)) return answer.flatMap(buffersIn);
  // Gone between the two questions.
  if (answer === null) return [];
  throw new Error(`Cannot search Redis: it answered a ${typeof answer}`);
}
