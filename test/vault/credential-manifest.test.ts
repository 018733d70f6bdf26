/**
 * Credentials and switches of inheritance in the signed manifest. Goal: whoever changes, removes, adds or puts back a row in
 * the database gets no value and no other account than was chosen, everybody is told, no later write makes it true, and
 * setting it anew does. Method: every attack is SQL, through real PostgreSQL; each is done to a project's and an
 * organization's slot.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import type { Place } from "../../vault/authorize.ts";
import { openVault, type Vault } from "../../vault/vault.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";
import { createOrganization, createProject, setSecret } from "../helpers/vault.ts";

let temporary: Temporary;
let vault: Vault;
let organizationId: string;
let projectId: string;
let otherId: string;
/** Of another organization. */
let foreignId: string;

beforeAll(async () => {
  temporary = await openTemporary();
  vault = await openVault(temporary.database, temporary.config);
});
afterAll(async () => {
  vault.close();
  await temporary.dispose();
});
beforeEach(async () => {
  organizationId = (await createOrganization(vault, "Acme")).id;
  projectId = (await createProject(vault, organizationId, "Support")).id;
  otherId = (await createProject(vault, organizationId, "Sales")).id;
  foreignId = (await createProject(vault, (await createOrganization(vault, "Other")).id, "Theirs")).id;
});

type Row = Record<string, unknown>;

/** Changes rows as somebody with the database would; it must change some. */
async function attack(text: string, values: unknown[] = []): Promise<void> {
  expect((await temporary.database.query(text, values)).rowCount).toBeGreaterThan(0);
}

async function save(table: string, condition: string, values: unknown[]): Promise<Row[]> {
  return (await temporary.database.query<Row>(`select * from ${table} where ${condition}`, values)).rows;
}

async function insert(table: string, rows: readonly Row[]): Promise<void> {
  for (const row of rows) {
    const columns = Object.keys(row);
    const places = columns.map((_, at) => `$${at + 1}`);
    await attack(`insert into ${table} (${columns.join(", ")}) values (${places.join(", ")})`, Object.values(row));
  }
}

async function set(place: Place, value: string, integration = "serpapi"): Promise<number> {
  return await vault.credentials.set({ place, integration, fields: { api_key: value } });
}

async function use(integration = "serpapi", id = projectId): Promise<string> {
  const { secret } = await vault.credentials.resolve({ projectId: id, integration });
  return secret.get("api_key")!.expose();
}

async function states(integration = "serpapi", id = projectId): Promise<string[]> {
  const { candidates } = await vault.credentials.explain({ projectId: id, integration });
  return candidates.map(({ level, state }) => `${level}: ${state}`);
}

async function refusal(integration = "serpapi", id = projectId): Promise<Error> {
  const failure = await use(integration, id).then(
    (value) => expect.unreachable(`it should have failed, and gave ${value}`),
    (error: unknown) => error as Error,
  );
  expect(failure).toMatchObject({ code: "ERR_SECRET_TAMPERED" });
  expect(failure.message).not.toContain("-value");
  return failure;
}

const clean = { changed: [], removed: [], unproven: false };
const inherit = async (inherits: boolean | undefined, integration?: string, id = projectId): Promise<void> =>
  await vault.credentials.switchInheritance({ projectId: id, class: "model", integration, inherits });

/** The slot `serpapi` of a place at version 2, beside another slot and, at the other level, a slot of its name. */
async function fill(level: "project" | "organization"): Promise<{ place: Place; condition: string; id: string }> {
  const atProject = level === "project";
  const place = atProject ? { projectId } : { organizationId };
  const condition = atProject ? "project_id = $1" : "project_id is null and organization_id = $1";
  if (atProject) await set({ organizationId }, "organization-value");
  await set(place, "neighbour-value", "firecrawl");
  await set(place, "first-value");
  await set(place, "second-value");
  await set({ projectId: otherId }, "other-value");
  await set({ projectId: foreignId }, "foreign-value");
  expect(await use()).toBe("second-value");
  return { place, condition: `integration = 'serpapi' and ${condition}`, id: atProject ? projectId : organizationId };
}

describe.each(["project", "organization"] as const)("of a slot of the %s", (level) => {
  /** What remains of it in the list and to verify. */
  type Kind = "changed" | "removed";
  const attacks: [string, Kind, (slot: { condition: string; id: string; first: Row[] }) => Promise<void>][] = [
    [
      "an older row put back",
      "changed",
      async ({ condition, id, first }) => {
        await attack(`delete from credentials where ${condition}`, [id]);
        await insert("credentials", first);
      },
    ],
    [
      "another version's number",
      "changed",
      async ({ condition, id }) => await attack(`update credentials set version = 2147483647 where ${condition}`, [id]),
    ],
    [
      "a credential switched off",
      "changed",
      async ({ condition, id }) => await attack(`update credentials set disabled_at = now() where ${condition}`, [id]),
    ],
    [
      "other characters for the same fields",
      "changed",
      async ({ condition, id }) =>
        await attack(`update credentials set fields = fields || ' ' where ${condition}`, [id]),
    ],
    [
      "fields that are none",
      "changed",
      async ({ condition, id }) => await attack(`update credentials set fields = '{' where ${condition}`, [id]),
    ],
    [
      "another value",
      "changed",
      async ({ condition, id }) =>
        await attack(
          `update credentials set ciphertext = (select ciphertext from credentials where project_id = $2) where ${condition}`,
          [id, otherId],
        ),
    ],
    [
      "the same in a row of its own",
      "changed",
      async ({ condition, id }) =>
        await attack(`update credentials set id = gen_random_uuid() where ${condition}`, [id]),
    ],
    [
      "the row of another project in its place",
      "changed",
      async ({ condition, id }) => {
        await attack(`delete from credentials where ${condition}`, [id]);
        const to = level === "project" ? projectId : null;
        await attack("update credentials set project_id = $2 where project_id = $1", [otherId, to]);
      },
    ],
    [
      "the row of another organization in its place",
      "changed",
      async ({ condition, id }) => {
        await attack(`delete from credentials where ${condition}`, [id]);
        const to = level === "project" ? projectId : null;
        await attack("update credentials set project_id = $2, organization_id = $3 where project_id = $1", [
          foreignId,
          to,
          organizationId,
        ]);
      },
    ],
    [
      "a row that was removed",
      "removed",
      async ({ condition, id }) => await attack(`delete from credentials where ${condition}`, [id]),
    ],
    [
      "a row that went to another organization",
      "removed",
      async ({ condition, id }) =>
        await attack(
          `update credentials set organization_id = (select organization_id from projects where id = $2) where ${condition}`,
          [id, foreignId],
        ),
    ],
    [
      "a row that went to another integration",
      "removed",
      async ({ condition, id }) =>
        await attack(`update credentials set integration = 'notion' where ${condition}`, [id]),
    ],
  ];

  test.each(attacks)("%s gives no value, is told, and is healed by setting it anew", async (_, kind, change) => {
    const { place, condition, id } = await fill(level);
    const [first, second] = [await save("credentials", condition, [id]), "second-value"];
    expect(await use()).toBe(second);
    await set(place, "third-value");
    await change({ condition, id, first });

    // Nor is there another account than the one that was chosen.
    expect((await refusal()).message).toContain(`the ${level}'s: `);
    const expected = ["project: changed past Stepvault", "organization: shadowed"];
    if (level === "organization")
      [expected[0], expected[1]] = ["project: absent", "organization: changed past Stepvault"];
    expect(await states()).toEqual(expected);
    const all = await vault.credentials.listEffective(projectId);
    expect(all.find(({ integration }) => integration === "serpapi")?.winner).toBeUndefined();
    const listed = await vault.credentials.list(place);
    const marks = listed.map(({ integration, tampered, fields }) => [integration, tampered, fields.length]);
    expect(marks).toContainEqual(["firecrawl", false, 1]);
    const own = marks.filter(([integration]) => integration === "serpapi");
    expect(own).toEqual(kind === "changed" ? [["serpapi", true, 0]] : []);
    const verdict = await vault.secrets.verify(place);
    expect(verdict[kind]).toEqual(["credential serpapi"]);

    // What is beside it is as it was, and no write to that takes anything over.
    expect(await use("firecrawl")).toBe("neighbour-value");
    await set(place, "neighbour-value", "firecrawl");
    await vault.secrets.set({ place, name: "KEY", value: "a secret's value" });
    await refusal();

    await expect(set(place, "fourth-value")).resolves.toBe(4);
    expect(await use()).toBe("fourth-value");
    expect((await vault.credentials.list(place)).find(({ integration }) => integration === "serpapi")).toMatchObject({
      tampered: false,
      version: 4,
    });
    expect((await vault.secrets.verify(place)).removed).toEqual([]);
    expect((await vault.secrets.verify(place)).changed).not.toContain("credential serpapi");
  });

  test("one that was switched off and is on in the database stays unused until somebody says so", async () => {
    const { place, condition, id } = await fill(level);
    const slot = { place, integration: "serpapi" };
    await vault.credentials.switch({ ...slot, enabled: false });
    await attack(`update credentials set disabled_at = null where ${condition}`, [id]);
    await refusal();
    await set(place, "neighbour-value", "firecrawl");
    await refusal();
    await vault.credentials.switch({ ...slot, enabled: false });
    await expect(use()).rejects.toMatchObject({ code: "ERR_CREDENTIAL_DISABLED" });
    await vault.credentials.switch({ ...slot, enabled: true });
    expect(await use()).toBe("second-value");
    await expect(vault.secrets.verify(place)).resolves.toEqual(clean);
  });

  test("one that was put back is not made true by switching it", async () => {
    const { place, condition, id } = await fill(level);
    const older = await save("credentials", condition, [id]);
    await set(place, "third-value");
    await attack(`delete from credentials where ${condition}`, [id]);
    for (const rows of [[], older]) {
      await insert("credentials", rows);
      for (const enabled of [false, true]) {
        const switching = vault.credentials.switch({ place, integration: "serpapi", enabled });
        await expect(switching).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
      }
    }
    await refusal();
  });

  test("one that was removed, put back as it was, is not there, and removing it takes it away", async () => {
    const { place, condition, id } = await fill(level);
    const slot = { place, integration: "serpapi" };
    const rows = await save("credentials", condition, [id]);
    await vault.credentials.remove(slot);
    await expect(vault.secrets.verify(place)).resolves.toEqual(clean);
    await insert("credentials", rows);
    await refusal();
    expect((await vault.secrets.verify(place)).changed).toEqual(["credential serpapi"]);
    const switching = vault.credentials.switch({ ...slot, enabled: true });
    await expect(switching).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
    await vault.credentials.remove(slot);
    await expect(vault.secrets.verify(place)).resolves.toEqual(clean);
    await expect(vault.credentials.remove(slot)).rejects.toMatchObject({ code: "ERR_CREDENTIAL_UNKNOWN" });
    await set(place, "third-value");
    await attack(`delete from credentials where ${condition}`, [id]);
    await insert("credentials", rows);
    await refusal();
  });

  test("one whose row was removed is gone once somebody removes it", async () => {
    const { place, condition, id } = await fill(level);
    await attack(`delete from credentials where ${condition}`, [id]);
    await vault.credentials.remove({ place, integration: "serpapi" });
    await expect(vault.secrets.verify(place)).resolves.toEqual(clean);
    if (level === "project") expect(await use()).toBe("organization-value");
    else await expect(use()).rejects.toMatchObject({ code: "ERR_CREDENTIAL_UNKNOWN" });
  });

  test("one that the database changed while it was written is not used", async () => {
    const { place } = await fill(level);
    await temporary.database.query(
      `create function switch_off() returns trigger language plpgsql as $$ begin new.disabled_at = now(); return new; end $$;
       create trigger switch_off before insert or update on credentials for each row execute function switch_off()`,
    );
    try {
      await set(place, "third-value");
      await refusal();
    } finally {
      await temporary.database.query("drop trigger switch_off on credentials; drop function switch_off()");
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
    await set({ organizationId }, "organization-value", "openai");
    await set({ organizationId }, "search-value");
    if (before !== undefined) await inherit(before);
    await attack(sql, [projectId]);
    expect((await refusal("openai")).message).toContain("Inherit from Organization");
    expect(await states("openai")).toEqual(["project: absent", "organization: changed past Stepvault"]);
    // Not in what does not ask for it, nor in other projects.
    expect(await use()).toBe("search-value");
    expect(await states("openai", otherId)).toEqual(["project: absent", "organization: not inherited"]);
    const { changed, removed } = await vault.secrets.verify({ projectId });
    expect([...changed, ...removed]).toContainEqual(expect.stringMatching(/^inheritance model( openai)?$/));
    // Another slot's change, and a secret's, take nothing over.
    await set({ projectId }, "neighbour-value", "firecrawl");
    await setSecret(vault, projectId, "KEY", "a secret's value");
    await refusal("openai");
    await inherit(true);
    await inherit(undefined, "openai");
    expect(await use("openai")).toBe("organization-value");
    await expect(vault.secrets.verify({ projectId })).resolves.toEqual(clean);
    const switched = { class: "model", integration: "", inherits: true, tampered: false };
    await expect(vault.credentials.listInheritance(projectId)).resolves.toEqual([switched]);
  });

  test("one that was put back, or is another project's, is marked in the list", async () => {
    await inherit(true);
    const rows = await save("credential_inheritance", "project_id = $1", [projectId]);
    await inherit(undefined);
    await insert("credential_inheritance", rows);
    await inherit(true, "openai", otherId);
    await attack("update credential_inheritance set project_id = $2 where project_id = $1", [otherId, projectId]);
    const listed = await vault.credentials.listInheritance(projectId);
    expect(listed.map(({ integration, tampered }) => [integration, tampered])).toEqual([
      ["", true],
      ["openai", true],
    ]);
    expect((await vault.secrets.verify({ projectId })).changed).toEqual([
      "inheritance model",
      "inheritance model openai",
    ]);
    expect((await vault.secrets.verify({ projectId: otherId })).removed).toEqual(["inheritance model openai"]);
  });

  test("one that the database changed while it was written decides nothing", async () => {
    await set({ organizationId }, "organization-value", "openai");
    await temporary.database.query(
      `create function turn_on() returns trigger language plpgsql as $$ begin new.inherits = true; return new; end $$;
       create trigger turn_on before insert or update on credential_inheritance for each row execute function turn_on()`,
    );
    try {
      await inherit(false);
      await refusal("openai");
    } finally {
      await temporary.database.query("drop trigger turn_on on credential_inheritance; drop function turn_on()");
    }
  });
});

describe("of a manifest", () => {
  const ofShared = "project_id = (select id from projects where shared and organization_id = $1)";

  test("that is not the last one everything of its place that was changed since is refused", async () => {
    await set({ organizationId }, "first-value");
    await set({ organizationId }, "neighbour-value", "firecrawl");
    const older = await save("secret_manifests", ofShared, [organizationId]);
    await set({ organizationId }, "second-value");
    await attack(`delete from secret_manifests where ${ofShared}`, [organizationId]);
    await refusal();
    await insert("secret_manifests", older);
    await refusal();
    expect(await use("firecrawl")).toBe("neighbour-value");
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
    await set({ organizationId }, "organization-value");
    await set({ projectId: otherId }, "other-value", "firecrawl");
    await attack(sql, sql.includes("$2") ? [organizationId, otherId] : [organizationId]);
    await refusal();
    await refusal("firecrawl");
    expect(await states()).toEqual(["project: absent", "organization: changed past Stepvault"]);
    await expect(vault.credentials.list({ organizationId })).resolves.toMatchObject([{ tampered: true, fields: [] }]);
    await expect(vault.secrets.verify({ organizationId })).resolves.toMatchObject({ unproven: true });
    await expect(set({ organizationId }, "next-value")).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
    // A project's own needs nothing of the organization's.
    expect(await use("firecrawl", otherId)).toBe("other-value");
    if (how.includes("key")) return;
    await vault.rebuildManifest({ organizationId });
    expect(await use()).toBe("organization-value");
  });

  test("that is another project's nothing is inherited in the stead of what a project had", async () => {
    await set({ organizationId }, "organization-value");
    await set({ projectId }, "project-value");
    await set({ projectId: otherId }, "other-value");
    await attack(
      `update secret_manifests m set (counter, entries, mac) = (o.counter, o.entries, o.mac)
       from secret_manifests o where m.project_id = $1 and o.project_id = $2`,
      [projectId, otherId],
    );
    await attack("delete from credentials where project_id = $1", [projectId]);
    await refusal();
  });

  test("another project's that is said to be the organization's lists nothing of it", async () => {
    await set({ organizationId }, "organization-value");
    await set({ projectId: otherId }, "other-value");
    await attack("update projects set shared = false where shared and organization_id = $1", [organizationId]);
    await attack("update projects set shared = true where id = $1", [otherId]);
    await refusal();
    await attack("delete from credentials where organization_id = $1 and project_id is null", [organizationId]);
    await attack("update credentials set project_id = null where project_id = $1", [otherId]);
    await refusal();
  });

  test("put back with all its rows, or taken away with them and the key, the head that was kept tells alone", async () => {
    await set({ organizationId }, "organization-value");
    await set({ projectId }, "first-value");
    const rows = await save("credentials", "project_id = $1", [projectId]);
    const manifest = await save("secret_manifests", "project_id = $1", [projectId]);
    await set({ projectId }, "second-value");
    const kept = (await vault.manifestHead(projectId))!;
    for (const table of ["credentials", "secret_manifests"])
      await attack(`delete from ${table} where project_id = $1`, [projectId]);
    await refusal();
    await insert("credentials", rows);
    await insert("secret_manifests", manifest);
    expect(await use()).toBe("first-value");
    expect((await vault.manifestHead(projectId))!.counter).toBeLessThan(kept.counter);
    for (const table of ["credentials", "secret_manifests", "data_keys"])
      await attack(`delete from ${table} where project_id = $1`, [projectId]);
    expect(await use()).toBe("organization-value");
    await expect(vault.manifestHead(projectId)).resolves.toBeUndefined();
  });
});

describe("where nothing was written yet", () => {
  const names = async (place: Place): Promise<readonly string[]> => (await vault.secrets.verify(place)).changed;

  test("rows prove nothing, and the first write takes none over", async () => {
    await set({ projectId: otherId }, "other-value");
    const rows = await save("credentials", "project_id = $1", [otherId]);
    const copy = (to: string | null): Row[] =>
      rows.map((row) => ({ ...row, id: createId(), project_id: to, fingerprints: [] }));
    await insert("credentials", [...copy(projectId), ...copy(null)]);
    await attack("insert into credential_inheritance values ($1, 'model', '', true)", [projectId]);
    const expected = ["credential serpapi", "inheritance model"];
    expect([await names({ projectId }), await names({ organizationId })]).toEqual([expected, expected.slice(0, 1)]);
    await refusal();
    await expect(vault.credentials.list({ projectId })).resolves.toMatchObject([{ tampered: true }]);
    await expect(vault.credentials.list({ organizationId })).resolves.toMatchObject([{ tampered: true }]);
    await expect(vault.credentials.listInheritance(projectId)).resolves.toMatchObject([{ tampered: true }]);
    await setSecret(vault, projectId, "KEY", "a secret's value");
    await set({ organizationId }, "organization-value", "openai");
    expect([await names({ projectId }), await names({ organizationId })]).toEqual([expected, expected.slice(0, 1)]);
    await refusal();
    await refusal("openai");
    await vault.credentials.remove({ place: { projectId }, integration: "serpapi" });
    expect((await refusal()).message).toContain("the organization's: ");
    await set({ organizationId }, "search-value");
    expect(await use()).toBe("search-value");
  });

  test("a project whose key and manifest are gone takes nothing over either", async () => {
    await set({ organizationId }, "organization-value", "openai");
    await inherit(false);
    for (const table of ["secret_manifests", "data_keys"])
      await attack(`delete from ${table} where project_id = $1`, [projectId]);
    await attack("update credential_inheritance set inherits = true where project_id = $1", [projectId]);
    await setSecret(vault, projectId, "KEY", "a secret's value");
    await refusal("openai");
  });

  test("an organization's rows that came with a backup are listed once the operator signs them", async () => {
    await set({ organizationId }, "organization-value");
    const shared = "(select id from projects where shared and organization_id = $1)";
    const manifest = await save("secret_manifests", `project_id = ${shared}`, [organizationId]);
    await attack(`delete from secret_manifests where project_id = ${shared}`, [organizationId]);
    expect(manifest).toHaveLength(1);
    await vault.rebuildManifest({ organizationId });
    await expect(vault.secrets.verify({ organizationId })).resolves.toEqual(clean);
    expect(await use()).toBe("organization-value");
  });
});

describe("many at once", () => {
  test("write credentials, switches and secrets of two levels without waiting for each other in a ring", async () => {
    const head = async (holder: Parameters<Vault["manifestHead"]>[0]): Promise<bigint> =>
      (await vault.manifestHead(holder))!.counter;
    await set({ projectId }, "first-value");
    await set({ organizationId }, "first-value");
    const before = [await head(projectId), await head({ organizationId })];
    const rounds = Array.from({ length: 6 }, (_, round) => round);
    const works = rounds.flatMap((round) =>
      [{ projectId }, { organizationId }].flatMap((place) => [
        async () => void (await set(place, `value-of-${round}`)),
        async () => void (await set(place, `value-of-${round}`, "openai")),
        async () => void (await vault.secrets.set({ place, name: `KEY_${round % 2}`, value: `value-of-${round}` })),
        async () => await vault.credentials.switch({ place, integration: "serpapi", enabled: round % 2 === 0 }),
        async () => ("projectId" in place ? await inherit(round % 2 === 0, "openai") : void (await states("openai"))),
      ]),
    );
    await Promise.all(works.map(async (work) => await work()));
    expect([await head(projectId), await head({ organizationId })]).toEqual([before[0]! + 30n, before[1]! + 24n]);
    for (const place of [{ projectId }, { organizationId }]) {
      await expect(vault.secrets.verify(place)).resolves.toEqual(clean);
      const [openai, serpapi] = await vault.credentials.list(place);
      expect([openai, serpapi]).toMatchObject([
        { version: 6, tampered: false },
        { version: 7, tampered: false },
      ]);
    }
  });

  test("make the first write to a place, and all are kept", async () => {
    const ids = ["serpapi", "firecrawl", "openai", "anthropic", "mistral", "xai"];
    const places: Place[] = [{ projectId }, { organizationId }, { projectId: otherId }];
    await Promise.all(
      places.flatMap((place) =>
        ids.map(async (integration) => await set(place, `value-of-${integration}`, integration)),
      ),
    );
    for (const place of places) {
      await expect(vault.secrets.verify(place)).resolves.toEqual(clean);
      expect((await vault.credentials.list(place)).map(({ version }) => version)).toEqual(ids.map(() => 1));
    }
  });

  test("that only read never see a change of another as an attack", async () => {
    await set({ organizationId }, "organization-value", "openai");
    await inherit(true);
    const writer = { done: false };
    const written = (async () => {
      for (let round = 0; round < 15; round += 1) {
        await set({ organizationId }, `value-of-${round}`, "openai");
        await set({ projectId }, `value-of-${round}`, round % 2 === 0 ? "openai" : "serpapi");
        await inherit(round % 2 === 0, "openai");
        await vault.credentials.switch({ place: { projectId }, integration: "openai", enabled: round % 3 === 0 });
        if (round % 2 === 1) await vault.credentials.remove({ place: { projectId }, integration: "serpapi" });
      }
    })().finally(() => (writer.done = true));
    let looks = 0;
    while (!writer.done) {
      looks += 1;
      const code = await use("openai").catch((error: unknown) => (error as { code: string }).code);
      const listed = [
        ...(await vault.credentials.list({ projectId })),
        ...(await vault.credentials.list({ organizationId })),
      ];
      const switches = await vault.credentials.listInheritance(projectId);
      const all = await vault.credentials.listEffective(projectId);
      expect(code).not.toBe("ERR_SECRET_TAMPERED");
      expect([...listed, ...switches].filter(({ tampered }) => tampered)).toEqual([]);
      expect(JSON.stringify(all)).not.toContain("past Stepvault");
    }
    await written;
    expect(looks).toBeGreaterThan(3);
  });
});
