/**
 * The vault does not slow down with its size. Goal: in a deployment with 10,000 projects, half of them in one organization,
 * nothing that runs, people and keys ask for reads a large table from its beginning to its end, and the rows that are looked at
 * are in proportion to what is given back. Method: every statement that the code sends is analysed by PostgreSQL, with
 * millions of rows there (scale-world.ts, watched.ts). Rows are counted and not milliseconds, which tell of the machine.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import type { Database } from "../../../database/connection.ts";
import { getRun, listRuns } from "../../../runs/find.ts";
import type { RunQueue } from "../../../runs/queue.ts";
import { loadStep, saveStep } from "../../../runs/steps.ts";
import { RunStore } from "../../../runs/store.ts";
import { submitRun } from "../../../runs/submit.ts";
import { dispatchDue, restoreLost } from "../../../runs/sweep.ts";
import { WorkerWatch } from "../../../runs/workers.ts";
import type { Place } from "../../../vault/tenancy/authorize.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { counts, openScale, type Scale } from "./scale-world.ts";
import { type Plan, WatchedDatabase } from "./watched.ts";

/** Smaller tables are read whole with a page or two. */
const largeRowsMin = 1_500;
const organizationSteps = counts.steps / 2;

let scale: Scale;
let watched: WatchedDatabase;
let vault: Vault;
let store: RunStore;
let large: ReadonlySet<string>;
let run: { id: string; projectId: string };

beforeAll(async () => {
  scale = await openScale();
  const { database, config } = scale.temporary;
  const { rows } = await database.query<{ name: string }>(
    `select relname as name from pg_class
     where relkind = 'r' and relnamespace = 'stepvault'::regnamespace and reltuples > $1`,
    [largeRowsMin],
  );
  large = new Set(rows.map(({ name }) => name));
  const made = await database.query<typeof run>(
    `select id, project_id as "projectId" from runs where id = made('run', 100)`,
  );
  run = made.rows[0]!;
  watched = new WatchedDatabase(database);
  vault = await openVault(watched, config);
  store = new RunStore(asDatabase());
}, 300_000);

afterAll(async () => {
  vault.close();
  await scale.close();
});

const asDatabase = (): Database => watched as unknown as Database;
const busy = (): Place => ({ projectId: scale.busy });
const organization = (): { organizationId: string } => ({ organizationId: scale.large });
const ann = (): Vault => vault.as({ kind: "person", id: "ann" });
const refused = (): void => {};
const step = { language: "javascript", code: "return 1" } as const;
const runParts = () => ({
  database: asDatabase(),
  queue: { add: async () => {}, restore: async () => 0, setTurn: async () => {} } as unknown as RunQueue,
});

async function use(names: readonly string[], projectId = scale.busy): Promise<unknown> {
  const references = names.map((name) => ({ name }));
  return await vault.secrets.use({ projectId, references, runId: createId(), stepId: scale.stepId, caller: "agent-1" });
}

/** How the statements of a call were carried out, where these look at large tables. */
async function watch(call: () => Promise<unknown>): Promise<Plan[]> {
  watched.take();
  await call();
  const plans = watched.take();
  expect(plans.length).toBeGreaterThan(0);
  return plans.map(({ text, looks }) => ({ text, looks: looks.filter(({ table }) => large.has(table)) }));
}

const lookedAt = (plans: readonly Plan[]): number =>
  plans.flatMap(({ looks }) => looks).reduce((sum, { rows }) => sum + rows, 0);
const readWhole = (plans: readonly Plan[]): string[] =>
  plans.flatMap(({ text, looks }) => looks.filter(({ whole }) => whole).map(({ table }) => `${table} by ${text}`));

/** A call, and how many rows it may look at. */
type Case = readonly [title: string, rowsMax: number, call: () => Promise<unknown>];

const own = Array.from({ length: 20 }, (_, index) => `KEY_${index}`);
const listed = counts.busySecrets + 502;

const runs: Case[] = [
  ["20 of 1,000 secrets", 150, async () => await use(own)],
  ["the organization's secrets, for all and for some", 50, async () => await use(["FOR_ALL", "FOR_SOME"])],
  ["the only secret of a small project", 20, async () => await use(["ONLY"], scale.quiet)],
  // Among all names of the project the closest one is looked for.
  ["a secret that there is not", listed, async () => await use(["NOTHING"]).catch(refused)],
  [
    "checking references",
    50,
    async () => await vault.secrets.check({ projectId: scale.busy, references: [{ name: "FOR_ALL" }] }),
  ],
  ["explaining a reference", 30, async () => await vault.secrets.explain({ projectId: scale.busy, name: "FOR_SOME" })],
  ["a credential", 30, async () => await vault.credentials.resolve({ projectId: scale.busy, integration: "openai" })],
  ["loading a step", 3, async () => await loadStep(asDatabase(), scale.busy, { id: scale.stepId })],
  ["submitting a run", 15, async () => await submitRun(runParts(), { projectId: scale.busy, step })],
  [
    "submitting a run that needs another one",
    25,
    async () => await submitRun(runParts(), { projectId: run.projectId, step, after: { one: run.id } }),
  ],
  ["claiming a run that has ended", 10, async () => await store.claim(run.projectId, run.id, "worker")],
  ["what a worker holds", 30, async () => await store.listHeld("gone")],
  ["workers that are gone", 30, async () => await new WorkerWatch(asDatabase()).listGone("worker")],
  ["what a dead worker held", 150, async () => await store.takeOver("gone", "worker")],
  // From project to project, a hundred times two looks, and the runs of those where one is due.
  ["held runs that are due", 5_000, async () => await dispatchDue(runParts())],
  ["runs that the queue may have lost", 2_000, async () => await restoreLost(runParts())],
  ["runs that are to be cancelled", 60, async () => await store.listCancelRequested()],
  ["a run", 3, async () => await getRun(asDatabase(), run.projectId, run.id)],
  ["a project's newest runs", 60, async () => await listRuns(asDatabase(), run.projectId, { limit: 50 })],
  ["a run's events", 10, async () => await store.listEvents(run.projectId, run.id)],
];

const secrets: Case[] = [
  [
    "setting one",
    80,
    async () => await vault.secrets.set({ place: busy(), name: "KEY_3", value: "another-value-0123" }),
  ],
  // Each secret with its version, and twice more to prove it; and the 2,000 callers of one of them.
  ["a project's list", 7 * listed + 2_000, async () => await vault.secrets.list({ place: busy() })],
  ["a small project's list", 20, async () => await vault.secrets.list({ place: { projectId: scale.quiet } })],
  [
    "an organization's list, one of them used by 5,000 projects",
    6 * 502 + 5_000,
    async () => await vault.secrets.list({ place: organization() }),
  ],
  ["unused ones", 7 * listed + 2_000, async () => await vault.secrets.unused({ place: busy(), days: 30 })],
  ["stale ones", 7 * listed + 2_000, async () => await vault.secrets.stale({ place: busy() })],
  [
    "versions of one with 2,000 callers",
    2_020,
    async () => await vault.secrets.versions({ place: busy(), name: "KEY_1" }),
  ],
  ["uses", 20, async () => await vault.secrets.uses({ place: busy(), name: "KEY_0" })],
  [
    "who would break without a project's",
    30,
    async () => await vault.secrets.whoWouldBreak({ place: busy(), name: "KEY_0" }),
  ],
  [
    "who would break without one that is granted",
    50,
    async () => await vault.secrets.whoWouldBreak({ place: organization(), name: "FOR_SOME" }),
  ],
  // Nothing but the text of its projects' steps tells; 5,000 projects are looked at, and whether each has a secret of the name.
  [
    "who would break without one for all of the organization",
    organizationSteps + 20_000,
    async () => await vault.secrets.whoWouldBreak({ place: organization(), name: "FOR_ALL" }),
  ],
  [
    "who can act with one that is for all",
    2_000,
    async () => await vault.secrets.access({ place: organization(), name: "FOR_ALL" }),
  ],
  ["proving a project's", 5 * counts.busySecrets, async () => await vault.secrets.verify(busy())],
  ["proving an organization's", 9 * 502, async () => await vault.secrets.verify(organization())],
  ["tombstones", 10, async () => await vault.secrets.tombstones({ place: busy() })],
  ["a leaked value", 250, async () => await vault.leaks.find({ ...organization(), text: "busy-value-2-0123456789" })],
  ["a leaked key", 250, async () => await vault.leaks.find({ ...organization(), text: scale.projectKey })],
  // Of 20,000 that wait for their end a thousand are looked at in one go.
  ["versions that are to end", 10_000, async () => await vault.secrets.endUnused()],
];

const lists: Case[] = [
  ["an organization's projects", counts.projects / 2 + 10, async () => await vault.tenancy.listProjects(scale.large)],
  ["a small organization's projects", 10, async () => await vault.tenancy.listProjects(scale.small)],
  ["a member's projects", 20, async () => await ann().tenancy.listProjects(scale.large)],
  ["a project's builders", 40, async () => await vault.tenancy.listBuilders(scale.busy)],
  ["a project's members", 20, async () => await vault.tenancy.listProjectMembers(scale.busy)],
  ["a presented project key", 10, async () => await vault.keys.check({ key: scale.projectKey })],
  ["a presented organization key", 10, async () => await vault.keys.check({ key: scale.organizationKey })],
  ["a presented embed key", 20, async () => await vault.keys.check({ key: scale.embedKey })],
  // The 120 that are for all projects, each with the list of those that it is for.
  ["a project's keys", 1_000, async () => await vault.keys.listOfProject({ projectId: scale.busy })],
  ["an organization's keys", 4_000, async () => await vault.keys.listOfOrganization(organization())],
  ["a project's embed keys", 5, async () => await vault.embedKeys.list(scale.busy)],
  ["a project's agents", 10, async () => await vault.agents.list(scale.busy)],
  ["a project's credentials", 20, async () => await vault.credentials.list(busy())],
  ["an organization's credentials", 20, async () => await vault.credentials.list(organization())],
  ["credentials in force", 20, async () => await vault.credentials.listEffective(scale.busy)],
  ["the latest events", 60, async () => await vault.audit.list({ ...organization(), limit: 50 })],
  ["events of long ago", 60, async () => await vault.audit.list({ ...organization(), before: 100_000, limit: 50 })],
  [
    "events of a project",
    60,
    async () => await vault.audit.list({ ...organization(), projectId: scale.busy, limit: 50 }),
  ],
  [
    "events of a project of long ago",
    60,
    async () => await vault.audit.list({ ...organization(), projectId: scale.busy, before: 50, limit: 50 }),
  ],
  [
    "events of another organization's project",
    10,
    async () => await vault.audit.list({ ...organization(), projectId: scale.quiet, limit: 50 }),
  ],
  ["a signed head", 3, async () => await vault.audit.head(organization())],
  [
    "a denial among 10,000",
    60,
    async () => await ann().tenancy.setProjectNetwork({ projectId: scale.busy, network: "none" }).catch(refused),
  ],
  [
    "saving a step",
    20,
    async () =>
      await saveStep(asDatabase(), {
        projectId: scale.busy,
        id: scale.stepId,
        name: "Charge",
        step: { language: "javascript", code: "return 1" },
      }),
  ],
];

describe.each([
  ["for a run", runs],
  ["of secrets", secrets],
  ["of the organization", lists],
])("%s", (_, cases) => {
  test.each(cases)(
    "%s: at most %d rows are looked at, and no large table is read whole",
    async (_title, rowsMax, call) => {
      const plans = await watch(call);
      expect(readWhole(plans)).toEqual([]);
      expect(lookedAt(plans)).toBeLessThanOrEqual(rowsMax);
    },
  );
});

describe("a use", () => {
  test("takes five statements between the beginning and the end of its transaction", async () => {
    expect(await watch(async () => await use(own))).toHaveLength(5);
  });
});

describe("a missing index", () => {
  test("shows", async () => {
    await scale.temporary.database.query("drop index secret_versions_fingerprint");
    const plans = await watch(async () => await vault.leaks.find({ ...organization(), text: "nowhere-0123456789" }));
    expect(readWhole(plans).join()).toMatch(/^secret_versions by select/);
    expect(lookedAt(plans)).toBeGreaterThan(counts.secrets);
  });
});
