/**
 * Which secret a reference means, after any sequence of changes. Goal: what runs get, what checking and explaining say and what
 * lists show is what a model of a few lines says, in every project, for every name, step and time. Method: random commands
 * against a real vault, made small by fast-check when one fails; the seed is in the failure.
 */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { openSecretsWorld, type SecretsWorld } from "./secrets-world.ts";

const names = ["alpha", "chains_alpha", "beta"] as const;
type Name = (typeof names)[number];
/** 0 is the organization, 1 and 2 its projects. */
type At = 0 | 1 | 2;
/** What a reference may be asked by: code that is sent along, or a saved step. */
const askers = ["sent", "saved"] as const;

interface Version {
  readonly value: string;
  readonly onlySaved: boolean;
  destroyed: boolean;
}

interface Model {
  readonly secrets: Map<
    string,
    { versions: Version[]; off: boolean; deleted: boolean; expiresAt: number; access: "all" | readonly At[] }
  >;
  now: number;
  values: number;
}

interface Real {
  readonly organizationId: string;
  readonly projects: readonly [string, string];
  readonly steps: readonly [string, string];
}

type Change =
  | { kind: "set" | "delete" | "restore" | "destroy" | "destroyLast"; at: At; name: Name }
  | { kind: "setAnew"; at: At; name: Name; access: "all" | readonly At[] }
  | { kind: "switch"; at: At; name: Name; enabled: boolean }
  | { kind: "grant"; at: At; name: Name; access: "all" | readonly At[] }
  | { kind: "expire"; at: At; name: Name; hours: number | null }
  | { kind: "rollback"; at: At; name: Name; back: number }
  | { kind: "policy"; at: At; name: Name; onlySaved: boolean }
  | { kind: "wait"; hours: number };

const hour = 3_600_000;
const key = (at: At, name: Name): string => `${at} ${name}`;

/** The rule, as somebody would tell it: the value, or the code of the error. */
function expected({ secrets, now }: Model, at: At, name: Name, asker: (typeof askers)[number]): string {
  const meant = name === "chains_alpha" ? (["chains_alpha", "alpha"] as const) : [name];
  let gaveWay: string | undefined;
  for (const level of [at, 0] as const) {
    for (const one of meant) {
      const secret = secrets.get(key(level, one));
      if (secret === undefined) continue;
      if (secret.deleted) gaveWay ??= "ERR_SECRET_DELETED";
      else if (level === 0 && secret.access !== "all" && !secret.access.includes(at))
        gaveWay ??= "ERR_SECRET_NOT_GRANTED";
      else {
        const last = secret.versions.at(-1)!;
        if (secret.off) return "ERR_SECRET_DISABLED";
        if (secret.expiresAt <= now) return "ERR_SECRET_EXPIRED";
        if (last.destroyed) return "ERR_SECRET_DESTROYED";
        return last.onlySaved && asker !== "saved" ? "ERR_SECRET_NOT_ALLOWED" : last.value;
      }
    }
  }
  return gaveWay ?? "ERR_SECRET_UNKNOWN";
}

let world: SecretsWorld;
beforeAll(async () => {
  world = await openSecretsWorld();
});
afterAll(async () => await world.dispose());

/** What a change came to: done, or the code of its refusal. */
async function outcome(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => "done",
    (error: { code: string }) => error.code,
  );
}

function applyToModel(change: Change, model: Model): string {
  if (change.kind === "wait") {
    model.now += change.hours * hour;
    return "done";
  }
  const { at, name } = change;
  const secret = model.secrets.get(key(at, name));
  if (change.kind === "set" || change.kind === "setAnew") {
    const last = secret?.versions.at(-1);
    // Without a policy a new value keeps the one that there is; a destroyed version has none to keep.
    if (last?.destroyed === true) return "ERR_SECRET_DESTROYED";
    const next = secret ?? { versions: [], off: false, deleted: false, expiresAt: Infinity, access: [] };
    if (change.kind === "setAnew" && at !== 0) return "ERR_SECRET_METADATA_INVALID";
    next.versions.push({
      value: `value-number-${model.values}`,
      onlySaved: last?.onlySaved ?? false,
      destroyed: false,
    });
    next.deleted = false;
    if (change.kind === "setAnew") next.access = change.access;
    model.secrets.set(key(at, name), next);
    return "done";
  }
  if (change.kind === "rollback" && (secret?.versions.length ?? 0) - change.back < 1)
    return "ERR_SECRET_VERSION_UNKNOWN";
  if (secret === undefined) return "ERR_SECRET_UNKNOWN";
  const last = secret.versions.at(-1)!;
  switch (change.kind) {
    case "delete":
      if (secret.deleted) return "ERR_SECRET_UNKNOWN";
      secret.deleted = true;
      return "done";
    case "restore":
      secret.deleted = false;
      return "done";
    case "destroy":
      model.secrets.delete(key(at, name));
      return "done";
    case "destroyLast":
      if (last.destroyed) return "ERR_SECRET_VERSION_UNKNOWN";
      last.destroyed = true;
      return "done";
    case "switch":
      secret.off = !change.enabled;
      return "done";
    case "grant":
      if (at !== 0) return "ERR_SECRET_METADATA_INVALID";
      secret.access = change.access;
      return "done";
    case "expire":
      secret.expiresAt = change.hours === null ? Infinity : model.now + change.hours * hour;
      return "done";
    case "rollback": {
      const target = secret.versions.at(-1 - change.back)!;
      if (secret.deleted) return "ERR_SECRET_DELETED";
      if (target.destroyed) return "ERR_SECRET_DESTROYED";
      secret.versions.push({ ...target });
      return "done";
    }
    case "policy":
      if (last.destroyed) return "ERR_SECRET_DESTROYED";
      secret.versions.push({ ...last, onlySaved: change.onlySaved });
  }
  return "done";
}

async function applyToVault(change: Change, model: Model, real: Real): Promise<string> {
  if (change.kind === "wait") return "done";
  const { secrets } = world.vault;
  const place =
    change.at === 0 ? { organizationId: real.organizationId } : { projectId: real.projects[change.at - 1]! };
  const at = { place, name: change.name };
  const versions = model.secrets.get(key(change.at, change.name))?.versions.length ?? 0;
  const ids = (access: "all" | readonly At[]): "all" | string[] =>
    access === "all" ? access : access.map((one) => real.projects[one - 1]!);
  switch (change.kind) {
    case "set":
      return await outcome(secrets.set({ ...at, value: `value-number-${model.values}` }));
    case "setAnew":
      return await outcome(secrets.set({ ...at, value: `value-number-${model.values}`, access: ids(change.access) }));
    case "delete":
    case "restore":
    case "destroy":
      return await outcome(secrets[change.kind](at));
    case "destroyLast":
      return await outcome(secrets.destroy({ ...at, versions: [Math.max(1, versions)] }));
    case "switch":
      return await outcome(secrets.switch({ ...at, enabled: change.enabled }));
    case "grant":
      return await outcome(secrets.change({ ...at, access: ids(change.access) }));
    case "expire": {
      const expiresAt = change.hours === null ? null : new Date(model.now + change.hours * hour);
      return await outcome(secrets.change({ ...at, expiresAt }));
    }
    case "rollback":
      return await outcome(secrets.rollback({ ...at, toVersion: versions - change.back }));
    case "policy":
  }
  return await outcome(secrets.setPolicy({ ...at, policy: { steps: change.onlySaved ? [...real.steps] : [] } }));
}

/** Each resolution, check, explanation and list in each project. */
async function compare(model: Model, real: Real): Promise<void> {
  const asked = ([1, 2] as const).flatMap((at) => askers.map((asker) => ({ at, asker })));
  await Promise.all(asked.map(async (one) => await compareResolutions(model, real, one)));
  await compareLists(model, real);
}

async function compareResolutions(
  model: Model,
  { projects, steps }: Real,
  { at, asker }: { at: 1 | 2; asker: (typeof askers)[number] },
): Promise<void> {
  const { secrets } = world.vault;
  const now = new Date(model.now);
  const projectId = projects[at - 1]!;
  const stepId = asker === "saved" ? steps[at - 1] : undefined;
  const wanted = names.map((name) => expected(model, at, name, asker));
  const fails = (index: number): boolean => wanted[index]!.startsWith("ERR_");
  // Failures are looked at one by one, a run's in turns, as each is recorded; what a check says of them is below.
  const turn = model.values % names.length;
  if (fails(turn)) expect(await world.come(projectId, names[turn]!, { stepId, now })).toBe(wanted[turn]);
  for (const [index, name] of names.entries()) {
    const { winner } = await secrets.explain({ projectId, name, stepId, now });
    const secret = winner && model.secrets.get(key(winner.level === "project" ? at : 0, winner.name as Name));
    const told = fails(index) ? [undefined, undefined] : [secret?.versions.length, wanted[index]];
    expect([name, winner?.version, secret?.versions.at(-1)?.value]).toEqual([name, ...told]);
  }
  // All that resolve at once, as a step would have them.
  const good = names.filter((_, index) => !fails(index)).map((name) => ({ name }));
  const values = await secrets.use({ projectId, stepId, now, references: good, runId: createId() });
  expect(values.map((value) => value.expose())).toEqual(wanted.filter((_, index) => !fails(index)));
  const references = names.map((name) => ({ name }));
  const { failures } = await secrets.check({ projectId, stepId, now, references });
  const failing = names.flatMap((name, index) => (fails(index) ? [[name, wanted[index]]] : []));
  expect(failures.map(({ name, code }) => [name, code])).toEqual(failing);
}

async function compareLists(model: Model, { organizationId, projects }: Real): Promise<void> {
  const now = new Date(model.now);
  for (const at of [0, 1, 2] as const) {
    const place = at === 0 ? { organizationId } : { projectId: projects[at - 1]! };
    const listed = await world.vault.secrets.list({ place, now });
    const told = listed.map(({ level, name, version, disabled, deleted, expired, tampered }) =>
      [level, name, version, disabled, deleted, expired, tampered].join(" "),
    );
    expect(told).toEqual([...linesOf(model, at, at), ...(at === 0 ? [] : linesOf(model, 0, at))]);
  }
}

/** The lines of a place's list that come from one level. */
function linesOf({ secrets, now }: Model, level: At, at: At): string[] {
  return [...names].sort().flatMap((name) => {
    const secret = secrets.get(key(level, name));
    if (secret === undefined) return [];
    const { versions, off, deleted, expiresAt, access } = secret;
    if (level !== at && (deleted || (access !== "all" && !access.includes(at)))) return [];
    return [
      [level === 0 ? "organization" : "project", name, versions.length, off, deleted, expiresAt <= now, false].join(
        " ",
      ),
    ];
  });
}

const command = (change: Change): fc.AsyncCommand<Model, Real> => ({
  check: () => true,
  async run(model, real) {
    model.values += 1;
    const done = await applyToVault(change, model, real);
    expect([change, done]).toEqual([change, applyToModel(change, model)]);
    await compare(model, real);
    commands += 1;
  },
  toString: () => JSON.stringify(change),
});

let commands = 0;

const begin: readonly Change[] = [
  { kind: "setAnew", at: 0, name: "alpha", access: "all" },
  { kind: "set", at: 1, name: "alpha" },
  { kind: "setAnew", at: 0, name: "beta", access: [1] },
  { kind: "set", at: 2, name: "beta" },
];

async function fresh(): Promise<{ model: Model; real: Real }> {
  const { tenancy } = world.vault;
  const { id: organizationId } = await tenancy.createOrganization(`Model ${createId()}`);
  const project = async (): Promise<string> => (await tenancy.createProject({ organizationId, name: "Project" })).id;
  const projects = [await project(), await project()] as const;
  const steps = [await world.saveStep(projects[0]), await world.saveStep(projects[1])] as const;
  // Later than any time that is checked when an expiry is set.
  const model: Model = { secrets: new Map(), now: Date.now() + hour, values: 0 };
  const real: Real = { organizationId, projects, steps };
  // Much is there from the start, so that most changes meet something.
  for (const change of begin) expect(await applyToVault(change, model, real)).toBe(applyToModel(change, model));
  return { model, real };
}

/** Each change once, there and back, where it meets something. */
const walk = (at: At): Change[] => [
  { kind: "switch", at, name: "alpha", enabled: false },
  { kind: "switch", at, name: "alpha", enabled: true },
  { kind: "expire", at, name: "alpha", hours: 1 },
  { kind: "wait", hours: 1 },
  { kind: "expire", at, name: "alpha", hours: null },
  { kind: "delete", at, name: "alpha" },
  { kind: "restore", at, name: "alpha" },
  { kind: "policy", at, name: "alpha", onlySaved: true },
  { kind: "rollback", at, name: "alpha", back: 1 },
  { kind: "destroyLast", at, name: "alpha" },
  { kind: "rollback", at, name: "alpha", back: 1 },
  { kind: "destroy", at, name: "alpha" },
];

test("every single change comes to what the model says, in a project and then in the organization", async () => {
  const { model, real } = await fresh();
  for (const change of [...walk(1), ...walk(0)]) await command(change).run(model, real);
  expect(model.secrets.size).toBe(2);
});

test(
  "every reference comes to what a small model says, and lists and explanations agree",
  { timeout: 120_000 },
  async () => {
    const where = {
      at: fc.constantFrom<At>(0, 1, 1, 1, 2),
      name: fc.constantFrom<Name>("alpha", "alpha", "alpha", "chains_alpha", "beta"),
    };
    const access = fc.constantFrom<"all" | readonly At[]>("all", [], [1], [1, 2]);
    const one = <Kind extends Change["kind"]>(kind: Kind): fc.Arbitrary<Kind> => fc.constant(kind);
    const changes: fc.Arbitrary<Change>[] = [
      fc.record({ kind: one("set"), ...where }),
      fc.record({ kind: one("set"), ...where }),
      fc.record({ kind: one("setAnew"), ...where, at: fc.constantFrom<At>(0, 0, 0, 1), access }),
      fc.record({ kind: one("switch"), ...where, enabled: fc.constantFrom(true, false, false) }),
      fc.record({ kind: one("grant"), ...where, at: fc.constantFrom<At>(0, 0, 0, 1), access }),
      fc.record({ kind: one("expire"), ...where, hours: fc.constantFrom(1, 2, null) }),
      fc.record({ kind: one("delete"), ...where }),
      fc.record({ kind: one("restore"), ...where }),
      fc.record({ kind: one("destroy"), ...where }),
      fc.record({ kind: one("destroyLast"), ...where }),
      fc.record({ kind: one("rollback"), ...where, back: fc.nat(2) }),
      fc.record({ kind: one("policy"), ...where, onlySaved: fc.boolean() }),
      fc.record({ kind: one("wait"), hours: fc.constantFrom(1, 2) }),
    ];
    const property = fc.asyncProperty(
      fc.commands([fc.oneof(...changes).map(command)], { maxCommands: 20, size: "max" }),
      async (sequence) => {
        const start = await fresh();
        await fc.asyncModelRun(() => start, sequence);
      },
    );
    await fc.assert(property, { numRuns: 1_000, interruptAfterTimeLimit: 25_000, markInterruptAsFailure: false });
    // Several hundred on an idle machine.
    expect(commands).toBeGreaterThan(50);
  },
);
