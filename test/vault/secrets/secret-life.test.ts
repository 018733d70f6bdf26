/**
 * Goal: of writers who expect the same version one wins, going back never shows or unseals what it must not, and deleting can
 * be undone. Real PostgreSQL; attacks are SQL statements on the rows, as someone with the database would do them.
 */
import { beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { createProject, setSecret, setSecretPolicy } from "../../helpers/vault.ts";
import { sealed, useSecretWorld } from "./secret-world.ts";

const world = useSecretWorld();
const [first, second, third] = ["canary-first-value", "canary-second-value", "canary-third-value"];
const at = (name = "KEY"): { place: typeof world.place; name: string } => ({ place: world.place, name });

const set = async (value: string, more: object = {}): Promise<number> =>
  await world.vault.secrets.set({ ...at(), value, ...more });
const rollback = async (toVersion: number, more: object = {}): Promise<number> =>
  await world.vault.secrets.rollback({ ...at(), toVersion, ...more });
const policyOf = async (): Promise<unknown> =>
  (await world.vault.secrets.list({ place: world.place })).find(({ name }) => name === "KEY")?.policy;

describe("setting a secret that must be at a version", () => {
  test("is done once when many do it at the same time", async () => {
    await set(first);
    const values = Array.from({ length: 8 }, (_, index) => `canary-writer-${index}`);
    const written = await Promise.allSettled(values.map(async (value) => await set(value, { ifVersion: 1 })));
    const winners = values.filter((_, index) => written[index]!.status === "fulfilled");
    expect(winners).toHaveLength(1);
    await expect(world.use()).resolves.toBe(winners[0]);
    const codes = written
      .filter(({ status }) => status === "rejected")
      .map((one) => (one as { reason: unknown }).reason);
    expect(codes).toEqual(
      Array.from({ length: 7 }, () => expect.objectContaining({ code: "ERR_SECRET_VERSION_CONFLICT" })),
    );
  });

  test("makes a new one once when many make it at the same time", async () => {
    const values = Array.from({ length: 8 }, (_, index) => `canary-writer-${index}`);
    const written = await Promise.allSettled(values.map(async (value) => await set(value, { ifVersion: 0 })));
    const winners = values.filter((_, index) => written[index]!.status === "fulfilled");
    expect(winners).toHaveLength(1);
    await expect(world.use()).resolves.toBe(winners[0]);
    await expect(world.vault.secrets.versions(at())).resolves.toHaveLength(1);
  });

  test.each([0, 1, 3, -1, Number.NaN])("at %d changes nothing when it is at 2, and says so", async (ifVersion) => {
    await set(first);
    await set(second);
    for (const work of [
      async () => await set(third, { ifVersion }),
      async () => await rollback(1, { ifVersion }),
      async () => await world.vault.secrets.setPolicy({ ...at(), policy: sealed, ifVersion }),
    ])
      expect(await world.failure(work())).toMatchObject({
        code: "ERR_SECRET_VERSION_CONFLICT",
        message: expect.stringContaining(`at version 2, and version ${ifVersion} was expected`),
      });
    await expect(world.use()).resolves.toBe(second);
  });

  test("goes on from the version that is there, and makes none of a missing one", async () => {
    expect(await world.codeOf(set(first, { ifVersion: 1 }))).toBe("ERR_SECRET_VERSION_CONFLICT");
    expect(await world.codeOf(world.use())).toBe("ERR_SECRET_UNKNOWN");
    await expect(set(first, { ifVersion: 0 })).resolves.toBe(1);
    await expect(set(second, { ifVersion: 1 })).resolves.toBe(2);
    await expect(rollback(1, { ifVersion: 2 })).resolves.toBe(3);
  });

  test("takes a deleted one for a missing one", async () => {
    await set(first);
    await world.vault.secrets.delete(at());
    await expect(set(second, { ifVersion: 0 })).resolves.toBe(2);
    await expect(world.use()).resolves.toBe(second);
  });
});

describe("a new value", () => {
  test.each([
    ["neither a value nor a source", {}],
    ["both", { value: first, source: { source: "corp", path: "a", field: "b" } }],
  ])("is refused with %s", async (_, given) => {
    expect(await world.codeOf(world.vault.secrets.set({ ...at(), ...given }))).toBe("ERR_SECRET_VALUE_INVALID");
    expect(await world.codeOf(world.use())).toBe("ERR_SECRET_UNKNOWN");
  });

  test.each([0, -1, 1.5, 8_761, Number.NaN])(
    "is refused when the one before is to end after %d hours",
    async (hours) => {
      await set(first);
      expect(await world.codeOf(set(second, { endUnusedHours: hours }))).toBe("ERR_SECRET_METADATA_INVALID");
      await expect(world.use()).resolves.toBe(first);
    },
  );
});

describe("going back to a version", () => {
  beforeEach(async () => {
    await set(first, { policy: { hosts: ["old.example.com"] } });
    await set(second, { policy: { hosts: ["new.example.com"] } });
  });

  test("stores its value and its policy as the next one, and keeps all others", async () => {
    await expect(rollback(1)).resolves.toBe(3);
    await expect(world.use()).resolves.toBe(first);
    expect(await policyOf()).toMatchObject({ hosts: ["old.example.com"] });
    await expect(rollback(2)).resolves.toBe(4);
    await expect(world.use()).resolves.toBe(second);
    const versions = await world.vault.secrets.versions(at());
    expect(versions.map(({ version, current }) => [version, current])).toEqual([
      [4, true],
      [3, false],
      [2, false],
      [1, false],
    ]);
  });

  test.each([0, -1, 3, 1.5, 2 ** 31, Number.NaN])("that does not exist (%d) is refused", async (toVersion) => {
    expect(await world.codeOf(rollback(toVersion))).toBe("ERR_SECRET_VERSION_UNKNOWN");
    await expect(world.use()).resolves.toBe(second);
  });

  test("that was destroyed is refused", async () => {
    await world.vault.secrets.destroy({ ...at(), versions: [1] });
    expect(await world.codeOf(rollback(1))).toBe("ERR_SECRET_DESTROYED");
  });

  test("works after the current one was destroyed", async () => {
    await world.vault.secrets.destroy({ ...at(), versions: [2] });
    expect(await world.codeOf(world.use())).toBe("ERR_SECRET_DESTROYED");
    await expect(rollback(1)).resolves.toBe(3);
    await expect(world.use()).resolves.toBe(first);
  });

  test("of a deleted secret is refused, and of one that is not there", async () => {
    await world.vault.secrets.delete(at());
    expect(await world.codeOf(rollback(1))).toBe("ERR_SECRET_DELETED");
    expect(await world.codeOf(world.vault.secrets.rollback({ ...at("NONE"), toVersion: 1 }))).toBe(
      "ERR_SECRET_UNKNOWN",
    );
  });

  test("of a later number that somebody wrote is refused", async () => {
    const saved = await world.save("KEY", 2);
    const [row] = saved.get("secret_versions")!;
    await world.putBack(new Map([["secret_versions", [{ ...row, version: 3 }]]]));
    expect(await world.codeOf(rollback(3))).toBe("ERR_SECRET_TAMPERED");
  });
});

describe("a value that was sealed", () => {
  const sealedFirst = async (): Promise<void> => {
    await set(first);
    await setSecretPolicy(world.vault, world.projectId, "KEY", sealed);
  };

  test("does not become readable by going back to before", async () => {
    await sealedFirst();
    expect(await world.codeOf(rollback(1))).toBe("ERR_SECRET_POLICY_INVALID");
    expect(await policyOf()).toMatchObject({ sealed: true });
  });

  test("nor by way of another value that is readable", async () => {
    await sealedFirst();
    await set("canary-made-up", { policy: {} });
    expect(await world.codeOf(rollback(1))).toBe("ERR_SECRET_POLICY_INVALID");
    await expect(world.use()).resolves.toBe("canary-made-up");
  });

  test("nor by deleting and restoring it with another value", async () => {
    await sealedFirst();
    await world.vault.secrets.delete(at());
    await set("canary-made-up", { policy: {}, ifVersion: 0 });
    expect(await world.codeOf(rollback(1))).toBe("ERR_SECRET_POLICY_INVALID");
  });

  test.each([
    ["destroyed", async () => void (await world.vault.secrets.destroy({ ...at(), versions: [2] }))],
    [
      "rewritten as a readable one",
      async () =>
        await world.attack(
          "update secret_versions set policy = null where version = 2 and secret_id = (select id from secrets where project_id = $1)",
        ),
    ],
    [
      "removed",
      async () =>
        await world.attack(
          "delete from secret_versions where version = 2 and secret_id = (select id from secrets where project_id = $1)",
        ),
    ],
  ])("nor after the sealed version was %s", async (_, end) => {
    await sealedFirst();
    await set("canary-made-up", { policy: {} });
    await end();
    // Now the rows alone do not tell.
    await set("canary-made-up-next");
    expect(await world.codeOf(rollback(1))).toBe("ERR_SECRET_POLICY_INVALID");
    expect(await world.codeOf(world.reveal(1))).toBe("ERR_SECRET_SEALED");
  });

  test("stays sealed when it is gone back to, and readable ones after it may be gone back to", async () => {
    await sealedFirst();
    await set(second, { policy: {} });
    await set(third);
    await expect(rollback(3)).resolves.toBe(5);
    await expect(rollback(2)).resolves.toBe(6);
    expect(await policyOf()).toMatchObject({ sealed: true });
    expect(await world.codeOf(rollback(3))).toBe("ERR_SECRET_POLICY_INVALID");
  });
});

describe("a deleted secret", () => {
  beforeEach(async () => void (await set(first, { policy: sealed })));

  test("is listed, gives nothing, and comes back as it was", async () => {
    await world.vault.secrets.delete(at());
    expect(await world.vault.secrets.list({ place: world.place })).toMatchObject([{ deleted: true, tampered: false }]);
    expect(await world.codeOf(world.use())).toBe("ERR_SECRET_DELETED");
    await world.vault.secrets.restore(at());
    expect(await world.vault.secrets.list({ place: world.place })).toMatchObject([{ deleted: false, tampered: false }]);
    await expect(world.use()).resolves.toBe(first);
  });

  test("comes back by being set, and keeps its policy then", async () => {
    await world.vault.secrets.delete(at());
    await expect(set(second)).resolves.toBe(2);
    await expect(world.use()).resolves.toBe(second);
    expect(await policyOf()).toMatchObject({ sealed: true });
  });

  test("is deleted once, and only what is there is restored", async () => {
    await world.vault.secrets.delete(at());
    expect(await world.codeOf(world.vault.secrets.delete(at()))).toBe("ERR_SECRET_UNKNOWN");
    expect(await world.codeOf(world.vault.secrets.restore(at("NONE")))).toBe("ERR_SECRET_UNKNOWN");
    await world.vault.secrets.destroy(at());
    expect(await world.codeOf(world.vault.secrets.restore(at()))).toBe("ERR_SECRET_UNKNOWN");
  });
});

describe("old versions", () => {
  const highest = async (): Promise<number[]> =>
    (await world.vault.secrets.versions(at())).map(({ version }) => version);

  test("are kept up to a hundred, whatever makes the next one, and do not come back", async () => {
    await set(first);
    const one = await world.save("KEY", 1);
    // Ninety-nine more would take a while: their rows are written, and signed.
    await world.attack(
      `insert into secret_versions (secret_id, version, data_key_id, wrapped_key, ciphertext, policy, maskable)
       select v.secret_id, n, v.data_key_id, v.wrapped_key, v.ciphertext, v.policy, true
       from secret_versions v join secrets s on s.id = v.secret_id, generate_series(2, 100) n where s.project_id = $1`,
    );
    await world.attack("update secrets set current_version = 100 where project_id = $1");
    await world.vault.rebuildManifest(world.projectId);
    await world.vault.secrets.destroy({ ...at(), versions: [2] });
    expect(await highest()).toHaveLength(100);
    await expect(set(second, { policy: {} })).resolves.toBe(101);
    expect([(await highest()).length, (await highest()).at(-1)]).toEqual([100, 2]);
    expect(await world.codeOf(rollback(1))).toBe("ERR_SECRET_VERSION_UNKNOWN");
    await setSecretPolicy(world.vault, world.projectId, "KEY", { hosts: ["a.example.com"] });
    await expect(rollback(101)).resolves.toBe(103);
    expect([(await highest()).length, (await highest()).at(-1)]).toEqual([100, 4]);
    // Neither what is pruned nor what was destroyed before makes it look changed.
    expect(await world.vault.secrets.verify(world.place)).toEqual({ changed: [], removed: [], unproven: false });
    await world.putBack(one);
    await world.attack("update secrets set current_version = 103 where project_id = $1");
    expect(await world.codeOf(rollback(1))).toBe("ERR_SECRET_TAMPERED");
    expect(await world.codeOf(world.reveal(1))).toBe("ERR_SECRET_TAMPERED");
  });
});

describe("the number of secrets", () => {
  const fill = async (rows: number): Promise<void> => {
    await setSecret(world.vault, world.projectId, "KEY", first);
    await world.attack(
      "insert into secrets (id, project_id, name, current_version) select gen_random_uuid(), $1, 'FILLED_' || n, 1 from generate_series(1, $2::int) n",
      [world.projectId, rows],
    );
  };

  test("is limited, counts deleted ones, and has room again after one was destroyed", async () => {
    await fill(1_998);
    await expect(world.vault.secrets.set({ ...at("LAST"), value: first })).resolves.toBe(1);
    expect(await world.failure(world.vault.secrets.set({ ...at("MORE"), value: first }))).toMatchObject({
      code: "ERR_SECRET_LIMIT",
      message: expect.stringContaining("2000"),
    });
    await expect(set(second)).resolves.toBe(2);
    await world.vault.secrets.delete(at("LAST"));
    expect(await world.codeOf(world.vault.secrets.set({ ...at("MORE"), value: first }))).toBe("ERR_SECRET_LIMIT");
    await world.vault.secrets.destroy(at("LAST"));
    await expect(world.vault.secrets.set({ ...at("MORE"), value: first })).resolves.toBe(1);
    const other = await createProject(world.vault, world.organizationId, createId());
    await expect(setSecret(world.vault, other.id, "MORE", first)).resolves.toBe(1);
  });

  test("is not passed by many who make one at the same time", async () => {
    await fill(1_997);
    const names = Array.from({ length: 8 }, (_, index) => `NEW_${index}`);
    const made = await Promise.allSettled(
      names.map(async (name) => await world.vault.secrets.set({ ...at(name), value: first })),
    );
    expect(made.filter(({ status }) => status === "fulfilled")).toHaveLength(2);
  });
});
