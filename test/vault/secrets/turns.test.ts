/**
 * Turns: a use waits for the uses of its own organization that came before it, and for nobody else. Attacks: more uses at
 * once than there are connections, and an organization whose chain somebody holds. Real PostgreSQL, through the vault.
 */
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { Turns } from "../../../vault/secrets/turns.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import { createOrganization, createProject, setSecret } from "../../helpers/vault.ts";

describe("turns", () => {
  const held = () => Promise.withResolvers<void>();

  test("are taken two at a time, by those who came first, and each name has its own", async () => {
    const turns = new Turns();
    const order: string[] = [];
    const gates = Array.from({ length: 4 }, held);
    const taken = gates.map(
      async (gate, index) =>
        await turns.take("a", async () => {
          order.push(`a${index}`);
          await gate.promise;
        }),
    );
    await turns.take("b", async () => order.push("b"));
    expect(order).toEqual(["a0", "a1", "b"]);
    gates[1]!.resolve();
    await taken[1];
    await delay(1);
    expect(order).toEqual(["a0", "a1", "b", "a2"]);
    for (const gate of gates) gate.resolve();
    await Promise.all(taken);
    expect(order).toEqual(["a0", "a1", "b", "a2", "a3"]);
  });

  test("go on to the next one after one that fails", async () => {
    const turns = new Turns();
    const failing = Array.from(
      { length: 5 },
      async () => await turns.take("a", async () => await Promise.reject(new Error("failed"))),
    );
    expect((await Promise.allSettled(failing)).map(({ status }) => status)).toEqual(Array(5).fill("rejected"));
    await expect(turns.take("a", async () => await Promise.resolve(7))).resolves.toBe(7);
  });
});

describe("uses", () => {
  let temporary: Temporary;
  let vault: Vault;
  let flooded: { organizationId: string; projectId: string };
  let other: { organizationId: string; projectId: string };

  const open = async (name: string): Promise<typeof other> => {
    const organizationId = (await createOrganization(vault, name)).id;
    const projectId = (await createProject(vault, organizationId, name)).id;
    await setSecret(vault, projectId, "KEY", `value-of-${name}-0123456789`);
    return { organizationId, projectId };
  };
  const use = async ({ projectId }: { projectId: string }): Promise<unknown> =>
    await vault.secrets.use({ projectId, references: [{ name: "KEY" }], runId: createId() });

  beforeAll(async () => {
    temporary = await openTemporary();
    vault = await openVault(temporary.database, temporary.config);
    [flooded, other] = [await open("flooded"), await open("other")];
  });
  afterAll(async () => {
    vault.close();
    await temporary.dispose();
  });

  test("of another organization go on while somebody holds the chain of one that has many", async () => {
    const before = (await vault.audit.head(flooded)).seq;
    let uses: Promise<unknown>[] = [];
    await temporary.database.transaction(async (client) => {
      await client.query("select from audit_heads where organization_id = $1 for update", [flooded.organizationId]);
      uses = Array.from({ length: 50 }, async () => await use(flooded));
      await delay(500);
      // One of the four connections is this one's, and two wait for it.
      for (let round = 0; round < 5; round += 1) {
        const done = await Promise.race([use(other), delay(10_000, "waited", { ref: false })]);
        expect(done).not.toBe("waited");
      }
      expect((await vault.audit.list({ ...flooded, projectId: undefined, limit: 1 }))[0]!.seq).toBe(before);
    });
    await Promise.all(uses);
    expect(await vault.audit.verify(flooded)).toEqual({ events: before + 50 });
    const [ledger] = await vault.secrets.uses({ place: { projectId: flooded.projectId }, name: "KEY" });
    expect(ledger).toMatchObject({ uses: 50 });
    expect(await vault.audit.verify(other)).not.toHaveProperty("broken");
  });

  test("of one organization are written in the order in which they came, give or take those of one round", async () => {
    const { seq: before } = await vault.audit.head(flooded);
    const [early, late] = [createId(), createId()];
    const as = async (runId: string): Promise<unknown> =>
      await vault.secrets.use({ projectId: flooded.projectId, references: [{ name: "KEY" }], runId });
    const uses = [...Array.from({ length: 20 }, createId), early].map(as);
    await delay(50);
    uses.push(...[...Array.from({ length: 40 }, createId), late].map(as));
    await Promise.all(uses);
    const events = await vault.audit.list({ organizationId: flooded.organizationId, limit: 62 });
    const placeOf = (runId: string): number => events.find(({ via }) => via?.runId === runId)!.seq - before;
    // Values are read four at a time, one for each connection, before a turn is taken.
    expect(placeOf(early)).toBeLessThanOrEqual(21 + 8);
    expect(placeOf(late)).toBeGreaterThanOrEqual(62 - 8);
  });
});
