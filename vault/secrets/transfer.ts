/**
 * Many secrets at once: importing a text of them, with a look at what it would do first, and exporting them. An import adds;
 * it overwrites and deletes only when that is said, and all of it happens or nothing. Values are compared by fingerprints, so
 * that nothing is opened to see what differs.
 */
import type { Queryable } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { readablePolicy } from "../../protocol/secret-policy.ts";
import type { Permission, Place } from "../tenancy/authorize.ts";
import { holderOf, type SecretContext, secretAction } from "./context.ts";
import { digest } from "../encryption/crypto.ts";
import { withFingerprints } from "./fingerprints.ts";
import { perform, permit } from "../audit/perform.ts";
import { policyText } from "./policies.ts";
import { openStored, parseSecretName, provideSecret, type SecretRow } from "./secret-rows.ts";
import { parseNewValue, storeSecret } from "./secrets.ts";
import { formatSecretsText, parseSecretsText, type SecretsFormat, type SecretsTextEntry } from "./secrets-text.ts";
import { throwSecretsFaults } from "./secrets-text-faults.ts";
import { findSharedProject, getProject, type Project } from "../tenancy/tenancy.ts";
import { updateManifest } from "../encryption/update-manifest.ts";

export type ImportAction =
  | "create"
  /** Value or policy differ, and are overwritten. */
  | "update"
  /** It was deleted, and comes back with this value. */
  | "restore"
  /** Value or policy differ, and stay as they are. */
  | "keep"
  | "same"
  /** The text does not have it. */
  | "delete";

export interface ImportChange {
  readonly name: string;
  readonly action: ImportAction;
  /** What the import would change, in words; never a value. */
  readonly differs: readonly ("value" | "policy" | "description" | "tags")[];
}

export interface ImportPreview {
  readonly changes: readonly ImportChange[];
  /** Stands for the text and for what it was compared with: given to the import, it goes ahead only while both are the same. */
  readonly token: string;
}

export interface Import {
  readonly place: Place;
  readonly text: string;
  readonly format?: SecretsFormat | undefined;
  /** Secrets that differ get what the text has; else they are kept. */
  readonly overwrite?: boolean | undefined;
  /** Secrets that the text does not have are deleted; they can be restored. */
  readonly prune?: boolean | undefined;
  /** Of the preview that somebody has seen. */
  readonly ifToken?: string | undefined;
}

/** What an import would do. Throws ERR_SECRETS_TEXT_INVALID with all that is wrong with the text, what `authorize` throws. */
export async function previewImport(context: SecretContext, request: Import): Promise<ImportPreview> {
  const { database } = context;
  const { place } = request;
  const entries = readText(request);
  const permission = await permit(context, {
    action: secretAction("secret.write", place),
    place,
    event: "secret.import.preview",
  });
  const project = await findHolder(database, permission);
  return await compare(database, context, { request, entries, permission, project });
}

/**
 * Imports a text. Throws ERR_SECRETS_TEXT_INVALID, ERR_SECRET_VERSION_CONFLICT when the token is of another text or state, what
 * `setSecret` throws for the first secret that cannot be stored, and what `authorize` throws; nothing is changed then.
 */
export async function importSecrets(context: SecretContext, request: Import): Promise<ImportPreview> {
  const entries = readText(request);
  const { place } = request;
  const act = { action: secretAction("secret.write", place), place, event: "secret.import" };
  return await perform(context, act, async (client, permission) => {
    const project = await holderOf(client, permission);
    // One import at a time: what is compared is what is changed.
    await client.query("select from secrets where project_id = $1 order by name for no key update", [project.id]);
    const preview = await compare(client, context, { request, entries, permission, project });
    if (request.ifToken !== undefined && request.ifToken !== preview.token)
      throw new StepvaultError(
        "ERR_SECRET_VERSION_CONFLICT",
        "Cannot import the secrets: the text or the secrets are not those of the preview any more",
      );
    const stored = preview.changes.filter(({ action }) => ["create", "update", "restore"].includes(action));
    // All rows before the manifest, which each change locks: somebody who makes one of them waits for that.
    for (const name of stored.map((change) => change.name).sort())
      await provideSecret(client, { project, name: parseSecretName(name) });
    const target: { type: string; id: string; name: string; version?: number }[] = [];
    for (const { name, action } of preview.changes) {
      if (action === "same" || action === "keep") continue;
      if (action === "delete") target.push(await removeSecret(client, context, { project, name }));
      else target.push(await storeEntry(client, context, { entry: entries.get(name)!, place, permission, project }));
    }
    const count = (action: ImportAction): number => preview.changes.filter((change) => change.action === action).length;
    const details = {
      created: count("create"),
      updated: count("update"),
      restored: count("restore"),
      kept: count("keep"),
      deleted: count("delete"),
    };
    return { result: preview, target, details };
  });
}

async function storeEntry(
  client: Queryable,
  context: SecretContext,
  at: { entry: SecretsTextEntry; place: Place; permission: Permission; project: Project },
): Promise<{ type: string; id: string; name: string; version: number }> {
  const { entry, place, ...where } = at;
  const { name, value, policy, description, tags } = entry;
  const parsed = parseNewValue({ place, name, value, policy, description, tags });
  const { secret, version } = await storeSecret(client, context, { ...parsed, ...where });
  return { type: "secret", id: secret.id, name, version };
}

async function removeSecret(
  client: Queryable,
  context: SecretContext,
  { project, name }: { project: Project; name: string },
): Promise<{ type: string; id: string; name: string }> {
  const { rows } = await client.query<{ id: string }>(
    "update secrets set deleted_at = now(), updated_at = now() where project_id = $1 and name = $2 returning id",
    [project.id, name],
  );
  await updateManifest(client, context.master, { project, name, changed: ["deleted"] });
  return { type: "secret", id: rows[0]!.id, name };
}

function readText({ text, format }: Import): Map<string, SecretsTextEntry> {
  const { entries, faults } = parseSecretsText(text, { format });
  throwSecretsFaults(faults, "import the secrets");
  return new Map(entries.map((entry) => [entry.name, entry]));
}

interface Existing extends SecretRow {
  readonly fingerprint: Buffer | null;
  readonly policy: string | null;
  readonly description: string;
  readonly tags: readonly string[];
}

async function compare(
  client: Queryable,
  context: SecretContext,
  known: {
    request: Import;
    entries: ReadonlyMap<string, SecretsTextEntry>;
    permission: Permission;
    project: Project | undefined;
  },
): Promise<ImportPreview> {
  const { request, entries, permission, project } = known;
  const { rows } = await client.query<Existing>(
    `select s.id, s.name, s.current_version as version, s.deleted_at is not null as deleted, s.description, s.tags,
            v.fingerprint, v.policy
     from secrets s left join secret_versions v on v.secret_id = s.id and v.version = s.current_version
     where s.project_id = $1 and s.current_version > 0 order by s.name`,
    [project?.id],
  );
  const existing = new Map(rows.map((row) => [row.name, row]));
  const { organizationId } = permission;
  return await withFingerprints(client, context.master, organizationId, (fingerprint) => {
    const changes = [...entries.values()].map((entry): ImportChange => {
      const row = existing.get(entry.name);
      if (row === undefined) return { name: entry.name, action: "create", differs: ["value"] };
      const differs = differences(entry, row, fingerprint);
      if (row.deleted) return { name: entry.name, action: "restore", differs };
      if (differs.length === 0) return { name: entry.name, action: "same", differs };
      return { name: entry.name, action: request.overwrite === true ? "update" : "keep", differs };
    });
    const absent = rows.filter(({ name, deleted }) => !deleted && !entries.has(name));
    const pruned = request.prune === true ? absent : [];
    changes.push(...pruned.map(({ name }): ImportChange => ({ name, action: "delete", differs: [] })));
    // Under the organization's key, as who sees the token must not be able to try texts.
    const state = [...rows.map(({ name, version, deleted }) => `${name} ${version} ${deleted}`), request.text];
    const token = fingerprint(
      digest(["import", String(request.overwrite), String(request.prune), ...state]).toString("hex"),
    );
    return { changes, token: token.toString("base64url") };
  });
}

function differences(
  entry: SecretsTextEntry,
  row: Existing,
  fingerprint: (value: string) => Buffer,
): ImportChange["differs"] {
  const { policy, description, tags } = entry;
  const differs: ImportChange["differs"][number][] = [];
  if (row.fingerprint?.equals(fingerprint(entry.value)) !== true) differs.push("value");
  if (policy !== undefined && policyText(policy) !== (row.policy ?? policyText(readablePolicy))) differs.push("policy");
  if (description !== undefined && description !== row.description) differs.push("description");
  if (tags !== undefined && tags.join("\n") !== row.tags.join("\n")) differs.push("tags");
  return differs;
}

async function findHolder(
  database: Queryable,
  { organizationId, projectId }: Permission,
): Promise<Project | undefined> {
  if (projectId === undefined) return await findSharedProject(database, organizationId);
  return await getProject(database, projectId);
}

export interface Export {
  readonly text: string;
  /** Not in the text: sealed, kept elsewhere, switched off, destroyed, or not what the format can hold. */
  readonly withheld: readonly { readonly name: string; readonly why: string }[];
}

/**
 * The values of a place's own secrets as a text, for a person who may see them; the event names each. Throws
 * ERR_SECRETS_TEXT_INVALID for what the format cannot hold, ERR_SECRET_TAMPERED, and what `authorize` throws.
 */
export async function exportSecrets(
  context: SecretContext,
  { place, format }: { place: Place; format: SecretsFormat },
): Promise<Export> {
  const act = { action: secretAction("secret.reveal", place), place, event: "secret.export" };
  return await perform(context, { ...act, class: "data-access" }, async (client, permission) => {
    const project = await holderOf(client, permission);
    const { rows } = await client.query<
      SecretRow & { disabled: boolean; destroyed: boolean; description: string; tags: string[] }
    >(
      `select s.id, s.name, s.current_version as version, false as deleted, s.disabled_at is not null as disabled,
              v.destroyed_at is not null as destroyed, s.description, s.tags
       from secrets s join secret_versions v on v.secret_id = s.id and v.version = s.current_version
       where s.project_id = $1 and s.deleted_at is null order by s.name`,
      [project.id],
    );
    const entries: SecretsTextEntry[] = [];
    const withheld: { name: string; why: string }[] = [];
    for (const { name, disabled, destroyed, description, tags } of rows) {
      if (disabled || destroyed) {
        withheld.push({ name, why: disabled ? "it is switched off" : "its value was destroyed" });
        continue;
      }
      const at = { project, name: parseSecretName(name), action: "export" };
      const { value, policy } = await openStored(client, context.master, at);
      if (policy.sealed) withheld.push({ name, why: "it is sealed, and sealed values are never shown" });
      else if (policy.source !== undefined) withheld.push({ name, why: `it is kept in ${policy.source.source}` });
      else if (format === "env" && policyText(policy) !== policyText(readablePolicy))
        withheld.push({ name, why: "it has a policy, which .env cannot hold; JSON can" });
      else entries.push({ name, value, ...(format === "json" && { policy, description, tags }) });
    }
    const exported = new Set(entries.map(({ name }) => name));
    const target = rows
      .filter(({ name }) => exported.has(name))
      .map(({ id, name, version }) => ({ type: "secret", id, name, version }));
    return { result: { text: formatSecretsText(entries, format), withheld }, target };
  });
}
