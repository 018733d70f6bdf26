/**
 * The project that holds an organization's own secrets. Goal: it is not there: for nobody, in no list, for no key and no job.
 * Method: every function of the vault is called with its id and with one that nobody has, and must answer alike; so a function
 * that is added is asked too. Real PostgreSQL, real runs.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { type Action, actions } from "../../../protocol/roles.ts";
import { saveStep } from "../../../runs/steps.ts";
import { RunStore } from "../../../runs/store.ts";
import { recordRuns } from "../../../runs/submit.ts";
import { type Actor, operator } from "../../../vault/tenancy/actor.ts";
import { authorize } from "../../../vault/tenancy/authorize.ts";
import { jobResult, openTestService } from "../../helpers/service.ts";
import { openSecretsWorld, type SecretsWorld } from "./secrets-world.ts";

const name = "SHARED_KEY";
let world: SecretsWorld;
let support: string;

beforeAll(async () => {
  world = await openSecretsWorld();
  support = world.projects[0];
});
afterAll(async () => await world.dispose());

const organizations = (): { place: { organizationId: string }; name: string } => ({ place: world.organization, name });

describe("the project that holds them", () => {
  let hidden: string;
  const key = (projects: "all" | string[]): Actor => ({
    kind: "key",
    id: createId(),
    organizationId: world.organization.organizationId,
    projects,
    scopes: ["trigger", "read:runs", "manage:secrets", "admin"],
  });
  const actors = (): Actor[] => [operator, { kind: "person", id: "owner" }, key("all"), key([hidden])];

  beforeEach(async () => {
    await world.set(world.organization, name, "of the organization", { access: "all" });
    hidden = await world.hidden();
  });

  test("is not there for `authorize`, whoever asks for whatever", async () => {
    for (const actor of actors()) {
      const answers = await Promise.all(
        (Object.keys(actions) as Action[]).map(
          async (action) =>
            await authorize(world.database, actor, action, { projectId: hidden }).then(
              () => action,
              (error: { code: string }) => error.code,
            ),
        ),
      );
      expect([...new Set(answers)]).toEqual(["ERR_PROJECT_UNKNOWN"]);
    }
  });

  /** What a call comes to, without its ids and times. */
  async function answerOf(work: () => unknown): Promise<string> {
    let told: unknown;
    try {
      told = (await work()) ?? "nothing";
    } catch (error) {
      told = [(error as { code?: string }).code, (error as Error).message];
    }
    const text = JSON.stringify(told, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
    return text.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/gi, "ID").replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME");
  }

  test("answers like one that is not there to every function of the vault", async () => {
    const withoutProject = new Set(["createOrganization", "listOrganizations", "createSignInLink"]);
    const everything = {
      name: "ANY_NAME",
      value: "a value",
      policy: {},
      enabled: true,
      toVersion: 1,
      days: 1,
      version: 1,
      runId: createId(),
      references: [{ name: "ANY_NAME" }],
      personId: "builder",
      role: "member",
      network: "open",
    };
    let calls = 0;
    for (const actor of actors()) {
      const vault = world.vault.as(actor);
      const groups = Object.values(vault).filter((group: unknown) => typeof group === "object" && group !== actor);
      const functions = groups.flatMap(
        (group: object) => Object.entries(group) as [string, (given: unknown) => unknown][],
      );
      functions.push(["manifestHead", async (id) => await vault.manifestHead(id as string)]);
      functions.push(["rebuildManifest", async (id) => await vault.rebuildManifest(id as string)]);
      for (const [called, work] of functions) {
        if (withoutProject.has(called)) continue;
        for (const shape of [
          (id: string): unknown => id,
          (id: string): unknown => ({ projectId: id }),
          (id: string): unknown => ({ ...everything, projectId: id, place: { projectId: id }, access: [id] }),
        ]) {
          const [known, unknown] = [
            await answerOf(() => work(shape(hidden))),
            await answerOf(() => work(shape(createId()))),
          ];
          expect([called, known]).toEqual([called, unknown]);
          calls += 1;
        }
      }
    }
    expect(calls).toBeGreaterThan(300);
    expect(await world.come(support, name)).toBe("of the organization");
  });

  test("is in no list, and in nothing that is told of its secrets", async () => {
    const { vault, organization } = world;
    await world.come(support, name);
    const told = [
      await vault.tenancy.listProjects(organization.organizationId),
      await world.as("owner").tenancy.listProjects(organization.organizationId),
      await vault.as(key("all")).tenancy.listProjects(organization.organizationId),
      await vault.secrets.list({ place: organization }),
      await vault.secrets.list({ place: { projectId: support } }),
      await vault.secrets.versions(organizations()),
      await vault.secrets.uses(organizations()),
      await vault.secrets.explain({ projectId: support, name }),
      await vault.secrets.whoWouldBreak(organizations()),
      await vault.secrets.access(organizations()),
      await vault.audit.list({ ...organization, limit: 2 }),
    ];
    const holds = (id: string): boolean[] => told.map((one) => JSON.stringify(one).includes(id));
    expect(holds(hidden)).toEqual(told.map(() => false));
    expect(holds(support)).toContain(true);
  });

  test("takes no run and no step: nobody's code is ever in it", async () => {
    const step = { name: "A step", step: { language: "javascript", code: "return 1" } } as const;
    for (const projectId of [hidden, createId()]) {
      const runs = [{ id: createId(), job: { projectId, step: step.step } }];
      await expect(recordRuns(world.database, runs, { projectId })).rejects.toMatchObject({
        code: "ERR_PROJECT_UNKNOWN",
      });
      expect(await new RunStore(world.database).createRejected(projectId, createId())).toBe(false);
      await expect(saveStep(world.database, { projectId, ...step })).rejects.toMatchObject({
        code: "ERR_PROJECT_UNKNOWN",
      });
    }
  });

  test("has the same head of its manifest for the operator, by the organization", async () => {
    const before = (await world.vault.manifestHead(world.organization))!;
    await world.set(world.organization, name, "another");
    expect((await world.vault.manifestHead(world.organization))!.counter).toBe(before.counter + 1n);
    await expect(world.as("owner").manifestHead(world.organization)).rejects.toMatchObject({ code: "ERR_FORBIDDEN" });
  });
});

describe("a job that an orchestrator put into the queue by itself", () => {
  test("runs nothing in the project that holds the organization's secrets, and as ever in another", async () => {
    const stepvault = await openTestService();
    try {
      const { service, projectId } = stepvault;
      const { organizationId } = await service.vault.tenancy.getProject(projectId);
      await service.vault.secrets.set({
        place: { organizationId },
        name: "SHARED",
        value: "of-the-organization",
        access: "all",
      });
      const { rows } = await service.database.query<{ id: string }>("select id from projects where shared");
      const job = async (id: string): Promise<{ status: string; code: string | undefined; output: unknown }> => {
        const queueId = createId();
        const step = { language: "javascript", code: 'return "<<secrets.SHARED>>".length' };
        await service.queue.addRaw(queueId, { projectId: id, step, labels: { agentId: "any" } });
        const { status, error, output } = await jobResult(service.queue, queueId);
        return { status, code: error?.code, output };
      };
      expect(await job(rows[0]!.id)).toMatchObject({ status: "rejected", code: "ERR_PROJECT_UNKNOWN" });
      expect(await job(projectId)).toMatchObject({ status: "succeeded", output: "of-the-organization".length });
      expect((await service.database.query("select from runs")).rowCount).toBe(1);
    } finally {
      await stepvault.close();
    }
  });
});
