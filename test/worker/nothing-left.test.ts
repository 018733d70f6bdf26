/**
 * Goal: whatever is done with values and keys, none is left in clear in a file: not in PostgreSQL's heap and write-ahead log,
 * its own log included, nor in Redis' append-only file. Method: everything that a Stepvault can do with a secret is
 * done with values of this test's own, the servers are stopped, and every byte of their folders is searched for the values in
 * all encodings and for each eight characters of them, as compressed pages hold pieces only.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { randomText } from "../../vault/platform-keys/key-format.ts";
import { ByteSearch, type Needle, needlesOfBytes, needlesOfText, piecesOf } from "../helpers/byte-search.ts";
import { freePort } from "../helpers/global-setup.ts";
import { rootKeys } from "../helpers/known-values.ts";
import { openTestService, type TestService } from "../helpers/service.ts";
import { startUpstream, type Upstream } from "../helpers/upstream.ts";

/** Values as they were made, each with what it was used for. */
const canaries = new Map<string, string>();

/** Letters and digits: no eight of them stand anywhere by chance. */
function canary(use: string): string {
  const value = randomText(32);
  canaries.set(use, value);
  return value;
}

/** A platform key, whose prefix and last characters may be shown. */
function issued(use: string, key: string): string {
  canaries.set(use, key.slice(key.indexOf("_") + 1, -4));
  return key;
}

const kept = "kept here on purpose";

function searchFolder(folder: string, needles: readonly Needle[]): { found: string[]; files: number; bytes: number } {
  const search = new ByteSearch(needles);
  const found = new Set<string>();
  let [files, bytes] = [0, 0];
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    // The root key is in its own file; what links lead to is not this Stepvault's.
    if (!entry.isFile() || entry.name.startsWith("master.key")) continue;
    const content = readFileSync(path.join(entry.parentPath, entry.name));
    files += 1;
    bytes += content.length;
    const place = path.relative(folder, entry.parentPath).split(path.sep).slice(0, 2).join("/");
    for (const label of search.find(content)) found.add(`${label} in ${place || entry.name}`);
  }
  return { found: [...found].sort(), files, bytes };
}

async function drive(stepvault: TestService, upstream: Upstream): Promise<void> {
  const { service, projectId } = stepvault;
  const { vault } = service;
  const { organizationId } = await vault.tenancy.getProject(projectId);
  const [place, organization] = [{ projectId }, { organizationId }];
  const answers: Promise<string>[] = [];
  /** What is refused leaves nothing either. */
  const refused = (work: Promise<unknown>): void => void answers.push(work.then(() => "it was done", String));

  const inUse = canary("a value in use");
  await vault.secrets.set({ place, name: "KEY", value: canary("a value that was changed") });
  await vault.secrets.set({ place, name: "KEY", value: inUse, endUnusedHours: 1 });
  await vault.secrets.set({ place: organization, name: "SHARED", value: canary("an organization's own value") });
  const host = `127.0.0.1:${upstream.port}`;
  const policy = { sealed: true, hosts: [host] };
  await vault.secrets.set({ place, name: "SEALED", value: canary("a sealed value"), policy });
  await vault.secrets.set({ place, name: "ROLLED", value: canary("a value that was rolled back to") });
  await vault.secrets.set({ place, name: "ROLLED", value: canary("a value that was rolled back") });
  await vault.secrets.rollback({ place, name: "ROLLED", toVersion: 1 });
  await vault.secrets.set({ place, name: "GONE", value: canary("a destroyed value") });
  await vault.secrets.destroy({ place, name: "GONE" });
  await vault.secrets.set({ place, name: "DELETED", value: canary("a deleted value") });
  await vault.secrets.delete({ place, name: "DELETED" });
  await vault.secrets.restore({ place, name: "DELETED" });
  await vault.secrets.delete({ place, name: "DELETED" });
  refused(vault.secrets.set({ place, name: "REFUSED", value: `${canary("half a character")}\ud83d` }));
  refused(vault.secrets.set({ place, name: `${canary("a value for a name")}-`, value: "value" }));
  refused(vault.secrets.set({ place, name: "KEY", value: inUse, ifVersion: 77 }));
  const described = canary("a value for a description");
  refused(vault.secrets.set({ place, name: "DESCRIBED", value: described, description: `it is ${described}` }));
  refused(vault.secrets.set({ place: { projectId: canary("a value for an id") }, name: "KEY", value: "value" }));

  expect((await vault.secrets.reveal({ place, name: "KEY" })).expose()).toBe(inUse);
  const exported = await vault.secrets.export({ place, format: "env" });
  expect(JSON.stringify(exported)).toContain(inUse);
  const imported = `IMPORTED=${canary("an imported value")}\nKEY=${inUse}\n`;
  await vault.secrets.previewImport({ place, text: imported, format: "env" });
  await vault.secrets.import({ place, text: imported, format: "env" });
  refused(vault.secrets.import({ place, text: `A=${canary("a broken import")}\n"B`, format: "env" }));
  await vault.leaks.find({ organizationId, text: `found ${inUse} in a chat` });
  await vault.leaks.find({ organizationId, text: `found ${canary("a value that nobody stored")} in a chat` });

  const fields = { api_key: canary("a credential") };
  await vault.credentials.set({ place, integration: "openai", fields });
  const resolved = await vault.credentials.resolve({ projectId, integration: "openai" });
  expect(resolved.secret.get("api_key")?.expose()).toBe(fields.api_key);
  const named = { name: "Key", scopes: ["admin"], expiry: "none" } as const;
  const { key, metadata } = await vault.keys.createForProject({ projectId, ...named });
  issued("a platform key", key);
  expect((await vault.keys.check({ key })).actor.kind).toBe("key");
  await vault.keys.check({ key: key.slice(0, -1) }).catch(() => {});
  issued("a rotated key", (await vault.keys.rotate({ place, keyId: metadata.id, expiry: "none", graceDays: 1 })).key);
  const agent = await vault.agents.create({ projectId, kind: "agent", name: "Agent", public: true, stepIds: [] });
  const embed = await vault.embedKeys.create({ projectId, agentId: agent.id });
  issued("an embed key", embed.key);
  await vault.keys.check({ key: embed.key, browser: { origin: "https://page.test" } }).catch(() => {});
  await vault.leaks.find({ organizationId, text: `a key was found: ${key}` });

  const use = "<<secrets.KEY>>";
  const steps = {
    javascript: [
      `console.log(${use}, btoa(${use}), ${use}.split("").reverse().join("")); return { [${use}]: [${use}, "\\0"] }`,
      `const error = new TypeError("with " + ${use}); error[${use}] = 1; console.error(error); throw error`,
      `const r = await fetch(params.url + ${use}, { method: "POST", headers: { "x-api-key": <<secrets.SEALED>> } }); return r.text()`,
    ],
    python: [
      `import base64\nv = ${use}\nprint(v, base64.b64encode(v.encode()), v[::-1])\nreturn {v: [v]}`,
      `v = ${use}\nraise ValueError({"with": v})`,
      `import json, sys\nprint(json.dumps([${use}] * 200), file=sys.stderr)\nreturn "<<secrets.ROLLED>>"[:0]`,
    ],
  };
  for (const language of ["javascript", "python"] as const) {
    for (const code of steps[language]) {
      const inputs = { auth: `Bearer ${use}` };
      const result = await stepvault.run({ step: { language, code, inputs }, params: { url: `http://${host}/` } });
      expect(result.redactions.length > 0 || code.includes("SEALED") || code.includes("ROLLED")).toBe(true);
    }
  }
  expect(upstream.take()[0]?.headers["x-api-key"]).toBe(canaries.get("a sealed value"));
  const { ended: leakEnded } = await vault.leaks.end({
    organizationId,
    text: inUse,
    replacement: canary("the next value"),
  });
  expect(leakEnded).toMatchObject([{ type: "secret", done: "rotated" }]);
  for (const answer of await Promise.all(answers)) expect(answer).toContain("Cannot");
}

interface AofRedis {
  readonly url: string;
  readonly folder: string;
  stop(): Promise<void>;
}

/** A Redis that writes down every change, as one that must not lose jobs does. */
async function startRedis(): Promise<AofRedis> {
  const folder = mkdtempSync(path.join(tmpdir(), "stepvault-aof-"));
  const port = String(await freePort());
  const args = ["--port", port, "--bind", "127.0.0.1", "--dir", folder, "--appendonly", "yes", "--save", ""];
  // What its base file holds is then as readable as the rest.
  const server: ChildProcess = spawn(redisProgram(), [...args, "--rdbcompression", "no"], { stdio: "ignore" });
  const url = `redis://127.0.0.1:${port}`;
  const client = new Redis(url, { retryStrategy: (times) => (times > 200 ? null : 50), maxRetriesPerRequest: 200 });
  client.on("error", () => {});
  await client.ping();
  client.disconnect();
  return {
    url,
    folder,
    async stop() {
      if (server.exitCode === null && server.kill("SIGTERM")) await once(server, "exit");
    },
  };
}

function redisProgram(): string {
  const found = ["redis-server", "valkey-server"].find((name) => {
    try {
      return execFileSync(name, ["--version"], { stdio: ["ignore", "pipe", "ignore"] }).length > 0;
    } catch {
      return false;
    }
  });
  if (found === undefined) throw new Error("This test starts a Redis of its own. Put redis-server on the PATH");
  return found;
}

for (const backend of ["PostgreSQL", "Redis"] as const) {
  describe(`after everything was done with the queue on ${backend}, in the files of the stopped servers`, () => {
    let upstream: Upstream;
    let redis: AofRedis | undefined;
    let stepvault: TestService;
    let needles: Needle[];

    beforeAll(async () => {
      canaries.clear();
      upstream = await startUpstream({ tls: false });
      redis = backend === "Redis" ? await startRedis() : undefined;
      stepvault = await openTestService({
        STEPVAULT_EGRESS_OPEN: `127.0.0.1:${upstream.port}`,
        ...(redis && { STEPVAULT_REDIS_URL: redis.url }),
      });
      await drive(stepvault, upstream);
      await plant(stepvault, redis);
      await stepvault.service.close();
      await redis?.stop();
      const keys = await rootKeys(stepvault.service.config);
      needles = [
        ...[...canaries].flatMap(([use, value]) => [...needlesOfText(value, use), ...piecesOf(value, use)]),
        ...keys.flatMap(({ key, label }) => needlesOfBytes(key, label)),
      ];
    });

    afterAll(async () => {
      upstream.close();
      rmSync(stepvault.folder, { recursive: true, force: true });
      if (redis !== undefined) rmSync(redis.folder, { recursive: true, force: true });
    });

    test(`there is no value and no key (${backend})`, () => {
      const wanted = needles.filter(({ label }) => !label.startsWith(kept));
      const searched = searchFolder(stepvault.folder, wanted);
      expect(searched.found).toEqual([]);
      // A heap, an index, a write-ahead log: the search has seen a whole database.
      expect(searched.files).toBeGreaterThan(900);
      expect(searched.bytes).toBeGreaterThan(20_000_000);
      expect(redis === undefined ? [] : searchFolder(redis.folder, wanted).found).toEqual([]);
    });

    test(`what was stored, deleted and dropped in clear is found (${backend})`, () => {
      const { found } = searchFolder(stepvault.folder, needles);
      expect(found).toContain(`${kept}, in a row that was deleted in postgres/pg_wal`);
      expect(found).toContain(`${kept}, in a compressed row in postgres/base`);
      const inRedis = redis === undefined ? [] : searchFolder(redis.folder, needles).found;
      expect(inRedis).toEqual(redis === undefined ? [] : [`${kept}, in a key that was deleted in appendonlydir`]);
    });
  });
}

/** What a Stepvault must never do, so that the search is seen to find it. */
async function plant({ service }: TestService, redis: AofRedis | undefined): Promise<void> {
  const { database } = service;
  const deleted = canary(`${kept}, in a row that was deleted`);
  await database.query("create table planted (t text)");
  await database.query("insert into planted values ($1)", [deleted]);
  await database.query("delete from planted");
  await database.query("drop table planted");
  const compressed = `${"a line like others\n".repeat(200)}${canary(`${kept}, in a compressed row`)}${"\nand on ".repeat(200)}`;
  await database.query("create table packed (t text)");
  await database.query("insert into packed values ($1)", [compressed]);
  if (redis === undefined) return;
  const client = new Redis(redis.url);
  await client.set("planted", canary(`${kept}, in a key that was deleted`));
  await client.del("planted");
  client.disconnect();
}
