/**
 * The embedded server's cluster on disk: made once, aside, and renamed into place whole, so that a kill in the middle or
 * two processes at once leave either nothing or a complete cluster. The superuser cannot log in at all; the role
 * `stepvault` owns the one database and logs in with a password kept in the cluster, over a unix socket that lies there too.
 */
import { randomBytes } from "node:crypto";
import { chown, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type pg from "pg";
import { StepvaultError } from "../protocol/error.ts";
import { type Binaries, findBinaries, runBinary } from "./embedded-binaries.ts";
import { findServerUser, type ServerUser } from "./embedded-user.ts";
import type { DatabaseLog } from "./server.ts";

const passwordFile = "stepvault.password";
const port = 5432;
/** sockaddr_un holds 104 bytes on macOS and 108 on Linux, the final NUL included. */
const socketPathBytesMax = 103;

export interface Cluster {
  readonly directory: string;
  readonly logFile: string;
  /** Who the server runs as, when that is not this process's own user. */
  readonly user: ServerUser | undefined;
  readonly binaries: Binaries;
  readonly clientConfig: pg.ClientConfig;
  /** Removes what this process keeps outside the data directory. */
  release(): Promise<void>;
}

/** Finds the cluster in `directory` or makes it. Throws ERR_DATABASE. */
export async function openCluster(directory: string, log: DatabaseLog): Promise<Cluster> {
  const user = await findServerUser(directory);
  const binaries = await findBinaries(user);
  if (!(await isCluster(directory))) {
    await removeAbandoned(directory);
    await createCluster(directory, user, binaries);
    log.info(`created a PostgreSQL cluster in ${directory}`);
  }
  await checkVersion(directory, binaries);
  const password = (await readFile(join(directory, passwordFile), "utf8")).trim();
  const { host, release } = await shortSocketHost(directory);
  return {
    directory,
    logFile: `${directory}.log`,
    user,
    binaries,
    clientConfig: { host, port, user: "stepvault", password, database: "stepvault", ssl: false },
    release,
  };
}

async function isCluster(directory: string): Promise<boolean> {
  return await lstat(join(directory, "PG_VERSION")).then(
    () => true,
    () => false,
  );
}

async function checkVersion(directory: string, binaries: Binaries): Promise<void> {
  const version = (await readFile(join(directory, "PG_VERSION"), "utf8")).trim();
  if (version === binaries.majorVersion) return;
  throw new StepvaultError(
    "ERR_DATABASE",
    `Cannot start PostgreSQL in ${directory}: its data is of version ${version}, the server of ${binaries.majorVersion}`,
  );
}

async function createCluster(directory: string, user: ServerUser | undefined, binaries: Binaries): Promise<void> {
  const staging = `${directory}.new-${process.pid}-${randomBytes(4).toString("hex")}`;
  const password = randomBytes(24).toString("base64url");
  try {
    await mkdir(staging, { mode: 0o700 });
    if (user !== undefined) await chown(staging, user.uid, user.gid);
    await runBinary(binaries, "initdb", { directory: staging, user }, [
      "--username=postgres",
      "--auth=reject",
      "--encoding=UTF8",
      // The C locale and PostgreSQL's own Unicode tables: the same order on every machine, no system locale needed.
      "--locale=C",
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
    ]);
    await runBinary(
      binaries,
      "postgres",
      { directory: staging, user, input: roleStatements(password) },
      ["-c", "exit_on_error=on", "postgres"],
      ["--single"],
    );
    await writeFile(join(staging, "pg_hba.conf"), "local stepvault stepvault scram-sha-256\n");
    await writeFile(join(staging, passwordFile), `${password}\n`, { mode: 0o600, flush: true });
    await rename(staging, directory);
  } catch (error) {
    await rm(staging, { recursive: true, force: true });
    // Another process that started at the same moment was faster: its cluster is as good.
    if (await isCluster(directory)) return;
    throw error;
  }
}

/** One statement per line, as single-user mode reads them; by stdin, because others can read an argv. */
function roleStatements(password: string): string {
  return [
    `create role stepvault login password '${password}';`,
    "create database stepvault owner stepvault;",
    "revoke connect on database postgres, template1 from public;",
    "",
  ].join("\n");
}

/** Removes half-made clusters whose makers are dead. */
async function removeAbandoned(directory: string): Promise<void> {
  const prefix = `${basename(directory)}.new-`;
  for (const name of await readdir(dirname(directory))) {
    const pid = Number(name.slice(prefix.length).split("-")[0]);
    if (!name.startsWith(prefix) || isAlive(pid)) continue;
    await rm(join(dirname(directory), name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** The socket's directory, by way of a symbolic link in a private temporary directory when its own path is too long. */
async function shortSocketHost(directory: string): Promise<{ host: string; release: () => Promise<void> }> {
  if (Buffer.byteLength(`${directory}/.s.PGSQL.${port}`) <= socketPathBytesMax) {
    return { host: directory, release: async () => {} };
  }
  const temporary = await mkdtemp(join(tmpdir(), "stepvault-"));
  await symlink(directory, join(temporary, "db"));
  return { host: join(temporary, "db"), release: () => rm(temporary, { recursive: true, force: true }) };
}
