/**
 * Goal: the embedded server survives what happens to processes: kill -9 of either side, stale locks, several processes
 * on one data directory, root and ordinary users, paths that are too long or closed. Real processes and real signals.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { access, chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { type Database, openDatabase } from "../../database/connection.ts";
import { configFor, openInProcess, type OpenedProcess, serverPid } from "./temporary.ts";

const directories: string[] = [];
const open: (Database | OpenedProcess | ChildProcess)[] = [];
const template = mkdtempSync(join(tmpdir(), "stepvault-test-"));
const isRoot = process.getuid?.() === 0;

afterEach(async () => {
  for (const item of open.splice(0)) {
    if ("close" in item) await item.close();
    else item.kill("SIGKILL");
  }
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true });
});

afterAll(() => rmSync(template, { recursive: true, force: true }));

async function temporaryDirectory(parent = tmpdir()): Promise<string> {
  const directory = await mkdtemp(join(parent, "stepvault-test-"));
  directories.push(directory);
  return directory;
}

/** A data directory with a cluster in it, copied from one that was made once: making one takes a second. */
async function clusterDirectory(): Promise<string> {
  if (!existsSync(join(template, "postgres"))) await (await openDatabase(configFor(template))).close();
  const dataDir = await temporaryDirectory();
  execFileSync("cp", ["-a", join(template, "postgres"), dataDir]);
  return dataDir;
}

async function openHere(dataDir: string): Promise<Database> {
  const database = await openDatabase(configFor(dataDir));
  open.push(database);
  return database;
}

async function openThere(dataDir: string, user: { uid?: number; gid?: number } = {}): Promise<OpenedProcess> {
  const opened = await openInProcess(dataDir, user);
  open.push(opened);
  return opened;
}

/** Whether a process runs; one that has ended and that its new parent has not reaped yet does not. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== "linux" || readFileSync(`/proc/${pid}/cmdline`, "utf8") !== "";
  } catch {
    return false;
  }
}

async function expectUsable(database: Database): Promise<void> {
  expect((await database.query("select 1 from migrations")).rowCount).toBeGreaterThan(0);
}

describe("several processes on one data directory", () => {
  test("all migrate at once on a fresh directory, share one server, and the last to close stops it", async () => {
    const dataDir = await temporaryDirectory();
    const [here, first, second] = await Promise.all([openHere(dataDir), openThere(dataDir), openThere(dataDir)]);
    const { rows } = await here.query("select distinct count(*)::int as count from migrations group by name");
    expect(rows).toEqual([{ count: 1 }]);
    const pid = await serverPid(dataDir);
    expect(await first.close()).toBe(0);
    await here.close();
    expect(isAlive(pid)).toBe(true);
    expect(await second.close()).toBe(0);
    await expect.poll(() => isAlive(pid)).toBe(false);
    expect((await readdir(dataDir)).sort()).toEqual(["postgres", "postgres.log"]);
  });

  test("one that opens while another closes gets a server", async () => {
    const dataDir = await clusterDirectory();
    let previous = await openHere(dataDir);
    for (let round = 0; round < 5; round += 1) {
      const closing = previous.close();
      previous = await openHere(dataDir);
      await closing;
    }
    expect((await previous.query("select 1 from migrations")).rowCount).toBeGreaterThan(0);
  });
});

describe("after kill -9", () => {
  test("of the process, the next one adopts the server that it left, and stops it on close", async () => {
    const dataDir = await clusterDirectory();
    const killed = await openThere(dataDir);
    const pid = await serverPid(dataDir);
    await killed.kill();
    open.pop();
    expect(isAlive(pid)).toBe(true);
    const database = await openHere(dataDir);
    await expectUsable(database);
    expect(await serverPid(dataDir)).toBe(pid);
    await database.close();
    expect(isAlive(pid)).toBe(false);
  });

  test("of the process and the server, the next one starts it again with everything that was committed", async () => {
    const dataDir = await clusterDirectory();
    const killed = await openThere(dataDir);
    const writer = await openHere(dataDir);
    await writer.query("insert into organizations (id, name) values (gen_random_uuid(), 'kept')");
    // The writer must not bring the server back by itself: it goes first, and leaves the server to the other.
    await writer.close();
    const pid = await serverPid(dataDir);
    await killed.kill();
    open.shift();
    process.kill(pid, "SIGKILL");
    const database = await openHere(dataDir);
    expect((await database.query("select name from organizations")).rows).toEqual([{ name: "kept" }]);
  });

  test("of the server alone, the process starts it again by itself", async () => {
    const dataDir = await clusterDirectory();
    const database = await openHere(dataDir);
    const pid = await serverPid(dataDir);
    process.kill(pid, "SIGKILL");
    await expect.poll(async () => await serverPid(dataDir), { timeout: 20_000 }).not.toBe(pid);
    const usable = (): Promise<boolean> =>
      database.query("select 1").then(
        () => true,
        () => false,
      );
    await expect.poll(usable, { timeout: 20_000 }).toBe(true);
  });

  test("a lock whose pid is some other program's by now does not stop the start", async () => {
    const dataDir = await clusterDirectory();
    // The same user as the server's: PostgreSQL itself would take this program for a running server.
    const { uid, gid } = await stat(join(dataDir, "postgres"));
    const other = spawn("sleep", ["60"], isRoot ? { uid, gid } : {});
    open.push(other);
    for (const name of ["postmaster.pid", ".s.PGSQL.5432.lock"]) {
      await writeFile(
        join(dataDir, "postgres", name),
        `${other.pid}\n${join(dataDir, "postgres")}\n1\n5432\n.\n\n1 1\n`,
      );
    }
    await expectUsable(await openHere(dataDir));
    expect(isAlive(other.pid!)).toBe(true);
  });

  test("in the middle of making the cluster, the half-made one is removed and a new one made", async () => {
    const dataDir = await temporaryDirectory();
    const abandoned = join(dataDir, "postgres.new-999999999-aaaaaaaa");
    const busy = join(dataDir, `postgres.new-${process.pid}-bbbbbbbb`);
    await mkdir(abandoned);
    await mkdir(busy);
    await expectUsable(await openHere(dataDir));
    expect(await readdir(dataDir)).not.toContain("postgres.new-999999999-aaaaaaaa");
    expect(await readdir(dataDir)).toContain(`postgres.new-${process.pid}-bbbbbbbb`);
  });
});

describe("where and as whom", () => {
  test("a path too long for a socket works, and nothing is left in the temporary directory", async () => {
    const dataDir = join(await temporaryDirectory(), "long-".repeat(30), "with space and 🔑");
    await mkdir(dataDir, { recursive: true });
    const database = await openHere(dataDir);
    await expectUsable(database);
    const { host } = database.pool.options as { host: string };
    expect(host.length).toBeLessThan(100);
    await database.close();
    await expect(access(host)).rejects.toMatchObject({ code: "ENOENT" });
  });

  test.runIf(isRoot)("root may keep the data in its own closed home", async () => {
    const dataDir = await temporaryDirectory(homedir());
    await expectUsable(await openHere(dataDir));
    expect((await stat(join(dataDir, "postgres"))).uid).not.toBe(0);
  });

  test.skipIf(isRoot)("an ordinary user runs the server as itself", async () => {
    const dataDir = await temporaryDirectory();
    await expectUsable(await openHere(dataDir));
    expect((await stat(join(dataDir, "postgres"))).uid).toBe(process.getuid?.());
  });

  test.runIf(isRoot)("an ordinary user runs the server as itself, and root can join it", async (context) => {
    const dataDir = await temporaryDirectory();
    const user = { uid: 65_534, gid: 65_534 };
    await chown(dataDir, user.uid, user.gid);
    if (!(await canReach(user))) context.skip("the user nobody may not read this checkout");
    const ordinary = await openThere(dataDir, user);
    expect((await stat(join(dataDir, "postgres"))).uid).toBe(user.uid);
    await expectUsable(await openHere(dataDir));
    expect(await ordinary.close()).toBe(0);
  });

  test.runIf(isRoot)("another user's data is refused with both users named", async (context) => {
    const dataDir = await clusterDirectory();
    await chmod(dataDir, 0o755);
    const user = { uid: 65_534, gid: 65_534 };
    if (!(await canReach(user))) context.skip("the user nobody may not read this checkout");
    await expect(openInProcess(dataDir, user)).rejects.toThrow(/belongs to user \d+ and this process runs as 65534/);
  });

  test("data of another PostgreSQL version is refused with both versions named", async () => {
    const dataDir = await temporaryDirectory();
    await mkdir(join(dataDir, "postgres"));
    await writeFile(join(dataDir, "postgres/PG_VERSION"), "9\n");
    await expect(openDatabase(configFor(dataDir))).rejects.toMatchObject({
      code: "ERR_DATABASE",
      message: expect.stringMatching(/its data is of version 9, the server of \d+$/),
    });
  });

  test("a server that cannot start gives its own reason and the log's path", async () => {
    const dataDir = await clusterDirectory();
    await writeFile(join(dataDir, "postgres/postgresql.conf"), "no_such_setting = on\n");
    await expect(openDatabase(configFor(dataDir))).rejects.toMatchObject({
      code: "ERR_DATABASE",
      message: expect.stringMatching(/FATAL: .*; see .*postgres\.log$/),
    });
  });

  test("a data directory that cannot be made is a clear error", async () => {
    const file = join(await temporaryDirectory(), "file");
    await writeFile(file, "");
    await expect(openDatabase(configFor(join(file, "data")))).rejects.toMatchObject({
      code: "ERR_DATABASE",
      message: expect.stringContaining("ENOTDIR"),
    });
  });
});

describe("what others can see", () => {
  test("the cluster, its password and its log are closed to others, and the log quotes no statement", async () => {
    const dataDir = await clusterDirectory();
    const database = await openHere(dataDir);
    for (const name of ["postgres", "postgres.log", "postgres/stepvault.password"]) {
      expect((await stat(join(dataDir, name))).mode & 0o077).toBe(0);
    }
    await expect(database.query("select * from no_such_table")).rejects.toThrow("42P01");
    expect(await readFile(join(dataDir, "postgres.log"), "utf8")).not.toMatch(/no_such_table|\bselect\b/i);
  });

  test.runIf(process.platform === "linux")(
    "the server gets none of our environment, and no password by argv",
    async () => {
      const dataDir = await clusterDirectory();
      process.env["STEPVAULT_TEST_CANARY"] = "canary";
      const database = await openHere(dataDir);
      delete process.env["STEPVAULT_TEST_CANARY"];
      const { password } = database.pool.options as { password: string };
      const pid = await serverPid(dataDir);
      expect(await readFile(`/proc/${pid}/environ`, "utf8")).not.toContain("canary");
      expect(await readFile(`/proc/${pid}/cmdline`, "utf8")).not.toContain(password);
    },
  );

  test("the service's role is no superuser", async () => {
    const database = await openHere(await clusterDirectory());
    const { rows } = await database.query("select rolsuper from pg_roles where rolname = current_user");
    expect(rows).toEqual([{ rolsuper: false }]);
  });

  test("the log is cut when it has grown, and one older part is kept", async () => {
    const dataDir = await clusterDirectory();
    await writeFile(join(dataDir, "postgres.log"), "x".repeat(5 * 1024 * 1024));
    await openHere(dataDir);
    expect((await stat(join(dataDir, "postgres.log"))).size).toBeLessThan(100_000);
    expect((await stat(join(dataDir, "postgres.log.1"))).size).toBe(5 * 1024 * 1024);
  });
});

async function canReach(user: { uid: number; gid: number }): Promise<boolean> {
  const script = join(import.meta.dirname, "open-database.ts");
  const child = spawn(process.execPath, ["--check", script], { ...user, cwd: "/", stdio: "ignore" });
  return await new Promise((resolve) => {
    child.once("error", () => resolve(false));
    child.once("exit", (code) => resolve(code === 0));
  });
}
