/**
 * The master key: from the settings, or from a file in the data directory that is made on the first start. The database
 * keeps a known text sealed under it, so that a wrong key is noticed at the start and not at the first run, and a lost
 * key file is never silently replaced by a new one that opens nothing.
 */
import { randomBytes } from "node:crypto";
import { link, mkdir, open as openFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Queryable, Transactional } from "../database/server.ts";
import type { Config } from "../protocol/config.ts";
import { StepvaultError } from "../protocol/error.ts";
import { createId } from "../protocol/ids.ts";
import { deriveKey, keyBytes, open, seal, SealBrokenError, withKey } from "./crypto.ts";

/** Any fixed number; processes that start at once on an empty database agree on one master key under this lock. */
const masterKeyLock = 7_308_332_045_514_013;
const checkText = "stepvault master key";

export interface MasterKey {
  /** The row in `master_keys`; what is sealed under the key is bound to it. */
  readonly id: string;
  readonly key: Buffer;
}

/** Reads the master key and proves it against the database. Throws ERR_MASTER_KEY_INVALID. */
export async function openMasterKey(
  database: Transactional,
  { masterKey, dataDir }: Pick<Config, "masterKey" | "dataDir">,
): Promise<MasterKey> {
  return await database.transaction(async (client) => {
    await client.query("select pg_advisory_xact_lock($1)", [masterKeyLock]);
    const { rows } = await client.query<{ id: string; check_value: Buffer }>(
      "select id, check_value from master_keys order by created_at",
    );
    const key =
      masterKey === undefined
        ? await readKeyFile(dataDir, { mayCreate: rows.length === 0 })
        : decodeKey(masterKey, "STEPVAULT_MASTER_KEY");
    if (rows.length === 0) return await register(client, key);
    const known = rows.find((row) => opens(key, row.id, row.check_value));
    if (known !== undefined) return { id: known.id, key };
    key.fill(0);
    throw invalid("it is not the one that this database was sealed with");
  });
}

async function register(client: Queryable, key: Buffer): Promise<MasterKey> {
  const id = createId();
  const checkValue = withKey(deriveKey(key, "check"), (checkKey) => seal(checkKey, [id], Buffer.from(checkText)));
  await client.query("insert into master_keys (id, check_value) values ($1, $2)", [id, checkValue]);
  return { id, key };
}

function opens(key: Buffer, id: string, checkValue: Buffer): boolean {
  try {
    return withKey(deriveKey(key, "check"), (checkKey) => open(checkKey, [id], checkValue)).toString() === checkText;
  } catch (error) {
    if (error instanceof SealBrokenError) return false;
    throw error;
  }
}

async function readKeyFile(dataDir: string, { mayCreate }: { mayCreate: boolean }): Promise<Buffer> {
  const path = join(dataDir, "master.key");
  if (mayCreate) {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    await createKeyFile(dataDir, path);
  }
  const file = await openFile(path, "r").catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    throw invalid(
      code === "ENOENT" ? `this database was sealed with one, and ${path} is missing` : `reading ${path} gives ${code}`,
    );
  });
  try {
    // The mode of the open file, so that it cannot be exchanged between the check and the reading.
    const { mode } = await file.stat();
    if ((mode & 0o077) !== 0) {
      throw invalid(`${path} has mode 0${(mode & 0o777).toString(8)}, and only its owner may read it: chmod 600`);
    }
    return decodeKey((await file.readFile("utf8")).trim(), path);
  } finally {
    await file.close();
  }
}

/** Makes the file with a new key, or leaves the one that is there. Written aside first: a file that exists is complete. */
async function createKeyFile(dataDir: string, path: string): Promise<void> {
  const aside = `${path}.${process.pid}-${randomBytes(4).toString("hex")}`;
  try {
    const file = await openFile(aside, "wx", 0o600);
    try {
      await file.writeFile(`${randomBytes(keyBytes).toString("base64")}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await link(aside, path);
    // Else a power failure could take the key and leave the database that needs it.
    await syncDirectory(dataDir);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EEXIST") throw invalid(`writing ${path} gives ${code}`);
  } finally {
    await rm(aside, { force: true });
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await openFile(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function decodeKey(base64: string, source: string): Buffer {
  const key = Buffer.from(base64, "base64");
  if (key.length === keyBytes && /^[A-Za-z0-9+/]{43}=$/.test(base64)) return key;
  key.fill(0);
  throw invalid(`${source} is not ${keyBytes} bytes of base64`);
}

function invalid(why: string): StepvaultError {
  return new StepvaultError("ERR_MASTER_KEY_INVALID", `Cannot use the master key: ${why}`);
}
