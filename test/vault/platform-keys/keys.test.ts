/**
 * Making, listing, changing, rotating and ending platform keys. Goal: a key is shown once, covers what it was made for,
 * and its life only ever gets shorter. Method: real PostgreSQL, people of every right, a clock that tests set; defects of
 * other products are named where a test is for one.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { type KeyScope, keyScopes } from "../../../protocol/roles.ts";
import type { Actor, KeyActor } from "../../../vault/tenancy/actor.ts";
import { listAudit, verifyAudit } from "../../../vault/audit/audit.ts";
import { type KeyExpiry, setKeyPolicy } from "../../../vault/platform-keys/key-policies.ts";
import {
  changeKey,
  createOrganizationKey,
  createProjectKey,
  deleteKey,
  type IssuedKey,
  listOrganizationKeys,
  listProjectKeys,
  revokeKey,
  rotateKey,
} from "../../../vault/platform-keys/keys.ts";
import { createProject } from "../../../vault/tenancy/tenancy.ts";
import { codeOf, dumpOf, failureOf, issuer, later, now, openWorld, type World } from "./keys-world.ts";

let world: World;
let organizationId: string;
let projectId: string;

beforeAll(async () => {
  world = await openWorld();
  ({ organizationId, projectId } = world);
});
afterAll(async () => await world.dispose());
beforeEach(async () => await setPolicy(false, null));

const setPolicy = async (expiryRequired: boolean, expiryDaysMax: number | null): Promise<void> =>
  await setKeyPolicy(world.as("admin"), { organizationId, expiryRequired, expiryDaysMax });

async function organizationKey(
  more: Partial<Parameters<typeof createOrganizationKey>[1]> = {},
  actor: string | Actor = "admin",
): Promise<IssuedKey> {
  const usual = {
    organizationId,
    access: "all",
    name: "Org",
    scopes: ["trigger"],
    expiry: "none",
    issuer,
    now,
  } as const;
  return await createOrganizationKey(world.as(actor), { ...usual, ...more });
}

async function listedIn(project: string): Promise<string[]> {
  const keys = await listProjectKeys(world.as(), { projectId: project, now });
  return keys.map(({ id, inherited }) => `${id}${inherited ? " inherited" : ""}`);
}

describe("making a key", () => {
  test("requirement 44: asks for name, scope and expiry, and gives them back", async () => {
    const { key, metadata } = await world.projectKey({
      name: "Nightly",
      scopes: ["read:runs", "trigger"],
      expiry: { days: 7 },
    });
    expect(key).toMatch(/^sk-eu_/);
    expect(metadata).toMatchObject({
      projectId,
      organizationId,
      name: "Nightly",
      scopes: ["trigger", "read:runs"],
      expiresAt: later(7),
      access: "project",
      state: "active",
      inherited: false,
      createdBy: { kind: "person", id: "editor" },
      createdAt: now,
      lastUsedAt: null,
      region: "eu",
      hint: `sk-eu_…${key.slice(-4)}`,
    });
  });

  test.each<[string, Partial<Parameters<typeof createProjectKey>[1]>, string]>([
    ["no name", { name: "" }, "0 characters"],
    ["a name too long", { name: "x".repeat(201) }, "201 characters"],
    ["NUL in its name", { name: "a\0b" }, "3 characters"],
    ["no scope", { scopes: [] }, "trigger, read:runs"],
    ["a scope that is none", { scopes: ["trigger", "everything" as KeyScope] }, "trigger, read:runs"],
  ])("is refused with %s", async (_, more, figure) => {
    const failure = await failureOf(world.projectKey(more));
    expect(failure).toMatchObject({ code: "ERR_KEY_INVALID", message: expect.stringContaining(figure) });
  });

  test.each<[string, KeyExpiry, string]>([
    ["no expiry", "none", "ok"],
    ["7 days", { days: 7 }, "ok"],
    ["90 days", { days: 90 }, "ok"],
    ["6 days", { days: 6 }, "ERR_KEY_EXPIRY_INVALID"],
    ["91 days", { days: 91 }, "ERR_KEY_EXPIRY_INVALID"],
    ["7.5 days", { days: 7.5 }, "ERR_KEY_EXPIRY_INVALID"],
    ["a number of days that is none", { days: Number.NaN }, "ERR_KEY_EXPIRY_INVALID"],
    ["a date in 7 days", { date: later(7) }, "ok"],
    ["a date in 90 days", { date: later(90) }, "ok"],
    ["a date that is a millisecond too soon", { date: new Date(later(7).getTime() - 1) }, "ERR_KEY_EXPIRY_INVALID"],
    ["a date that is a millisecond too late", { date: new Date(later(90).getTime() + 1) }, "ERR_KEY_EXPIRY_INVALID"],
    ["a date that is none", { date: new Date("never") }, "ERR_KEY_EXPIRY_INVALID"],
  ])("requirement 46: expiry is none or 7 to 90 days: %s", async (_, expiry, answer) => {
    expect(await codeOf(world.projectKey({ expiry }))).toBe(answer);
  });

  test("requirement 51: a policy requires an expiry, caps it, and a cap rules out none", async () => {
    const codes = async (): Promise<string[]> =>
      await Promise.all(
        (["none", { days: 30 }, { days: 31 }] as const).map(
          async (expiry) => await codeOf(world.projectKey({ expiry })),
        ),
      );
    await setPolicy(true, null);
    expect(await codes()).toEqual(["ERR_KEY_EXPIRY_INVALID", "ok", "ok"]);
    await setPolicy(false, 30);
    expect(await codes()).toEqual(["ERR_KEY_EXPIRY_INVALID", "ok", "ERR_KEY_EXPIRY_INVALID"]);
    expect(await codeOf(organizationKey())).toBe("ERR_KEY_EXPIRY_INVALID");
    for (const cap of [6, 91, 7.5]) expect(await codeOf(setPolicy(false, cap))).toBe("ERR_KEY_EXPIRY_INVALID");
    await expect(
      setKeyPolicy(world.as("editor"), { organizationId, expiryRequired: false, expiryDaysMax: null }),
    ).rejects.toThrow("your role is organization member");
  });

  test("requirement 47: the value is given once and is in no table, list or audit event", async () => {
    const { key, metadata } = await world.projectKey();
    const rotated = await rotateKey(world.as("editor"), {
      place: { projectId },
      keyId: metadata.id,
      expiry: "none",
      graceDays: 1,
      issuer,
      now,
    });
    const lists = JSON.stringify([
      await listProjectKeys(world.as("editor"), { projectId }),
      await listAudit(world.database, { organizationId, limit: 1_000 }),
    ]);
    const everything = (await dumpOf(world)) + lists;
    expect(everything).toContain(metadata.hint);
    for (const value of [key, rotated.key]) {
      const random = value.slice(6, -6);
      for (const encoding of ["utf8", "hex", "base64"] as const)
        expect(everything.includes(Buffer.from(random).toString(encoding))).toBe(false);
    }
  });

  test("requirement 45: no key makes, lists, changes or ends keys with trigger alone, and none makes them with any scope", async () => {
    const { metadata } = await world.projectKey();
    const answers = async (scopes: readonly KeyScope[]): Promise<string[]> => {
      const actor: KeyActor = { kind: "key", id: metadata.id, organizationId, projects: "all", scopes };
      const [place, keyId, expiry] = [{ projectId }, metadata.id, { days: 90 }];
      const context = world.as(actor);
      const work = [
        createProjectKey(context, { projectId, name: "Child", scopes: keyScopes, expiry, issuer }),
        organizationKey({ scopes: keyScopes }, actor),
        rotateKey(context, { place, keyId, expiry, graceDays: 30, issuer }),
        changeKey(context, { place, keyId, scopes: keyScopes }),
        revokeKey(context, { place, keyId }),
        deleteKey(context, { place, keyId }),
        listProjectKeys(context, { projectId }),
      ];
      return await Promise.all(work.map(codeOf));
    };
    const refusals = Array.from({ length: 6 }, () => "ERR_FORBIDDEN");
    expect(await answers(["trigger"])).toEqual([...refusals, "ERR_FORBIDDEN"]);
    expect(await answers(keyScopes)).toEqual([...refusals, "ok"]);
    expect(await world.answer((await world.projectKey()).key)).toBe("ok");
  });

  test.each([
    ["outsider", "ERR_PROJECT_UNKNOWN"],
    ["viewer", "ERR_FORBIDDEN"],
    ["builder", "ERR_FORBIDDEN"],
    ["editor", "ok"],
    ["admin", "ok"],
  ])("is for those who may change a project's keys: %s", async (who, answer) => {
    const wanted = { projectId, name: "Mine", scopes: ["trigger"], expiry: "none", issuer } as const;
    expect(await codeOf(createProjectKey(world.as(who), wanted))).toBe(answer);
    expect(await codeOf(organizationKey({}, who))).toBe(who === "admin" ? "ok" : "ERR_FORBIDDEN");
  });
});

describe("a list of keys", () => {
  test("requirement 40: a project's has its own keys and those that it inherits", async () => {
    const project = (await createProject(world.database, organizationId, "Listed")).id;
    const mine = await createProjectKey(world.as("admin"), {
      projectId: project,
      name: "Own",
      scopes: ["trigger"],
      expiry: "none",
      issuer,
      now,
    });
    const all = await organizationKey();
    const listed = await listedIn(project);
    expect(listed).toEqual(expect.arrayContaining([mine.metadata.id, `${all.metadata.id} inherited`]));
    expect(await listedIn(project.toUpperCase())).toEqual(listed);
  });

  test("requirement 42: an organization's key is in the lists of the projects that it covers, and in no other", async () => {
    const selected = await organizationKey({ access: [world.otherProjectId] });
    const all = await organizationKey();
    expect(selected.metadata).toMatchObject({ access: "selected", projectIds: [world.otherProjectId] });
    expect(await listedIn(world.otherProjectId)).toContain(`${selected.metadata.id} inherited`);
    expect(await listedIn(projectId)).not.toContain(`${selected.metadata.id} inherited`);
    expect(await listedIn(projectId)).toContain(`${all.metadata.id} inherited`);
    expect((await listedIn(world.foreignProjectId)).length).toBe(0);
    const theirs = await listOrganizationKeys(world.as(), { organizationId: world.foreignOrganizationId });
    expect(theirs).toEqual([]);
  });

  test.each([
    ["none", () => []],
    ["one of another organization", () => [world.foreignProjectId]],
    ["one of its own and one of another organization", () => [projectId, world.foreignProjectId]],
  ])("an organization's key cannot select the projects: %s", async (_, access) => {
    expect(await codeOf(organizationKey({ access: access() }))).toBe("ERR_KEY_INVALID");
  });

  test("a project does not learn from an inherited key which other projects it covers", async () => {
    const { metadata } = await organizationKey({ access: [projectId, world.otherProjectId] });
    const inherited = (await listProjectKeys(world.as("builder"), { projectId, now })).find(
      ({ id }) => id === metadata.id,
    );
    expect(inherited).toMatchObject({ access: "selected", inherited: true });
    expect(JSON.stringify(inherited)).not.toContain(world.otherProjectId);
  });

  test("requirement 48: it has metadata only", async () => {
    const { metadata } = await world.projectKey({ expiry: { days: 7 } });
    const listed = (await listProjectKeys(world.as("builder"), { projectId, now })).find(
      ({ id }) => id === metadata.id,
    );
    expect(listed).toEqual(metadata);
    expect(Object.keys(listed!).sort()).toEqual(
      [
        "id",
        "organizationId",
        "projectId",
        "name",
        "scopes",
        "access",
        "region",
        "hint",
        "state",
        "inherited",
        "createdBy",
        "createdAt",
        "expiresAt",
        "revokedAt",
        "rotatedFrom",
        "rotatedTo",
        "lastUsedAt",
      ].sort(),
    );
  });
});

describe("an inherited key", () => {
  test("requirement 43: is changed, rotated, revoked and deleted in the organization only", async () => {
    const { key, metadata } = await organizationKey();
    const [place, keyId, context] = [{ projectId }, metadata.id, world.as("owner")];
    const rotation = { keyId, expiry: "none", graceDays: 0, issuer, now } as const;
    const tries = [
      changeKey(context, { place, keyId, name: "Mine now", scopes: keyScopes }),
      rotateKey(context, { place, ...rotation }),
      revokeKey(context, { place, keyId }),
      deleteKey(context, { place, keyId }),
    ];
    expect(await Promise.all(tries.map(codeOf))).toEqual(Array.from({ length: 4 }, () => "ERR_KEY_INHERITED"));
    expect(await world.answer(key)).toBe("ok");

    const top = { organizationId };
    await expect(
      changeKey(context, { place: top, keyId, name: "Renamed", access: [projectId] }),
    ).resolves.toMatchObject({
      name: "Renamed",
      access: "selected",
      projectIds: [projectId],
    });
    expect(await codeOf(rotateKey(context, { place: top, ...rotation }))).toBe("ok");
    expect(await codeOf(deleteKey(context, { place: top, keyId }))).toBe("ok");
  });

  test("that does not cover the project, and a key of another project, answer like one that is not there", async () => {
    const selected = await organizationKey({ access: [world.otherProjectId] });
    const other = await createProjectKey(world.as("admin"), {
      projectId: world.otherProjectId,
      name: "Other",
      scopes: ["trigger"],
      expiry: "none",
      issuer,
    });
    for (const keyId of [selected.metadata.id, other.metadata.id, createId(), other.key]) {
      const failure = await failureOf(deleteKey(world.as("owner"), { place: { projectId }, keyId }));
      expect(failure).toMatchObject({ code: "ERR_KEY_ID_UNKNOWN", message: "Cannot find the key: no such id here" });
    }
    const inOrganization = { place: { organizationId }, keyId: other.metadata.id };
    expect(await codeOf(deleteKey(world.as("owner"), inOrganization))).toBe("ERR_KEY_ID_UNKNOWN");
  });
});

describe("ending a key", () => {
  test("requirement 49: a deleted project key stops at once and leaves the list", async () => {
    const { key, metadata } = await world.projectKey();
    expect(await world.answer(key)).toBe("ok");
    await deleteKey(world.as("editor"), { place: { projectId: projectId.toUpperCase() }, keyId: metadata.id, now });
    expect(await world.answer(key)).toBe("ERR_KEY_REVOKED");
    expect(await listedIn(projectId)).not.toContain(metadata.id);
  });

  test("a revoked key stays listed with the time of its first revocation, and is neither changed nor rotated", async () => {
    const { metadata } = await world.projectKey();
    const [place, keyId, context] = [{ projectId }, metadata.id, world.as("editor")];
    await revokeKey(context, { place, keyId, now });
    await revokeKey(context, { place, keyId, now: later(1) });
    const listed = (await listProjectKeys(context, { projectId })).find(({ id }) => id === keyId);
    expect(listed).toMatchObject({ state: "revoked", revokedAt: now });
    expect(await codeOf(changeKey(context, { place, keyId, name: "New" }))).toBe("ERR_KEY_REVOKED");
    const rotation = rotateKey(context, { place, keyId, expiry: "none", graceDays: 0, issuer });
    expect(await codeOf(rotation)).toBe("ERR_KEY_REVOKED");
  });
});

describe("what was done to keys", () => {
  test("is in the audit log with denials, by ids and hints, and the log verifies", async () => {
    const { metadata } = await world.projectKey({ name: "Audited" });
    const [place, keyId] = [{ projectId }, metadata.id];
    await rotateKey(world.as("editor"), { place, keyId, expiry: { days: 30 }, graceDays: 2, issuer, now });
    await codeOf(deleteKey(world.as("viewer"), { place, keyId }));
    await deleteKey(world.as("editor"), { place, keyId });
    const events = await listAudit(world.database, { organizationId, projectId, limit: 4 });
    expect(events.map(({ event, outcome, actor }) => [event, outcome, actor.id])).toEqual([
      ["key.deleted", "success", "editor"],
      ["key.deleted", "denied", "viewer"],
      ["key.rotated", "success", "editor"],
      ["key.created", "success", "editor"],
    ]);
    expect(events[3]).toMatchObject({
      target: [{ type: "key", id: keyId, name: "Audited" }],
      details: { scopes: "trigger", hint: metadata.hint, expiresAt: null },
    });
    expect(events[2]).toMatchObject({ details: { graceDays: 2, expiresAt: later(30).toISOString() } });
    const verdict = await verifyAudit(world.database, Buffer.alloc(32, 7), { organizationId });
    expect(verdict.broken).toBeUndefined();
  });
});
