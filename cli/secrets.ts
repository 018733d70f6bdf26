/**
 * `stepvault secrets`: the secrets of a project or an organization, as the operator. Each action is one function of the vault;
 * what they do and refuse is told there.
 */
import type { Place } from "../vault/tenancy/authorize.ts";
import type { Vault } from "../vault/vault.ts";
import type { Handlers } from "./commands.ts";
import { type Given, UsageError } from "./given.ts";
import { withProgress } from "./progress.ts";
import { readJson, readText } from "./read-file.ts";
import { data, dataJson, dataLine, exitCodes, note } from "./terminal.ts";
import { accessOf, dateOf, day, print, printDone, readValue } from "./vault-options.ts";
import { withVault } from "./with-vault.ts";

interface Call {
  readonly given: Given;
  readonly vault: Vault;
  readonly place: Place;
}

type Actions = Readonly<Record<string, (call: Call) => Promise<number | void>>>;

const changes: Actions = {
  set: async (call) => await store(call, undefined),
  rotate: async (call) => await store(call, call.given.number("end-unused-hours") ?? 24),
  async change(call) {
    const { given, vault } = call;
    const change = { ...metadataOf(given), rotationDays: rotationDaysOf(given) };
    if (Object.values(change).every((field) => field === undefined)) throw new UsageError("say what to change");
    await vault.secrets.change({ ...named(call), ...change });
    done(call, "changed");
  },
  async rollback(call) {
    const toVersion = call.given.number("to")!;
    const version = await call.vault.secrets.rollback({ ...named(call), toVersion });
    const { name } = named(call);
    printDone(call.given, { name, version }, { note: `version ${version} has what version ${toVersion} had` });
  },
  async enable(call) {
    await call.vault.secrets.switch({ ...named(call), enabled: true });
    done(call, "enabled");
  },
  async disable(call) {
    await call.vault.secrets.switch({ ...named(call), enabled: false });
    done(call, "disabled");
  },
  async delete(call) {
    await call.vault.secrets.delete(named(call));
    done(call, "deleted");
  },
  async restore(call) {
    await call.vault.secrets.restore(named(call));
    done(call, "restored");
  },
  async destroy(call) {
    const versions = call.given.texts("version").map(Number);
    const all = call.given.has("all");
    if (all === versions.length > 0)
      throw new UsageError("say what to destroy: --version N, as often as needed, or --all");
    const destroyed = await call.vault.secrets.destroy({ ...named(call), ...(all ? {} : { versions }) });
    const told = destroyed.map((each) => `version ${each}`).join(", ") || "nothing was left";
    printDone(call.given, { ...named(call), destroyed }, { note: `destroyed: ${told}` });
  },
  async import({ given, vault, place }) {
    const [overwrite, prune, dryRun] = [given.has("overwrite"), given.has("prune"), given.has("dry-run")];
    const request = { place, text: readText(given.required("FILE"), "secrets file"), overwrite, prune };
    const { changes: found } = dryRun
      ? await vault.secrets.previewImport(request)
      : await withProgress("importing", async () => await vault.secrets.import(request));
    const cells = ({ name, action, differs }: (typeof found)[number]): string[] => [name, action, differs.join(", ")];
    print(found, { json: given.json, head: ["name", dryRun ? "would" : "done", "differs"], cells });
  },
};

const looks: Actions = {
  async list({ given: { json }, vault, place }) {
    const head = ["name", "version", "state", "kind", "expires", "last used"];
    print(await vault.secrets.list({ place }), {
      json,
      head,
      cells: (secret) => [
        secret.name,
        String(secret.version),
        stateOf(secret),
        [secret.policy?.sealed === true ? "sealed" : "readable", ...(secret.inherited ? ["inherited"] : [])].join(", "),
        day(secret.expiresAt),
        day(secret.lastUsedAt),
      ],
    });
  },
  async get(call) {
    const { given, vault, place } = call;
    const { name } = named(call);
    if (given.has("reveal")) {
      const value = (await vault.secrets.reveal({ place, name })).expose();
      return given.json ? dataJson({ name, value }) : data(`${value}\n`);
    }
    const sharedWith = await vault.secrets.access({ place, name });
    const secret = (await vault.secrets.list({ place })).find((entry) => entry.name === name && !entry.inherited);
    dataJson({ ...secret, sharedWith }, given.json ? 0 : 2);
  },
  async history(call) {
    print(await call.vault.secrets.versions(named(call)), {
      json: call.given.json,
      head: ["version", "made", "by", "uses", "last used", "state"],
      cells: ({ version, createdAt, createdBy, uses, lastUsedAt, destroyedAt, current, endUnusedHours }) => [
        String(version),
        createdAt.toISOString(),
        createdBy === undefined ? "" : `${createdBy.kind} ${createdBy.id}`,
        String(uses),
        day(lastUsedAt),
        destroyedAt !== null ? "destroyed" : current ? "in use" : endUnusedHours === null ? "" : "ends when unused",
      ],
    });
  },
  async export({ given, vault, place }) {
    const { text, withheld } = await vault.secrets.export({
      place,
      format: given.required("format") as "env" | "json",
    });
    data(text);
    for (const { name, why } of withheld) note(`withheld: ${name}, as ${why}`);
  },
  async explain(call) {
    const { given, vault } = call;
    const asked = { projectId: given.required("project"), name: named(call).name, stepId: given.text("step") };
    const { winner, candidates } = await vault.secrets.explain(asked);
    const cells = ({ level, name, state, why, version }: (typeof candidates)[number]): string[] => [
      level,
      name,
      version === undefined ? "" : String(version),
      state,
      why,
    ];
    print(candidates, { json: given.json, head: ["level", "name", "version", "state", "why"], cells });
    return winner === undefined ? exitCodes.user : exitCodes.success;
  },
  async uses(call) {
    print(await call.vault.secrets.uses(named(call)), {
      json: call.given.json,
      head: ["version", "step", "caller", "uses", "last used", "last run"],
      cells: ({ version, step, caller, uses, lastUsedAt, lastRunId }) => [
        String(version),
        step?.name ?? step?.id ?? "sent along",
        caller ?? "",
        String(uses),
        lastUsedAt.toISOString(),
        lastRunId,
      ],
    });
  },
  async impact(call) {
    const days = call.given.number("days");
    const { steps, uses, fallback } = await call.vault.secrets.whoWouldBreak({ ...named(call), days });
    if (call.given.json) return dataJson({ steps, uses, fallback });
    const cells = ({ projectId, id, version, name }: (typeof steps)[number]): string[] => [
      projectId,
      id,
      String(version),
      name,
    ];
    print(steps, { json: false, head: ["project", "step", "version", "name"], cells });
    note(
      `${uses.length} ways of use lately${fallback ? "; the organization's secret of this name would be used instead" : ""}`,
    );
  },
  async unused({ given, vault, place }) {
    const secrets = await vault.secrets.unused({ place, days: given.number("days")! });
    for (const secret of secrets)
      if (given.json) dataJson(secret);
      else dataLine(secret.name);
  },
  async stale({ given, vault, place }) {
    for (const secret of await vault.secrets.stale({ place }))
      if (given.json) dataJson(secret);
      else dataLine(`${secret.name}  since ${day(secret.rotationDueAt)}`);
  },
  async verify({ given, vault, place }) {
    const verdict = await vault.secrets.verify(place);
    const { changed, removed, unproven } = verdict;
    const whole = changed.length + removed.length === 0 && !unproven;
    if (given.json) dataJson(verdict);
    else if (whole) dataLine("whole");
    else if (unproven) dataLine("broken: the key or the manifest of the place was changed");
    else {
      for (const name of changed) dataLine(`changed: ${name}`);
      for (const name of removed) dataLine(`removed: ${name}`);
    }
    return whole ? exitCodes.success : exitCodes.system;
  },
};

export const secretsHandlers: Handlers = Object.fromEntries(
  Object.entries({ ...changes, ...looks }).map(([name, action]) => [
    name,
    async (given: Given) => await withVault(async (vault) => await action({ given, vault, place: given.place() })),
  ]),
);

async function store(call: Call, endUnusedHours: number | undefined): Promise<void> {
  const { given, vault } = call;
  const at = named(call);
  const policy = given.text("policy");
  const version = await vault.secrets.set({
    ...at,
    value: await readValue(`the value of ${at.name}`),
    policy: policy === undefined ? undefined : (readJson(policy, "policy file") as object),
    ...metadataOf(given),
    ifVersion: given.number("if-version"),
    endUnusedHours,
  });
  printDone(given, { name: at.name, version }, { note: `${at.name} is at version ${version}` });
}

// The return type is what the vault takes as metadata.
// oxlint-disable-next-line typescript/explicit-function-return-type
function metadataOf(given: Given) {
  return {
    description: given.text("description"),
    tags: given.has("tag") ? given.texts("tag") : undefined,
    expiresAt: dateOf(given.text("expires"), "--expires"),
    access: accessOf(given.text("access")),
  };
}

function rotationDaysOf(given: Given): number | null | undefined {
  const text = given.text("rotation-days");
  if (text === undefined || text === "never") return text === undefined ? undefined : null;
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new UsageError("--rotation-days is a number of days, or never");
}

function named({ given, place }: Call): { place: Place; name: string } {
  return { place, name: given.required("NAME") };
}

function done(call: Call, what: string): void {
  printDone(call.given, { name: named(call).name, [what]: true }, {});
}

function stateOf(secret: {
  tampered: boolean;
  deleted: boolean;
  disabled: boolean;
  expired: boolean;
  maskable: boolean;
}): string {
  if (secret.tampered) return "tampered";
  if (secret.deleted) return "deleted";
  if (secret.disabled) return "off";
  if (secret.expired) return "expired";
  return secret.maskable ? "on" : "on, too short to be masked";
}
