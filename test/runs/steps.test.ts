/**
 * Saved steps: what is saved is what runs, by version, and only in its own project; what could not run is not saved. And
 * what a project allows its steps to reach, on runs from submission to the end.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import type { NetworkPolicy, StepInput } from "../../protocol/job.ts";
import { publishStep } from "../../runs/step-versions.ts";
import { saveStep } from "../../runs/steps.ts";
import { openTestService, type TestService } from "../helpers/service.ts";
import { createProject } from "../helpers/vault.ts";

let stepvault: TestService;
beforeAll(async () => {
  stepvault = await openTestService();
});
afterAll(async () => await stepvault.close());

const step = (code: string, more: Partial<StepInput> = {}): StepInput => ({ language: "javascript", code, ...more });

async function save(given: StepInput, more: { id?: string; projectId?: string; name?: string } = {}) {
  return await stepvault.service.steps.save({ projectId: stepvault.projectId, name: "A step", step: given, ...more });
}

describe("a saved step", () => {
  test("runs by its id, the newest version or the one that is named", async () => {
    const first = await save(step("return 1"));
    const second = await save(step("return 2"), { id: first.id });
    expect([first.version, second]).toEqual([1, { id: first.id, version: 2 }]);
    expect((await stepvault.run({ step: { id: first.id } })).output).toBe(2);
    expect((await stepvault.run({ step: { id: first.id, version: 1 } })).output).toBe(1);
  });
  test("gets consecutive versions when it is pushed many times at once", async () => {
    const { id } = await save(step("return 0"));
    const versions = await Promise.all(Array.from({ length: 8 }, () => save(step("return 0"), { id })));
    expect(versions.map(({ version }) => version).sort((a, b) => a - b)).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
  });
  test("can be published in another version while the next one is being saved", async () => {
    const { projectId, service } = stepvault;
    const { id } = await save(step("return 1"));
    const by = { kind: "system", id: "operator" } as const;
    const next = { projectId, id, name: "A step", step: step("return 2") };
    const saved = await saveStep(service.database, next, async (_, change) => {
      const made = await change();
      await publishStep(service.database, projectId, { stepId: id, version: 1, by });
      return made;
    });
    expect(saved.version).toBe(2);
    expect((await stepvault.run({ step: { id } })).output).toBe(1);
  });
  test("is of one project: another one can neither run nor push it", async () => {
    const { id } = await save(step("return 1"));
    const { id: organization } = (await stepvault.service.vault.tenancy.listOrganizations())[0]!;
    const { id: projectId } = await createProject(stepvault.service.vault, organization, "Other");
    await expect(save(step("return 2"), { id, projectId })).rejects.toMatchObject({ code: "ERR_STEP_UNKNOWN" });
    const runId = await stepvault.service.submit({ projectId, step: { id } });
    expect((await stepvault.service.result(projectId, runId, 30_000)).error?.code).toBe("ERR_STEP_UNKNOWN");
  });
  test.each([
    [
      "a rule that is none",
      step("", { network: ["https://*"] }),
      "ERR_JOB_INVALID",
      /step\.network\.\d must be \[METHODS \]/,
    ],
    ["a limit below its minimum", step("", { limits: { wallTimeMsMax: 1 } }), "ERR_JOB_INVALID", /wallTimeMsMax/],
    ["another language", { language: "ruby", code: "" } as never, "ERR_LANGUAGE_UNKNOWN", /javascript/],
    ["an id in the place of code", { id: createId() } as never, "ERR_JOB_INVALID", /no code/],
    ["too much code", step("x".repeat(1_100_000)), "ERR_LIMIT_PAYLOAD", /1048576/],
  ])("is refused with %s", async (_, given, code, message) => {
    await expect(save(given)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });
  test("is refused without a name, an id of its own, or a project", async () => {
    await expect(save(step(""), { name: "" })).rejects.toMatchObject({ code: "ERR_NAME_INVALID" });
    await expect(save(step(""), { id: createId() })).rejects.toMatchObject({ code: "ERR_STEP_UNKNOWN" });
    await expect(save(step(""), { projectId: createId() })).rejects.toMatchObject({ code: "ERR_PROJECT_UNKNOWN" });
  });
});

describe("a project's network policy", () => {
  const reach = async (network: NetworkPolicy | null, own: NetworkPolicy) => {
    await stepvault.service.vault.tenancy.setProjectNetwork({ projectId: stepvault.projectId, network });
    // Private, so that nothing is sent even where both policies allow it.
    const code = "try { await fetch('http://10.0.0.1/') } catch (e) { return e.message }";
    return (await stepvault.run({ step: step(code, { network: own }) })).output;
  };
  const passed = "Cannot reach 10.0.0.1: its address is not a public one";
  test.each([
    [null, "open", passed],
    [null, "none", `Cannot reach 10.0.0.1: this step's network policy is "none"`],
    ["open", "open", passed],
    ["none", "open", `Cannot reach 10.0.0.1: this project's network policy is "none"`],
    [["10.0.0.1"], ["10.0.0.1"], passed],
    [
      ["POST 10.0.0.1"],
      "open",
      "Cannot send GET to 10.0.0.1: none of the 1 rules of this project's network policy allows it (POST 10.0.0.1)",
    ],
    [
      ["10.0.0.1"],
      ["10.0.0.2"],
      "Cannot send GET to 10.0.0.1: none of the 1 rules of this step's network policy allows it (10.0.0.2)",
    ],
  ] satisfies [NetworkPolicy | null, NetworkPolicy, string][])(
    "%j and the step's %j",
    async (network, own, message) => {
      expect(await reach(network, own)).toBe(message);
    },
  );
  test("is checked when it is set", async () => {
    const set = stepvault.service.vault.tenancy.setProjectNetwork({
      projectId: stepvault.projectId,
      network: ["sk live key"],
    });
    await expect(set).rejects.toMatchObject({
      code: "ERR_NETWORK_POLICY_INVALID",
      message: expect.not.stringContaining("sk live"),
    });
  });
});
