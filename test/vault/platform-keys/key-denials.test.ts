/**
 * Refused keys in the audit log. Goal: whoever presents a key that is there and does not work is told to its organization,
 * once a minute, with nothing of the key or of what came along; what is no key is told to nobody and counted.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ErrorCode } from "../../../protocol/error.ts";
import { changeAgent, createAgent } from "../../../vault/platform-keys/agents.ts";
import { type AuditEvent, listAudit } from "../../../vault/audit/audit.ts";
import { createEmbedKey, type NewEmbedKey, revokeEmbedKey } from "../../../vault/platform-keys/embed-keys.ts";
import { checkKey } from "../../../vault/platform-keys/key-check.ts";
import { generateKey } from "../../../vault/platform-keys/key-format.ts";
import { createOrganizationKey, revokeKey } from "../../../vault/platform-keys/keys.ts";
import { codeOf, dumpOf, issuer, later, now, openWorld, pepper, type World } from "./keys-world.ts";

let world: World;
let organizationId: string;
let projectId: string;
let agentId: string;

beforeAll(async () => {
  world = await openWorld();
  ({ organizationId, projectId } = world);
});
afterAll(async () => await world.dispose());
beforeEach(async () => {
  const agent = { projectId, kind: "agent", name: "Help", public: true, stepIds: [] } as const;
  agentId = (await createAgent(world.as("editor"), agent)).id;
});

interface Presented {
  readonly key: string;
  readonly id: string;
  readonly more?: Parameters<World["answer"]>[1];
}

const embedKey = async (more: Partial<NewEmbedKey> = {}, context = world.as("editor")): Promise<Presented> => {
  const { key, metadata } = await createEmbedKey(context, { projectId, agentId, issuer, now, ...more });
  return { key, id: metadata.id };
};
const projectKey = async (days: number): Promise<Presented> => {
  const { key, metadata } = await world.projectKey({ expiry: { days } });
  return { key, id: metadata.id };
};
const told = async (id: string): Promise<AuditEvent[]> =>
  (await listAudit(world.database, { organizationId, limit: 1_000 })).filter(({ actor }) => actor.id === id);

describe("a key that is there and does not work", () => {
  const cases: [code: string, what: string, present: () => Promise<Presented>][] = [
    [
      "ERR_KEY_REVOKED",
      "key",
      async () => {
        const presented = await projectKey(7);
        await revokeKey(world.as("editor"), { place: { projectId }, keyId: presented.id, now });
        return presented;
      },
    ],
    ["ERR_KEY_EXPIRED", "key", async () => ({ ...(await projectKey(7)), more: { now: later(8) } })],
    [
      "ERR_KEY_BROWSER",
      "key",
      async () => ({ ...(await projectKey(7)), more: { browser: { origin: "https://evil.example" } } }),
    ],
    [
      "ERR_KEY_REVOKED",
      "embed-key",
      async () => {
        const presented = await embedKey();
        await revokeEmbedKey(world.as("editor"), { projectId, keyId: presented.id, now });
        return presented;
      },
    ],
    [
      "ERR_KEY_EXPIRED",
      "embed-key",
      async () => ({ ...(await embedKey({ expiresAt: later(1) })), more: { now: later(2) } }),
    ],
    [
      "ERR_KEY_BROWSER",
      "embed-key",
      async () => ({
        ...(await embedKey({ origins: ["https://shop.example"] })),
        more: { browser: { origin: "https://evil.example" } },
      }),
    ],
    [
      "ERR_KEY_PARENT",
      "embed-key",
      async () => {
        const parent = await projectKey(7);
        const { actor } = await world.check(parent.key);
        const presented = await embedKey({}, world.as(actor));
        await revokeKey(world.as("editor"), { place: { projectId }, keyId: parent.id, now });
        return presented;
      },
    ],
    [
      "ERR_AGENT_PRIVATE",
      "embed-key",
      async () => {
        const presented = await embedKey();
        await changeAgent(world.as("editor"), { projectId, id: agentId, public: false });
        return presented;
      },
    ],
    [
      "ERR_KEY_BUDGET",
      "embed-key",
      async () => {
        const presented = await embedKey({ requestsMax: 1 });
        await world.check(presented.key);
        return presented;
      },
    ],
  ];

  test.each(cases)("is an event with the reason %s of a %s", async (code, type, present) => {
    const { key, id, more } = await present();
    expect(await world.answer(key, more)).toBe(code);
    expect(await told(id)).toMatchObject([
      {
        class: "authentication",
        outcome: "denied",
        event: `${type}.presented`,
        reason: code,
        projectId,
        actor: { kind: "key", id },
        target: [{ type, id }],
      },
    ]);
    const dump = await dumpOf(world);
    expect(dump).not.toContain(key.slice(6, -6));
    expect(dump).not.toContain("evil.example");
  });

  test("is told to the organization, without a project, when it is the organization's", async () => {
    const wanted = { organizationId, access: "all", name: "Org", scopes: ["trigger"], expiry: "none", issuer } as const;
    const { key, metadata } = await createOrganizationKey(world.as("admin"), wanted);
    await world.answer(key, { browser: {} });
    const [event] = await told(metadata.id);
    expect(event).toMatchObject({ event: "key.presented", reason: "ERR_KEY_BROWSER" });
    expect(event).not.toHaveProperty("projectId");
  });

  test("and floods, as a key in a page may, is one event; one that works leaves none", async () => {
    const { key, id } = await embedKey({ origins: ["https://shop.example"] });
    const works = { browser: { origin: "https://shop.example" } };
    expect(await world.answer(key, works)).toBe("ok");
    expect(await told(id)).toEqual([]);
    await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        const browser = { origin: `https://evil-${index}.example` };
        expect(await world.answer(key, { browser })).toBe("ERR_KEY_BROWSER");
      }),
    );
    expect(await told(id)).toHaveLength(1);
    expect(await world.answer(key, works)).toBe("ok");
  });

  test("is refused all the same when that cannot be recorded", async () => {
    const { key } = await projectKey(7);
    const silent = { ...world.as(), withAuditKey: () => Promise.reject(new Error("no key")) };
    expect(await codeOf(checkKey(silent, pepper, { key, region: "eu", now: later(8) }))).toBe("ERR_KEY_EXPIRED");
  });
});

test("what is no key of the deployment leaves no event, and a count that grows with its codes only", async () => {
  const strays = new Map<ErrorCode, number>();
  const before = (await listAudit(world.database, { organizationId, limit: 1_000 })).length;
  const { key } = await projectKey(7);
  const misspelt = key.slice(0, -1) + (key.endsWith("0") ? "1" : "0");
  for (let round = 0; round < 20; round += 1) {
    for (const text of [`x${round}`, misspelt, generateKey("project", "us"), generateKey("embed", "eu"), key])
      await codeOf(checkKey({ ...world.as(), strays }, pepper, { key: text, region: "eu", now }));
  }
  expect(Object.fromEntries(strays)).toEqual({
    ERR_KEY_MALFORMED: 20,
    ERR_KEY_CHECKSUM: 20,
    ERR_KEY_REGION: 20,
    ERR_KEY_UNKNOWN: 20,
  });
  // The key's own making.
  expect((await listAudit(world.database, { organizationId, limit: 1_000 })).length).toBe(before + 1);
});
