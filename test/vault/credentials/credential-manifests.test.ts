/**
 * The manifests that credentials and switches of inheritance are in, and the many who write them. Goal: a manifest that is not
 * the last one of its place proves nothing, where there is none nothing is believed, and legitimate changes at once neither
 * wait for each other in a ring nor ever look like an attack. Method: SQL on real PostgreSQL.
 */
import { describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import type { Place } from "../../../vault/tenancy/authorize.ts";
import type { Vault } from "../../../vault/vault.ts";
import { setSecret } from "../../helpers/vault.ts";
import { clean, expectTampered, type Row, useCredentialWorld } from "./credential-world.ts";

const world = useCredentialWorld();

describe("of a manifest", () => {
  const ofShared = "project_id = (select id from projects where shared and organization_id = $1)";

  test("that is not the last one everything of its place that was changed since is refused", async () => {
    await world.set(world.organization, "first-value");
    await world.set(world.organization, "neighbour-value", "firecrawl");
    const older = await world.save("secret_manifests", ofShared, [world.organizationId]);
    await world.set(world.organization, "second-value");
    await world.attack(`delete from secret_manifests where ${ofShared}`, [world.organizationId]);
    await expectTampered(world.use());
    await world.insert("secret_manifests", older);
    await expectTampered(world.use());
    expect(await world.use("firecrawl")).toBe("neighbour-value");
  });

  test.each([
    ["removed", `delete from secret_manifests where ${ofShared}`],
    ["with another counter", `update secret_manifests set counter = counter + 1 where ${ofShared}`],
    ["without its last entry", `update secret_manifests set entries = '' where ${ofShared}`],
    [
      "with the key of another project",
      `update data_keys set wrapped_key = (select wrapped_key from data_keys where project_id = $2) where ${ofShared} and $2::uuid is not null`,
    ],
  ])("%s nothing of the organization is used, and the operator signs it anew", async (how, sql) => {
    await world.set(world.organization, "organization-value");
    await world.set(world.other, "other-value", "firecrawl");
    await world.attack(sql, sql.includes("$2") ? [world.organizationId, world.otherId] : [world.organizationId]);
    await expectTampered(world.use());
    await expectTampered(world.use("firecrawl"));
    expect(await world.states()).toEqual(["project: absent", "organization: changed past Stepvault"]);
    await expect(world.vault.credentials.list(world.organization)).resolves.toMatchObject([
      { tampered: true, fields: [] },
    ]);
    await expect(world.vault.secrets.verify(world.organization)).resolves.toMatchObject({ unproven: true });
    await expect(world.set(world.organization, "next-value")).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
    // A project's own needs nothing of the organization's.
    expect(await world.use("firecrawl", world.otherId)).toBe("other-value");
    if (how.includes("key")) return;
    await world.vault.rebuildManifest(world.organization);
    expect(await world.use()).toBe("organization-value");
  });

  test("that is another project's nothing is inherited in the stead of what a project had", async () => {
    await world.set(world.organization, "organization-value");
    await world.set(world.project, "project-value");
    await world.set(world.other, "other-value");
    await world.attack(
      `update secret_manifests m set (counter, entries, mac) = (o.counter, o.entries, o.mac)
       from secret_manifests o where m.project_id = $1 and o.project_id = $2`,
      [world.projectId, world.otherId],
    );
    await world.attack("delete from credentials where project_id = $1", [world.projectId]);
    await expectTampered(world.use());
  });

  test("another project's that is said to be the organization's lists nothing of it", async () => {
    await world.set(world.organization, "organization-value");
    await world.set(world.other, "other-value");
    await world.attack("update projects set shared = false where shared and organization_id = $1", [
      world.organizationId,
    ]);
    await world.attack("update projects set shared = true where id = $1", [world.otherId]);
    await expectTampered(world.use());
    await world.attack("delete from credentials where organization_id = $1 and project_id is null", [
      world.organizationId,
    ]);
    await world.attack("update credentials set project_id = null where project_id = $1", [world.otherId]);
    expect(await world.states()).toEqual(["project: absent", "organization: changed past Stepvault"]);
    await expectTampered(world.use());
  });

  test("put back with all its rows, the head that was kept tells alone; taken away with the key it ends inheritance", async () => {
    await world.set(world.organization, "organization-value");
    await world.set(world.project, "first-value");
    const rows = await world.save("credentials", "project_id = $1", [world.projectId]);
    const manifest = await world.save("secret_manifests", "project_id = $1", [world.projectId]);
    await world.set(world.project, "second-value");
    const kept = (await world.vault.manifestHead(world.projectId))!;
    for (const table of ["credentials", "secret_manifests"])
      await world.attack(`delete from ${table} where project_id = $1`, [world.projectId]);
    await expectTampered(world.use());
    await world.insert("credentials", rows);
    await world.insert("secret_manifests", manifest);
    expect(await world.use()).toBe("first-value");
    expect((await world.vault.manifestHead(world.projectId))!.counter).toBeLessThan(kept.counter);
    for (const table of ["credentials", "secret_manifests", "data_keys"])
      await world.attack(`delete from ${table} where project_id = $1`, [world.projectId]);
    // Nothing is left that proves whose project it is.
    await expectTampered(world.use());
    await expect(world.vault.manifestHead(world.projectId)).resolves.toBeUndefined();
  });
});

describe("where nothing was written yet", () => {
  const names = async (place: Place): Promise<readonly string[]> => (await world.vault.secrets.verify(place)).changed;

  test("rows prove nothing, and the first write takes none over", async () => {
    await world.set(world.other, "other-value");
    const rows = await world.save("credentials", "project_id = $1", [world.otherId]);
    const copy = (to: string | null): Row[] =>
      rows.map((row) => ({ ...row, id: createId(), project_id: to, fingerprints: [] }));
    await world.insert("credentials", [...copy(world.projectId), ...copy(null)]);
    await world.attack("insert into credential_inheritance values ($1, 'model', '', true)", [world.projectId]);
    const expected = ["credential serpapi", "inheritance model"];
    expect([await names(world.project), await names(world.organization)]).toEqual([expected, expected.slice(0, 1)]);
    await expectTampered(world.use());
    await expect(world.vault.credentials.list(world.project)).resolves.toMatchObject([{ tampered: true }]);
    await expect(world.vault.credentials.list(world.organization)).resolves.toMatchObject([{ tampered: true }]);
    await expect(world.vault.credentials.listInheritance(world.projectId)).resolves.toMatchObject([{ tampered: true }]);
    await setSecret(world.vault, world.projectId, "KEY", "a secret's value");
    await world.set(world.organization, "organization-value", "openai");
    expect([await names(world.project), await names(world.organization)]).toEqual([expected, expected.slice(0, 1)]);
    await expectTampered(world.use());
    await expectTampered(world.use("openai"));
    await world.vault.credentials.remove({ place: world.project, integration: "serpapi" });
    expect((await expectTampered(world.use())).message).toContain("the organization's: ");
    await world.set(world.organization, "search-value");
    expect(await world.use()).toBe("search-value");
  });

  test("a project whose key and manifest are gone takes nothing over either", async () => {
    await world.set(world.organization, "organization-value", "openai");
    await world.inherit(false);
    for (const table of ["secret_manifests", "data_keys"])
      await world.attack(`delete from ${table} where project_id = $1`, [world.projectId]);
    await world.attack("update credential_inheritance set inherits = true where project_id = $1", [world.projectId]);
    await setSecret(world.vault, world.projectId, "KEY", "a secret's value");
    await expectTampered(world.use("openai"));
  });

  test("an organization's rows that came with a backup are listed once the operator signs them", async () => {
    await world.set(world.organization, "organization-value");
    const shared = "(select id from projects where shared and organization_id = $1)";
    const manifest = await world.save("secret_manifests", `project_id = ${shared}`, [world.organizationId]);
    await world.attack(`delete from secret_manifests where project_id = ${shared}`, [world.organizationId]);
    expect(manifest).toHaveLength(1);
    await world.vault.rebuildManifest(world.organization);
    await expect(world.vault.secrets.verify(world.organization)).resolves.toEqual(clean);
    expect(await world.use()).toBe("organization-value");
  });
});

describe("many at once", () => {
  test("write credentials, switches and secrets of two levels without waiting for each other in a ring", async () => {
    const head = async (holder: Parameters<Vault["manifestHead"]>[0]): Promise<bigint> =>
      (await world.vault.manifestHead(holder))!.counter;
    await world.set(world.project, "first-value");
    await world.set(world.organization, "first-value");
    const before = [await head(world.projectId), await head(world.organization)];
    const rounds = Array.from({ length: 6 }, (_, round) => round);
    const works = rounds.flatMap((round) =>
      [world.project, world.organization].flatMap((place) => [
        async () => void (await world.set(place, `value-of-${round}`)),
        async () => void (await world.set(place, `value-of-${round}`, "openai")),
        async () =>
          void (await world.vault.secrets.set({ place, name: `KEY_${round % 2}`, value: `value-of-${round}` })),
        async () => await world.vault.credentials.switch({ place, integration: "serpapi", enabled: round % 2 === 0 }),
        async () =>
          "projectId" in place ? await world.inherit(round % 2 === 0, "openai") : void (await world.states("openai")),
      ]),
    );
    await Promise.all(works.map(async (work) => await work()));
    expect([await head(world.projectId), await head(world.organization)]).toEqual([before[0]! + 30n, before[1]! + 24n]);
    for (const place of [world.project, world.organization]) {
      await expect(world.vault.secrets.verify(place)).resolves.toEqual(clean);
      const [openai, serpapi] = await world.vault.credentials.list(place);
      expect([openai, serpapi]).toMatchObject([
        { version: 6, tampered: false },
        { version: 7, tampered: false },
      ]);
    }
  });

  test("make the first write to a place, and all are kept", async () => {
    const ids = ["serpapi", "firecrawl", "openai", "anthropic", "mistral", "xai"];
    const places: Place[] = [world.project, world.organization, world.other];
    await Promise.all(
      places.flatMap((place) =>
        ids.map(async (integration) => await world.set(place, `value-of-${integration}`, integration)),
      ),
    );
    for (const place of places) {
      await expect(world.vault.secrets.verify(place)).resolves.toEqual(clean);
      expect((await world.vault.credentials.list(place)).map(({ version }) => version)).toEqual(ids.map(() => 1));
    }
  });

  test("that only read never see a change of another as an attack", async () => {
    await world.set(world.organization, "organization-value", "openai");
    await world.inherit(true);
    const writer = { done: false };
    const written = (async () => {
      for (let round = 0; round < 15; round += 1) {
        await world.set(world.organization, `value-of-${round}`, "openai");
        await world.set(world.project, `value-of-${round}`, round % 2 === 0 ? "openai" : "serpapi");
        await world.inherit(round % 2 === 0, "openai");
        await world.vault.credentials.switch({ place: world.project, integration: "openai", enabled: round % 3 === 0 });
        if (round % 2 === 1) await world.vault.credentials.remove({ place: world.project, integration: "serpapi" });
      }
    })().finally(() => (writer.done = true));
    let looks = 0;
    while (!writer.done) {
      looks += 1;
      const code = await world.use("openai").catch((error: unknown) => (error as { code: string }).code);
      const listed = [
        ...(await world.vault.credentials.list(world.project)),
        ...(await world.vault.credentials.list(world.organization)),
      ];
      const switches = await world.vault.credentials.listInheritance(world.projectId);
      const all = await world.vault.credentials.listEffective(world.projectId);
      expect(code).not.toBe("ERR_SECRET_TAMPERED");
      expect([...listed, ...switches].filter(({ tampered }) => tampered)).toEqual([]);
      expect(JSON.stringify(all)).not.toContain("past Stepvault");
    }
    await written;
    expect(looks).toBeGreaterThan(3);
  });
});
