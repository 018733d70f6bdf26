/**
 * Sign-in links. Goal: a link signs one person in once and soon, whoever else has it later learns nothing more, and each
 * organization of the person can read about it. Method: links are used again, at once, late and in the place of sessions,
 * over real PostgreSQL.
 */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { addPepper } from "../../../vault/platform-keys/deployment-keys.ts";
import { openMasterKey } from "../../../vault/encryption/master-key.ts";
import { digestsOf } from "../../../vault/people/sign-in-tokens.ts";
import { openVault } from "../../../vault/vault.ts";
import { codeOf, dumpOf, failureOf } from "../platform-keys/keys-world.ts";
import { hourMs, later, minuteMs, now, openPeople, type People } from "./people-world.ts";

let people: People;
beforeAll(async () => {
  people = await openPeople();
});
afterAll(async () => await people.close());

const sample = "a".repeat(43);
const invalid = "ERR_SIGN_IN_LINK_INVALID";

describe("a sign-in link", () => {
  test("gives a session of the person it was made for", async () => {
    const { token, session } = await people.vault.people.signIn({ token: await people.link("bob"), now });
    expect(session).toMatchObject({ personId: "bob", createdAt: now });
    expect(await people.vault.people.checkSession({ token, now })).toMatchObject({ id: session.id, personId: "bob" });
  });

  test("works once, and says so to who comes second", async () => {
    const token = await people.link();
    await people.vault.people.signIn({ token, now });
    const failure = await failureOf(people.vault.people.signIn({ token, now: later(minuteMs) }));
    expect(failure).toMatchObject({ code: invalid, message: expect.stringContaining("used at 2026-11-21T12:00:30") });
    expect(failure.message).not.toContain(token);
  });

  test("presented twenty times at once gives one session", async () => {
    const token = await people.link("bob");
    const before = (await people.vault.people.listSessions({ personId: "bob", now })).length;
    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => await codeOf(people.vault.people.signIn({ token, now }))),
    );
    expect(answers.filter((answer) => answer === "ok")).toHaveLength(1);
    expect(answers.filter((answer) => answer === invalid)).toHaveLength(19);
    expect(await people.vault.people.listSessions({ personId: "bob", now })).toHaveLength(before + 1);
  });

  test("is over after fifteen minutes, and not a moment before", async () => {
    const [early, late] = [await people.link(), await people.link()];
    expect(await codeOf(people.vault.people.signIn({ token: early, now: later(15 * minuteMs - 1) }))).toBe("ok");
    const failure = await failureOf(people.vault.people.signIn({ token: late, now: later(15 * minuteMs) }));
    expect(failure).toMatchObject({ code: invalid, message: expect.stringContaining("its time was over") });
  });

  test("is no session, and a session is no link", async () => {
    const link = await people.link();
    expect(await codeOf(people.vault.people.checkSession({ token: link, now }))).toBe("ERR_UNAUTHENTICATED");
    const session = await people.session();
    expect(await codeOf(people.vault.people.signIn({ token: session.token, now }))).toBe(invalid);
  });

  test("and a session of the same characters would be stored as different bytes", () => {
    const pepper = { version: 1, key: Buffer.alloc(32, 1) };
    const [link, session] = [digestsOf(pepper, "sign-in link", sample), digestsOf(pepper, "session", sample)];
    expect([link.length, session.length]).toEqual([1, 1]);
    expect(link[0]!.equals(session[0]!)).toBe(false);
  });

  test.each([
    ["nothing", ""],
    ["a cut one", "a".repeat(42)],
    ["one that was never made", "a".repeat(43)],
    ["one with a NUL", `${"a".repeat(42)}\0`],
    ["one with a line break behind it", `${"a".repeat(43)}\n`],
    ["a megabyte", "a".repeat(1 << 20)],
  ])("that is %s is refused without repeating it", async (_what, token) => {
    const failure = await failureOf(people.vault.people.signIn({ token, now }));
    expect(failure.code).toBe(invalid);
    expect(failure.message.length).toBeLessThan(150);
  });

  test("is made by the operator only, and for an id that a person can have", async () => {
    const asAda = people.vault.as({ kind: "person", id: "ada" }).people;
    expect(await codeOf(asAda.createSignInLink({ personId: "ada", now }))).toBe("ERR_FORBIDDEN");
    const key = { kind: "key", id: "k", organizationId: people.organizationIds[0], projects: "all", scopes: ["admin"] };
    const asKey = people.vault.as(key as Parameters<typeof people.vault.as>[0]).people;
    expect(await codeOf(asKey.createSignInLink({ personId: "ada", now }))).toBe("ERR_FORBIDDEN");
    for (const personId of ["", "a\0b", "x".repeat(201)])
      expect(await codeOf(people.vault.people.createSignInLink({ personId, now }))).toBe("ERR_NAME_INVALID");
  });

  test("still works, and so do sessions, when a pepper was added meanwhile", async () => {
    const link = await people.link();
    const session = await people.session();
    const master = await openMasterKey(people.database, people.config);
    await addPepper(people.database, master);
    master.close();
    const reopened = await openVault(people.database, people.config);
    try {
      expect(await codeOf(reopened.people.signIn({ token: link, now }))).toBe("ok");
      expect(await codeOf(reopened.people.checkSession({ token: session.token, now }))).toBe("ok");
    } finally {
      reopened.close();
    }
  });
});

describe("what is kept of signing in", () => {
  test("the database holds no token of a link or a session, in any encoding of its bytes", async () => {
    const link = await people.link();
    const session = await people.session();
    const dump = await dumpOf(people);
    for (const token of [link, session.token]) {
      expect(dump).not.toContain(token);
      // Nor a part of it, nor what anybody can compute of it without the pepper.
      expect(dump).not.toContain(Buffer.from(token.slice(0, 16)).toString("hex"));
      expect(dump).not.toContain(Buffer.from(token).toString("base64"));
      expect(dump).not.toContain(createHash("sha256").update(token).digest("hex"));
    }
  });

  test("each organization of the person has an event of a sign-in, and of a link that is used again", async () => {
    const { token } = await people.vault.people.createSignInLink({ personId: "ada", now });
    const { session } = await people.vault.people.signIn({ token, now });
    await codeOf(people.vault.people.signIn({ token, now }));
    for (const organizationId of people.organizationIds) {
      const events = await people.events(organizationId);
      expect(events.find(({ target }) => target?.[0]?.id === session.id)).toMatchObject({
        event: "session.create",
        outcome: "success",
        actor: { kind: "person", id: "ada" },
      });
      const denied = events.filter(({ outcome }) => outcome === "denied");
      expect(denied.length).toBeGreaterThan(0);
      expect(denied[0]).toMatchObject({ event: "sign-in-link.presented", reason: invalid, actor: { id: "ada" } });
      expect(JSON.stringify(events)).not.toContain(token);
      expect((await people.vault.audit.verify({ organizationId })).broken).toBeUndefined();
    }
  });

  test("a flood of the same used link is one event a minute", async () => {
    const token = await people.link("bob");
    await people.vault.people.signIn({ token, now });
    const denials = async (): Promise<number> =>
      (await people.events()).filter(({ outcome, actor }) => outcome === "denied" && actor.id === "bob").length;
    await codeOf(people.vault.people.signIn({ token, now }));
    const before = await denials();
    for (let count = 0; count < 20; count += 1) await codeOf(people.vault.people.signIn({ token, now }));
    expect(await denials()).toBe(before);
  });

  test("somebody without an organization signs in all the same, and may nothing", async () => {
    const session = await people.session("nobody");
    const asNobody = people.vault.as({ kind: "person", id: "nobody" });
    expect(await asNobody.people.memberships()).toEqual([]);
    expect(await codeOf(asNobody.people.locateProject(people.projectId))).toBe("ERR_PROJECT_UNKNOWN");
    expect(await codeOf(people.vault.people.checkSession({ token: session.token, now }))).toBe("ok");
  });

  test("links are forgotten a month after their time", async () => {
    await people.link("ada", later(-31 * 24 * hourMs));
    await people.link("ada", now);
    const { rows } = await people.database.query<{ old: number }>(
      "select count(*)::int as old from sign_in_links where expires_at < $1",
      [later(-30 * 24 * hourMs)],
    );
    expect(rows[0]?.old).toBe(0);
  });
});
