/**
 * `stepvault audit`: reads an organization's audit log, exports where it ends as a signed head, and checks that the whole log
 * is what was written. A head is worth something only where whoever can change the database cannot reach it.
 */
import { cleanLine } from "../mcp/plain-text.ts";
import { StepvaultError } from "../protocol/error.ts";
import type { AuditEvent, AuditHead } from "../vault/audit/audit.ts";
import type { Handlers } from "./commands.ts";
import { readJson } from "./read-file.ts";
import { data, dataJson, exitCodes, paint, table } from "./terminal.ts";
import { withVault } from "./with-vault.ts";

export const auditHandlers: Handlers = {
  verify: async (given) =>
    await verify(given.required("organization"), { headFile: given.text("head"), json: given.json }),
  head: async (given) => await printHead(given.required("organization")),
  async list(given) {
    const [limit, before] = [given.number("limit") ?? listedDefault, given.number("before")];
    const [organizationId, projectId] = [given.required("organization"), given.text("project")];
    await list({ organizationId, projectId, limit, ...(before !== undefined && { before }) }, given.json);
  },
};

const listedDefault = 50;

async function verify(
  organizationId: string,
  { headFile, json }: { headFile: string | undefined; json: boolean },
): Promise<number> {
  const kept = headFile === undefined ? undefined : readHead(headFile);
  const verdict = await withVault(async (vault) => await vault.audit.verify({ organizationId, kept }));
  const { events, broken } = verdict;
  if (json) dataJson(verdict);
  else if (broken === undefined) data(`${paint("green", "whole", process.stdout)}: ${events} events\n`);
  else data(`${paint("red", "broken", process.stdout)} at event ${broken.seq}: ${cleanLine(broken.why)}\n`);
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
  dataJson(head);
  return exitCodes.success;
}

async function list(
  query: { organizationId: string; projectId: string | undefined; limit: number; before?: number },
  json: boolean,
): Promise<number> {
  const events = await withVault(async (vault) => await vault.audit.list(query));
  if (json) for (const event of events) dataJson(event);
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
