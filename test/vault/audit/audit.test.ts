/**
 * The audit log. Goal: what is done is in it or not done; and any change, removal or other order shows, also of its end.
 * Method: attacks are SQL statements on the rows, as someone with the database would do them.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { operator } from "../../../vault/tenancy/actor.ts";
import { appendAudit, type AuditEntry, listAudit, signAuditHead, verifyAudit } from "../../../vault/audit/audit.ts";
import { setOrganizationMember } from "../../../vault/tenancy/members.ts";
import { type ActContext, perform } from "../../../vault/audit/perform.ts";
import { createOrganization, createProject } from "../../../vault/tenancy/tenancy.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";

const key = Buffer.alloc(32, 7);
let temporary: Temporary;
let organizationId: string;

beforeAll(async () => {
  temporary = await openTemporary();
});
afterAll(async () => await temporary.dispose());
beforeEach(async () => {
  organizationId = (await createOrganization(temporary.database, "Acme")).id;
});

const entry = (event: string): AuditEntry => ({
  organizationId,
  class: "management",
  event,
  outcome: "success",
  actor: operator,
  target: [{ type: "thing", name: event }],
});

async function append(...events: string[]): Promise<void> {
  for (const event of events)
    await temporary.database.transaction(async (client) => await appendAudit(client, key, entry(event)));
}
const check = async (kept?: Awaited<ReturnType<typeof signAuditHead>>) =>
  await verifyAudit(temporary.database, key, { organizationId, kept });
const sql = async (text: string, ...values: unknown[]): Promise<unknown> =>
  await temporary.database.query(text, [organizationId, ...values]);

describe("a chain", () => {
  test("that nobody touched is whole, and is listed from its end, page by page", async () => {
    expect(await check()).toEqual({ events: 0 });
    await append("a.done", "b.done", "c.done");
    expect(await check()).toEqual({ events: 3 });
    const latest = await listAudit(temporary.database, { organizationId, limit: 2 });
    expect(latest.map(({ seq, event }) => [seq, event])).toEqual([
      [3, "c.done"],
      [2, "b.done"],
    ]);
    const before = await listAudit(temporary.database, { organizationId, before: latest.at(-1)!.seq, limit: 2 });
    expect(before).toMatchObject([{ seq: 1, event: "a.done", actor: { kind: "system", id: "operator" } }]);
  });
  test("of many writers at once has no gap and no double", async () => {
    await Promise.all(Array.from({ length: 20 }, (_, i) => append(`e${i}`)));
    expect(await check()).toEqual({ events: 20 });
  });
  test("longer than a page is read to its end", async () => {
    await append(...Array.from({ length: 1_001 }, (_, i) => `e${i}`));
    expect(await check()).toEqual({ events: 1_001 });
  });
  test.each([
    [
      "a changed event",
      "update audit_events set body = replace(body, 'b.done', 'x.done') where organization_id = $1 and seq = 2",
      2,
    ],
    ["a removed event", "delete from audit_events where organization_id = $1 and seq = 2", 2],
    ["a removed end", "delete from audit_events where organization_id = $1 and seq = 4", 4],
    [
      "a removed end, and a head that fits",
      "with gone as (delete from audit_events where organization_id = $1 and seq = 4) update audit_heads set seq = 3 where organization_id = $1",
      4,
    ],
    [
      "two events that changed places",
      "update audit_events set seq = case seq when 2 then 20003 when 3 then 20002 end where organization_id = $1 and seq in (2, 3)",
      2,
    ],
    ["an event of another number", "update audit_events set seq = 5 where organization_id = $1 and seq = 4", 4],
    [
      "another project in the column that lists are made by",
      "update audit_events set project_id = gen_random_uuid() where organization_id = $1 and seq = 1",
      1,
    ],
    [
      "another time in the column",
      "update audit_events set time = time - interval '1 day' where organization_id = $1 and seq = 1",
      1,
    ],
    [
      "a hash that is cut",
      "update audit_events set hash = substr(hash, 1, 4) where organization_id = $1 and seq = 3",
      3,
    ],
    ["a head that is gone", "delete from audit_heads where organization_id = $1", 5],
  ])("shows %s", async (_, attack, seq) => {
    await append("a.done", "b.done", "c.done", "d.done");
    await sql(attack);
    await sql("update audit_events set seq = seq - 20000 where organization_id = $1 and seq > 20000");
    expect((await check()).broken).toMatchObject({ seq });
  });
  test("does not fit another organization, and not another key", async () => {
    await append("a.done");
    const other = (await createOrganization(temporary.database, "Other")).id;
    await sql("update audit_events set organization_id = $2 where organization_id = $1", other);
    await temporary.database.query("update audit_heads set organization_id = $2 where organization_id = $1", [
      organizationId,
      other,
    ]);
    expect((await verifyAudit(temporary.database, key, { organizationId: other })).broken).toMatchObject({ seq: 1 });
    await append("b.done");
    expect((await verifyAudit(temporary.database, Buffer.alloc(32, 8), { organizationId })).broken).toMatchObject({
      seq: 1,
    });
  });
});

describe("a head that was kept elsewhere", () => {
  test("fits the chain as it grows", async () => {
    await append("a.done", "b.done");
    const kept = await signAuditHead(temporary.database, key, organizationId);
    await append("c.done");
    expect(await check(kept)).toEqual({ events: 3 });
  });
  test("shows a whole log that was written anew, by one who has the key", async () => {
    await append("a.done", "b.done");
    const kept = await signAuditHead(temporary.database, key, organizationId);
    await sql("delete from audit_events where organization_id = $1");
    await sql("delete from audit_heads where organization_id = $1");
    await append("a.done");
    expect((await check(kept)).broken).toMatchObject({ why: "the log ends before the kept head" });
    await append("x.done");
    expect((await check(kept)).broken).toMatchObject({ seq: 2 });
  });
  test("is refused when it was changed, or is another organization's", async () => {
    await append("a.done");
    const kept = await signAuditHead(temporary.database, key, organizationId);
    for (const head of [
      { ...kept, seq: 0 },
      { ...kept, organizationId: "x" },
      { ...kept, signature: "" },
    ])
      await expect(check(head)).rejects.toMatchObject({ code: "ERR_AUDIT_HEAD_INVALID" });
  });
});

describe("what is performed", () => {
  const contextOf = (actor: ActContext["actor"]): ActContext => ({
    database: temporary.database,
    actor,
    withAuditKey: async (_client, _organizationId, work) => await work(key),
  });
  const act = (projectId: string) =>
    ({
      action: "project.manage",
      place: { projectId },
      event: "project.renamed",
      target: [{ type: "project", id: projectId }],
    }) as const;

  test("has its event, with who, where and what", async () => {
    const { id: projectId } = await createProject(temporary.database, organizationId, "Support");
    await setOrganizationMember(temporary.database, { organizationId, personId: "ann", name: "Ann", role: "owner" });
    const result = await perform(contextOf({ kind: "person", id: "ann" }), act(projectId), async () => ({
      result: 5,
      details: { to: "x" },
    }));
    expect(result).toBe(5);
    expect(await listAudit(temporary.database, { organizationId, projectId, limit: 5 })).toMatchObject([
      {
        event: "project.renamed",
        outcome: "success",
        actor: { kind: "person", id: "ann" },
        projectId,
        details: { to: "x" },
        class: "management",
      },
    ]);
  });
  test("has an event that fits the log, also when its project was named in capitals", async () => {
    const { id: projectId } = await createProject(temporary.database, organizationId, "Support");
    await perform(contextOf(operator), act(projectId.toUpperCase()), async () => ({ result: undefined }));
    expect(await check()).toEqual({ events: 1 });
    expect(await listAudit(temporary.database, { organizationId, projectId, limit: 1 })).toHaveLength(1);
  });
  test("is undone when its event cannot be written, and has none when it fails", async () => {
    const { id: projectId } = await createProject(temporary.database, organizationId, "Support");
    const rename = async (client: { query: (text: string, values: unknown[]) => Promise<unknown> }) => {
      await client.query("update projects set name = 'changed' where id = $1", [projectId]);
      return { result: undefined };
    };
    const silent: ActContext = { ...contextOf(operator), withAuditKey: () => Promise.reject(new Error("no key")) };
    await expect(perform(silent, act(projectId), rename as never)).rejects.toThrow("no key");
    const failing = perform(contextOf(operator), act(projectId), async (client) => {
      await rename(client);
      throw new Error("failed");
    });
    await expect(failing).rejects.toThrow("failed");
    const { rows } = await temporary.database.query("select name from projects where id = $1", [projectId]);
    expect(rows).toEqual([{ name: "Support" }]);
    expect(await check()).toEqual({ events: 0 });
  });
  test("is told as denied when it was not allowed, and not at all to one who has no part in it", async () => {
    const { id: projectId } = await createProject(temporary.database, organizationId, "Support");
    await setOrganizationMember(temporary.database, { organizationId, personId: "ann", name: "Ann", role: "owner" });
    const work = async () => ({ result: undefined });
    const key1 = { kind: "key", id: "k1", organizationId, projects: "all", scopes: ["trigger"] } as const;
    await expect(perform(contextOf(key1), act(projectId), work)).rejects.toMatchObject({ code: "ERR_FORBIDDEN" });
    await expect(perform(contextOf({ kind: "person", id: "stranger" }), act(projectId), work)).rejects.toMatchObject({
      code: "ERR_PROJECT_UNKNOWN",
    });
    expect(await listAudit(temporary.database, { organizationId, limit: 5 })).toMatchObject([
      {
        event: "project.renamed",
        outcome: "denied",
        class: "authorization",
        reason: "ERR_FORBIDDEN",
        details: { action: "project.manage" },
        actor: { kind: "key", id: "k1" },
      },
    ]);
  });
});
