/**
 * What a secret has besides its versions: description, tags, expiry, a reminder, which projects may use an organization's, and
 * whether it is switched on. Descriptions and tags are shown to many: the value itself is refused in them.
 */
import type { Queryable } from "../../database/server.ts";
import { sealedCharactersMin } from "../../protocol/secret-policy.ts";
import type { Permission } from "../tenancy/authorize.ts";
import type { SecretContext } from "./context.ts";
import { authenticate, deriveKey, withKey } from "../encryption/crypto.ts";
import type { MasterKey } from "../encryption/master-key.ts";
import { lockSecret, openStored, parseSecretName, secretError, type SecretRow } from "./secret-rows.ts";
import { changeSecret, type SecretAt } from "./secret-change.ts";
import { parseId, type Project } from "../tenancy/tenancy.ts";
import { updateManifest, withProjectKey } from "../encryption/update-manifest.ts";

export interface Metadata {
  readonly description?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  /** From then on a run that refers to it is rejected; null: never. */
  readonly expiresAt?: Date | null | undefined;
  /** Days with one version after which people are reminded of changing it; null: never. */
  readonly rotationDays?: number | null | undefined;
  /** Of an organization's secret: the projects that may use it; none at first. */
  readonly access?: "all" | readonly string[] | undefined;
}

const limits = { descriptionCharactersMax: 500, tagsMax: 20, rotationDaysMax: 3_650, grantsMax: 10_000 } as const;
const tagPattern = /^[\p{L}\p{N}][\p{L}\p{N} ._:/@-]{0,49}$/u;

/**
 * Changes what is given and leaves the rest. Throws ERR_SECRET_UNKNOWN, ERR_SECRET_METADATA_INVALID, ERR_SECRET_TAMPERED, and
 * what `authorize` throws.
 */
export async function changeMetadata(context: SecretContext, request: SecretAt & Metadata): Promise<void> {
  const name = parseSecretName(request.name);
  await changeSecret(context, { ...request, event: "secret.change" }, async (client, at) => {
    const { project } = at;
    const { master } = context;
    const secret = await lockSecret(client, { project, name, action: "change" });
    const shown = request.description !== undefined || request.tags !== undefined;
    const value = shown ? await currentValue(client, master, { project, secret }) : "";
    await writeMetadata(client, master, { ...request, ...at, secret, value });
    const changed = (["expiresAt", "access"] as const).filter((field) => request[field] !== undefined);
    await updateManifest(client, master, { project, name, changed });
    return { result: undefined, secret, details: metadataDetails(request) };
  });
}

/**
 * Switches a secret on or off; a run that refers to one that is off is rejected. Throws ERR_SECRET_UNKNOWN,
 * ERR_SECRET_TAMPERED, and what `authorize` throws.
 */
export async function switchSecret(
  context: SecretContext,
  { enabled, ...request }: SecretAt & { enabled: boolean },
): Promise<void> {
  const name = parseSecretName(request.name);
  const [action, event] = enabled ? ["enable", "secret.enable"] : ["disable", "secret.disable"];
  await changeSecret(context, { ...request, event }, async (client, { project }) => {
    const secret = await lockSecret(client, { project, name, action });
    await client.query(
      `update secrets set disabled_at = case when $2 then null else coalesce(disabled_at, now()) end, updated_at = now()
       where id = $1`,
      [secret.id, enabled],
    );
    await updateManifest(client, context.master, { project, name, changed: ["disabled"] });
    return { result: undefined, secret };
  });
}

/** Writes what is given into a locked secret's rows; the manifest is the caller's. Throws ERR_SECRET_METADATA_INVALID. */
export async function writeMetadata(
  client: Queryable,
  master: MasterKey,
  next: Metadata & {
    permission: Permission;
    project: Project;
    secret: Pick<SecretRow, "id" | "name">;
    /** What must not be shown; empty when there is nothing to compare with. */
    value: string;
  },
): Promise<void> {
  const { secret, project } = next;
  const { description, tags, expiresAt, rotationDays, access } = checkMetadata(secret.name, next);
  // Before it is written: what a transaction takes back stays in the database's files.
  await refuseShown(client, next);
  await client.query(
    `update secrets set description = coalesce($2, description), tags = coalesce($3, tags),
       expires_at = case when $4 then $5 else expires_at end,
       rotation_days = case when $6 then $7 else rotation_days end, updated_at = now()
     where id = $1`,
    [
      secret.id,
      description ?? null,
      tags ?? null,
      expiresAt !== undefined,
      expiresAt ?? null,
      rotationDays !== undefined,
      rotationDays ?? null,
    ],
  );
  if (access === undefined) return;
  if (next.permission.projectId !== undefined)
    throw invalid(secret.name, "a project's secret is for its project alone");
  await writeAccess(client, master, { project, secretId: secret.id, name: secret.name, access });
}

/** Compares with all that is and will be shown of a secret, as it may have been written before the value was. */
export async function refuseShown(
  client: Queryable,
  given: Pick<Metadata, "description" | "tags"> & { secret: Pick<SecretRow, "id" | "name">; value: string },
): Promise<void> {
  const value = given.value.trim().toLowerCase();
  if (Array.from(value).length < sealedCharactersMin) return;
  const { rows } = await client.query<{ description: string; tags: string[] }>(
    "select description, tags from secrets where id = $1",
    [given.secret.id],
  );
  const shown = rows.flatMap((row) => [given.description ?? row.description, ...(given.tags ?? row.tags)]);
  if (shown.some((one) => one.toLowerCase().includes(value)))
    throw invalid(given.secret.name, "its description or one of its tags holds the value itself");
}

/** A new list of projects makes every proof of the list before worthless. */
async function writeAccess(
  client: Queryable,
  master: MasterKey,
  next: { project: Project; secretId: string; name: string; access: "all" | readonly string[] },
): Promise<void> {
  const { project, secretId, name, access } = next;
  const ids = access === "all" ? [] : [...new Set(access.map((id) => parseId(id, "project")))];
  if (ids.length > limits.grantsMax)
    throw invalid(name, `it is for ${ids.length} projects, ${limits.grantsMax} are allowed beside all`);
  const { rowCount } = await client.query(
    "select from projects where organization_id = $1 and id = any($2) and not shared",
    [project.organizationId, ids],
  );
  if (rowCount !== ids.length) throw invalid(name, `${rowCount} of its ${ids.length} projects are the organization's`);
  // Of the manifest that this change makes: no list had that number, and none will.
  const { rows } = await client.query<{ counter: string }>(
    "select counter from secret_manifests where project_id = $1 for update",
    [project.id],
  );
  const listNumber = String(BigInt(rows[0]?.counter ?? 0) + 1n);
  await client.query("update secrets set access = $2 where id = $1", [secretId, access === "all" ? "all" : listNumber]);
  await client.query("delete from secret_grants where secret_id = $1", [secretId]);
  if (ids.length === 0) return;
  const macs = await withProjectKey(client, master, project, (key) =>
    ids.map((projectId) => grantMac(key, { secretId, projectId, listNumber })),
  );
  await client.query(
    "insert into secret_grants (secret_id, project_id, mac) select $1, * from unnest($2::uuid[], $3::bytea[])",
    [secretId, ids, macs],
  );
}

/** What proves that a project is on the list with this number; `key` is that of the project which holds the secret. */
export function grantMac(
  key: Buffer,
  { secretId, projectId, listNumber }: { secretId: string; projectId: string; listNumber: string },
): Buffer {
  return withKey(deriveKey(key, "grant"), (macKey) => authenticate(macKey, ["grant", secretId, projectId, listNumber]));
}

/** The value in use, to be compared with; empty when it is destroyed. */
async function currentValue(
  client: Queryable,
  master: MasterKey,
  { project, secret }: { project: Project; secret: SecretRow },
): Promise<string> {
  const { rows } = await client.query<{ destroyed: boolean }>(
    "select destroyed_at is not null as destroyed from secret_versions where secret_id = $1 and version = $2",
    [secret.id, secret.version],
  );
  if (rows[0]?.destroyed === true) return "";
  const name = parseSecretName(secret.name);
  return (await openStored(client, master, { project, name, action: "change" })).value;
}

function checkMetadata(name: string, given: Metadata): Metadata {
  const { description, tags, expiresAt, rotationDays, access } = given;
  const characters = Array.from(description ?? "").length;
  if (characters > limits.descriptionCharactersMax)
    throw invalid(name, `its description has ${characters} characters, ${limits.descriptionCharactersMax} are allowed`);
  if (description !== undefined && (!description.isWellFormed() || description.includes("\0")))
    throw invalid(name, "its description is not Unicode text without NUL");
  if (tags !== undefined && (tags.length > limits.tagsMax || !tags.every((tag) => tagPattern.test(tag))))
    throw invalid(
      name,
      `it has ${tags.length} tags; ${limits.tagsMax} are allowed, each 1 to 50 letters, digits, blanks and . _ : / @ -`,
    );
  if (expiresAt != null && !(expiresAt.getTime() > Date.now()))
    throw invalid(name, "its expiry is not a time to come; switch it off to end it now");
  const days = rotationDays ?? 1;
  if (!Number.isInteger(days) || days < 1 || days > limits.rotationDaysMax)
    throw invalid(name, `its reminder is after ${days} days, 1 to ${limits.rotationDaysMax} are allowed`);
  return { description, tags: tags && [...new Set(tags)], expiresAt, rotationDays, access };
}

/** What an event tells of a change: which fields it was, and what decides over uses. */
export function metadataDetails(given: Metadata): Record<string, string | number | null> {
  const { expiresAt, rotationDays, access } = given;
  const fields = ["description", "tags", "expiresAt", "rotationDays", "access"] as const;
  const changed = fields.filter((field) => given[field] !== undefined);
  return {
    ...(changed.length > 0 && { changed: changed.join(", ") }),
    ...(expiresAt !== undefined && { expiresAt: expiresAt?.toISOString() ?? null }),
    ...(rotationDays !== undefined && { rotationDays }),
    ...(access !== undefined && { projects: access === "all" ? "all" : access.length }),
  };
}

function invalid(name: string, why: string): ReturnType<typeof secretError> {
  return secretError("ERR_SECRET_METADATA_INVALID", "describe", { name, why });
}
