/**
 * Goal: statements, transactions, pools and migrations behave on a real PostgreSQL, and no error shows a password or a
 * row. One embedded server for the file.
 */
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openDatabase } from "../../database/connection.ts";
import { migrate } from "../../database/migrations.ts";
import { createId } from "../../protocol/ids.ts";
import { configFor, openTemporary, type Temporary } from "./temporary.ts";

const silent = { info() {}, warn() {} };
let temporary: Temporary;
let projectId: string;

beforeAll(async () => {
  temporary = await openTemporary();
  projectId = createId();
  const organizationId = createId();
  await temporary.database.query("insert into organizations (id, name) values ($1, 'test')", [organizationId]);
  await temporary.database.query("insert into projects (id, organization_id, name) values ($1, $2, 'test')", [
    projectId,
    organizationId,
  ]);
});

afterAll(async () => temporary.dispose());

describe("json columns", () => {
  test.each([
    ["NUL", "a\u0000b"],
    ["emoji", "🔑 and 👩‍👩‍👧"],
    ["a lone surrogate", "half \ud83d of a pair"],
    ["a literal escape", String.raw`\u0000 \\ "`],
  ])("run events and results keep %s", async (_, text) => {
    const { database } = temporary;
    const runId = createId();
    await database.query(
      "insert into runs (id, project_id, status, result, labels) values ($1, $2, 'succeeded', $3, '{}')",
      [runId, projectId, JSON.stringify({ output: text })],
    );
    await database.query(
      "insert into run_events (run_day, run_id, seq, kind, body) values (now(), $1, 0, 'stdout', $2)",
      [runId, JSON.stringify({ text, [text]: 1 })],
    );
    const { rows } = await database.query(
      "select result, body from runs join run_events on run_id = runs.id where runs.id = $1",
      [runId],
    );
    expect(rows).toEqual([{ result: { output: text }, body: { text, [text]: 1 } }]);
  });

  test("a run has one of the named states", async () => {
    await expect(
      temporary.database.query("insert into runs (id, project_id, status) values ($1, $2, 'gone')", [
        createId(),
        projectId,
      ]),
    ).rejects.toMatchObject({ code: "ERR_DATABASE", message: expect.stringContaining("23514") });
  });
});

describe("query()", () => {
  test("plans anew once a migration has changed what a kept plan stands on", async () => {
    const { database } = temporary;
    await database.query("create table planned (id int, note text)");
    const select = "select * from planned where id = $1";
    const insert = "insert into planned (id, note) values ($1, $2)";
    await database.query(insert, [1, "a"]);
    expect((await database.query(select, [1])).rows).toEqual([{ id: 1, note: "a" }]);
    await database.query(
      "alter table planned add more int; alter table planned alter note type json using to_json(note)",
    );
    for (const id of [2, 3]) {
      await database.query(insert, [id, '["b"]']);
      expect((await database.query(select, [id])).rows).toEqual([{ id, note: ["b"], more: null }]);
    }
    await database.query("drop table planned");
  });
});

describe("transaction()", () => {
  test("keeps nothing when its work throws, and throws that error on", async () => {
    const { database } = temporary;
    const runId = createId();
    const failure = new TypeError("a bug");
    const work = database.transaction(async (client) => {
      await client.query("insert into runs (id, project_id, status) values ($1, $2, 'queued')", [runId, projectId]);
      throw failure;
    });
    await expect(work).rejects.toBe(failure);
    expect((await database.query("select 1 from runs where id = $1", [runId])).rowCount).toBe(0);
  });

  test("gives PostgreSQL's errors as ERR_DATABASE without the row", async () => {
    const { database } = temporary;
    const runId = createId();
    const insert = "insert into runs (id, project_id, status) values ($1, $2, 'queued')";
    const twice = database.transaction(async (client) => {
      await client.query(insert, [runId, projectId]);
      await client.query(insert, [runId, projectId]);
    });
    await expect(twice).rejects.toMatchObject({
      code: "ERR_DATABASE",
      message: "Cannot finish a transaction: PostgreSQL answers 23505, table runs, constraint runs_pkey",
    });
  });

  test("survives the loss of its connection, and the next one works", async () => {
    const { database } = temporary;
    const lost = database.transaction(async (client) => {
      await client.query("select pg_terminate_backend(pg_backend_pid())");
    });
    await expect(lost).rejects.toMatchObject({ code: "ERR_DATABASE" });
    await expect(database.transaction(async (client) => (await client.query("select 1")).rowCount)).resolves.toBe(1);
  });

  test("survives the loss of its connection between two statements", async () => {
    const { database } = temporary;
    const lost = database.transaction(async (client) => {
      const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid");
      await database.query("select pg_terminate_backend($1)", [rows[0]?.pid]);
      await new Promise((resolve) => setTimeout(resolve, 50));
      await client.query("select 1");
    });
    await expect(lost).rejects.toMatchObject({ code: "ERR_DATABASE" });
  });
});

describe("createPool()", () => {
  test("makes pools whose unqualified names mean the given schema", async () => {
    const pool = temporary.database.createPool({ schema: "bullmq", connectionsMax: 2, applicationName: "queue" });
    const { rows } = await pool.query("select current_setting('search_path') as path, current_user as name");
    expect(rows).toEqual([{ path: "bullmq", name: "stepvault" }]);
    await pool.end();
  });

  test("makes pools on which a transaction that stands still ends after a minute, and what it locked is free", async () => {
    const setting = "show idle_in_transaction_session_timeout";
    expect((await temporary.database.query(setting)).rows).toEqual([{ idle_in_transaction_session_timeout: "1min" }]);
  });

  test("gives every pool an error listener, so that a lost idle connection does not end the process", async () => {
    const pool = temporary.database.createPool({ schema: "public", connectionsMax: 1 });
    const { rows } = await pool.query<{ pid: number }>("select pg_backend_pid() as pid");
    await temporary.database.query("select pg_terminate_backend($1)", [rows[0]?.pid]);
    await expect.poll(() => pool.totalCount).toBe(0);
    await expect(pool.query("select 1")).resolves.toMatchObject({ rowCount: 1 });
  });
});

describe("an external server", () => {
  test("is opened by its URL, with the URL's own options kept", async () => {
    const { host, password } = serverOf(temporary);
    const url = `postgres://stepvault:${password}@/stepvault?host=${encodeURIComponent(host)}&options=${encodeURIComponent("-c work_mem=5MB")}`;
    const database = await openDatabase(configFor("/nonexistent", { STEPVAULT_DATABASE_URL: url }));
    const { rows } = await database.query(
      "select current_setting('search_path') as path, current_setting('work_mem') as memory",
    );
    expect(rows).toEqual([{ path: "stepvault", memory: "5MB" }]);
    await database.close();
    await database.close();
    await expect(temporary.database.query("select 1")).resolves.toMatchObject({ rowCount: 1 });
  });

  test.each([
    ["nobody answers", "postgres://user:hunter2hunter2@127.0.0.1:1/none", "ECONNREFUSED"],
    ["the address is nonsense", "postgres://user:hunter2hunter2@[:::/none", "ERR_INVALID_URL"],
  ])("fails without showing the URL or the password when %s", async (_, url, reason) => {
    const failure: unknown = await openDatabase(configFor("/nonexistent", { STEPVAULT_DATABASE_URL: url })).catch(
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ code: "ERR_DATABASE", message: expect.stringContaining(reason) });
    expect(String((failure as Error).stack)).not.toContain("hunter2");
    expect(JSON.stringify((failure as Error).cause)).not.toContain("hunter2");
  });

  test("fails with the SQLSTATE when the password is wrong", async () => {
    const url = `postgres://stepvault:hunter2@/stepvault?host=${encodeURIComponent(serverOf(temporary).host)}`;
    await expect(openDatabase(configFor("/nonexistent", { STEPVAULT_DATABASE_URL: url }))).rejects.toMatchObject({
      code: "ERR_DATABASE",
      message: "Cannot begin a transaction: PostgreSQL answers 28P01",
    });
  });
});

describe("migrations", () => {
  test("are refused when an applied one has changed, is missing or fails, and leave nothing behind", async () => {
    const { database } = temporary;
    const directory = await mkdtemp(join(tmpdir(), "stepvault-migrations-"));
    await cp(join(import.meta.dirname, "../../database/migrations"), directory, { recursive: true });

    const next = join(directory, "0099-next.sql");
    await writeFile(next, "select 1");
    await expect(migrate(database, silent, directory)).rejects.toMatchObject({ code: "ERR_DATABASE" });
    await rm(next);

    const { rowCount } = await database.query("select 1 from migrations");
    const failing = join(directory, `${String((rowCount ?? 0) + 1).padStart(4, "0")}-failing.sql`);
    await writeFile(failing, "create table half_made (id int); select missing_function()");
    await expect(migrate(database, silent, directory)).rejects.toMatchObject({
      code: "ERR_DATABASE",
      message: expect.stringMatching(/apply the migration \d{4}-failing.sql: PostgreSQL answers 42883/),
    });
    await expect(database.query("select 1 from half_made")).rejects.toThrow("42P01");
    await rm(failing);

    const first = join(directory, "0001-tenancy-vault-runs.sql");
    await writeFile(first, "select 1");
    await expect(migrate(database, silent, directory)).rejects.toThrow("is not the one that was applied");
    await rm(directory, { recursive: true });
  });

  test("of a newer version are refused", async () => {
    const directory = await mkdtemp(join(tmpdir(), "stepvault-migrations-"));
    await expect(migrate(temporary.database, silent, directory)).rejects.toThrow(
      "this version of Stepvault knows 0 migrations",
    );
    await rm(directory, { recursive: true });
  });
});

function serverOf({ database }: Temporary): { host: string; password: string } {
  const { host, password } = database.pool.options as { host: string; password: string };
  return { host, password };
}
