/**
 * Secrets that are for certain steps, agents or roles. Goal: a policy decides alike for using, checking and explaining, by what
 * the database knows of the step, and nothing that a job or a caller says of itself opens anything. Each attack claims to be
 * what it is not. Real PostgreSQL; one real run.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parseConfig } from "../../../protocol/config.ts";
import { createId } from "../../../protocol/ids.ts";
import type { SecretPolicyInput } from "../../../protocol/secret-policy.ts";
import { saveStep } from "../../../runs/steps.ts";
import type { Agent } from "../../../vault/platform-keys/agents.ts";
import { operator } from "../../../vault/tenancy/actor.ts";
import { planStep } from "../../../worker/step-plan.ts";
import { jobResult, openTestService } from "../../helpers/service.ts";
import { type Asking, openSecretsWorld, type SecretsWorld } from "./secrets-world.ts";

const [value, refused] = ["the value", "ERR_SECRET_NOT_ALLOWED"];

let world: SecretsWorld;
let support: string;
let sales: string;
let name: string;
let count = 0;

beforeAll(async () => {
  world = await openSecretsWorld();
  [support, sales] = world.projects;
});
afterAll(async () => await world.dispose());
beforeEach(() => (name = `KEY_${(count += 1)}`));

const keep = async (policy: SecretPolicyInput): Promise<void> =>
  void (await world.set({ projectId: support }, name, value, { policy }));
const ways = async (asking: Asking = {}, projectId = support): Promise<string> =>
  await world.ways(projectId, name, asking);
const agent = async (kind: Agent["kind"], stepIds: string[], projectId = support): Promise<Agent> =>
  await world.vault.agents.create({ projectId, kind, name: "An agent", public: false, stepIds });
const person = (id: string): { kind: "person"; id: string } => ({ kind: "person", id });

async function whyNot(asking: Asking = {}): Promise<string> {
  const { candidates } = await world.vault.secrets.explain({ projectId: support, name, ...asking });
  return candidates[0]!.why;
}

describe("a secret for certain steps", () => {
  test("is for these alone, in whichever letters their ids come, and not for code that is sent along", async () => {
    const [mine, other] = [await world.saveStep(support), await world.saveStep(support)];
    await keep({ steps: [mine] });
    expect([await ways({ stepId: mine }), await ways({ stepId: mine.toUpperCase() })]).toEqual([value, value]);
    expect([await ways({ stepId: other }), await ways()]).toEqual([refused, refused]);
    expect(await whyNot({ stepId: other })).toBe("it is for 1 saved step(s), and not for this step");
    expect(await whyNot()).toBe("it is for 1 saved step(s), and not for code that is sent along with its run");
  });

  test("is for its new versions too, and for a version that is there", async () => {
    const mine = await world.saveStep(support);
    await world.saveStep(support, undefined, mine);
    await keep({ steps: [mine] });
    expect(await ways({ stepId: mine, stepVersion: 1 })).toBe(value);
    expect(await ways({ stepId: mine, stepVersion: 3 })).toBe(refused);
  });

  test("is not for a step that is not the project's: of another one, or of none", async () => {
    const [theirs, none] = [await world.saveStep(sales), createId()];
    await keep({ steps: [theirs, none] });
    for (const stepId of [theirs, none, "not an id", ""]) expect(await ways({ stepId })).toBe(refused);
    await world.set(world.organization, name, value, { access: "all", policy: { steps: [theirs] } });
    expect(await ways({ stepId: theirs }, sales)).toBe(value);
    await world.vault.secrets.delete({ place: { projectId: support }, name });
    expect(await ways({ stepId: theirs })).toBe(refused);
  });

  test("is decided by the secret that is meant, also by an alias of chains", async () => {
    const mine = await world.saveStep(support);
    await keep({ steps: [mine] });
    const alias = async (asking?: Asking): Promise<string> => await world.ways(support, `chains_${name}`, asking);
    expect([await alias({ stepId: mine }), await alias()]).toEqual([value, refused]);
    await world.set({ projectId: support }, `chains_${name}`, "of that very name");
    expect([await alias(), await ways()]).toEqual(["of that very name", refused]);
  });

  test("refuses a step with the position of the reference, among others that it may use", async () => {
    await keep({ steps: [createId()] });
    await world.set({ projectId: support }, "FREE", "free");
    const references = [
      { name: "FREE", line: 1, column: 1 },
      { name, line: 2, column: 5 },
    ];
    const failure = world.vault.secrets.use({ projectId: support, references, runId: createId() });
    await expect(failure).rejects.toMatchObject({ code: refused, position: { line: 2, column: 5 } });
  });
});

describe("a secret for certain agents or workforces", () => {
  test.each(["agent", "workforce"] as const)(
    "is for the steps of an %s, and no longer for one that was moved out",
    async (kind) => {
      const [mine, other] = [await world.saveStep(support), await world.saveStep(support)];
      const { id } = await agent(kind, [mine]);
      await keep({ agents: [id.toUpperCase()] });
      expect([await ways({ stepId: mine }), await ways({ stepId: other }), await ways()]).toEqual([
        value,
        refused,
        refused,
      ]);
      await world.vault.agents.change({ projectId: support, id, stepIds: [other] });
      expect([await ways({ stepId: mine }), await ways({ stepId: other })]).toEqual([refused, value]);
      await world.vault.agents.delete({ projectId: support, id });
      expect(await ways({ stepId: other })).toBe(refused);
      expect(await whyNot({ stepId: other })).toBe(
        "it is for the steps of 1 agent(s) or workforce(s), and this step is in none of them",
      );
    },
  );

  test("is not for another project's agent, even one that names the step", async () => {
    const mine = await world.saveStep(support);
    const theirs = await agent("agent", [], sales);
    await keep({ agents: [theirs.id] });
    await expect(world.vault.agents.change({ projectId: sales, id: theirs.id, stepIds: [mine] })).rejects.toMatchObject(
      {
        code: "ERR_AGENT_INVALID",
      },
    );
    await world.sql("insert into agent_steps (agent_id, step_id) values ($1, $2)", theirs.id, mine);
    expect(await ways({ stepId: mine })).toBe(refused);
  });

  test("takes all of its conditions: the step, the agent and the role", async () => {
    const [mine, other] = [
      await world.saveStep(support, person("editor")),
      await world.saveStep(support, person("builder")),
    ];
    const { id } = await agent("agent", [mine, other]);
    await keep({ steps: [mine, other], agents: [id], roles: ["editor"] });
    expect([await ways({ stepId: mine }), await ways({ stepId: other })]).toEqual([value, refused]);
    await keep({ steps: [mine], agents: [createId()] });
    expect(await ways({ stepId: mine })).toBe(refused);
  });
});

describe("a secret for certain roles", () => {
  test("is for what these people saved, by the version that runs", async () => {
    const mine = await world.saveStep(support, person("editor"));
    await world.saveStep(support, person("builder"), mine);
    await keep({ roles: ["editor"] });
    expect(await ways({ stepId: mine, stepVersion: 1 })).toBe(value);
    expect([await ways({ stepId: mine, stepVersion: 2 }), await ways({ stepId: mine })]).toEqual([refused, refused]);
    expect(await whyNot({ stepId: mine })).toBe("it is for steps of editor, and of this step its author is builder");
  });

  test("is for the organization's owners without a role in the project, and for the deployment's own steps", async () => {
    await keep({ roles: ["owner"] });
    expect(await ways({ stepId: await world.saveStep(support, person("owner")) })).toBe(value);
    expect(await ways({ stepId: await world.saveStep(support, person("admin")) })).toBe(refused);
    expect(await ways({ stepId: await world.saveStep(support, { kind: "system", id: "operator" }) })).toBe(value);
  });

  test.each([
    ["nobody is known to have saved", undefined],
    ["a key saved", { kind: "key", id: createId() } as const],
    ["a key saved whose id is a person's", { kind: "key", id: "editor" } as const],
    ["a stranger saved", person("stranger")],
  ])("is not for a step that %s", async (_, by) => {
    await keep({ roles: ["editor", "builder", "owner"] });
    expect(await ways({ stepId: await world.saveStep(support, by) })).toBe(refused);
  });

  test("is not for code that is sent along with its run", async () => {
    await keep({ roles: ["editor"] });
    expect(await ways()).toBe(refused);
    expect(await whyNot()).toMatch(/of code that is sent along with its run nobody is known to have written it$/);
  });

  test("is not for an author who lost the role, and is again for who has it back", async () => {
    const personId = "leaver";
    const member = { ...world.organization, personId, name: personId, role: "member" } as const;
    const join = async (role: "editor" | "viewer"): Promise<void> => {
      await world.vault.tenancy.setOrganizationMember(member);
      await world.vault.tenancy.setProjectMember({ projectId: support, personId, role });
    };
    await join("editor");
    const stepId = await world.saveStep(support, person(personId));
    await keep({ roles: ["editor"] });
    expect(await ways({ stepId })).toBe(value);
    await join("viewer");
    expect(await ways({ stepId })).toBe(refused);
    await join("editor");
    await world.vault.tenancy.removeProjectMember({ projectId: support, personId });
    expect(await ways({ stepId })).toBe(refused);
    expect(await whyNot({ stepId })).toMatch(/its author is no member$/);
    await join("editor");
    expect(await ways({ stepId })).toBe(value);
    await world.vault.tenancy.removeOrganizationMember({ ...world.organization, personId });
    expect(await ways({ stepId })).toBe(refused);
  });

  test("has an author's role in the project that uses it, not in another one", async () => {
    await world.vault.tenancy.setProjectMember({ projectId: sales, personId: "viewer", role: "editor" });
    await keep({ roles: ["editor"] });
    expect(await ways({ stepId: await world.saveStep(support, person("viewer")) })).toBe(refused);
  });

  test("takes no role that could not use secrets at all", async () => {
    await expect(keep({ roles: ["viewer"] as never })).rejects.toMatchObject({ code: "ERR_SECRET_POLICY_INVALID" });
  });
});

describe("what is about to be saved", () => {
  const check = async (author: string, asking: Asking = {}): Promise<string[]> => {
    const references = [{ name }];
    const { failures } = await world.vault.secrets.check({
      projectId: support,
      references,
      author: person(author),
      ...asking,
    });
    return failures.map(({ code }) => code);
  };

  test("is checked as its author's, also over what is saved already", async () => {
    await keep({ roles: ["editor"] });
    expect([await check("editor"), await check("builder"), await check("stranger")]).toEqual([
      [],
      [refused],
      [refused],
    ]);
    const stepId = await world.saveStep(support, person("editor"));
    expect(await check("builder", { stepId })).toEqual([refused]);
  });

  test("and a run cannot say who its author is", async () => {
    await keep({ roles: ["editor"] });
    const lie = { projectId: support, references: [{ name }], runId: createId(), author: person("editor") };
    await expect(world.vault.secrets.use(lie)).rejects.toMatchObject({ code: refused });
    const system = { ...lie, author: operator };
    await expect(world.vault.secrets.use(system)).rejects.toMatchObject({ code: refused });
  });
});

describe("a run", () => {
  test("is of the version that was loaded for it, whatever is saved meanwhile", async () => {
    const first = await world.saveStep(support, person("builder"));
    const { limitMaxima } = parseConfig({});
    const job = { projectId: support, step: { id: first } };
    const plan = await planStep(world.database, job, { maxima: limitMaxima });
    await world.saveStep(support, person("editor"), first);
    await keep({ roles: ["editor"] });
    expect(plan.version).toBe(1);
    expect(await ways({ stepId: first, stepVersion: plan.version })).toBe(refused);
    expect((await planStep(world.database, job, { maxima: limitMaxima })).version).toBe(2);
    const sent = { projectId: support, step: { language: "javascript", code: "" } } as const;
    expect((await planStep(world.database, sent, { maxima: limitMaxima })).version).toBeUndefined();
  });

  test("is not of the step or the agent that its labels name", async () => {
    const stepvault = await openTestService();
    try {
      const { service, projectId } = stepvault;
      const code = 'return "<<secrets.GUARDED>>".length';
      const step = { language: "javascript", code } as const;
      const { id } = await saveStep(service.database, { projectId, name: "Allowed", step });
      const allowed = await service.vault.agents.create({
        projectId,
        kind: "agent",
        name: "Allowed",
        public: false,
        stepIds: [id],
      });
      const place = { projectId };
      await service.vault.secrets.set({
        place,
        name: "GUARDED",
        value: "guarded-value",
        policy: { agents: [allowed.id] },
      });
      const outcome = async (job: object): Promise<unknown> => {
        const queueId = createId();
        await service.queue.addRaw(queueId, { projectId, ...job });
        const { output, error } = await jobResult(service.queue, queueId);
        return error?.code ?? output;
      };
      const labels = { agentId: allowed.id, workforceId: allowed.id, stepId: id };
      expect(await outcome({ step, labels })).toBe(refused);
      expect(await outcome({ step: { ...step, id }, labels })).toBe("ERR_JOB_INVALID");
      expect(await outcome({ step, stepId: id })).toBe("ERR_JOB_INVALID");
      expect(await outcome({ step: { id } })).toBe("guarded-value".length);
      await service.vault.secrets.setPolicy({ place, name: "GUARDED", policy: { steps: [createId()] } });
      expect(await outcome({ step: { id }, labels })).toBe(refused);
    } finally {
      await stepvault.close();
    }
  });
});
