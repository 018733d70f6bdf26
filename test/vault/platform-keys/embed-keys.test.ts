/**
 * Embed keys, and the agents and workforces that they are for. Goal: such a key can be given to anybody, since it reaches
 * the steps of one public agent or workforce and nothing else, within its budget, and dies with what it came from.
 * Method: real PostgreSQL; every action of the table of roles is tried with it; requests at the same time.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { type Action, actions } from "../../../protocol/roles.ts";
import type { Actor } from "../../../vault/tenancy/actor.ts";
import { type Agent, changeAgent, createAgent, deleteAgent, listAgents } from "../../../vault/platform-keys/agents.ts";
import { listAudit } from "../../../vault/audit/audit.ts";
import { authorize } from "../../../vault/tenancy/authorize.ts";
import {
  createEmbedKey,
  listEmbedKeys,
  type NewEmbedKey,
  revokeEmbedKey,
} from "../../../vault/platform-keys/embed-keys.ts";
import { type EmbedActor, reachesStep } from "../../../vault/platform-keys/key-check.ts";
import {
  changeKey,
  createProjectKey,
  deleteKey,
  type IssuedKey,
  revokeKey,
  rotateKey,
} from "../../../vault/platform-keys/keys.ts";
import {
  removeOrganizationMember,
  removeProjectMember,
  setOrganizationMember,
  setProjectMember,
} from "../../../vault/tenancy/members.ts";
import { codeOf, dumpOf, failureOf, issuer, later, now, openWorld, type World } from "./keys-world.ts";

let world: World;
let organizationId: string;
let projectId: string;
let stepId: string;
let otherStepId: string;
let agent: Agent;
let workforce: Agent;
let hidden: Agent;

beforeAll(async () => {
  world = await openWorld();
  ({ organizationId, projectId } = world);
  stepId = await world.addStep(projectId);
  otherStepId = await world.addStep(projectId);
  agent = await makeAgent({ name: "Sales agent", stepIds: [stepId] });
  workforce = await makeAgent({ kind: "workforce", name: "Everybody", stepIds: [stepId, otherStepId] });
  hidden = await makeAgent({ name: "Hidden", public: false });
});
afterAll(async () => await world.dispose());

async function makeAgent(more: Partial<Agent> = {}): Promise<Agent> {
  const usual = { projectId, kind: "agent", name: "Agent", public: true, stepIds: [stepId] } as const;
  return await createAgent(world.as("builder"), { ...usual, ...more });
}

async function embedKey(
  more: Partial<NewEmbedKey> = {},
  actor: string | Actor = "editor",
): ReturnType<typeof createEmbedKey> {
  return await createEmbedKey(world.as(actor), { projectId, agentId: agent.id, issuer, now, ...more });
}

const embedActor = async (key: string): Promise<EmbedActor> => (await world.check(key)).actor as EmbedActor;

/** A project key, and the actor that it makes. */
async function parentKey(more: Parameters<World["projectKey"]>[0] = {}): Promise<IssuedKey & { actor: Actor }> {
  const issued = await world.projectKey(more);
  return { ...issued, actor: (await world.check(issued.key)).actor };
}

describe("an embed key", () => {
  test("requirement 30: is for exactly one public agent or one workforce, and the workforce wins", async () => {
    const scopeOf = async (more: Partial<NewEmbedKey>): Promise<unknown[]> => {
      const { key } = await embedKey(more);
      const { embed } = await embedActor(key);
      return [embed.kind, embed.agentId];
    };
    expect(await scopeOf({})).toEqual(["agent", agent.id]);
    expect(await scopeOf({ workforceId: workforce.id, agentId: undefined })).toEqual(["workforce", workforce.id]);
    expect(await scopeOf({ workforceId: workforce.id })).toEqual(["workforce", workforce.id]);
    const refusals = [
      embedKey({ agentId: undefined }),
      embedKey({ agentId: hidden.id }),
      embedKey({ agentId: workforce.id }),
      embedKey({ workforceId: agent.id }),
      embedKey({ agentId: createId() }),
      embedKey({ agentId: "no id" }),
    ];
    expect(await Promise.all(refusals.map(codeOf))).toEqual([
      "ERR_KEY_INVALID",
      "ERR_AGENT_PRIVATE",
      "ERR_AGENT_UNKNOWN",
      "ERR_AGENT_UNKNOWN",
      "ERR_AGENT_UNKNOWN",
      "ERR_AGENT_UNKNOWN",
    ]);
    const elsewhere = { projectId: world.otherProjectId, agentId: agent.id };
    expect(await codeOf(embedKey(elsewhere, "admin"))).toBe("ERR_AGENT_UNKNOWN");
  });

  test("requirement 31: reaches the steps of its scope, and no action of the table anywhere", async () => {
    const { key } = await embedKey();
    const actor = await embedActor(key);
    expect([stepId, stepId.toUpperCase(), otherStepId, createId()].map((id) => reachesStep(actor, id))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    for (const place of [{ projectId }, { projectId: world.otherProjectId }, { organizationId }]) {
      for (const action of Object.keys(actions) as Action[])
        expect(await codeOf(authorize(world.database, actor, action, place))).not.toBe("ok");
    }
    expect(await codeOf(embedKey({}, actor))).toBe("ERR_FORBIDDEN");
  });

  test("requirements 34, 36: has region, project, scope and a random prefix for its conversations", async () => {
    const [one, other] = [await embedKey(), await embedKey()];
    expect(one.key).toMatch(/^ek-eu_/);
    expect(one.metadata).toMatchObject({ projectId, agentId: agent.id, region: "eu", origins: null, expiresAt: null });
    expect(one.metadata.conversationPrefix).toMatch(/^[0-9A-Za-z]{22}$/);
    expect(one.metadata.conversationPrefix).not.toBe(other.metadata.conversationPrefix);
    expect((await embedActor(one.key)).embed.conversationPrefix).toBe(one.metadata.conversationPrefix);
  });

  test("requirement 34: is made by who may start runs, a person or a key", async () => {
    const makers = ["owner", "editor", "builder", "viewer", "outsider"] as const;
    expect(await Promise.all(makers.map(async (who) => await codeOf(embedKey({}, who))))).toEqual([
      "ok",
      "ok",
      "ok",
      "ERR_FORBIDDEN",
      "ERR_PROJECT_UNKNOWN",
    ]);
    const [trigger, reader] = [await parentKey(), await parentKey({ scopes: ["read:runs", "manage:secrets"] })];
    expect(await codeOf(embedKey({}, trigger.actor))).toBe("ok");
    expect(await codeOf(embedKey({}, reader.actor))).toBe("ERR_FORBIDDEN");
  });

  test("requirement 37: a new one does not stop the old one, and each is revoked by itself", async () => {
    const [old, next] = [await embedKey(), await embedKey()];
    expect([await world.answer(old.key), await world.answer(next.key)]).toEqual(["ok", "ok"]);
    expect(await world.answer(old.key, { now: later(3_650) })).toBe("ok");
    await revokeEmbedKey(world.as("editor"), { projectId, keyId: old.metadata.id, now });
    expect([await world.answer(old.key), await world.answer(next.key)]).toEqual(["ERR_KEY_REVOKED", "ok"]);
    const listed = await listEmbedKeys(world.as("builder"), projectId);
    expect(listed.find(({ id }) => id === old.metadata.id)).toMatchObject({ revokedAt: now, hint: old.metadata.hint });
  });

  test("is revoked by its maker or by who may change the project's keys", async () => {
    const parent = await parentKey();
    const [mine, theirs] = [await embedKey({}, "builder"), await embedKey()];
    const child = await embedKey({}, parent.actor);
    const revoke = async (actor: string | Actor, keyId: string, id = projectId): Promise<string> =>
      await codeOf(revokeEmbedKey(world.as(actor), { projectId: id, keyId, now }));
    expect(await revoke("builder", theirs.metadata.id)).toBe("ERR_FORBIDDEN");
    expect(await revoke(parent.actor, theirs.metadata.id)).toBe("ERR_FORBIDDEN");
    expect(await revoke("builder", mine.metadata.id)).toBe("ok");
    expect(await revoke(parent.actor, child.metadata.id)).toBe("ok");
    expect(await revoke("owner", theirs.metadata.id, world.otherProjectId)).toBe("ERR_KEY_ID_UNKNOWN");
    expect(await revoke("owner", theirs.key)).toBe("ERR_KEY_ID_UNKNOWN");
    expect(await world.answer(theirs.key)).toBe("ok");
  });

  test("can expire, at most 30 days ahead", async () => {
    const { key } = await embedKey({ expiresAt: later(30) });
    expect(await world.answer(key, { now: later(29) })).toBe("ok");
    expect(await world.answer(key, { now: later(30) })).toBe("ERR_KEY_EXPIRED");
    for (const expiresAt of [later(31), now, later(-1), new Date("never")])
      expect(await codeOf(embedKey({ expiresAt }))).toBe("ERR_KEY_EXPIRY_INVALID");
  });

  test("is in no table itself, and the audit log has its making and its end", async () => {
    const { key, metadata } = await embedKey();
    await revokeEmbedKey(world.as("editor"), { projectId, keyId: metadata.id });
    expect(await dumpOf(world)).not.toContain(key.slice(6, -6));
    const events = await listAudit(world.database, { organizationId, projectId, limit: 2 });
    expect(events.map(({ event, target }) => [event, target?.[0]?.id])).toEqual([
      ["embed-key.revoked", metadata.id],
      ["embed-key.created", metadata.id],
    ]);
  });
});

describe("an embed key in a browser", () => {
  test("requirement 38: works from a browser, and with a list of origins from these only", async () => {
    const origins = ["https://shop.example", "http://localhost:3000"];
    const [anywhere, listed] = [await embedKey(), await embedKey({ origins })];
    const from = (origin?: string): { browser: { origin?: string } } => ({
      browser: origin === undefined ? {} : { origin },
    });
    expect(await world.answer(anywhere.key, from("https://any.example"))).toBe("ok");
    expect(await world.answer(anywhere.key)).toBe("ok");
    for (const origin of origins) expect(await world.answer(listed.key, from(origin))).toBe("ok");
    for (const origin of [
      "https://shop.example.evil.example",
      "http://shop.example",
      "https://shop.example:8443",
      "null",
      "",
    ])
      expect(await world.answer(listed.key, from(origin))).toBe("ERR_KEY_BROWSER");
    expect(await world.answer(listed.key, from())).toBe("ERR_KEY_BROWSER");
    expect(await world.answer(listed.key)).toBe("ERR_KEY_BROWSER");
  });

  test.each([
    ["no origin", []],
    ["a wildcard", ["https://*"]],
    ["a path", ["https://shop.example/"]],
    ["upper case", ["https://Shop.example"]],
    ["another scheme", ["ftp://shop.example"]],
    ["what sandboxed pages send", ["null"]],
    ["a user", ["https://user@shop.example"]],
    ["too many", Array.from({ length: 21 }, (_, index) => `https://${index}.example`)],
  ])("cannot have a list of origins with %s", async (_, origins) => {
    expect(await codeOf(embedKey({ origins }))).toBe("ERR_KEY_INVALID");
  });
});

describe("an embed key's budget", () => {
  const many = async (key: string, count: number, at = now): Promise<number> => {
    const answers = await Promise.all(Array.from({ length: count }, async () => await world.answer(key, { now: at })));
    expect(answers.every((answer) => answer === "ok" || answer === "ERR_KEY_BUDGET")).toBe(true);
    return answers.filter((answer) => answer === "ok").length;
  };

  test("in total is kept exactly by requests at the same time, and is shown", async () => {
    const { key, metadata } = await embedKey({ requestsMax: 10 });
    expect(await many(key, 25)).toBe(10);
    expect(await world.answer(key, { now: later(1) })).toBe("ERR_KEY_BUDGET");
    const listed = (await listEmbedKeys(world.as("editor"), projectId)).find(({ id }) => id === metadata.id);
    expect(listed).toMatchObject({
      requestsMax: 10,
      requestsUsed: 10,
      lastUsedAt: new Date("2026-11-21T12:00:00.000Z"),
    });
  });

  test("per minute is kept exactly, begins anew with the next minute, and not with a clock that goes back", async () => {
    const { key } = await embedKey({ requestsPerMinuteMax: 3 });
    const minute = (count: number): Date => new Date(now.getTime() + count * 60_000);
    expect(await many(key, 10)).toBe(3);
    expect(await many(key, 10, minute(1))).toBe(3);
    expect(await many(key, 10, minute(0))).toBe(0);
    expect(await many(key, 10, minute(2))).toBe(3);
  });

  test("is spent by requests that were let through only", async () => {
    const { key } = await embedKey({ requestsMax: 1, origins: ["https://shop.example"] });
    expect(await world.answer(key)).toBe("ERR_KEY_BROWSER");
    expect(await world.answer(key, { browser: { origin: "https://shop.example" } })).toBe("ok");
  });

  test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])("cannot be %s", async (figure) => {
    expect(await codeOf(embedKey({ requestsMax: figure }))).toBe("ERR_KEY_INVALID");
    expect(await codeOf(embedKey({ requestsPerMinuteMax: figure }))).toBe("ERR_KEY_INVALID");
  });
});

describe("an embed key dies with its maker", () => {
  test.each<[string, (keyId: string) => Promise<unknown>]>([
    [
      "is revoked (Trigger.dev leaves children alive)",
      async (keyId) => await revokeKey(world.as("editor"), { place: { projectId }, keyId }),
    ],
    ["is deleted", async (keyId) => await deleteKey(world.as("editor"), { place: { projectId }, keyId })],
    [
      "may no longer start runs",
      async (keyId) => await changeKey(world.as("editor"), { place: { projectId }, keyId, scopes: ["read:runs"] }),
    ],
    [
      "was rotated and its overlap is over",
      async (keyId) => {
        const rotation = { place: { projectId }, keyId, expiry: "none", graceDays: 0, issuer, now } as const;
        return await rotateKey(world.as("editor"), rotation);
      },
    ],
  ])("when the key that made it %s", async (_, endParent) => {
    const parent = await parentKey();
    const child = await embedKey({}, parent.actor);
    expect(await world.answer(child.key)).toBe("ok");
    await endParent(parent.metadata.id);
    expect(await world.answer(child.key)).toBe("ERR_KEY_PARENT");
  });

  test("when that key expires, and never lives longer than it", async () => {
    const parent = await parentKey({ expiry: { days: 7 } });
    const [endless, long] = [await embedKey({}, parent.actor), await embedKey({ expiresAt: later(20) }, parent.actor)];
    expect([endless.metadata.expiresAt, long.metadata.expiresAt]).toEqual([later(7), later(7)]);
    const rotation = {
      place: { projectId },
      keyId: parent.metadata.id,
      expiry: "none",
      graceDays: 2,
      issuer,
      now,
    } as const;
    await rotateKey(world.as("editor"), rotation);
    expect((await world.check(endless.key)).endsAt).toEqual(later(2));
    expect(await world.answer(endless.key, { now: later(2) })).toBe("ERR_KEY_PARENT");
    expect(await world.answer(endless.key, { now: later(7) })).toBe("ERR_KEY_EXPIRED");
  });

  test.each([
    [
      "leaves the organization",
      async (personId: string) => await removeOrganizationMember(world.database, { organizationId, personId }),
    ],
    [
      "leaves the project",
      async (personId: string) => await removeProjectMember(world.database, { projectId, personId }),
    ],
    [
      "becomes a viewer",
      async (personId: string) => await setProjectMember(world.database, { projectId, personId, role: "viewer" }),
    ],
  ])("when the person behind it %s, also when a key made it", async (_, lose) => {
    const personId = createId();
    const joined = { organizationId, personId, name: "Somebody", role: "member" } as const;
    await setOrganizationMember(world.database, joined);
    await setProjectMember(world.database, { projectId, personId, role: "editor" });
    const direct = await embedKey({}, personId);
    const parent = await createProjectKey(world.as(personId), {
      projectId,
      name: "P",
      scopes: ["trigger"],
      expiry: "none",
      issuer,
      now,
    });
    const child = await embedKey({}, (await world.check(parent.key)).actor);
    expect([await world.answer(direct.key), await world.answer(child.key)]).toEqual(["ok", "ok"]);
    await lose(personId);
    expect([await world.answer(direct.key), await world.answer(child.key)]).toEqual([
      "ERR_KEY_PARENT",
      "ERR_KEY_PARENT",
    ]);
    expect(await world.answer(parent.key)).toBe("ok");
  });

  test("and with its agent: private stops it, public again lets it, deleted ends it", async () => {
    const own = await makeAgent();
    const { key } = await embedKey({ agentId: own.id });
    await changeAgent(world.as("builder"), { projectId, id: own.id, public: false });
    expect(await world.answer(key)).toBe("ERR_AGENT_PRIVATE");
    await changeAgent(world.as("builder"), { projectId, id: own.id, public: true, stepIds: [otherStepId] });
    const actor = await embedActor(key);
    expect([stepId, otherStepId].map((id) => reachesStep(actor, id))).toEqual([false, true]);
    await deleteAgent(world.as("builder"), { projectId, id: own.id });
    expect(await world.answer(key)).toBe("ERR_KEY_UNKNOWN");
  });
});

describe("agents and workforces", () => {
  test("are listed with their steps, oldest first, for those who may see the project", async () => {
    const listed = await listAgents(world.as("viewer"), projectId);
    expect(listed.slice(0, 3)).toEqual([agent, workforce, hidden]);
    expect(workforce.stepIds).toEqual([stepId, otherStepId].sort());
    expect(await codeOf(listAgents(world.as("outsider"), projectId))).toBe("ERR_PROJECT_UNKNOWN");
  });

  test("take steps of their own project only, and are made by builders", async () => {
    const foreign = await world.addStep(world.otherProjectId);
    for (const stepIds of [[foreign], [stepId, foreign], [createId()], ["no id"]])
      expect(await codeOf(makeAgent({ stepIds }))).toBe("ERR_AGENT_INVALID");
    expect(await codeOf(makeAgent({ name: "" }))).toBe("ERR_AGENT_INVALID");
    const change = { projectId, id: agent.id, stepIds: [foreign] };
    expect(await codeOf(changeAgent(world.as("builder"), change))).toBe("ERR_AGENT_INVALID");
    expect(await codeOf(changeAgent(world.as("viewer"), { ...change, stepIds: [] }))).toBe("ERR_FORBIDDEN");
    const elsewhere = { projectId: world.otherProjectId, id: agent.id };
    expect((await failureOf(deleteAgent(world.as("admin"), elsewhere))).code).toBe("ERR_AGENT_UNKNOWN");
  });
});
