/**
 * Goal: each change of a secret has its event in its own transaction, with no value in it, and is made by those only whom the
 * table of roles allows. Real PostgreSQL, where triggers end changes in the middle.
 */
import { beforeEach, describe, expect, test } from "vitest";
import { actions, type Action, type Capacity, keyScopes, type KeyScope } from "../../../protocol/roles.ts";
import type { Place } from "../../../vault/tenancy/authorize.ts";
import type { Vault } from "../../../vault/vault.ts";
import { addPeople, people, sealed, useSecretWorld } from "./secret-world.ts";

const world = useSecretWorld();
const [first, second, third] = ["canary-first-value", "canary-second-value", "canary-third-value"];
const expiresAt = new Date(Date.now() + 3_600_000);

interface Change {
  readonly event: string;
  readonly work: (secrets: Vault["secrets"], place: Place) => Promise<unknown>;
  readonly says?: object;
  readonly name?: string;
}

const name = "KEY";
const changes: readonly Change[] = [
  {
    event: "secret.set",
    name: "NEW",
    work: async ({ set }, place) => await set({ place, name: "NEW", value: third, policy: sealed, endUnusedHours: 5 }),
    says: { sealed: true, endUnusedHours: 5 },
  },
  {
    event: "secret.set",
    work: async ({ set }, place) => await set({ place, name, value: third, expiresAt, rotationDays: 9 }),
    says: { changed: "expiresAt, rotationDays", expiresAt: expiresAt.toISOString(), rotationDays: 9 },
  },
  {
    event: "secret.policy.set",
    work: async ({ setPolicy }, place) => await setPolicy({ place, name, policy: sealed }),
    says: { sealed: true, hosts: 1 },
  },
  {
    event: "secret.change",
    work: async ({ change }, place) =>
      await change({ place, name, description: "canary", tags: ["canary"], expiresAt: null }),
    says: { changed: "description, tags, expiresAt", expiresAt: null },
  },
  { event: "secret.disable", work: async (secrets, place) => await secrets.switch({ place, name, enabled: false }) },
  { event: "secret.enable", work: async (secrets, place) => await secrets.switch({ place, name, enabled: true }) },
  {
    event: "secret.rollback",
    work: async (secrets, place) => await secrets.rollback({ place, name, toVersion: 1 }),
    says: { toVersion: 1 },
  },
  { event: "secret.delete", work: async (secrets, place) => await secrets.delete({ place, name }) },
  { event: "secret.restore", work: async ({ restore }, place) => await restore({ place, name }) },
  {
    event: "secret.destroy",
    work: async ({ destroy }, place) => await destroy({ place, name, versions: [1] }),
    says: { whole: false, versions: "1" },
  },
  {
    event: "secret.destroy",
    work: async ({ destroy }, place) => await destroy({ place, name }),
    says: { whole: true, versions: "1, 2" },
  },
];

beforeEach(async () => {
  await addPeople(world);
  for (const value of [first, second]) await world.vault.secrets.set({ place: world.place, name, value });
});

const actor = { kind: "person", id: "project admin" } as const;

describe.each(changes)("$event ($says)", (change) => {
  const make = async (): Promise<unknown> => await change.work(world.vault.as(actor).secrets, world.place);

  test("has one event, which says who did what to which secret", async () => {
    const events = await world.eventsDuring(make);
    expect(events).toMatchObject([
      {
        event: change.event,
        outcome: "success",
        class: "management",
        actor,
        projectId: world.projectId,
        target: [{ type: "secret", id: expect.stringMatching(/^[0-9a-f-]{36}$/), name: change.name ?? name }],
        ...(change.says && { details: change.says }),
      },
    ]);
    expect(JSON.stringify(events)).not.toContain("canary");
  });

  test.each(["insert on audit_events", "update on audit_heads", "insert or update on secret_manifests"])(
    "leaves nothing, and no event, when the database refuses: %s",
    async (what) => {
      const before = await world.dump();
      await world.whileRefusing(what, async () => {
        await world.failure(make());
        expect((await world.dump()) === before).toBe(true);
      });
      await make();
      expect((await world.dump()) === before).toBe(false);
    },
  );

  test("leaves nothing, and no success, when it is not allowed", async () => {
    const rows = async (): Promise<string[]> =>
      (await world.dump()).split("\n").filter((row) => !row.startsWith("audit_"));
    const before = await rows();
    const { secrets } = world.vault.as({ kind: "person", id: "viewer" });
    const events = await world.eventsDuring(async () =>
      expect(await world.codeOf(change.work(secrets, world.place))).toBe("ERR_FORBIDDEN"),
    );
    expect(events.filter(({ outcome }) => outcome !== "denied")).toEqual([]);
    expect((await rows()).join("\n") === before.join("\n")).toBe(true);
  });
});

/** What each thing takes in a project, as asked of a secret that is not there: allowed or not is all that differs. */
const asked: readonly (readonly [
  string,
  "list" | "write" | "destroy" | "reveal",
  (secrets: Vault["secrets"], place: Place) => Promise<unknown>,
])[] = [
  ["set", "write", async (secrets, place) => await secrets.set({ place, name: "NONE", value: first, ifVersion: 9 })],
  ["setPolicy", "write", async (secrets, place) => await secrets.setPolicy({ place, name: "NONE", policy: {} })],
  ["change", "write", async (secrets, place) => await secrets.change({ place, name: "NONE", tags: [] })],
  ["switch", "write", async (secrets, place) => await secrets.switch({ place, name: "NONE", enabled: true })],
  ["rollback", "write", async (secrets, place) => await secrets.rollback({ place, name: "NONE", toVersion: 1 })],
  ["delete", "write", async (secrets, place) => await secrets.delete({ place, name: "NONE" })],
  ["restore", "write", async (secrets, place) => await secrets.restore({ place, name: "NONE" })],
  ["destroy", "destroy", async (secrets, place) => await secrets.destroy({ place, name: "NONE" })],
  ["reveal", "reveal", async (secrets, place) => await secrets.reveal({ place, name: "NONE" })],
  ["list", "list", async (secrets, place) => await secrets.list({ place })],
  ["tombstones", "list", async (secrets, place) => await secrets.tombstones({ place })],
  ["verify", "list", async (secrets, place) => await secrets.verify(place)],
  ["versions", "list", async (secrets, place) => await secrets.versions({ place, name: "NONE" })],
];

const answer = async (work: Promise<unknown>): Promise<string> =>
  await work.then(
    () => "allowed",
    (error: unknown) => (error as { code: string }).code.replace(/^ERR_SECRET_(UNKNOWN|VERSION_CONFLICT)$/, "allowed"),
  );

describe("who may", () => {
  test.each(asked)("%s is what the table of roles says", async (_, what, work) => {
    for (const person of Object.keys(people) as Capacity[]) {
      const { secrets } = world.vault.as({ kind: "person", id: person });
      const allowedIn = (action: Action): boolean => (actions[action].allowed as readonly Capacity[]).includes(person);
      const inProject = person === "organization member" ? "ERR_PROJECT_UNKNOWN" : "ERR_FORBIDDEN";
      expect([person, await answer(work(secrets, world.place))]).toEqual([
        person,
        allowedIn(`secret.${what}`) ? "allowed" : inProject,
      ]);
      expect([person, await answer(work(secrets, world.organization))]).toEqual([
        person,
        allowedIn(`organization.secrets.${what}`) ? "allowed" : "ERR_FORBIDDEN",
      ]);
    }
  });

  test.each(asked)("%s with a key is what the table of scopes says", async (_, what, work) => {
    for (const scope of keyScopes) {
      const key = {
        kind: "key",
        id: "key",
        organizationId: world.organizationId,
        projects: "all",
        scopes: [scope],
      } as const;
      const { secrets } = world.vault.as(key);
      const may = (action: Action): string =>
        (actions[action].scopes as readonly KeyScope[]).includes(scope) ? "allowed" : "ERR_FORBIDDEN";
      expect([scope, await answer(work(secrets, world.place))]).toEqual([scope, may(`secret.${what}`)]);
      // A place that names both is the organization's.
      for (const place of [world.organization, { ...world.place, ...world.organization }])
        expect([scope, await answer(work(secrets, place))]).toEqual([scope, may(`organization.secrets.${what}`)]);
      const elsewhere = world.vault.as({ ...key, projects: [] }).secrets;
      expect(await answer(work(elsewhere, world.place))).toBe("ERR_PROJECT_UNKNOWN");
      expect(await answer(work(elsewhere, world.organization))).toBe("ERR_ORGANIZATION_UNKNOWN");
    }
  });
});
