/**
 * Credentials of integrations and model providers: one slot per integration in an organization and in each of its projects.
 * What is secret of one is sealed, and listed in the manifest of its place; older values are overwritten. A change locks that
 * manifest first, so that those of a place come one after the other. Which credential is in force is effective.ts.
 */
import { createHash } from "node:crypto";
import type { Queryable } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { createId } from "../../protocol/ids.ts";
import {
  checkShareable,
  type CredentialField,
  type CredentialKind,
  findIntegration,
  parseCredentialFields,
} from "../../protocol/integrations.ts";
import type { Place } from "../tenancy/authorize.ts";
import { holderOf } from "../secrets/context.ts";
import { credentialEntry, credentialName, type CredentialRow, type Slot } from "./credential-entries.ts";
import { sealCredential, type SealedRow } from "./credential-sealer.ts";
import { withFingerprints } from "../secrets/fingerprints.ts";
import { checkGates, type Gates, manageAction } from "./gates.ts";
import { type Manifest, type ManifestEntry, plainEntry } from "../encryption/manifest.ts";
import type { MasterKey } from "../encryption/master-key.ts";
import { type ActContext, type Done, perform, permit } from "../audit/perform.ts";
import { findCredential, readLevels, withOpenLevel } from "./stored-credentials.ts";
import type { Project } from "../tenancy/tenancy.ts";
import { changeManifest } from "../encryption/update-manifest.ts";

/** What the functions on credentials act with. */
export interface CredentialContext extends ActContext {
  readonly master: MasterKey;
  readonly gates: Gates;
}

export type CredentialLevel = "organization" | "project";

/** A field as lists show it: one without a value is secret. */
export interface ShownField {
  readonly name: string;
  readonly value?: string;
}

export interface CredentialMetadata {
  readonly integration: string;
  readonly kind: CredentialKind;
  readonly level: CredentialLevel;
  readonly version: number;
  /** Switched off it is not usable; its value stays stored until it is removed. */
  readonly disabled: boolean;
  /** None of a row that is not the one that was written. */
  readonly fields: readonly ShownField[];
  /** The row is not the one that was written, and not usable. */
  readonly tampered: boolean;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A slot of a place, as somebody names it. */
export interface CredentialRequest {
  readonly place: Place;
  readonly integration: string;
}

/**
 * Switches an integration on with a value, in the place of what the slot held, and gives the version. Throws ERR_INTEGRATION_UNKNOWN,
 * ERR_OAUTH_NOT_SHAREABLE, ERR_CREDENTIAL_INVALID, ERR_PLAN_REQUIRED, ERR_ROLLOUT_PENDING, ERR_SECRET_TAMPERED when the key
 * or the manifest of the place is not what was stored, and what `authorize` throws.
 */
export async function setCredential(
  context: CredentialContext,
  { fields, ...request }: CredentialRequest & { fields: Readonly<Record<string, string>> },
): Promise<number> {
  const integration = findIntegration(request.integration);
  return await change(context, { ...request, event: "credential.set" }, async (client, at) => {
    checkShareable(integration, "set");
    const parsed = parseCredentialFields(integration, fields);
    await checkOrganizationGates(client, context, { ...at, action: `set the credential of ${integration.name}` });
    const secret = Object.fromEntries(
      parsed.filter(({ field }) => field.secret).map(({ field, value }) => [field.name, value]),
    );
    return await inManifest(client, context, at, async ({ key, manifest, before }) => {
      // Not the number after the row's: that may have been changed, and a number is used once.
      const version = (before?.version ?? 0) + 1;
      const row = { ...at.slot, version, fields: fieldsText(parsed) };
      const ciphertext = sealCredential(key, row, secret);
      const id = await writeRow(client, context, { row, ciphertext, secrets: Object.values(secret) });
      const ciphertextDigest = createHash("sha256").update(ciphertext).digest();
      // Of what was meant to be written, whatever the database made of it.
      const entry = credentialEntry({ ...row, id, disabled: false, ciphertextDigest });
      manifest.set(entry.name, plainEntry(entry));
      return { result: version, target: [targetOf(at.slot, { id, version })] };
    });
  });
}

/**
 * Removes a credential with its value, also what somebody put in its place. Throws ERR_CREDENTIAL_UNKNOWN,
 * ERR_INTEGRATION_UNKNOWN, ERR_SECRET_TAMPERED, what `authorize` throws.
 */
export async function removeCredential(context: CredentialContext, request: CredentialRequest): Promise<void> {
  const action = `remove the credential of ${findIntegration(request.integration).name}`;
  await change(context, { ...request, event: "credential.remove" }, async (client, at) => {
    return await inManifest(client, context, at, async ({ manifest, before, listed }) => {
      const { rows } = await client.query<{ id: string; version: number }>(
        `delete from credentials where ${slotCondition} returning id, version`,
        slotValues(at.slot),
      );
      if (rows[0] === undefined && !listed) throw noneThere(action, at.slot);
      if (before !== undefined) manifest.set(credentialName(at.slot.integration), removedEntry(before));
      return {
        result: undefined,
        target: [targetOf(at.slot, { ...rows[0], ...(before && { version: before.version }) })],
      };
    });
  });
}

/**
 * Switches a credential off or on again. Off, it is not usable, and its value stays stored until it is removed. Throws
 * ERR_CREDENTIAL_UNKNOWN, ERR_INTEGRATION_UNKNOWN, ERR_PLAN_REQUIRED, ERR_ROLLOUT_PENDING, ERR_SECRET_TAMPERED, what
 * `authorize` throws.
 */
export async function switchCredential(
  context: CredentialContext,
  { enabled, ...request }: CredentialRequest & { enabled: boolean },
): Promise<void> {
  const action = `${enabled ? "enable" : "disable"} the credential of ${findIntegration(request.integration).name}`;
  const event = enabled ? "credential.enable" : "credential.disable";
  await change(context, { ...request, event }, async (client, at) => {
    if (enabled) await checkOrganizationGates(client, context, { ...at, action });
    return await inManifest(client, context, at, async ({ manifest, before, listed }) => {
      const { rows } = await client.query<Pick<CredentialRow, "id" | "version" | "fields" | "ciphertextDigest">>(
        `update credentials set disabled_at = case when $4 then null else coalesce(disabled_at, now()) end, updated_at = now()
         where ${slotCondition} returning id, version, fields, sha256(ciphertext) as "ciphertextDigest"`,
        [...slotValues(at.slot), enabled],
      );
      const [row] = rows;
      if (row === undefined && !listed) throw noneThere(action, at.slot);
      const entry = row && credentialEntry({ ...at.slot, ...row, disabled: !enabled });
      // The value is not what changes: one that somebody put there does not become true.
      if (entry === undefined || !listed || entry.digest !== before?.digest)
        throw new StepvaultError(
          "ERR_SECRET_TAMPERED",
          `Cannot ${action}: its row is not the one that the manifest has; set it anew`,
        );
      manifest.set(entry.name, plainEntry(entry));
      return { result: undefined, target: [targetOf(at.slot, row!)] };
    });
  });
}

/**
 * What a place itself has, by integration: a project's list is without its organization's. Never a secret field's value, and
 * no event: seeing a list is no use of it. One that was changed past Stepvault is marked and hides none of the others.
 * Throws what `authorize` throws.
 */
export async function listCredentials(context: CredentialContext, place: Place): Promise<CredentialMetadata[]> {
  const [action, level] =
    "projectId" in place
      ? (["project.read", "project"] as const)
      : (["organization.credentials.read", "organization"] as const);
  const permission = await permit(context, { action, place, event: "credential.list" });
  const { levels } = await readLevels(context.database, { ...permission, levels: [level] });
  return await withOpenLevel(context.master, levels[0]!, (open) =>
    open.credentials.map(({ integration, version, disabled, createdAt, updatedAt }) => {
      const found = findCredential(open, integration);
      const tampered = found.is !== "written";
      const fields = tampered ? [] : found.shown;
      return { integration, kind: "shared", level, version, disabled, fields, tampered, createdAt, updatedAt };
    }),
  );
}

/** The same text for the same fields: in the order of the catalogue, with the values of those that may be shown. */
function fieldsText(parsed: readonly { field: CredentialField; value: string }[]): string {
  return JSON.stringify(
    parsed.map(({ field, value }): ShownField => (field.secret ? { name: field.name } : { name: field.name, value })),
  );
}

/** A slot, and the project whose manifest lists what is in it. */
interface At {
  readonly slot: Slot;
  readonly holder: Project;
}

/** Authorizes, audits and changes one slot in one transaction. */
async function change<T>(
  context: CredentialContext,
  { place, integration, event }: CredentialRequest & { event: string },
  work: (client: Queryable, at: At) => Promise<Done<T>>,
): Promise<T> {
  const action = await manageAction(context.database, place);
  const target = [{ type: "credential", name: integration }];
  return await perform(context, { action, place, event, target }, async (client, permission) => {
    const holder = await holderOf(client, permission);
    const { organizationId } = permission;
    // In one spelling, as the id is part of what is sealed.
    const projectId = permission.projectId === undefined ? null : holder.id;
    return await work(client, { slot: { organizationId, projectId, integration }, holder });
  });
}

/** Changes a slot while its manifest is locked. Throws ERR_SECRET_TAMPERED. */
async function inManifest<T>(
  client: Queryable,
  { master }: CredentialContext,
  { slot, holder }: At,
  work: (open: { key: Buffer; manifest: Manifest; before: ManifestEntry | undefined; listed: boolean }) => Promise<T>,
): Promise<T> {
  return await changeManifest(client, master, holder, async (open) => {
    const before = open.manifest.get(credentialName(slot.integration));
    return await work({ ...open, before, listed: before !== undefined && !before.state.deleted });
  });
}

/** What stays of a credential that was removed. */
function removedEntry(before: ManifestEntry): ManifestEntry {
  const { state, ...entry } = plainEntry({ version: before.version, disabled: false, digest: "" });
  return { ...entry, state: { ...state, deleted: true } };
}

async function checkOrganizationGates(
  client: Queryable,
  { gates }: CredentialContext,
  { slot, action }: At & { action: string },
): Promise<void> {
  if (slot.projectId === null) await checkGates(client, gates, { organizationId: slot.organizationId, action });
}

const slotCondition =
  "organization_id = $1 and coalesce(project_id, organization_id) = coalesce($2::uuid, $1) and integration = $3";

function slotValues({ organizationId, projectId, integration }: Slot): unknown[] {
  return [organizationId, projectId, integration];
}

/** Gives the row's id. What is secret leaves fingerprints, so that it is found when it leaks. */
async function writeRow(
  client: Queryable,
  { master }: CredentialContext,
  { row, ciphertext, secrets }: { row: SealedRow; ciphertext: Buffer; secrets: readonly string[] },
): Promise<string> {
  const fingerprints = await withFingerprints(client, master, row.organizationId, (fingerprint) =>
    secrets.map(fingerprint),
  );
  const { rows } = await client.query<{ id: string }>(
    `insert into credentials (organization_id, project_id, integration, id, version, fields, ciphertext, fingerprints)
     values ($1, $2, $3, $4, $5, $6, $7, $8)
     on conflict (organization_id, project_id, integration) do update set version = excluded.version, fields = excluded.fields,
       ciphertext = excluded.ciphertext, fingerprints = excluded.fingerprints, disabled_at = null, updated_at = now()
     returning id`,
    [...slotValues(row), createId(), row.version, row.fields, ciphertext, fingerprints],
  );
  return rows[0]!.id;
}

function targetOf(
  { integration }: Slot,
  { id, version }: { id?: string; version?: number },
): { type: string; name: string; id?: string; version?: number } {
  const known = { ...(id !== undefined && { id }), ...(version !== undefined && { version }) };
  return { type: "credential", name: integration, ...known };
}

function noneThere(action: string, { projectId }: Slot): StepvaultError {
  const level: CredentialLevel = projectId === null ? "organization" : "project";
  return new StepvaultError("ERR_CREDENTIAL_UNKNOWN", `Cannot ${action}: the ${level} has none`);
}
