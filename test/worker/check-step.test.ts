/**
 * Checking a step before it is saved: the references that its run would resolve, found without running anything of it, each
 * with the reason why it would fail. In both languages, through a whole service.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { StepInput } from "../../protocol/job.ts";
import type { Actor } from "../../vault/tenancy/actor.ts";
import { openTestService, type TestService } from "../helpers/service.ts";

let stepvault: TestService;
const eve: Actor = { kind: "person", id: "eve" };
const viewer: Actor = { kind: "person", id: "viewer" };
const builder: Actor = { kind: "person", id: "builder" };

beforeAll(async () => {
  stepvault = await openTestService();
  const { service, projectId } = stepvault;
  const { tenancy, secrets } = service.vault;
  const { organizationId } = await tenancy.getProject(projectId);
  const member = { organizationId, role: "member" } as const;
  await tenancy.setOrganizationMember({ organizationId, personId: "owner", name: "Owner", role: "owner" });
  for (const { id } of [viewer, builder]) await tenancy.setOrganizationMember({ ...member, personId: id, name: id });
  await tenancy.setProjectMember({ projectId, personId: "viewer", role: "viewer" });
  await tenancy.setProjectMember({ projectId, personId: "builder", role: "member", canCreateAssets: true });
  const place = { projectId };
  await secrets.set({ place, name: "GOOD", value: "a good value" });
  await secrets.set({ place, name: "OFF", value: "switched off value" });
  await secrets.switch({ place, name: "OFF", enabled: false });
  await secrets.set({ place, name: "ADMINS", value: "for admins only", policy: { roles: ["owner", "project admin"] } });
});
afterAll(async () => await stepvault.close());

const check = async (step: StepInput, author?: Actor): ReturnType<TestService["service"]["steps"]["check"]> =>
  await stepvault.service.steps.check({ projectId: stepvault.projectId, step }, author);

describe.each([
  [
    "javascript",
    (expression: string) => `// <<secrets.IN_A_COMMENT>>\nfetch("http://127.0.0.1:1");\nreturn ${expression}`,
  ],
  ["python", (expression: string) => `# <<secrets.IN_A_COMMENT>>\nprint("ran")\nreturn ${expression}`],
] as const)("a step in %s", (language, code) => {
  test("that would resolve has no failures", async () => {
    const inputs = { header: "Bearer <<secrets.GOOD>>" };
    expect(await check({ language, code: code("<<secrets.GOOD>>"), inputs })).toEqual({
      references: 1,
      failures: [],
      summary: "",
    });
    expect(await check({ language, code: code("1") })).toMatchObject({ references: 0, failures: [] });
  });

  test("that would fail tells each reference with its place and reason, as the run does", async () => {
    const step = {
      language,
      code: code('[<<secrets.OFF>>, "<<secrets.GOD>>"]'),
      inputs: { a: "<<secrets.ABSENT_AT_ALL>>" },
    };
    const { references, failures, summary } = await check(step);
    expect(references).toBe(3);
    expect(failures).toMatchObject([
      { name: "OFF", line: 3, column: 9, code: "ERR_SECRET_DISABLED" },
      { name: "GOD", line: 3, code: "ERR_SECRET_UNKNOWN", why: expect.stringContaining("the closest name is GOOD") },
      { name: "ABSENT_AT_ALL", code: "ERR_SECRET_UNKNOWN" },
    ]);
    expect(summary).toMatch(/^these 3 references will fail: .*switched off; .*GOD.*; .*ABSENT_AT_ALL/);
    const { error } = await stepvault.run({ step });
    expect(error).toMatchObject({ code: failures[0]?.code, message: failures[0]?.why });
  });

  test("is judged as its author's", async () => {
    const step = { language, code: code("<<secrets.ADMINS>>") };
    expect((await check(step)).failures).toEqual([]);
    expect((await check(step, builder)).failures).toMatchObject([{ name: "ADMINS", code: "ERR_SECRET_NOT_ALLOWED" }]);
  });

  test("is not run: one that never ends is checked like any other", async () => {
    const forever = language === "python" ? "while True: pass" : "while (true) {}";
    const step = { language, code: `${forever}\nreturn <<secrets.GOOD>>`, limits: { wallTimeMsMax: 20_000 } };
    const began = performance.now();
    expect((await check(step)).failures).toEqual([]);
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  test("that does not parse is an error with its place", async () => {
    await expect(check({ language, code: code("(") })).rejects.toMatchObject({
      code: "ERR_STEP_SYNTAX",
      position: { line: expect.any(Number) },
    });
  });
});

test("who may not use secrets learns nothing of them by a check, nor saves a step", async () => {
  const step = { language: "javascript", code: "return <<secrets.GOOD>>" } as const;
  const { service, projectId } = stepvault;
  await expect(check(step, viewer)).rejects.toMatchObject({ code: "ERR_FORBIDDEN" });
  await expect(check(step, eve)).rejects.toMatchObject({ code: "ERR_PROJECT_UNKNOWN" });
  await expect(service.steps.save({ projectId, name: "Step", step }, viewer)).rejects.toMatchObject({
    code: "ERR_FORBIDDEN",
  });
  await expect(service.steps.save({ projectId, name: "Step", step }, eve)).rejects.toMatchObject({
    code: "ERR_PROJECT_UNKNOWN",
  });
});

test("a step that is to be checked is saved only when its references would resolve", async () => {
  const { service, projectId } = stepvault;
  const step = { language: "javascript", code: "return <<secrets.OFF>>" } as const;
  await expect(service.steps.save({ projectId, name: "Step", step, checked: true })).rejects.toMatchObject({
    code: "ERR_STEP_REFERENCES",
    message: expect.stringMatching(/^Cannot save the step: this reference will fail: .*OFF.*switched off/),
  });
  const good = { ...step, code: "return <<secrets.GOOD>>" };
  await expect(service.steps.save({ projectId, name: "Step", step: good, checked: true })).resolves.toMatchObject({
    version: 1,
  });
});

test("a saved step is its author's: a secret for admins resolves in an owner's, and not in a builder's", async () => {
  const { service, projectId } = stepvault;
  const step = { language: "javascript", code: "return <<secrets.ADMINS>>.length" } as const;
  const owners = await service.steps.save({ projectId, name: "Step", step }, { kind: "person", id: "owner" });
  expect(await stepvault.run({ step: { id: owners.id } })).toMatchObject({ status: "succeeded", output: 15 });
  // A builder's version of the same step is the builder's.
  await service.steps.save({ projectId, id: owners.id, name: "Step", step }, builder);
  expect((await stepvault.run({ step: { id: owners.id } })).error?.code).toBe("ERR_SECRET_NOT_ALLOWED");
  expect(await stepvault.run({ step: { id: owners.id, version: 1 } })).toMatchObject({ status: "succeeded" });
  expect((await stepvault.run({ step })).error?.code).toBe("ERR_SECRET_NOT_ALLOWED");
});
