/**
 * Goal: what is shown of a secret has its limits and never holds the value, whichever of the two was written first, and an
 * expiry counts from its millisecond on. Real PostgreSQL.
 */
import { beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import type { Metadata } from "../../../vault/secrets/secret-metadata.ts";
import { type SecretMetadata } from "../../../vault/secrets/secret-lists.ts";
import { createProject } from "../../helpers/vault.ts";
import { useSecretWorld } from "./secret-world.ts";

const world = useSecretWorld();
const value = "canary-the-value";

const set = async (text: string, more: object = {}): Promise<number> =>
  await world.vault.secrets.set({ place: world.place, name: "KEY", value: text, ...more });
const change = async (given: Metadata, place = world.place): Promise<void> =>
  await world.vault.secrets.change({ place, name: "KEY", ...given });
const listed = async (now?: Date): Promise<SecretMetadata> =>
  (await world.vault.secrets.list({ place: world.place, now }))[0]!;

beforeEach(async () => void (await set(value)));

describe("what is shown of a secret", () => {
  test("is changed alone, and what is not given stays, also with a new value", async () => {
    const expiresAt = new Date(Date.now() + 3_600_000);
    await change({ description: "For 🔑 billing", tags: ["billing", "prod: eu"], expiresAt, rotationDays: 30 });
    await change({ tags: ["billing"] });
    await set("canary-another-value");
    const { description, tags, rotationDays, tampered, ...more } = await listed();
    expect({ description, tags, rotationDays, tampered }).toEqual({
      description: "For 🔑 billing",
      tags: ["billing"],
      rotationDays: 30,
      tampered: false,
    });
    expect(more.expiresAt).toEqual(expiresAt);
    await change({ description: "", tags: [], expiresAt: null, rotationDays: null });
    expect(await listed()).toMatchObject({ description: "", tags: [], expiresAt: null, rotationDays: null });
  });

  test.each<[string, Metadata]>([
    ["500 characters", { description: "🔑".repeat(500) }],
    ["20 tags of 50 characters", { tags: Array.from({ length: 20 }, (_, at) => `${at}`.padEnd(50, "ä")) }],
    ["the longest reminder", { rotationDays: 3_650 }],
    ["the last time there is", { expiresAt: new Date(8.64e15) }],
  ])("may have %s", async (_, given) => {
    await change(given);
    expect(await listed()).toMatchObject({ ...given, tampered: false });
    await expect(world.use()).resolves.toBe(value);
  });

  test.each<[string, Metadata]>([
    ["501 characters", { description: "x".repeat(501) }],
    ["NUL", { description: "a\0b" }],
    ["half a surrogate pair", { description: "a\ud83d" }],
    ["21 tags", { tags: Array.from({ length: 21 }, (_, at) => `tag${at}`) }],
    ["a tag of 51 characters", { tags: ["x".repeat(51)] }],
    ["an empty tag", { tags: [""] }],
    ["a tag of two lines", { tags: ["a\nb"] }],
    ["a tag that ends a line", { tags: ["a\n"] }],
    ["markup in a tag", { tags: ["<script>"] }],
    ["a reminder at once", { rotationDays: 0 }],
    ["a reminder of half days", { rotationDays: 1.5 }],
    ["a reminder after ten years", { rotationDays: 3_651 }],
    ["a reminder that is no number", { rotationDays: Number.NaN }],
    ["an expiry that is over", { expiresAt: new Date(Date.now() - 1) }],
    ["an expiry that is no time", { expiresAt: new Date(Number.NaN) }],
    ["projects, as it is a project's own", { access: "all" }],
  ])("is refused with %s, in a change and with a value", async (_, given) => {
    expect(await world.codeOf(change(given))).toBe("ERR_SECRET_METADATA_INVALID");
    expect(await world.codeOf(set("canary-another-value", given))).toBe("ERR_SECRET_METADATA_INVALID");
    expect(await listed()).toMatchObject({
      version: 1,
      description: "",
      tags: [],
      rotationDays: null,
      expiresAt: null,
    });
  });
});

describe("the value itself is refused", () => {
  test.each<[string, Metadata]>([
    ["a description", { description: `it is ${value}, do not tell` }],
    ["a description in other letters", { description: value.toUpperCase() }],
    ["a tag", { tags: ["prod", value] }],
    ["the end of a tag", { tags: [`key:${value}`] }],
  ])("in %s, when it is written with, after or before the value", async (_, given) => {
    expect(await world.codeOf(change(given))).toBe("ERR_SECRET_METADATA_INVALID");
    expect(await world.codeOf(set(` ${value}\n`, given))).toBe("ERR_SECRET_METADATA_INVALID");
    await set("something else");
    await change(given);
    expect(await world.codeOf(set(value))).toBe("ERR_SECRET_METADATA_INVALID");
    await expect(world.use()).resolves.toBe("something else");
    // Other than the description, an earlier version is not shown: going back to it would show it.
    const back = { place: world.place, name: "KEY", toVersion: 1 };
    expect(await world.codeOf(world.vault.secrets.rollback(back))).toBe("ERR_SECRET_METADATA_INVALID");
    await change({ description: "", tags: [] });
    await expect(world.vault.secrets.rollback(back)).resolves.toBe(3);
  });

  test("unless it is so short that it is in ordinary words", async () => {
    await set("billing");
    await change({ description: "For billing" });
    await expect(set("billing")).resolves.toBe(3);
  });

  test("and of a destroyed value nothing is known", async () => {
    await world.vault.secrets.destroy({ place: world.place, name: "KEY", versions: [1] });
    await change({ description: "It was ended on Monday" });
    expect(await listed()).toMatchObject({ description: "It was ended on Monday", tampered: false });
  });
});

describe("an expiry", () => {
  const expiresAt = new Date(Date.now() + 60_000);
  const after = (ms: number): Date => new Date(expiresAt.getTime() + ms);

  test("ends the secret from its millisecond on", async () => {
    await change({ expiresAt });
    await expect(world.use("KEY", { now: after(-1) })).resolves.toBe(value);
    expect(await world.failure(world.use("KEY", { now: expiresAt }))).toMatchObject({
      code: "ERR_SECRET_EXPIRED",
      message: expect.stringContaining(expiresAt.toISOString()),
    });
    expect([(await listed(after(-1))).expired, (await listed(expiresAt)).expired]).toEqual([false, true]);
  });

  test("stays with a new value, and goes when it is taken away", async () => {
    await set(value, { expiresAt });
    await set(value);
    expect(await world.codeOf(world.use("KEY", { now: after(1) }))).toBe("ERR_SECRET_EXPIRED");
    await set(value, { expiresAt: null });
    await expect(world.use("KEY", { now: after(1) })).resolves.toBe(value);
  });
});

test("a reminder is due so many days after the version in use was made", async () => {
  await change({ rotationDays: 30 });
  const { rotationDueAt } = await listed();
  const [version] = await world.vault.secrets.versions({ place: world.place, name: "KEY" });
  expect(rotationDueAt!.getTime() - version!.createdAt.getTime()).toBe(30 * 86_400_000);
});

describe("the projects that may use an organization's secret", () => {
  const [inside, own] = ["canary-organization", "canary-project"];
  const name = "SHARED";

  test.each<[string, () => Promise<readonly string[]>, string]>([
    ["of another organization", async () => [(await otherProject()).id], "ERR_SECRET_METADATA_INVALID"],
    ["that are not there", async () => [createId()], "ERR_SECRET_METADATA_INVALID"],
    ["that are no ids", async () => ["canary"], "ERR_PROJECT_UNKNOWN"],
    [
      "one of which is the organization's own place",
      async () => [(await sharedProject())!],
      "ERR_SECRET_METADATA_INVALID",
    ],
  ])("cannot be ones %s", async (_, ids, code) => {
    await world.vault.secrets.set({ place: world.organization, name, value: inside });
    const access = [world.projectId, ...(await ids())];
    expect(await world.codeOf(world.vault.secrets.change({ place: world.organization, name, access }))).toBe(code);
    expect(await world.codeOf(world.use(name))).toBe("ERR_SECRET_NOT_GRANTED");
  });

  test("are none at first, then those that were named, once and in any letters, then all", async () => {
    const place = world.organization;
    await world.vault.secrets.set({ place, name: "FRESH", value: inside });
    expect(await world.codeOf(world.use("FRESH"))).toBe("ERR_SECRET_NOT_GRANTED");
    const access = [world.projectId, world.projectId.toUpperCase()];
    await world.vault.secrets.change({ place, name: "FRESH", access });
    await expect(world.use("FRESH")).resolves.toBe(inside);
    const other = await createProject(world.vault, world.organizationId, "Other");
    expect(await world.codeOf(world.use("FRESH", { projectId: other.id }))).toBe("ERR_SECRET_NOT_GRANTED");
    await world.vault.secrets.change({ place, name: "FRESH", access: "all" });
    await expect(world.use("FRESH", { projectId: other.id })).resolves.toBe(inside);
    await world.vault.secrets.set({ place: { projectId: other.id }, name: "FRESH", value: own });
    await expect(world.use("FRESH", { projectId: other.id })).resolves.toBe(own);
  });

  async function otherProject(): Promise<{ id: string }> {
    const { id } = await world.vault.tenancy.createOrganization("Other");
    return await createProject(world.vault, id, "Theirs");
  }

  async function sharedProject(): Promise<string | undefined> {
    const rows = await world.sql<{ id: string }>("select id from projects where shared and organization_id = $1", [
      world.organizationId,
    ]);
    return rows[0]?.id;
  }
});
