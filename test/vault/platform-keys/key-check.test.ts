/**
 * A presented key: what it may do, or why not. Goal: nothing that ended works again, nobody without a key learns about it,
 * and a key reaches what it covers. Method: tables of refusals in their order; a model of a key's life against the real
 * one over random lives; defects of other products are named where a test is for one.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Queryable } from "../../../database/server.ts";
import { type Action, actions, type KeyScope, keyScopes } from "../../../protocol/roles.ts";
import { authorize } from "../../../vault/tenancy/authorize.ts";
import { checkKey } from "../../../vault/platform-keys/key-check.ts";
import { generateKey } from "../../../vault/platform-keys/key-format.ts";
import { type KeyExpiry, setKeyPolicy } from "../../../vault/platform-keys/key-policies.ts";
import {
  createOrganizationKey,
  createProjectKey,
  deleteKey,
  type IssuedKey,
  type KeyMetadata,
  listProjectKeys,
  revokeKey,
  rotateKey,
} from "../../../vault/platform-keys/keys.ts";
import { removeOrganizationMember, setOrganizationMember } from "../../../vault/tenancy/members.ts";
import { codeOf, failureOf, issuer, later, now, openWorld, pepper, type World } from "./keys-world.ts";

let world: World;
let organizationId: string;
let projectId: string;

beforeAll(async () => {
  world = await openWorld();
  ({ organizationId, projectId } = world);
});
afterAll(async () => await world.dispose());

const rotate = async (keyId: string, more: Partial<Parameters<typeof rotateKey>[1]> = {}): Promise<IssuedKey> => {
  const usual = { place: { projectId }, keyId, expiry: "none", graceDays: 1, issuer, now } as const;
  return await rotateKey(world.as("editor"), { ...usual, ...more });
};

const listed = async (id: string, at = now): Promise<KeyMetadata | undefined> =>
  (await listProjectKeys(world.as(), { projectId, now: at })).find((key) => key.id === id);

async function organizationKey(access: "all" | readonly string[], scopes: readonly KeyScope[]): Promise<IssuedKey> {
  const wanted = { organizationId, access, name: "Org", scopes, expiry: "none", issuer, now } as const;
  return await createOrganizationKey(world.as("admin"), wanted);
}

/** The actions that a key may do in a place. */
async function allowedFor(key: string, place: Parameters<typeof authorize>[3]): Promise<Action[]> {
  const { actor } = await world.check(key);
  const every = Object.keys(actions) as Action[];
  const answers = await Promise.all(
    every.map(async (action) => await codeOf(authorize(world.database, actor, action, place))),
  );
  return every.filter((_, index) => answers[index] === "ok");
}

describe("what a key reaches", () => {
  test("requirements 28, 29, 41: a project key with every scope reaches its project and nothing outside it", async () => {
    const wanted = { projectId, name: "All", scopes: keyScopes, expiry: "none", issuer, now } as const;
    const { key } = await createProjectKey(world.as("admin"), wanted);
    const may = await allowedFor(key, { projectId });
    expect(may).toEqual(expect.arrayContaining(["run.trigger", "run.read", "secret.write", "project.manage"]));
    for (const place of [
      { projectId: world.otherProjectId },
      { projectId: world.foreignProjectId },
      { organizationId },
      { organizationId: world.foreignOrganizationId },
    ]) {
      expect(await allowedFor(key, place)).toEqual([]);
    }
  });

  test("requirements 39, 45: with trigger alone it starts runs and uses secrets in them, every other action is refused", async () => {
    const { key } = await world.projectKey({ scopes: ["trigger"] });
    expect(await allowedFor(key, { projectId })).toEqual(["secret.reference", "run.trigger"]);
  });

  test("requirements 42, 50: project keys and organization keys work for the projects that they cover", async () => {
    const [own, all, selected] = [
      await world.projectKey(),
      await organizationKey("all", ["trigger"]),
      await organizationKey([world.otherProjectId], ["trigger"]),
    ];
    const reach = async (key: string): Promise<boolean[]> =>
      await Promise.all(
        [projectId, world.otherProjectId, world.foreignProjectId].map(
          async (id) => (await allowedFor(key, { projectId: id })).length > 0,
        ),
      );
    expect(await reach(own.key)).toEqual([true, false, false]);
    expect(await reach(all.key)).toEqual([true, true, false]);
    expect(await reach(selected.key)).toEqual([false, true, false]);
  });

  test("a key outlives the membership of whoever made it, as it is the project's and not theirs", async () => {
    const member = { organizationId, personId: "leaver", name: "Leaver", role: "admin" } as const;
    await setOrganizationMember(world.database, member);
    const wanted = { organizationId, access: "all", name: "Org", scopes: ["trigger"], expiry: "none", issuer } as const;
    const { key } = await createOrganizationKey(world.as("leaver"), wanted);
    await removeOrganizationMember(world.database, member);
    expect(await world.answer(key)).toBe("ok");
  });
});

describe("a refusal", () => {
  test("comes in the order: form, checksum, region, unknown, revoked, expired, browser", async () => {
    const { key, metadata } = await world.projectKey({ expiry: { days: 7 } });
    const everything = { region: "us", browser: {}, now: later(8) } as const;
    const broken = key.slice(0, -1) + (key.endsWith("0") ? "1" : "0");
    expect(await world.answer(`${broken}!`, everything)).toBe("ERR_KEY_MALFORMED");
    expect(await world.answer(broken, everything)).toBe("ERR_KEY_CHECKSUM");
    expect(await world.answer(key, everything)).toBe("ERR_KEY_REGION");
    const here = { ...everything, region: "eu" } as const;
    expect(await world.answer(generateKey("project", "eu"), here)).toBe("ERR_KEY_UNKNOWN");
    expect(await world.answer(key, here)).toBe("ERR_KEY_EXPIRED");
    await revokeKey(world.as("editor"), { place: { projectId }, keyId: metadata.id, now });
    expect(await world.answer(key, here)).toBe("ERR_KEY_REVOKED");
  });

  test("requirement 32: a key of another region is told which is its own", async () => {
    const { key } = await world.projectKey({ issuer: { ...issuer, region: "au" } });
    const failure = await failureOf(world.check(key, { region: "us" }));
    expect(failure.message).toContain("it is of the region au, and this is us");
    expect(await world.answer(key, { region: "au" })).toBe("ok");
  });

  test("of form, checksum and region needs no database", async () => {
    const unneeded = (): never => expect.unreachable("no statement is needed");
    const context = { database: { query: unneeded, transaction: unneeded }, withAuditKey: unneeded };
    const key = generateKey("project", "eu");
    for (const text of ["", key.slice(1), `${key.slice(0, 20)}0${key.slice(20)}`, key.replace("-eu", "-au"), key])
      await expect(checkKey(context, pepper, { key: text, region: "us" })).rejects.toThrow("Cannot use the key");
  });

  test("never repeats more of a key than its hint", async () => {
    const { key, metadata } = await world.projectKey({ expiry: { days: 7 } });
    const messages: string[] = [];
    for (const [text, more] of [
      [key.slice(0, -1), {}],
      [`${key.slice(0, 6)}${generateKey("project", "eu").slice(6, -6)}${key.slice(-6)}`, {}],
      [`Bearer ${key}`, {}],
      [key, { region: "us" }],
      [generateKey("organization", "eu"), {}],
      [key, { now: later(8) }],
      [key, { browser: { origin: "https://a.example" } }],
    ] as const) {
      const failure = await failureOf(world.check(text, more));
      messages.push(`${failure.message} ${failure.stack}`.replaceAll(metadata.hint, ""));
      const random = text.slice(text.indexOf("_") + 1, -4);
      for (let index = 0; index + 4 < random.length; index += 1)
        expect(messages.at(-1)).not.toContain(random.slice(index, index + 5));
    }
  });

  test("requirement 38: an sk- key from a browser is refused, and the refusal is no use of it", async () => {
    const { key, metadata } = await world.projectKey();
    expect(await world.answer(key, { browser: {} })).toBe("ERR_KEY_BROWSER");
    expect(await world.answer(key, { browser: { origin: "https://shop.example" } })).toBe("ERR_KEY_BROWSER");
    expect(await organizationKey("all", ["admin"]).then(({ key: org }) => world.answer(org, { browser: {} }))).toBe(
      "ERR_KEY_BROWSER",
    );
    expect((await listed(metadata.id))?.lastUsedAt).toBeNull();
  });
});

test("requirement 46: an expired key is refused from its very end, and stays listed as expired (better-auth deletes it)", async () => {
  const { key, metadata } = await world.projectKey({ expiry: { days: 7 } });
  expect(await world.answer(key, { now: new Date(later(7).getTime() - 1) })).toBe("ok");
  expect(await world.answer(key, { now: later(7) })).toBe("ERR_KEY_EXPIRED");
  expect(await world.answer(key, { now: later(400) })).toBe("ERR_KEY_EXPIRED");
  expect(await listed(metadata.id, later(7))).toMatchObject({ state: "expired", expiresAt: later(7) });
});

test("keys under an earlier pepper work while it is given, and not under another one", async () => {
  const { key } = await world.projectKey();
  const next = { version: 2, key: Buffer.alloc(32, 2) };
  const check = async (given: Parameters<typeof checkKey>[1]): Promise<string> =>
    await codeOf(checkKey(world.as(), given, { key, region: "eu", now }));
  expect(await check(next)).toBe("ERR_KEY_UNKNOWN");
  expect(await check({ ...next, earlier: [pepper] })).toBe("ok");
});

describe("last use", () => {
  test("is written to the minute, at most once a minute, and never goes back", async () => {
    const { key, metadata } = await world.projectKey();
    const at = (text: string): Date => new Date(`2026-11-21T${text}Z`);
    const version = async (): Promise<unknown> =>
      (await world.database.query("select xmin::text, last_used_at from platform_keys where id = $1", [metadata.id]))
        .rows[0];
    await world.check(key, { now: at("12:00:30.500") });
    const first = await version();
    expect(first).toMatchObject({ last_used_at: at("12:00:00.000") });
    for (const time of ["12:00:59.999", "12:00:00.000", "11:59:59.999"]) await world.check(key, { now: at(time) });
    expect(await version()).toEqual(first);
    await world.check(key, { now: at("12:01:00.000") });
    expect(await version()).toMatchObject({ last_used_at: at("12:01:00.000") });
  });

  test("is not put back by a check that began earlier and writes later", async () => {
    const { key, metadata } = await world.projectKey();
    const fiveLater = new Date(now.getTime() + 300_000);
    const slow: Queryable = {
      async query(statement, values) {
        const text = typeof statement === "string" ? statement : statement.text;
        if (text.startsWith("update platform_keys")) await world.check(key, { now: fiveLater });
        return await world.database.query(statement, values);
      },
    };
    const database = { ...slow, transaction: () => expect.unreachable("nothing is refused") };
    await checkKey({ ...world.as(), database }, pepper, { key, region: "eu", now });
    expect((await listed(metadata.id))?.lastUsedAt).toEqual(new Date("2026-11-21T12:05:00.000Z"));
  });
});

describe("rotation", () => {
  test("requirement 51: both keys work during the overlap, the old one says when it ends", async () => {
    const old = await world.projectKey({ name: "CI", scopes: ["trigger", "read:runs"] });
    expect((await world.check(old.key)).endsAt).toBeUndefined();
    const next = await rotate(old.metadata.id, { graceDays: 3, expiry: { days: 30 } });
    expect(next.metadata).toMatchObject({
      name: "CI",
      scopes: ["trigger", "read:runs"],
      rotatedFrom: old.metadata.id,
      expiresAt: later(30),
    });
    expect(await listed(old.metadata.id)).toMatchObject({ state: "rotated", rotatedTo: next.metadata.id });
    expect((await world.check(old.key)).endsAt).toEqual(later(3));
    expect((await world.check(next.key)).endsAt).toBeUndefined();
    expect(await world.answer(old.key, { now: later(3) })).toBe("ERR_KEY_EXPIRED");
    expect(await world.answer(next.key, { now: later(3) })).toBe("ok");
  });

  test("never lengthens the old key's life (Unkey sets it to the end of the overlap)", async () => {
    const old = await world.projectKey({ expiry: { days: 7 } });
    await rotate(old.metadata.id, { graceDays: 30 });
    expect(await listed(old.metadata.id)).toMatchObject({ expiresAt: later(7) });
    expect(await world.answer(old.key, { now: later(7) })).toBe("ERR_KEY_EXPIRED");
  });

  test("of an expired key gives a successor that lives, and leaves the old one dead (Unkey copies the dead expiry)", async () => {
    const old = await world.projectKey({ expiry: { days: 7 } });
    const next = await rotate(old.metadata.id, { now: later(10), graceDays: 30 });
    expect(await world.answer(old.key, { now: later(10) })).toBe("ERR_KEY_EXPIRED");
    expect(await world.answer(next.key, { now: later(10) })).toBe("ok");
    expect(next.metadata.expiresAt).toBeNull();
  });

  test("with no overlap ends the old key at once", async () => {
    const old = await world.projectKey();
    await rotate(old.metadata.id, { graceDays: 0 });
    expect(await world.answer(old.key)).toBe("ERR_KEY_EXPIRED");
  });

  test("of a rotated key is refused, and its successor is left alone (GitLab revokes it)", async () => {
    const old = await world.projectKey();
    const answers = await Promise.allSettled(Array.from({ length: 4 }, async () => await rotate(old.metadata.id)));
    const [next, ...more] = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
    expect(more).toEqual([]);
    expect(await codeOf(rotate(old.metadata.id))).toBe("ERR_KEY_ROTATED");
    expect(await world.answer(next!.key)).toBe("ok");
    expect(await listed(next!.metadata.id)).toMatchObject({ state: "active", expiresAt: null, revokedAt: null });
    expect(await listed(old.metadata.id)).toMatchObject({ expiresAt: later(1) });
    expect(await codeOf(rotate(next!.metadata.id))).toBe("ok");
  });

  test("keeps an organization key's projects", async () => {
    const old = await organizationKey([world.otherProjectId], ["trigger"]);
    const request = {
      place: { organizationId },
      keyId: old.metadata.id,
      expiry: "none",
      graceDays: 1,
      issuer,
      now,
    } as const;
    const next = await rotateKey(world.as("admin"), request);
    expect(next.metadata).toMatchObject({ access: "selected", projectIds: [world.otherProjectId] });
  });

  test("follows the policy of the day, and an overlap is 0 to 30 days", async () => {
    const old = await world.projectKey();
    const policy = { organizationId, expiryRequired: true, expiryDaysMax: 30 };
    await setKeyPolicy(world.as("admin"), policy);
    expect(await codeOf(rotate(old.metadata.id))).toBe("ERR_KEY_EXPIRY_INVALID");
    expect(await codeOf(rotate(old.metadata.id, { expiry: { days: 31 } }))).toBe("ERR_KEY_EXPIRY_INVALID");
    await setKeyPolicy(world.as("admin"), { ...policy, expiryRequired: false, expiryDaysMax: null });
    for (const graceDays of [-1, 30.5, Number.NaN])
      expect(await codeOf(rotate(old.metadata.id, { graceDays }))).toBe("ERR_KEY_EXPIRY_INVALID");
    expect(await listed(old.metadata.id)).toMatchObject({ state: "active", expiresAt: null, rotatedTo: null });
  });

  test("leaves no key in the clear for the overlap (Trigger.dev keeps the old one for a day)", async () => {
    const old = await world.projectKey();
    await rotate(old.metadata.id);
    const { rows } = await world.database.query<{ row: string }>("select t::text as row from platform_keys t");
    expect(rows.some(({ row }) => row.includes(old.key.slice(6, -6)))).toBe(false);
  });
});

describe("a key's life", () => {
  type Step = { readonly do: "wait" | "rotate" | "revoke" | "delete"; readonly which: number; readonly days: number };
  interface Model {
    readonly issued: IssuedKey;
    end: number;
    rotated: boolean;
    ended: "" | "revoked" | "deleted";
  }
  const steps = fc.array(
    fc.record({
      do: fc.constantFrom<Step["do"][]>("wait", "wait", "rotate", "rotate", "revoke", "delete"),
      which: fc.nat(),
      days: fc.nat(30),
    }),
    { minLength: 1, maxLength: 8 },
  );
  const expiries = fc.option(fc.integer({ min: 7, max: 90 }), { nil: Infinity });

  /** What the model says that a step comes to. */
  function expectedOf({ rotated, ended }: Model, { do: what }: Step): string {
    if (what === "wait") return "ok";
    if (ended === "deleted") return "ERR_KEY_ID_UNKNOWN";
    if (what !== "rotate") return "ok";
    if (rotated) return "ERR_KEY_ROTATED";
    return ended === "revoked" ? "ERR_KEY_REVOKED" : "ok";
  }

  /** Does a step to the real key, and to the model when it was done. */
  async function take(lives: Model[], step: Step, { day, expiry }: { day: number; expiry: number }): Promise<string> {
    const life = lives[step.which % lives.length]!;
    const at = { place: { projectId }, keyId: life.issued.metadata.id, now: later(day) };
    try {
      if (step.do === "rotate") {
        const issued = await rotate(at.keyId, { ...at, graceDays: step.days, expiry: wantedOf(expiry) });
        [life.rotated, life.end] = [true, Math.min(life.end, day + step.days)];
        lives.push({ issued, end: day + expiry, rotated: false, ended: "" });
      }
      if (step.do === "revoke") await revokeKey(world.as(), at);
      if (step.do === "delete") await deleteKey(world.as(), at);
      if (step.do === "revoke" || step.do === "delete") life.ended = `${step.do}d`;
      return "ok";
    } catch (error) {
      return (error as { code: string }).code;
    }
  }

  const wantedOf = (days: number): KeyExpiry => (days === Infinity ? "none" : { days });

  test("is what the model says after every step, and never begins again", async () => {
    await fc.assert(
      fc.asyncProperty(steps, expiries, async (taken, expiry) => {
        let day = 0;
        const first = await world.projectKey({ expiry: wantedOf(expiry) });
        const lives: Model[] = [{ issued: first, end: expiry, rotated: false, ended: "" }];
        const dead = new Set<string>();
        for (const step of taken) {
          if (step.do === "wait") day += step.days;
          const expected = expectedOf(lives[step.which % lives.length]!, step);
          expect(await take(lives, step, { day, expiry })).toBe(expected);
          for (const { issued, end, rotated, ended } of lives) {
            const expired = end <= day;
            const answer = await world.answer(issued.key, { now: later(day) });
            expect(answer).toBe(ended === "" ? (expired ? "ERR_KEY_EXPIRED" : "ok") : "ERR_KEY_REVOKED");
            const state = ended === "revoked" ? "revoked" : expired ? "expired" : rotated ? "rotated" : "active";
            const shown = await listed(issued.metadata.id, later(day));
            expect(shown?.state).toBe(ended === "deleted" ? undefined : state);
            expect(answer === "ok" && dead.has(issued.key)).toBe(false);
            if (answer !== "ok") dead.add(issued.key);
          }
        }
      }),
      { numRuns: 40 },
    );
  });
});
