/**
 * Goal: a value is shown only to who may see it, only after that was written down, and never when it was sealed, is kept
 * elsewhere or is not what was stored. Real PostgreSQL and, for values that are kept elsewhere, a local server that speaks
 * KV version 2.
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { actions, type Capacity, keyScopes } from "../../../protocol/roles.ts";
import type { SecretValue } from "../../../protocol/secret.ts";
import type { KeyActor } from "../../../vault/tenancy/actor.ts";
import { type Kv2Server, startKv2 } from "../../helpers/kv2.ts";
import { setSecretPolicy } from "../../helpers/vault.ts";
import { addPeople, people, sealed, useSecretWorld } from "./secret-world.ts";

let kv: Kv2Server;
let sources = "";
const world = useSecretWorld(async ({ config: { dataDir } }) => {
  kv = await startKv2();
  sources = join(dataDir, "sources");
  await writeFile(`${sources}.token`, kv.token);
  const corp = { name: "corp", type: "kv2", address: kv.address, mount: "secret", prefix: "{projectId}" };
  await writeFile(`${sources}.json`, JSON.stringify({ sources: [{ ...corp, tokenFile: `${sources}.token` }] }));
  return { secretSourcesFile: `${sources}.json` };
});
afterAll(async () => {
  await kv.close();
  await rm(`${sources}.json`, { force: true });
});

const [first, second] = ["canary-first-value", "canary-second-value"];
const set = async (value: string, more: object = {}): Promise<number> =>
  await world.vault.secrets.set({ place: world.place, name: "KEY", value, ...more });
const seal = async (): Promise<number> => await setSecretPolicy(world.vault, world.projectId, "KEY", sealed);

beforeEach(async () => void (await set(first)));

describe("a value is shown", () => {
  test("to the operator, in the version that is asked for, as something that does not print", async () => {
    await set(second);
    const shown = await world.vault.secrets.reveal({ place: world.place, name: "KEY" });
    expect([shown.expose(), shown.version]).toEqual([second, 2]);
    expect(`${inspect(shown, { depth: 9, showHidden: true })} ${JSON.stringify(shown)} ${String(shown)}`).not.toContain(
      "canary",
    );
    await expect(world.reveal(1)).resolves.toBe(first);
    await expect(world.reveal(2)).resolves.toBe(second);
  });

  test.each(Object.keys(people) as Capacity[])("to a person as the table of roles says: %s", async (person) => {
    await addPeople(world);
    await world.vault.secrets.set({ place: world.organization, name: "KEY", value: second });
    const { secrets } = world.vault.as({ kind: "person", id: person });
    const asked = async (place: typeof world.place): Promise<unknown> =>
      await secrets.reveal({ place, name: "KEY" }).then(
        (value: SecretValue) => value.expose(),
        (error: unknown) => (error as { code: string }).code,
      );
    const ofProject = (actions["secret.reveal"].allowed as readonly Capacity[]).includes(person);
    const ofOrganization = (actions["organization.secrets.reveal"].allowed as readonly Capacity[]).includes(person);
    const refusal = person === "organization member" ? "ERR_PROJECT_UNKNOWN" : "ERR_FORBIDDEN";
    expect(await asked(world.place)).toBe(ofProject ? first : refusal);
    expect(await asked(world.organization)).toBe(ofOrganization ? second : "ERR_FORBIDDEN");
  });

  test("to no stranger and to no key, whatever its scopes", async () => {
    const key: KeyActor = {
      kind: "key",
      id: "key",
      organizationId: world.organizationId,
      projects: "all",
      scopes: keyScopes,
    };
    for (const place of [world.place, world.organization, { ...world.place, ...world.organization }])
      expect(await world.codeOf(world.vault.as(key).secrets.reveal({ place, name: "KEY" }))).toBe("ERR_FORBIDDEN");
    const stranger = world.vault.as({ kind: "person", id: "eve" }).secrets;
    expect(await world.codeOf(stranger.reveal({ place: world.place, name: "KEY" }))).toBe("ERR_PROJECT_UNKNOWN");
    expect(await world.codeOf(stranger.reveal({ place: world.organization, name: "KEY" }))).toBe(
      "ERR_ORGANIZATION_UNKNOWN",
    );
  });
});

describe("the event of a shown value", () => {
  test("tells who saw which version of what, and not the value", async () => {
    await addPeople(world);
    await set(second);
    const events = await world.eventsDuring(async () => {
      const { secrets } = world.vault.as({ kind: "person", id: "project admin" });
      await secrets.reveal({ place: world.place, name: "KEY", version: 1 });
    });
    const id = (await world.vault.secrets.list({ place: world.place }))[0]!.id;
    expect(events).toMatchObject([
      {
        event: "secret.reveal",
        class: "data-access",
        outcome: "success",
        actor: { kind: "person", id: "project admin" },
        projectId: world.projectId,
        target: [{ type: "secret", id, name: "KEY", version: 1 }],
      },
    ]);
    expect(JSON.stringify(events)).not.toContain("canary");
  });

  test("is written before it, or there is no value", async () => {
    await world.whileRefusing("insert on audit_events", async () => {
      await world.failure(world.reveal());
      await world.failure(world.reveal(1));
    });
    await world.whileRefusing("update on audit_heads", async () => void (await world.failure(world.reveal())));
    await expect(world.reveal()).resolves.toBe(first);
  });

  test("is a denial for who may not", async () => {
    // Nobody who was denied just now: that would only be counted.
    const nosy = { organizationId: world.organizationId, personId: "nosy", name: "Nosy", role: "member" } as const;
    await world.vault.tenancy.setOrganizationMember(nosy);
    await world.vault.tenancy.setProjectMember({ projectId: world.projectId, personId: "nosy", role: "editor" });
    const events = await world.eventsDuring(async () => {
      const { secrets } = world.vault.as({ kind: "person", id: "nosy" });
      await world.failure(secrets.reveal({ place: world.place, name: "KEY" }));
    });
    expect(events).toMatchObject([{ event: "secret.reveal", outcome: "denied", actor: { id: "nosy" } }]);
  });
});

describe("a value is not shown", () => {
  test("when it is sealed", async () => {
    await seal();
    for (const version of [undefined, 2]) expect(await world.codeOf(world.reveal(version))).toBe("ERR_SECRET_SEALED");
  });

  test("as the readable version from before it was sealed", async () => {
    await seal();
    expect(await world.codeOf(world.reveal(1))).toBe("ERR_SECRET_SEALED");
    await set(second, { policy: {} });
    await expect(world.reveal()).resolves.toBe(second);
    for (const version of [1, 2]) expect(await world.codeOf(world.reveal(version))).toBe("ERR_SECRET_SEALED");
  });

  test.each([
    [
      "its policy was rewritten",
      "update secret_versions set policy = null where version = 2 and secret_id in (select id from secrets where project_id = $1)",
    ],
    [
      "its sealed version was removed",
      "delete from secret_versions where version = 2 and secret_id in (select id from secrets where project_id = $1)",
    ],
    ["it was set back", "update secrets set current_version = 1 where project_id = $1"],
    ["its expiry was changed", "update secrets set expires_at = now() + interval '1 day' where project_id = $1"],
  ])("in any version when it is sealed and %s", async (_, attack) => {
    await seal();
    await world.attack(attack);
    for (const version of [undefined, 1]) expect(await world.codeOf(world.reveal(version))).toBe("ERR_SECRET_TAMPERED");
  });

  test("when an older manifest from before it was sealed was put back", async () => {
    const [row] = await world.sql("select counter, entries, mac from secret_manifests where project_id = $1", [
      world.projectId,
    ]);
    await seal();
    await world.attack("update secret_manifests set counter = $2, entries = $3, mac = $4 where project_id = $1", [
      world.projectId,
      ...Object.values(row!),
    ]);
    for (const version of [undefined, 1, 2])
      expect(await world.codeOf(world.reveal(version))).toBe("ERR_SECRET_TAMPERED");
  });

  test("when its row is not the one that was stored", async () => {
    await world.attack(
      "update secret_versions set ciphertext = set_bit(ciphertext, 120, 1 - get_bit(ciphertext, 120)) where secret_id in (select id from secrets where project_id = $1)",
    );
    expect(await world.codeOf(world.reveal())).toBe("ERR_SECRET_TAMPERED");
  });

  test("when it is deleted, destroyed or not there", async () => {
    await world.vault.secrets.delete({ place: world.place, name: "KEY" });
    for (const version of [undefined, 1]) expect(await world.codeOf(world.reveal(version))).toBe("ERR_SECRET_DELETED");
    await world.vault.secrets.restore({ place: world.place, name: "KEY" });
    await world.vault.secrets.destroy({ place: world.place, name: "KEY", versions: [1] });
    for (const version of [undefined, 1])
      expect(await world.codeOf(world.reveal(version))).toBe("ERR_SECRET_DESTROYED");
    expect(await world.codeOf(world.reveal(undefined, "NONE"))).toBe("ERR_SECRET_UNKNOWN");
    for (const version of [0, -1, 2, 1.5, 2 ** 31, Number.NaN])
      expect(await world.codeOf(world.reveal(version))).toBe("ERR_SECRET_VERSION_UNKNOWN");
  });

  test("when only the organization has one of the name", async () => {
    await world.vault.secrets.set({ place: world.organization, name: "SHARED", value: second, access: "all" });
    expect(await world.codeOf(world.reveal(undefined, "SHARED"))).toBe("ERR_SECRET_UNKNOWN");
  });
});

describe("a value that is kept elsewhere", () => {
  const elsewhere = "canary-kept-elsewhere";
  const point = async (): Promise<number> =>
    await world.vault.secrets.set({
      place: world.place,
      name: "KEY",
      source: { source: "corp", path: "team/key", field: "value" },
    });

  test("is not shown and not asked for, and what was stored here before is", async () => {
    kv.put(`secret/data/${world.projectId}/team/key`, { value: elsewhere });
    await expect(point()).resolves.toBe(2);
    await expect(world.use()).resolves.toBe(elsewhere);
    const asked = kv.asked.length;
    expect(await world.failure(world.reveal())).toMatchObject({
      code: "ERR_SECRET_SEALED",
      message: expect.stringContaining("kept in corp"),
    });
    await expect(world.reveal(1)).resolves.toBe(first);
    expect(kv.asked).toHaveLength(asked);
  });

  test("comes back here by going back to a version that has one", async () => {
    await point();
    await expect(world.vault.secrets.rollback({ place: world.place, name: "KEY", toVersion: 1 })).resolves.toBe(3);
    await expect(world.use()).resolves.toBe(first);
    await expect(world.vault.secrets.rollback({ place: world.place, name: "KEY", toVersion: 2 })).resolves.toBe(4);
    expect(await world.codeOf(world.reveal())).toBe("ERR_SECRET_SEALED");
  });

  test("must be in a source that there is", async () => {
    const source = { source: "other", path: "team/key", field: "value" };
    const work = world.vault.secrets.set({ place: world.place, name: "KEY", source });
    expect(await world.codeOf(work)).toBe("ERR_SECRET_SOURCE_UNKNOWN");
    await expect(world.use()).resolves.toBe(first);
  });
});
