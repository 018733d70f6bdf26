/**
 * `stepvault audit`: reads an organization's audit log, exports where it ends as a signed head, and checks that the whole log
 * is what was written. A head is worth something only where whoever can change the database cannot reach it.
 */
import { parseArgs } from "node:util";
import { StepvaultError } from "../protocol/error.ts";
import type { AuditEvent, AuditHead } from "../vault/audit/audit.ts";
import { readJson } from "./read-file.ts";
import { data, exitCodes, note, paint, table } from "./terminal.ts";
import { withVault } from "./with-vault.ts";

export const auditUsage = `stepvault audit verify --organization ID [--head FILE] [--json]
stepvault audit head --organization ID
stepvault audit list --organization ID [--project ID] [--limit N] [--before SEQ] [--json]

verify  reads the whole log and says whether it is what was written; with --head also whether it leads through the event that
        a head from earlier names. Exit code 0 when it is whole, 4 when it is not.
head    prints where the log ends now, signed, as JSON: keep it elsewhere
list    prints events, the latest first: 50, or N of at most 1000

Settings are STEPVAULT_* variables, as for start.

  stepvault audit head --organization 0199… > /mnt/elsewhere/audit-head.json
  stepvault audit verify --organization 0199… --head /mnt/elsewhere/audit-head.json`;

const listedDefault = 50;
const listedMax = 1_000;

export async function auditCommand([action, ...args]: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      organization: { type: "string" },
      project: { type: "string" },
      head: { type: "string" },
      limit: { type: "string" },
      before: { type: "string" },
      json: { type: "boolean", default: false },
    },
  });
  const { organization: organizationId } = values;
  if (organizationId === undefined || !["verify", "head", "list"].includes(action ?? "")) {
    note(auditUsage);
    return exitCodes.usage;
  }
  if (action === "verify") return await verify(organizationId, { headFile: values.head, json: values.json });
  if (action === "head") return await printHead(organizationId);
  const [limit, before] = [numberOf(values.limit ?? String(listedDefault)), numberOf(values.before ?? "0")];
  if (limit === undefined || limit < 1 || limit > listedMax || before === undefined) {
    note(`Cannot read --limit or --before: whole numbers, and --limit from 1 to ${listedMax}\n\n${auditUsage}`);
    return exitCodes.usage;
  }
  const query = { organizationId, projectId: values.project, limit, ...(before > 0 && { before }) };
  return await list(query, values.json);
}

async function verify(
  organizationId: string,
  { headFile, json }: { headFile: string | undefined; json: boolean },
): Promise<number> {
  const kept = headFile === undefined ? undefined : readHead(headFile);
  const verdict = await withVault(async (vault) => await vault.audit.verify({ organizationId, kept }));
  const { events, broken } = verdict;
  if (json) data(`${JSON.stringify(verdict)}\n`);
  else if (broken === undefined) data(`${paint("green", "whole", process.stdout)}: ${events} events\n`);
  else data(`${paint("red", "broken", process.stdout)} at event ${broken.seq}: ${broken.why}\n`);
  return broken === undefined ? exitCodes.success : exitCodes.system;
}

function readHead(file: string): AuditHead {
  const head = readJson(file, "head of the audit log");
  const texts = ["organizationId", "hash", "time", "publicKey", "signature"] as const;
  const fields = head as Partial<Record<string, unknown>> | null;
  if (
    typeof fields === "object" &&
    texts.every((field) => typeof fields?.[field] === "string") &&
    Number.isInteger(fields?.["seq"])
  )
    return fields as unknown as AuditHead;
  throw new StepvaultError(
    "ERR_AUDIT_HEAD_INVALID",
    "Cannot compare the audit log with the kept head: the file holds none",
  );
}

async function printHead(organizationId: string): Promise<number> {
  const head = await withVault(async (vault) => await vault.audit.head({ organizationId }));
  data(`${JSON.stringify(head)}\n`);
  return exitCodes.success;
}

async function list(
  query: { organizationId: string; projectId: string | undefined; limit: number; before?: number },
  json: boolean,
): Promise<number> {
  const events = await withVault(async (vault) => await vault.audit.list(query));
  if (json) for (const event of events) data(`${JSON.stringify(event)}\n`);
  else data(`${table([["seq", "time", "event", "outcome", "actor", "target"], ...events.map(rowOf)])}\n`);
  return exitCodes.success;
}

function rowOf({ seq, time, event, outcome, reason, actor, target = [] }: AuditEvent): string[] {
  const things = target.map(({ type, id, name, version }) =>
    [type, name ?? id ?? "", version === undefined ? "" : `v${version}`].filter((part) => part !== "").join(" "),
  );
  const ended = reason === undefined ? outcome : `${outcome} ${reason}`;
  return [String(seq), time, event, ended, `${actor.kind} ${actor.id}`, things.join(", ")];
}

function numberOf(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
