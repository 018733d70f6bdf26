/**
 * Goal: a destroyed value is gone from every row and does not come back, whoever puts rows back and whatever is changed
 * after; anybody can check the statement that says so; and a version ends by itself only when nothing uses it. Real
 * PostgreSQL; attacks save rows and put them back, as someone with the database would do it.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import type { SecretVersion } from "../../../vault/secrets/secret-lists.ts";
import type { SignedStatement } from "../../../vault/audit/statements.ts";
import type { SignedTombstone } from "../../../vault/secrets/tombstones.ts";
import { deleteSecret, disableSecret, setSecret, setSecretPolicy } from "../../helpers/vault.ts";
import { type Saved, useSecretWorld } from "./secret-world.ts";

const world = useSecretWorld();
const [first, second, third] = ["canary-first-value", "canary-second-value", "canary-third-value"];
const at = (name = "KEY"): { place: typeof world.place; name: string } => ({ place: world.place, name });

const set = async (value: string, more: object = {}): Promise<number> =>
  await world.vault.secrets.set({ ...at(), value, ...more });
const destroy = async (...versions: number[]): Promise<number[]> =>
  await world.vault.secrets.destroy({ ...at(), versions });
const rollback = async (toVersion: number): Promise<number> =>
  await world.vault.secrets.rollback({ ...at(), toVersion });
const tombstones = async (): Promise<SignedTombstone[]> =>
  await world.vault.secrets.tombstones({ place: world.place, name: "KEY" });
const destroyedVersions = async (): Promise<number[]> =>
  (await world.vault.secrets.versions(at()))
    .filter(({ destroyedAt }) => destroyedAt !== null)
    .map(({ version }) => version);

beforeEach(async () => {
  await set(first);
  await set(second);
});

/** What of saved versions could open a value, as a dump would have it. */
function keyMaterial(saved: Saved): string[] {
  return saved
    .get("secret_versions")!
    .flatMap((row) => [row["wrapped_key"], row["ciphertext"], row["fingerprint"]])
    .map((bytes) => (bytes as Buffer).toString("hex"));
}

describe("destroying", () => {
  test("a version leaves nothing of it in any row, and the others as they were", async () => {
    // What no other test has: the same value has the same fingerprint.
    await set(world.value());
    await set(second);
    const saved = await world.save("KEY", 3);
    await expect(destroy(3)).resolves.toEqual([3]);
    const dump = await world.dump();
    for (const hex of keyMaterial(saved)) expect(dump.includes(hex)).toBe(false);
    expect(await world.codeOf(world.reveal(3))).toBe("ERR_SECRET_DESTROYED");
    await expect(world.use()).resolves.toBe(second);
    await expect(world.reveal(1)).resolves.toBe(first);
    expect(await world.vault.secrets.verify(world.place)).toEqual({ changed: [], removed: [], unproven: false });
  });

  test("a secret leaves nothing of any version and no row of its own; its uses stay", async () => {
    await world.vault.secrets.destroy(at());
    for (const name of ["a", "b"]) await set(world.value(name));
    await world.use();
    const saved = await world.save();
    const id = (await world.vault.secrets.list({ place: world.place }))[0]!.id;
    await expect(world.vault.secrets.destroy(at())).resolves.toEqual([1, 2]);
    const dump = await world.dump();
    for (const hex of keyMaterial(saved)) expect(dump.includes(hex)).toBe(false);
    const places = new Set(
      dump
        .split("\n")
        .filter((row) => row.includes(id))
        .map((row) => row.split(" ")[0]),
    );
    expect([...places].sort((a, b) => (a! < b! ? -1 : 1))).toEqual([
      "audit_events",
      "secret_tombstones",
      "secret_uses",
    ]);
    expect(await world.codeOf(world.use())).toBe("ERR_SECRET_UNKNOWN");
    await expect(set(third)).resolves.toBe(1);
    expect(await world.codeOf(rollback(2))).toBe("ERR_SECRET_VERSION_UNKNOWN");
  });

  test.each([[[]], [[3]], [[1, 3]], [[0]], [[1.5]], [[2 ** 31]], [[1, Number.NaN]]])(
    "versions %j, which it does not have, destroys none",
    async (versions) => {
      expect(await world.codeOf(destroy(...versions))).toBe("ERR_SECRET_VERSION_UNKNOWN");
      expect(await destroyedVersions()).toEqual([]);
      await expect(world.reveal(1)).resolves.toBe(first);
    },
  );

  test("the version in use ends its use until a value and a policy are given", async () => {
    await destroy(2);
    expect(await world.codeOf(world.use())).toBe("ERR_SECRET_DESTROYED");
    expect(await world.vault.secrets.list({ place: world.place })).toMatchObject([{ tampered: false }]);
    expect(await world.codeOf(set(third))).toBe("ERR_SECRET_DESTROYED");
    await expect(set(third, { policy: {} })).resolves.toBe(3);
    await expect(world.use()).resolves.toBe(third);
  });

  test("happens once", async () => {
    const done = await Promise.allSettled([destroy(1), destroy(1), destroy(1)]);
    expect(done.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    await expect(tombstones()).resolves.toHaveLength(1);
  });

  test("a version of a secret whose current version was set back is refused", async () => {
    await world.attack("update secrets set current_version = 1 where project_id = $1");
    for (const version of [1, 2]) expect(await world.codeOf(destroy(version))).toBe("ERR_SECRET_TAMPERED");
    expect(await world.codeOf(world.use())).toBe("ERR_SECRET_TAMPERED");
  });
});

/** A program of its own that has nothing but the statement. */
function check({ purpose, body, publicKey, signature }: SignedStatement): string {
  const program = `import { createPublicKey, verify } from "node:crypto";
    const { purpose, body, publicKey, signature } = JSON.parse(await new Response(process.stdin).text());
    const key = createPublicKey({ key: Buffer.from(publicKey, "base64"), format: "der", type: "spki" });
    console.log(verify(null, Buffer.from(purpose + "\\n" + body), key, Buffer.from(signature, "base64")));`;
  const input = JSON.stringify({ purpose, body, publicKey, signature });
  return execFileSync(process.execPath, ["--input-type=module", "-e", program], { input, encoding: "utf8" }).trim();
}

describe("a tombstone", () => {
  test("says what ended, when and by whom, and is checked with its organization's key alone", async () => {
    const [row] = (await world.save("KEY", 1)).get("secret_versions")!;
    await destroy(1);
    const [tombstone] = (await tombstones()) as [SignedTombstone];
    const { signed, time, ...said } = tombstone;
    const parts = [Buffer.from("destroyed key"), row!["wrapped_key"] as Buffer].flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(part.length);
      return [length, part];
    });
    expect(said).toEqual({
      organizationId: world.organizationId,
      projectId: world.projectId,
      secretId: row!["secret_id"],
      name: "KEY",
      version: 1,
      keyDigest: createHash("sha256").update(Buffer.concat(parts)).digest("base64url"),
      by: { kind: "system", id: "operator" },
    });
    expect(Math.abs(Date.now() - Date.parse(time))).toBeLessThan(60_000);
    expect(JSON.parse(signed.body)).toEqual({ ...said, time });
    const { publicKey } = await world.vault.audit.head({ organizationId: world.organizationId });
    expect(signed.publicKey).toBe(publicKey);
    expect(check(signed)).toBe("true");
    for (const changed of [
      { ...signed, body: signed.body.replace(`"version":1`, `"version":2`) },
      { ...signed, body: `${signed.body} ` },
      { ...signed, purpose: "stepvault tombstone 2" },
      { ...signed, signature: Buffer.alloc(64).toString("base64") },
    ])
      expect(check(changed)).toBe("false");
  });

  test.each([
    [
      "changed",
      `update secret_tombstones set body = replace(body, '"KEY"', '"KEY2"') where project_id = $1 and version = 1`,
    ],
    [
      "replaced by what is no statement",
      "update secret_tombstones set body = 'none' where project_id = $1 and version = 1",
    ],
    [
      "given another's signature",
      `update secret_tombstones t set signature = o.signature from secret_tombstones o
       where t.project_id = $1 and t.version = 1 and o.project_id = $1 and o.version = 2`,
    ],
    ["removed", "delete from secret_tombstones where project_id = $1 and version = 1"],
  ])("that was %s is not shown, and hides no other", async (_, attack) => {
    await destroy(1, 2);
    await expect(tombstones()).resolves.toMatchObject([{ version: 2 }, { version: 1 }]);
    await world.attack(attack);
    await expect(world.vault.secrets.tombstones({ place: world.place })).resolves.toMatchObject([{ version: 2 }]);
  });

  test("is shown in its own project only", async () => {
    await destroy(1);
    const other = (await world.vault.tenancy.createProject({ organizationId: world.organizationId, name: "Other" })).id;
    await world.attack("update secret_tombstones set project_id = $2 where project_id = $1", [world.projectId, other]);
    await expect(world.vault.secrets.tombstones({ place: { projectId: other } })).resolves.toEqual([]);
  });

  test("that somebody wrote before keeps no value from its end", async () => {
    await world.attack(
      `insert into secret_tombstones (secret_id, version, project_id, organization_id, body, signature)
       select id, 1, project_id, $2, '{}', '' from secrets where project_id = $1`,
      [world.projectId, world.organizationId],
    );
    await destroy(1);
    await expect(tombstones()).resolves.toMatchObject([{ version: 1 }]);
  });
});

const forgetTombstones = async (): Promise<void> =>
  await world.attack("delete from secret_tombstones where project_id = $1");

describe.each([
  ["put back", async () => {}],
  ["put back, without its tombstone", forgetTombstones],
])("a destroyed version that was %s", (_, andThen) => {
  async function expectNothing(): Promise<void> {
    expect(await world.codeOf(rollback(1))).toBe("ERR_SECRET_TAMPERED");
    expect(await world.codeOf(world.reveal(1))).toBe("ERR_SECRET_TAMPERED");
    expect((await world.vault.secrets.verify(world.place)).changed).toEqual(["KEY"]);
    expect(await world.vault.secrets.list({ place: world.place })).toMatchObject([{ name: "KEY", tampered: true }]);
  }

  test("gives no value as the one in use", async () => {
    const saved = await world.save("KEY", 2);
    await destroy(2);
    await world.putBack(saved, ["secret_versions"]);
    await andThen();
    expect(await world.codeOf(world.use())).toBe("ERR_SECRET_TAMPERED");
    expect(await world.codeOf(world.reveal())).toBe("ERR_SECRET_TAMPERED");
    expect(await world.codeOf(set(third))).toBe("ERR_SECRET_TAMPERED");
  });

  test("gives no value as an earlier one, whatever is changed after", async () => {
    const saved = await world.save("KEY", 1);
    await set(third);
    await destroy(1);
    await world.putBack(saved, ["secret_versions"]);
    await andThen();
    await expectNothing();
    for (const change of [
      async () => await destroy(2),
      async () => await set("canary-next", { policy: {} }),
      async () => await setSecretPolicy(world.vault, world.projectId, "KEY", { hosts: ["a.example.com"] }),
      async () => await disableSecret(world.vault, world.projectId, "KEY"),
      async () => await world.vault.secrets.change({ ...at(), rotationDays: 10 }),
      async () => {
        await deleteSecret(world.vault, world.projectId, "KEY");
        await world.vault.secrets.restore(at());
      },
    ]) {
      await change();
      await expectNothing();
    }
    await expect(destroy(1)).resolves.toEqual([1]);
    expect((await world.vault.secrets.verify(world.place)).changed).toEqual([]);
  });

  test("gives no value with its whole secret, nor once that name is set again", async () => {
    const saved = await world.save();
    await world.vault.secrets.destroy(at());
    await world.putBack(saved);
    await andThen();
    for (const work of [async () => await world.use(), async () => await world.reveal(), async () => await rollback(1)])
      expect(await world.codeOf(work())).toBe("ERR_SECRET_TAMPERED");
    expect(await world.codeOf(set(third))).toBe("ERR_SECRET_TAMPERED");
    await expect(set(third, { policy: {} })).resolves.toBe(3);
    await expect(world.use()).resolves.toBe(third);
    for (const version of [1, 2]) {
      expect(await world.codeOf(rollback(version))).toBe("ERR_SECRET_TAMPERED");
      expect(await world.codeOf(world.reveal(version))).toBe("ERR_SECRET_TAMPERED");
    }
  });

  test("gives no value in the place of another of its name", async () => {
    const saved = await world.save();
    await world.vault.secrets.destroy(at());
    await set("canary-new-1");
    await set("canary-new-2");
    await world.attack("delete from secrets where project_id = $1");
    await world.putBack(saved);
    await andThen();
    for (const work of [
      async () => await world.use(),
      async () => await world.reveal(1),
      async () => await rollback(1),
    ])
      expect(await world.codeOf(work())).toBe("ERR_SECRET_TAMPERED");
    await set(third, { policy: {} });
    expect(await world.codeOf(world.reveal(1))).toBe("ERR_SECRET_TAMPERED");
  });
});

describe("a version that is to end unused", () => {
  const hourMs = 3_600_000;
  let rotatedAt: number;

  const rotate = async (hours = 2): Promise<void> => {
    await set(third, { endUnusedHours: hours });
    const [{ createdAt }] = (await world.vault.secrets.versions(at())) as [SecretVersion];
    rotatedAt = createdAt.getTime();
  };
  const after = (hours: number, ms = 0): Date => new Date(rotatedAt + hours * hourMs + ms);
  const end = async (now: Date): Promise<number> => await world.vault.secrets.endUnused(now);
  const run = async (now: Date): Promise<string> => {
    const runId = createId();
    const use = { projectId: world.projectId, references: [{ name: "KEY" }], runId, now };
    await world.vault.secrets.use(use);
    await world.sql("insert into runs (id, project_id, status) values ($1, $2, 'running')", [runId, world.projectId]);
    return runId;
  };
  const endRun = async (runId: string): Promise<void> =>
    await world.attack("update runs set status = 'succeeded', ended_at = now() where id = $1", [runId]);

  test("ends so many hours after it was rotated away, and not a millisecond before", async () => {
    await rotate();
    await end(after(2, -1));
    expect(await destroyedVersions()).toEqual([]);
    const events = await world.eventsDuring(async () => await end(after(2, 1)));
    expect(events).toMatchObject([{ event: "secret.version.end", target: [{ name: "KEY", version: 2 }] }]);
    expect(await destroyedVersions()).toEqual([2]);
    await expect(tombstones()).resolves.toMatchObject([{ version: 2, by: { kind: "system" } }]);
    await expect(world.use()).resolves.toBe(third);
    await expect(world.reveal(1)).resolves.toBe(first);
    expect(await world.vault.secrets.verify(world.place)).toEqual({ changed: [], removed: [], unproven: false });
  });

  test("waits as long again after a use, and is told of by the ledger", async () => {
    const usedAt = new Date(Date.now() + hourMs);
    const runId = await run(usedAt);
    await endRun(runId);
    await rotate();
    const uses = await world.vault.secrets.uses({ ...at(), version: 2, since: new Date(rotatedAt) });
    expect(uses).toMatchObject([{ version: 2, projectId: world.projectId, lastRunId: runId, lastUsedAt: usedAt }]);
    await end(new Date(usedAt.getTime() + 2 * hourMs - 1));
    expect(await destroyedVersions()).toEqual([]);
    await end(new Date(usedAt.getTime() + 2 * hourMs));
    expect(await destroyedVersions()).toEqual([2]);
  });

  test("waits for a run that still holds it", async () => {
    const runId = await run(new Date());
    await rotate();
    await end(after(100));
    expect(await destroyedVersions()).toEqual([]);
    await endRun(runId);
    await end(after(100));
    expect(await destroyedVersions()).toEqual([2]);
  });

  test("does not end as long as it is the one in use, nor do others", async () => {
    await world.attack(
      "update secret_versions set end_unused_hours = 1 where version = 2 and secret_id in (select id from secrets where project_id = $1)",
    );
    await end(new Date(Date.now() + 1_000 * hourMs));
    expect(await destroyedVersions()).toEqual([]);
  });

  test("ends once when many see to it at the same time", async () => {
    await rotate();
    await end(after(2, -1));
    const events = await world.eventsDuring(async () => {
      const ended = await Promise.all([end(after(3)), end(after(3)), end(after(3)), end(after(3))]);
      expect(ended.reduce((sum, one) => sum + one)).toBe(1);
    });
    expect(events.map(({ event }) => event)).toEqual(["secret.version.end"]);
    await expect(tombstones()).resolves.toHaveLength(1);
  });

  test("ends although another cannot, which is an error afterwards", async () => {
    await rotate();
    const broken = (await world.vault.tenancy.createProject({ organizationId: world.organizationId, name: "Broken" }))
      .id;
    for (const value of [first, second]) await setSecret(world.vault, broken, "KEY", value);
    await world.attack(
      "update secret_versions set end_unused_hours = 1 where version = 1 and secret_id in (select id from secrets where project_id = $1)",
      [broken],
    );
    await world.attack("update secret_manifests set counter = counter + 1 where project_id = $1", [broken]);
    const events = await world.eventsDuring(async () =>
      expect(await world.codeOf(end(after(3)))).toBe("ERR_SECRET_TAMPERED"),
    );
    expect(events).toMatchObject([{ event: "secret.version.end", projectId: world.projectId }]);
    expect(await destroyedVersions()).toEqual([2]);
    await world.vault.rebuildManifest(broken);
  });

  test("is not for people or keys to end, who learn of no place", async () => {
    await rotate();
    for (const actor of [
      { kind: "person", id: "eve" },
      { kind: "key", id: "k", organizationId: world.organizationId, projects: "all", scopes: ["admin"] },
    ] as const) {
      const error = await world.failure(world.vault.as(actor).secrets.endUnused(after(100)));
      expect(error).toMatchObject({ code: "ERR_FORBIDDEN", message: expect.not.stringContaining(world.projectId) });
    }
    expect(await destroyedVersions()).toEqual([]);
  });
});
