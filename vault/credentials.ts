/**
 * Credentials of integrations and model providers: one slot per integration in an organization and in each of its projects.
 * What is secret of one is sealed as one JSON document and bound to everything that the row says of it; older values are
 * overwritten. Which credential is in force is effective.ts; knows of keys only what a `CredentialSealer` does.
 */
import type { Queryable } from "../database/server.ts";
import { StepvaultError } from "../protocol/error.ts";
import { createId } from "../protocol/ids.ts";
import {
  checkShareable,
  type CredentialField,
  findIntegration,
  parseCredentialFields,
} from "../protocol/integrations.ts";
import { authorize, type Permission, type Place } from "./authorize.ts";
import { SealBrokenError } from "./crypto.ts";
import { checkGates, type Gates, manageAction } from "./gates.ts";
import { type ActContext, type Done, perform } from "./perform.ts";
import { parseId } from "./tenancy.ts";

/** Whose key seals: a project's own, or the organization's. */
export interface SealPlace {
  readonly organizationId: string;
  readonly projectId?: string;
}

/** Seals under the key of a place; `open` throws SealBrokenError for what was not sealed there with this context. */
export interface CredentialSealer {
  seal(client: Queryable, place: SealPlace, context: readonly string[], plaintext: Buffer): Promise<Buffer>;
  open(client: Queryable, place: SealPlace, context: readonly string[], blob: Buffer): Promise<Buffer>;
}

export type CredentialLevel = "organization" | "project";

/** A field as lists show it: one without a value is secret. */
export interface ShownField {
  readonly name: string;
  readonly value?: string;
}

export interface CredentialMetadata {
  readonly integration: string;
  readonly level: CredentialLevel;
  readonly version: number;
  /** Switched off it is not usable; its value stays stored until it is removed. */
  readonly disabled: boolean;
  readonly fields: readonly ShownField[];
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** The slot that a credential is in. */
export interface Slot {
  readonly organizationId: string;
  readonly projectId: string | null;
  readonly integration: string;
}

/** A slot of a place, as somebody names it. */
export interface CredentialRequest {
  readonly place: Place;
  readonly integration: string;
}

/**
 * Switches an integration on with a value, in the place of what the slot held, and gives the version. Throws ERR_INTEGRATION_UNKNOWN,
 * ERR_OAUTH_NOT_SHAREABLE, ERR_CREDENTIAL_INVALID, ERR_PLAN_REQUIRED, ERR_ROLLOUT_PENDING, ERR_SECRET_TAMPERED when the
 * place's key does not open, and what `authorize` throws.
 */
export async function setCredential(
  context: ActContext,
  { sealer, gates }: { sealer: CredentialSealer; gates: Gates },
  { fields, ...request }: CredentialRequest & { fields: Readonly<Record<string, string>> },
): Promise<number> {
  const integration = findIntegration(request.integration);
  checkShareable(integration, "set");
  const parsed = parseCredentialFields(integration, fields);
  return await change(context, { ...request, event: "credential.set" }, async (client, slot) => {
    await checkOrganizationGates(client, gates, { slot, action: `set the credential of ${integration.name}` });
    const { id, version } = await lockSlot(client, slot);
    const next = version + 1;
    const shown = fieldsText(parsed);
    const document = Object.fromEntries(
      parsed.filter(({ field }) => field.secret).map(({ field, value }) => [field.name, value]),
    );
    const plaintext = Buffer.from(JSON.stringify(document), "utf8");
    const sealContext = credentialContext({ ...slot, version: next, fields: shown });
    const ciphertext = await sealer
      .seal(client, sealPlace(slot), sealContext, plaintext)
      .catch((error: unknown) => {
        throw asTampered(error, `set the credential of ${integration.name}: the key of its place does not open`);
      })
      .finally(() => plaintext.fill(0));
    await client.query(
      `update credentials set version = $2, fields = $3, ciphertext = $4, disabled_at = null, updated_at = now()
       where id = $1`,
      [id, next, shown, ciphertext],
    );
    return { result: next, target: [{ type: "credential", id, name: slot.integration, version: next }] };
  });
}

/** Removes a credential with its value. Throws ERR_CREDENTIAL_UNKNOWN, ERR_INTEGRATION_UNKNOWN, what `authorize` throws. */
export async function removeCredential(context: ActContext, request: CredentialRequest): Promise<void> {
  const { name } = findIntegration(request.integration);
  await change(context, { ...request, event: "credential.remove" }, async (client, slot) => {
    const { rows } = await client.query<{ id: string; version: number }>(
      `delete from credentials where ${slotCondition} returning id, version`,
      slotValues(slot),
    );
    return { result: undefined, target: [targetOf(rows[0], `remove the credential of ${name}`, slot)] };
  });
}

/**
 * Switches a credential off or on again. Off, it is not usable, and its value stays stored until it is removed. Throws
 * ERR_CREDENTIAL_UNKNOWN, ERR_INTEGRATION_UNKNOWN, ERR_PLAN_REQUIRED, ERR_ROLLOUT_PENDING, what `authorize` throws.
 */
export async function switchCredential(
  context: ActContext,
  { gates }: { gates: Gates },
  { enabled, ...request }: CredentialRequest & { enabled: boolean },
): Promise<void> {
  const action = `${enabled ? "enable" : "disable"} the credential of ${findIntegration(request.integration).name}`;
  const event = enabled ? "credential.enable" : "credential.disable";
  await change(context, { ...request, event }, async (client, slot) => {
    if (enabled) await checkOrganizationGates(client, gates, { slot, action });
    const { rows } = await client.query<{ id: string; version: number }>(
      `update credentials set disabled_at = case when $4 then null else coalesce(disabled_at, now()) end, updated_at = now()
       where ${slotCondition} returning id, version`,
      [...slotValues(slot), enabled],
    );
    return { result: undefined, target: [targetOf(rows[0], action, slot)] };
  });
}

/**
 * What a place itself has, by integration: a project's list is without its organization's. Never a secret field's value, and
 * no event: seeing a list is no use of it. Throws ERR_SECRET_TAMPERED for fields that cannot be read, what `authorize` throws.
 */
export async function listCredentials(context: ActContext, place: Place): Promise<CredentialMetadata[]> {
  const action = "projectId" in place ? "project.read" : "organization.credentials.read";
  const permission = await authorize(context.database, context.actor, action, place);
  const { rows } = await context.database.query<Omit<CredentialMetadata, "fields"> & { fields: string }>(
    `select integration, case when project_id is null then 'organization' else 'project' end as level, version,
            disabled_at is not null as disabled, fields, created_at as "createdAt", updated_at as "updatedAt"
     from credentials where organization_id = $1 and project_id is not distinct from $2::uuid order by integration`,
    [permission.organizationId, projectIdOf(place)],
  );
  return rows.map((row) => ({ ...row, fields: parseFieldsText(row.fields, row.integration) }));
}

/** The secret fields of a stored credential, once they are proven to be what was sealed in this slot. Throws ERR_SECRET_TAMPERED. */
export async function openCredential(
  client: Queryable,
  sealer: CredentialSealer,
  stored: Slot & { readonly version: number; readonly fields: string; readonly ciphertext: Buffer },
): Promise<Record<string, string>> {
  const plaintext = await sealer
    .open(client, sealPlace(stored), credentialContext(stored), stored.ciphertext)
    .catch((error: unknown) => {
      throw asTampered(
        error,
        `use the credential of ${stored.integration}: what is stored is not what was sealed for it; set it anew`,
      );
    });
  const document = JSON.parse(plaintext.toString("utf8")) as Record<string, string>;
  plaintext.fill(0);
  return document;
}

/** The fields that a row shows. Says nothing of whether they are those that were sealed. Throws ERR_SECRET_TAMPERED. */
export function parseFieldsText(text: string, integration: string): ShownField[] {
  try {
    const fields: unknown = JSON.parse(text);
    if (Array.isArray(fields)) return fields as ShownField[];
  } catch {
    // No JSON at all is the same fault as the wrong JSON.
  }
  throw new StepvaultError(
    "ERR_SECRET_TAMPERED",
    `Cannot read the credential of ${integration}: its stored fields are none; set it anew`,
  );
}

/** The same text for the same fields: in the order of the catalogue, with the values of those that may be shown. */
function fieldsText(parsed: readonly { field: CredentialField; value: string }[]): string {
  return JSON.stringify(
    parsed.map(({ field, value }): ShownField => (field.secret ? { name: field.name } : { name: field.name, value })),
  );
}

/** Everything that a sealed document is bound to. */
function credentialContext(bound: Slot & { readonly version: number; readonly fields: string }): string[] {
  const { organizationId, projectId, integration, version, fields } = bound;
  const level: CredentialLevel = projectId === null ? "organization" : "project";
  return ["credential", level, organizationId, projectId ?? "", integration, String(version), fields];
}

function sealPlace({ organizationId, projectId }: Slot): SealPlace {
  return projectId === null ? { organizationId } : { organizationId, projectId };
}

/** Authorizes, audits and changes one slot in one transaction. */
async function change<T>(
  context: ActContext,
  { place, integration, event }: CredentialRequest & { event: string },
  work: (client: Queryable, slot: Slot) => Promise<Done<T>>,
): Promise<T> {
  const action = await manageAction(context.database, place);
  const target = [{ type: "credential", name: integration }];
  return await perform(context, { action, place, event, target }, async (client, permission: Permission) => {
    const slot = { organizationId: permission.organizationId, projectId: projectIdOf(place), integration };
    return await work(client, slot);
  });
}

async function checkOrganizationGates(
  client: Queryable,
  gates: Gates,
  { slot, action }: { slot: Slot; action: string },
): Promise<void> {
  if (slot.projectId === null) await checkGates(client, gates, { organizationId: slot.organizationId, action });
}

/** In one spelling, as the id is part of what is sealed. */
function projectIdOf(place: Place): string | null {
  return "projectId" in place ? parseId(place.projectId, "project") : null;
}

const slotCondition = "organization_id = $1 and project_id is not distinct from $2::uuid and integration = $3";

function slotValues({ organizationId, projectId, integration }: Slot): unknown[] {
  return [organizationId, projectId, integration];
}

/** The slot's row, made when missing and locked until the transaction ends, so that versions are consecutive. */
async function lockSlot(client: Queryable, slot: Slot): Promise<{ id: string; version: number }> {
  const { rows } = await client.query<{ id: string; version: number }>(
    `insert into credentials (organization_id, project_id, integration, id) values ($1, $2, $3, $4)
     on conflict (organization_id, project_id, integration) do update set updated_at = now() returning id, version`,
    [...slotValues(slot), createId()],
  );
  return rows[0]!;
}

function targetOf(
  row: { id: string; version: number } | undefined,
  action: string,
  { integration, projectId }: Slot,
): { type: string; id: string; name: string; version: number } {
  if (row !== undefined) return { type: "credential", id: row.id, name: integration, version: row.version };
  const level: CredentialLevel = projectId === null ? "organization" : "project";
  throw new StepvaultError("ERR_CREDENTIAL_UNKNOWN", `Cannot ${action}: the ${level} has none`);
}

/** What the sealer says of a broken seal, as an error of ours; anything else as it is. */
function asTampered(error: unknown, what: string): unknown {
  return error instanceof SealBrokenError ? new StepvaultError("ERR_SECRET_TAMPERED", `Cannot ${what}`) : error;
}
