/**
 * Which user the embedded PostgreSQL runs as. PostgreSQL refuses to run as root, so under root it gets the system user
 * `postgres`, made when missing; an ordinary user's server runs as that user.
 */
import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { promisify } from "node:util";
import { StepvaultError } from "../protocol/error.ts";

const execute = promisify(execFile);

export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

/** The user for the cluster in `directory`; undefined means this process's own. Throws ERR_DATABASE. */
export async function findServerUser(directory: string): Promise<ServerUser | undefined> {
  const ownUid = process.getuid?.();
  const owner = await stat(directory).catch(() => undefined);
  if (ownUid !== 0) {
    if (owner === undefined || owner.uid === ownUid) return undefined;
    throw new StepvaultError(
      "ERR_DATABASE",
      `Cannot start PostgreSQL in ${directory}: it belongs to user ${owner.uid} and this process runs as ${ownUid}`,
    );
  }
  if (process.platform !== "linux") {
    throw new StepvaultError(
      "ERR_DATABASE",
      "Cannot start PostgreSQL as root on this system: use an ordinary user, or give STEPVAULT_DATABASE_URL",
    );
  }
  // A cluster made by an ordinary user stays that user's, also when root runs a command on it.
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  return (await lookUp()) ?? (await create());
}

async function lookUp(): Promise<ServerUser | undefined> {
  try {
    const [uid, gid] = await Promise.all([execute("id", ["-u", "postgres"]), execute("id", ["-g", "postgres"])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return undefined;
  }
}

async function create(): Promise<ServerUser> {
  const options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"];
  // Two processes may create it at the same time; the look-up afterwards decides.
  const failure = await execute("useradd", [...options, "--shell", "/usr/sbin/nologin", "postgres"]).catch(
    (error: unknown) => error,
  );
  const user = await lookUp();
  if (user !== undefined) return user;
  throw new StepvaultError(
    "ERR_DATABASE",
    "Cannot start PostgreSQL as root: there is no user postgres and useradd failed; use an ordinary user, or give STEPVAULT_DATABASE_URL",
    { cause: failure },
  );
}
