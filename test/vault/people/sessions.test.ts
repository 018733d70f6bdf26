/**
 * Sessions of people. Goal: a session that was ended, forgotten or is old never works again, and nobody ends another's.
 * Method: time is moved to both sides of each bound; what is written is counted; sign-outs race with uses.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { codeOf } from "../platform-keys/keys-world.ts";
import { dayMs, hourMs, later, minuteMs, now, openPeople, type People } from "./people-world.ts";

let people: People;
beforeAll(async () => {
  people = await openPeople();
});
afterAll(async () => await people.close());

const check = async (token: string, timeMs = 0): Promise<string> =>
  await codeOf(people.vault.people.checkSession({ token, now: later(timeMs) }));
const over = "ERR_UNAUTHENTICATED";

describe("a session's time", () => {
  test("twelve hours without a use end it", async () => {
    const [used, unused] = [await people.session(), await people.session()];
    expect(await check(used.token, 12 * hourMs - minuteMs)).toBe("ok");
    expect(await check(used.token, 12 * hourMs + minuteMs)).toBe("ok");
    expect(await check(unused.token, 12 * hourMs)).toBe(over);
  });

  test("seven days end it, however often it was used", async () => {
    const { token } = await people.session();
    for (let hours = 11; hours < 7 * 24; hours += 11) expect(await check(token, hours * hourMs)).toBe("ok");
    expect(await check(token, 7 * dayMs - 1)).toBe("ok");
    expect(await check(token, 7 * dayMs)).toBe(over);
  });

  test("a use is written once a minute, and a clock that goes back takes nothing away", async () => {
    const { token, id } = await people.session();
    const seen = async (): Promise<{ at: Date; version: string }> =>
      (
        await people.database.query<{ at: Date; version: string }>(
          "select last_seen_at as at, xmin::text as version from sessions where id = $1",
          [id],
        )
      ).rows[0]!;
    await check(token, 5 * minuteMs);
    const first = await seen();
    expect(first.at).toEqual(new Date("2026-11-21T12:05:00.000Z"));
    await check(token, 5 * minuteMs + 20_000);
    await check(token, 2 * minuteMs);
    expect(await seen()).toEqual(first);
  });

  test("those that are over are taken out of the table by a later sign-in", async () => {
    const { id } = await people.session("bob", later(-8 * dayMs));
    await people.session("bob");
    const { rows } = await people.database.query("select 1 from sessions where id = $1", [id]);
    expect(rows).toEqual([]);
  });
});

describe("signing out", () => {
  test("ends a session at once, and the person's others stay", async () => {
    const [ended, other] = [await people.session(), await people.session()];
    const ada = people.vault.as({ kind: "person", id: "ada" }).people;
    expect(await ada.endSessions({ personId: "ada", sessionId: ended.id, now })).toBe(1);
    expect(await check(ended.token)).toBe(over);
    expect(await check(other.token)).toBe("ok");
    expect(await ada.endSessions({ personId: "ada", sessionId: ended.id, now })).toBe(0);
  });

  test("ends all sessions of a person and nobody else's", async () => {
    const [one, two, foreign] = [await people.session(), await people.session(), await people.session("bob")];
    expect(await people.vault.people.endSessions({ personId: "ada", now })).toBeGreaterThanOrEqual(2);
    expect([await check(one.token), await check(two.token), await check(foreign.token)]).toEqual([over, over, "ok"]);
    expect(await people.vault.people.listSessions({ personId: "ada", now })).toEqual([]);
  });

  test("nobody lists or ends what is another's, whoever's id they give", async () => {
    const { id, token } = await people.session("ada");
    const bob = people.vault.as({ kind: "person", id: "bob" }).people;
    expect(await codeOf(bob.listSessions({ personId: "ada" }))).toBe("ERR_FORBIDDEN");
    expect(await codeOf(bob.endSessions({ personId: "ada" }))).toBe("ERR_FORBIDDEN");
    expect(await bob.endSessions({ personId: "bob", sessionId: id, now })).toBe(0);
    expect(await check(token)).toBe("ok");
  });

  test("what is no id ends nothing, and not everything", async () => {
    const { token } = await people.session("ada");
    const ada = people.vault.as({ kind: "person", id: "ada" }).people;
    for (const sessionId of ["", "all", "%", "null"])
      expect(await ada.endSessions({ personId: "ada", sessionId, now })).toBe(0);
    expect(await check(token)).toBe("ok");
  });

  test("holds against uses that race with it", async () => {
    const { id, token } = await people.session("ada");
    const uses = Array.from({ length: 10 }, async (_, index) => await check(token, index * minuteMs));
    await people.vault.people.endSessions({ personId: "ada", sessionId: id, now });
    await Promise.all(uses);
    expect(await check(token, 11 * minuteMs)).toBe(over);
  });

  test("is an event in each organization of the person, of whoever ended it", async () => {
    const { id } = await people.session("ada");
    await people.vault.as({ kind: "person", id: "ada" }).people.endSessions({ personId: "ada", sessionId: id, now });
    const other = await people.session("ada");
    await people.vault.people.endSessions({ personId: "ada", sessionId: other.id, now });
    for (const organizationId of people.organizationIds) {
      const ends = (await people.events(organizationId)).filter(({ event }) => event === "session.end").slice(-2);
      expect(ends.map(({ actor, target }) => [actor.kind, target?.[0]?.id])).toEqual([
        ["person", id],
        ["system", other.id],
      ]);
    }
  });
});

test("a session that cannot be recorded in a log is not begun", async () => {
  const token = await people.link("ada");
  await people.database.query("alter table audit_events rename to audit_events_away");
  expect(await codeOf(people.vault.people.signIn({ token, now }))).toBe("ERR_DATABASE");
  await people.database.query("alter table audit_events_away rename to audit_events");
  expect(await codeOf(people.vault.people.signIn({ token, now }))).toBe("ok");
});
