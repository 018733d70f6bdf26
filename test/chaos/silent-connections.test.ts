/**
 * Connections to PostgreSQL that fall silent without an end, as behind a firewall that forgot them: what waits on one is given
 * up in time, others are made, and neither statements, transactions nor a worker's jobs stop for good.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Database, openDatabase } from "../../database/connection.ts";
import { parseConfig } from "../../protocol/config.ts";
import { openQueue, type RunQueue, type RunWorker } from "../../runs/queue.ts";
import { Postgres } from "./postgres.ts";
import { Proxy } from "./proxy.ts";

/** Before others take a worker for dead that could not say that it lives. */
const givenUpMsMax = 25_000;

let folder: string;
let postgres: Postgres;
let proxy: Proxy;
let database: Database;
let queue: RunQueue;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "stepvault-silent-"));
  postgres = await Postgres.start(path.join(folder, "postgres"), path.join(folder, "log"));
  proxy = await Proxy.start(() => postgres.port);
  const config = parseConfig({ STEPVAULT_DATA_DIR: folder, STEPVAULT_DATABASE_URL: postgres.url(proxy.port) });
  database = await openDatabase(config);
  queue = await openQueue(config, database);
});
afterAll(async () => {
  await queue.close();
  await database.close();
  await proxy.close();
  await postgres.close();
  rmSync(folder, { recursive: true, force: true });
});

test("what waits on a silent connection is given up in time, and what comes then is answered", async () => {
  const seen: string[] = [];
  const worker: RunWorker = queue.process(
    async ({ id }) => {
      seen.push(id);
      return { result: {} as never };
    },
    { concurrency: 2, onError: () => {} },
  );
  await worker.ready();
  await queue.addRaw("before", {});
  await expect.poll(() => seen, { timeout: 10_000 }).toEqual(["before"]);
  await Promise.all(Array.from({ length: 10 }, async () => await database.query("select pg_sleep(0.05)")));
  const inTransaction = database.transaction(async (client) => {
    await client.query("select 1");
    proxy.forget();
    await client.query("select 1");
  });
  const began = performance.now();
  const code = { code: "ERR_DATABASE" };
  await expect(inTransaction).rejects.toMatchObject(code);
  // Idle ones fell silent as well; whoever gets one of these is told, and the next gets a new one.
  await expect
    .poll(async () => await database.query("select 1 as one").then(({ rows }) => rows), { timeout: givenUpMsMax * 2 })
    .toEqual([{ one: 1 }]);
  expect(performance.now() - began).toBeLessThan(givenUpMsMax * 2);
  await queue.addRaw("after", {});
  await expect.poll(() => seen, { timeout: givenUpMsMax * 2 }).toContain("after");
  await worker.close();
}, 150_000);
