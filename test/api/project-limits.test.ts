/** A project's limits over HTTP: who sets them, within which bounds, and that they are the columns which runs are held to. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { absentId, type Answer, type Callers, expectAlike, expectForbidden, openCallers } from "./callers.ts";

let callers: Callers;
beforeAll(async () => {
  callers = await openCallers();
});
afterAll(async () => await callers.close());

const limits = { runsAtOnceMax: 10, runsPerMinuteMax: 600, retentionDays: 90, retentionBytesMax: 2 ** 40 };
const none = { runsAtOnceMax: null, runsPerMinuteMax: null, retentionDays: null, retentionBytesMax: null };
const set = async (body: unknown, as = "person project-admin", id = callers.projectId): Promise<Answer> =>
  await callers.call("PUT", `/v1/projects/${id}/limits`, { as, body });
const get = async (as: string, id = callers.projectId): Promise<Answer> =>
  await callers.call("GET", `/v1/projects/${id}/limits`, { as });

test("a project has no limits of its own until its admin sets them, for itself alone", async () => {
  expect((await get("person viewer")).body).toEqual(none);
  const answer = await set(limits);
  expect([answer.status, answer.body]).toEqual([200, limits]);
  expect((await get("person viewer")).body).toEqual(limits);
  const { rows } = await callers.temporary.database.query(
    `select runs_at_once_max, runs_per_minute_max, retention_days, retention_bytes_max::text from projects where id = $1`,
    [callers.projectId],
  );
  expect(rows).toEqual([
    { runs_at_once_max: 10, runs_per_minute_max: 600, retention_days: 90, retention_bytes_max: "1099511627776" },
  ]);
  expect((await get("operator", callers.otherProjectId)).body).toEqual(none);
  expect((await set(none)).body).toEqual(none);
});

test("setting a project's limits leaves an event with the figures", async () => {
  await set(limits);
  expect(await callers.newestEvent()).toMatchObject({
    event: "project.limits.set",
    outcome: "success",
    details: limits,
  });
});

test("limits of a project are changed by admins and keys with the scope admin only", async () => {
  const trigger = await callers.keyWith("trigger", "read:runs", "manage:secrets");
  await expectForbidden(
    ["person editor", "person builder", "person viewer", trigger],
    async (as) => await set(none, as),
  );
  expect((await get("operator")).body).toEqual(limits);
  expect((await set(limits, await callers.keyWith("admin"))).status).toBe(200);
  expect((await get(await callers.keyWith("trigger"))).status).toBe(403);
});

test("limits of a project that somebody has no part in answer like those of none", async () => {
  await expectAlike([callers.foreignProjectId, absentId], async (id) => await set(limits, "person owner", id));
  await expectAlike([callers.otherProjectId, absentId], async (id) => await get("person editor", id));
});

test("limits out of bounds, or some of them left out, are refused by pointer and change nothing", async () => {
  await set(limits);
  for (const [field, figure] of [
    ["runsAtOnceMax", 0],
    ["runsPerMinuteMax", 1.5],
    ["retentionDays", 3_651],
    ["retentionBytesMax", 2 ** 53],
    ["runsAtOnceMax", undefined],
  ] as const) {
    const { status, body } = await set({ ...limits, [field]: figure });
    expect([status, body.errors?.[0]?.pointer]).toEqual([400, `/body/${field}`]);
  }
  expect((await set({ ...limits, runs_at_once_max: 1 })).body.errors[0].pointer).toBe("/body");
  expect((await get("operator")).body).toEqual(limits);
});

test("the vault itself refuses a limit out of bounds, with the figures", async () => {
  const asked = callers.vault.tenancy.setProjectLimits({
    projectId: callers.projectId,
    limits: { ...limits, retentionDays: 0 },
  });
  await expect(asked).rejects.toMatchObject({
    code: "ERR_PROJECT_LIMITS_INVALID",
    message: expect.stringContaining("retentionDays is 0; null, or a whole number from 1 to 3650") as string,
  });
});
