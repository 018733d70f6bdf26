/**
 * `stepvault secrets`: the secrets of a project or an organization, as the operator. Each action is one function of the vault;
 * what they do and refuse is told there.
 */
import { parseArgs } from "node:util";
import type { Place } from "../vault/tenancy/authorize.ts";
import type { Vault } from "../vault/vault.ts";
import { readJson, readText } from "./read-file.ts";
import { data, exitCodes, note } from "./terminal.ts";
import {
  dateOf,
  day,
  numberOf,
  placeOf,
  placeOptions,
  print,
  readValue,
  required,
  UsageError,
  withUsage,
} from "./vault-options.ts";
import { withVault } from "./with-vault.ts";

export const secretsUsage = `stepvault secrets ACTION [NAME] --project ID | --organization ID [options]

list                       what there is, without values; of a project with what it inherits
set NAME                   stores the value from stdin, or from a prompt; --policy FILE --description TEXT --tag TAG
                           --expires DATE|never --if-version N --access all|ID,ID (of an organization's)
rotate NAME                the same; the version before ends by itself: --end-unused-hours N (24)
get NAME                   what is known of it; --reveal prints the value, which the audit log tells
history NAME               its versions
rollback NAME --to N       value and policy of version N, as the next version
enable, disable NAME       a run that refers to one that is off is rejected
delete, restore NAME       deleting can be undone
destroy NAME [--version N] for good: versions, or with --all the whole secret
import FILE                .env or JSON; --dry-run shows what would change; --overwrite --prune
export --format env|json   values on stdout
explain NAME               which secret the name means in a project, and why no other; --step ID
uses, impact NAME          who used it; who would break without it
unused --days N, stale     what nobody uses; what should be rotated
verify                     whether all rows are as they were written

--json gives an object a line. Settings are STEPVAULT_* variables, as for start.

  printf %s "$KEY" | stepvault secrets set stripe_key --project 0199… --policy policy.json
  stepvault secrets import .env --project 0199… --dry-run`;

const options = {
  ...placeOptions,
  policy: { type: "string" },
  description: { type: "string" },
  tag: { type: "string", multiple: true },
  expires: { type: "string" },
  access: { type: "string" },
  "if-version": { type: "string" },
  "end-unused-hours": { type: "string" },
  reveal: { type: "boolean", default: false },
  to: { type: "string" },
  version: { type: "string", multiple: true },
  all: { type: "boolean", default: false },
  "dry-run": { type: "boolean", default: false },
  overwrite: { type: "boolean", default: false },
  prune: { type: "boolean", default: false },
  format: { type: "string" },
  step: { type: "string" },
  days: { type: "string" },
  json: { type: "boolean", default: false },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof options; allowPositionals: true }>>["values"];

interface Call {
  readonly vault: Vault;
  readonly place: Place;
  /** The secret's name, or the file to import. */
  readonly operand: string | undefined;
  readonly values: Values;
}

/** Gives an exit code where it is not that of success. */
type Action = (call: Call) => Promise<number | undefined | void>;

const actions: Readonly<Record<string, Action>> = {
  list: async ({ vault, place, values }) => {
    const secrets = await vault.secrets.list({ place });
    const head = ["name", "version", "state", "kind", "expires", "last used"];
    print(secrets, {
      json: values.json,
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
  set: async (call) => await store(call, undefined),
  rotate: async (call) => await store(call, numberOf(call.values["end-unused-hours"], "--end-unused-hours") ?? 24),
  get: async ({ vault, place, operand, values }) => {
    const name = required(operand, "NAME");
    if (values.reveal) {
      data(`${(await vault.secrets.reveal({ place, name })).expose()}\n`);
      return;
    }
    const sharedWith = await vault.secrets.access({ place, name });
    const secret = (await vault.secrets.list({ place })).find((entry) => entry.name === name && !entry.inherited);
    data(`${JSON.stringify({ ...secret, sharedWith }, undefined, 2)}\n`);
  },
  history: async ({ vault, place, operand, values }) => {
    const versions = await vault.secrets.versions({ place, name: required(operand, "NAME") });
    print(versions, {
      json: values.json,
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
  rollback: async ({ vault, place, operand, values }) => {
    const toVersion = numberOf(required(values.to, "--to"), "--to")!;
    const version = await vault.secrets.rollback({ place, name: required(operand, "NAME"), toVersion });
    note(`version ${version} has what version ${toVersion} had`);
  },
  enable: async (call) => await call.vault.secrets.switch({ ...named(call), enabled: true }),
  disable: async (call) => await call.vault.secrets.switch({ ...named(call), enabled: false }),
  delete: async (call) => await call.vault.secrets.delete(named(call)),
  restore: async (call) => await call.vault.secrets.restore(named(call)),
  destroy: async (call) => {
    const { version = [], all } = call.values;
    if (all === version.length > 0)
      throw new UsageError("Say what to destroy: --version N, as often as needed, or --all");
    const versions = version.map((text) => numberOf(text, "--version")!);
    const destroyed = await call.vault.secrets.destroy({ ...named(call), ...(all ? {} : { versions }) });
    note(`destroyed: ${destroyed.map((each) => `version ${each}`).join(", ") || "nothing was left"}`);
  },
  import: async ({ vault, place, operand, values }) => {
    const text = readText(required(operand, "FILE"), "secrets file");
    const request = { place, text, overwrite: values.overwrite, prune: values.prune };
    const { changes } = values["dry-run"]
      ? await vault.secrets.previewImport(request)
      : await vault.secrets.import(request);
    const cells = ({ name, action, differs }: (typeof changes)[number]): string[] => [name, action, differs.join(", ")];
    print(changes, { json: values.json, head: ["name", values["dry-run"] ? "would" : "done", "differs"], cells });
  },
  export: async ({ vault, place, values }) => {
    const { format } = values;
    if (format !== "env" && format !== "json") throw new UsageError("Say how: --format env or --format json");
    const { text, withheld } = await vault.secrets.export({ place, format });
    data(text);
    for (const { name, why } of withheld) note(`withheld: ${name}, as ${why}`);
  },
  explain: async ({ vault, place, operand, values }) => {
    if (!("projectId" in place)) throw new UsageError("Say in which project: --project ID");
    const asked = { projectId: place.projectId, name: required(operand, "NAME"), stepId: values.step };
    const { winner, candidates } = await vault.secrets.explain(asked);
    const cells = ({ level, name, state, why, version }: (typeof candidates)[number]): string[] => [
      level,
      name,
      version === undefined ? "" : String(version),
      state,
      why,
    ];
    print(candidates, { json: values.json, head: ["level", "name", "version", "state", "why"], cells });
    return winner === undefined ? exitCodes.user : exitCodes.success;
  },
  uses: async (call) => {
    print(await call.vault.secrets.uses(named(call)), {
      json: call.values.json,
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
  impact: async (call) => {
    const days = numberOf(call.values.days, "--days");
    const { steps, uses, fallback } = await call.vault.secrets.whoWouldBreak({ ...named(call), days });
    if (call.values.json) {
      data(`${JSON.stringify({ steps, uses, fallback })}\n`);
      return;
    }
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
  unused: async ({ vault, place, values }) => {
    const days = numberOf(required(values.days, "--days"), "--days")!;
    for (const { name } of await vault.secrets.unused({ place, days })) data(`${name}\n`);
  },
  stale: async ({ vault, place }) => {
    for (const { name, rotationDueAt } of await vault.secrets.stale({ place }))
      data(`${name}  since ${day(rotationDueAt)}\n`);
  },
  verify: async ({ vault, place, values }) => {
    const verdict = await vault.secrets.verify(place);
    const { changed, removed, unproven } = verdict;
    const whole = changed.length + removed.length === 0 && !unproven;
    if (values.json) data(`${JSON.stringify(verdict)}\n`);
    else if (whole) data("whole\n");
    else if (unproven) data("broken: the key or the manifest of the place was changed\n");
    else
      data([...changed.map((name) => `changed: ${name}\n`), ...removed.map((name) => `removed: ${name}\n`)].join(""));
    return whole ? exitCodes.success : exitCodes.system;
  },
};

export async function secretsCommand(args: string[]): Promise<number> {
  return await withUsage(secretsUsage, async () => {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    const [name = "", operand, ...rest] = positionals;
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
    if (action === undefined || rest.length > 0) throw new UsageError("Say what to do, with one name at most");
    const place = placeOf(values);
    return (await withVault(async (vault) => await action({ vault, place, operand, values }))) ?? exitCodes.success;
  });
}

async function store(call: Call, endUnusedHours: number | undefined): Promise<void> {
  const { vault, values } = call;
  const at = named(call);
  const { access, description, tag } = values;
  const version = await vault.secrets.set({
    ...at,
    value: await readValue(`the value of ${at.name}`),
    policy: values.policy === undefined ? undefined : (readJson(values.policy, "policy file") as object),
    description,
    tags: tag,
    expiresAt: dateOf(values.expires, "--expires"),
    ifVersion: numberOf(values["if-version"], "--if-version"),
    access: access === undefined || access === "all" ? access : access.split(","),
    endUnusedHours,
  });
  note(`${at.name} is at version ${version}`);
}

function named({ place, operand }: Call): { place: Place; name: string } {
  return { place, name: required(operand, "NAME") };
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
