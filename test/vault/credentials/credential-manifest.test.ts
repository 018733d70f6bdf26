/**
 * Credentials and switches of inheritance in the signed manifest. Goal: whoever changes, removes, adds or puts back a row in
 * the database gets no value and no other account than was chosen, everybody is told, no later write makes it true, and
 * setting it anew does. Method: every attack is SQL on real PostgreSQL, and done to a project's and an organization's slot.
 */
import { describe, expect, test } from "vitest";
import type { Place } from "../../../vault/tenancy/authorize.ts";
import { setSecret } from "../../helpers/vault.ts";
import { clean, expectTampered, type Row, useCredentialWorld } from "./credential-world.ts";

const world = useCredentialWorld();

/** The slot `serpapi` of a place at version 2, beside another slot and, at the other level, a slot of its name. */
async function fill(level: "project" | "organization"): Promise<{ place: Place; condition: string; id: string }> {
  const atProject = level === "project";
  const place = atProject ? world.project : world.organization;
  const condition = atProject ? "project_id = $1" : "project_id is null and organization_id = $1";
  if (atProject) await world.set(world.organization, "organization-value");
  await world.set(place, "neighbour-value", "firecrawl");
  await world.set(place, "first-value");
  await world.set(place, "second-value");
  await world.set(world.other, "other-value");
  await world.set(world.foreign, "foreign-value");
  expect(await world.use()).toBe("second-value");
  return {
    place,
    condition: `integration = 'serpapi' and ${condition}`,
    id: atProject ? world.projectId : world.organizationId,
  };
}

describe.each(["project", "organization"] as const)("of a slot of the %s", (level) => {
  /** What remains of it in the list and to verify. */
  type Kind = "changed" | "removed";
  const attacks: [string, Kind, (slot: { condition: string; id: string; first: Row[] }) => Promise<void>][] = [
    [
      "an older row put back",
      "changed",
      async ({ condition, id, first }) => {
        await world.attack(`delete from credentials where ${condition}`, [id]);
        await world.insert("credentials", first);
      },
    ],
    [
      "another version's number",
      "changed",
      async ({ condition, id }) =>
        await world.attack(`update credentials set version = 2147483647 where ${condition}`, [id]),
    ],
    [
      "a credential switched off",
      "changed",
      async ({ condition, id }) =>
        await world.attack(`update credentials set disabled_at = now() where ${condition}`, [id]),
    ],
    [
      "other characters for the same fields",
      "changed",
      async ({ condition, id }) =>
        await world.attack(`update credentials set fields = fields || ' ' where ${condition}`, [id]),
    ],
    [
      "fields that are none",
      "changed",
      async ({ condition, id }) => await world.attack(`update credentials set fields = '{' where ${condition}`, [id]),
    ],
    [
      "another value",
      "changed",
      async ({ condition, id }) =>
        await world.attack(
          `update credentials set ciphertext = (select ciphertext from credentials where project_id = $2) where ${condition}`,
          [id, world.otherId],
        ),
    ],
    [
      "the same in a row of its own",
      "changed",
      async ({ condition, id }) =>
        await world.attack(`update credentials set id = gen_random_uuid() where ${condition}`, [id]),
    ],
    [
      "the row of another project in its place",
      "changed",
      async ({ condition, id }) => {
        await world.attack(`delete from credentials where ${condition}`, [id]);
        const to = level === "project" ? world.projectId : null;
        await world.attack("update credentials set project_id = $2 where project_id = $1", [world.otherId, to]);
      },
    ],
    [
      "the row of another organization in its place",
      "changed",
      async ({ condition, id }) => {
        await world.attack(`delete from credentials where ${condition}`, [id]);
        const to = level === "project" ? world.projectId : null;
        await world.attack("update credentials set project_id = $2, organization_id = $3 where project_id = $1", [
          world.foreignId,
          to,
          world.organizationId,
        ]);
      },
    ],
    [
      "a row that was removed",
      "removed",
      async ({ condition, id }) => await world.attack(`delete from credentials where ${condition}`, [id]),
    ],
    [
      "a row that went to another organization",
      "removed",
      async ({ condition, id }) =>
        await world.attack(
          `update credentials set organization_id = (select organization_id from projects where id = $2) where ${condition}`,
          [id, world.foreignId],
        ),
    ],
    [
      "a row that went to another integration",
      "removed",
      async ({ condition, id }) =>
        await world.attack(`update credentials set integration = 'notion' where ${condition}`, [id]),
    ],
  ];

  test.each(attacks)("%s gives no value, is told, and is healed by setting it anew", async (_, kind, change) => {
    const { place, condition, id } = await fill(level);
    const [first, second] = [await world.save("credentials", condition, [id]), "second-value"];
    expect(await world.use()).toBe(second);
    await world.set(place, "third-value");
    await change({ condition, id, first });

    // Nor is there another account than the one that was chosen.
    expect((await expectTampered(world.use())).message).toContain(`the ${level}'s: `);
    const expected = ["project: changed past Stepvault", "organization: shadowed"];
    if (level === "organization")
      [expected[0], expected[1]] = ["project: absent", "organization: changed past Stepvault"];
    expect(await world.states()).toEqual(expected);
    const all = await world.vault.credentials.listEffective(world.projectId);
    expect(all.find(({ integration }) => integration === "serpapi")?.winner).toBeUndefined();
    const listed = await world.vault.credentials.list(place);
    const marks = listed.map(({ integration, tampered, fields }) => [integration, tampered, fields.length]);
    expect(marks).toContainEqual(["firecrawl", false, 1]);
    const own = marks.filter(([integration]) => integration === "serpapi");
    expect(own).toEqual(kind === "changed" ? [["serpapi", true, 0]] : []);
    const verdict = await world.vault.secrets.verify(place);
    expect(verdict[kind]).toEqual(["credential serpapi"]);

    // What is beside it is as it was, and no write to that takes anything over.
    expect(await world.use("firecrawl")).toBe("neighbour-value");
    await world.set(place, "neighbour-value", "firecrawl");
    await world.vault.secrets.set({ place, name: "KEY", value: "a secret's value" });
    await expectTampered(world.use());

    await expect(world.set(place, "fourth-value")).resolves.toBe(4);
    expect(await world.use()).toBe("fourth-value");
    expect(
      (await world.vault.credentials.list(place)).find(({ integration }) => integration === "serpapi"),
    ).toMatchObject({
      tampered: false,
      version: 4,
    });
    expect((await world.vault.secrets.verify(place)).removed).toEqual([]);
    expect((await world.vault.secrets.verify(place)).changed).not.toContain("credential serpapi");
  });

  test("one that was switched off and is on in the database stays unused until somebody says so", async () => {
    const { place, condition, id } = await fill(level);
    const slot = { place, integration: "serpapi" };
    await world.vault.credentials.switch({ ...slot, enabled: false });
    await world.attack(`update credentials set disabled_at = null where ${condition}`, [id]);
    await expectTampered(world.use());
    await world.set(place, "neighbour-value", "firecrawl");
    await expectTampered(world.use());
    await world.vault.credentials.switch({ ...slot, enabled: false });
    await expect(world.use()).rejects.toMatchObject({ code: "ERR_CREDENTIAL_DISABLED" });
    await world.vault.credentials.switch({ ...slot, enabled: true });
    expect(await world.use()).toBe("second-value");
    await expect(world.vault.secrets.verify(place)).resolves.toEqual(clean);
  });

  test("one that was put back is not made true by switching it", async () => {
    const { place, condition, id } = await fill(level);
    const older = await world.save("credentials", condition, [id]);
    await world.set(place, "third-value");
    await world.attack(`delete from credentials where ${condition}`, [id]);
    for (const rows of [[], older]) {
      await world.insert("credentials", rows);
      for (const enabled of [false, true]) {
        const switching = world.vault.credentials.switch({ place, integration: "serpapi", enabled });
        await expect(switching).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
      }
    }
    await expectTampered(world.use());
  });

  test("one that was removed, put back as it was, is not there, and removing it takes it away", async () => {
    const { place, condition, id } = await fill(level);
    const slot = { place, integration: "serpapi" };
    const rows = await world.save("credentials", condition, [id]);
    await world.vault.credentials.remove(slot);
    await expect(world.vault.secrets.verify(place)).resolves.toEqual(clean);
    await world.insert("credentials", rows);
    await expectTampered(world.use());
    expect((await world.vault.secrets.verify(place)).changed).toEqual(["credential serpapi"]);
    const switching = world.vault.credentials.switch({ ...slot, enabled: true });
    await expect(switching).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
    await world.vault.credentials.remove(slot);
    await expect(world.vault.secrets.verify(place)).resolves.toEqual(clean);
    await expect(world.vault.credentials.remove(slot)).rejects.toMatchObject({ code: "ERR_CREDENTIAL_UNKNOWN" });
    await world.set(place, "third-value");
    await world.attack(`delete from credentials where ${condition}`, [id]);
    await world.insert("credentials", rows);
    await expectTampered(world.use());
  });

  test("one whose row was removed is gone once somebody removes it", async () => {
    const { place, condition, id } = await fill(level);
    await world.attack(`delete from credentials where ${condition}`, [id]);
    await world.vault.credentials.remove({ place, integration: "serpapi" });
    await expect(world.vault.secrets.verify(place)).resolves.toEqual(clean);
    const used = await world.use().catch((error: unknown) => (error as { code: string }).code);
    expect(used).toBe(level === "project" ? "organization-value" : "ERR_CREDENTIAL_UNKNOWN");
  });

  test("one that the database changed while it was written is not used", async () => {
    const { place } = await fill(level);
    await world.temporary.database.query(
      `create function switch_off() returns trigger language plpgsql as $$ begin new.disabled_at = now(); return new; end $$;
       create trigger switch_off before insert or update on credentials for each row execute function switch_off()`,
    );
    try {
      await world.set(place, "third-value");
      await expectTampered(world.use());
    } finally {
      await world.temporary.database.query("drop trigger switch_off on credentials; drop function switch_off()");
    }
  });
});

describe("of a switch of inheritance", () => {
  const on = "inherits = true";
  const attacks: [string, boolean | undefined, string][] = [
    ["turned on", false, `update credential_inheritance set ${on} where project_id = $1`],
    ["turned off", true, "update credential_inheritance set inherits = false where project_id = $1"],
    ["removed", false, "delete from credential_inheritance where project_id = $1"],
    ["added", undefined, "insert into credential_inheritance values ($1, 'model', '', true)"],
    ["added for the provider", undefined, "insert into credential_inheritance values ($1, 'model', 'openai', true)"],
    [
      "added for the provider, beside its class",
      false,
      "insert into credential_inheritance values ($1, 'model', 'openai', true)",
    ],
    ["moved to a provider", true, "update credential_inheritance set integration = 'openai' where project_id = $1"],
  ];

  test.each(attacks)("one that was %s decides nothing until it is switched anew (%s)", async (_, before, sql) => {
    await world.set(world.organization, "organization-value", "openai");
    await world.set(world.organization, "search-value");
    if (before !== undefined) await world.inherit(before);
    await world.attack(sql, [world.projectId]);
    expect((await expectTampered(world.use("openai"))).message).toContain("Inherit from Organization");
    expect(await world.states("openai")).toEqual(["project: absent", "organization: changed past Stepvault"]);
    // Not in what does not ask for it, nor in other projects.
    expect(await world.use()).toBe("search-value");
    expect(await world.states("openai", world.otherId)).toEqual(["project: absent", "organization: not inherited"]);
    const { changed, removed } = await world.vault.secrets.verify(world.project);
    expect([...changed, ...removed]).toContainEqual(expect.stringMatching(/^inheritance model( openai)?$/));
    // Another slot's change, and a secret's, take nothing over.
    await world.set(world.project, "neighbour-value", "firecrawl");
    await setSecret(world.vault, world.projectId, "KEY", "a secret's value");
    await expectTampered(world.use("openai"));
    await world.inherit(true);
    await world.inherit(undefined, "openai");
    expect(await world.use("openai")).toBe("organization-value");
    await expect(world.vault.secrets.verify(world.project)).resolves.toEqual(clean);
    const switched = { class: "model", integration: "", inherits: true, tampered: false };
    await expect(world.vault.credentials.listInheritance(world.projectId)).resolves.toEqual([switched]);
  });

  test("one that was put back, or is another project's, is marked in the list", async () => {
    await world.inherit(true);
    const rows = await world.save("credential_inheritance", "project_id = $1", [world.projectId]);
    await world.inherit(undefined);
    await world.insert("credential_inheritance", rows);
    await world.inherit(true, "openai", world.otherId);
    await world.attack("update credential_inheritance set project_id = $2 where project_id = $1", [
      world.otherId,
      world.projectId,
    ]);
    const listed = await world.vault.credentials.listInheritance(world.projectId);
    expect(listed.map(({ integration, tampered }) => [integration, tampered])).toEqual([
      ["", true],
      ["openai", true],
    ]);
    expect((await world.vault.secrets.verify(world.project)).changed).toEqual([
      "inheritance model",
      "inheritance model openai",
    ]);
    expect((await world.vault.secrets.verify(world.other)).removed).toEqual(["inheritance model openai"]);
  });

  test("one that the database changed while it was written decides nothing", async () => {
    await world.set(world.organization, "organization-value", "openai");
    await world.temporary.database.query(
      `create function turn_on() returns trigger language plpgsql as $$ begin new.inherits = true; return new; end $$;
       create trigger turn_on before insert or update on credential_inheritance for each row execute function turn_on()`,
    );
    try {
      await world.inherit(false);
      await expectTampered(world.use("openai"));
    } finally {
      await world.temporary.database.query("drop trigger turn_on on credential_inheritance; drop function turn_on()");
    }
  });
});
