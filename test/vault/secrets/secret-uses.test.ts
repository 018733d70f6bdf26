/**
 * The ledger of uses: every use by a run is in it, counted once for each version, step and caller; what nobody uses and who
 * would break are read from it and from the saved steps. Real PostgreSQL, through the vault.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { saveStep } from "../../../runs/steps.ts";
import type { Place } from "../../../vault/tenancy/authorize.ts";
import { setOrganizationMember, setProjectMember } from "../../../vault/tenancy/members.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import { createOrganization, createProject, deleteSecret, setSecret } from "../../helpers/vault.ts";

const start = new Date("2026-11-21T12:00:00.000Z");
const later = (days: number): Date => new Date(start.getTime() + days * 86_400_000);
let temporary: Temporary;
let vault: Vault;
let organizationId: string;
let projectId: string;
let place: Place;

beforeAll(async () => {
  temporary = await openTemporary();
  vault = await openVault(temporary.database, temporary.config);
  organizationId = (await createOrganization(vault, "Acme")).id;
});
afterAll(async () => {
  vault.close();
  await temporary.dispose();
});
beforeEach(async () => {
  projectId = (await createProject(vault, organizationId, "Support")).id;
  place = { projectId };
});

async function use(names: string[], more: Partial<Parameters<Vault["secrets"]["use"]>[0]> = {}): Promise<string> {
  const runId = createId();
  const references = names.map((name) => ({ name }));
  await vault.secrets.use({ projectId, references, runId, now: start, ...more });
  return runId;
}

async function save(
  code: string,
  { inputs, id, project = projectId }: { inputs?: Record<string, string>; id?: string; project?: string } = {},
): Promise<string> {
  const step = { language: "javascript" as const, code, ...(inputs && { inputs }) };
  return (await saveStep(temporary.database, { projectId: project, name: "A step", step, id })).id;
}

describe("the ledger", () => {
  test("has one row for each version, step and caller, with the first and the last use", async () => {
    await setSecret(vault, projectId, "KEY", "first value");
    const stepId = await save("return <<secrets.KEY>>");
    await use(["KEY"], { stepId, caller: "agent-1" });
    const last = await use(["KEY", "chains_KEY"], { stepId, caller: "agent-1", now: later(2) });
    // An earlier one that is written later does not turn the clock back.
    const late = await use(["KEY"], { stepId, caller: "agent-1", now: later(1) });
    await use(["KEY"], { now: later(1) });
    await setSecret(vault, projectId, "KEY", "second value");
    await use(["KEY"], { stepId, now: later(3) });
    const uses = await vault.secrets.uses({ place, name: "KEY" });
    expect(uses).toMatchObject([
      { version: 2, step: { id: stepId, name: "A step" }, caller: undefined, uses: 1, lastUsedAt: later(3) },
      { version: 1, step: { id: stepId }, caller: "agent-1", uses: 3, firstUsedAt: start, lastUsedAt: later(2) },
      { version: 1, step: undefined, caller: undefined, uses: 1, projectId },
    ]);
    expect([last, late]).toContain(uses[1]?.lastRunId);
    expect(await vault.secrets.uses({ place, name: "KEY", version: 2 })).toHaveLength(1);
    expect(await vault.secrets.uses({ place, name: "KEY", since: later(2) })).toHaveLength(2);
    expect(await vault.secrets.versions({ place, name: "KEY" })).toMatchObject([
      { version: 2, current: true, uses: 1, lastUsedAt: later(3) },
      { version: 1, current: false, uses: 4, lastUsedAt: later(2) },
    ]);
  });

  test("counts all of many uses at once, of several secrets in any order", async () => {
    const names = ["ONE", "TWO", "THREE"];
    for (const name of names) await setSecret(vault, projectId, name, `value of ${name}`);
    await Promise.all(
      Array.from({ length: 24 }, async (_, index) => await use(index % 2 === 0 ? names : names.toReversed())),
    );
    for (const name of names) expect(await vault.secrets.uses({ place, name })).toMatchObject([{ uses: 24 }]);
  });

  test("has nothing of a run that got no value, and nothing of an event that could not be written", async () => {
    await setSecret(vault, projectId, "KEY", "a value of it");
    await expect(use(["KEY", "ABSENT"])).rejects.toMatchObject({ code: "ERR_SECRET_UNKNOWN" });
    await temporary.database.query(
      `create function stop_audit() returns trigger language plpgsql as $$ begin raise exception 'the log is full'; end $$`,
    );
    await temporary.database.query(
      "create trigger stop_audit before insert on audit_events for each row execute function stop_audit()",
    );
    try {
      // No event, no use: and then no value either.
      await expect(use(["KEY"])).rejects.toMatchObject({ code: "ERR_DATABASE" });
    } finally {
      await temporary.database.query("drop trigger stop_audit on audit_events");
    }
    expect(await vault.secrets.uses({ place, name: "KEY" })).toEqual([]);
  });

  test("keeps no caller that is no short visible text", async () => {
    await setSecret(vault, projectId, "KEY", "a value of it");
    for (const caller of ["a b", "x".repeat(201), "\u0000", "agent\n"]) await use(["KEY"], { caller });
    expect(await vault.secrets.uses({ place, name: "KEY" })).toMatchObject([{ caller: undefined, uses: 4 }]);
  });

  test("is for those who may see the secrets, and values for runs alone", async () => {
    await setSecret(vault, projectId, "KEY", "a value of it");
    const { database } = temporary;
    for (const personId of ["owner", "viewer"]) {
      const role = personId === "owner" ? "owner" : "member";
      await setOrganizationMember(database, { organizationId, personId, name: personId, role });
    }
    await setProjectMember(database, { projectId, personId: "viewer", role: "viewer" });
    const viewer = vault.as({ kind: "person", id: "viewer" }).secrets;
    const forbidden = { code: "ERR_FORBIDDEN" };
    await expect(viewer.uses({ place, name: "KEY" })).rejects.toMatchObject(forbidden);
    await expect(viewer.whoWouldBreak({ place, name: "KEY" })).rejects.toMatchObject(forbidden);
    const owner = vault.as({ kind: "person", id: "owner" }).secrets;
    const references = [{ name: "KEY" }];
    await expect(owner.use({ projectId, references, runId: createId() })).rejects.toMatchObject(forbidden);
  });
});

describe("what nobody uses and what is old", () => {
  test("unused are those without a use or a change for so many days", async () => {
    await setSecret(vault, projectId, "USED", "a used value");
    await setSecret(vault, projectId, "IDLE", "an idle value");
    await setSecret(vault, projectId, "GONE", "a deleted value");
    await deleteSecret(vault, projectId, "GONE");
    const now = new Date(Date.now() + 100 * 86_400_000);
    await use(["USED"], { now: new Date(now.getTime() - 29 * 86_400_000) });
    const names = async (days: number): Promise<string[]> =>
      (await vault.secrets.unused({ place, days, now })).map(({ name }) => name);
    expect(await names(30)).toEqual(["IDLE"]);
    expect(await names(28)).toEqual(["IDLE", "USED"]);
    expect(await names(101)).toEqual([]);
  });

  test("stale are those whose reminder is due, until they get a new version", async () => {
    await vault.secrets.set({ place, name: "KEY", value: "first value", rotationDays: 30 });
    await setSecret(vault, projectId, "NEVER", "never reminded");
    const stale = async (days: number): Promise<string[]> => {
      const now = new Date(Date.now() + days * 86_400_000);
      return (await vault.secrets.stale({ place, now })).map(({ name }) => name);
    };
    expect([await stale(29), await stale(31)]).toEqual([[], ["KEY"]]);
    await temporary.database.query(
      "update secret_versions set created_at = now() - interval '40 days' where secret_id = (select id from secrets where project_id = $1 and name = 'KEY')",
      [projectId],
    );
    expect(await stale(0)).toEqual(["KEY"]);
    await setSecret(vault, projectId, "KEY", "second value");
    expect(await stale(0)).toEqual([]);
  });
});

describe("who would break", () => {
  test("are the steps whose newest version refers to it, in code or inputs, also by the alias", async () => {
    await setSecret(vault, projectId, "KEY", "a value of it");
    const inCode = await save("return <<secrets.KEY>>");
    const inInputs = await save("return inputs", { inputs: { header: "Bearer {{ secrets.KEY }}" } });
    const byAlias = await save("return <<secrets.chains_KEY>>");
    await save("return <<secrets.KEY_2>> + '<<secrets.MY_KEY>>' + 'KEY'");
    const earlier = await save("return <<secrets.KEY>>");
    await save("return 1", { id: earlier });
    const other = (await createProject(vault, organizationId, "Other")).id;
    await save("return <<secrets.KEY>>", { project: other });
    const runId = await use(["KEY"], { stepId: inCode, now: new Date() });
    const { steps, uses, fallback } = await vault.secrets.whoWouldBreak({ place, name: "KEY" });
    expect(new Set(steps.map(({ id }) => id))).toEqual(new Set([inCode, inInputs, byAlias]));
    expect(uses).toMatchObject([{ step: { id: inCode }, lastRunId: runId }]);
    expect(fallback).toBe(false);
    const past = await vault.secrets.whoWouldBreak({ place, name: "KEY", days: 1, now: later(300) });
    expect(past.uses).toEqual([]);
  });

  test("of an organization's secret are in the projects that it is granted to and that have none of their own", async () => {
    const names = ["Granted", "Not granted", "Own"] as const;
    const [granted, , own] = await Promise.all(
      names.map(async (name) => (await createProject(vault, organizationId, name)).id),
    );
    const access = [granted!, own!];
    const shared = { place: { organizationId }, name: "SHARED" };
    await vault.secrets.set({ ...shared, value: "a shared value", access });
    await setSecret(vault, own!, "SHARED", "its own value");
    const projects = await vault.tenancy.listProjects(organizationId);
    for (const { id } of projects) await save("return <<secrets.SHARED>>", { project: id });
    const broken = async (): Promise<string[]> =>
      (await vault.secrets.whoWouldBreak(shared)).steps.map((step) => step.projectId);
    expect(await broken()).toEqual([granted]);
    expect(await vault.secrets.whoWouldBreak({ place: { projectId: own! }, name: "SHARED" })).toMatchObject({
      fallback: true,
    });
    await deleteSecret(vault, own!, "SHARED");
    expect(new Set(await broken())).toEqual(new Set(access));
    await vault.secrets.destroy(shared);
  });
});
