/**
 * Where root keys come from: a key management service, a variable, or a file in the data directory that is made on the first
 * start; and the one that is to follow. A file that others may read is refused. Knows nothing of the database, which
 * decides which of the keys that were given here is in use.
 */
import { randomBytes } from "node:crypto";
import { link, mkdir, open as openFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../../protocol/config.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { keyBytes } from "./crypto.ts";
import { chooseKms } from "./kms-choice.ts";
import { KmsRootKey } from "./kms.ts";
import { LocalRootKey, type RootKey } from "./root-key.ts";

export type KmsSettings = Pick<Config, "kms" | "kmsEndpoint" | "kmsNext" | "kmsNextEndpoint" | "kmsTokenFile">;
export type KeySettings = KmsSettings & Pick<Config, "masterKey" | "masterKeyNext" | "dataDir">;

export interface GivenRootKeys {
  /** All that can be used; on an empty database the first is taken. */
  readonly keys: readonly RootKey[];
  /** The one to change to. */
  readonly next: RootKey | undefined;
}

/** The root keys that were given. Throws ERR_MASTER_KEY_INVALID, ERR_KMS_UNAVAILABLE. */
export async function readRootKeys(
  settings: KeySettings,
  { mayCreate }: { mayCreate: boolean },
): Promise<GivenRootKeys> {
  const { masterKey, masterKeyNext, dataDir } = settings;
  const path = join(dataDir, "master.key");
  const { remote, remoteNext } = openKms(settings);
  const next =
    masterKeyNext === undefined
      ? await readKeyFile(`${path}.next`)
      : decodeKey(masterKeyNext, "STEPVAULT_MASTER_KEY_NEXT");
  if (next !== undefined && remoteNext !== undefined) {
    next.fill(0);
    throw invalid("two are given to follow it, STEPVAULT_KMS_NEXT and a local one");
  }
  if (masterKey === undefined && remote === undefined && mayCreate) await createKeyFile(dataDir, path);
  const current = masterKey === undefined ? await readKeyFile(path) : decodeKey(masterKey, "STEPVAULT_MASTER_KEY");
  const nextKey = remoteNext ?? (next && new LocalRootKey(next));
  const keys = [remote, current && new LocalRootKey(current), nextKey].filter((key) => key !== undefined);
  if (keys.length === 0) throw invalid(`this database was sealed with one, and ${path} is missing`);
  // Who moves to a service gives it beside the key in use.
  return { keys, next: nextKey ?? remote };
}

/** The keys that stay in services, without a request to any. Throws ERR_KMS_UNAVAILABLE. */
export function openKms({ kms, kmsEndpoint, kmsNext, kmsNextEndpoint, kmsTokenFile: tokenFile }: KmsSettings): {
  remote: KmsRootKey | undefined;
  remoteNext: KmsRootKey | undefined;
} {
  const open = (source: string | undefined, endpoint: string | undefined): KmsRootKey | undefined =>
    source === undefined ? undefined : new KmsRootKey(chooseKms({ source, endpoint, tokenFile }));
  return { remote: open(kms, kmsEndpoint), remoteNext: open(kmsNext, kmsNextEndpoint) };
}

/** The key in a file; undefined when there is no such file. */
async function readKeyFile(path: string): Promise<Buffer | undefined> {
  const file = await openFile(path, "r").catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw invalid(`reading ${path} gives ${code}`);
  });
  if (file === undefined) return undefined;
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
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
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

export function invalid(why: string): StepvaultError {
  return new StepvaultError("ERR_MASTER_KEY_INVALID", `Cannot use the master key: ${why}`);
}
